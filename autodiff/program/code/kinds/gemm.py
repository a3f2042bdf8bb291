"""Kind `gemm`: matrix products, as BLAS has them, over a stack of matrices."""

from __future__ import annotations

from typing import ClassVar

from autodiff.program.code.kind import Kind, Operand, instruction_kind

__all__ = ["Gemm"]


@instruction_kind
class Gemm(Kind):
    """C = alpha scale op(A) op(B) + beta C for each matrix of a stack; op transposes, or does not.

    m, n, k : C is m×n, op(A) m×k, op(B) k×n. scale : one number, or None for 1.
    lda, ldb, ldc : numbers from one row to the next. stack : how many matrices, on each axis;
    a_strides, b_strides, c_strides : numbers from one to the next.
    """

    name: ClassVar[str] = "gemm"
    ops: ClassVar[tuple[str, ...]] = ("matmul", "product_add")

    ta: bool
    tb: bool
    m: int
    n: int
    k: int
    alpha: float
    scale: Operand | None
    a: Operand
    lda: int
    b: Operand
    ldb: int
    beta: float
    c: Operand
    ldc: int
    stack: tuple[int, ...]
    a_strides: tuple[int, ...]
    b_strides: tuple[int, ...]
    c_strides: tuple[int, ...]
