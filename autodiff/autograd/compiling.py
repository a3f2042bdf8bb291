"""Functions that are recorded the first time they are differentiated, and replayed after that."""

from __future__ import annotations

__all__ = ["use", "wanted"]

_wanted = [False]


def use(yes: bool) -> None:
    """Whether functions are to be recorded."""
    _wanted[0] = bool(yes)


def wanted() -> bool:
    """Whether functions are to be recorded."""
    return _wanted[0]
