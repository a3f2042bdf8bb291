"""Matrices with few diagonals: a row for each, as LAPACK and SciPy keep them.

ab[r, j] is A[j + r - upper, j]: row `upper` is the main diagonal. What lies outside of A counts as
0 and has gradient 0. Second derivatives of a banded Cholesky factor go by way of full matrices; all
else takes time in proportion to the number of rows.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from autodiff.array import Array, Shape
from autodiff.declare import declare, numpy_name
from autodiff.errors import ShapeError
from autodiff.op import Example, Sample
from autodiff.ops.arguments import brief, flag, operand, several, whole_number
from autodiff.ops.batches import over_stacks
from autodiff.ops.elementwise import where
from autodiff.ops.linalg.cholesky import gradient_of_factor, not_definite, second_gradients
from autodiff.ops.linalg.lu import singular
from autodiff.ops.linalg.matrices import each, failed, matrix, stacks, triangle_mask, turned
from autodiff.ops.linalg.triangular import triangular_message
from autodiff.ops.parts import concat
from autodiff.ops.shape import reshape
from autodiff.refusal import refusal

__all__ = ["cho_solve_banded", "cholesky_banded", "solve_banded", "solveh_banded"]


# ---- bands ----------------------------------------------------------------------------------


@functools.lru_cache(256)
def _within(n: int, lower: int, upper: int) -> Array:
    """1 where an element of a band lies within the matrix, else 0."""
    row = np.arange(n) + np.arange(-upper, lower + 1)[:, None]
    found = ((row >= 0) & (row < n)).astype(np.float64)
    found.flags.writeable = False
    return found


def _full(a: Any, lower: int, upper: int) -> Any:
    """The whole matrix, of an array."""
    n = a.shape[-1]
    z = np.zeros((n, n), a.dtype)
    for r in range(lower + upper + 1):
        d = r - upper
        z += np.diag(a[r, max(0, -d) : n - max(0, d)], -d) if abs(d) < n else 0.0
    return z


def _band_of(full: Any, lower: int, upper: int) -> Any:
    """And back."""
    n = len(full)
    z = np.zeros((lower + upper + 1, n), full.dtype)
    for r in range(lower + upper + 1):
        d = r - upper
        if abs(d) < n:
            z[r, max(0, -d) : n - max(0, d)] = np.diagonal(full, -d)
    return z


def _checked(name: str, ab: Shape, b: Shape | None, rows: int) -> Shape:
    """The stack's axes; ShapeError."""
    if len(ab) < 2 or ab[-2] != rows or rows > 2 * ab[-1] + 1:
        raise ShapeError(
            f"{name}: ab must have a row for each of {rows} diagonals, not more than fit into the "
            f"matrix; it has shape {ab}"
        )
    if b is not None and (len(b) != len(ab) or b[:-2] != ab[:-2] or b[-2] != ab[-1]):
        raise ShapeError(f"{name}: sizes differ: ab has shape {ab}, b has shape {b}")
    return ab[:-2]


_BANDS = [((3, 4), (4, 2), 1, 1), ((3, 5), (5, 1), 2, 0), ((2, 4, 4), (2, 4, 2), 1, 2)]
_NO_BANDS = [((2, 3), (3, 0), 1, 0), ((0, 3, 4), (0, 4, 2), 1, 1), ((1, 0), (0, 2), 0, 0)]


def _examples(cases: Any, low: float, **attributes: Any) -> list[Example]:
    """Bands whose matrix is regular, for one sign is larger than all others together."""
    return [
        Example((Sample(a, low, 2.0), Sample(b)), {"lower": lower, "upper": upper, **attributes})
        for a, b, lower, upper in cases
    ]


# ---- products -------------------------------------------------------------------------------


def _product_shape(x: Shape, y: Shape, *, lower: int, upper: int) -> Shape:
    if x != y or len(x) < 2:
        raise ShapeError(f"band of a product: x has shape {x}, y has shape {y}")
    return (*x[:-2], lower + upper + 1, x[-2])


