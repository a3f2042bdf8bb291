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
from autodiff.op import Op
from autodiff.refusal import refusal

__all__ = ["apply", "caller", "complex_step", "plain"]


def caller(op: Op) -> Callable[..., Any]:
    """What applies `op`, which has no attributes, to its operands."""

    def call(*operands: Any) -> Any:
        return apply(op, operands, {})

    return call


def apply(op: Op, inputs: Sequence[Any], attributes: dict[str, Any]) -> Any:
    """Apply `op`: by the rule to arrays, or as the operands themselves have it.

    An operand whose class has ``__autodiff_apply__(bound_op, inputs)`` decides; of
    several, the one with the greatest ``__array_priority__``.
    """
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
