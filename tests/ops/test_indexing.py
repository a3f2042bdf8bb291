"""Indices with masks, lists and arrays of integers: as NumPy has them, eagerly and compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import autodiff
from autodiff import Tensor
from autodiff.errors import IndexRangeError, RecordingError, ShapeError
from autodiff.ops.masks import flatnonzero

RNG = np.random.default_rng(5)


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    """An array of which every element is another."""
    return np.arange(1.0, 1.0 + np.prod(shape, dtype=int)).reshape(shape)


def check(x: np.ndarray, index: Any) -> None:
    """Value and gradient of x[index], eagerly and compiled."""
    expected = x[index]
    g = RNG.normal(size=expected.shape)
    gradient = np.zeros(x.shape)
    np.add.at(gradient, index, g)
    node = Tensor(x)
    picked = node[index]
    assert picked.shape == expected.shape
    np.testing.assert_array_equal(picked.value, expected)
    picked.backward(g)
    np.testing.assert_allclose(node.gradient, gradient, rtol=1e-14, atol=1e-14)
    np.testing.assert_array_equal(autodiff.getitem(x, index), expected)
    tensor = Tensor(x)

    @autodiff.compile
    def step(g: Any) -> Any:
        picked = tensor[index]
        picked.backward(g)
        return picked, tensor.gradient

    for _ in range(2):
        value, found = step(g)
        np.testing.assert_array_equal(value, expected)
        np.testing.assert_allclose(found, gradient, rtol=1e-14, atol=1e-14)
        tensor.reset()


X = numbered((2, 3, 4, 5))
MASK = np.arange(6).reshape(2, 3) % 2 == 0
ROWS, COLS = np.array([0, 1, 1, -1]), np.array([3, 0, -4, 2])

INDICES = [
    [0, 1, 1], [-1], [], [[0, 1], [1, 1]], np.array([1, 0], np.uint8), np.zeros((0, 3), int),
    MASK, MASK.any(1), np.ones(2, bool), np.zeros(2, bool), [True, False],
    np.ones(X.shape, bool), X > 50.0,
    (ROWS, [0, 2, 1, 1]), (ROWS[:, None], [0, 2]), (ROWS, slice(None), COLS),
    (slice(None), [0, 2, 1, 1], COLS), (slice(None), [0, 2], slice(1, 3), [4, 0]),
    (0, [0, 2]), (0, slice(None), [0, 2]), ([0, 1], 0), ([0, 1], slice(None), 1),
    (slice(None), 0, [1, 2]), (slice(None), 0, slice(None), [1, 2]), (..., [1, 2]),
    (..., [1, 2], 0), (None, [0, 1]), ([0, 1], None), ([0, 1], None, [0, 2]),
    (slice(None), None, [0, 2], [1, 3]), (MASK, [0, 1, 3]), (MASK, slice(1, 3)),
    (slice(None), MASK[0]), (MASK.any(1), slice(None), [1, 2]),
    (slice(None), np.ones((3, 4), bool)), (MASK, None, slice(None), 3),
    True, False, np.True_, (True, [0, 1]), (False, slice(None)), (slice(None), True), (0, True),
    ([0, 1], True, [2, 0]), (None, True, 1), (np.array(1), [0, 2]), (np.int8(1), [0, 2]),
    (slice(None, None, -1), [2, 0], slice(None, None, 2)), ([1, 0], [[0], [2]], [[1, 3]], [4, 0]),
    (slice(0, 0), [0, 1]), ([0, 1], slice(0, 0)), (slice(None), (0, 2)), ((0, 1), (2, 0)),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(INDICES)))
def test_arrays_in_an_index(number: int, backend: Any) -> None:
    check(X, INDICES[number])


@st.composite
def indexed(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    """A shape, and an index that NumPy takes most often."""
    shape = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple))
    bound = st.none() | st.integers(-5, 5)
    common = draw(st.sampled_from([(), (1,), (2,), (3,), (2, 3), (0,)]))
    items: list[Any] = []
    axis = 0
    while axis < len(shape) and draw(st.integers(0, 5)):
        size = shape[axis]
        kind = draw(st.sampled_from(["slice", "integer", "array", "array", "mask"]))
        axis += 1
        if kind == "slice":
            items.append(draw(st.builds(slice, bound, bound, st.sampled_from([None, 1, 2, -1]))))
        elif kind == "integer" and size:
            items.append(draw(st.integers(-size, size - 1)))
        elif kind == "mask":
            last = draw(st.integers(axis, len(shape)))
            mask_shape = shape[axis - 1 : last]
            bits = draw(st.lists(st.booleans(), min_size=64, max_size=64))
            n = int(np.prod(mask_shape, dtype=int))
            items.append(np.resize(np.array(bits), n).reshape(mask_shape))
            axis = last
        elif size:
            n = int(np.prod(common, dtype=int))
            numbers = draw(st.lists(st.integers(-size, size - 1), min_size=n, max_size=n))
            array = np.array(numbers, int).reshape(common)
            items.append(draw(st.sampled_from([array, array.tolist()])))
        else:
            items.append(slice(None))
    for extra in draw(st.lists(st.sampled_from([None, Ellipsis, True]), max_size=2)):
        items.insert(draw(st.integers(0, len(items))), extra)
    return shape, tuple(items)


@example(((2, 3), ([0, 1], None, [0, 2])))
@example(((0, 1), (slice(None), True, ..., 0)))
@given(indexed())
def test_every_index_means_what_numpy_means(case: tuple[tuple[int, ...], Any]) -> None:
    shape, index = case
    x = numbered(shape)
    try:
        expected = x[index]
    except IndexError:
        with pytest.raises(IndexRangeError):
            _ = Tensor(x)[index]
        return
    node = Tensor(x)
    picked = node[index]
    assert picked.shape == np.shape(expected)
    np.testing.assert_array_equal(picked.value, expected)
    g = numbered(picked.shape)
    picked.backward(g)
    gradient = np.zeros(shape)
    np.add.at(gradient, index, g)
    np.testing.assert_array_equal(node.gradient, gradient)


# ---- indices that are nodes -------------------------------------------------------------


def test_numbers_that_are_nodes(backend: Any) -> None:
    rows, cols = Tensor(ROWS, constant=True), Tensor(COLS, constant=True)
    x = numbered((4, 5, 3))
    node = Tensor(x)
    for at, like in (
        ((rows[:3],), (ROWS[:3],)),
        ((rows, cols), (ROWS, COLS)),
        ((rows[:, None], [0, 2]), (ROWS[:, None], [0, 2])),
        ((rows, slice(None), [0, 1, 1, 2]), (ROWS, slice(None), [0, 1, 1, 2])),
        ((slice(None), cols[2:]), (slice(None), COLS[2:])),
        ((rows[0],), (ROWS[0],)),
    ):
        picked = node[at]
        np.testing.assert_array_equal(picked.value, x[like])
        node.reset()
        g = RNG.normal(size=picked.shape)
        picked.backward(g)
        gradient = np.zeros(x.shape)
        np.add.at(gradient, like, g)
        np.testing.assert_allclose(node.gradient, gradient, rtol=1e-14)
    picked = node[rows, cols]
    picked.forward()
    cols.assign([0, 0, 0, 5])
    with pytest.raises(IndexRangeError, match="5 is no number of an axis of size 5"):
        picked.forward()


def test_numbers_that_are_arguments_of_a_step() -> None:
    table = Tensor(numbered((4, 5)))

    @autodiff.compile
    def step(rows: Any, cols: Any) -> Any:
        z = table[rows, cols].sum() + table[rows].sum()
        z.backward()
        return z, table.gradient

    for rows, cols in (([0, 1, 3], [0, 4, -5]), ([3, 3, 3], [1, 1, 1]), ([-1, 0, 1], [0, 0, 0])):
        z, gradient = step(np.array(rows), np.array(cols))
        assert z == table.value[rows, cols].sum() + table.value[rows].sum()
        expected = np.zeros((4, 5))
        np.add.at(expected, (rows, cols), 1.0)
        np.add.at(expected, rows, 1.0)
        np.testing.assert_array_equal(gradient, expected)
        table.reset()
    for rows, cols in (([0, 1, 4], [0, 0, 0]), ([0, 1, 2], [0, 0, 5]), ([0.5, 0, 0], [0, 0, 0])):
        with pytest.raises(IndexRangeError):
            step(np.array(rows), np.array(cols))


# ---- masks that are nodes ---------------------------------------------------------------


def test_a_comparison_is_a_mask(backend: Any) -> None:
    x = np.array([[1.0, -2.0, 3.0], [-4.0, 5.0, 6.0]])
    for mask in (
        lambda x: x > 0.0,
        lambda x: (x > 0.0) * (x < 4.0),
        lambda x: (x > 0.0)[:, :],
        lambda x: autodiff.maximum(x > 5.0, x < -3.0),
        lambda x: autodiff.stop_gradient(x) > 0.0,
    ):
        node = Tensor(x)
        chosen = np.asarray(mask(node).value, bool)
        picked = node[mask(node)]
        np.testing.assert_array_equal(picked.value, x[chosen])
        (picked * picked).sum().backward()
        np.testing.assert_array_equal(node.gradient, np.where(chosen, 2.0 * x, 0.0))
    node = Tensor(x)
    np.testing.assert_array_equal(node[node[:, 0] > 0.0].value, x[x[:, 0] > 0.0])
    np.testing.assert_array_equal(node[0, node[0] > 0.0].value, x[0, x[0] > 0.0])
    np.testing.assert_array_equal(node[:, node[0] > 0.0, None].value, x[:, x[0] > 0.0, None])


def test_a_mask_that_chooses_more_than_it_did(backend: Any) -> None:
    x = Tensor([1.0, -2.0, 3.0])
    total = x[x > 0.0].sum()
    assert total.value == 4.0
    x.assign([-1.0, 2.0, 5.0])
    assert total.forward() == 7.0  # others, but as many
    x.assign([1.0, 2.0, 3.0])
    with pytest.raises(ShapeError, match=r"chooses 3 elements.* it chose 2.*where"):
        total.forward()


def test_a_mask_without_numbers() -> None:
    tensor = Tensor([1.0, -2.0, 3.0])

    @autodiff.compile
    def by_node() -> Any:
        return tensor[tensor > 0.0]

    @autodiff.compile
    def by_value(x: Any) -> Any:
        return x[x > 0.0]

    for call in (by_node, lambda: by_value(np.ones(3))):
        with pytest.raises(RecordingError, match=r"flatnonzero: .*where\(mask, x, 0\.0\).*count="):
            call()

    @autodiff.compile
    def counted(x: Any) -> Any:
        return autodiff.take(x, flatnonzero(x > 0.0, count=2)) * 2.0

    np.testing.assert_array_equal(counted(np.array([1.0, -2.0, 3.0])), [2.0, 6.0])
    np.testing.assert_array_equal(counted(np.array([-1.0, 2.0, 3.0])), [4.0, 6.0])
    with pytest.raises(ShapeError, match="chooses 3 elements"):
        counted(np.array([1.0, 2.0, 3.0]))


def test_what_may_be_a_mask_or_numbers_is_refused(backend: Any) -> None:
    x = Tensor(numbered((3, 2)))
    doubtful = Tensor([1.0, 0.0, 1.0])
    with pytest.raises(IndexRangeError, match=r"take\(x, index\).*index == 1\.0"):
        _ = x[doubtful]
    np.testing.assert_array_equal(x[doubtful == 1.0].value, x.value[[0, 2]])
    np.testing.assert_array_equal(x[Tensor([2.0, 0.0, 1.0])].value, x.value[[2, 0, 1]])

    @autodiff.compile
    def step(mask: Any) -> Any:
        return x[mask]

    with pytest.raises(IndexRangeError, match=r"take\(x, index\)"):
        step(np.array([True, False, True]))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ([True, False], r"mask of shape \(2,\) for what has shape \(3,\): x has shape \(3, 4\)"),
        (np.ones((3, 3), bool), r"mask of shape \(3, 3\) for what has shape \(3, 4\)"),
        ((slice(None), [True] * 3), r"shape \(3,\) for what has shape \(4,\).* begins at axis 1"),
        ([3], r"index 3 is out of range for axis 0 of shape \(3, 4\)"),
        ((0, [0, -5]), r"index -5 is out of range for axis 1"),
        (([0, 1], [0, 1, 2]), r"do not broadcast: \(2,\), \(3,\)"),
        ([0.5], "float64"),
        (np.zeros(2), "float64"),
        (["a"], "no index|<U1"),
        (([0], 0, 0), r"indices for 3 axes, x has shape \(3, 4\)"),
        ((..., [0], ...), r"more than one"),
        ([Tensor(1.0)], "list of nodes"),
        (np.array([None]), "object"),
    ],
)
def test_what_is_no_index(index: Any, message: str) -> None:
    for x in (Tensor(numbered((3, 4))), numbered((3, 4))):
        with pytest.raises(IndexRangeError, match=f"getitem: .*{message}"):
            autodiff.getitem(x, index)


def test_a_mask_node_of_another_shape() -> None:
    x = Tensor(numbered((3, 4)))
    with pytest.raises(IndexRangeError, match=r"mask of shape \(4,\) for what has shape \(3,\)"):
        _ = x[x[0] > 2.0]


def test_views_and_read_only_arrays_as_indices() -> None:
    x = numbered((4, 5))
    rows = np.arange(8)[::-2] % 4
    rows.flags.writeable = False
    check(x, rows)
    check(np.asfortranarray(x), (rows, rows))
    check(x.T, rows[::2])
    check(x, np.array([3, 1], ">i4"))


def test_second_derivatives() -> None:
    x = Tensor([1.0, 2.0, 3.0])
    y = (x[[0, 2, 2]] ** 3.0).sum()
    (first,) = autodiff.gradients(y, [x])
    (second,) = autodiff.gradients(first.sum(), [x])
    np.testing.assert_allclose(first.value, [3.0, 0.0, 54.0])
    np.testing.assert_allclose(second.value, [6.0, 0.0, 36.0])


def test_numbers_of_what_is_not_zero(backend: Any) -> None:
    x = np.array([[0.0, 2.0], [3.0, 0.0], [np.nan, 1.0]])
    node = Tensor(x)
    np.testing.assert_array_equal(np.flatnonzero(node).value, np.flatnonzero(x))
    for ours, theirs in zip(np.nonzero(node), np.nonzero(x), strict=True):
        np.testing.assert_array_equal(ours.value, theirs)
    np.testing.assert_array_equal(np.argwhere(node).value, np.argwhere(x))
    np.testing.assert_array_equal(node[np.nonzero(node)].value, x[np.nonzero(x)])


def test_where_a_condition_holds() -> None:
    x = np.array([[0.0, 2.0], [3.0, 0.0]])
    for ours, theirs in zip(np.where(Tensor(x) > 1.0), np.where(x > 1.0), strict=True):
        np.testing.assert_array_equal(ours.value, theirs)


def test_positions_of_single_elements() -> None:
    x = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
    node = Tensor(x)
    i, j = autodiff.argmax(node[:, 1]), autodiff.argmin(node[0])
    picked = node[i, j]
    assert picked.value == x[1, 1]
    autodiff.backward(picked)
    np.testing.assert_array_equal(node.gradient, [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    np.testing.assert_array_equal(node[np.argmax(node, 1)[0]].value, x[0])
    step = autodiff.compile(lambda x: x[autodiff.argmax(x[:, 1]), autodiff.argmin(x[0])])
    assert step(x) == x[1, 1]
    with pytest.raises(IndexRangeError, match=r"0\.5"):
        node[Tensor(0.5)].forward()
