"""Joins, cuts and reorderings under NumPy's names: a table of calls, each compared with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from as_numpy import both, check, numbered

import autodiff
from autodiff import Tensor
from autodiff.declare import NAMES
from autodiff.errors import AutodiffError

M, V, C = numbered(2, 3), numbered(3), numbered(2, 3, 4)
Y = numbered(2, 3) + 100.0
E, S = np.zeros((0, 3)), np.array(2.5)

CASES: dict[str, list[tuple[Any, Any]]] = {
    "atleast_1d": [(S, lambda f, x: f(x)), (V, lambda f, x: f(x)), (S, lambda f, x: f(x, M, 1.0))],
    "atleast_2d": [(S, lambda f, x: f(x)), (V, lambda f, x: f(x, 2.0)), (C, lambda f, x: f(x))],
    "atleast_3d": [(S, lambda f, x: f(x)), (V, lambda f, x: f(x)), (M, lambda f, x: f(x, C))],
    "hstack": [
        (S, lambda f, x: f([x, 1.0, x])), (V, lambda f, x: f((x, [7.0], x))),
        (M, lambda f, x: f([x, Y])), (C, lambda f, x: f([x, x])), (M, lambda f, x: f(x)),
        (E, lambda f, x: f([x, x])),
    ],
    "vstack": [
        (S, lambda f, x: f([x, 1.0])), (V, lambda f, x: f((x, M))), (M, lambda f, x: f([Y, x, V])),
        (C, lambda f, x: f([x, x])), (E, lambda f, x: f([x, M])), (M, lambda f, x: f(x)),
    ],
    "dstack": [
        (S, lambda f, x: f([x, 1.0])), (V, lambda f, x: f((x, V))), (M, lambda f, x: f([x, Y, x])),
        (C, lambda f, x: f([x, x[:, :, :1]])),
    ],
    "column_stack": [
        (V, lambda f, x: f((x, V, numbered(3, 2)))), (M, lambda f, x: f([x, Y])),
        (S, lambda f, x: f([x, [1.0]])), (M, lambda f, x: f(x)),
    ],
    "append": [
        (V, lambda f, x: f(x, 1.0)), (V, lambda f, x: f([1.0, 2.0], x)), (M, lambda f, x: f(x, Y)),
        (M, lambda f, x: f(x, Y, 0)), (M, lambda f, x: f(x, x[:, :1], axis=-1)),
        (S, lambda f, x: f(x, x)),
    ],
    "block": [
        (M, lambda f, x: f([[x, Y], [np.ones((1, 6))]])), (V, lambda f, x: f([x, 1.0, x])),
        (S, lambda f, x: f(x)), (V, lambda f, x: f([[x], [x]])), (S, lambda f, x: f([[1.0, x]])),
        (M, lambda f, x: f([[[x]], [[Y]]])),
    ],
    "tile": [
        (S, lambda f, x: f(x, 3)), (V, lambda f, x: f(x, 2)), (V, lambda f, x: f(x, (2, 3))),
        (M, lambda f, x: f(x, 2)), (M, lambda f, x: f(x, (2, 1, 3))),
        (M, lambda f, x: f(x, (0, 2))), (M, lambda f, x: f(x, ())),
        (C, lambda f, x: f(x, [1, 2])), (E, lambda f, x: f(x, (2, 2))),
        (M, lambda f, x: f(x, np.array([2, 1]))),
    ],
    "repeat": [
        (S, lambda f, x: f(x, 3)), (M, lambda f, x: f(x, 2)), (M, lambda f, x: f(x, 2, 0)),
        (M, lambda f, x: f(x, [1, 0, 3], axis=-1)), (M, lambda f, x: f(x, np.array([2, 1]), 0)),
        (C, lambda f, x: f(x, 3, 1)), (M, lambda f, x: f(x, 0, 1)), (M, lambda f, x: f(x, [2], 1)),
        (M, lambda f, x: f(x, [1, 2, 0, 1, 0, 3])), (E, lambda f, x: f(x, 2, 0)),
    ],
    "resize": [
        (M, lambda f, x: f(x, (4, 4))), (M, lambda f, x: f(x, 4)), (M, lambda f, x: f(x, (0, 3))),
        (S, lambda f, x: f(x, (2, 2))), (E, lambda f, x: f(x, (2, 2))), (M, lambda f, x: f(x, ())),
    ],
    "broadcast_arrays": [
        (V, lambda f, x: f(x, numbered(2, 1), 3.0)), (M, lambda f, x: f(x)),
        (S, lambda f, x: f(V, x)),
    ],
    "meshgrid": [
        (V, lambda f, x: f(x, numbered(2))), (V, lambda f, x: f([1.0, 2.0], x, indexing="ij")),
        (V, lambda f, x: f(x, x, numbered(2))), (V, lambda f, x: f(x, [0.5], sparse=True)),
        (V, lambda f, x: f(x)), (S, lambda f, x: f(x, V)),
    ],
    "moveaxis": [
        (C, lambda f, x: f(x, 0, -1)), (C, lambda f, x: f(x, [0, 1], [-1, 0])),
        (C, lambda f, x: f(x, (0, 2), (1, 0))), (M, lambda f, x: f(x, 0, 0)),
    ],
    "rollaxis": [
        (C, lambda f, x, a=a, s=s: f(x, a, s))
        for a in (0, 1, 2, -1) for s in (0, 1, 2, 3, -1, -3)
    ],
    "matrix_transpose": [(M, lambda f, x: f(x)), (C, lambda f, x: f(x))],
    "flip": [
        (M, lambda f, x: f(x)), (M, lambda f, x: f(x, 0)), (C, lambda f, x: f(x, (0, -1))),
        (S, lambda f, x: f(x)), (E, lambda f, x: f(x, 0)), (M, lambda f, x: f(x, ())),
    ],
    "fliplr": [(M, lambda f, x: f(x)), (C, lambda f, x: f(x))],
    "flipud": [(V, lambda f, x: f(x)), (M, lambda f, x: f(x))],
    "rot90": [
        *((M, lambda f, x, k=k: f(x, k)) for k in (0, 1, 2, 3, 4, -1, -7)),
        (C, lambda f, x: f(x, axes=(1, 2))), (C, lambda f, x: f(x, 3, (2, 0))),
        (C, lambda f, x: f(x, 1, axes=[-1, 0])),
    ],
    "roll": [
        (V, lambda f, x: f(x, 1)), (V, lambda f, x: f(x, -4)), (M, lambda f, x: f(x, 2)),
        (M, lambda f, x: f(x, 1, 0)), (M, lambda f, x: f(x, (1, -1), (0, 1))),
        (M, lambda f, x: f(x, 1, axis=(0, -1))), (M, lambda f, x: f(x, (1, 1), axis=1)),
        (E, lambda f, x: f(x, 1, 0)), (S, lambda f, x: f(x, 1)), (V, lambda f, x: f(x, 10**20)),
    ],
    "array_split": [
        (numbered(7), lambda f, x: f(x, 3)), (M, lambda f, x: f(x, 2, 1)),
        (M, lambda f, x: f(x, [1, 5], axis=-1)), (V, lambda f, x: f(x, 5)),
        (V, lambda f, x: f(x, [2, 1])), (V, lambda f, x: f(x, [-1])), (E, lambda f, x: f(x, 2)),
    ],
    "hsplit": [(M, lambda f, x: f(x, 3)), (V, lambda f, x: f(x, [1])), (C, lambda f, x: f(x, 3))],
    "vsplit": [(M, lambda f, x: f(x, 2)), (M, lambda f, x: f(x, [1]))],
    "dsplit": [(C, lambda f, x: f(x, 2)), (C, lambda f, x: f(x, [1, 2]))],
    "unstack": [(M, lambda f, x: f(x)), (C, lambda f, x: f(x, axis=-1)), (E, lambda f, x: f(x))],
    "delete": [
        (V, lambda f, x: f(x, 1)), (M, lambda f, x: f(x, 1)), (M, lambda f, x: f(x, 0, 0)),
        (M, lambda f, x: f(x, [0, -1], axis=1)), (M, lambda f, x: f(x, slice(1, None), 1)),
        (M, lambda f, x: f(x, [True, False, True], -1)), (M, lambda f, x: f(x, [], 0)),
        (V, lambda f, x: f(x, slice(None, None, 2))), (V, lambda f, x: f(x, [0, 1, 2])),
    ],
    "insert": [
        (V, lambda f, x: f(x, 1, 5.0)), (V, lambda f, x: f(x, 3, [5.0, 6.0])),
        (V, lambda f, x: f(x, [0, 2], [5.0, 6.0])), (V, lambda f, x: f(x, [1, 1], 5.0)),
        (M, lambda f, x: f(x, 1, 5.0)), (M, lambda f, x: f(x, 1, V, 0)),
        (M, lambda f, x: f(x, 1, [8.0, 9.0], axis=1)),
        (M, lambda f, x: f(x, [1], [[8.0], [9.0]], 1)),
        (M, lambda f, x: f(x, [0, 3], x[:, :2], 1)), (M, lambda f, x: f(x, slice(1, 3), 7.0, 1)),
        (M, lambda f, x: f(x, -1, x[0, 0], 0)), (V, lambda f, x: f([1.0, 2.0], 1, x)),
        (V, lambda f, x: f(x, np.array([True, False, True]), [8.0, 9.0])),
        (V, lambda f, x: f(x, [], [])),
        (V, lambda f, x: f(x, [1], [8.0, 9.0])), (S, lambda f, x: f(V, 0, x)),
    ],
    "ediff1d": [
        (V, lambda f, x: f(x)), (M, lambda f, x: f(x, to_end=[1.0, 2.0], to_begin=9.0)),
        (V, lambda f, x: f(V, x, x[:1])), (V[:1], lambda f, x: f(x)),
    ],
    "diag": [
        *((V, lambda f, x, k=k: f(x, k)) for k in (0, 1, -2)), (V[:0], lambda f, x: f(x, 2)),
        *((M, lambda f, x, k=k: f(x, k)) for k in (-3, -1, 0, 1, 2, 3)), (V[:0], lambda f, x: f(x)),
        *((M.T.copy(), lambda f, x, k=k: f(x, k)) for k in (-2, 0, 1)), (E, lambda f, x: f(x)),
    ],
    "diagflat": [(M, lambda f, x: f(x)), (V, lambda f, x: f(x, -1)), (S, lambda f, x: f(x, 1))],
    "diagonal": [
        (M, lambda f, x: f(x)), (C, lambda f, x: f(x, 1, 1, 2)), (C, lambda f, x: f(x, -1, 0, 2)),
        (C, lambda f, x: f(x, axis1=-1, axis2=0)), (C, lambda f, x: f(x, offset=9)),
    ],
    "triu": [
        *((M, lambda f, x, k=k: f(x, k)) for k in (-2, -1, 0, 1, 5)), (C, lambda f, x: f(x)),
        (V, lambda f, x: f(x)), (E, lambda f, x: f(x)), (np.array([[1.0, -np.inf], [np.nan, -0.0]]),
         lambda f, x: f(x, 1)),
    ],
    "tril": [*((M, lambda f, x, k=k: f(x, k)) for k in (-2, -1, 0, 1, 5)), (C, lambda f, x: f(x))],
}  # fmt: skip

TABLE = [
    pytest.param(name, x, call, id=f"{name}-{i}")
    for name, cases in CASES.items()
    for i, (x, call) in enumerate(cases)
]


@pytest.mark.parametrize(("name", "x", "call"), TABLE)
def test_as_numpy_has_it(name: str, x: np.ndarray, call: Any) -> None:
    function = both(f"numpy.{name}")
    if not np.isfinite(x).all():
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(call(function, Tensor(x)).value, call(function, x))
        return
    check(lambda x: call(function, x), x)


@pytest.mark.parametrize("name", CASES)
def test_of_arrays_that_lie_otherwise(name: str) -> None:
    """Strided and read-only arrays, and lists, beside a node."""
    for x, call in CASES[name][:3]:
        strided = np.repeat(x[..., None], 2, -1)[..., 0]
        strided.flags.writeable = False
        function = both(f"numpy.{name}")
        expected, found = call(function, x), call(function, Tensor(strided))
        pairs = (
            zip(found, expected, strict=True)
            if type(found) in (list, tuple)
            else [(found, expected)]
        )
        for ours, theirs in pairs:
            np.testing.assert_array_equal(getattr(ours, "value", ours), theirs)


@pytest.mark.parametrize(
    ("name", "call", "message"),
    [
        ("hstack", lambda f, x: f([x, np.ones((3, 1))]), r"concat: along axis 1.*\(3, 1\)"),
        ("vstack", lambda f, x: f([x, np.ones(2)]), r"concat: along axis 0.*\(1, 2\)"),
        ("column_stack", lambda f, x: f([x, np.ones(5)]), r"\(5, 1\)"),
        ("append", lambda f, x: f(x, [1.0], 0), r"concat.*\(1,\)"),
        ("append", lambda f, x: f(x, [1.0], 2), "axis 2"),
        ("block", lambda f, x: f([[x], x]), "block: lists of different depths"),
        ("block", lambda f, x: f([[], [x]]), "block: lists of different depths"),
        ("tile", lambda f, x: f(x, -1), "tile: .*negative"),
        ("tile", lambda f, x: f(x, 1.5), r"tile: .*1\.5"),
        ("repeat", lambda f, x: f(x, [1, 2], 1), r"repeat: 2 numbers for 3 elements.*\(2, 3\)"),
        ("repeat", lambda f, x: f(x, x), "repeat: "),
        ("repeat", lambda f, x: f(x, -1), "repeat: .*negative"),
        ("moveaxis", lambda f, x: f(x, [0, 1], [0]), "2 axes cannot be moved to 1 places"),
        ("moveaxis", lambda f, x: f(x, [0, 0], [0, 1]), r"source \[0, 0\] names an axis twice"),
        ("moveaxis", lambda f, x: f(x, 2, 0), "no axis 2"),
        ("rollaxis", lambda f, x: f(x, 0, 4), "no axis 4"),
        ("flip", lambda f, x: f(x, 2), "no axis 2"),
        ("rot90", lambda f, x: f(x, 0.5), r"k must be an integer.*0\.5"),
        ("rot90", lambda f, x: f(x, 1, (0, 0)), "rot90: .*two of m's"),
        ("roll", lambda f, x: f(x, 0.5, 0), r"roll: shift 0\.5 is not an integer"),
        ("roll", lambda f, x: f(x, x[0, 0]), "roll: shift .* is not an integer"),
        ("hsplit", lambda f, x: f(x, 2), r"hsplit: ary has shape \(2, 3\).*2 equal parts"),
        ("array_split", lambda f, x: f(x, 0), "array_split: there are no 0 parts"),
        ("vsplit", lambda f, x: f(x[0], 1), r"vsplit: m has shape \(3,\), it needs 2 axes"),
        ("delete", lambda f, x: f(x, 6), "delete: .*6"),
        ("delete", lambda f, x: f(x, x[0, 0]), "delete: obj decides about the shape"),
        ("insert", lambda f, x: f(x, 9, 0.0), "insert: .*9"),
        ("insert", lambda f, x: f(x, [0, 1], [1.0, 2.0, 3.0]), "broadcast_to"),
        ("diag", lambda f, x: f(x, 0.5), r"diag: the offset 0\.5"),
        ("diag", lambda f, x: f(x[None]), r"diag: v has shape \(1, 2, 3\)"),
        ("diagonal", lambda f, x: f(x, 0, 1, -1), "axis1 and axis2 are both axis 1"),
        ("diagonal", lambda f, x: f(x[0]), r"diagonal: a has shape \(3,\)"),
        ("triu", lambda f, x: f(x[0, 0]), r"triu: m has shape \(\)"),
        ("broadcast_arrays", lambda f, x: f(x, np.ones(2)), r"do not broadcast: \(2, 3\), \(2,\)"),
        ("meshgrid", lambda f, x: f(x[0], x[1], indexing="yx"), "indexing must be 'xy' or 'ij'"),
    ],
)  # fmt: skip
def test_what_is_refused(name: str, call: Any, message: str) -> None:
    function = NAMES[f"numpy.{name}"]
    with pytest.raises(AutodiffError, match=message) as caught:
        call(function, Tensor(M))
    assert "test_arrange.py" in str(caught.value)


def test_second_derivatives() -> None:
    x = Tensor(V)
    y = (np.tile(x, 2) * np.repeat(x, 2) ** 2.0).sum() + (np.diag(x) ** 3.0).sum()
    (first,) = autodiff.gradients(y, [x])
    (second,) = autodiff.gradients(first.sum(), [x])
    ones = np.ones(3)

    def gradient(v: np.ndarray) -> np.ndarray:
        g = np.zeros(3)
        for i, j in zip(np.tile(np.arange(3), 2), np.repeat(np.arange(3), 2), strict=True):
            g[i] += v[j] ** 2
            g[j] += 2 * v[i] * v[j]
        return g + 3 * v**2

    np.testing.assert_allclose(first.value, gradient(V), rtol=1e-13)
    step = 2.0**-20
    numeric = (gradient(V + step * ones) - gradient(V - step * ones)) / (2 * step)
    np.testing.assert_allclose(second.value, numeric, rtol=1e-8)
