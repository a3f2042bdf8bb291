"""Arrays of which a part is another: what ``x[index] = v`` is for arrays, as a new value.

Nodes never change. ``x.at[index].set(v)`` is x with v in the place of x[index]; the gradient of
what was replaced goes to v.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.array import Shape, is_operand
from autodiff.declare import declare, numpy_name
from autodiff.errors import IndexRangeError, ShapeError
from autodiff.op import Example, Sample
from autodiff.ops.arguments import axis_of, operand
from autodiff.ops.arithmetic import add, divide, multiply
from autodiff.ops.choosing import take_along_axis
from autodiff.ops.elementwise import greater_equal, maximum, minimum, where
from autodiff.ops.gather import is_advanced
from autodiff.ops.index import Index, indexed_shape, normalise_index, whole_index
from autodiff.ops.parts import concat, getitem, scatter_slice
from autodiff.ops.powers import power
from autodiff.ops.rows import scatter_rows, take
from autodiff.ops.shape import broadcast_to, reshape
from autodiff.refusal import refusal

__all__ = ["index_update"]


class At:
    """``x.at``: takes an index, and says what the part of x becomes."""

    __slots__ = ("_x",)

    def __init__(self, x: Any) -> None:
        self._x = x

    def __getitem__(self, index: Any) -> Part:
        return Part(self._x, index)


class Part:
    """``x.at[index]``: each method gives the whole of x, with that part another.

    Where an index names an element several times, `set` leaves the last value; the others
    do what they do once for each.
    """

    __slots__ = ("_index", "_x")

    def __init__(self, x: Any, index: Any) -> None:
        self._x = x
        self._index = index

    def get(self) -> Any:
        """x[index]."""
        return getitem(self._x, self._index)

    def set(self, values: Any) -> Any:
        """x with `values` there, which broadcast to its shape."""
        return index_update(self._x, self._index, values)

    def add(self, values: Any) -> Any:
        """x with `values` added there."""
        return _added(operand("at", self._x), self._index, values)

    def subtract(self, values: Any) -> Any:
        """x with `values` subtracted there."""
        return self.add(-operand("at", values, "values"))

    def multiply(self, values: Any) -> Any:
        """x multiplied there."""
        return _applied(operand("at", self._x), self._index, values, multiply)

    def divide(self, values: Any) -> Any:
        """x divided there."""
        return _applied(operand("at", self._x), self._index, values, divide)

    def power(self, values: Any) -> Any:
        """x raised there to powers."""
        return _applied(operand("at", self._x), self._index, values, power)

    def min(self, values: Any) -> Any:
        """x, but no more than `values` there."""
        return _applied(operand("at", self._x), self._index, values, minimum)

    def max(self, values: Any) -> Any:
        """x, but no less than `values` there."""
        return _applied(operand("at", self._x), self._index, values, maximum)


def index_update(x: Any, index: Any, values: Any) -> Any:
    """x with `values` in the place of x[index]: ``x.at[index].set(values)``.

    index : as for :func:`autodiff.getitem`; values broadcast to the shape of x[index]. Where an
    element is named several times, the last value counts.

    Raises
    ------
    IndexRangeError, ShapeError
    """
    x = operand("index_update", x)
    if is_advanced(index):
        numbers = _numbers(x, index)
        values = _fitted(x, values, numbers.shape)
        return put(x, numbers, values, distinct=False)
    try:
        normal = normalise_index(x.shape, index, "index_update")
    except IndexRangeError as error:
        raise refusal(IndexRangeError, str(error), x=x) from None
    values = _fitted(x, values, indexed_shape(x.shape, normal))
    return _put_slice(x, normal, values)


def _fitted(x: Any, values: Any, shape: Shape) -> Any:
    """The values in the shape of the part, to which they broadcast."""
    v = operand("index_update", values, "values")
    have = v.shape
    while len(have) > len(shape) and have[0] == 1:
        have = have[1:]
    pairs = zip(have[::-1], shape[::-1])  # noqa: B905 - the axes in front are new
    if len(have) > len(shape) or any(n not in (1, m) for n, m in pairs):
        raise refusal(
            ShapeError,
            f"index_update: values has shape {v.shape}, x[index] has shape {shape}",
            x=x,
            values=v,
        )
    return broadcast_to(reshape(v, have), shape)


# ---- slices -----------------------------------------------------------------------------


def _put_slice(x: Any, index: Index, values: Any) -> Any:
    shape = x.shape
    if index == whole_index(shape):
        return values
    spans = [(i, i + 1, 1) if isinstance(i, int) else i for i in index if i is not None]
    whole = [(0, n, 1) for n in shape]
    cut = [axis for axis, span in enumerate(spans) if span != whole[axis]]
    if len(cut) == 1 and spans[cut[0]][2] == 1:
        (axis,) = cut
        start, stop, _ = spans[axis]
        if stop <= start:
            return x
        block = reshape(values, (*shape[:axis], stop - start, *shape[axis + 1 :]))
        before = [slice(None)] * axis
        parts = [
            *([getitem(x, (*before, slice(start)))] if start else []),
            block,
            *([getitem(x, (*before, slice(stop, None)))] if stop < shape[axis] else []),
        ]
        return concat(parts, axis)
    there = np.ones(values.shape)
    mask = scatter_slice.normal(there, index=index, shape=shape)
    return where(mask, scatter_slice.normal(values, index=index, shape=shape), x)


# ---- by number --------------------------------------------------------------------------


def _numbers(x: Any, index: Any) -> Any:
    """The positions of the elements of x[index], all elements counted row by row."""
    return getitem(np.arange(float(math.prod(x.shape))).reshape(x.shape), index)


def put(x: Any, numbers: Any, values: Any, *, distinct: bool) -> Any:
    """x with values at these positions."""
    size = math.prod(x.shape)
    if not is_operand(numbers) and not math.prod(numbers.shape):
        return x
    last = _last_of.normal(reshape(numbers, -1), size=size, distinct=distinct)
    flat = reshape(values, -1)
    if not math.prod(values.shape):  # none now; that there are none is checked when it is computed
        flat = np.zeros(1)
    chosen = take(flat, maximum(last, 0.0))
    return reshape(where(greater_equal(last, 0.0), chosen, reshape(x, -1)), x.shape)


def _added(x: Any, index: Any, values: Any) -> Any:
    if not is_advanced(index):
        try:
            normal = normalise_index(x.shape, index, "at")
        except IndexRangeError as error:
            raise refusal(IndexRangeError, str(error), x=x) from None
        v = _fitted(x, values, indexed_shape(x.shape, normal))
        return add(x, scatter_slice.normal(v, index=normal, shape=x.shape))
    numbers = _numbers(x, index)
    v = _fitted(x, values, numbers.shape)
    size = math.prod(x.shape)
    onto = scatter_rows.normal(reshape(v, -1), reshape(numbers, -1), n_rows=size)
    return add(x, reshape(onto, x.shape))


def _applied(x: Any, index: Any, values: Any, function: Callable[[Any, Any], Any]) -> Any:
    """x, of which the part was made another by `function`, once for each time it is named."""
    if not is_advanced(index):
        part = getitem(x, index)
        return index_update(x, index, function(part, _fitted(x, values, part.shape)))
    numbers = _numbers(x, index)
    v = reshape(_fitted(x, values, numbers.shape), -1)
    numbers = reshape(numbers, -1)
    if is_operand(numbers):
        made = function(take(reshape(x, -1), numbers), v)
        return put(x, numbers, made, distinct=True)
    for which in _rounds(numbers):
        of_round = numbers[which]
        made = function(take(reshape(x, -1), of_round), take(v, which))
        x = put(x, of_round, made, distinct=True)
    return x


def _rounds(numbers: Any) -> list[Any]:
    """Which of the numbers come for the first time, for the second time, ..."""
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)])
    lengths = np.diff(np.r_[begins, len(ordered)])
    time = np.empty(len(ordered), np.intp)
    time[order] = np.arange(len(ordered)) - np.repeat(begins, lengths)
    return [np.flatnonzero(time == k) for k in range(int(time.max(initial=-1)) + 1)]


def repeated(number: float) -> str:
    """What is said of an element that is named twice where only one can be meant."""
    return (
        f"at: element {number:g}, counted row by row, is named more than once by an index that is "
        "a node; that is possible with set and add, or with an index that is known"
    )


def _last_shape(numbers: Shape, *, size: int, distinct: bool) -> Shape:
    return (size,)


@declare(
    shape=_last_shape,
    backward=(None,),
    ulps=0.0,
    examples=[
        Example((Sample((6,), 0, 4, "integer"),), {"size": 4, "distinct": False}),
        Example((Sample((2, 3), -5, 5, "integer"),), {"size": 5, "distinct": False}),
        Example((Sample((), 0, 3, "integer"),), {"size": 3, "distinct": True}),
    ],
    empty=(
        Example((Sample((0,), 0, 1, "integer"),), {"size": 3, "distinct": True}),
        Example((Sample((0,), 0, 1, "integer"),), {"size": 0, "distinct": False}),
    ),
)
def _last_of(numbers: Any, *, size: int, distinct: bool) -> Any:
    """z = for each of `size` numbers at which place it comes last, -1 if it does not come.

    distinct : a number that comes twice is an error.
    """
    wanted = np.asarray(numbers).real.reshape(-1)
    bad = ~((wanted >= -size) & (wanted < size) & (wanted == np.floor(wanted)))
    if bad.any():
        raise IndexRangeError(f"at: {wanted[bad][0]:g} is no element of {size}")
    whole = wanted.astype(np.intp) % max(size, 1)
    z = np.full(size, -1.0)
    z[whole] = np.arange(float(whole.size))  # the last one stays
    if distinct and np.count_nonzero(z >= 0.0) < whole.size:
        raise IndexRangeError(repeated(float(np.argmax(np.bincount(whole)))))
    return z


# ---- NumPy's, which write into what they are given --------------------------------------


@numpy_name("numpy.put_along_axis")
def put_along_axis(
    arr: Any, indices: Any, values: Any, axis: int | None, *, inplace: bool = True
) -> Any:
    """arr with `values` at numbers along one axis, as argsort gives them: with inplace=False."""
    x = operand("put_along_axis", arr, "arr")
    if inplace:
        raise _in_place("put_along_axis(arr, indices, values, axis, inplace=False)", x)
    flat = axis is None
    whole = reshape(x, -1) if flat else x
    i = 0 if flat else axis_of("put_along_axis", x, axis)
    size = math.prod(whole.shape)
    numbers = take_along_axis(np.arange(float(size)).reshape(whole.shape), indices, i)
    made = put(whole, numbers, _fitted(whole, values, numbers.shape), distinct=False)
    return reshape(made, x.shape)


@numpy_name("numpy.fill_diagonal")
def fill_diagonal(a: Any, val: Any, wrap: bool = False, *, inplace: bool = True) -> Any:
    """a with `val` on its main diagonal: with inplace=False."""
    x = operand("fill_diagonal", a, "a")
    if inplace:
        raise _in_place("fill_diagonal(a, val, inplace=False)", x)
    shape = x.shape
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise refusal(
            ShapeError,
            f"fill_diagonal: a has shape {shape}; it needs two axes, or more of one size",
            a=x,
        )
    size = math.prod(shape)
    step = shape[1] + 1 if len(shape) == 2 else 1 + sum(shape[0] ** k for k in range(1, len(shape)))
    end = size if wrap or len(shape) > 2 else min(size, shape[1] * shape[1])
    n = len(range(0, end, step))
    v = reshape(operand("fill_diagonal", val, "val"), -1)
    if not n or not v.shape[0]:
        return x
    made = index_update(reshape(x, -1), slice(0, end, step), take(v, np.arange(n) % v.shape[0]))
    return reshape(made, shape)


def _in_place(instead: str, x: Any) -> Exception:
    if not is_operand(x):
        return refusal(
            ShapeError,
            f"an array cannot be given elements that are nodes; y = autodiff.numpy.{instead} is "
            "a new node",
        )
    return refusal(
        ShapeError, f"a node never changes; y = autodiff.numpy.{instead} is a new one", x=x
    )
