"""Ops that only programs have: several ops of the table in one kernel, with the same results.

They appear after all differentiation is done, and so have no gradients of their own.

- ``product_add``: a matrix product computed onto something (see the pass `accumulate`).
- ``_multiply_add``, ``_multiply_subtract``: c + x y and c - x y, element by element, rounded twice.
- ``_tanh_slope`` and its like: the backward rule of an op as one op of what the rule reads. They
  follow from the records: such a rule is more than one op, of the gradient and one other value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autodiff.op import OPS, OUTPUT, BoundOp, Op, broadcast_shape
from autodiff.operators import Operators

__all__ = ["FUSED", "MULTIPLY_ADD", "MULTIPLY_SUBTRACT", "PRODUCT_ADD", "find_op", "slope"]


def _op(
    name: str, inputs: Sequence[str], forward: Callable[..., Any], formula: str, **options: Any
) -> Op:
    def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
        return broadcast_shape(name, inputs, *shapes)

    return Op(
        name=name,
        inputs=tuple(inputs),
        forward=forward,
        backward=(None,) * len(inputs),
        reads=frozenset(),
        elementwise="shape" not in options,
        variadic=False,
        examples=(),
        formula=formula,
        **{"shape": broadcast, **options},
    )


PRODUCT_ADD = _op(
    "product_add",
    ("c", "x", "y", "scale"),
    lambda c, x, y, scale, *, sign: c + sign * scale * (x @ y),
    "z = c ± scale · x y, a matrix product; scale is one number.",
    shape=lambda c, x, y, scale, *, sign: c,
)

MULTIPLY_ADD = _op(
    "_multiply_add", ("c", "x", "y"), lambda c, x, y: c + x * y, "z = c + x y.", ulps=0.5
)

MULTIPLY_SUBTRACT = _op(
    "_multiply_subtract", ("c", "x", "y"), lambda c, x, y: c - x * y, "z = c - x y.", ulps=0.5
)

FUSED: dict[str, Op] = {op.name: op for op in (PRODUCT_ADD, MULTIPLY_ADD, MULTIPLY_SUBTRACT)}
"""The ops that only programs have, by name; slopes from when they are asked for."""


# ---- slopes -----------------------------------------------------------------------------


class _Counted(Operators):
    """An operand that counts the ops that are applied to it, and what they cost."""

    shape = ()
    __array_priority__ = 1.0
    needs_gradient = False

    def __init__(self) -> None:
        self.n_ops = 0
        self.cost = 0.0

    def __autodiff_apply__(self, bound: BoundOp, inputs: Sequence[Any]) -> _Counted:
        self.n_ops += 1
        self.cost += bound.op.cost
        return self


def _make_slope(op: Op) -> Op | None:
    """The backward rule of `op` as one op, if that is simpler than the ops it consists of."""
    rule = op.backward[0]
    if rule is None or not op.elementwise or op.attributes or len(op.inputs) != 1:
        return None
    if len(op.reads) != 1:
        return None
    (read,) = op.reads
    counted = _Counted()
    rule(counted, counted, counted)
    if counted.n_ops < 2:
        return None

    def forward(g: Any, value: Any) -> Any:
        return rule(g, *((value, None) if read == OUTPUT else (None, value)))

    return _op(
        f"_{op.name}_slope",
        ("g", OUTPUT if read == OUTPUT else "x"),
        forward,
        f"The gradient of {op.name}, of g and {read}.",
        ulps=op.ulps,
        cost=counted.cost,
    )


_slopes: dict[Op, Op | None] = {}


def slope(op: Op) -> tuple[Op, str] | None:
    """The backward rule of `op` as one op, and its operands: "gx" or "gz"; None if there is none.

    Whether there is a kernel for it is for the kernels' table to say.
    """
    if op not in _slopes:
        made = _slopes[op] = _make_slope(op)
        if made is not None:
            FUSED[made.name] = made
    found = _slopes[op]
    return None if found is None else (found, "".join(found.inputs))


def find_op(name: str) -> Op:
    """An op of the table, or one that only programs have."""
    if name in OPS:
        return OPS[name]
    if name not in FUSED:
        slope(OPS[name.removeprefix("_").removesuffix("_slope")])
    return FUSED[name]
