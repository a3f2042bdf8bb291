"""What a step that is being recorded computes with: values that have a shape and no numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

import numpy as np

from autodiff.array import Shape
from autodiff.errors import RecordingError
from autodiff.op import BoundOp
from autodiff.operators import Operators
from autodiff.program.ir import Value
from autodiff.refusal import user_line

__all__ = ["Home", "MissingAttributeError", "NoNumbersError", "Recorded"]


class Home(Protocol):
    """The recording that a recorded value belongs to: its recorder."""

    deriving: bool

    def check_running(self, value: Recorded) -> None:
        """Raise RecordingError if `value` is used when and where it means nothing."""

    def apply(self, op: BoundOp, inputs: Sequence[Any]) -> Any:
        """Write down one instruction; returns its output, or a tuple of several."""


class NoNumbersError(RecordingError):
    """A recorded value was asked for its numbers."""


class MissingAttributeError(RecordingError, AttributeError):
    """A recorded value has not this attribute."""


class NoArrayError(MissingAttributeError, NoNumbersError):
    """An array has this attribute, a recorded value has not."""


class Recorded(Operators):
    """A value of a step that is being recorded: it has a shape, but no numbers.

    It can be used like a node: with operators, with the functions of this package and with
    NumPy's. Whatever needs its numbers raises RecordingError.
    """

    __slots__ = ("_recorder", "_value", "shape")

    __array_priority__ = 500.0  # less than a node's, which takes it in

    def __init__(self, recorder: Home, value: Value) -> None:
        self._recorder = recorder
        self._value = value
        self.shape: Shape = value.shape

    @property
    def home(self) -> Home:
        """The recording that it belongs to."""
        return self._recorder

    @property
    def computed(self) -> Value:
        """What it is in the program: by which op, and from what."""
        return self._value

    @property
    def value(self) -> Recorded:
        """Itself, as a node's value during a recording is."""
        self._recorder.check_running(self)
        return self

    def describe(self) -> str:
        """What it is, for error messages."""
        return f"the recorded value {self._value.label or self._value.op!r} of {self._recorder}"

    def __autodiff_apply__(self, op: BoundOp, inputs: Sequence[Any]) -> Any:
        self._recorder.check_running(self)
        result = self._recorder.apply(op, inputs)
        if not self._recorder.deriving:
            self._note_line(result if type(result) is tuple else (result,))
        return result

    def _note_line(self, results: Sequence[Recorded]) -> None:
        if results[0]._value.where is None:
            where = user_line()
            for output in results:
                output._value.where = where

    def __repr__(self) -> str:
        return f"<recorded value {self._value.label or self._value.op!r} {self.shape}>"

    def _no_numbers(self, *_: Any, **__: Any) -> NoReturn:
        self._recorder.check_running(self)
        raise NoNumbersError(
            f"{self!r} has a shape but no numbers while {self._recorder} is being recorded: "
            "return it from the step to see it, replace Python branches on it by "
            "autodiff.where, or call the undecorated function (step.function) to debug. "
            "An argument that decides a branch, a count (range) or a shape is named when the "
            'step is compiled: autodiff.compile(static=("n",))'
        )

    __array__ = __bool__ = __float__ = __int__ = __index__ = __complex__ = _no_numbers
    item = tolist = tobytes = __round__ = __contains__ = _no_numbers

    def __format__(self, spec: str) -> str:
        if spec:
            self._no_numbers()
        return repr(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"{self!r} has no attribute {name!r}")  # a protocol's question
        of_arrays = hasattr(np.ndarray, name)
        has = "an array has, but a" if of_arrays else "a"
        raise (NoArrayError if of_arrays else MissingAttributeError)(
            f"{self!r} has no {name!r}: {has} step is recorded with the functions of autodiff; "
            "write it with those, or compute it outside the step"
        )

    def __copy__(self) -> Recorded:
        return self

    def __deepcopy__(self, memo: Any) -> Recorded:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        self._no_numbers()
