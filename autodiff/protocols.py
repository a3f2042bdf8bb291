"""NumPy's protocols: what its functions do with a node.

``np.tanh(x)``, ``array * x`` and ``np.concatenate([x, y])`` give nodes. A NumPy function without an
op here, and a keyword that an op does not have, is refused by name; none is ever applied
to the values behind the graph's back. For the same reason a node that needs a gradient
does not turn into an array by itself: ``node.value`` is how to ask for one.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from autodiff import ops
from autodiff.array import Array
from autodiff.errors import GradientError
from autodiff.ops.arguments import axes_of

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
        function = _UFUNCS.get(ufunc)
        if function is None or method != "__call__" or options:
            call = _ufunc_name(ufunc) + ("" if method == "__call__" else f".{method}")
            raise _refusal(call, options)
        return function(*inputs)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, inputs: Sequence[Any], options: Any
    ) -> Any:
        found = _FUNCTIONS.get(function)
        if found is None:
            raise _refusal(_function_name(function))
        ours, parameters = found
        given: dict[str, Any] = {}
        refused = []
        for parameter, value in chain(zip(parameters, inputs), options.items()):  # noqa: B905
            if value is np._NoValue:
                continue
            if name := parameters.get(parameter):
                given[name] = value
            elif not _is_neutral(parameter, value):
                refused.append(parameter)
        if refused:
            raise _refusal(_function_name(function), refused)
        return ours(**given)


def _refusal(call: str, options: Iterable[str] = ()) -> TypeError:
    extra = "".join(f" with {option}=" for option in options)
    return TypeError(
        f"{call}{extra} has no op in autodiff and cannot build a node; "
        "use node.value for the plain array"
    )


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

_UFUNCS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: ops.add,
    np.subtract: ops.subtract,
    np.multiply: ops.multiply,
    np.divide: ops.divide,
    np.negative: ops.negative,
    np.positive: lambda x: x,
    np.power: ops.power,
    np.float_power: ops.power,
    np.square: ops.square,
    np.exp: ops.exp,
    np.log: ops.log,
    np.log1p: ops.log1p,
    np.expm1: ops.expm1,
    np.sqrt: ops.sqrt,
    np.sin: ops.sin,
    np.cos: ops.cos,
    np.tanh: ops.tanh,
    np.absolute: ops.abs,
    np.fabs: ops.abs,
    np.sign: ops.sign,
    np.maximum: ops.maximum,
    np.minimum: ops.minimum,
    np.greater: ops.greater,
    np.greater_equal: ops.greater_equal,
    np.less: lambda x, y: ops.greater(y, x),
    np.less_equal: lambda x, y: ops.greater_equal(y, x),
    np.equal: ops.equal,
    np.not_equal: ops.not_equal,
    np.matmul: ops.matmul,
    np.reciprocal: lambda x: ops.divide(1.0, x),
}


def _concatenate(parts: Any, axis: Any = 0) -> Any:
    if axis is None:
        return ops.concat([ops.reshape(x, -1) for x in parts], 0)
    return ops.concat(parts, axis)


def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None or y is None:
        raise _refusal("np.where of a condition alone")
    return ops.where(condition, x, y)


def _size(x: Any, axis: Any = None) -> int:
    return math.prod(x.shape[i] for i in axes_of("np.size", x, axis))


def _parameters(words: str) -> dict[str, str]:
    pairs = [word.partition(":") for word in words.split()]
    return {name: ours if colon else name for name, colon, ours in pairs}


# What NumPy calls its parameters, in order, and what ours calls them after a colon; a bare
# colon marks those that no op has.
_TABLE: list[tuple[Callable[..., Any], Callable[..., Any], str]] = [
    (np.concatenate, _concatenate, "arrays:parts axis out: dtype: casting:"),
    (np.stack, ops.stack, "arrays:parts axis out: dtype: casting:"),
    (
        np.split,
        lambda x, sections, axis=0: ops.split(x, sections, axis),
        "ary:x indices_or_sections:sections axis",
    ),
    (np.where, _where, "condition x y"),
    (np.reshape, ops.reshape, "a:x shape order: newshape:shape copy:"),
    (np.ravel, lambda x: ops.reshape(x, -1), "a:x order:"),
    (np.transpose, ops.transpose, "a:x axes"),
    (np.swapaxes, ops.swapaxes, "a:x axis1:first axis2:second"),
    (np.expand_dims, ops.expand_dims, "a:x axis"),
    (np.squeeze, ops.squeeze, "a:x axis"),
    (np.broadcast_to, ops.broadcast_to, "array:x shape subok:"),
    (np.sum, ops.sum, "a:x axis dtype: out: keepdims initial: where:"),
    (np.mean, ops.mean, "a:x axis dtype: out: keepdims where:"),
    (np.max, ops.max, "a:x axis out: keepdims initial: where:"),
    (np.amax, ops.max, "a:x axis out: keepdims initial: where:"),
    (np.min, ops.min, "a:x axis out: keepdims initial: where:"),
    (np.amin, ops.min, "a:x axis out: keepdims initial: where:"),
    (np.zeros_like, lambda x: np.zeros(x.shape), "a:x dtype: order: subok: shape: device:"),
    (np.ones_like, lambda x: np.ones(x.shape), "a:x dtype: order: subok: shape: device:"),
    (np.shape, lambda x: x.shape, "a:x"),
    (np.ndim, lambda x: x.ndim, "a:x"),
    (np.size, _size, "a:x axis"),
]
_FUNCTIONS = {function: (ours, _parameters(words)) for function, ours, words in _TABLE}
