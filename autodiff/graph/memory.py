"""What tensors hold: read whole, written whole, and handed out so that nobody can write it.

All that is read or written in one call belongs to one moment: no replay runs meanwhile, and no
signal can split it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from autodiff import forks
from autodiff.array import Array, aligned_copy, as_float64, is_float64
from autodiff.errors import RecordingError, ShapeError, UnassignedError
from autodiff.graph import clock
from autodiff.graph.observer import Observer, current_observer, escaped, here
from autodiff.graph.state import State, TensorState
from autodiff.refusal import refusal

__all__ = [
    "assign_together",
    "require_value",
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


def snapshot(tensor: TensorState) -> Array:
    """What `tensor`, which has a buffer, holds now; the same array until it is written."""
    clock.settle()
    tick, kept = tensor.tick, tensor.kept_snapshot
    if kept is None or kept[0] != tick:
        # With the tick of before: if another thread writes meanwhile, it is outdated at once.
        kept = tick, read_together((tensor.stored,), (tensor.lock,))[0]
        tensor.kept_snapshot = kept
    return kept[1]


def assign_together(tensors: Sequence[TensorState], values: Sequence[Any]) -> None:
    """Assign each tensor its value, all at one moment, or none if one of them does not fit.

    The values are those of before: ``assign_together((u, v), (v, u))`` swaps. No signal comes
    between two of the writes, and no replay.
    """
    observer = current_observer()
    if observer is not None:
        tensors = [observer.here(tensor) for tensor in tensors]
    stored = [_to_store(t, value, observer) for t, value in zip(tensors, values, strict=True)]
    # The ticks first: if Ctrl-C comes between, what depends on the tensors is computed again.
    # And after the write: a snapshot that another thread took in between is outdated.
    tick = clock.new_epoch()
    for tensor in tensors:
        tensor.note_written(tick)
    if observer is not None and observer.home is not None:
        for tensor, recorded in zip(tensors, stored, strict=True):
            tensor.stored = recorded
        return
    buffers = [t.stored if t.stored is not None else room(t) for t in tensors]
    # New tensors get their buffers, and all a later tick, in the same moment as the numbers.
    tick = next(clock.ticks)
    attributes: list[tuple[object, str, object]] = [(clock, "epoch", object())]
    for tensor, buffer in zip(tensors, buffers, strict=True):
        attributes.append((tensor, "tick", tick))
        if tensor.stored is None:
            attributes.append((tensor, "stored", buffer))
    write_together(buffers, stored, [t.lock for t in tensors], attributes)


def _to_store(tensor: TensorState, value: Any, observer: Observer | None) -> Any:
    """`value` as what `tensor` holds: an array, or a recorded value in a recording."""
    if not is_float64(value):
        value = value_of(value)
    if observer is not None and (recorded := observer.assign(tensor, value)) is not None:
        value = recorded
    elif not is_float64(value):
        value = as_float64(value, f"assign: the value for {tensor.describe()}")
    if tensor.home is not None and observer is None:
        raise escaped(tensor)
    if value.shape != tensor.shape:
        raise refusal(
            ShapeError,
            f"assign: the value has shape {value.shape}, the tensor has shape {tensor.shape}",
            tensor=tensor,
        )
    return value


def snapshots(tensors: Sequence[TensorState]) -> list[Array]:
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
        if here(tensor) is not tensor or not isinstance(tensor.stored, np.ndarray | None):
            raise RecordingError(
                f"{tensor.describe()} has no numbers to keep while a step is recorded; do it "
                "between calls of the step"
            )
        require_value(tensor)
    return read_together([t.stored for t in tensors], [t.lock for t in tensors])


def require_value(tensor: TensorState) -> None:
    """Raise UnassignedError if `tensor` has no value."""
    if tensor.stored is None:
        clock.settle()  # a replay may have written it
    if tensor.stored is None:
        raise UnassignedError(f"{tensor.describe()} was never assigned a value; call assign()")


def value_of(value: Any) -> Any:
    """The value of a node; anything else as it is."""
    return value.value if isinstance(value, State) else value  # type: ignore[attr-defined]


def settle_written(tensors: Sequence[TensorState]) -> None:
    """A program has written the buffers of these tensors."""
    tick = clock.new_epoch()
    for tensor in tensors:
        tensor.note_written(tick)
        if tensor.stored is None:
            tensor.stored = tensor.reserved


_reserving = forks.new_lock()


def room(tensor: TensorState) -> Array:
    """The buffer of `tensor`; of one without a value, the one that its first value will lie in."""

    def reserve() -> Array:
        if tensor.stored is None and tensor.reserved is None:
            tensor.reserved = aligned_copy(np.zeros(tensor.shape))
        return tensor.reserved if tensor.stored is None else tensor.stored  # type: ignore[no-any-return]

    return forks.holding(_reserving, reserve)
