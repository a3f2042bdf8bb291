"""Python's operators and NumPy's protocols build nodes; what has no op is refused by name."""

from __future__ import annotations

import importlib
import operator
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
import scipy.special
import scipy.stats
from table import parts

import autodiff
from autodiff import Node, Tensor
from autodiff.declare import NAMES
from autodiff.errors import DTypeError, GradientError, ShapeError
from autodiff.op import OPS, Op
from autodiff.served import theirs_named

BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.pow,
    operator.gt,
    operator.ge,
    operator.lt,
    operator.le,
    operator.eq,
    operator.ne,
]


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.__name__)
@pytest.mark.parametrize(
    "other",
    [2.0, 3, True, np.float64(2.0), np.float32(0.5), np.array([2.0, 0.5]), [2.0, 0.5]],
    ids=lambda other: type(other).__name__,
)
def test_operators_with_numbers_and_arrays(op: Any, other: Any) -> None:
    x = np.array([1.5, 0.5])
    if op is operator.pow and np.ndim(other):
        left: Any = None  # a variable exponent must be a node
    else:
        left = op(Tensor(x), other)
    right = op(other, Tensor(x))
    assert left is None or isinstance(left, Node)
    assert isinstance(right, Node)
    assert right.shape == (2,)
    if left is not None:
        np.testing.assert_allclose(left.value, op(x, np.asarray(other, float)), rtol=1e-14)
    np.testing.assert_allclose(right.value, op(np.asarray(other, float), x), rtol=1e-14)


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.__name__)
def test_operators_of_two_nodes(op: Any) -> None:
    x, y = np.array([1.5, 0.5]), np.array([[0.5], [2.0]])
    np.testing.assert_allclose(op(Tensor(x), Tensor(y)).value, op(x, y), rtol=1e-14)


