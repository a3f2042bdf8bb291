"""Numbers of an optimiser, such as its rate: attributes that recorded programs read anew.

A :class:`Hyperparameter` is a descriptor. The number lies in a constant tensor of shape (), which
is read like any other, so a program takes it for state: ``optimiser.rate = 0.0`` acts at the
next step, whether that runs eagerly, is replayed, or is one of a scan. What a rule needs of
the number besides, such as 1 - beta, is computed when the number is set and lies in a tensor
beside it (:class:`Derived`): a program is no longer for it.

Eagerly such an attribute is a float. Within a recording it is a recorded value, and can be set to
one: ``optimiser.rate = 0.99 * optimiser.rate`` in a step is part of the step.
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autodiff.array import is_operand
from autodiff.errors import RecordingError, ShapeError
from autodiff.graph import clock
from autodiff.graph.memory import assign_together
from autodiff.graph.node import Node, Tensor
from autodiff.graph.observer import current_observer
from autodiff.refusal import user_line

__all__ = ["AMOUNT", "FRACTION", "LIMIT", "Derived", "Hyperparameter", "Range", "checked"]


class Range(NamedTuple):
    """Which numbers are accepted (never NaN), and how a message says so."""

    holds: Callable[[float], bool]
    words: str


AMOUNT = Range(lambda x: 0.0 <= x < math.inf, "must be finite and at least 0")
FRACTION = Range(lambda x: 0.0 <= x < 1.0, "must be at least 0 and less than 1")
LIMIT = Range(lambda x: x >= 0.0, "must be at least 0, or None for no limit")


def checked(owner: str, name: str, value: Any, accepted: Range) -> float:
    """`value` as a float; TypeError if it is no number, ValueError if it is out of range."""
    file, line = user_line()
    place = f"in {os.path.basename(file)}:{line}"
    if isinstance(value, np.ndarray) and value.shape == ():
        value = value.item()
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{owner}: {name} is {value!r}; it must be a number ({place})")
    number = float(value)
    if not accepted.holds(number):
        raise ValueError(f"{owner}: {name} is {number}; it {accepted.words} ({place})")
    return number


class Derived:
    """What follows from a hyperparameter: read like one, and never set by itself.

    function : of a float, or of a recorded value.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else _read(instance._numbers[self.name])

    def __set__(self, instance: Any, value: Any) -> None:
        raise AttributeError(f"{self.name} follows from another number; set that one")


class Hyperparameter:
    """A number of an optimiser: checked when it is set, and state of recorded programs.

    Parameters
    ----------
    accepted : what it may be.
    derived : what is computed from it when it is set.
    unused : the value, None or 0, with which the rule leaves the number out. Then it is another
        step with other instructions: see `Optimiser.structure`.
    by_tensor : whether a tensor of the user's may take its place.

    The owner keeps ``_numbers`` (tensors by name) and ``_unused`` (names).
    """

    def __init__(
        self, accepted: Range, *derived: Derived, unused: Any = ..., by_tensor: bool = False
    ) -> None:
        self.accepted = accepted
        self.derived = derived
        self.unused = unused
        self.by_tensor = by_tensor

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        name = self.name
        if name in instance._unused:
            return self.unused
        tensor = instance._numbers[name]
        if self.by_tensor and name in instance._of_user:
            return tensor
        return _read(tensor)

    def __set__(self, instance: Any, value: Any) -> None:
        rule = type(instance).__name__
        users = self.by_tensor and isinstance(value, Tensor)
        if users and value.shape != ():
            raise ShapeError(
                f"{rule}: {self.name} is {value.describe()} of shape {value.shape}; its shape "
                "must be ()"
            )
        recorded = is_operand(value) and not isinstance(value, Node)
        if not (users or recorded or value is self.unused):
            value = checked(rule, self.name, value, self.accepted)
        unused = not (users or recorded) and value == self.unused
        if self.name in instance._numbers or self.name in instance._unused:
            was = self.name in instance._unused, self._is_users(instance)
            if was != (unused, users) and _is_recording():
                raise RecordingError(
                    f"{rule}: what {self.name} is (unused, a number, or a tensor) decides which "
                    "instructions are recorded; set it outside of the step"
                )
        if users:
            instance._numbers[self.name] = value
            instance._of_user.add(self.name)
        elif not unused:
            self._set(instance, value)
        (instance._unused.add if unused else instance._unused.discard)(self.name)
        clock.note_pass()  # recordings may be of another structure

    def _is_users(self, instance: Any) -> bool:
        return self.name in instance._of_user

    def _set(self, instance: Any, value: Any) -> None:
        """Write the number, and what follows from it, to their tensors; make those if need be."""
        if self._is_users(instance):
            instance._of_user.discard(self.name)
            del instance._numbers[self.name]
        values = {self.name: value, **{d.name: d.function(value) for d in self.derived}}
        rule = type(instance).__name__
        made = {name: x for name, x in values.items() if name not in instance._numbers}
        for name, number in made.items():
            instance._numbers[name] = Tensor(number, constant=True, name=f"{rule}.{name}")
        if not made:
            assign_together([instance._numbers[name] for name in values], list(values.values()))


def _read(tensor: Tensor) -> Any:
    if current_observer() is None:
        return tensor.stored.item()
    value = tensor.value
    return value.item() if isinstance(value, np.ndarray) else value


def _is_recording() -> bool:
    observer = current_observer()
    return observer is not None and observer.home is not None
