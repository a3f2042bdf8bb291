"""Ops that only programs have: several ops of the table in one kernel, with the same results.

They appear after all differentiation is done, and so have no gradients of their own.

- ``product_add``: a matrix product computed onto something (see the pass `accumulate`).
- ``_multiply_add``, ``_multiply_subtract``: c + x y and c - x y, element by element, rounded twice.
- ``_tanh_slope`` and its like: the backward rule of an op as one op of what the rule reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from autodiff.op import OPS, Op, broadcast_shape

__all__ = ["FUSED", "MULTIPLY_ADD", "MULTIPLY_SUBTRACT", "PRODUCT_ADD", "find_op", "slope"]


def _op(
    name: str, inputs: Sequence[str], forward: Callable[..., Any], formula: str, **options: Any
) -> Op:
    def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
        return broadcast_shape(name, inputs, *shapes)

    return Op(
        name=name,
        inputs=tuple(inputs),
        shape=options.get("shape", broadcast),
        forward=forward,
        backward=(None,) * len(inputs),
        reads=frozenset(),
        elementwise="shape" not in options,
        variadic=False,
        examples=(),
        formula=formula,
    )


PRODUCT_ADD = _op(
    "product_add",
    ("c", "x", "y", "scale"),
    lambda c, x, y, scale, *, sign: c + sign * scale * (x @ y),
    "z = c ± scale · x y, a matrix product; scale is one number.",
    shape=lambda c, x, y, scale, *, sign: c,
)

MULTIPLY_ADD = _op("_multiply_add", ("c", "x", "y"), lambda c, x, y: c + x * y, "z = c + x y.")

MULTIPLY_SUBTRACT = _op(
    "_multiply_subtract", ("c", "x", "y"), lambda c, x, y: c - x * y, "z = c - x y."
)

FUSED: dict[str, Op] = {op.name: op for op in (PRODUCT_ADD, MULTIPLY_ADD, MULTIPLY_SUBTRACT)}
"""Every op that only programs have, by its name."""


# The backward rules of more than one op, by the operands that their kernels take.
_SLOPES = {
    "square": "gx",
    "log1p": "gx",
    "expm1": "gz",
    "sqrt": "gz",
    "sin": "gx",
    "cos": "gx",
    "tanh": "gz",
    "sigmoid": "gz",
    "softplus": "gx",
    "relu": "gz",
    "abs": "gx",
}


def _slope(name: str, operands: str) -> Op:
    rule = OPS[name].backward[0]
    assert rule is not None

    def forward(g: Any, value: Any) -> Any:
        return rule(g, value if operands == "gz" else None, value if operands == "gx" else None)

    return _op(
        f"_{name}_slope",
        tuple(operands),
        forward,
        f"The gradient of {name}, of g and {operands[1]}.",
    )


FUSED.update({op.name: op for op in (_slope(*item) for item in _SLOPES.items())})


def slope(name: str) -> tuple[Op, str] | None:
    """The backward rule of op `name` as one op, and its operands: "gx" or "gz"."""
    operands = _SLOPES.get(name)
    return None if operands is None else (FUSED[f"_{name}_slope"], operands)


def find_op(name: str) -> Op:
    """An op of the table, or one that only programs have."""
    return FUSED[name] if name in FUSED else OPS[name]
