"""Which line of the user's built a node: noted as it is built, looked up when somebody asks.

To find the number of a line takes longer than to build a node. So what is kept is the code that
ran and how far it was, as Python itself does it.
"""

from __future__ import annotations

import functools
import sys
from types import CodeType, FrameType
from typing import Any

from autodiff.refusal import is_of_package

__all__ = ["USER_FILES", "line_of", "line_of_user", "users"]

USER_FILES: set[str] = set()
"""Files that are known to be none of this package."""
_our_files: set[str] = set()


def users(frame: FrameType) -> FrameType:
    """`frame`, if it is the user's, else that of the nearest caller outside this package."""
    found: FrameType | None = frame
    while found is not None:
        file = found.f_code.co_filename
        if file in USER_FILES:
            return found
        if file in _our_files:
            found = found.f_back
        else:
            (_our_files if is_of_package(found) else USER_FILES).add(file)
    return frame


def line_of_user() -> tuple[CodeType, int]:
    """The code of the nearest caller outside this package, and its instruction."""
    frame = users(sys._getframe(1))
    return frame.f_code, frame.f_lasti


@functools.lru_cache(1024)
def line_of(code: Any, instruction: int) -> Any:
    """File and line of an instruction; what is no code is one already."""
    if not isinstance(code, CodeType):
        return code
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= instruction < end and number is not None:
            line = number
    return code.co_filename, line
