"""``x.at[index].set(v)`` and its like, compared with what NumPy writes into a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from as_numpy import check, numbered

import autodiff
from autodiff import Tensor
from autodiff.declare import NAMES
from autodiff.errors import IndexRangeError, ShapeError

X = numbered(4, 5)
INDICES = [
    0, -1, slice(1, 3), (slice(None), 2), (slice(None), slice(1, 4)), (1, 2), (slice(None), -1),
    (slice(0, 2), slice(3, None)), slice(None, None, 2), (slice(None), slice(None, None, -2)),
    ..., (), (None, 1), (2, None, slice(1, 3)), slice(2, 2), (slice(None), None, 0),
    [0, 2], [1, 1, 3], ([0, 1, 1], [2, 3, 3]), (slice(1, 3), [0, -1]), ([[0], [1]], [0, 2]),
    X > 0.5, (X > 0.5).any(1), (slice(None), np.array([True, False, True, False, False])), [],
    (2, [0, 1]), True, np.zeros((4, 5), bool),
]  # fmt: skip
WRITES = {
    "set": lambda x, i, v: x.__setitem__(i, v),
    "add": np.add.at,
    "subtract": np.subtract.at,
    "multiply": np.multiply.at,
    "divide": np.divide.at,
    "min": np.minimum.at,
    "max": np.maximum.at,
}


def written(how: str, x: np.ndarray, index: Any, values: Any) -> np.ndarray:
    """What NumPy makes of a copy of x."""
    z = x.copy()
    WRITES[how](z, index, values)
    return z


@pytest.mark.parametrize("number", range(len(INDICES)))
@pytest.mark.parametrize("how", WRITES)
def test_as_numpy_writes(how: str, number: int) -> None:
    index = INDICES[number]
    values = numbered(*X[index].shape) + 3.0

    def of_x(x: Any) -> Any:
        if isinstance(x, np.ndarray):
            return written(how, x, index, values)
        return getattr(x.at[index], how)(values)

    def of_values(v: Any) -> Any:
        if isinstance(v, np.ndarray):
            return written(how, X, index, v)
        return getattr(Tensor(X, constant=True).at[index], how)(v)

    tolerance = 1e-5 if how == "divide" else 1e-10
    exact = how not in ("add", "subtract")  # where an element is named twice, in another order
    check(of_x, X, tolerance=tolerance, exact=exact)
    check(of_values, values, tolerance=tolerance, exact=exact)


@pytest.mark.parametrize("number", [0, 4, 7, 8, 16, 17, 19, 21])
def test_values_that_broadcast(number: int) -> None:
    index = INDICES[number]
    shape = X[index].shape
    longer = [] if number == 21 else [numbered(1, *shape), numbered(1, 1, *shape)]
    for v in (np.array(2.5), np.asarray(numbered(*shape[-1:])), *longer):
        check(
            lambda v: (
                written("set", X, index, v)
                if isinstance(v, np.ndarray)
                else autodiff.index_update(X, index, v)
            ),
            v,
        )


def test_an_array_that_is_built_in_a_loop() -> None:
    v = Tensor([1.0, 2.0, 3.0])
    x: Any = np.zeros((3, 2))
    for t in range(3):
        x = autodiff.index_update(x, (t, 0), v[t] * v[t])
        x = x.at[t, 1].set(x[t, 0] * v[2])
    squares = v.value**2
    np.testing.assert_array_equal(x.value, np.stack([squares, squares * 3.0], 1))
    autodiff.backward(x.sum())
    np.testing.assert_allclose(v.gradient, [2 * 4, 4 * 4, 6 * 4 + 14.0])


def test_what_is_replaced_gets_no_gradient_and_no_nan() -> None:
    x = Tensor([1.0, np.inf, np.nan, 4.0])
    z = x.at[[1, 2]].set(0.0).at[:1].set(7.0)
    np.testing.assert_array_equal(z.value, [7.0, 0.0, 0.0, 4.0])
    z.sum().backward()
    np.testing.assert_array_equal(x.gradient, [0.0, 0.0, 0.0, 1.0])


def test_numbers_that_are_nodes(backend: Any) -> None:
    x, rows = numbered(4, 3), Tensor([0.0, 2.0, 0.0], constant=True)
    at = np.array([0, 2, 0])
    v = numbered(3, 3) + 9.0
    for how in ("set", "add", "subtract"):
        node, values = Tensor(x), Tensor(v)
        z = getattr(node.at[rows], how)(values)
        np.testing.assert_allclose(z.value, written(how, x, at, v), rtol=1e-15)
        z.backward(np.ones((4, 3)))
        lost = how == "set"
        np.testing.assert_array_equal(node.gradient[at], np.zeros((3, 3)) if lost else 1.0)
        first = -1.0 if how == "subtract" else float(not lost)
        np.testing.assert_array_equal(values.gradient[0], first)
    z = Tensor(x).at[rows].multiply(2.0)
    with pytest.raises(IndexRangeError, match=r"element 0.*more than once.*set and add"):
        z.forward()
    rows.assign([0.0, 2.0, -1.0])
    np.testing.assert_array_equal(z.forward(), written("multiply", x, [0, 2, -1], 2.0))
    rows.assign([0.0, 2.0, 4.0])
    with pytest.raises(IndexRangeError):
        z.forward()


def test_numbers_that_are_arguments_of_a_step() -> None:
    @autodiff.compile
    def step(x: Any, rows: Any, v: Any) -> Any:
        return x.at[rows].set(v), x.at[rows].max(v)

    x, v = numbered(4, 3), np.array([0.5, 1.5])[:, None]
    for rows in ([0, 3], [2, 1], [-1, 0]):
        for ours, how in zip(step(x, np.array(rows), v), ("set", "max"), strict=True):
            np.testing.assert_array_equal(ours, written(how, x, rows, v))
    with pytest.raises(IndexRangeError, match="more than once"):
        step(x, np.array([1, 1]), v)
    with pytest.raises(IndexRangeError):
        step(x, np.array([1, 4]), v)


def test_masks_that_are_nodes() -> None:
    x = np.array([1.0, -2.0, 3.0, -4.0])
    node = Tensor(x)
    z = node.at[node < 0.0].multiply(-0.1)
    np.testing.assert_array_equal(z.value, np.where(x < 0.0, x * -0.1, x))
    z.sum().backward()
    np.testing.assert_array_equal(node.gradient, [1.0, -0.1, 1.0, -0.1])
    none = node.at[node > 9.0].set(5.0)
    np.testing.assert_array_equal(none.value, x)
    node.assign([10.0, 1.0, 1.0, 1.0])
    with pytest.raises(ShapeError, match="chooses 1 elements"):
        none.forward()


def test_along_an_axis_and_on_the_diagonal() -> None:
    put, fill = autodiff.numpy.put_along_axis, autodiff.numpy.fill_diagonal
    indices = np.array([[0], [4], [-1], [2]])

    def along(x: Any) -> Any:
        if isinstance(x, np.ndarray):
            z = x.copy()
            np.put_along_axis(z, indices, [[9.0], [8.0], [7.0], [6.0]], 1)
            return z
        return put(x, indices, [[9.0], [8.0], [7.0], [6.0]], 1, inplace=False)

    check(along, X)
    for shape in ((3, 3), (4, 2), (2, 4), (7, 2), (2, 2, 2)):
        for value in (5.0, [1.0, 2.0]):
            for wrap in (False, True):

                def filled(x: Any, value: Any = value, wrap: bool = wrap) -> Any:
                    if isinstance(x, np.ndarray):
                        z = x.copy()
                        np.fill_diagonal(z, value, wrap)
                        return z
                    return fill(x, value, wrap=wrap, inplace=False)

                check(filled, numbered(*shape))
    check(
        lambda v: (
            np.diag(v) if isinstance(v, np.ndarray) else fill(np.zeros((3, 3)), v, inplace=False)
        ),
        numbered(3),
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: x.at[0].set(np.ones(3)),
            r"values has shape \(3,\), x\[index\] has shape \(5,\)",
        ),
        (lambda x: x.at[[0, 1]].add(np.ones((3, 5))), r"\(3, 5\), x\[index\] has shape \(2, 5\)"),
        (lambda x: x.at[9].set(0.0), "index 9 is out of range for axis 0"),
        (lambda x: x.at[9].add(0.0), "index 9 is out of range for axis 0"),
        (lambda x: x.at[[9]].max(0.0), "index 9 is out of range"),
        (lambda x: x.at[[True] * 3].set(0.0), r"mask of shape \(3,\) for what has shape \(4,\)"),
        (lambda x: autodiff.index_update(x, "a", 0.0), "'a'"),
        (lambda x: np.put_along_axis(x, [[0]], 1.0, 0), r"never changes; y = .*inplace=False"),
        (lambda x: np.fill_diagonal(x, 1.0), r"never changes; y = .*inplace=False"),
        (
            lambda x: NAMES["numpy.fill_diagonal"](np.ones((2, 2)), x[0, 0]),
            "elements that are nodes",
        ),
        (lambda x: NAMES["numpy.fill_diagonal"](x[0], 1.0, inplace=False), r"shape \(5,\)"),
    ],
)
def test_what_is_refused(call: Any, message: str) -> None:
    with pytest.raises((ShapeError, IndexRangeError), match=message):
        call(Tensor(X))
