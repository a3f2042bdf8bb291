"""clip and its like, signs, and questions: NumPy's values, and who gets the gradient."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Node, Tensor
from autodiff.errors import DTypeError

INF, NAN = np.inf, np.nan
X = np.array([-INF, -2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, INF, NAN])


def gradients(function: Any, *inputs: Any) -> list[np.ndarray]:
    nodes = [Tensor(x) for x in inputs]
    z = function(*nodes)
    return [g.forward() for g in autodiff.gradients(z, nodes, np.ones(z.shape))]


def same(function: Any, *inputs: Any) -> None:
    """NumPy's numbers and signs of zero, eagerly and compiled."""
    with np.errstate(all="ignore"):
        expected = np.asarray(function(*inputs), np.float64)
    made = function(*map(Tensor, inputs))
    assert isinstance(made, Node)
    for z in (made.value, autodiff.compile(lambda *a: function(*a))(*inputs)):
        np.testing.assert_array_equal(z, expected)
        zeros = expected == 0.0
        np.testing.assert_array_equal(np.signbit(z[zeros]), np.signbit(expected[zeros]))


# ---- clip --------------------------------------------------------------------------------


def test_clip_is_numpys(backend: Any) -> None:
    bounds = ((-1.0, 1.0), (None, 1.0), (-1.0, None), (1.0, -1.0), (NAN, 1.0), (X[::-1], 3.0))
    for low, high in bounds:
        same(lambda x, low=low, high=high: np.clip(x, low, high), X)
        same(lambda x, low=low, high=high: np.clip(x, a_max=high, a_min=low), X)
    if np.lib.NumpyVersion(np.__version__) >= "2.1.0":
        same(lambda x: np.clip(x, min=-1.0, max=1.0), X)
        same(lambda x: np.clip(x, max=0.5), X)
    x = Tensor(X)
    assert np.clip(x, None, None) is x
    with pytest.raises(TypeError, match="a_min and min are the same bound"):
        np.clip(x, 0.0, min=0.0)
    with pytest.raises(TypeError, match=r"np\.clip with out="):
        np.clip(x, 0.0, 1.0, out=np.zeros(X.shape))


def test_at_a_bound_the_gradient_passes(backend: Any) -> None:
    (gx,) = gradients(lambda x: np.clip(x, -1.0, 1.0), X)
    np.testing.assert_array_equal(gx, [0, 0, 1, 1, 1, 1, 1, 0, 0, 0])  # as PyTorch's clamp