def test_the_other_operators() -> None:
    x = Tensor([[1.5, -0.5]])
    np.testing.assert_array_equal((-x).value, [[-1.5, 0.5]])
    assert +x is x
    np.testing.assert_array_equal(abs(x).value, [[1.5, 0.5]])
    np.testing.assert_array_equal((x @ x.T).value, [[2.5]])
    np.testing.assert_array_equal((np.ones((2, 1)) @ x).value, [[1.5, -0.5]] * 2)
    np.testing.assert_array_equal((x @ np.ones((2, 1))).value, [[1.0]])
    assert len(x) == 1
    assert (x.ndim, x.size, x.shape) == (2, 2, (1, 2))
    rows = list(Tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert [list(row.value) for row in rows] == [[1.0, 2.0], [3.0, 4.0]]


def test_equality_is_that_of_the_elements() -> None:
    x, y = Tensor([1.0, np.nan, 3.0]), Tensor([1.0, np.nan, 4.0])
    for other in (y, y.value, [1.0, np.nan, 4.0]):
        np.testing.assert_array_equal((x == other).value, [1.0, 0.0, 0.0])
        np.testing.assert_array_equal((x != other).value, [0.0, 1.0, 1.0])
    np.testing.assert_array_equal((y.value == x).value, [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(operator.ne(3, x).value, [1.0, 1.0, 0.0])
    assert not (x == y).needs_gradient
    step = autodiff.compile(lambda a: autodiff.where(a == 2.0, a, -1.0 * (a != 1.0)))
    np.testing.assert_array_equal(step([1.0, 2.0, 3.0]), [0.0, 2.0, -1.0])


def test_nodes_are_found_by_identity_in_sets_and_dictionaries() -> None:
    x, y = Tensor([1.0, 2.0]), Tensor([1.0, 2.0])
    assert {x: "a", y: "b"}[x] == "a"
    assert len({x, y, x}) == 2
    assert hash(x) != hash(y)


def test_a_list_is_not_searched_by_equality_in_silence() -> None:
    x, y = Tensor([1.0, 2.0]), Tensor([1.0, 2.0])
    assert x in [x, y]  # Python asks first whether it is the same object
    with pytest.raises(ShapeError, match=r"one element.*x is y.*any\(x is y for y in nodes\)"):
        _ = y in [x, y]
    with pytest.raises(ShapeError, match="one element"):
        assert x == y


def test_equality_with_what_holds_no_numbers_is_refused() -> None:
    for other in (None, "a", object(), [None]):
        with pytest.raises(DTypeError, match=r"equal: y"):
            _ = Tensor(1.0) == other
        with pytest.raises(DTypeError, match=r"equal: y"):
            _ = Tensor(1.0) != other


def test_equality_is_left_to_those_who_have_their_own() -> None:
    assert Tensor(1.0, constant=True) * 3.0 == pytest.approx(3.0)
    assert Tensor(1.0, constant=True) * 3.0 != pytest.approx(2.0)


def test_numbers() -> None:
    x = Tensor([[2.5]])
    assert float(x) == x.item() == 2.5
    assert type(x.item()) is float
    assert bool(x)
    assert not bool(x * 0.0)
    assert bool(x > 1.0)
    with pytest.raises(TypeError):
        int(x)
    with pytest.raises(TypeError):
        [1, 2, 3][x]  # type: ignore[call-overload]


def test_a_node_that_needs_a_gradient_is_no_array() -> None:
    x = Tensor([1.0, 2.0], name="weights")
    with pytest.raises(GradientError, match=r"'weights' \(test_.*stack.*value.*stop_gradient"):
        np.asarray(x)
    for node in (x, x * 2.0):
        for convert in CONVERSIONS:
            with pytest.raises(GradientError, match=r"stack.*value.*stop_gradient"):
                convert(node)


CONVERSIONS = [
    np.asarray,
    np.array,
    lambda x: np.array([x, x]),
    lambda x: np.asarray([[x], [x]], dtype=object),
    lambda x: np.full(2, x),
    lambda x: np.full(3, x[0]),
    lambda x: np.mean([x, 2.0 * x]),
    lambda x: np.tanh([x]),
    lambda x: np.add(np.ones(2), [x, x]),
    lambda x: np.linalg.norm([x, x]),
    lambda x: np.vectorize(np.tanh)(x),
    lambda x: np.random.default_rng(0).normal(x),
    lambda x: np.zeros(2).__setitem__(slice(None), x),
    lambda x: scipy.special.logsumexp(x),
    lambda x: scipy.stats.norm.pdf(x),
    lambda x: scipy.sparse.eye(2) @ x,
    lambda x: np.ma.masked_array([1.0, 2.0], [0, 1]) * x,
]


def test_a_node_stored_into_an_array_would_lose_its_gradient() -> None:
    array, x = np.zeros((2, 2)), Tensor([1.0, 2.0])
    for index in (slice(None), 0):
        with pytest.raises(GradientError, match=r"autodiff\.stack"):
            store(array, index, x)
    with pytest.raises(ValueError, match="setting an array element") as caught:
        store(array, (0, 1), x[0])
    assert isinstance(caught.value.__cause__, GradientError)
    assert "would store its number alone" in str(caught.value.__cause__)
    with pytest.raises(ValueError, match="item of array"):
        store(array.flat, 0, x[0])
    np.testing.assert_array_equal(array, np.zeros((2, 2)))
    store(array, (0, 0), float(x[0]))  # on purpose
    store(array, 1, x.value)
    store(array, (0, 1), autodiff.stop_gradient(x[1]))
    np.testing.assert_array_equal(array, [[1.0, 2.0], [1.0, 2.0]])
    kept: dict[int, Any] = {}
    store(kept, 0, x[0])
    assert isinstance(kept[0], Node)


def store(container: Any, index: Any, value: Any) -> None:
    container[index] = value


def test_as_an_array_a_constant_is_a_copy_of_the_value() -> None:
    x = Tensor([1.0, 2.0], constant=True)
    with pytest.raises(ValueError, match="copy only"):
        np.array(x, copy=False)
    for array in (np.asarray(x), np.array(x), np.asarray(x, dtype=np.float32)):
        array[0] = 7.0
    np.testing.assert_array_equal(x.value, [1.0, 2.0])
    assert np.asarray(x, dtype=np.float32).dtype == np.float32
    np.testing.assert_array_equal(np.asarray(x * 2.0), [2.0, 4.0])
    np.testing.assert_array_equal(np.asarray(autodiff.stop_gradient(Tensor(3.0))), 3.0)


def numpys(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def asks_us(name: str) -> bool:
    """Whether it is a function of NumPy's or SciPy's that asks what it is given."""
    theirs = theirs_named(name)
    return isinstance(theirs, np.ufunc) or hasattr(theirs, "_implementation")


UFUNCS = [name for name in NAMES if isinstance(theirs_named(name), np.ufunc)]
OF_OPS = [(name, op) for op in OPS.values() for name in op.numpy if asks_us(name)]


@pytest.mark.parametrize(("name", "op"), OF_OPS, ids=[name for name, _ in OF_OPS])
def test_numpys_names_of_ops_mean_the_ops(name: str, op: Op, rng: np.random.Generator) -> None:
    """With the operands and attributes of the op's examples."""
    function, is_ufunc = numpys(name), name in UFUNCS
    for example in op.examples:
        inputs, attributes = example.draw(rng), dict(example.attributes)
        if attributes.pop("reverse", False):  # only parts of rules go backwards
            continue
        more = tuple(attributes.values()) if is_ufunc else ()
        named = {} if is_ufunc else attributes
        expected = np.asarray(function(*inputs, *more, **named), np.float64)
        node = function(*map(Tensor, inputs), *more, **named)
        assert isinstance(node, Node)
        assert node.shape == expected.shape
        np.testing.assert_allclose(node.value, expected, rtol=1e-14, atol=1e-15)
        if len(inputs) == 2:
            for mixed in ((Tensor(inputs[0]), inputs[1]), (inputs[0], Tensor(inputs[1]))):
                np.testing.assert_array_equal(function(*mixed).value, node.value)


# SciPy's are called with operands that they take in names/test_names.py.
@pytest.mark.parametrize("name", [name for name in UFUNCS if name.startswith("numpy.")])
def test_ufuncs_build_nodes(name: str) -> None:
    ufunc, op = numpys(name), getattr(NAMES[name], "op", None)
    inputs = [np.array([[0.5, 0.25], [0.125, 0.75]]), np.array([[0.5, 2.0], [1.0, 0.1]])]
    inputs = inputs[: ufunc.nin]
    if op is not None and len(op.inputs) == ufunc.nin:
        inputs = [op.into_domain(i, x) for i, x in enumerate(inputs)]
    if not any("d" in types for types in ufunc.types):
        pytest.skip("it is not for real numbers")
    made = [parts(ufunc(*map(Tensor, inputs)))]
    if ufunc.nin == 2:
        made.append(parts(ufunc(Tensor(inputs[0]), inputs[1])))
        made.append(parts(ufunc(inputs[0], Tensor(inputs[1]))))
    for nodes in made:
        for node, expected in zip(nodes, parts(ufunc(*inputs)), strict=True):
            assert isinstance(node, Node)
            np.testing.assert_allclose(node.value, np.asarray(expected, float), rtol=1e-14)


# How NumPy's callers write them: by position, by name, with what changes nothing.
FUNCTION_CASES: dict[Any, Any] = {
    np.concatenate: lambda f, x: [
        f([x, x]),
        f([x, x], 1),
        f([x, x], axis=-1),
        f([x, x[0]], axis=None),
        f([x], dtype=None),
    ],
    np.stack: lambda f, x: [f([x, x]), f([x, x], axis=1)],
    np.split: lambda f, x: [*f(x, 2), *f(x, [1, 3], axis=1), *f(x, 2, 1)],
    np.where: lambda f, x: [f(x > 0.0, x, 0.0), f(x < 0.0, 1.0, x)],
    np.reshape: lambda f, x: [f(x, (4, 2)), f(x, -1), f(x, (4, 2), order="C")],
    np.ravel: lambda f, x: [f(x)],
    np.transpose: lambda f, x: [f(x), f(x, (1, 0)), f(x, axes=[1, 0]), f(a=x)],
    np.swapaxes: lambda f, x: [f(x, 0, 1), f(x, axis1=0, axis2=-1)],
    np.expand_dims: lambda f, x: [f(x, 1), f(x, axis=0), f(x, (0, -1)), f(x, (3, 1))],
    np.squeeze: lambda f, x: [
        f(x[:1], 0),
        f(x[:, :1], axis=1),
        f(x[:1, :1]),
        f(x),
        f(x[:1, :1], (0, 1)),
    ],
    np.broadcast_to: lambda f, x: [f(x, (3, 2, 4)), f(x, shape=(1, 2, 4))],
    np.sum: lambda f, x: [
        f(x),
        f(x, 0),
        f(x, axis=1, keepdims=True),
        f(a=x, axis=0),
        f(x, 1, None),
    ],
    np.mean: lambda f, x: [f(x), f(x, 0), f(x, axis=1, keepdims=True), f(x, dtype=float)],
    np.max: lambda f, x: [f(x), f(x, 0), f(x, axis=1, keepdims=True), f(x, 0, None, True)],
    np.amax: lambda f, x: [f(x), f(x, axis=0)],
    np.min: lambda f, x: [f(x), f(x, 0), f(x, axis=1, keepdims=True)],
    np.amin: lambda f, x: [f(x), f(x, axis=0)],
    np.zeros_like: None,
    np.ones_like: None,
    np.shape: None,
    np.ndim: None,
    np.size: None,
}


@pytest.mark.parametrize("function", FUNCTION_CASES, ids=lambda f: f.__name__)
def test_functions_build_nodes(function: Any, rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 4))
    case = FUNCTION_CASES[function]
    if case is None:
        np.testing.assert_array_equal(function(Tensor(x)), function(x))
        if function is np.size:
            assert [np.size(Tensor(x), axis) for axis in (0, 1)] == [2, 4]
        return
    for ours, numpys in zip(case(function, Tensor(x)), case(function, x), strict=True):
        assert isinstance(ours, Node)
        assert ours.shape == numpys.shape
        np.testing.assert_allclose(ours.value, numpys, rtol=1e-14)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (np.spacing, "np.spacing"),
        (lambda x: np.nextafter(x, 1.0), "np.nextafter"),
        (lambda x: np.add.reduce(x), "np.add.reduce"),
        (lambda x: np.multiply.outer(x, x), "np.multiply.outer"),
        (lambda x: np.add.accumulate(x), "np.add.accumulate"),
        (lambda x: np.add(x, 1.0, where=np.array([True, False])), "where="),
        (lambda x: np.add(x, 1.0, out=np.zeros(2)), "out="),
        (np.histogram, "np.histogram"),
        (np.unwrap, "np.unwrap"),
        (lambda x: np.linalg.eigvals(x), "np.linalg.eigvals"),
        (lambda x: np.polyfit(np.ones(2), x, 1), "np.polyfit"),
        (lambda x: np.fft.fft(x), "np.fft.fft"),
        (lambda x: scipy.special.ellipj(x, x), "scipy.special.ellipj"),
        (lambda x: np.frompyfunc(abs, 1, 1)(x), "the ufunc abs"),
        (lambda x: np.full(2, x[0], dtype=float), "np.copyto"),
        (lambda x: np.sum(x, where=np.array([True, False])), "np.sum with where="),
        (lambda x: np.sum(x, dtype=np.float32), "np.sum with dtype="),
        (lambda x: np.sum(x, 0, np.float32), "np.sum with dtype="),
        (lambda x: np.sum(x, initial=x), "np.sum with initial="),
        (lambda x: np.max(x, initial=0.0), "np.max with initial="),
        (lambda x: np.mean(x, out=np.zeros(())), "np.mean with out="),
        (lambda x: np.reshape(x, (2, 1), order="F"), "np.reshape with order="),
        (lambda x: np.concatenate([x, x], out=np.zeros(4)), "np.concatenate with out="),
        (lambda x: np.stack([x, x], dtype=np.float32), "np.stack with dtype="),
        (lambda x: np.bincount([0, 1], x), "np.bincount"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_has_no_op_is_refused_by_name(call: Any, name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name}.*no op in autodiff.*node\.value"):
        call(Tensor([1.0, 2.0]))


def test_arrays_are_not_changed_in_place_behind_the_graph() -> None:
    array = np.ones(2)
    with pytest.raises(TypeError, match="out"):
        array += Tensor([1.0, 2.0])
    np.testing.assert_array_equal(array, [1.0, 1.0])
    x = kept = Tensor([1.0, 2.0])
    x += 1.0
    assert x is not kept
    np.testing.assert_array_equal(kept.value, [1.0, 2.0])


def test_repr_shows_name_shape_value_and_line() -> None:
    x = Tensor([[1.0, 2.0]], name="weights")
    assert repr(x).startswith("<tensor 'weights' (1, 2), value 1 ... 2, test_protocols.py:")
    y = x.sum()
    assert repr(y).startswith("<sum 'sum#")
    assert "no value" in repr(y)
    y.forward()
    assert "value 3" in repr(y)
    assert "value []" in repr(Tensor(np.zeros((0, 2))))
    assert "nan" in repr(Tensor([np.nan, 1.0]))
    for thing in (autodiff.get_backend(), y.op, x.parents, Tensor(0.0)):
        assert repr(thing)


@pytest.mark.parametrize("shape", [(8,), (17, 15), (3, 0, 4), (2, 2, 3)])
def test_buffers_of_tensors_begin_on_a_cache_line(shape):
    source = np.random.default_rng(0).normal(size=shape)
    for tensor in (Tensor(source), Tensor(shape=shape)):
        tensor.assign(source)
        assert source.size < 8 or tensor.stored.ctypes.data % 64 == 0
        assert tensor.stored.flags.c_contiguous
        np.testing.assert_array_equal(tensor.value, source)
