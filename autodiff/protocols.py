"""NumPy's protocols: what its functions do with a node.

``np.tanh(x)``, ``array * x`` and ``np.concatenate([x, y])`` give nodes. A NumPy function without an
op here, and a keyword that an op does not have, is refused by name; none is ever applied
to the values behind the graph's back. For the same reason a node that needs a gradient
does not turn into an array by itself: ``node.value`` is how to ask for one.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from autodiff.array import Array
from autodiff.declare import NAMES
from autodiff.errors import GradientError
from autodiff.refusal import without_op

__all__ = ["Protocols"]


class Protocols:
    """How NumPy, and what is built on it, meets a node. Subclasses have what is named here."""

    __slots__ = ()

    __pandas_priority__ = 10_000  # more than that of a data frame, which then leaves it to us

    needs_gradient: bool
    value: Any

    def describe(self) -> str:
        """What it is, for error messages."""
        return repr(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self.needs_gradient:
            raise GradientError(
                f"{self.describe()} needs a gradient, and an array of its numbers would lose it; "
                "write autodiff.stack([...]) to join nodes, node.value for the numbers alone, or "
                "autodiff.stop_gradient(node) where no gradient is to pass"
            )
        if copy is False:
            raise ValueError(f"{self.describe()}: its numbers are handed out as a copy only")
        return np.array(self.value, dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        served = _SERVED.get(ufunc) or _served(ufunc)
        if served is None or method != "__call__" or options:
            call = _ufunc_name(ufunc) + ("" if method == "__call__" else f".{method}")
            raise without_op(call, options)
        return served.function(*inputs)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, inputs: Sequence[Any], options: Any
    ) -> Any:
        served = _SERVED.get(function) or _served(function)
        if served is None:
            raise without_op(_function_name(function))
        given: dict[str, Any] = {}
        refused = []
        named = () if served.variadic else zip(served.parameters, inputs)  # noqa: B905
        for parameter, value in chain(named, options.items()):
            if value is np._NoValue:
                continue
            if name := served.parameters.get(parameter):
                given[name] = value
            elif not _is_neutral(parameter, value):
                refused.append(parameter)
        if refused:
            raise without_op(_function_name(function), refused)
        return served.function(*(inputs if served.variadic else ()), **given)


class _Served(NamedTuple):
    """A function of NumPy's that nodes take.

    function : what is called instead. parameters : NumPy's, in order; what `function` calls each,
        or None. variadic : it takes any number of operands by position.
    """

    function: Callable[..., Any]
    parameters: dict[str, str | None]
    variadic: bool


_SERVED: dict[Callable[..., Any], _Served] = {}
_seen: set[str] = set()  # dotted names that are in _SERVED


def _served(function: Callable[..., Any]) -> _Served | None:
    """What is called instead of a function of NumPy's, or None.

    Names are looked up when their modules are there, and when somebody asks: who has a function of
    SciPy's has imported it, and ops may be declared at any time.
    """
    found = _SERVED.get(function)
    if found is None and len(_seen) < len(NAMES):
        for name in NAMES.keys() - _seen:
            module, _, attribute = name.rpartition(".")
            theirs = getattr(sys.modules.get(module), attribute, None)
            if theirs is not None:
                _SERVED[theirs] = _served_by(NAMES[name], theirs)
                _seen.add(name)
        found = _SERVED.get(function)
    return found


def _served_by(ours: Callable[..., Any], theirs: Callable[..., Any]) -> _Served:
    kinds = [p.kind for p in inspect.signature(ours).parameters.values()]
    variadic = inspect.Parameter.VAR_POSITIONAL in kinds
    return _Served(ours, _parameters(theirs, ours), variadic)


def _parameters(theirs: Callable[..., Any], ours: Callable[..., Any]) -> dict[str, str | None]:
    """NumPy's parameters as ours: by name, or by position where neither has the other's name."""
    names = list(inspect.signature(ours).parameters)
    if isinstance(theirs, np.ufunc):
        return dict(zip(names, names, strict=True))  # they are given by position
    try:
        known = list(inspect.signature(theirs).parameters)
    except ValueError:  # older NumPys do not say
        known = names
    found: dict[str, str | None] = {}
    for i, name in enumerate(known):
        own = name if name in names else names[i] if i < len(names) else None
        found[name] = None if own != name and own in known else own
    return found


def _ufunc_name(ufunc: np.ufunc) -> str:
    name = ufunc.__name__
    for short, module in (("np", "numpy"), ("scipy.special", "scipy.special")):
        if getattr(sys.modules.get(module), name, None) is ufunc:
            return f"{short}.{name}"
    return f"the ufunc {name}"


def _function_name(function: Callable[..., Any]) -> str:
    rooms = [room for room in function.__module__.split(".") if not room.startswith("_")]
    return ".".join(["np", *rooms[1:], function.__name__])


def _is_neutral(name: str, value: Any) -> bool:
    """Whether an argument that no op has changes nothing, as where it is the default."""
    neutral = _NEUTRAL.get(name, ())
    return value is None or any(value is x for x in neutral)


_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "dtype": (float, np.float64, np.dtype(np.float64)),
    "where": (True,),
    "order": ("C", "K"),
    "subok": (False,),
    "casting": ("same_kind",),
}