def _product_gx(g: Any, z: Any, x: Any, y: Any, **band: Any) -> Any:
    return _band_times.normal(g, y, turned=False, **band)


def _product_gy(g: Any, z: Any, x: Any, y: Any, **band: Any) -> Any:
    return _band_times.normal(g, x, turned=True, **band)


@declare(
    shape=_product_shape,
    backward=(_product_gx, _product_gy),
    reads="x y",
    batched=over_stacks(2, 2, broadcast=False),
    examples=[
        Example((Sample(b), Sample(b)), {"lower": lower, "upper": upper})
        for _, b, lower, upper in _BANDS
    ],
    empty=[
        Example((Sample(b), Sample(b)), {"lower": lower, "upper": upper})
        for _, b, lower, upper in _NO_BANDS
    ],
)
def _band_product(x: Any, y: Any, *, lower: int, upper: int) -> Any:
    """z = the elements of x y' in a band."""
    z = np.zeros(_product_shape(x.shape, y.shape, lower=lower, upper=upper), np.result_type(x, y))
    for xi, yi, zi in each(x, y, z) if z.size else ():
        zi[...] = _band_of(xi @ yi.T, lower, upper)
    return z


def _times_shape(ab: Shape, x: Shape, *, lower: int, upper: int, turned: bool) -> Shape:
    _checked("product with a band", ab, x, lower + upper + 1)
    return x


def _times_gab(g: Any, z: Any, ab: Any, x: Any, *, turned: bool, **band: Any) -> Any:
    return _band_product.normal(*((x, g) if turned else (g, x)), **band)


def _times_gx(g: Any, z: Any, ab: Any, x: Any, *, turned: bool, **band: Any) -> Any:
    return _band_times.normal(ab, g, turned=not turned, **band)


@declare(
    shape=_times_shape,
    backward=(_times_gab, _times_gx),
    reads="ab x",
    batched=over_stacks(2, 2, broadcast=False),
    examples=[*_examples(_BANDS, -2.0, turned=False), *_examples(_BANDS, -2.0, turned=True)],
    empty=_examples(_NO_BANDS, -2.0, turned=False),
)
def _band_times(ab: Any, x: Any, *, lower: int, upper: int, turned: bool) -> Any:
    """z = A x, or A' x if `turned`, for the matrix of a band."""
    z = np.zeros(x.shape, np.result_type(ab, x))
    for ai, xi, zi in each(ab, x, z) if z.size else ():
        full = _full(ai, lower, upper)
        zi[...] = (full.T if turned else full) @ xi
    return z


# ---- general systems ------------------------------------------------------------------------


def _columns(name: str, solve: Any, a: Any, b: Any) -> Any:
    """`solve` of stacks, where one axis more or less makes b a vector."""
    a, b = matrix(name, a, "ab"), operand(name, b, "b")
    is_vector = len(b.shape) == 1
    if is_vector:
        b = reshape(b, (b.shape[0], 1))
    a, b = stacks(name, ab=a, b=matrix(name, b, "b"))
    z = solve(a, b)
    return reshape(z, z.shape[:-1]) if is_vector else z


def _solve_arguments(name: str, l_and_u: Any, ab: Any, b: Any) -> Any:
    items = several(l_and_u)
    lower, upper = (None, None) if items is None or len(items) != 2 else map(whole_number, items)
    if lower is None or upper is None or min(lower, upper) < 0:
        raise refusal(ShapeError, f"{name}: l_and_u must be two numbers, not {brief(l_and_u)}")

    def solve(ab: Any, b: Any) -> Any:
        return solve_banded.normal(ab, b, lower=lower, upper=upper, turned=False)

    return _columns(name, solve, ab, b), None


def _solve_shape(ab: Shape, b: Shape, *, lower: int, upper: int, turned: bool) -> Shape:
    _checked("solve_banded", ab, b, lower + upper + 1)
    return b


