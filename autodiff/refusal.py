"""Errors that name their operands, and the line of the user's program that is to blame."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any, TypeVar

from autodiff.array import is_operand
from autodiff.errors import AutodiffError

__all__ = ["is_of_package", "refusal", "user_line", "without_op"]

ErrorT = TypeVar("ErrorT", bound=AutodiffError)

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def is_of_package(frame: FrameType) -> bool:
    """Whether a function of this package runs in `frame`."""
    return frame.f_code.co_filename.startswith(_PACKAGE)


def user_line() -> tuple[str, int]:
    """File and line of the nearest caller outside this package."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def refusal(kind: type[ErrorT], message: str, **operands: Any) -> ErrorT:
    """The error to raise: `message`, which nodes the operands are, and the user's line."""
    known = [f"{k} is {x.describe()}" for k, x in operands.items() if is_operand(x)]
    file, line = user_line()
    known.append(f"in {os.path.basename(file)}:{line}")
    return kind(f"{message} ({'; '.join(known)})")


def without_op(call: str, options: Iterable[str] = ()) -> TypeError:
    """The error to raise: a function of NumPy's, called with these options, has no op."""
    extra = "".join(f" with {option}=" for option in options)
    return TypeError(
        f"{call}{extra} has no op in autodiff and cannot build a node; "
        "use node.value for the plain array"
    )
