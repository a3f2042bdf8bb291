"""Arguments that are no axes, shapes, counts or parts: one clear error, everywhere alike.

Each public function is given every bad argument, on a node, on an array, and within a compiled
step. What comes out is either right or an error of this library.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor
from autodiff.errors import AutodiffError, DTypeError, GradientError, IndexRangeError, ShapeError

HUGE = 10**5000  # Python refuses to write it down

BAD_WHOLE_NUMBERS: dict[str, Any] = {
    "None": None,
    "True": True,
    "numpy's True": np.bool_(True),
    "1.0": 1.0,
    "0.5": 0.5,
    "nan": float("nan"),
    "numpy's float": np.float64(1.0),
    "a complex number": 1j,
    "a name": "rows",
    "bytes": b"1",
    "a digit": "1",
    "2^63": 2**63,
    "2^64": 2**64,
    "huge": HUGE,
    "minus huge": -HUGE,
    "an array of axes": np.array([[0]]),
    "an array of a fraction": np.array(0.5),
    "an array of objects": np.array([None]),
    "a node": Tensor(0.0),
    "nodes": [Tensor(0.0)],
    "an object": object(),
    "a class": float,
    "a slice": slice(0, 1),
    "dots": Ellipsis,
    "a dictionary": {0: 1},
    "a set": {0},
    "a date": np.datetime64("2017-04-17"),
    "a list of None": [None],
    "a list of names": ["a"],
    "a range without end": range(2**62),
    "a counter": itertools.count(),
    "sixty-five": [1] * 65,
}
bad_numbers = pytest.mark.parametrize(
    "bad", BAD_WHOLE_NUMBERS.values(), ids=BAD_WHOLE_NUMBERS.keys()
)

AXIS: dict[str, Callable[[Any, Any], Any]] = {
    "concat": lambda x, bad: autodiff.concat([x, x], bad),
    "stack": lambda x, bad: autodiff.stack([x, x], bad),
    "split": lambda x, bad: autodiff.split(x, 1, bad),
    "swapaxes": lambda x, bad: autodiff.swapaxes(x, 0, bad),
    "expand_dims": lambda x, bad: autodiff.expand_dims(x, bad),
    "transpose": lambda x, bad: autodiff.transpose(x, (0, bad)),
    "softmax": lambda x, bad: autodiff.softmax(x, [bad]),
    "sum": lambda x, bad: autodiff.sum(x, (0, bad)),
    "mean": lambda x, bad: autodiff.mean(x, (bad,)),
    "max": lambda x, bad: autodiff.max(x, [bad, 0]),
    "min": lambda x, bad: autodiff.min(x, [bad, 0]),
    "logsumexp": lambda x, bad: autodiff.logsumexp(x, [bad]),
    "log_softmax": lambda x, bad: autodiff.log_softmax(x, [bad]),
    "squeeze": lambda x, bad: autodiff.squeeze(x, [bad]),
    "reshape": lambda x, bad: autodiff.reshape(x, (bad, 3)),
    "broadcast_to": lambda x, bad: autodiff.broadcast_to(x, (bad, 2, 3)),
    "scatter_rows": lambda x, bad: autodiff.scatter_rows(x, [0, 0], n_rows=bad),
    "Tensor": lambda x, bad: Tensor(shape=(bad, 2)),
    "Tensor's shape": lambda x, bad: Tensor(shape=bad if bad is not None else (None,)),
}


@bad_numbers
@pytest.mark.parametrize("name", AXIS)
def test_what_is_no_axis_and_no_size(name: str, bad: Any) -> None:
    for x in (np.ones((2, 3)), Tensor(np.ones((2, 3)))):
        with pytest.raises((ShapeError, DTypeError), match=name.removesuffix("'s shape")) as caught:
            AXIS[name](x, bad)
        assert re.search(r"in test_arguments\.py:\d+\)$", str(caught.value))
    step = autodiff.compile(lambda x: AXIS[name](x, bad))
    with pytest.raises(AutodiffError, match=name.removesuffix("'s shape")):
        step(np.ones((2, 3)))


@pytest.mark.parametrize("axis", [0, np.int8(0), np.array(0), [0], (0,), range(1), np.array([0])])
def test_what_is_an_axis(axis: Any) -> None:
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(autodiff.sum(Tensor(x), axis).value, x.sum(0))
    np.testing.assert_allclose(autodiff.softmax(x, axis).sum(0), np.ones(3))
    assert autodiff.expand_dims(x, axis).shape == (1, 2, 3)
    if np.ndim(axis) == 0:
        assert autodiff.concat([x, x], axis).shape == (4, 3)
        assert autodiff.stack([x, x], axis).shape == (2, 2, 3)


@pytest.mark.parametrize("shape", [6, np.int64(6), [6], (6,), np.array([6]), np.array(6), (-1,)])
def test_what_is_a_shape(shape: Any) -> None:
    assert autodiff.reshape(Tensor(np.ones((2, 3))), shape).shape == (6,)
    if shape != (-1,):
        assert Tensor(shape=shape).shape == (6,)
        assert autodiff.broadcast_to(Tensor(1.0), shape).shape == (6,)


def test_arrays_that_no_memory_holds_are_refused_when_they_are_asked_for() -> None:
    x = Tensor([1.0])
    for shape in ((2**60,), (2**40, 2**40), (0, 2**63 - 1), (2**63 - 1,), [1] * 65):
        for build in (
            lambda shape=shape: autodiff.broadcast_to(x, shape),
            lambda shape=shape: Tensor(shape=shape),
            lambda shape=shape: autodiff.scatter_slice(x, index=slice(0, 1), shape=shape),
        ):
            with pytest.raises(ShapeError, match="no array can have the shape"):
                build()
    with pytest.raises(IndexRangeError, match="64 axes"):
        x[(None,) * 64]


@pytest.mark.parametrize("flag", [None, 2, 0.0, "no", np.ones(2), float, Tensor(1.0), []])
def test_a_switch_is_true_or_false(flag: Any) -> None:
    x = Tensor(np.ones((2, 3)))
    for reduce in (autodiff.sum, autodiff.mean, autodiff.max, autodiff.min, autodiff.logsumexp):
        with pytest.raises(ShapeError, match="keepdims must be True or False"):
            reduce(x, 0, flag)
    assert autodiff.sum(x, 0, 1).shape == autodiff.sum(x, 0, np.True_).shape == (1, 3)


@pytest.mark.parametrize("name", ["concat", "stack"])
@pytest.mark.parametrize(
    "parts",
    [None, 3, 2.5, "ab", {0: 1.0}, {1.0}, Tensor([1.0]), np.float64(1.0), itertools.count(), float],
)
def test_what_is_no_sequence_of_parts(name: str, parts: Any) -> None:
    function = getattr(autodiff, name)
    with pytest.raises(DTypeError, match=rf"{name}: the parts must be a list or a tuple"):
        function(parts)
    with pytest.raises(DTypeError, match=rf"{name}: the parts must be a list or a tuple"):
        autodiff.compile(lambda x: function(x))(np.ones(3))
    with pytest.raises(ShapeError, match=rf"{name}: there are no parts"):
        function([])
    with pytest.raises(DTypeError, match=rf"{name}: parts\[1\]"):
        function([Tensor([1.0]), None])


def test_parts_may_come_from_anything_with_an_order() -> None:
    x = Tensor([1.0, 2.0])
    for parts in ([x, x], (x, x), {0: x, 1: x}.values(), (x for _ in range(2)), np.ones((2, 2))):
        assert autodiff.concat(parts).shape == (4,)


@pytest.mark.parametrize(
    "sections",
    [2**64, pytest.param(HUGE, id="huge"), -1, 0, True, 2.0, None, "2", Tensor(2.0), [0.5]],
)
def test_what_is_no_number_of_sections(sections: Any) -> None:
    for x in (Tensor(np.ones((0, 4))), Tensor(np.ones((4, 0)))):
        for axis in (0, 1):
            with pytest.raises(ShapeError, match="split: x has shape"):
                autodiff.split(x, sections, axis)
    assert [part.shape for part in autodiff.split(Tensor(np.ones((0, 4))), 3, 0)] == [(0, 4)] * 3


def test_keywords_that_an_op_does_not_know() -> None:
    x = Tensor([[-1.0, 2.0]])
    calls: list[tuple[Callable[[Any], Any], str]] = [
        (lambda x: autodiff.relu(x, alpha=0.1), r"relu: there is no argument 'alpha'.*\(x\)"),
        (lambda x: autodiff.softplus(x, beta=5.0), "softplus: .*'beta'"),
        (lambda x: autodiff.add(x, x, out=None), r"add: .*'out'.*\(x, y\)"),
        (lambda x: autodiff.add(x, 1.0, y=2.0), "add: 'y' is given twice"),
        (lambda x: autodiff.where(x, x), r"where: y must be given.*\(condition, x, y\)"),
        (lambda x: autodiff.tanh(), r"tanh: x must be given"),
        (lambda x: autodiff.tanh(x, x, x), r"tanh: 3 operands are given"),
        (lambda x: autodiff.softmax(x, beta=5.0), r"softmax\(\).*'beta'"),
        (lambda x: autodiff.take(x, [0], dim=1), r"take\(\).*'dim'"),
        (lambda x: autodiff.scatter_rows(x, [0]), r"scatter_rows\(\).*'n_rows'"),
        (lambda x: x.sum(dim=0), r"sum\(\).*'dim'"),
    ]
    for call, message in calls:
        for function in (call, autodiff.compile(call)):
            for given in (x, x.value) if function is call else (x.value,):
                if isinstance(given, np.ndarray) and "dim" in message:
                    continue
                with pytest.raises(TypeError, match=message):
                    function(given)


def test_operands_may_be_given_by_name() -> None:
    x, y = Tensor([1.0, -2.0]), np.array([0.5, 0.5])
    np.testing.assert_array_equal(autodiff.add(y=y, x=x).value, [1.5, -1.5])
    np.testing.assert_array_equal(autodiff.subtract(x, y=y).value, [0.5, -2.5])
    np.testing.assert_array_equal(autodiff.where(x=x, y=0.0, condition=x > 0.0).value, [1.0, 0.0])
    np.testing.assert_array_equal(autodiff.take(x, rows=[1]).value, [-2.0])


def test_indices_are_checked_in_the_adjoint_too() -> None:
    x = Tensor([1.0, 2.0])
    np.testing.assert_array_equal(
        autodiff.scatter_slice(x, index=slice(1, 3), shape=4).value, [0.0, 1.0, 2.0, 0.0]
    )
    np.testing.assert_array_equal(
        autodiff.scatter_slice(x, index=((3, -1, -2),), shape=(4,)).value, [0.0, 2.0, 0.0, 1.0]
    )
    for index in ((0, 9, 1), (0, 2), (0, 2, 0), (0, 2.0, 1), (-1, 1, 1)):
        with pytest.raises(IndexRangeError, match="scatter_slice"):
            autodiff.scatter_slice(x, index=(index,), shape=(4,))
    for index in (9, 0.5, "a", [0, 1], True, None):
        with pytest.raises((IndexRangeError, ShapeError), match="scatter_slice"):
            autodiff.scatter_slice(x, index=index, shape=(4,))
    with pytest.raises(ShapeError, match=r"x has shape \(2,\), z\[index\] has shape \(3,\)"):
        autodiff.scatter_slice(x, index=slice(0, 3), shape=(4,))


def test_a_mask_is_no_list_of_rows() -> None:
    x = Tensor(np.ones((3, 2)))
    for rows in ([True, False, True], np.array([True, False, True]), True):
        with pytest.raises(IndexRangeError, match=r"take.*where"):
            autodiff.take(x, rows)
        with pytest.raises(IndexRangeError, match=r"scatter_rows.*where"):
            autodiff.scatter_rows(x, rows, n_rows=4)


@pytest.mark.parametrize(
    "index", [slice(None, None, 2**70), slice(None, None, -(2**70)), slice(2**70)]
)
def test_bounds_of_any_size(index: slice, backend: Any) -> None:
    x = np.arange(3.0)
    np.testing.assert_array_equal(Tensor(x)[index].value, x[index])
    np.testing.assert_array_equal(autodiff.compile(lambda x: x[index])(x), x[index])


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "max", "min", "logsumexp", "mean"])
def test_no_rows_of_nothing_are_no_error(name: str, backend: Any) -> None:
    function = getattr(autodiff, name)
    for shape, axis in (((5, 0, 0), -1), ((0, 0), 0), ((3, 0, 2), 2)):
        x = Tensor(np.ones(shape))
        z = function(x, axis)
        if name.endswith("softmax"):
            assert z.value.shape == shape
        else:
            assert z.value.size == 0
        z.backward(np.ones(z.shape))
        assert x.gradient.shape == shape
    with pytest.raises(ShapeError, match=f"{name}: nothing to reduce"):
        function(Tensor(np.ones((3, 0))), 1)


# ---- plain arrays are checked as nodes are ---------------------------------------------

MISFITS: list[Callable[[Any, Any], Any]] = [
    autodiff.add,
    autodiff.maximum,
    autodiff.equal,
    autodiff.not_equal,
    autodiff.matmul,
    lambda x, y: autodiff.where(x, y, 0.0),
    lambda x, y: autodiff.concat([x, y], 0),
    lambda x, y: autodiff.scatter_rows(x, y, n_rows=3),
]


@pytest.mark.parametrize("call", MISFITS)
def test_shapes_of_arrays_are_checked_as_those_of_nodes(call: Any) -> None:
    x, y = np.ones((2, 3)), np.ones((4, 5))
    with pytest.raises(ShapeError) as of_arrays:
        call(x, y)
    with pytest.raises(ShapeError) as of_nodes:
        call(Tensor(x), Tensor(y))
    assert main_part(of_arrays.value) == main_part(of_nodes.value)


def main_part(error: BaseException) -> str:
    """The message without which nodes and which line."""
    return re.sub(r" \([^()]* is .*\)$| \(in [^()]*\)$", "", str(error))


# ---- gradients -------------------------------------------------------------------------


def test_gradients_of_what_is_no_node() -> None:
    x = Tensor([1.0, 2.0])
    y = (x * x).sum()
    for xs in (x.value, [x.value], 1.0, None, "x", [x, 1.0], np.ones((2, 2)), {"x": x}):
        with pytest.raises(
            GradientError, match=r"gradients: x.* no node; .*x = autodiff\.Tensor\(x\)"
        ):
            autodiff.gradients(y, xs)
    for no_node in (1.0, None, np.ones(2), [y]):
        with pytest.raises(GradientError, match="gradients: y is a "):
            autodiff.gradients(no_node, x)
    for call in (
        lambda v: autodiff.gradients(autodiff.sum(v * v), v),
        lambda v: autodiff.gradients(autodiff.sum(v * v), [v]),
        lambda v: autodiff.gradients(y, v),
        lambda v: autodiff.gradients(y, [x, v]),
    ):
        with pytest.raises(GradientError, match=r"gradients: .*recorded value.*autodiff\.Tensor"):
            autodiff.compile(call)(np.ones(2))
    step = autodiff.compile(lambda v: autodiff.gradients(y * v, x))
    np.testing.assert_array_equal(step(3.0), [6.0, 12.0])