def _solve_gb(g: Any, z: Any, ab: Any, b: Any, *, turned: bool, **band: Any) -> Any:
    return solve_banded.normal(ab, g, turned=not turned, **band)


def _solve_gab(g: Any, z: Any, ab: Any, b: Any, *, turned: bool, **band: Any) -> Any:
    gb = _solve_gb(g, z, ab, b, turned=turned, **band)
    return -_band_product.normal(*((z, gb) if turned else (gb, z)), **band)


@declare(
    arguments=_solve_arguments,
    shape=_solve_shape,
    backward=(_solve_gab, _solve_gb),
    reads="z ab",
    batched=over_stacks(2, 2, broadcast=False),
    examples=[*_examples(_BANDS, 1.0, turned=False), *_examples(_BANDS, 1.0, turned=True)],
    empty=_examples(_NO_BANDS, 1.0, turned=False),
)
def solve_banded(ab: Any, b: Any, *, lower: int, upper: int, turned: bool) -> Any:
    """z = the solution of A z = b, for A with so many diagonals below and above the main one.

    ab : shape (..., l + u + 1, n), a row for each diagonal; b : shape (..., n, k), or (n,).

    Raises
    ------
    MatrixError
        If a matrix is singular, when the value is computed.
    """
    from scipy.linalg import solve_banded

    z = np.zeros(b.shape, np.result_type(ab, b))
    for number, (ai, bi, zi) in enumerate(each(ab, b, z) if z.size else ()):
        full = _full(ai, lower, upper)
        if not np.isfinite(full).all() or np.iscomplexobj(z) or turned:
            solved = _by_full_matrix(full.T if turned else full, bi)
        else:
            try:
                solved = solve_banded((lower, upper), ai, bi, check_finite=False)
            except np.linalg.LinAlgError:
                solved = None
        if solved is None:
            pivot = _first_zero(full.T if turned else full)
            raise failed(f"solve_banded: {singular(number, pivot)}", number, pivot)
        zi[...] = solved
    return z


def _by_full_matrix(full: Any, b: Any) -> Any:
    try:
        return np.linalg.solve(full, b)
    except np.linalg.LinAlgError:
        return None


def _first_zero(full: Any) -> int:
    """The number of the first pivot that is 0."""
    f = full.copy()
    for j in range(len(f)):
        best = j + int(np.argmax(np.abs(f[j:, j])))
        f[[j, best]] = f[[best, j]]
        if f[j, j] == 0.0:
            return j + 1
        f[j + 1 :] -= np.outer(f[j + 1 :, j] / f[j, j], f[j])
    return len(f)


numpy_name("scipy.linalg.solve_banded")(solve_banded)


# ---- Cholesky's factor ----------------------------------------------------------------------


def _to_lower(ab: Any) -> Any:
    """The lower diagonals as a triangle, with zeros above it."""
    *stack, rows, n = ab.shape
    columns = turned(where(_within(n, rows - 1, 0), ab, 0.0))
    if rows > n:
        columns, rows = columns[..., :n], n
    wide = concat([columns, np.zeros((*stack, n, n + 1 - rows))], -1)
    flat = reshape(wide, (*stack, n * (n + 1)))[..., : n * n]
    return turned(reshape(flat, (*stack, n, n)))


def _from_lower(x: Any, rows: int) -> Any:
    """And back: the diagonals of a lower triangle."""
    *stack, n, _ = x.shape
    flat = reshape(turned(where(triangle_mask(n, True, False), x, 0.0)), (*stack, n * n))
    wide = reshape(concat([flat, np.zeros((*stack, n))], -1), (*stack, n, n + 1))
    if rows > n + 1:
        wide = concat([wide, np.zeros((*stack, n, rows - n - 1))], -1)
    return where(_within(n, rows - 1, 0), turned(wide[..., :rows]), 0.0)


