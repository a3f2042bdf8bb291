"""Arrays made larger at their edges, in each of NumPy's ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.array import is_operand
from autodiff.declare import NAMES, numpy_name
from autodiff.errors import DTypeError, ShapeError
from autodiff.ops.arguments import brief, operand, whole_number
from autodiff.ops.arrange import cut
from autodiff.ops.orders import median
from autodiff.ops.parts import concat
from autodiff.ops.reduce import max as maximum_of
from autodiff.ops.reduce import mean
from autodiff.ops.reduce import min as minimum_of
from autodiff.ops.rows import take
from autodiff.ops.shape import broadcast_to
from autodiff.refusal import refusal

__all__ = ["pad"]

_Widths = list[tuple[int, int]]


@numpy_name("numpy.pad")
def pad(
    array: Any,
    pad_width: Any,
    mode: str = "constant",
    *,
    constant_values: Any = None,
    end_values: Any = None,
    stat_length: Any = None,
    reflect_type: str | None = None,
) -> Any:
    """array, made larger before and behind each axis by `pad_width`, as `mode` says.

    mode : one of NumPy's, by name. constant_values, end_values : may be nodes.
    """
    x = operand("pad", array, "array")
    given = {
        "constant_values": constant_values,
        "end_values": end_values,
        "stat_length": stat_length,
        "reflect_type": reflect_type,
    }
    if mode not in _MODES:
        raise refusal(ShapeError, f"pad: mode {brief(mode)} is none of {', '.join(_MODES)}")
    parameter, way = _MODES[mode]
    for name, value in given.items():
        if value is not None and name != parameter:
            raise refusal(ShapeError, f"pad: mode {mode!r} has no {name}")
    widths = _widths(x, pad_width)
    if 0 in x.shape and mode not in ("constant", "empty"):
        empty = [i for i, n in enumerate(x.shape) if n == 0 and any(widths[i])]
        if empty:
            raise refusal(
                ShapeError,
                f"pad: array has shape {x.shape}; mode {mode!r} cannot extend its empty axis "
                f"{empty[0]}",
                array=x,
            )
        way = _zeros
    return way(x, widths, given.get(parameter))


def _zeros(x: Any, widths: _Widths, _: Any) -> Any:
    return _constant(x, widths, None)


# ---- what is given for each side of each axis -------------------------------------------


def _widths(x: Any, pad_width: Any) -> _Widths:
    n = len(x.shape)
    if isinstance(pad_width, dict):
        pairs: list[Any] = [(0, 0)] * n
        for axis, width in pad_width.items():
            number = whole_number(axis)
            if number is None or not -n <= number < n:
                raise refusal(ShapeError, f"pad: array has no axis {brief(axis)}", array=x)
            pairs[number] = width if isinstance(width, tuple) else (width, width)
    else:
        pairs = _pairs("pad_width", x, pad_width)
    widths = []
    for pair in pairs:
        before, after = (whole_number(w) for w in pair)
        if before is None or after is None or before < 0 or after < 0:
            raise refusal(
                ShapeError,
                f"pad: pad_width must be of whole numbers, 0 or more, not {brief(pad_width)}",
                array=x,
            )
        widths.append((before, after))
    return widths


def _pairs(what: str, x: Any, given: Any) -> list[Any]:
    """A pair for each axis, of what may be a number, a pair, or a list of pairs."""
    n = len(x.shape)
    if isinstance(given, list | tuple) and _has_operand(given):
        given = NAMES["numpy.array"](given)
    values: Any = given if is_operand(given) else np.array(given, object)
    if is_operand(values):
        cells = broadcast_to(values, (n, 2))
        return [(cut(cut(cells, 0, i), 0, 0), cut(cut(cells, 0, i), 0, 1)) for i in range(n)]
    if values.shape == (1, 1) or values.shape == (1,):
        values = values.reshape(())
    try:
        return [tuple(pair) for pair in np.broadcast_to(values, (n, 2))]
    except ValueError:
        raise refusal(
            ShapeError,
            f"pad: {what} {brief(given)} is neither a number, nor a pair, nor one for each axis; "
            f"array has shape {x.shape}",
            array=x,
        ) from None


def _has_operand(values: Any) -> bool:
    if isinstance(values, list | tuple):
        return any(map(_has_operand, values))
    return is_operand(values)


# ---- modes ------------------------------------------------------------------------------


def _around(x: Any, axis: int, before: Any, after: Any) -> Any:
    """x with other arrays on both sides, or None."""
    parts = [part for part in (before, x, after) if part is not None]
    return parts[0] if len(parts) == 1 else concat(parts, axis)


def _filled(x: Any, axis: int, width: int, value: Any) -> Any:
    """`width` times a value, beside x; None if that is nothing."""
    if width == 0:
        return None
    return broadcast_to(value, (*x.shape[:axis], width, *x.shape[axis + 1 :]))


def _by_pairs(
    x: Any, widths: _Widths, pairs: list[Any], part: Callable[[Any, int, int, Any, bool], Any]
) -> Any:
    """x, with a part before it and one behind, along each axis in turn."""
    for axis, ((before, after), (low, high)) in enumerate(zip(widths, pairs, strict=True)):
        left, right = part(x, axis, before, low, False), part(x, axis, after, high, True)
        x = _around(x, axis, left, right)
    return x


def _constant(x: Any, widths: _Widths, values: Any) -> Any:
    def part(x: Any, axis: int, width: int, value: Any, behind: bool) -> Any:
        return _filled(x, axis, width, operand("pad", value, "constant_values"))

    pairs = _pairs("constant_values", x, 0.0 if values is None else values)
    return _by_pairs(x, widths, pairs, part)


def _linear_ramp(x: Any, widths: _Widths, values: Any) -> Any:
    def part(x: Any, axis: int, width: int, value: Any, behind: bool) -> Any:
        if width == 0:
            return None
        end = operand("pad", value, "end_values")
        edge = cut(x, axis, slice(x.shape[axis] - 1, None) if behind else slice(1))
        along = [-1 if i == axis else 1 for i in range(len(x.shape))]
        steps = np.arange(float(width)).reshape(along)
        ramp = steps * ((edge - end) / float(width)) + end
        return cut(ramp, axis, slice(None, None, -1)) if behind else ramp

    return _by_pairs(x, widths, _pairs("end_values", x, 0.0 if values is None else values), part)


def _statistic(function: Callable[..., Any]) -> Callable[..., Any]:
    def way(x: Any, widths: _Widths, lengths: Any) -> Any:
        def part(x: Any, axis: int, width: int, length: Any, behind: bool) -> Any:
            size = x.shape[axis]
            number = size if length is None else whole_number(length)
            if number is None or number < 0 or (number == 0 and function not in (mean, median)):
                raise refusal(
                    ShapeError, f"pad: stat_length {brief(length)} yields no value", array=x
                )
            if width == 0:
                return None
            chunk = cut(x, axis, slice(max(0, size - number), None) if behind else slice(number))
            return _filled(x, axis, width, function(chunk, axis=axis, keepdims=True))

        return _by_pairs(x, widths, _pairs("stat_length", x, lengths), part)

    return way


def _by_number(mode: str) -> Callable[..., Any]:
    """A mode in which every element is one of the array's."""

    def way(x: Any, widths: _Widths, _: Any) -> Any:
        for axis, (before, after) in enumerate(widths):
            if before or after:
                numbers = np.pad(np.arange(x.shape[axis]), (before, after), mode)  # type: ignore[call-overload]
                x = take(x, numbers, axis)
        return x

    return way


