"""Sorted arrays, positions, quantiles; elements by number and by conditions: as NumPy has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from as_numpy import both, check, numbered

import autodiff
from autodiff import Tensor
from autodiff.declare import NAMES
from autodiff.errors import AutodiffError, IndexRangeError, RecordingError, ShapeError

M, V, C = numbered(3, 4), numbered(7), numbered(2, 3, 4)
E, S = np.zeros((0, 3)), np.array(2.5)
LONG = numbered(101)
METHODS = [
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf",
    "hazen", "weibull", "linear", "median_unbiased", "normal_unbiased", "lower", "higher",
    "midpoint", "nearest",
]  # fmt: skip
SHARES = [0.0, 0.1, 0.25, 1 / 3, 0.5, 0.75, 0.9, 1.0]

CASES: dict[str, list[tuple[Any, Any]]] = {
    "sort": [
        (V, lambda f, x: f(x)), (M, lambda f, x: f(x)), (M, lambda f, x: f(x, 0)),
        (C, lambda f, x: f(x, axis=1)), (C, lambda f, x: f(x, None)), (LONG, lambda f, x: f(x)),
        (E, lambda f, x: f(x)), (E, lambda f, x: f(x, 0)), (M, lambda f, x: f(x, -1, "stable")),
    ],
    "argsort": [
        (V, lambda f, x: f(x)), (C, lambda f, x: f(x, 0)), (C, lambda f, x: f(x, None)),
        (LONG, lambda f, x: f(x)),
    ],
    "partition": [(V[:3], lambda f, x: f(x, 1)), (M[:, :2], lambda f, x: f(x, 0, axis=1))],
    "argpartition": [(V[:2], lambda f, x: f(x, 1))],
    "argmax": [
        (V, lambda f, x: f(x)), (M, lambda f, x: f(x)), (C, lambda f, x: f(x, 1)),
        (M, lambda f, x: f(x, axis=-1, keepdims=True)), (M, lambda f, x: f(x, keepdims=True)),
    ],
    "argmin": [(V, lambda f, x: f(x)), (M, lambda f, x: f(x)), (C, lambda f, x: f(x, 0))],
    "searchsorted": [
        (V, lambda f, x: f([-1.0, 0.0, 0.125, 1.0], x)), (M, lambda f, x: f([0.5], x, "right")),
        (np.sort(V), lambda f, x: f(x, V, side="right")), (S, lambda f, x: f([1.0, 2.5, 3.0], x)),
        (V, lambda f, x: f(x, [0.3, 0.9], sorter=np.argsort(V))), (V, lambda f, x: f([], x)),
    ],
    "digitize": [
        (V, lambda f, x: f(x, [0.0, 0.5, 1.0])), (V, lambda f, x: f(x, [1.0, 0.5, 0.125], True)),
        (V, lambda f, x: f(x, V[:1])), (np.array([0.5, 1.0]), lambda f, x: f(x, [0.5, 1.0], True)),
        (np.array([0.5, 1.0]), lambda f, x: f(x, [1.0, 0.5])),
    ],
    "median": [
        (V, lambda f, x: f(x)), (M, lambda f, x: f(x)), (M, lambda f, x: f(x, 0)),
        (C, lambda f, x: f(x, (0, 2))), (C, lambda f, x: f(x, -1, keepdims=True)),
        (M, lambda f, x: f(x, None, keepdims=True)), (V[:1], lambda f, x: f(x)),
    ],
    "quantile": [
        *((V, lambda f, x, m=m: f(x, SHARES, method=m)) for m in METHODS),
        *((LONG[:10], lambda f, x, m=m: f(x, SHARES, method=m)) for m in METHODS),
        (M, lambda f, x: f(x, 0.3)), (M, lambda f, x: f(x, [0.3, 0.8], 0)),
        (C, lambda f, x: f(x, [[0.3], [0.8]], axis=(0, -1), keepdims=True)),
        (V[:1], lambda f, x: f(x, 0.5)), (V, lambda f, x: f(x, [])),
    ],
    "percentile": [
        (V, lambda f, x: f(x, 33.0)), (M, lambda f, x: f(x, [2.5, 50, 97.5], 1)),
        (M, lambda f, x: f(x, 10, axis=0, method="midpoint", keepdims=True)),
    ],
    "unique": [
        (V, lambda f, x: f(x)), (M % 0.75, lambda f, x: f(x)),
        (np.array([2.0, 1.0, 2.0, 3.0, 1.0, 2.0]), lambda f, x: f(x, True, True, True)),
        (E, lambda f, x: f(x)),
    ],
    "take": [
        (M, lambda f, x: f(x, [0, 5, -1])), (M, lambda f, x: f(x, [[0, 1], [2, 2]], 0)),
        (M, lambda f, x: f(x, 1, axis=1)), (C, lambda f, x: f(x, np.array([2, 0]), axis=-2)),
        (V, lambda f, x: f(x, [8, -9, 3], mode="wrap")),
        (V, lambda f, x: f(x, [8, -9], 0, None, "clip")),
        (M, lambda f, x: f(x, [], 0)),
    ],
    "take_along_axis": [
        (M, lambda f, x: f(x, np.argsort(M, 1), 1)),
        (M, lambda f, x: f(x, np.array([[0, -1, 1, 1]]), 0)),
        (C, lambda f, x: f(x, np.array([[[1, 0]]]), axis=-1)),
        (V, lambda f, x: f(x, np.array([0, 0]))),
        (M, lambda f, x: f(x, np.array([0, 5, -1]), None)),
        (E, lambda f, x: f(x, np.zeros((0, 2), int), 1)),
    ],
    "compress": [
        (M, lambda f, x: f([True, False, True], x, 0)), (M, lambda f, x: f([0, 1], x, axis=1)),
        (M, lambda f, x: f([True, False, True], x)), (M, lambda f, x: f(np.zeros(3), x, 0)),
    ],
    "extract": [
        (M, lambda f, x: f(M > 1.0, x)), (M, lambda f, x: f([1, 0, 1], x)),
    ],
    "choose": [
        (M, lambda f, x: f(np.array([[0, 1, 2, 1]]), [x, x * 2.0, 7.0])),
        (V, lambda f, x: f([1, 0, 1, 1, 0, 0, 1], [x, np.zeros(7)])),
        (V, lambda f, x: f(np.arange(7), [x, -x], mode="wrap")),
        (M, lambda f, x: f([0, 2, 1, 0], x)),
    ],
    "select": [
        (V, lambda f, x: f([x > 1.0, x < 0.0], [x * 2.0, -x])),
        (V, lambda f, x: f([V > 1.0, V < 0.5], [x, 3.0], default=x * 5.0)),
        (M, lambda f, x: f([M > 1.0, [True, False, True, False]], [x, x**2.0], 9.0)),
    ],
    "piecewise": [
        (V, lambda f, x: f(x, [x > 1.0, x < 0.0], [lambda v: v * v, 3.0])),
        (V, lambda f, x: f(x, [V > 1.0], [lambda v: v * 2.0, lambda v: -v])),
        (M, lambda f, x: f(x, [x < 1.0, x < 0.0],
                           [lambda v, k: v * k, lambda v, k: v + k, 0.5], 3.0)),
        (S, lambda f, x: f(x, x > 1.0, [lambda v: v * v])),
        (V, lambda f, x: f(x, [x > 99.0], [lambda v: 1 / 0, lambda v: v * 3.0])),
    ],
}  # fmt: skip

TABLE = [
    pytest.param(name, x, call, id=f"{name}-{i}")
    for name, cases in CASES.items()
    for i, (x, call) in enumerate(cases)
]
COUNTS = {"unique", "piecewise"}  # which look at numbers, so that no recording can have them
WITHOUT_GRADIENT = {"argsort", "argpartition", "argmax", "argmin", "searchsorted", "digitize"}


@pytest.mark.parametrize(("name", "x", "call"), TABLE)
def test_as_numpy_has_it(name: str, x: np.ndarray, call: Any) -> None:
    check(
        lambda x: call(both(f"numpy.{name}"), x),
        x,
        compiles=name not in COUNTS,
        gradients=name != "unique",
    )


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_what_depends_on_numbers_is_refused_while_recording(name: str) -> None:
    x, call = CASES[name][0]
    tensor = Tensor(x)
    with pytest.raises(RecordingError, match="where"):
        autodiff.compile(lambda: call(NAMES[f"numpy.{name}"], tensor))()


ODD = np.array([[3.0, np.nan, -np.inf, 3.0, 0.0], [np.inf, 3.0, 3.0, -0.0, 0.0]])


@pytest.mark.parametrize("name", ["sort", "argsort", "argmax", "argmin"])
def test_ties_infinities_and_nan(name: str, backend: Any) -> None:
    numpys = getattr(np, name)
    named = {"kind": "stable"} if "sort" in name else {}
    long = np.round(np.random.default_rng(0).normal(size=(3, 200)), 1)
    long[1, 5] = np.nan
    for x in (ODD, long, long[:, :33], np.zeros((2, 50))):
        for axis in (0, 1, None):
            expected = numpys(x, axis=axis, **named)
            node = numpys(Tensor(x), axis=axis)
            np.testing.assert_array_equal(node.value, expected)
            np.testing.assert_array_equal(np.signbit(node.value), np.signbit(expected))
            tensor = Tensor(x)
            compiled = autodiff.compile(lambda t=tensor, a=axis: numpys(t, axis=a))()
            np.testing.assert_array_equal(compiled, expected)
            assert (np.signbit(compiled) == np.signbit(expected)).all()


def test_searches_for_nan_and_ties() -> None:
    a, v = np.array([-np.inf, 0.0, 1.0, 1.0, np.nan]), np.array([np.nan, 1.0, np.inf, -np.inf, 0.5])
    for side in ("left", "right"):
        expected = np.searchsorted(a, v, side)
        tensor = Tensor(v)
        np.testing.assert_array_equal(np.searchsorted(a, tensor, side).value, expected)
        step = autodiff.compile(lambda t=tensor, s=side: np.searchsorted(a, t, s))
        np.testing.assert_array_equal(step(), expected)


def test_quantiles_of_what_is_not_a_number() -> None:
    for x in (ODD, np.array([[np.inf, -np.inf, 1.0]]), np.array([[1.0, np.inf]])):
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(np.median(Tensor(x), 1).value, np.median(x, 1))
            ours = np.quantile(Tensor(x), [0.2, 0.5, 1.0], axis=1)
            np.testing.assert_array_equal(ours.value, np.quantile(x, [0.2, 0.5, 1.0], axis=1))


def test_unique_of_nan_and_what_has_no_gradient() -> None:
    x = np.array([np.nan, 1.0, np.nan, 1.0, -0.0])
    for equal_nan in (True, False):
        expected = np.unique(x, True, True, True, equal_nan=equal_nan)
        found = np.unique(Tensor(x), True, True, True, equal_nan=equal_nan)
        for ours, theirs in zip(found[:2] + found[3:], expected[:2] + expected[3:], strict=True):
            np.testing.assert_array_equal(ours.value, theirs)
    np.testing.assert_array_equal(found[0].value[found[2].value.astype(int)], x[[0, 1, 0, 1, 4]])
    tensor = Tensor(V)
    for name in WITHOUT_GRADIENT:
        call = CASES[name][0][1]
        assert not (call(NAMES[f"numpy.{name}"], tensor) * 1.0).needs_gradient


def test_the_gradient_of_sorting_goes_where_the_elements_came_from() -> None:
    x = Tensor([3.0, 1.0, 2.0, 1.0])
    np.sort(x).backward([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(x.gradient, [4.0, 1.0, 3.0, 2.0])  # ties in order
    x = Tensor([3.0, 1.0, 2.0])
    y = (np.sort(x) ** 3.0 * np.arange(1.0, 4.0)).sum()
    (first,) = autodiff.gradients(y, [x])
    (second,) = autodiff.gradients(first.sum(), [x])
    np.testing.assert_allclose(second.value, [3 * 6 * 3.0, 6 * 1.0, 2 * 6 * 2.0])


def test_positions_that_change_between_calls() -> None:
    @autodiff.compile
    def step(x: Any) -> Any:
        return np.sort(x), np.median(x), np.take_along_axis(x, np.argsort(-x), 0)

    for x in (np.array([3.0, 1.0, 2.0]), np.array([1.0, 5.0, 4.0])):
        ordered, middle, falling = step(x)
        np.testing.assert_array_equal(ordered, np.sort(x))
        assert middle == np.median(x)
        np.testing.assert_array_equal(falling, np.sort(x)[::-1])


@pytest.mark.parametrize(
    ("name", "call", "kind", "message"),
    [
        ("sort", lambda f, x: f(x, 2), ShapeError, "no axis 2"),
        ("sort", lambda f, x: f(x, order="f"), ShapeError, "order must be None"),
        ("argmax", lambda f, x: f(x[:, :0], 1), ShapeError, r"argmax: nothing.*\(3, 0\)"),
        ("median", lambda f, x: f(x[:0]), ShapeError, r"median: nothing to reduce.*\(0, 4\)"),
        ("quantile", lambda f, x: f(x, 1.5), ShapeError, r"q must be between 0 and 1, not 1\.5"),
        ("percentile", lambda f, x: f(x, 101), ShapeError, "between 0 and 100"),
        ("quantile", lambda f, x: f(x, x), AutodiffError, "q must be known"),
        ("quantile", lambda f, x: f(x, 0.5, method="best"), ShapeError, "'best' is none of"),
        ("searchsorted", lambda f, x: f(x, 1.0), ShapeError, r"a has shape \(3, 4\)"),
        ("searchsorted", lambda f, x: f(x[0], 1.0, "middle"), ShapeError, "side must be"),
        ("digitize", lambda f, x: f(x, [1.0, 3.0, 2.0]), ShapeError, "rise or fall"),
        ("digitize", lambda f, x: f(1.0, x[0]), AutodiffError, "bins must be known"),
        ("take", lambda f, x: f(x, [4], 1), IndexRangeError, "row 4 is no row|no row"),
        ("take", lambda f, x: f(x, [0.5]), IndexRangeError, r"indices must be integers.*0\.5"),
        ("take", lambda f, x: f(x, [0], mode="near"), ShapeError, "mode must be"),
        ("take_along_axis", lambda f, x: f(x, np.array([0])), ShapeError, r"\(3, 4\).*\(1,\)"),
        ("take_along_axis", lambda f, x: f(x, np.zeros((2, 1), int), 1), IndexRangeError,
         "do not broadcast"),
        ("compress", lambda f, x: f([0, 0, 0, 1], x, 0), IndexRangeError, "true beyond axis 0"),
        ("choose", lambda f, x: f([0, 1], [x, x]), ShapeError, r"do not broadcast: .*\(2,\)"),
        ("select", lambda f, x: f([x], [x]), ShapeError, r"condlist\[0\] is not of True"),
        ("select", lambda f, x: f([], []), ShapeError, "0 conditions for 0 choices"),
        ("piecewise", lambda f, x: f(x, [x > 0], [1.0, 2.0, 3.0]), ShapeError, "1 or 2 functions"),
    ],
)  # fmt: skip
def test_what_is_refused(name: str, call: Any, kind: Any, message: str) -> None:
    x = Tensor(M)
    with pytest.raises(kind, match=message):
        call(NAMES[f"numpy.{name}"], x).forward()
