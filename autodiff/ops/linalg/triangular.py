"""Systems with a triangular matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.array import Shape
from autodiff.declare import declare, numpy_name
from autodiff.errors import ShapeError
from autodiff.op import BoundOp, Example, Sample
from autodiff.ops.arguments import brief, flag
from autodiff.ops.linalg.matrices import (
    each,
    failed,
    is_transpose,
    on_stacks,
    square_shape,
    systems_batched,
    triangle,
    turned,
)
from autodiff.refusal import refusal

__all__ = ["solve_lower", "solve_triangular", "triangular_message"]


def system_shape(name: str, a: Shape, b: Shape) -> Shape:
    """The shape of A⁻¹ B; ShapeError."""
    stack, n = square_shape(name, a)
    if len(b) != len(a) or b[:-2] != stack or b[-2] != n:
        raise ShapeError(f"{name}: sizes differ: a has shape {a}, b has shape {b}")
    return b


def _shape(a: Shape, b: Shape, **attributes: Any) -> Shape:
    return system_shape("solve_triangular", a, b)


def _gb(g: Any, z: Any, a: Any, b: Any, *, lower: bool, turned: bool, unit: bool) -> Any:
    return solve_triangular.normal(a, g, lower=lower, turned=not turned, unit=unit)


def _ga(g: Any, z: Any, a: Any, b: Any, **attributes: Any) -> Any:
    gb = _gb(g, z, a, b, **attributes)
    product = z @ turned(gb) if attributes["turned"] else gb @ turned(z)
    return triangle(-product, lower=attributes["lower"], strict=attributes["unit"])


def _identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    """With A' for A, no transpose is needed."""
    a, b = inputs
    if not is_transpose(a):
        return None
    found = {**bound.attributes}
    found["lower"], found["turned"] = not found["lower"], not found["turned"]
    return e.apply(bound.name, a.inputs[0], b, **found)


_TRANS = {0: False, "N": False, 1: True, "T": True, 2: True, "C": True}


def _arguments(
    name: str, a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False
) -> Any:
    if not isinstance(trans, (int, str)) or trans not in _TRANS:
        raise refusal(
            ShapeError, f"{name}: trans must be 0, 1, 2, 'N', 'T' or 'C', not {brief(trans)}"
        )
    options = {
        "lower": flag(name, "lower", lower),
        "turned": _TRANS[trans],
        "unit": flag(name, "unit_diagonal", unit_diagonal),
    }
    return on_stacks(name, lambda a, b: solve_triangular.normal(a, b, **options), a, b), None


def triangular_message(matrix: int, place: int) -> str:
    """What is said of a matrix with a zero on its diagonal."""
    return (
        f"matrix {matrix} is singular: its diagonal element {place} is 0, so that the system "
        "has no solution or many"
    )


@declare(
    arguments=_arguments,
    shape=_shape,
    backward=(_ga, _gb),
    reads="z a",
    batched=systems_batched,
    identity=_identity,
    cost=4.0,
    examples=[
        Example(
            (Sample(a, kind="definite"), Sample(b)),
            {"lower": lower, "turned": turned_, "unit": unit},
        )
        for a, b, lower, turned_, unit in [
            ((4, 4), (4, 3), True, False, False),
            ((4, 4), (4, 1), True, True, False),
            ((4, 4), (4, 3), False, False, False),
            ((3, 3), (3, 2), False, True, True),
            ((2, 3, 3), (2, 3, 2), True, False, True),
            ((1, 1), (1, 1), True, False, False),
        ]
    ],
    empty=[
        Example(
            (Sample(a, kind="definite"), Sample(b)), {"lower": True, "turned": t, "unit": False}
        )
        for a, b, t in [
            ((0, 0), (0, 3), False), ((3, 3), (3, 0), True), ((0, 2, 2), (0, 2, 1), False),
        ]
    ],
)  # fmt: skip
def solve_triangular(a: Any, b: Any, *, lower: bool, turned: bool, unit: bool) -> Any:
    """z = the solution of A z = b, or of A' z = b with `trans`, for a triangular A.

    a : shape (..., n, n), of which one triangle is read; b : shape (..., n, k), or (n,).

    Raises
    ------
    MatrixError
        If there is a zero on the diagonal, when the value is computed.
    """
    if not unit:
        zero = np.argwhere(np.diagonal(a, axis1=-2, axis2=-1) == 0.0)
        if len(zero) and b.size:
            *stack, place = zero[0]
            number = int(np.ravel_multi_index(stack, a.shape[:-2])) if stack else 0
            raise failed(
                f"solve_triangular: {triangular_message(number, int(place) + 1)}",
                number,
                int(place) + 1,
            )
    if np.iscomplexobj(a) or np.iscomplexobj(b):
        return _by_general_solver(a, b, lower, turned, unit)
    from scipy.linalg.lapack import dtrtrs

    z = np.empty(b.shape)
    for ai, bi, zi in each(a, b, z):
        if bi.size:  # A' as it lies by columns
            zi[...] = dtrtrs(ai.T, bi, lower=not lower, trans=not turned, unitdiag=unit)[0]
    return z


numpy_name("scipy.linalg.solve_triangular")(solve_triangular)


def _by_general_solver(a: Any, b: Any, lower: bool, turned: bool, unit: bool) -> Any:
    """The same for complex numbers."""
    n = a.shape[-1]
    t = np.tril(a, -int(unit)) if lower else np.triu(a, int(unit))
    if unit:
        t = t + np.eye(n)
    return np.linalg.solve(np.swapaxes(t, -1, -2) if turned else t, b)


def solve_lower(a: Any, b: Any, *, turned: bool = False) -> Any:
    """A⁻¹ B, or A'⁻¹ B, of matrices in stacks that are the same, by the lower triangle of A."""
    return solve_triangular.normal(a, b, lower=True, turned=turned, unit=False)
