"""Gradients as nodes: they can be computed, and differentiated again."""

from __future__ import annotations

import numpy as np
import pytest

import autodiff
from autodiff import Node, Tensor, gradients
from autodiff.errors import GradientError, ShapeError
from autodiff.graph.order import ancestors


def test_they_are_those_of_backward(rng: np.random.Generator) -> None:
    x, w = Tensor(rng.normal(size=(4, 3))), Tensor(rng.normal(size=(3, 2)))
    loss = autodiff.square(autodiff.tanh(x @ w) + x[:, :2]).mean()
    as_nodes = [g.value for g in gradients(loss, [x, w])]
    loss.backward()
    np.testing.assert_allclose(as_nodes[0], x.gradient, rtol=1e-14)
    np.testing.assert_allclose(as_nodes[1], w.gradient, rtol=1e-14)


def test_a_gradient_that_is_zero_is_not_replaced() -> None:
    # A node is false where its value is 0: whoever asks for its truth loses it here.
    x = Tensor(0.0)
    (first,) = gradients(x * x * x, [x])
    (second,) = gradients(first, [x])
    (third,) = gradients(second, [x])
    assert [g.item() for g in (first, second, third)] == [0.0, 0.0, 6.0]


def test_they_are_not_computed_before_they_are_asked_for() -> None:
    x = Tensor(shape=(2, 2))
    (g,) = gradients(autodiff.exp(x), [x])
    x.assign(np.zeros((2, 2)))
    np.testing.assert_array_equal(g.value, np.ones((2, 2)))
    x.assign(np.full((2, 2), np.log(2.0)))
    np.testing.assert_allclose(g.forward(), np.full((2, 2), 2.0))


def test_one_node_for_a_node_and_a_list_for_several() -> None:
    x, w = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    y = (x * x * w).sum()
    gx = gradients(y, x)
    assert isinstance(gx, Node)
    np.testing.assert_array_equal(gx.value, [6.0, 16.0])
    np.testing.assert_array_equal(gradients(gx.sum(), w).value, [2.0, 4.0])
    for several in ([x, w], (x, w), {"x": x, "w": w}.values(), (node for node in (x, w))):
        found = gradients(y, several)
        assert type(found) is list
        np.testing.assert_array_equal(found[0].value, gx.value)
        np.testing.assert_array_equal(found[1].value, [1.0, 4.0])
    assert gradients(y, []) == []


def test_a_node_read_twice_gets_both() -> None:
    x = Tensor([1.0, 2.0])
    (g,) = gradients(x * x, [x])
    np.testing.assert_array_equal(g.value, [2.0, 4.0])


def test_inner_nodes_and_the_output_itself() -> None:
    x = Tensor([1.0, 2.0])
    h = x * 3.0
    y = h * h
    gh, gy, gx = gradients(y, [h, y, x])
    np.testing.assert_array_equal(gh.value, [6.0, 12.0])
    np.testing.assert_array_equal(gy.value, [1.0, 1.0])
    np.testing.assert_array_equal(gx.value, [18.0, 36.0])


def test_what_y_does_not_depend_on_has_gradient_zero() -> None:
    x, other = Tensor([1.0, 2.0]), Tensor(np.ones((2, 3)))
    stopped = autodiff.stop_gradient(other).sum() + x
    gx, go = gradients(stopped, [x, other])
    np.testing.assert_array_equal(gx.value, [1.0, 1.0])
    np.testing.assert_array_equal(go.value, np.zeros((2, 3)))


def test_a_seed_weighs_the_outputs() -> None:
    x, seed = Tensor([1.0, 2.0]), Tensor([10.0, 100.0])
    for given in (seed, [10.0, 100.0]):
        (g,) = gradients(x * x, [x], given)
        np.testing.assert_array_equal(g.value, [20.0, 400.0])
    (by_seed,) = gradients(g.sum(), [x])
    np.testing.assert_array_equal(by_seed.value, [20.0, 200.0])


def test_a_constant_is_refused() -> None:
    x, c = Tensor(1.0), Tensor(2.0, constant=True, name="rate")
    with pytest.raises(GradientError, match=r"'rate'.*is constant"):
        gradients(x * c, [c])


def test_a_seed_of_another_shape_is_refused() -> None:
    x = Tensor([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"seed has shape \(3,\), y has shape \(2,\)"):
        gradients(x * x, [x], np.ones(3))


def test_only_the_way_to_x_is_built(rng: np.random.Generator) -> None:
    x, w = Tensor(rng.normal(size=(4, 3))), Tensor(rng.normal(size=(3, 2)))
    (gw,) = gradients((autodiff.sin(x) @ w).sum(), [w])
    names = [node.typename for node in ancestors([gw])]
    assert "cos" not in names
    assert names.count("matmul") == 1


def test_a_long_chain() -> None:
    x = node = Tensor(1.0)
    for _ in range(10_000):
        node = autodiff.negative(node)
    (g,) = gradients(node, [x])
    assert g.item() == 1.0
