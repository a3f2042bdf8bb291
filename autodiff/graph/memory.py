"""What tensors hold: read whole, written whole, and handed out so that nobody can write it.

All that is read or written in one call belongs to one moment: no replay runs meanwhile, and no
signal can split it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from autodiff import forks
from autodiff.array import Array, aligned_copy, as_float64, is_float64
from autodiff.errors import RecordingError, ShapeError
from autodiff.graph import clock
from autodiff.graph.observer import Observer, current_observer, escaped, here
from autodiff.refusal import refusal

if TYPE_CHECKING:
    from autodiff.graph.node import Tensor

__all__ = [
    "assign_together",
    "room",
    "sealed",
    "settle_written",
    "snapshot",
    "snapshots",
    "value_of",
]

try:
    from autodiff._core import read_together, sealed, write_together
except ImportError:  # without the extension nothing runs beside Python

    def sealed(array: Array) -> Array:
        """The numbers of `array`, where they cannot be written."""
        return np.ndarray(array.shape, np.float64, array.tobytes())

    def read_together(  # type: ignore[misc]
        arrays: Iterable[Array], locks: Iterable[Any]
    ) -> list[Array]:
        """Copies of the arrays, of one moment; they cannot be written."""
        return [sealed(array) for array in arrays]

    def write_together(  # type: ignore[misc]
        buffers: Iterable[Array],
        values: Iterable[Array | float],
        locks: Iterable[Any],
        attributes: Iterable[tuple[object, str, object]] = (),
    ) -> None:
        """Copy each value into its buffer, and set attributes, at one moment."""
        copies = [np.array(value) for value in values]
        for buffer, value in zip(buffers, copies, strict=True):
            buffer[...] = value
        for thing, name, attribute in attributes:
            setattr(thing, name, attribute)


def snapshot(tensor: Tensor) -> Array:
    """What `tensor`, which has a buffer, holds now; the same array until it is written."""
    clock.settle()
    tick, kept = tensor._tick, tensor._snapshot
    if kept is None or kept[0] != tick:
        # With the tick of before: if another thread writes meanwhile, it is outdated at once.
        kept = tick, read_together((tensor._value,), (tensor._lock,))[0]
        tensor._snapshot = kept
    return kept[1]


def assign_together(tensors: Sequence[Tensor], values: Sequence[Any]) -> None:
    """Assign each tensor its value, all at one moment, or none if one of them does not fit.

    The values are those of before: ``assign_together((u, v), (v, u))`` swaps. No signal comes
    between two of the writes, and no replay.
    """
    observer = current_observer()
    if observer is not None:
        tensors = [cast("Tensor", observer.here(tensor)) for tensor in tensors]
    stored = [_to_store(t, value, observer) for t, value in zip(tensors, values, strict=True)]
    # The ticks first: if Ctrl-C comes between, what depends on the tensors is computed again.
    # And after the write: a snapshot that another thread took in between is outdated.
    tick = clock.new_epoch()
    for tensor in tensors:
        tensor._written(tick)
    if observer is not None and observer.home is not None:
        for tensor, recorded in zip(tensors, stored, strict=True):
            tensor._value = recorded
        return
    buffers = [t._value if t._value is not None else room(t) for t in tensors]
    # New tensors get their buffers, and all a later tick, in the same moment as the numbers.
    tick = next(clock.ticks)
    attributes: list[tuple[object, str, object]] = [(clock, "epoch", object())]
    for tensor, buffer in zip(tensors, buffers, strict=True):
        attributes.append((tensor, "_tick", tick))
        if tensor._value is None:
            attributes.append((tensor, "_value", buffer))
    write_together(buffers, stored, [t._lock for t in tensors], attributes)


def _to_store(tensor: Tensor, value: Any, observer: Observer | None) -> Any:
    """`value` as what `tensor` holds: an array, or a recorded value in a recording."""
    if not is_float64(value):
        value = value_of(value)
    if observer is not None and (recorded := observer.assign(tensor, value)) is not None:
        value = recorded
    elif not is_float64(value):
        value = as_float64(value, f"assign: the value for {tensor.describe()}")
    if tensor._home is not None and observer is None:
        raise escaped(tensor)
    if value.shape != tensor.shape:
        raise refusal(
            ShapeError,
            f"assign: the value has shape {value.shape}, the tensor has shape {tensor.shape}",
            tensor=tensor,
        )
    return value


def snapshots(tensors: Sequence[Tensor]) -> list[Array]:
    """The values of all tensors, of one moment; they never change and cannot be written.

    Raises
    ------
    UnassignedError
        If a tensor has no value.
    RecordingError
        In a recording, which has no numbers.
    """
    clock.settle()
    for tensor in tensors:
        if here(tensor) is not tensor or not isinstance(tensor._value, np.ndarray | None):
            raise RecordingError(
                f"{tensor.describe()} has no numbers to keep while a step is recorded; do it "
                "between calls of the step"
            )
        tensor._handed_out()
    return read_together([t._value for t in tensors], [t._lock for t in tensors])


def value_of(value: Any) -> Any:
    """The value of a node; anything else as it is."""
    return value.value if hasattr(value, "_home") else value


def settle_written(tensors: Sequence[Tensor]) -> None:
    """A program has written the buffers of these tensors."""
    tick = clock.new_epoch()
    for tensor in tensors:
        tensor._written(tick)
        if tensor._value is None:
            tensor._value = tensor._room


_reserving = forks.new_lock()


def room(tensor: Tensor) -> Array:
    """The buffer of `tensor`; of one without a value, the one that its first value will lie in."""

    def reserve() -> Array:
        if tensor._value is None and tensor._room is None:
            tensor._room = aligned_copy(np.zeros(tensor.shape))
        return tensor._room if tensor._value is None else tensor._value  # type: ignore[no-any-return]

    return forks.holding(_reserving, reserve)