def test_bounds_get_what_they_cut(backend: Any) -> None:
    x, low, high = np.array([-3.0, -1.0, 0.0, 1.0, 3.0]), np.full(5, -1.0), np.full(5, 1.0)
    gx, glow, ghigh = gradients(np.clip, x, low, high)
    np.testing.assert_array_equal(gx, [0, 1, 1, 1, 0])
    np.testing.assert_array_equal(glow, [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(ghigh, [0, 0, 0, 0, 1])
    gx, glow, ghigh = gradients(np.clip, x, high, low)  # the wrong way round: all are a_max
    np.testing.assert_array_equal(np.stack([gx, glow, ghigh]), [[0] * 5, [0] * 5, [1] * 5])


def test_an_infinite_gradient_is_not_let_past_a_bound(backend: Any) -> None:
    x = Tensor([-1.0, 0.0, 4.0])
    np.sqrt(np.clip(x, 0.0, None)).sum().backward()
    np.testing.assert_array_equal(x.gradient, [0.0, INF, 0.25])


# ---- NaN --------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [np.fmax, np.fmin], ids=lambda f: f.__name__)
def test_nan_is_not_chosen(function: Any, backend: Any) -> None:
    x, y = map(np.ravel, np.meshgrid(X[X != 0.0], X[X != 0.0]))
    same(function, x, y)
    x, y = np.array([1.0, 2.0, 2.0, NAN, 1.0]), np.array([2.0, 1.0, 2.0, 1.0, NAN])
    gx, gy = gradients(function, x, y)
    first = np.array([0.0, 1.0, 0.5, 0.0, 1.0])
    if function is np.fmin:
        first = np.array([1.0, 0.0, 0.5, 0.0, 1.0])
    np.testing.assert_array_equal(gx, first)
    np.testing.assert_array_equal(gy, 1.0 - first)


def test_nan_to_num(backend: Any) -> None:
    same(np.nan_to_num, X)
    same(lambda x: np.nan_to_num(x, True, 7.0, 8.0, 9.0), X)
    same(lambda x: np.nan_to_num(x, nan=-1.0, posinf=3.0), X)
    (gx,) = gradients(np.nan_to_num, X)
    np.testing.assert_array_equal(gx, np.isfinite(X))


# ---- signs and steps ------------------------------------------------------------------------


def test_signs(backend: Any) -> None:
    x, y = map(np.ravel, np.meshgrid(X, X))
    same(np.copysign, x, y)
    same(np.heaviside, x, y)
    x, y = np.array([2.0, -2.0, 2.0, 0.0]), np.array([1.0, 1.0, -0.0, -1.0])
    gx, _ = gradients(np.copysign, x, y)
    np.testing.assert_array_equal(gx, [1.0, -1.0, -1.0, 0.0])
    gx, gy = gradients(np.heaviside, np.array([-1.0, 0.0, 2.0]), np.full(3, 0.5))
    np.testing.assert_array_equal(gx, 0.0)
    np.testing.assert_array_equal(gy, [0.0, 1.0, 0.0])


# ---- questions ------------------------------------------------------------------------------

OF_ONE = [
    np.isnan, np.isfinite, np.isinf, np.isposinf, np.isneginf, np.signbit, np.logical_not, np.sign,
]  # fmt: skip
OF_TWO = [
    np.logical_and, np.logical_or, np.logical_xor, np.less, np.less_equal, np.not_equal, np.equal,
]  # fmt: skip


@pytest.mark.parametrize("function", [*OF_ONE, *OF_TWO], ids=lambda f: f.__name__)
def test_questions_are_numpys_and_have_no_gradient(function: Any, backend: Any) -> None:
    inputs = [X] if function in OF_ONE else [np.ravel(a) for a in np.meshgrid(X, X)]
    same(function, *inputs)
    same(function, *[a[:0] for a in inputs])
    assert not function(*map(Tensor, inputs)).needs_gradient
    if function in OF_TWO:
        np.testing.assert_array_equal(function(Tensor(X), 0.5).value, function(X, 0.5))
        np.testing.assert_array_equal(function(0.5, Tensor(X)).value, function(0.5, X))


SYMBOLS = {"&": operator.and_, "|": operator.or_, "^": operator.xor}
BITWISE = {"&": np.bitwise_and, "|": np.bitwise_or, "^": np.bitwise_xor}


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_truths_are_combined_as_numpys_booleans(symbol: str, backend: Any) -> None:
    apply, first, second = SYMBOLS[symbol], X > 0.0, X < 1.0
    expected, x = apply(first, second), Tensor(X)
    for made in (
        apply(x > 0.0, x < 1.0),
        apply(first, x < 1.0),
        apply(x > 0.0, second),
        BITWISE[symbol](x > 0.0, x < 1.0),
    ):
        np.testing.assert_array_equal(made.value, expected)
    np.testing.assert_array_equal((~(x > 0.0)).value, ~first)
    np.testing.assert_array_equal(x[apply(x > 0.0, x < 1.0)].value, X[expected])
    step = autodiff.compile(lambda a: autodiff.where(apply(a > 0.0, ~(a >= 1.0)), a, 7.0))
    np.testing.assert_array_equal(step(X), np.where(apply(first, ~(X >= 1.0)), X, 7.0))
    with pytest.raises(DTypeError, match=rf"\{symbol} is for what is true or false.*3\.0 is not"):
        apply(x > 0.0, 3.0)
    with pytest.raises(DTypeError, match=r"an operand is not.*write logical_.*x is node"):
        apply(x, x > 0.0)


def test_what_is_asked_of_complex_numbers() -> None:
    x = Tensor(X)
    assert np.real(x) is x
    assert np.conj(x) is x
    assert np.conjugate(x) is x
    np.testing.assert_array_equal(np.imag(x), np.zeros(X.shape))
    assert np.isrealobj(x)
    assert not np.iscomplexobj(x)
    np.testing.assert_array_equal(np.isreal(x), np.isreal(X))
    np.testing.assert_array_equal(np.iscomplex(x), np.iscomplex(X))
    same(np.angle, X)
    same(lambda x: np.angle(x, deg=True), X)


def test_where_and_out_are_refused_by_name() -> None:
    x = Tensor(X)
    for call, name in (
        (lambda: np.arctan(x, where=X > 0.0), r"np\.arctan with where="),
        (lambda: np.hypot(x, 1.0, out=np.zeros(X.shape)), r"np\.hypot with out="),
        (lambda: np.nan_to_num(x, copy=False), r"np\.nan_to_num"),
        (lambda: np.round(x, 1, out=np.zeros(X.shape)), r"np\.round with out="),
    ):
        with pytest.raises(TypeError, match=name):
            call()