def _weights(rows: int) -> Array:
    """How often a symmetric matrix has an element of each diagonal."""
    return np.where(np.arange(rows) > 0, 2.0, 1.0)[:, None]


def _gradient_shape(g: Shape, c: Shape) -> Shape:
    if g != c or len(c) < 2:
        raise ShapeError(f"cholesky_banded: a gradient of shape {g} for a factor of shape {c}")
    return c


def _second(position: int) -> Any:
    def rule(h: Any, z: Any, g: Any, c: Any) -> Any:
        rows = c.shape[-2]
        parts = _to_lower(h * _weights(rows)), _to_lower(g), _to_lower(c)
        return _from_lower(second_gradients[position](*parts), rows)

    return rule


_FACTORS = [(2, 4), (3, 4), (1, 3), (2, 2, 3)]
_NO_FACTORS = [(1, 0), (0, 2, 3), (2, 1)]


@declare(
    shape=_gradient_shape,
    backward=(_second(0), _second(1)),
    reads="g c",
    batched=over_stacks(2, 2, broadcast=False),
    examples=[Example((Sample(s), Sample(s, 1.0, 2.0))) for s in _FACTORS],
    empty=[Example((Sample(s), Sample(s, 1.0, 2.0))) for s in _NO_FACTORS],
)
def _cholesky_banded_gradient(g: Any, c: Any) -> Any:
    """z = the gradient of the diagonals of A = L L', by that of the diagonals of L."""
    z = np.zeros(c.shape, np.result_type(g, c))
    rows = c.shape[-2]
    for gi, ci, zi in each(g, c, z) if z.size else ():
        full = gradient_of_factor(_full(gi, rows - 1, 0), _full(ci, rows - 1, 0))
        zi[...] = _band_of(full, rows - 1, 0) * _weights(rows)
    return z


def _factor_shape(ab: Shape) -> Shape:
    if len(ab) < 2 or ab[-2] > ab[-1] + 1:
        raise ShapeError(f"cholesky_banded: {ab} is no shape of diagonals: a row for each")
    return ab


@declare(
    shape=_factor_shape,
    backward=lambda g, z, ab: _cholesky_banded_gradient.normal(g, z),
    reads="z",
    batched=over_stacks(2),
    examples=[Example((Sample(s, 1.0, 1.2),)) for s in [(1, 3), (1, 4), (2, 1, 3)]],
    empty=[Example((Sample(s, 1.0, 2.0),)) for s in _NO_FACTORS],
)
def _cholesky_banded(ab: Any) -> Any:
    """z = the diagonals of L, where L L' = A, by those of A from the main one down."""
    z = np.zeros(ab.shape, ab.dtype)
    rows = ab.shape[-2]
    for number, (ai, zi) in enumerate(each(ab, z) if z.size else ()):
        zi[...] = ai * _within(ai.shape[-1], rows - 1, 0)
        for j in range(ai.shape[-1]):
            if zi[0, j].real <= 0.0:
                raise failed(f"cholesky_banded: {not_definite(number, j + 1)}", number, j + 1)
            m = min(rows - 1, ai.shape[-1] - 1 - j)
            zi[0, j] = np.sqrt(zi[0, j])
            zi[1 : m + 1, j] /= zi[0, j]
            for c in range(1, m + 1):
                zi[: m + 1 - c, j + c] -= zi[c : m + 1, j] * zi[c, j]
    return z


def _flipped(x: Any, to_lower: bool) -> Any:
    """Diagonals from the main one down as those from the last one above it, and back."""
    *stack, rows, n = x.shape
    parts = []
    for r in range(rows):
        source, shift = x[..., rows - 1 - r, :], min(r if to_lower else rows - 1 - r, n)
        zeros = np.zeros((*stack, shift))
        whole = [source[..., shift:], zeros] if to_lower else [zeros, source[..., : n - shift]]
        parts.append(reshape(concat(whole, -1) if shift else source, (*stack, 1, n)))
    return concat(parts, -2)


