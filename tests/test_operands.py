"""What may stand beside a node in an expression: numbers by value, all else refused by name.

Refused is what would be taken in silence for less than it is: nodes within lists, whose
gradient would be lost, masks, units, imaginary parts.
"""

from __future__ import annotations

import array
import fractions
from collections import UserList, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import autodiff
from autodiff import Node, Tensor
from autodiff.errors import AutodiffError, DTypeError, RecordingError

OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "x * y": lambda x, y: x * y,
    "add(y, x)": lambda x, y: autodiff.add(y, x),
    "x == y": lambda x, y: x == y,
    "x @ y": lambda x, y: x @ y,
    "x ** y": lambda x, y: x**y,
    "where": lambda x, y: autodiff.where(x, y, 0.0),
    "concat": lambda x, y: autodiff.concat([x, y], 0),
    "stack": lambda x, y: autodiff.stack([y, x]),
    "Tensor": lambda x, y: Tensor(y),
    "assign": lambda x, y: Tensor([1.0, 2.0]).assign(y),
    "tanh": lambda x, y: autodiff.tanh(y),
    "abs": lambda x, y: autodiff.abs(y),
    "sum": lambda x, y: autodiff.sum(y),
    "softmax": lambda x, y: autodiff.softmax(y),
    "reshape": lambda x, y: autodiff.reshape(y, -1),
    "transpose": lambda x, y: autodiff.transpose(y),
    "getitem": lambda x, y: autodiff.getitem(y, 0),
    "take": lambda x, y: autodiff.take(x, y),
    "seed": lambda x, y: autodiff.gradients(Tensor([1.0, 2.0]) * 1.0, [], y),
    "backward": lambda x, y: (Tensor([1.0, 2.0]) * 1.0).backward(y),
    "np.add": lambda x, y: np.add(y, x),
}
operations = pytest.mark.parametrize("name", OPERATIONS)


class Metres(np.ndarray):
    """An array with a unit, as packages of quantities have."""

    def __array_ufunc__(self, *args: Any, **options: Any) -> Any:
        return NotImplemented


def object_array(*items: Any) -> np.ndarray:
    made = np.empty(len(items), object)
    for i, item in enumerate(items):
        made[i] = item
    return made


a = Tensor(2.0)
c = Tensor(3.0, constant=True)
itself: list[Any] = []
itself += [itself, itself]

REFUSED: dict[str, tuple[Any, str]] = {
    "nodes": ([a, a], r"autodiff\.stack"),
    "constant nodes": ((c, c), r"autodiff\.stack"),
    "one node of two": ([1.0, a], r"autodiff\.stack"),
    "nodes deep": ([[[1.0], [a]]], r"autodiff\.stack"),
    "nodes beside arrays": ([np.ones(2), (1.0, c)], r"autodiff\.stack"),
    "a deque of nodes": (deque([c, c]), r"autodiff\.stack"),
    "a list of one's own": (UserList([c, 1.0]), r"autodiff\.stack"),
    "an array of nodes": (object_array(a, a), r"autodiff\.stack"),
    "a masked array": (np.ma.masked_array([1.0, 2.0], [0, 1]), r"MaskedArray.*filled"),
    "an unmasked one": (np.ma.masked_array([1.0, 2.0]), r"MaskedArray.*filled"),
    "masked": (np.ma.masked, r"Masked.*filled"),
    "masked arrays in a list": ([np.ma.masked_array([1.0, 2.0], [0, 1])], r"MaskedArray.*filled"),
    "complex": (np.array([3 + 4j, 1.0]), r"complex128.*real part"),
    "a complex number": (3 + 4j, r"complex128.*real part"),
    "complex in a list": ([1.0, 2j], r"complex128.*real part"),
    "a quantity": (np.ones(2).view(Metres), r"Metres.*asarray"),
    "a record": (np.zeros(2, [("p", float), ("q", float)]), r"fields: p, q"),
    "sparse": (scipy.sparse.csr_array(np.eye(2)), "toarray"),
    "a sparse matrix": (scipy.sparse.csr_matrix(np.eye(2)), "toarray"),
    "a dictionary": ({0: 1.0}, "object"),
    "a set": ({1.0}, "object"),
    "a generator": ((x for x in (1.0, 2.0)), "object"),
    "a fraction": (fractions.Fraction(1, 2), r"float\(x\)"),
    "a long integer": (2**70, r"float\(x\)"),
    "text": ("ab", "<U2"),
    "None": (None, "None"),
    "ragged": ([[1.0], [1.0, 2.0]], "not a rectangular array"),
    "a list of itself": (itself, "nested more than 64 times"),
}


