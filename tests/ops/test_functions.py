"""The public functions of ops: what they take, on arrays and on nodes, compared with NumPy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numerics import complex_step

import autodiff
from autodiff import Tensor
from autodiff.errors import AutodiffError, DTypeError, IndexRangeError
from autodiff.ops.index import indexed_shape, normalise_index, to_numpy
from autodiff.ops.rules import sum_to


def check(function: Any, *inputs: Any, expected: Any = None) -> autodiff.Node:
    """`function` gives the same on nodes and on arrays; gradients are the complex step's."""
    plain = function(*inputs)
    nodes = [Tensor(x) for x in inputs]
    node = function(*nodes)
    np.testing.assert_allclose(node.value, plain, rtol=1e-13, atol=1e-14)
    if expected is not None:
        np.testing.assert_allclose(node.value, expected, rtol=1e-13, atol=1e-14)
        assert node.shape == np.shape(expected)
    assert node.shape == np.shape(plain)
    g = np.random.default_rng(1).normal(size=node.shape)
    node.backward(g)
    for i, x in enumerate(nodes):
        step = complex_step(function, inputs, i, g)
        np.testing.assert_allclose(x.gradient, step, rtol=1e-12, atol=1e-13)
    return node


def test_plain_numbers_of_any_kind_are_computed_in_float64() -> None:
    for x in (np.float32(0.1), np.array([0.1], np.float32), [1, 2], 3, True, np.int8([1, 2])):
        expected = np.exp(np.asarray(x, np.float64))
        assert autodiff.exp(x).dtype == np.float64
        np.testing.assert_array_equal(autodiff.exp(x), expected)
    with pytest.raises(DTypeError, match=r"maximum: y: dtype <U1"):
        autodiff.maximum(1.0, "a")
    with pytest.raises(DTypeError, match=r"exp: x: None is no array"):
        autodiff.exp(None)
    with pytest.raises(DTypeError, match=r"exp: x: not a rectangular array"):
        autodiff.exp([[1.0], [1.0, 2.0]])


# ---- products --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x_shape", "y_shape"),
    [
        ((3,), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3,)),
        ((3,), (4, 3, 2)),
        ((4, 2, 3), (3,)),
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3, 4)),
        ((5, 1, 2, 3), (4, 3, 2)),
        ((0,), (0,)),
        ((1,), (1,)),
    ],
    ids=str,
)
def test_products_as_numpy_has_them(
    x_shape: Any, y_shape: Any, rng: np.random.Generator, backend: Any
) -> None:
    x, y = rng.normal(size=x_shape), rng.normal(size=y_shape)
    check(autodiff.matmul, x, y, expected=x @ y)


def test_inner_is_the_posts_name() -> None:
    assert autodiff.inner is autodiff.matmul


# ---- powers ----------------------------------------------------------------------------


def test_powers_of_constant_exponent(backend: Any) -> None:
    x = np.array([0.5, 1.0, 2.0])
    for p in (0, 1, 2, 3, -1, 0.5, -1.5, np.float32(2.0), np.array(2.0), True):
        check(lambda x, p=p: autodiff.power(x, p), x, expected=x ** float(p))
    assert autodiff.power(Tensor(x), 2).typename == "square"


def test_a_node_as_exponent_gets_its_gradient(backend: Any) -> None:
    x, y = np.array([0.5, 1.0, 2.0]), np.array([2.0, -1.0, 0.3])
    check(lambda x, y: autodiff.exp(autodiff.log(x) * y), x, y, expected=x**y)
    for raised in (autodiff.power, np.power, np.float_power, lambda x, y: x**y):
        a, b = Tensor(x), Tensor(y)
        z = raised(a, b)
        z.backward(np.ones(3))
        np.testing.assert_allclose(z.value, x**y, rtol=1e-14)
        np.testing.assert_allclose(a.gradient, y * x ** (y - 1), rtol=1e-13)
        np.testing.assert_allclose(b.gradient, x**y * np.log(x), rtol=1e-13, atol=1e-15)
    c = Tensor(y)
    z = 2.0**c
    z.backward(np.ones(3))
    np.testing.assert_allclose(c.gradient, 2.0**y * np.log(2.0), rtol=1e-14)
    (second,) = autodiff.gradients(autodiff.gradients(z, [c])[0], [c])
    np.testing.assert_allclose(second.value, 2.0**y * np.log(2.0) ** 2, rtol=1e-13)


