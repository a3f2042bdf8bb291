"""What the ops of linear algebra share: their shapes and checks, triangles, diagonals."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from autodiff.apply import apply
from autodiff.array import Array, Shape
from autodiff.errors import MatrixError, ShapeError
from autodiff.op import BoundOp
from autodiff.ops.arguments import operand
from autodiff.ops.batches import over_stacks
from autodiff.ops.elementwise import where
from autodiff.ops.parts import getitem
from autodiff.ops.shape import broadcast_to, reshape, swapaxes
from autodiff.refusal import refusal

__all__ = [
    "diagonal",
    "each",
    "eye",
    "failed",
    "halved_triangle",
    "is_transpose",
    "is_zero",
    "matrix",
    "on_stacks",
    "phi",
    "square",
    "square_shape",
    "stacks",
    "symmetric",
    "systems_batched",
    "triangle",
    "triangle_mask",
    "turned",
]


# ---- shapes ---------------------------------------------------------------------------------


def square_shape(name: str, shape: Shape, what: str = "a") -> tuple[Shape, int]:
    """The stack's axes and the order of its matrices; ShapeError if they are not square."""
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError(
            f"{name}: {what} must be a square matrix, or a stack of them, not of shape {shape}"
        )
    return shape[:-2], shape[-1]


def matrix(name: str, x: Any, what: str = "a") -> Any:
    """An operand of two axes or more; ShapeError."""
    x = operand(name, x, what)
    if len(x.shape) < 2:
        raise refusal(
            ShapeError,
            f"{name}: {what} must be a matrix, or a stack of them, not of shape {x.shape}",
            **{what: x},
        )
    return x


def square(name: str, x: Any, what: str = "a") -> Any:
    """An operand that is a square matrix, or a stack of them; ShapeError."""
    x = matrix(name, x, what)
    try:
        square_shape(name, x.shape, what)
    except ShapeError as error:
        raise refusal(ShapeError, str(error), **{what: x}) from None
    return x


def stacks(name: str, **matrices: Any) -> tuple[Any, ...]:
    """The operands with their leading axes broadcast to one another; ShapeError."""
    shapes = [x.shape[:-2] for x in matrices.values()]
    if shapes.count(shapes[0]) == len(shapes):
        return tuple(matrices.values())
    try:
        stack = np.broadcast_shapes(*shapes)
    except ValueError:
        told = ", ".join(f"{what} has shape {x.shape}" for what, x in matrices.items())
        raise refusal(
            ShapeError, f"{name}: leading axes do not broadcast: {told}", **matrices
        ) from None
    return tuple([broadcast_to(x, (*stack, *x.shape[-2:])) for x in matrices.values()])


def on_stacks(name: str, solve: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """`solve` of a stack of square matrices and right sides, as NumPy takes them.

    A right side of one axis is a vector for each matrix. One matrix serves all right sides at once.
    """
    a, b = square(name, a), operand(name, b, "b")
    n = a.shape[-1]
    is_vector = len(b.shape) == 1
    if not b.shape or b.shape[-1 if is_vector else -2] != n:
        raise refusal(
            ShapeError,
            f"{name}: sizes differ: a has shape {a.shape}, b has shape {b.shape}",
            a=a,
            b=b,
        )
    if is_vector:
        b = reshape(b, (n, 1))
    if len(a.shape) == 2 and len(b.shape) > 2:
        z = _all_at_once(solve, a, b)
    else:
        a, b = stacks(name, a=a, b=b)
        z = solve(a, b)
    return reshape(z, z.shape[:-1]) if is_vector else z


def _all_at_once(solve: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """The right sides of a stack side by side: one matrix for all."""
    *stack, n, k = b.shape
    number = math.prod(stack)
    columns = reshape(swapaxes(reshape(b, (number, n, k)), 0, 1), (n, number * k))
    z = reshape(solve(a, columns), (n, number, k))
    return reshape(swapaxes(z, 0, 1), b.shape)


def systems_batched(bound: BoundOp, operands: Sequence[Any], carries: Sequence[bool]) -> Any:
    """The batch rule of A⁻¹ B: one more leading axis, or, of one A, more columns."""
    a, b = operands
    if not carries[0] and len(a.shape) == 2:
        return _all_at_once(lambda a, b: apply(bound.op, (a, b), bound.attributes), a, b)
    return _of_stacks(bound, operands, carries)


_of_stacks = over_stacks(2, 2, broadcast=False)


# ---- matrices -------------------------------------------------------------------------------


def turned(x: Any) -> Any:
    """Each matrix transposed."""
    return swapaxes(x, -1, -2)


def symmetric(x: Any) -> Any:
    """(x + x')/2."""
    return 0.5 * (x + turned(x))


@functools.lru_cache(256)
def eye(n: int) -> Array:
    """The unit matrix; not to be written."""
    return _fixed(np.eye(n))


@functools.lru_cache(256)
def triangle_mask(n: int, lower: bool, strict: bool) -> Array:
    """1 in a triangle, with or without the diagonal, else 0."""
    ones = np.ones((n, n))
    k = int(strict)
    return _fixed(np.tril(ones, -k) if lower else np.triu(ones, k))


@functools.lru_cache(256)
def halved_triangle(n: int) -> Array:
    """1 below the diagonal, 1/2 on it, else 0."""
    return _fixed(np.tril(np.ones((n, n))) - 0.5 * np.eye(n))


def _fixed(x: Array) -> Array:
    x.flags.writeable = False
    return x


def triangle(x: Any, *, lower: bool, strict: bool = False) -> Any:
    """The lower or upper triangle of each matrix; else 0."""
    return where(triangle_mask(x.shape[-1], lower, strict), x, 0.0)


def phi(x: Any) -> Any:
    """The lower triangle with half of the diagonal: what, with its transpose, is x + x'."""
    return halved_triangle(x.shape[-1]) * x


def diagonal(x: Any) -> Any:
    """The diagonal of each matrix: in programs a view."""
    *stack, m, n = x.shape
    if m > n:
        x, m = getitem(x, (..., slice(0, n), slice(None))), n
    return getitem(reshape(x, (*stack, m * n)), (..., slice(None, None, n + 1))) if n else x[..., 0]


def is_transpose(value: Any) -> bool:
    """Whether a value of a program is the transpose of each matrix of another."""
    if value.op != "transpose":
        return False
    axes = value.attribute("axes")
    n = len(axes)
    return n >= 2 and axes == (*range(n - 2), n - 1, n - 2)


def is_zero(g: Any) -> bool:
    """Whether a gradient is known to be 0: of an output that nobody uses."""
    return type(g) is np.ndarray and not g.any()


# ---- numbers --------------------------------------------------------------------------------


def each(*arrays: Any) -> Iterator[tuple[Any, ...]]:
    """The matrices of stacks with the same leading axes, one after the other."""
    count = math.prod(arrays[0].shape[:-2])
    flat = [x.reshape((count, *x.shape[-2:])) for x in arrays]
    return zip(*flat, strict=True)


def failed(message: str, matrix: int, part: int) -> MatrixError:
    """The error to raise, which knows its place."""
    error = MatrixError(message)
    error.place = matrix, part
    return error
