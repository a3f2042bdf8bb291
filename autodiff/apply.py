"""Applying an op to whatever it is given.

What an operand that is not an array does with an op is its own business: :func:`apply` asks it, by
the method ``__autodiff_apply__``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from autodiff.array import as_float64, is_float64, is_operand
from autodiff.errors import DTypeError, ShapeError
from autodiff.op import BoundOp, Op
from autodiff.refusal import refusal

__all__ = ["MAKERS", "MAKERS_OF_ONE", "MAKERS_OF_TWO", "apply", "caller", "complex_step", "plain"]

MAKERS_OF_ONE: dict[type, Callable[..., Any]] = {}
MAKERS_OF_TWO: dict[type, Callable[[BoundOp, Any, Any], Any]] = {}
MAKERS: dict[type, Callable[..., Any]] = {}
"""By the exact class of an operand, what makes the result at once, in the usual cases.

Called by :func:`apply` or the caller's function, with the bound op and its operand or operands,
and with the shape of the result if that is known (not of two). None for a result: go the general
way.
"""


def caller(op: Op, general: Callable[..., Any]) -> Callable[..., Any]:
    """What applies `op`, which has no attributes, to its operands.

    It does what `general` does, but sooner if the operands are nodes.
    """
    bound = op.bind()
    if op.variadic or len(op.inputs) > 2:
        return general
    if len(op.inputs) == 1:
        of_one = MAKERS_OF_ONE.get

        def call_one(x: Any = _NONE, /, *more: Any, **named: Any) -> Any:
            make = of_one(type(x))
            if make is not None and not more and not named:
                made = make(bound, x)
                if made is not None:
                    return made
            return general(*_given(x), *more, **named)

        return call_one

    of_two = MAKERS_OF_TWO.get

    def call_two(x: Any = _NONE, y: Any = _NONE, /, *more: Any, **named: Any) -> Any:
        make = of_two(type(x)) or of_two(type(y))
        if make is not None and not more and not named:
            made = make(bound, x, y)
            if made is not None:
                return made
        return general(*_given(x, y), *more, **named)

    return call_two


_NONE: Any = object()  # stands for an operand that was not given here


def _given(*operands: Any) -> list[Any]:
    return [x for x in operands if x is not _NONE]


def apply(op: Op, inputs: Sequence[Any], attributes: dict[str, Any]) -> Any:
    """Apply `op`: by the rule to arrays, or as the operands themselves have it.

    An operand whose class has ``__autodiff_apply__(bound_op, inputs)`` decides; of
    several, the one with the greatest ``__array_priority__``.
    """
    kind = type(inputs[0]) if inputs else None
    if kind in MAKERS:
        bound = op.bound_to(attributes) if attributes else op.bind()
        if len(inputs) == 1:
            made = MAKERS_OF_ONE[kind](bound, inputs[0])
        else:
            made = MAKERS[kind](bound, inputs)
        if made is not None:
            return made
    host, mixed = None, False
    for x in inputs:
        if is_float64(x):
            continue
        if not is_operand(x):
            mixed = True
        elif host is None or x.__array_priority__ > host.__array_priority__:
            host = x
    if mixed:
        inputs = [
            x if is_float64(x) or is_operand(x) else plain(x, op.name, op.input_name(i))
            for i, x in enumerate(inputs)
        ]
    if host is not None:
        return host.__autodiff_apply__(op.bind(**attributes), inputs)
    try:
        op.shape(*[x.shape for x in inputs], **attributes)
    except ShapeError as error:
        raise refusal(ShapeError, str(error)) from None
    return op.forward(*inputs, **attributes)


_complex_step: ContextVar[bool] = ContextVar("complex_step", default=False)


@contextmanager
def complex_step() -> Iterator[None]:
    """Let ops take complex arrays within a ``with`` block: for the complex step.

    Elsewhere they are refused. The rules continue real functions analytically: there |x| of
    a complex x is -x or x, not its modulus.
    """
    token = _complex_step.set(True)
    try:
        yield
    finally:
        _complex_step.reset(token)


def plain(x: Any, name: str, what: str) -> Any:
    """Operand `what` of op `name`, which is no node, as a float64 array.

    Raises
    ------
    DTypeError
        Of complex numbers too, but within :func:`complex_step`.
    """
    if is_float64(x):
        return x
    if type(x) is float:
        return np.asarray(x)
    if _complex_step.get() and np.iscomplexobj(x):
        return np.asarray(x)
    if type(x) is np.ndarray and x.dtype == np.float64:
        return x  # in its own order: the rules take any
    try:
        return as_float64(x, f"{name}: {what}")
    except DTypeError as error:
        raise refusal(DTypeError, str(error)) from None
