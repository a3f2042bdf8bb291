"""Modules that are NumPy's and SciPy's, but whose functions take nodes.

`autodiff.numpy.f` is our function where an operand is a node or a recorded value, also within lists
and tuples; otherwise it is NumPy's own, and so are its results. Whatever else a module of NumPy's
has is passed through. What serves which name is in :data:`autodiff.declare.NAMES`, which may grow.
"""

from __future__ import annotations

import functools
import importlib
import types
from collections.abc import Callable, Iterator, ValuesView
from typing import Any

import numpy as np

from autodiff.apply import MAKERS, caller
from autodiff.declare import NAMES, WATCHERS
from autodiff.remembered import remembering
from autodiff.served import Served, holds_operand, named, served

__all__ = ["Distribution", "fill"]


def fill(module: dict[str, Any], theirs: str) -> tuple[list[str], Any, Any]:
    """What makes a module the namespace of NumPy's module `theirs`, which is imported.

    Returns ``__all__``, ``__getattr__`` and ``__dir__``, which are to be assigned in it. Names are
    found when they are first asked for, and then kept in the module.
    """
    original = _original(theirs)
    here = module["__name__"]

    def find(name: str) -> Any:
        found = module[name] = _found(original, theirs, here, name)
        return found

    def names() -> list[str]:
        return sorted({*dir(original), *_served_in(theirs), *module})

    def note(name: str) -> None:
        """A name is served from now on: what is kept under it holds no longer."""
        if name.startswith(f"{theirs}."):
            last = name[len(theirs) + 1 :].partition(".")[0]
            if not isinstance(module.get(last), types.ModuleType):
                module.pop(last, None)
            if last not in public:
                public.append(last)

    own = getattr(original, "__all__", None) or [n for n in dir(original) if not n.startswith("_")]
    public = sorted({*own, *_served_in(theirs)})
    WATCHERS.append(note)
    return public, find, names


def _original(name: str) -> Any:
    """NumPy's module, or an object in it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        room, _, last = name.rpartition(".")
        return getattr(importlib.import_module(room), last)


def _served_in(room: str) -> set[str]:
    """What there is in a module because nodes are served there."""
    start = f"{room}."
    return {n.removeprefix(start).partition(".")[0] for n in NAMES if n.startswith(start)}


def _found(original: Any, theirs: str, here: str, name: str) -> Any:
    """What a namespace has under a name; AttributeError."""
    dotted = f"{theirs}.{name}"
    if dotted in NAMES:
        return _function(named(dotted), here)
    try:
        if name in _OF_A_MODULE:
            raise AttributeError
        found = getattr(original, name)
    except AttributeError:
        raise AttributeError(f"module {here!r} has no attribute {name!r}", name=name) from None
    if isinstance(found, types.ModuleType):
        return _module(f"{here}.{name}", found)
    if any(known.startswith(f"{dotted}.") for known in NAMES):
        return Distribution(dotted, found, here)
    if callable(found) and not isinstance(found, type):
        same = served(found)  # by another name of the same function, as np.acos
        return found if same is None else _function(same, here)
    return found


def _module(name: str, original: types.ModuleType) -> types.ModuleType:
    """The namespace of this name, or the module itself if there is none."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return original


_OF_A_MODULE = frozenset({"__path__", "__file__", "__cached__", "__wrapped__", "__builtins__"})
"""Its own: with the path of another, the files that are there would be loaded again."""

_NONE: Any = object()  # stands for what was not given


def _function(found: Served | None, here: str) -> Any:
    """The function of a namespace: ours where an operand is a node, else NumPy's."""
    assert found is not None
    ours, theirs, call = found.function, found.theirs, found.call
    if theirs is None:
        return ours  # this NumPy has it not

    def general(*inputs: Any, **options: Any) -> Any:
        if holds_operand(inputs) or (options and holds_operand(options.values())):
            return call(inputs, options)
        return theirs(*inputs, **options)

    def of_several(parts: Any = _NONE, /, *inputs: Any, **options: Any) -> Any:
        if isinstance(parts, Iterator | ValuesView):  # NumPy looks into sequences alone
            parts = list(parts)
        return general(*(() if parts is _NONE else (parts,)), *inputs, **options)

    def of_node(x: Any = _NONE, /, *more: Any, **options: Any) -> Any:
        if type(x) in MAKERS and not more and not options:
            return ours(x)
        return general(x, *more, **options) if x is not _NONE else general(**options)

    op = getattr(ours, "op", None)
    quick: Callable[..., Any] = general
    if op is not None and not op.several:
        quick = (remembering if op.attributes else caller)(op, general)
    elif found.takes_several:
        quick = of_several
    elif not found.variadic and next(iter(found.parameters.values()), None) is not None:
        quick = of_node
    quick.__name__ = quick.__qualname__ = found.name.rpartition(".")[2]
    quick.__module__ = here
    quick.__doc__ = theirs.__doc__
    quick.__wrapped__ = theirs  # type: ignore[attr-defined]
    if isinstance(theirs, np.ufunc):
        for attribute in _OF_UFUNCS:
            setattr(quick, attribute, getattr(theirs, attribute))
    return quick


_OF_UFUNCS = (
    "accumulate", "at", "identity", "nargs", "nin", "nout", "ntypes", "outer", "reduce",
    "reduceat", "signature", "types",
)  # fmt: skip


class Distribution:
    """A distribution of SciPy's: densities and the like take nodes, the rest is passed through.

    Called with parameters, it gives a distribution with these, as SciPy's does.
    """

    def __init__(self, name: str, theirs: Any, here: str) -> None:
        self._name, self._theirs, self._here = name, theirs, here
        self.__doc__ = theirs.__doc__

    def __getattr__(self, name: str) -> Any:
        dotted = f"{self._name}.{name}"
        if dotted in NAMES:
            found = _function(named(dotted), f"{self._here}.{self._name.rpartition('.')[2]}")
        else:
            found = getattr(self._theirs, name)
        self.__dict__[name] = found
        return found

    def __call__(self, *parameters: Any, **named: Any) -> Frozen:
        """The distribution with these parameters."""
        return Frozen(self, parameters, named)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self._theirs), *_served_in(self._name)})

    def __repr__(self) -> str:
        return f"<{self._here}.{self._name.rpartition('.')[2]}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _distribution, (self._here, self._name.rpartition(".")[2])


def _distribution(here: str, name: str) -> Any:
    return getattr(importlib.import_module(here), name)


class Frozen:
    """A distribution whose parameters are given."""

    def __init__(
        self, distribution: Distribution, parameters: tuple[Any, ...], named: dict[str, Any]
    ) -> None:
        self.distribution, self.parameters, self.named = distribution, parameters, named

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _served_in(self.distribution._name):
            return functools.partial(self._call, name)
        return getattr(self.distribution._theirs(*self.parameters, **self.named), name)

    def _call(self, name: str, x: Any) -> Any:
        return getattr(self.distribution, name)(x, *self.parameters, **self.named)
