"""Arithmetic, element by element. Operands broadcast as NumPy's do."""

from __future__ import annotations

from typing import Any

from autodiff.declare import declare
from autodiff.op import BoundOp
from autodiff.ops.examples import binary, unary

__all__ = ["add", "divide", "multiply", "negative", "square", "subtract"]

# The identities are asked by the passes of programs; `e` is what emits instructions there.


def _add_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    x, y = inputs
    if e.is_constant(y, 0.0) and len(y.shape) <= len(x.shape) and y.size <= 1:
        return x
    if e.is_constant(x, 0.0) and len(x.shape) <= len(y.shape) and x.size <= 1:
        return y
    return None


def _subtract_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    x, y = inputs
    return x if e.is_constant(y, 0.0) and y.shape == () else None


def _multiply_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    x, y = inputs
    shape = bound.shape(x.shape, y.shape)
    if e.is_constant(y, 1.0) and x.shape == shape:
        return x
    if e.is_constant(x, 1.0) and y.shape == shape:
        return y
    return None


def _divide_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    x, y = inputs
    return x if e.is_constant(y, 1.0) and y.shape == () else None


def _negative_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    return inputs[0].inputs[0] if inputs[0].op == bound.name else None


@declare(
    numpy=("numpy.add",),
    linear=((0, 1),),
    identity=_add_identity,
    backward=(lambda g, z, x, y: g, lambda g, z, x, y: g),
    examples=binary(),
)
def add(x: Any, y: Any) -> Any:
    """z = x + y."""
    return x + y


@declare(
    numpy=("numpy.subtract",),
    linear=((0, 1),),
    identity=_subtract_identity,
    backward=(lambda g, z, x, y: g, lambda g, z, x, y: -g),
    examples=binary(),
)
def subtract(x: Any, y: Any) -> Any:
    """z = x - y."""
    return x - y


@declare(
    numpy=("numpy.multiply",),
    linear=((0,), (1,)),
    identity=_multiply_identity,
    backward=(lambda g, z, x, y: g * y, lambda g, z, x, y: g * x),
    reads="x y",
    examples=binary(),
)
def multiply(x: Any, y: Any) -> Any:
    """z = x y, element by element."""
    return x * y


@declare(
    numpy=("numpy.divide",),
    linear=((0,),),
    cost=3.0,
    identity=_divide_identity,
    backward=(lambda g, z, x, y: g / y, lambda g, z, x, y: -(g * z / y)),
    reads="z y",
    examples=binary(0.5, 2.0),
)
def divide(x: Any, y: Any) -> Any:
    """z = x / y."""
    return x / y


@declare(
    numpy=("numpy.negative",),
    linear=((0,),),
    identity=_negative_identity,
    backward=lambda g, z, x: -g,
    examples=unary(),
)
def negative(x: Any) -> Any:
    """z = -x."""
    return -x


@declare(numpy=("numpy.square",), backward=lambda g, z, x: g * (x + x), reads="x", examples=unary())
def square(x: Any) -> Any:
    """z = x²."""
    return x * x