@operations
@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_lose_a_part_is_refused(kind: str, name: str) -> None:
    operand, message = REFUSED[kind]
    if operand is None and name in ("backward", "seed", "Tensor"):
        pytest.skip("None stands for something there")
    for x in (Tensor([1.0, 2.0]), Tensor([1.0, 2.0], constant=True)):
        with pytest.raises((AutodiffError, TypeError), match=message) as caught:
            OPERATIONS[name](x, operand)
        assert isinstance(caught.value, AutodiffError) or name in ("np.add", "concat")


@operations
@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_in_a_step_too(kind: str, name: str) -> None:
    operand, message = REFUSED[kind]
    if name in ("backward", "assign", "seed") or (name == "Tensor" and operand is None):
        pytest.skip("takes a tensor of its own")
    step = autodiff.compile(lambda x: OPERATIONS[name](x, operand))
    with pytest.raises((AutodiffError, TypeError), match=message):
        step([1.0, 2.0])


def test_recorded_values_in_lists_are_refused() -> None:
    for call in (
        lambda x: x * [x[0], x[1]],
        lambda x: autodiff.tanh([[x]]),
        lambda x: Tensor([x, x]),
        lambda x: np.mean([x, 2.0 * x]),
        lambda x: np.array([x, x]),
        lambda x: np.fft.fft(x),
        lambda x: scipy.sparse.eye(2) @ x,
    ):
        with pytest.raises(
            (RecordingError, DTypeError, TypeError), match=r"stack|no op|no numbers"
        ):
            autodiff.compile(call)(np.ones(2))


