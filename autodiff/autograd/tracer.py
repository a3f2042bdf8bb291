"""What HIPS autograd calls boxes are nodes here, and containers of nodes."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from autodiff.array import is_operand
from autodiff.autograd.primitives import primitive
from autodiff.autograd.wrap_util import wraps

__all__ = [
    "Box",
    "Node",
    "getval",
    "isbox",
    "new_box",
    "notrace_primitive",
    "primitive",
    "register_notrace",
    "trace",
]


def isbox(x: Any) -> bool:
    """Whether x is a node or a recorded value, or a container with such in it."""
    if is_operand(x):
        return True
    if isinstance(x, (tuple, list)):
        return any(map(isbox, x))
    return isinstance(x, dict) and any(map(isbox, x.values()))


def getval(x: Any) -> Any:
    """The numbers of a node, as NumPy has them: an array, or a float of what has no axes.

    Containers of nodes become containers of numbers; anything else is as it is.
    """
    if is_operand(x):
        value = x.value
        return np.array(value)[()] if isinstance(value, np.ndarray) else value
    if isinstance(x, (tuple, list, dict)) and isbox(x):
        if isinstance(x, dict):
            return builtins.type(x)((k, getval(v)) for k, v in x.items())
        items = map(getval, x)
        return builtins.type(x)(*items) if hasattr(x, "_fields") else builtins.type(x)(items)
    return x


def notrace_primitive(f_raw: Callable[..., Any]) -> Callable[..., Any]:
    """`f_raw` of numbers: it is given the values of nodes, and no gradient passes through it."""

    @wraps(f_raw)
    def f_wrapped(*args: Any, **kwargs: Any) -> Any:
        named = {name: getval(x) for name, x in kwargs.items()}
        return f_raw(*map(getval, args), **named)

    return f_wrapped


def register_notrace(trace_type: Any, primitive_fun: Any) -> None:
    """No gradient passes through this primitive."""
    primitive_fun.notrace = True


class _BoxMeta(builtins.type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isbox(instance)


class Box(metaclass=_BoxMeta):
    """What is traced: ``isinstance(x, Box)`` is true of nodes, and of containers of nodes."""

    types: ClassVar[set[Any]] = set()
    type_mappings: ClassVar[dict[Any, Any]] = {}

    @classmethod
    def register(cls, value_type: Any) -> None:
        """Noted only: what can be differentiated is float64."""
        Box.types.add(cls)
        Box.type_mappings[value_type] = cls


class Node:
    """HIPS autograd's own graph is not here; see :class:`autodiff.Node`."""

    @classmethod
    def new_root(cls, *args: Any, **kwargs: Any) -> Any:
        """Refused."""
        raise _internal(f"{cls.__name__}.new_root")


def new_box(value: Any, trace: Any, node: Any) -> Any:
    """Refused: a box is a node, and a node is made by ``autodiff.Tensor(value)``."""
    raise _internal("new_box")


def trace(start_node: Any, fun: Any, x: Any) -> Any:
    """Refused."""
    raise _internal("trace")


def _internal(name: str) -> NotImplementedError:
    return NotImplementedError(
        f"{name} is an internal of HIPS autograd, which autodiff.autograd has not; "
        "autodiff.Tensor, autodiff.gradients and autodiff.vjp do what it is used for"
    )