# ---- shapes ----------------------------------------------------------------------------


def test_reshape(rng: np.random.Generator, backend: Any) -> None:
    x = rng.normal(size=(2, 3, 4))
    for shape in [
        (24,),
        (-1,),
        (4, -1),
        (2, 3, 4),
        (1, 2, 12, 1),
        24,
        -1,
        [6, 4],
        (np.int64(8), 3),
    ]:
        check(lambda x, s=shape: autodiff.reshape(x, s), x, expected=x.reshape(shape))
    check(lambda x: autodiff.reshape(x, ()), np.array([[3.0]]), expected=np.array(3.0))
    check(lambda x: autodiff.reshape(x, (-1, 3)), np.zeros((0, 3)), expected=np.zeros((0, 3)))
    check(lambda x: autodiff.reshape(x, (3, 0)), np.zeros((0, 5)), expected=np.zeros((3, 0)))
    node = Tensor(x)
    assert node.reshape(2, 3, 4) is node
    assert node.reshape(6, -1).shape == (6, 4)
    with pytest.raises(AutodiffError):
        autodiff.reshape(np.zeros((0, 3)), (0, -1))


def test_transposes(rng: np.random.Generator, backend: Any) -> None:
    x = rng.normal(size=(2, 3, 4))
    for axes in [None, *itertools.permutations(range(3)), (-1, 0, 1), [2, 1, 0]]:
        check(lambda x, a=axes: autodiff.transpose(x, a), x, expected=np.transpose(x, axes))
    for i, j in itertools.product([0, 1, 2, -1], repeat=2):
        check(lambda x, i=i, j=j: autodiff.swapaxes(x, i, j), x, expected=np.swapaxes(x, i, j))
    node = Tensor(x)
    assert node.T.shape == node.transpose().shape == (4, 3, 2)
    assert node.transpose(1, 0, 2).shape == node.transpose((1, 0, 2)).shape == (3, 2, 4)
    assert autodiff.transpose(Tensor(1.0)).shape == ()


def test_axes_of_size_one(rng: np.random.Generator, backend: Any) -> None:
    x = rng.normal(size=(2, 3))
    for axis in (0, 1, 2, -1, -3):
        check(lambda x, a=axis: autodiff.expand_dims(x, a), x, expected=np.expand_dims(x, axis))
    y = rng.normal(size=(2, 1, 3))
    for axis in (1, -2):
        check(lambda y, a=axis: autodiff.squeeze(y, a), y, expected=np.squeeze(y, axis))


def test_broadcast_to(rng: np.random.Generator, backend: Any) -> None:
    for shape, to in [
        ((3,), (2, 3)),
        ((2, 1), (2, 3)),
        ((), (4,)),
        ((1, 1), (2, 3)),
        ((3,), (0, 3)),
    ]:
        x = np.array(rng.normal(size=shape))
        check(lambda x, to=to: autodiff.broadcast_to(x, to), x, expected=np.broadcast_to(x, to))
    check(lambda x: autodiff.broadcast_to(x, 3), np.array(2.0), expected=np.full(3, 2.0))


