"""``&``, ``|``, ``^`` and ``~`` of nodes that are true or false.

Numbers here are float64, whose bits nobody means: these are for what comparisons have made, as in
``x[(x > 0.0) & (x < 1.0)]``, and refused for any other operand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autodiff.array import is_operand
from autodiff.declare import numpy_name
from autodiff.errors import DTypeError
from autodiff.ops.arguments import brief
from autodiff.ops.logical import logical_and, logical_not, logical_or, logical_xor
from autodiff.ops.masks import is_mask
from autodiff.refusal import refusal

__all__ = ["both", "either", "negated", "one_of"]


def _of_truths(symbol: str, function: Callable[..., Any], *operands: Any) -> Any:
    for x in operands:
        if not is_mask(x):
            what = {"x": x} if is_operand(x) else {}
            told = "an operand" if what else brief(x)
            raise refusal(
                DTypeError,
                f"{symbol} is for what is true or false, as comparisons are, and {told} is not; "
                f"compare it with something, or write {function.__name__}, for which all but 0 is "
                "true",
                **what,
            )
    return function(*operands)


@numpy_name("numpy.bitwise_and")
def both(x: Any, y: Any) -> Any:
    """z = x & y, where both are true or false; no gradient."""
    return _of_truths("&", logical_and, x, y)


@numpy_name("numpy.bitwise_or")
def either(x: Any, y: Any) -> Any:
    """z = x | y, where both are true or false; no gradient."""
    return _of_truths("|", logical_or, x, y)


@numpy_name("numpy.bitwise_xor")
def one_of(x: Any, y: Any) -> Any:
    """z = x ^ y, where both are true or false; no gradient."""
    return _of_truths("^", logical_xor, x, y)


@numpy_name("numpy.invert")
def negated(x: Any) -> Any:
    """z = ~x, where x is true or false; no gradient."""
    return _of_truths("~", logical_not, x)
