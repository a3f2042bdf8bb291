"""Diagonals and triangles of matrices. Parameters are NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.declare import numpy_name
from autodiff.errors import ShapeError
from autodiff.ops.arguments import axis_of, brief, operand, whole_number
from autodiff.ops.elementwise import where
from autodiff.ops.parts import getitem, scatter_slice
from autodiff.ops.shape import reshape, transpose
from autodiff.refusal import refusal

__all__ = ["diag", "diagflat", "diagonal", "tril", "triu"]


def _offset(name: str, x: Any, k: Any) -> int:
    number = whole_number(k)
    if number is None:
        raise refusal(ShapeError, f"{name}: the offset {brief(k)} is not an integer", x=x)
    return number


def _strided(n_rows: int, n_cols: int, k: int) -> tuple[int, int, int]:
    """Where the elements of a diagonal lie, rows one after the other: a range."""
    length = max(0, min(n_rows, n_cols - k) if k >= 0 else min(n_rows + k, n_cols))
    start = k if k >= 0 else -k * n_cols
    return (start, start + (length - 1) * (n_cols + 1) + 1, n_cols + 1) if length else (0, 0, 1)


@numpy_name("numpy.diag")
def diag(v: Any, k: int = 0) -> Any:
    """The diagonal number k of a matrix; of shape (n,), the matrix that has it as diagonal."""
    x = operand("diag", v, "v")
    offset = _offset("diag", x, k)
    if len(x.shape) == 2:
        return diagonal(x, offset)
    if len(x.shape) != 1:
        raise refusal(ShapeError, f"diag: v has shape {x.shape}, it needs one axis or two", v=x)
    n = x.shape[0] + abs(offset)
    flat = scatter_slice.normal(x, index=(_strided(n, n, offset),), shape=(n * n,))
    return reshape(flat, (n, n))


@numpy_name("numpy.diagflat")
def diagflat(v: Any, k: int = 0) -> Any:
    """The matrix of which all elements of v, row by row, are the diagonal number k."""
    return diag(reshape(operand("diagflat", v, "v"), -1), k)


@numpy_name("numpy.diagonal")
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonals of matrices that lie along two axes; they become the last axis."""
    x = operand("diagonal", a, "a")
    k, n = _offset("diagonal", x, offset), len(x.shape)
    if n < 2:
        raise refusal(ShapeError, f"diagonal: a has shape {x.shape}, it is no matrix", a=x)
    i, j = axis_of("diagonal", x, axis1), axis_of("diagonal", x, axis2)
    if i == j:
        raise refusal(ShapeError, f"diagonal: axis1 and axis2 are both axis {i}", a=x)
    x = transpose(x, (*[axis for axis in range(n) if axis not in (i, j)], i, j))
    *before, n_rows, n_cols = x.shape
    start, stop, step = _strided(n_rows, n_cols, k)
    return getitem(reshape(x, (*before, n_rows * n_cols)), (..., slice(start, stop, step)))


@numpy_name("numpy.triu")
def triu(m: Any, k: int = 0) -> Any:
    """m with zeros below the diagonal number k."""
    return _triangle("triu", m, k)


@numpy_name("numpy.tril")
def tril(m: Any, k: int = 0) -> Any:
    """m with zeros above the diagonal number k."""
    return _triangle("tril", m, k)


def _triangle(name: str, m: Any, k: Any) -> Any:
    x = operand(name, m, "m")
    if not x.shape:
        raise refusal(ShapeError, f"{name}: m has shape (), it is no matrix", m=x)
    offset = _offset(name, x, k)
    n_rows, n_cols = x.shape[-2:] if len(x.shape) > 1 else x.shape * 2
    if name == "tril":
        return where(np.tri(n_rows, n_cols, offset), x, 0.0)
    return where(np.tri(n_rows, n_cols, offset - 1), 0.0, x)