def test_joins_and_cuts(rng: np.random.Generator, backend: Any) -> None:
    x, y = rng.normal(size=(2, 3)), rng.normal(size=(2, 5))
    for axis in (1, -1):
        check(lambda x, y, a=axis: autodiff.concat([x, y], a), x, y, expected=np.hstack([x, y]))
    check(lambda x: autodiff.concat([x, x, x], 0), x, expected=np.vstack([x, x, x]))
    z = rng.normal(size=(2, 3))
    for axis in (0, 1, 2, -1, -3):
        check(lambda x, z, a=axis: autodiff.stack([x, z], a), x, z, expected=np.stack([x, z], axis))
    big = rng.normal(size=(6, 4))
    for cuts in (1, 2, 3, [2, 5], [0, 0, 6], [], [3]):
        ours, numpys = autodiff.split(big, cuts, 0), np.split(big, cuts, 0)
        assert len(ours) == len(numpys)
        for i, part in enumerate(numpys):
            check(lambda x, c=cuts, i=i: autodiff.split(x, c, 0)[i], big, expected=part)
    first, second = autodiff.split(Tensor(big), 2)
    joined = autodiff.concat([second, first])
    joined.backward(big)
    assert len(autodiff.split(np.zeros((2, 0)), 3)) == 3


def test_rows_by_number(rng: np.random.Generator, backend: Any) -> None:
    x = rng.normal(size=(4, 3))
    for rows in ([0, 3], [-1, -4], [[0, 1], [2, 2]], 2, -1, [], np.array([1, 1, 1], np.uint8)):
        expected = x[np.asarray(rows, np.intp)]
        check(lambda x, r=rows: autodiff.take(x, r), x, expected=expected)
    v = rng.normal(size=5)
    check(lambda v: autodiff.take(v, [4, 0, 4]), v, expected=v[[4, 0, 4]])
    for rows in ([4], [-5], [0.5], [np.nan]):
        with np.errstate(invalid="ignore"), pytest.raises(IndexRangeError, match="no row"):
            autodiff.take(x, rows)
        with pytest.raises(IndexRangeError, match="no row"):
            autodiff.take(Tensor(x), rows).forward()


def test_a_row_taken_twice_gets_both_gradients(backend: Any) -> None:
    x = Tensor(np.zeros((3, 2)))
    autodiff.take(x, [2, 0, 2, -1]).backward([[1, 2], [3, 4], [10, 20], [100, 200]])
    np.testing.assert_array_equal(x.gradient, [[3, 4], [0, 0], [111, 222]])


# ---- reductions ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sum", "mean", "max"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_as_numpy_has_them(
    name: str, keepdims: bool, rng: np.random.Generator, backend: Any
) -> None:
    x = rng.normal(size=(2, 3, 4))
    ours, numpys = getattr(autodiff, name), getattr(np, name)
    for axis in [None, 0, -1, (0, 2), (-1, 0), [1], (), np.int64(1), (0, 1, 2)]:
        as_numpy = tuple(axis) if isinstance(axis, list) else axis
        z = ours(Tensor(x), axis, keepdims)
        np.testing.assert_allclose(z.value, numpys(x, axis=as_numpy, keepdims=keepdims), rtol=1e-14)
        np.testing.assert_allclose(ours(x, axis, keepdims), z.value, rtol=1e-14)
        assert getattr(Tensor(x), name)(axis=axis, keepdims=keepdims).shape == z.shape


def test_softmax_over_several_axes(rng: np.random.Generator, backend: Any) -> None:
    x = rng.normal(size=(2, 3, 4))
    for axis in (None, -1, 0, (0, 2)):
        z = autodiff.softmax(Tensor(x), axis)
        np.testing.assert_allclose(z.value.sum(axis=axis), 1.0, rtol=1e-14)
        log_z = autodiff.log_softmax(Tensor(x), axis)
        np.testing.assert_allclose(np.exp(log_z.value), z.value, rtol=1e-13)
        total = autodiff.logsumexp(Tensor(x), axis, keepdims=True)
        np.testing.assert_allclose(x - total.value, log_z.value, rtol=1e-13, atol=1e-14)


