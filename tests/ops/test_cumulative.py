"""Running sums and products, and products over axes: zeros among the factors, bits, limits."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from smooth import assert_alike, check

import autodiff
from autodiff import Tensor, ops
from autodiff.errors import ShapeError
from autodiff.op import OPS

ZEROS = [
    [0.0, 2.0, 3.0], [2.0, 0.0, -3.0], [2.0, 3.0, 0.0], [0.0, 0.0, 3.0], [0.0, 2.0, 0.0],
    [0.0, 0.0, 0.0], [2.0, -3.0, 0.5],
]  # fmt: skip


def drawn(*shape: int) -> np.ndarray:
    return np.asarray(np.random.default_rng(5).uniform(-2.0, 2.0, shape))


@pytest.mark.parametrize("name", ["numpy.cumsum", "numpy.cumprod"])
def test_along_every_axis(name: str) -> None:
    for x in (drawn(4), drawn(2, 3), drawn(2, 3, 4), drawn(2, 1, 3)):
        for axis in (None, *range(-x.ndim, x.ndim)):
            check(name, lambda f, x, axis=axis: f(x, axis=axis), [x])
    for shape, axis in (((), None), ((0,), 0), ((0, 3), 0), ((2, 0), 1), ((2, 0), None)):
        assert_alike(name, lambda f, x, axis=axis: f(x, axis), [drawn(*shape)])


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_numpys_bits(name: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(7, 61, 5))
    special = np.array([0.0, -0.0, 1.0, np.inf, 2.0, -np.inf, np.nan, 1.0])
    with np.errstate(invalid="ignore"):
        for a, axis in itertools.chain(((x, i) for i in range(3)), [(special, 0), (-x[0, 0], 0)]):
            ours = getattr(autodiff, name)(Tensor(a), axis).value
            assert ours.tobytes() == getattr(np, name)(a, axis=axis).tobytes()


@pytest.mark.parametrize("row", ZEROS)
def test_gradients_with_zeros_among_the_factors(row: list[float]) -> None:
    for x in (np.array(row), np.array([row, row[::-1]]), np.array([row, [1.0, 2.0, 3.0]]).T.copy()):
        for axis in (None, *range(x.ndim)):
            check("numpy.prod", lambda f, x, axis=axis: f(x, axis=axis), [x])
            check("numpy.cumprod", lambda f, x, axis=axis: f(x, axis=axis), [x])


def test_the_gradient_of_a_product_is_exact() -> None:
    x = np.array([2.0, 0.0, -3.0, 5.0])
    t = Tensor(x)
    (g,) = autodiff.gradients(autodiff.prod(t), [t])
    np.testing.assert_array_equal(g.value, [0.0, -30.0, 0.0, 0.0])
    hessian = [autodiff.gradients(g[i], [t])[0].value for i in range(4)]
    others = [
        [np.prod(np.delete(x, [i, j])) if i != j else 0.0 for j in range(4)] for i in range(4)
    ]
    np.testing.assert_array_equal(hessian, others)


@pytest.mark.parametrize("shape", [(), (4,), (3, 4), (2, 3, 4)])
def test_products_over_any_axes(shape: tuple[int, ...]) -> None:
    x = drawn(*shape)
    for n in range(len(shape) + 1):
        for axis in itertools.combinations(range(len(shape)), n):
            for keepdims in (False, True):
                check("numpy.prod", lambda f, x, a=axis, k=keepdims: f(x, axis=a, keepdims=k), [x])


@pytest.mark.parametrize(
    ("shape", "axis"), [((0,), None), ((0, 3), 0), ((3, 0), 0), ((2, 0, 3), (0, 1))]
)
def test_products_of_nothing_are_one(shape: tuple[int, ...], axis: Any) -> None:
    assert_alike("numpy.prod", lambda f, x: f(x, axis=axis), [np.zeros(shape)])
    x = Tensor(np.zeros(shape))
    (g,) = autodiff.gradients(autodiff.prod(x, axis).sum(), [x])
    assert g.shape == shape


@pytest.mark.parametrize("n", [1, 7, 8, 9, 127, 1000])
@pytest.mark.parametrize("columns", [1, 3, 200])
def test_long_products(n: int, columns: int, rng: np.random.Generator) -> None:
    x = rng.uniform(0.5, 2.0, (n, columns)) * rng.choice([-1.0, 1.0], (n, columns))
    for a, axis in ((x, 0), (x.T.copy(), 1)):
        ours = autodiff.prod(Tensor(a), axis).value
        expected = np.prod(a.astype(np.longdouble), axis=axis)
        np.testing.assert_allclose(ours, expected.astype(float), rtol=n * 2.0**-53)


def test_a_recurrence_and_its_derivatives() -> None:
    b, a = drawn(2, 5), drawn(5, 2).T.copy()
    recurrence = OPS["_recurrence"].bind(axis=1, reverse=False)
    z = np.zeros((2, 5))
    for i in range(5):
        z[:, i] = b[:, i] + (a[:, i] * z[:, i - 1] if i else 0.0)
    np.testing.assert_array_equal(recurrence.forward([b, a]), z)


def test_in_the_array_apis_names() -> None:
    for name in ("numpy.cumulative_sum", "numpy.cumulative_prod"):
        check(name, lambda f, x: f(x), [drawn(4)])
        for axis in (0, -1):
            check(name, lambda f, x, a=axis: f(x, axis=a, include_initial=True), [drawn(2, 3)])
    with pytest.raises(ShapeError, match="say along which axis"):
        np.cumulative_sum(Tensor(drawn(2, 3)))


def test_running_products_of_growing_length_keep_their_gradient() -> None:
    x = Tensor(np.full(400, 1.01))
    (g,) = autodiff.gradients(autodiff.cumprod(x).sum(), [x])
    powers = 1.01 ** np.arange(400)
    expected = [powers[i:].sum() for i in range(400)]
    np.testing.assert_allclose(g.value, expected, rtol=1e-12)


def test_what_is_refused() -> None:
    x = Tensor(drawn(2, 3))
    for call, message in (
        (lambda: ops.cumsum(x, 2), "no axis 2"), (lambda: ops.cumprod(x, 0.5), "not an integer"),
        (lambda: ops.prod(x, (0, 0)), "names an axis twice"),
    ):  # fmt: skip
        with pytest.raises(ShapeError, match=message):
            call()
    for function in (np.cumsum, np.cumprod, np.prod):
        for option in ({"dtype": np.float32}, {"out": np.zeros(6)}):
            with pytest.raises(TypeError, match=f"{next(iter(option))}="):
                function(x, **option)
    for option in ({"initial": 2.0}, {"where": np.ones((2, 3), bool)}):
        with pytest.raises(TypeError, match=f"{next(iter(option))}="):
            np.prod(x, **option)
