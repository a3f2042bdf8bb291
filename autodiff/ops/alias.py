"""The same value under another name."""

from __future__ import annotations

from typing import Any

from autodiff.declare import declare
from autodiff.op import BoundOp
from autodiff.ops.examples import unary

__all__ = ["alias"]


def _alias_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    return inputs[0]


@declare(
    identity=_alias_identity,
    backward=lambda g, z, x: g,
    examples=unary(),
    moves=True,
    linear=((0,),),
)
def alias(x: Any) -> Any:
    """z = x, as a node of its own.

    A gradient with respect to z counts what reads z, and nothing else that reads x: so a function
    is differentiated with respect to its argument, even if it reads the same node in another way.
    """
    return x
