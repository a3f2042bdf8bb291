"""Products of several matrices, blocks, and SciPy's systems with structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff.declare import numpy_name
from autodiff.errors import ShapeError
from autodiff.ops.arguments import brief, flag, listed, operand, whole_number
from autodiff.ops.linalg.cholesky import cho_solve, cholesky
from autodiff.ops.linalg.lu import inv, solve
from autodiff.ops.linalg.matrices import eye, on_stacks, square, turned
from autodiff.ops.linalg.triangular import solve_triangular
from autodiff.ops.parts import concat
from autodiff.ops.shape import broadcast_to, reshape
from autodiff.refusal import refusal

__all__ = ["block_diag", "matrix_power", "multi_dot"]


@numpy_name("numpy.linalg.matrix_power")
def matrix_power(a: Any, n: int) -> Any:
    """z = A ... A, n times, by squaring; of a negative n by A⁻¹."""
    a, times = square("matrix_power", a), whole_number(n)
    if times is None:
        raise refusal(ShapeError, f"matrix_power: n must be an integer, not {brief(n)}", a=a)
    if times == 0:
        return broadcast_to(eye(a.shape[-1]), a.shape) + 0.0 * a
    if times < 0:
        a, times = inv(a), -times
    z = None
    while True:
        if times & 1:
            z = a if z is None else z @ a
        times >>= 1
        if not times:
            return z
        a = a @ a


@numpy_name("numpy.linalg.multi_dot")
def multi_dot(arrays: Sequence[Any]) -> Any:
    """z = the product of matrices, in the order that takes the fewest multiplications.

    The first and the last may be vectors, as of NumPy's function.
    """
    items = listed(arrays)
    if items is None or len(items) < 2:
        raise refusal(ShapeError, "multi_dot: two arrays or more are needed")
    matrices = [operand("multi_dot", x, f"arrays[{i}]") for i, x in enumerate(items)]
    first, last = len(matrices[0].shape) == 1, len(matrices[-1].shape) == 1
    if first:
        matrices[0] = reshape(matrices[0], (1, -1))
    if last:
        matrices[-1] = reshape(matrices[-1], (-1, 1))
    for i, x in enumerate(matrices):
        if len(x.shape) != 2 or (i and matrices[i - 1].shape[1] != x.shape[0]):
            shapes = [m.shape for m in matrices]
            raise refusal(ShapeError, f"multi_dot: shapes {shapes} are no chain of products")
    z = _chained(matrices, _order([x.shape[0] for x in matrices] + [matrices[-1].shape[1]]))
    shape = z.shape[int(first) : 2 - int(last)]
    return reshape(z, shape)


def _order(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where each part of a chain is cut: Cormen and others, Introduction to algorithms, 15.2."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    cuts: dict[tuple[int, int], int] = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            costs = [
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            ]
            cost[i, j], cuts[i, j] = min(costs)
    return cuts


def _chained(matrices: Sequence[Any], cuts: dict[tuple[int, int], int]) -> Any:
    def product(i: int, j: int) -> Any:
        if i == j:
            return matrices[i]
        k = cuts[i, j]
        return product(i, k) @ product(k + 1, j)

    return product(0, len(matrices) - 1)


@numpy_name("scipy.linalg.block_diag")
def block_diag(*arrs: Any) -> Any:
    """z = the matrices one after the other along the diagonal, zeros elsewhere."""
    blocks = []
    for i, x in enumerate(arrs):
        x = operand("block_diag", x, f"arrs[{i}]")
        if len(x.shape) > 2:
            raise refusal(
                ShapeError, f"block_diag: arrs[{i}] has shape {x.shape}, no matrix's", x=x
            )
        blocks.append(reshape(x, (1, -1)) if len(x.shape) < 2 else x)
    width, before, rows = sum(x.shape[1] for x in blocks), 0, []
    for x in blocks:
        m, n = x.shape
        left, right = np.zeros((m, before)), np.zeros((m, width - before - n))
        rows.append(concat([left, x, right], -1))
        before += n
    return concat(rows, 0)


# ---- SciPy's signatures -----------------------------------------------------------------------

_GENERAL = (None, "gen", "general", "sym", "symmetric", "her", "hermitian")
_DEFINITE = ("pos", "positive definite")
_TRIANGULAR = {
    "lower triangular": True, "upper triangular": False, "lower": True, "upper": False,
}  # fmt: skip


@numpy_name("scipy.linalg.solve")
def _solve_of_scipy(
    a: Any, b: Any, lower: bool = False, assume_a: Any = None, transposed: bool = False
) -> Any:
    """By Cholesky's factor, or a triangle, if that is what A is said to be."""
    lower = flag("solve", "lower", lower)
    a = square("solve", a)
    if flag("solve", "transposed", transposed):
        a = turned(a)
    if assume_a in _DEFINITE:
        return cho_solve((cholesky(a), True), b)
    if assume_a in _TRIANGULAR:
        return solve_triangular(a, b, lower=_TRIANGULAR[assume_a])
    if assume_a in ("diagonal", "tridiagonal", "banded") or assume_a in _GENERAL:
        return solve(a, b)
    raise refusal(ShapeError, f"solve: assume_a={brief(assume_a)} is not known", a=a)


@numpy_name("scipy.linalg.inv")
def _inv_of_scipy(a: Any, *, assume_a: Any = None, lower: bool = False) -> Any:
    a = square("inv", a)
    return _solve_of_scipy(a, broadcast_to(eye(a.shape[-1]), a.shape), lower, assume_a)


@numpy_name("numpy.linalg.tensorinv")
def _tensorinv(a: Any, ind: int = 2) -> Any:
    a, count = operand("tensorinv", a), whole_number(ind)
    if count is None or count <= 0:
        raise refusal(ShapeError, f"tensorinv: ind must be positive, not {brief(ind)}", a=a)
    rows = int(np.prod(a.shape[:count]))
    return reshape(inv(reshape(a, (rows, -1))), (*a.shape[count:], *a.shape[:count]))


@numpy_name("numpy.linalg.tensorsolve")
def _tensorsolve(a: Any, b: Any) -> Any:
    a, b = operand("tensorsolve", a), operand("tensorsolve", b, "b")
    rest = a.shape[len(b.shape) :]
    n = int(np.prod(b.shape))
    z = on_stacks("tensorsolve", solve, reshape(a, (n, -1)), reshape(b, (n,)))
    return reshape(z, rest)
