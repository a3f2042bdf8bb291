"""Gradients of reductions are ops of their own, in programs too; which element needs which."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor, ops
from autodiff.op import OPS, Example, Op

FLOWS = [
    pytest.param(op, example, id=f"{op.name}-{i}")
    for op in OPS.values()
    if op.flow is not None and "axis" in op.attributes and not op.moves
    for i, example in enumerate(op.examples)
]


@pytest.mark.parametrize(("op", "example"), FLOWS)
def test_no_dependence_is_left_out(op: Op, example: Example, rng: np.random.Generator) -> None:
    assert op.flow is not None
    bound, arrays = op.bind(**example.attributes), example.draw(rng)
    for position, x in enumerate(arrays):
        if op.rule(position) is None:
            continue
        outs, ins = op.flow(bound, position, [Tensor(a) for a in arrays])
        known = np.zeros((bound.forward(arrays).size, x.size), bool)
        known[outs, ins] = True
        for j in range(x.size):
            moved = x.copy()
            moved.flat[j] += 0.5
            others = [moved if i == position else a for i, a in enumerate(arrays)]
            changed = np.ravel(bound.forward(others) != bound.forward(arrays))
            assert not (changed & ~known[:, j]).any()


def test_the_hessian_of_rows_is_in_blocks() -> None:
    x = np.linspace(-1.0, 1.0, 12).reshape(4, 3)

    def f(x: Any) -> Any:
        return ops.logsumexp(x.reshape(4, 3), axis=1).sum() + ops.max(x.reshape(4, 3), 1).sum()

    found = autodiff.hessian(f, sparsity="auto")(x.ravel())
    assert found.nnz <= 36
    np.testing.assert_allclose(found.toarray(), autodiff.hessian(f)(x.ravel()), atol=1e-15)


@pytest.mark.parametrize("axis", [0, 1, 2, (0, 1), (1, 2), None])
@pytest.mark.parametrize("name", ["max", "logsumexp", "softmax", "log_softmax"])
def test_a_gradient_is_one_instruction(name: str, axis: Any, rng: np.random.Generator) -> None:
    x = Tensor(rng.normal(size=(2, 3, 4)))

    def step() -> Any:
        z = getattr(ops, name)(x, axis=axis)
        return autodiff.gradients((z * z).sum(), [x])[0]

    compiled = autodiff.compile(step)
    np.testing.assert_allclose(compiled(), step().value, rtol=1e-13, atol=1e-15)
    lines = [re.split(r"[ \[]", line)[0] for _, line in compiled.profile()]
    assert lines.count(name) == 1
    assert lines.count(f"{name}_gradient") == 1
    assert not {"copy", "call_back"} & set(lines)


@pytest.mark.parametrize("name", ["max", "logsumexp", "softmax", "log_softmax", "prod"])
def test_over_axes_that_are_no_neighbours(name: str, rng: np.random.Generator) -> None:
    x = Tensor(rng.normal(size=(3, 4, 5, 2)))

    def step() -> Any:
        z = getattr(ops, name)(x, axis=(0, 2))
        (first,) = autodiff.gradients((z * z).sum(), [x])
        (second,) = autodiff.gradients((first * first).sum(), [x])
        return z, first, second

    for found, expected in zip(autodiff.compile(step)(), step(), strict=True):
        np.testing.assert_allclose(found, expected.value, rtol=1e-11, atol=1e-12)
    moved = x.value.transpose(1, 3, 0, 2).reshape(4, 2, 15)
    z = getattr(ops, name)(moved, axis=2)
    if z.ndim == 3:
        z = z.reshape(4, 2, 3, 5).transpose(2, 0, 3, 1)
    np.testing.assert_allclose(step()[0].value, z, rtol=1e-13)


@pytest.mark.parametrize("name", ["max", "logsumexp", "softmax", "log_softmax", "prod"])
def test_rows_of_nothing_where_there_are_no_rows(name: str) -> None:
    x = Tensor(np.zeros((2, 0, 0)))
    for axis in (1, 2, (1, 2)) if name == "prod" else (1, 2):

        def step(axis: Any = axis) -> Any:
            z = getattr(ops, name)(x, axis=axis)
            return z, autodiff.gradients(z.sum(), [x])[0]

        for found, expected in zip(autodiff.compile(step)(), step(), strict=True):
            np.testing.assert_array_equal(found, expected.value)


def test_ties_share_the_gradient_of_a_maximum() -> None:
    x = Tensor([[1.0, 3.0], [2.0, 3.0], [2.0, 0.0]])
    for axis, expected in (
        (0, [[0.0, 0.5], [0.5, 0.5], [0.5, 0.0]]), (1, [[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]),
        (None, [[0.0, 0.5], [0.0, 0.5], [0.0, 0.0]]),
    ):  # fmt: skip
        np.testing.assert_array_equal(autodiff.gradients(x.max(axis).sum(), [x])[0].value, expected)
        g = autodiff.gradients(-(-x).min(axis).sum(), [x])[0].value
        np.testing.assert_array_equal(g, expected)


@pytest.mark.parametrize("function", [np.max, np.min, np.amax, np.amin, np.sum, np.prod, np.mean])
def test_options_without_an_op_are_refused_by_name(function: Any) -> None:
    x = Tensor(np.ones((2, 3)))
    options: list[dict[str, Any]] = [{"out": np.zeros(3)}, {"where": np.ones((2, 3), bool)}]
    if function is not np.mean:
        options.append({"initial": 0.5})
    for option in options:
        with pytest.raises(TypeError, match=f"{next(iter(option))}="):
            function(x, axis=0, **option)
    assert function(x, axis=-1, keepdims=True).shape == (2, 1)
