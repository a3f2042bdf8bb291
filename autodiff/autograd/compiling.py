"""Functions that are recorded once they have been differentiated a few times, and then replayed.

For ``install(compile=True)``. A call is recorded for the shapes of what is differentiated by, and
for the very values of all other arguments: most are data, which stay the same from call to call.
If they do not, a recording serves all floats of these shapes. The same holds for what the function
reads beside its arguments. What cannot be recorded (it branches on values, draws random numbers) is
called as before, from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.array import is_operand
from autodiff.autograd.surroundings import surroundings
from autodiff.autograd.trees import Tree, flat

__all__ = ["Recorded", "use", "wanted"]

Function = Callable[..., Any]

_wanted = [False]
_BEFORE = 2  # calls of one kind before it is recorded: most functions are called once
_MOST = 8  # kinds of calls of one function; who has more is not recorded
_FEW = 3  # kinds that differ in data alone


def use(yes: bool) -> None:
    """Whether functions are to be recorded."""
    _wanted[0] = bool(yes)


def wanted() -> bool:
    """Whether functions are to be recorded."""
    return _wanted[0]


class Kind:
    """Calls that one recording serves: nested alike, with the same shapes and held objects.

    outside : how what the function reads beside its arguments is nested, and the leaves of it.
    """

    def __init__(
        self,
        tree: Tree,
        leaves: Sequence[Any],
        floats: Sequence[int],
        outside: tuple[Tree, Sequence[Any]],
    ) -> None:
        self.tree = tree
        self.outside = outside[0], [_kept(x) for x in outside[1]]
        self.floats = tuple(floats)
        self.shapes = [np.shape(leaves[i]) for i in floats]
        self.held = [None if i in floats else _kept(x) for i, x in enumerate(leaves)]
        self.n_calls = 0
        self.step: Any = None
        self.refused = False

    def serves(
        self,
        tree: Tree,
        leaves: Sequence[Any],
        floats: Sequence[int],
        outside: tuple[Tree, Sequence[Any]],
    ) -> bool:
        """Whether a call is one of these."""
        return (
            self.outside[0] == outside[0]
            and all(map(_same, self.outside[1], outside[1]))
            and self.floats == tuple(floats)
            and self.tree == tree
            and self.shapes == [np.shape(leaves[i]) for i in floats]
            and all(i in self.floats or _same(x, leaves[i]) for i, x in enumerate(self.held))
        )


def _kept(x: Any) -> Any:
    return x.copy() if isinstance(x, np.ndarray) else x


def _same(held: Any, given: Any) -> bool:
    """Whether it is the very object, or an array or a plain value that is equal."""
    if held is given:
        return True
    if isinstance(held, np.ndarray) and isinstance(given, np.ndarray):
        return held.dtype == given.dtype and np.array_equal(held, given)
    plain = (int, bool, str, bytes, float)
    return type(held) is type(given) and isinstance(held, plain) and repr(held) == repr(given)


class Recorded:
    """A differentiated function that is replayed where it can be."""

    def __init__(self, eager: Function, argnum: Any, function: Function) -> None:
        self.eager = eager
        self.function = function
        self.argnums = (argnum,) if isinstance(argnum, int) else tuple(argnum)
        self.kinds: list[Kind] = []
        self.holds_data = True

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What `eager` gives for these arguments."""
        leaves: list[Any] = []
        tree = flat((args, kwargs), leaves)
        if any(map(is_operand, leaves)):
            return self.eager(*args, **kwargs)
        floats = [i for i, x in enumerate(leaves) if _is_float(x)]
        if self.holds_data:
            own = self._differentiated(tree)
            floats = [i for i in floats if i in own]
        around: list[Any] = []
        kind = self._kind(tree, leaves, floats, (flat(surroundings(self.function), around), around))
        if kind is None or kind.refused:
            return self.eager(*args, **kwargs)
        kind.n_calls += 1
        if kind.n_calls <= _BEFORE:
            return self.eager(*args, **kwargs)
        return self._replayed(kind, leaves, args, kwargs)

    def _kind(
        self,
        tree: Tree,
        leaves: Sequence[Any],
        floats: Sequence[int],
        outside: tuple[Tree, Sequence[Any]],
    ) -> Kind | None:
        for kind in self.kinds:
            if kind.serves(tree, leaves, floats, outside):
                return kind
        if self.holds_data and len(self.kinds) >= _FEW:
            self.holds_data = False
            self.kinds.clear()
            return None
        if len(self.kinds) >= _MOST:
            return None
        self.kinds.append(Kind(tree, leaves, floats, outside))
        return self.kinds[-1]

    def _differentiated(self, tree: Tree) -> set[int]:
        """The numbers of the leaves that are differentiated by."""
        positional = tree.parts[0].parts
        starts = [sum(part.size for part in positional[:i]) for i in range(len(positional))]
        return {
            starts[i] + k
            for i in (n % len(positional) for n in self.argnums)
            for k in range(positional[i].size)
        }

    def _replayed(
        self, kind: Kind, leaves: Sequence[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        from autodiff.program import compile

        if kind.step is None:
            kind.step = compile(self._on_floats(kind, list(leaves)))
        try:
            found = kind.step(*[leaves[i] for i in kind.floats])
        except Exception:  # of any kind: it is raised again, if the function is to blame
            kind.refused, kind.step = True, None
            return self.eager(*args, **kwargs)
        results: list[Any] = []
        nested = flat(found, results)
        return nested.rebuilt(map(_own, results))

    def _on_floats(self, kind: Kind, leaves: list[Any]) -> Function:
        def step(*floats: Any) -> Any:
            found = list(leaves)
            for i, x in zip(kind.floats, floats, strict=True):
                found[i] = x
            args, kwargs = kind.tree.rebuilt(iter(found))
            return self.eager(*args, **kwargs)

        return step


def _own(x: Any) -> Any:
    """A result as the eager call gives it."""
    if isinstance(x, float):
        return np.float64(x)
    return x[()] if isinstance(x, np.ndarray) else x


def _is_float(x: Any) -> bool:
    return isinstance(x, float) or (isinstance(x, np.ndarray) and x.dtype == np.float64)