@numpy_name("scipy.linalg.cholesky_banded")
def cholesky_banded(ab: Any, lower: bool = False) -> Any:
    """z = the diagonals of the factor of A, whose diagonals are `ab`, as SciPy keeps them.

    lower : of L, where L L' = A, from the main one down; else of L', the main one last.

    Raises
    ------
    MatrixError
        If a matrix is not positive definite, when the value is computed.
    """
    ab = matrix("cholesky_banded", ab, "ab")
    if flag("cholesky_banded", "lower", lower):
        return _cholesky_banded.normal(ab)
    return _flipped(_cholesky_banded.normal(_flipped(ab, True)), False)


def _cho_solve_shape(c: Shape, b: Shape) -> Shape:
    _checked("cho_solve_banded", c, b, c[-2] if len(c) > 1 else 0)
    return b


def _cho_solve_gb(g: Any, z: Any, c: Any, b: Any) -> Any:
    return _cho_solve_banded.normal(c, g)


def _cho_solve_gc(g: Any, z: Any, c: Any, b: Any) -> Any:
    gb = _cho_solve_gb(g, z, c, b)
    band = {"lower": c.shape[-2] - 1, "upper": 0}

    def part(x: Any, y: Any) -> Any:
        return _band_product.normal(x, _band_times.normal(c, y, turned=True, **band), **band)

    return -(part(gb, z) + part(z, gb))


@declare(
    shape=_cho_solve_shape,
    backward=(_cho_solve_gc, _cho_solve_gb),
    reads="z c",
    batched=over_stacks(2, 2, broadcast=False),
    examples=[
        Example((Sample(c, 1.0, 2.0), Sample(b)))
        for c, b in [((2, 4), (4, 2)), ((3, 4), (4, 1)), ((2, 2, 3), (2, 3, 2))]
    ],
    empty=[
        Example((Sample(c, 1.0, 2.0), Sample(b)))
        for c, b in [((2, 3), (3, 0)), ((1, 0), (0, 2)), ((0, 2, 3), (0, 3, 1))]
    ],
)
def _cho_solve_banded(c: Any, b: Any) -> Any:
    """z = A⁻¹ B, by the diagonals of L, where L L' = A."""
    z = np.zeros(b.shape, np.result_type(c, b))
    rows = c.shape[-2]
    for number, (ci, bi, zi) in enumerate(each(c, b, z) if z.size else ()):
        zero = np.flatnonzero(ci[0] == 0.0)
        if len(zero):
            place = int(zero[0]) + 1
            raise failed(f"cho_solve_banded: {triangular_message(number, place)}", number, place)
        full = _full(ci, rows - 1, 0)
        zi[...] = np.linalg.solve(full.T, np.linalg.solve(full, bi))
    return z


@numpy_name("scipy.linalg.cho_solve_banded")
def cho_solve_banded(cb_and_lower: tuple[Any, bool], b: Any) -> Any:
    """z = A⁻¹ b by the diagonals that :func:`cholesky_banded` gives, and whether they are lower."""
    c, lower = cb_and_lower
    c = matrix("cho_solve_banded", c, "cb")
    if not flag("cho_solve_banded", "lower", lower):
        c = _flipped(c, True)
    return _columns("cho_solve_banded", _cho_solve_banded.normal, c, b)


@numpy_name("scipy.linalg.solveh_banded")
def solveh_banded(ab: Any, b: Any, lower: bool = False) -> Any:
    """z = A⁻¹ b for a symmetric, positive definite A by its diagonals, as SciPy keeps them.

    Raises
    ------
    MatrixError
        If a matrix is not positive definite, when the value is computed.
    """
    ab = matrix("solveh_banded", ab, "ab")
    if not flag("solveh_banded", "lower", lower):
        ab = _flipped(ab, True)
    return cho_solve_banded((_cholesky_banded.normal(ab), True), b)