TAKEN: dict[str, Any] = {
    "a list": [1.0, 2],
    "a tuple of numpy's numbers": (np.float32(1.0), np.int8(2)),
    "a list of arrays": [np.array(1.0), np.array(2)],
    "a range": range(1, 3),
    "an array of Python": array.array("d", [1.0, 2.0]),
    "a buffer": memoryview(np.array([1.0, 2.0])),
    "a deque": deque([1.0, 2.0]),
    "long doubles": np.array([1, 2], np.longdouble),
    "every second": np.array([1.0, 0.0, 2.0])[::2],
    "a mapped file": np.array([1.0, 2.0]).view(np.memmap),
    "booleans and more": np.array([True, True]) + np.array([0, 1], np.uint8),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_numbers_are_taken_by_value(kind: str) -> None:
    operand, x = TAKEN[kind], Tensor([3.0, 4.0])
    for node in (
        x * operand,
        operand * x if not isinstance(operand, (list, tuple)) else x * operand,
    ):
        assert isinstance(node, Node)
        np.testing.assert_array_equal(node.value, [3.0, 8.0])
    np.testing.assert_array_equal(Tensor(operand).value, [1.0, 2.0])
    np.testing.assert_array_equal(autodiff.square(operand), [1.0, 4.0])


@pytest.mark.parametrize("op", ["mul", "rmul", "add", "gt", "eq", "ne", "np.multiply", "matmul"])
def test_tables_of_pandas_are_operands_on_either_side(op: str) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    series = pandas.Series([1.0, 2.0], index=["a", "b"])
    frame = pandas.DataFrame({"p": [1, 2], "q": [3.0, 4.0]})
    x = Tensor([3.0, 2.0])
    apply: dict[str, Callable[[Any, Any], Any]] = {
        "mul": lambda x, y: x * y,
        "rmul": lambda x, y: y * x,
        "add": lambda x, y: y + x,
        "gt": lambda x, y: y < x,
        "eq": lambda x, y: y == x,
        "ne": lambda x, y: y != x,
        "np.multiply": lambda x, y: np.multiply(y, x),
        "matmul": lambda x, y: x @ y,
    }
    for table in (series, frame):
        node = apply[op](x, table)
        assert isinstance(node, Node)
        np.testing.assert_array_equal(node.value, apply[op](x.value, table.to_numpy(float)))


def test_tables_that_hold_no_numbers_are_refused() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    x = Tensor([3.0, 2.0])
    for table in (
        pandas.Series([x[0], x[1]], dtype=object),
        pandas.DataFrame({"p": [1.0, 2.0], "q": ["a", "b"]}),
        pandas.Series(pandas.date_range("2017-04-17", periods=2)),
        pandas.Categorical(["a", "b"]),
    ):
        for call in (lambda t: x * t, lambda t: t * x, Tensor):
            with pytest.raises((DTypeError, TypeError)):
                call(table)


# ---- nodes and recorded values can do what arrays can ------------------------------------

METHODS: dict[str, Callable[[Any], Any]] = {
    "copy": lambda v: v.copy(),
    "ravel": lambda v: v.ravel(),
    "flatten": lambda v: v.flatten(),
    "squeeze": lambda v: v[:1].squeeze(),
    "squeeze(0)": lambda v: v[:1].squeeze(0),
    "swapaxes": lambda v: v.swapaxes(0, 1),
    "reshape": lambda v: v.reshape(3, 2),
    "reshape(tuple)": lambda v: v.reshape((3, -1)),
    "transpose": lambda v: v.transpose(),
    "transpose(axes)": lambda v: v.transpose(1, 0),
    "transpose(tuple)": lambda v: v.transpose((1, 0)),
    "T": lambda v: v.T,
    "sum": lambda v: v.sum(axis=0),
    "mean": lambda v: v.mean(1, keepdims=True),
    "max": lambda v: v.max(axis=1),
    "min": lambda v: v.min(axis=0),
    "astype": lambda v: v.astype(float),
    "astype(name)": lambda v: v.astype("float64"),
    "dtype": lambda v: v * (v.dtype == np.float64),
    "ndim": lambda v: v * v.ndim,
    "size": lambda v: v * v.size,
    "len": lambda v: v * len(v),
    "rows": lambda v: sum(v),
    "==": lambda v: v == 2.0,
    "!=": lambda v: v != 2.0,
    "abs": lambda v: abs(-v),
    "pos": lambda v: +v,
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_arrays(name: str) -> None:
    array = np.array([[3.0, 1.0, 2.0], [2.0, 5.0, -1.0]])
    function = METHODS[name]
    expected = np.asarray(function(array), float)
    np.testing.assert_array_equal(function(Tensor(array)).value, expected)
    np.testing.assert_array_equal(function(Tensor(array) * 1.0).value, expected)
    w = Tensor(array)
    np.testing.assert_array_equal(autodiff.compile(function)(array), expected)
    np.testing.assert_array_equal(autodiff.compile(lambda: function(w.value))(), expected)
    if name != "copy":  # of a node, with the numbers of a moment
        np.testing.assert_array_equal(autodiff.compile(lambda: function(w))(), expected)


def test_numbers_on_purpose() -> None:
    x = Tensor([[1.0, 2.5]])
    assert x.tolist() == (x * 1.0).tolist() == [[1.0, 2.5]]
    assert f"{x[0, 1]:.3f}" == "2.500"
    assert f"{x.sum():8.1e}" == " 3.5e+00"
    assert f"{x}" == repr(x)
    for ask in (lambda x: f"{x:.3f}", float, lambda x: x.item()):
        with pytest.raises(ValueError, match=r"only a node of one element.*x is node"):
            ask(x)


def test_a_copy_of_a_tensor_has_a_buffer_of_its_own() -> None:
    x = Tensor([1.0, 2.0])
    twin = x.copy()
    x.assign([5.0, 6.0])
    np.testing.assert_array_equal(twin.value, [1.0, 2.0])


@pytest.mark.parametrize("dtype", [np.float32, int, "complex", bool, object, "nonsense", 7])
def test_other_types_are_refused(dtype: Any) -> None:
    with pytest.raises(DTypeError, match=r"astype: a node holds float64"):
        Tensor(1.0).astype(dtype)
    with pytest.raises(DTypeError, match=r"astype: a node holds float64"):
        autodiff.compile(lambda x: x.astype(dtype))(1.0)
