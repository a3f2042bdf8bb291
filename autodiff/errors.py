"""Every error that this library raises on purpose.

All of them derive from :class:`AutodiffError`, and each also derives from the
built-in exception that NumPy or Python would raise in the same place, so that
``except ValueError`` keeps working. A message names the op, the argument, the shapes,
the node and the line of the user's code that built it, and says what to do.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "AnomalyError",
    "AutodiffError",
    "BackendError",
    "BackwardTwiceError",
    "CallBackError",
    "DTypeError",
    "DataError",
    "GradientError",
    "IncompleteGradientError",
    "IndexRangeError",
    "InstructionError",
    "MatrixError",
    "RecordingError",
    "SaveError",
    "ShapeError",
    "StaleValueError",
    "UnassignedError",
    "VerificationError",
]


class AutodiffError(Exception):
    """Base class of all errors of this library."""


class ShapeError(AutodiffError, ValueError):
    """Shapes do not fit together; raised when the node is built."""


class DTypeError(AutodiffError, TypeError):
    """A value is not a real number array (complex, object, string ...)."""


class IndexRangeError(AutodiffError, IndexError):
    """An index lies outside the axis, or is not an integer."""


class MatrixError(AutodiffError, np.linalg.LinAlgError):
    """A matrix is not positive definite, or singular; found when it is computed.

    place : which matrix of a stack, counted row by row, and which of its leading minors, pivots or
        diagonal elements is to blame, from 1.
    """

    place: tuple[int, int] = (0, 0)


class UnassignedError(AutodiffError, ValueError):
    """The value of a tensor that was never assigned was asked for."""


class StaleValueError(AutodiffError, RuntimeError):
    """A backward pass met a value older than the tensors it was computed from."""


class GradientError(AutodiffError, RuntimeError):
    """A gradient was asked for, or sent, where there can be none."""


class IncompleteGradientError(GradientError):
    """A gradient was read while some parents have not sent theirs."""


class BackwardTwiceError(GradientError):
    """A node was asked to push its gradient a second time in one pass."""


class BackendError(AutodiffError, RuntimeError):
    """An unknown or unavailable back end or instruction set was asked for."""


class RecordingError(AutodiffError, TypeError):
    """A step that is being recorded did what a recording cannot hold."""


class CallBackError(AutodiffError, RuntimeError):
    """A rule that a compiled step has called back asks for what that step holds.

    While the rule runs, the step's tensors are the step's: no value of theirs can be read or
    written, and no step that has them can be called, this one included.
    """


class InstructionError(AutodiffError, RuntimeError):
    """An instruction of a loaded program has failed; those before it have run.

    A compiled step raises what its kind makes of it: an IndexRangeError, or what a rule has raised.

    instruction : its number in the program. numbers : what its kind tells of it. step : of a scan.
    """

    def __init__(
        self, instruction: int, numbers: tuple[float, ...] = (), step: int | None = None
    ) -> None:
        where = f"instruction {instruction}" + ("" if step is None else f", step {step}")
        super().__init__(f"{where}: it failed on {numbers}")
        self.instruction = instruction
        self.numbers = numbers
        self.step = step

    def __reduce__(self) -> tuple[object, ...]:
        return InstructionError, (self.instruction, self.numbers, self.step)


class VerificationError(AutodiffError, RuntimeError):
    """A compiled program does not do what was recorded: a fault of this library.

    Please report it, with the step. ``compile(without=...)`` may get you further.
    """


class AnomalyError(AutodiffError, FloatingPointError):
    """Anomaly mode met the first NaN or infinity."""


class DataError(AutodiffError, ValueError):
    """A data file is missing, truncated or not of the expected format."""


class SaveError(AutodiffError, ValueError):
    """A saved file does not fit the parameters it is loaded into."""
