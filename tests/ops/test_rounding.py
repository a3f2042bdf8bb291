"""Rounding and remainders: NumPy's bits, Python's operators, gradients of remainders."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor
from autodiff.errors import DTypeError

EDGES = np.array(
    [0, 0.1, 0.3, 0.5, 1, 1.5, 2.5, 3, 7, 1e15, 4503599627370497.5, 1e16, 1e300, 5e-324, np.inf]
)
EDGES = np.concatenate([EDGES, -EDGES, [np.nan]])


def same_bits(z: Any, expected: Any) -> None:
    np.testing.assert_array_equal(z, expected)
    there = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(z[there]), np.signbit(expected[there]))


@pytest.mark.parametrize("function", [np.floor, np.ceil, np.trunc, np.fix, np.rint, np.round])
def test_rounding_has_numpys_bits_and_no_gradient(function: Any, backend: Any) -> None:
    node = Tensor(EDGES)
    made = function(node)
    same_bits(made.value, function(EDGES))
    same_bits(autodiff.compile(lambda a: function(a))(EDGES), function(EDGES))
    assert not made.needs_gradient


def test_rounding_to_decimals(backend: Any) -> None:
    x = np.array([1.25, -1.35, 12345.678, 0.05, 1e20, -0.004])
    for decimals in (0, 1, 2, -1, -3, np.int64(1)):
        np.testing.assert_array_equal(np.round(Tensor(x), decimals).value, np.round(x, decimals))
        np.testing.assert_array_equal(np.around(Tensor(x), decimals).value, np.round(x, decimals))
    np.testing.assert_array_equal(round(Tensor(x), 2).value, np.round(x, 2))
    np.testing.assert_array_equal(round(Tensor(x)).value, np.rint(x))
    with pytest.raises(DTypeError, match=r"round: decimals 0\.5 is not an integer"):
        np.round(Tensor(x), 0.5)


@pytest.mark.parametrize(
    "function", [np.remainder, np.fmod, np.floor_divide], ids=lambda f: f.__name__
)
def test_remainders_have_numpys_bits(function: Any, backend: Any, rng: np.random.Generator) -> None:
    grid = [np.ravel(a) for a in np.meshgrid(EDGES, EDGES)]
    drawn = [np.ldexp(rng.uniform(-1, 1, 2000), rng.integers(-60, 60, 2000)) for _ in range(2)]
    for x, y in (grid, drawn):
        with np.errstate(all="ignore"):
            expected = function(x, y)
        same_bits(function(Tensor(x), Tensor(y)).value, expected)
        same_bits(autodiff.compile(lambda a, b: function(a, b))(x, y), expected)


@pytest.mark.parametrize("name", ["mod", "floordiv", "divmod"])
def test_operators_are_pythons(name: str, backend: Any) -> None:
    apply = divmod if name == "divmod" else getattr(operator, name)
    for x, y in ((7.5, 2.0), (-7.5, 2.0), (7.5, -2.0), (1.0, 0.1), (-0.0, 3.0)):
        expected = np.asarray(apply(x, y))
        for made in (apply(Tensor(x), Tensor(y)), apply(Tensor(x), y), apply(x, Tensor(y))):
            found = [z.value for z in made] if name == "divmod" else made.value
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))
    array = np.array([5.0, -5.0])
    left, right = apply(Tensor(array), array[::-1].copy()), apply(array, Tensor(array[::-1].copy()))
    if name != "divmod":
        np.testing.assert_array_equal(left.value, right.value)


@pytest.mark.parametrize(
    ("function", "whole"),
    [(np.remainder, np.floor_divide), (np.fmod, lambda x, y: math.trunc(x / y))],
    ids=["remainder", "fmod"],
)
def test_gradients_of_remainders(function: Any, whole: Any, backend: Any) -> None:
    for x, y in ((7.5, 2.0), (-7.5, 2.0), (7.5, -2.0), (-7.5, -2.0), (0.3, 7.0)):
        a, b = Tensor(x), Tensor(y)
        function(a, b).backward()
        assert (float(a.gradient), float(b.gradient)) == (1.0, -whole(x, y))


def test_the_quotient_of_fmod_is_the_one_that_it_took(backend: Any) -> None:
    """1 / 0.1 rounds to 10, yet 0.1 goes into 1 nine times, and a bit less than 0.1 is left."""
    a, b = Tensor(1.0), Tensor(0.1)
    z = np.fmod(a, b)
    z.backward()
    assert z.item() == math.fmod(1.0, 0.1)
    assert float(b.gradient) == -9.0


def test_fractions_keep_the_gradient(backend: Any) -> None:
    x = Tensor([2.5, -1.25])
    fraction, whole = np.modf(x)
    np.testing.assert_array_equal(fraction.value, [0.5, -0.25])
    np.testing.assert_array_equal(whole.value, [2.0, -1.0])
    fraction.sum().backward()
    np.testing.assert_array_equal(x.gradient, [1.0, 1.0])
    assert not whole.needs_gradient
