"""Which line of the user's built a node: noted as it is built, looked up when somebody asks.

To find the number of a line takes longer than to build a node. So what is kept is the code that
ran and how far it was, as Python itself does it.
"""

from __future__ import annotations

import sys
from types import CodeType
from typing import Any

from autodiff.refusal import is_package_file

__all__ = ["OURS", "line_of", "place_of_user"]


class _Ours(dict[str, bool]):
    """For each file whether it is of this package; asked once."""

    def __missing__(self, file: str) -> bool:
        self[file] = ours = is_package_file(file)
        return ours


OURS = _Ours()


def place_of_user() -> tuple[CodeType, int]:
    """The code of the nearest caller outside this package, and its instruction."""
    frame = sys._getframe(1)
    while OURS[frame.f_code.co_filename] and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def line_of(code: Any, instruction: int) -> Any:
    """File and line of an instruction; a place that is no code is one already."""
    if not isinstance(code, CodeType):
        return code
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= instruction < end and number is not None:
            line = number
    return code.co_filename, line