def test_sum_to(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 3, 4))
    for shape in [(2, 3, 4), (3, 4), (4,), (), (1, 3, 4), (2, 1, 1), (1, 4), (3, 1), (1, 1, 1)]:
        total = sum_to(x, shape)
        assert total.shape == shape
        # The adjoint of broadcasting: <sum_to(x), y> = <x, broadcast(y)>.
        y = rng.normal(size=shape)
        np.testing.assert_allclose(np.sum(total * y), np.sum(x * y), rtol=1e-12)
    assert sum_to(np.zeros((0, 3)), (1, 3)).shape == (1, 3)
    with pytest.raises(AutodiffError, match=r"\(4,\) cannot be summed to \(3, 4\)"):
        sum_to(np.zeros(4), (3, 4))


# ---- basic indices against NumPy --------------------------------------------------------

shapes = st.lists(st.integers(0, 4), min_size=0, max_size=4).map(tuple)


@st.composite
def indexed(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    """A shape and a basic index, most often one that NumPy takes."""
    shape = draw(shapes)
    bound = st.none() | st.integers(-6, 6)
    items: list[Any] = []
    for size in shape[: draw(st.integers(0, len(shape)))]:
        whole = st.builds(slice, bound, bound, st.none() | st.sampled_from([1, 2, 3, -1, -2, -3]))
        number = st.integers(-size, size - 1) if size else st.nothing()
        items.append(draw(whole | number | st.integers(-5, 5)))
    for extra in draw(st.lists(st.sampled_from([None, Ellipsis]), max_size=2)):
        items.insert(draw(st.integers(0, len(items))), extra)
    if len(items) == 1 and draw(st.booleans()):
        return shape, items[0]
    return shape, tuple(items)


@example(((4,), slice(-6, None, -1)))  # empty, with a stop of -1
@example(((0,), slice(None, None, -1)))
@example(((3,), slice(None, None, -1)))
@example(((2, 3), (-1, slice(9, -9, -2))))
@given(indexed())
def test_every_basic_index_means_what_numpy_means(case: tuple[tuple[int, ...], Any]) -> None:
    shape, index = case
    x = np.arange(float(np.prod(shape, dtype=int))).reshape(shape)
    try:
        expected = x[index]
    except IndexError:
        with pytest.raises(IndexRangeError):
            normalise_index(shape, index)
        with pytest.raises(IndexRangeError):
            _ = Tensor(x)[index]
        return
    normal = normalise_index(shape, index)
    hash(normal)
    assert indexed_shape(shape, normal) == np.shape(expected)
    np.testing.assert_array_equal(x[to_numpy(normal)], expected)
    node = Tensor(x)
    picked = node[index]
    assert picked.shape == np.shape(expected)
    np.testing.assert_array_equal(picked.value, expected)
    g = np.arange(1.0, 1.0 + picked.size).reshape(picked.shape)
    picked.backward(g)
    scattered = np.zeros(shape)
    scattered[index] = g
    np.testing.assert_array_equal(node.gradient, scattered)


@given(indexed())
def test_every_back_end_indexes_alike(case: tuple[tuple[int, ...], Any]) -> None:
    shape, index = case
    x = np.arange(float(np.prod(shape, dtype=int))).reshape(shape)
    try:
        normal = normalise_index(shape, index)
    except IndexRangeError:
        return
    bound = autodiff.op.OPS["getitem"].bind(index=normal)
    values = [autodiff.get_backend(n).forward(bound, [x]) for n in autodiff.available_backends()]
    back = autodiff.op.OPS["scatter_slice"].bind(index=normal, shape=shape)
    spread = [
        autodiff.get_backend(n).forward(back, [values[0]]) for n in autodiff.available_backends()
    ]
    for value, full in zip(values, spread, strict=True):
        np.testing.assert_array_equal(value, values[0])
        np.testing.assert_array_equal(full, spread[0])


def test_an_index_of_everything_is_the_node_itself() -> None:
    x = Tensor(np.ones((2, 3)))
    for index in (..., (), slice(None), (slice(0, 2), slice(-3, 9))):
        assert x[index] is x
