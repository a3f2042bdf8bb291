"""The border between the user's arrays and the engine's float64 buffers."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from autodiff.errors import DTypeError

__all__ = ["Array", "Shape", "aligned_copy", "as_float64", "is_float64", "read_only"]

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


def as_float64(value: Any, what: str = "value") -> Array:
    """Return `value` as a C-contiguous, aligned float64 array, copied only if needed.

    Integers, booleans and narrower floats are converted; strided, Fortran-ordered and
    byte-swapped arrays are copied. Complex, object, string and date arrays are refused.

    Raises
    ------
    DTypeError
        If `value` is not an array of real numbers. `what` names it in the message.
    """
    if is_float64(value):
        return value
    try:
        array = np.asarray(value)
    except ValueError as error:  # ragged nesting
        raise DTypeError(f"{what}: not a rectangular array of numbers ({error})") from error
    if array.dtype.kind not in "fiub":
        hint = "; take its real part" if array.dtype.kind == "c" else ""
        raise DTypeError(
            f"{what}: dtype {array.dtype} is not a real number type; "
            f"this library computes in float64{hint}"
        )
    # `ascontiguousarray` would turn a 0-d array into one of shape (1,).
    return np.require(array, np.float64, ["C", "A"])


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


def read_only(array: Array) -> Array:
    """Return a view of `array` through which it cannot be written."""
    view = array.view()
    view.flags.writeable = False
    return view