def _reflected(mode: str) -> Callable[..., Any]:
    def way(x: Any, widths: _Widths, kind: Any) -> Any:
        if kind not in (None, "even", "odd"):
            raise refusal(
                DTypeError, f"pad: reflect_type must be 'even' or 'odd', not {brief(kind)}"
            )
        if kind != "odd":
            return _by_number(mode)(x, widths, None)
        for axis, (before, after) in enumerate(widths):
            if x.shape[axis] == 1:
                x = _by_number("edge")(x, [(0, 0)] * axis + [(before, after)], None)
            else:
                x = _odd(x, axis, before, after, mode == "symmetric")
        return x

    return way


def _odd(x: Any, axis: int, before: int, after: int, with_edge: bool) -> Any:
    """Reflected in a point, the edge; again, as often as it takes."""
    original = x.shape[axis]
    while before or after:
        size = x.shape[axis]
        if with_edge:
            length = size // original * original
        else:
            length = (size - 1) // (original - 1) * (original - 1)
        first = 0 if with_edge else 1
        left = right = None
        if before:
            n = min(length, before)
            chunk = cut(cut(x, axis, slice(first, first + n)), axis, slice(None, None, -1))
            left = 2 * cut(x, axis, slice(1)) - chunk
            before -= n
        if after:
            n = min(length, after)
            joined = x if left is None else concat([left, x], axis)
            stop = joined.shape[axis] - first
            chunk = cut(cut(joined, axis, slice(stop - n, stop)), axis, slice(None, None, -1))
            right = 2 * cut(joined, axis, slice(joined.shape[axis] - 1, None)) - chunk
            after -= n
        x = _around(x, axis, left, right)
    return x


_MODES: dict[str, tuple[str, Callable[..., Any]]] = {
    "constant": ("constant_values", _constant),
    "edge": ("", _by_number("edge")),
    "linear_ramp": ("end_values", _linear_ramp),
    "maximum": ("stat_length", _statistic(maximum_of)),
    "mean": ("stat_length", _statistic(mean)),
    "median": ("stat_length", _statistic(median)),
    "minimum": ("stat_length", _statistic(minimum_of)),
    "reflect": ("reflect_type", _reflected("reflect")),
    "symmetric": ("reflect_type", _reflected("symmetric")),
    "wrap": ("", _by_number("wrap")),
    "empty": ("", _zeros),
}
"""By the name of a mode, the parameter that it has, and what does it."""
