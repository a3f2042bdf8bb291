"""Batches: every op by its batch rule, and functions mapped over axes of their arguments."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from table import EXAMPLES, parts

import autodiff
from autodiff import Tensor
from autodiff.apply import apply
from autodiff.errors import GradientError, IndexRangeError, ShapeError, UnassignedError
from autodiff.op import Example, Op
from autodiff.ops.batches import batch_rule, one_by_one

A = np.array([[1.0, 2.0], [3.0, -4.0], [0.5, 6.0]])
N = 3


# ---- every op -------------------------------------------------------------------------


@pytest.mark.parametrize(("op", "example"), EXAMPLES)
def test_the_batch_rule_of_every_op(op: Op, example: Example, rng: np.random.Generator) -> None:
    draws = [example.draw(rng) for _ in range(N)]
    n_inputs = len(draws[0])
    bound = op.bind(**example.attributes)
    for carries in itertools.product([False, True], repeat=min(n_inputs, 4)):
        carries = (*carries, *[carries[-1]] * (n_inputs - len(carries)))
        if True not in carries:
            continue
        operands = [
            np.stack([draw[i] for draw in draws]) if c else draws[0][i]
            for i, c in enumerate(carries)
        ]
        found = batch_rule(op)(bound, [Tensor(x) for x in operands], carries)
        for i, draw in enumerate(draws):
            inputs = [draw[k] if c else draws[0][k] for k, c in enumerate(carries)]
            with np.errstate(all="ignore"):  # operands of several draws, which need not fit
                expected = parts(apply(op, inputs, example.attributes))
            for have, want in zip(parts(found), expected, strict=True):
                assert have.shape == (N, *np.shape(want))
                scale = max(1.0, float(np.abs(want).max(initial=0.0)))
                np.testing.assert_allclose(have.value[i], want, rtol=1e-13, atol=1e-14 * scale)
        alone = one_by_one(bound, [Tensor(x) for x in operands], carries)
        for have, want in zip(parts(found), parts(alone), strict=True):
            assert have.shape == want.shape
        nothing = [Tensor(x[:0] if c else x) for x, c in zip(operands, carries, strict=True)]
        for rule in (batch_rule(op), one_by_one):
            for have, want in zip(parts(rule(bound, nothing, carries)), parts(found), strict=True):
                assert have.shape == (0, *want.shape[1:])


def test_rows_of_one_element_are_never_those_of_another() -> None:
    x = np.arange(12.0).reshape(3, 4, 1)
    rows = np.array([[0.0, -1.0], [1.0, 2.0], [3.0, 3.0]])
    found = autodiff.vmap(autodiff.take)(x, rows)
    np.testing.assert_array_equal(found[..., 0], [[0, 3], [5, 6], [11, 11]])
    for bad in (4.0, -5.0):
        rows[1, 0] = bad
        with pytest.raises(IndexRangeError):
            autodiff.vmap(autodiff.take)(x, rows)


# ---- functions ------------------------------------------------------------------------


def test_it_is_a_stack_of_calls() -> None:
    def f(x: Any, y: Any) -> Any:
        return autodiff.exp(x) @ y, x.sum()

    found = autodiff.vmap(f)(A, A)
    assert type(found) is tuple
    for i in range(N):
        np.testing.assert_allclose(found[0][i], np.exp(A[i]) @ A[i], rtol=1e-14)
    np.testing.assert_allclose(found[1], A.sum(axis=1))
    assert type(found[0]) is np.ndarray


def test_axes() -> None:
    y = np.array([1.0, 10.0])
    np.testing.assert_allclose(autodiff.vmap(lambda x, y: x @ y, (0, None))(A, y), A @ y)
    np.testing.assert_allclose(autodiff.vmap(lambda x: x.sum(), 1)(A), A.sum(axis=0))
    np.testing.assert_allclose(autodiff.vmap(lambda x: x.sum(), -1)(A), A.sum(axis=0))
    np.testing.assert_allclose(autodiff.vmap(lambda x: 2.0 * x, 0, 1)(A), 2.0 * A.T)
    np.testing.assert_allclose(autodiff.vmap(lambda x: 2.0 * x, 0, -1)(A), 2.0 * A.T)
    tree = {"a": A, "b": y}
    found = autodiff.vmap(lambda t: t["a"] @ t["b"], ({"a": 0, "b": None},))(tree)
    np.testing.assert_allclose(found, A @ y)
    np.testing.assert_allclose(autodiff.vmap(lambda x, *, s: x * s)(A, s=A), A * A)
    same = autodiff.vmap(lambda x: (x, 3.0), out_axes=(0, None))(A)
    assert same[1] == 3.0
    repeated = autodiff.vmap(lambda x: 3.0)(A)
    np.testing.assert_array_equal(repeated, [3.0] * N)


def test_what_does_not_fit_is_refused() -> None:
    two = A[:2]
    with pytest.raises(
        ShapeError, match="argument 1 has 2 elements along its axis 0, but argument 0"
    ):
        autodiff.vmap(lambda x, y: x)(A, two)
    with pytest.raises(ShapeError, match="no axis to map over; in_axes=None"):
        autodiff.vmap(lambda x, y: x)(A, 1.0)
    with pytest.raises(ShapeError, match="there is no axis 2"):
        autodiff.vmap(lambda x: x, 2)(A)
    with pytest.raises(ShapeError, match="maps no argument"):
        autodiff.vmap(lambda x: x, None)(A)
    with pytest.raises(TypeError, match="in_axes is a number"):
        autodiff.vmap(lambda x: x, (0, 0))(A)
    with pytest.raises(TypeError, match="does not fit the structure"):
        autodiff.vmap(lambda t: t["a"], ({"b": 0},))({"a": A})
    with pytest.raises(ShapeError, match="out_axes is None"):
        autodiff.vmap(lambda x: x, 0, None)(A)


def test_numbers_of_one_element_are_refused() -> None:
    def branching(x: Any) -> Any:
        return x if x.sum() > 0.0 else -x

    for f in (branching, lambda x: x * float(x[0]), lambda x: x.value, lambda x: x.sum().item()):
        with pytest.raises(GradientError, match=r"called once for all elements.*test_vmap\.py"):
            autodiff.vmap(f)(A)
    unassigned = Tensor(shape=(2,))
    with pytest.raises(UnassignedError):
        autodiff.vmap(lambda x: x + unassigned.value)(A)


def test_derivatives_within(rng: np.random.Generator) -> None:
    def f(x: Any) -> Any:
        return autodiff.exp(x[0]) * (x**3.0).sum()

    for transform in (autodiff.grad, autodiff.hessian, autodiff.jacobian):
        found = autodiff.vmap(transform(f))(A)
        for i in range(N):
            np.testing.assert_allclose(found[i], transform(f)(A[i]), rtol=1e-13)
    value, gradient = autodiff.vmap(autodiff.value_and_grad(f))(A)
    np.testing.assert_allclose(value, [f(a) for a in A], rtol=1e-14)
    np.testing.assert_allclose(gradient[1], autodiff.grad(f)(A[1]), rtol=1e-13)
    found = autodiff.vmap(lambda x: autodiff.jvp(f, (x,), (x,))[1])(A)
    np.testing.assert_allclose(found, [autodiff.grad(f)(a) @ a for a in A], rtol=1e-13)
    products = autodiff.vmap(autodiff.hvp(f))(A, A)
    np.testing.assert_allclose(products[1], autodiff.hessian(f)(A[1]) @ A[1], rtol=1e-12)
    closing = autodiff.vmap(lambda x: autodiff.grad(lambda y: x * y * y)(3.0))(A[:, 0])
    np.testing.assert_allclose(closing, 6.0 * A[:, 0])


def test_derivatives_of_batches() -> None:
    def f(x: Any) -> Any:
        return (autodiff.vmap(lambda row: (row * row).sum() ** 2.0)(x)).sum()

    expected = autodiff.hessian(lambda x: ((x * x).sum(axis=1) ** 2.0).sum())(A)
    np.testing.assert_allclose(autodiff.hessian(f)(A), expected, rtol=1e-13)
    x = Tensor(A)
    node = autodiff.vmap(lambda row: row * row)(x)
    assert isinstance(node, autodiff.Node)
    np.testing.assert_allclose(autodiff.gradients(node, x).value, 2.0 * A)
    outer = autodiff.vmap(lambda row: row * x.sum())(A)
    assert isinstance(outer, autodiff.Node)  # else the gradient of x would be cut off


def test_nested() -> None:
    x, y = np.arange(3.0), np.arange(4.0) + 1.0
    inner = autodiff.vmap(lambda x, y: x * y, (0, None))
    np.testing.assert_allclose(autodiff.vmap(inner, (None, 0))(x, y), np.outer(y, x))
    pairs = autodiff.vmap(autodiff.vmap(autodiff.grad(lambda x: x**3.0)))(A)
    np.testing.assert_allclose(pairs, 3.0 * A**2)


def test_in_compiled_steps() -> None:
    def f(x: Any, w: Any) -> Any:
        return autodiff.tanh(w @ x).sum()

    w = np.arange(4.0).reshape(2, 2) / 4.0
    for function in (
        autodiff.vmap(f, (0, None)),
        autodiff.vmap(autodiff.grad(f), (0, None)),
        autodiff.grad(lambda x, w: autodiff.vmap(f, (0, None))(x, w).sum(), argnums=1),
        autodiff.vmap(autodiff.hessian(f), (0, None)),
    ):
        step = autodiff.compile(function)
        np.testing.assert_allclose(step(A, w), function(A, w), rtol=1e-13)
        np.testing.assert_allclose(step(2.0 * A, w), function(2.0 * A, w), rtol=1e-13)
    n = len(autodiff.compile(autodiff.vmap(f, (0, None))).recording(A, w).code.instructions)
    many = autodiff.compile(autodiff.vmap(f, (0, None))).recording(np.ones((100, 2)), w)
    assert len(many.code.instructions) == n  # one pass, however many elements there are


def test_no_elements() -> None:
    assert autodiff.vmap(lambda x: x.sum())(np.ones((0, 2))).shape == (0,)
    assert autodiff.vmap(autodiff.grad(lambda x: (x * x).sum()))(np.ones((0, 2))).shape == (0, 2)
