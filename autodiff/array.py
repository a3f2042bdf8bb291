"""The border between the user's arrays and the engine's float64 buffers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from numbers import Number
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from autodiff.errors import AutodiffError, DTypeError

__all__ = [
    "Array",
    "Shape",
    "aligned_copy",
    "as_float64",
    "is_float64",
    "is_operand",
]

Array: TypeAlias = NDArray[np.float64]
Shape: TypeAlias = tuple[int, ...]


_FLOAT64 = np.dtype(np.float64)
_LINE = 8  # doubles in a cache line


def is_float64(value: Any) -> TypeGuard[Array]:
    """Whether `value` is an array that the engine takes as it is."""
    if type(value) is not np.ndarray or value.dtype is not _FLOAT64:
        return False
    flags = value.flags
    return flags.c_contiguous and flags.aligned


def is_operand(x: Any) -> bool:
    """Whether `x` is a node or a recorded value: has its own way with ops."""
    return hasattr(type(x), "__autodiff_apply__")


def as_float64(value: Any, what: str = "value") -> Array:
    """Return `value` as a C-contiguous, aligned float64 array, copied only if needed.

    Integers, booleans and narrower floats are converted; strided, Fortran-ordered and
    byte-swapped arrays are copied. Refused are complex, object, string and date arrays, and
    whatever would lose its meaning: nodes within lists, masked arrays, matrices.

    Raises
    ------
    DTypeError
        If `value` is not an array of real numbers. `what` names it in the message.
    """
    if is_float64(value):
        return value
    if value is None:
        raise DTypeError(f"{what}: None is no array of numbers")
    kind = type(value)
    if kind not in _PLAIN and not (
        (kind is list or kind is tuple) and _PLAIN.issuperset(map(type, value))
    ):
        why = _loses(value)
        if why is not None:
            raise DTypeError(f"{what}: {why}")
    try:
        array = np.asarray(value)
    except AutodiffError:
        raise
    except Exception as error:  # ragged nesting, or what an object says of itself
        ragged = isinstance(value, (list, tuple))
        wanted = "a rectangular array of numbers" if ragged else "an array of numbers"
        raise DTypeError(f"{what}: not {wanted} ({error})") from error
    if array.dtype.kind not in "fiub":
        raise DTypeError(
            f"{what}: dtype {array.dtype} is not a real number type; "
            f"this library computes in float64{_advice(value, array)}"
        )
    if is_float64(array):
        return array
    # `ascontiguousarray` would turn a 0-d array into one of shape (1,).
    return np.require(array, np.float64, ["C", "A"])


_PLAIN = frozenset({float, int, bool, np.ndarray, np.float64})  # nothing can be hidden in these
_MAX_AXES = 64  # NumPy's limit; deeper lists are no arrays


def _loses(value: Any) -> str | None:
    """What would be lost without a word if `value` became an array; None if nothing would."""
    level, kinds = [value], {type(value)}
    for _ in range(_MAX_AXES):
        own = next(filter(_has_own_arithmetic, kinds), None)
        if own is not None:
            plain = "x.filled(value)" if issubclass(own, np.ma.MaskedArray) else "np.asarray(x)"
            name = f"{own.__module__}.{own.__qualname__}"
            return f"{name} has arithmetic of its own, which would be lost; give {plain}"
        nesting = set(filter(_is_nesting, kinds))
        if not nesting:
            return None
        # Each list only once: it may hold itself.
        lists = {id(x): x for x in level if type(x) in nesting}
        level = list(chain.from_iterable(lists.values()))
        kinds = set(map(type, level))
        if any(hasattr(kind, "__autodiff_apply__") for kind in kinds):
            return (
                "a list of nodes is no operand, and their values alone would lose the gradient; "
                "join them with autodiff.stack or autodiff.concat"
            )
    return f"a list nested more than {_MAX_AXES} times; it may hold itself"


def _has_own_arithmetic(kind: type) -> bool:
    """Whether arrays of this kind are no plain ones: masked, matrices, with units."""
    return issubclass(kind, np.ndarray) and (
        kind.__mul__ is not np.ndarray.__mul__
        or kind.__array_ufunc__ is not np.ndarray.__array_ufunc__
    )


def _is_nesting(kind: type) -> bool:
    """Whether NumPy looks into objects of this kind for the elements of an array."""
    return issubclass(kind, Sequence) and not issubclass(kind, (str, bytes, bytearray, range))


def _advice(value: Any, array: np.ndarray[Any, Any]) -> str:
    """What to do about an array that holds no real numbers."""
    if array.dtype.kind == "c":
        return "; take its real part"
    if hasattr(value, "toarray"):  # a sparse matrix
        return "; give its toarray()"
    if array.dtype.names:
        return f"; give one of its fields: {', '.join(array.dtype.names)}"
    if array.dtype == object and any(map(is_operand, array.flat)):
        return "; join nodes with autodiff.stack or autodiff.concat"
    if isinstance(value, Number):  # a fraction, or an integer of more than 64 bits
        return "; write float(x)"
    return ""


def aligned_copy(array: Array) -> Array:
    """A copy of `array` that begins on a cache line, if it is as long as one.

    NumPy's own begin on any 16 bytes, and then every vector of 64 bytes is read from two lines.
    """
    if array.size < _LINE:
        return array.copy()
    room = np.empty(array.size + _LINE - 1)
    start = -(room.ctypes.data // room.itemsize) % _LINE
    copy = room[start : start + array.size].reshape(array.shape)
    copy[...] = array
    return copy
