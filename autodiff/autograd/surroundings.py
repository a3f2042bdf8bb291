"""What a function reads beside its arguments: closures, globals, defaults, its object.

A recording of the function is right only as long as these are what they were.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

__all__ = ["surroundings"]

_CODE = (ModuleType, BuiltinFunctionType, type)


def surroundings(function: Callable[..., Any]) -> dict[str, Any]:
    """What is read, by a name for each; of functions of the same package, what these read."""
    found: dict[str, Any] = {}
    _look(function, "", _package(function), found, set())
    return found


def _package(function: Any) -> str:
    return (getattr(function, "__module__", None) or "").partition(".")[0]


def _look(thing: Any, name: str, package: str, found: dict[str, Any], seen: set[int]) -> None:
    if id(thing) in seen or isinstance(thing, _CODE):
        return
    parts: Iterable[tuple[str, Any]] = ()
    if isinstance(thing, FunctionType):
        if _package(thing) == package:
            parts = _read_by(thing)
    elif isinstance(thing, MethodType):
        attributes = getattr(thing.__self__, "__dict__", {})
        parts = [("", thing.__func__), *((f"self.{k}", v) for k, v in attributes.items())]
    elif isinstance(thing, functools.partial):
        parts = [("", thing.func), ("args", thing.args), ("keywords", thing.keywords)]
    else:
        found[name] = thing
        return
    seen.add(id(thing))
    for inner, value in parts:
        _look(value, f"{name}.{inner}", package, found, seen)


def _read_by(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What its code names, and where it has it from."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not filled yet
            continue
    names = function.__globals__
    yield from ((name, names[name]) for name in _names_of(function.__code__) if name in names)
    yield from ((f"default {i}", x) for i, x in enumerate(function.__defaults__ or ()))
    yield from (function.__kwdefaults__ or {}).items()


@functools.lru_cache(maxsize=1024)
def _names_of(code: CodeType) -> tuple[str, ...]:
    """Names of globals and attributes, of functions within it too."""
    inner = [_names_of(c) for c in code.co_consts if isinstance(c, CodeType)]
    return tuple(dict.fromkeys([*code.co_names, *(n for names in inner for n in names)]))
