"""Nestings of arrays as one vector, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor
from autodiff.errors import ShapeError

TREE = {"w": np.arange(6.0).reshape(2, 3), "b": (1.5, None, [np.ones(2), 3]), "name": "text"}


def test_there_and_back() -> None:
    vector, unflatten = autodiff.flatten(TREE)
    np.testing.assert_array_equal(vector, [0, 1, 2, 3, 4, 5, 1.5, 1, 1, 3])
    twin = unflatten(vector)
    assert twin["name"] == "text"
    assert twin["b"][1] is None
    np.testing.assert_array_equal(twin["w"], TREE["w"])
    assert twin["b"][2][1].shape == ()
    twin["w"][...] = np.nan
    assert not np.isnan(vector).any()
    with pytest.raises(ShapeError, match=r"the vector has shape \(3,\), the tree \(10,\)"):
        unflatten(np.ones(3))


def test_nothing_and_one() -> None:
    vector, unflatten = autodiff.flatten([])
    assert vector.shape == (0,)
    assert unflatten(vector) == []
    vector, unflatten = autodiff.flatten(2)
    assert unflatten(vector) == 2.0


def test_gradients_go_through() -> None:
    vector, unflatten = autodiff.flatten(TREE)

    def loss(tree: Any) -> Any:
        return (tree["w"] ** 2.0).sum() * tree["b"][0] + tree["b"][2][0].sum()

    gradient = autodiff.grad(loss)(TREE)
    flat = autodiff.grad(lambda v: loss(unflatten(v)))(vector)
    np.testing.assert_allclose(flat, autodiff.flatten(gradient)[0])
    x = Tensor(np.ones(3))
    node, _ = autodiff.flatten((x, 2.0, [x]))
    assert isinstance(node, autodiff.Node)
    np.testing.assert_array_equal(autodiff.gradients(node, x).value, 2.0 * np.ones(3))
    step = autodiff.compile(lambda v: autodiff.grad(loss)(unflatten(v)))
    np.testing.assert_allclose(step(vector)["w"], gradient["w"])
