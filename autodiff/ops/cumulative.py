"""Running sums and products along an axis, and what their gradients are made of.

None of the gradients divides: they are right where factors are 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.array import Shape
from autodiff.declare import declare, numpy_name
from autodiff.errors import ShapeError
from autodiff.op import Example, Sample, example
from autodiff.ops.arguments import axis_of, flag, operand
from autodiff.ops.arithmetic import multiply
from autodiff.ops.batches import along_axis
from autodiff.ops.flows import along_rows
from autodiff.ops.parts import concat, getitem
from autodiff.ops.shape import reshape
from autodiff.refusal import refusal

__all__ = ["cumprod", "cumsum"]


def _along(name: str, x: Any, axis: int | None = None) -> Any:
    """The arguments: without an axis all elements, row by row."""
    x = operand(name, x)
    if axis is None:
        x, axis = reshape(x, -1), 0
    return (x,), {"axis": axis_of(name, x, axis), "reverse": False}


def _same(x: Shape, *, axis: int, reverse: bool) -> Shape:
    return x


def _examples(n_inputs: int = 1) -> list[Example]:
    cases: list[tuple[Shape, int, bool]] = [
        ((5,), 0, False), ((3, 4), 1, False), ((3, 4), 0, True), ((2, 3, 4), 1, False),
        ((2,), 0, True),
    ]  # fmt: skip
    return [
        Example((Sample(shape, kind="distinct"),) * n_inputs, {"axis": axis, "reverse": reverse})
        for shape, axis, reverse in cases
    ]


def _empty(n_inputs: int = 1) -> tuple[Example, ...]:
    cases: list[tuple[Shape, int]] = [((0,), 0), ((0, 3), 0), ((0, 3), 1), ((2, 0, 3), 0)]
    return tuple(example(*[shape] * n_inputs, axis=axis, reverse=False) for shape, axis in cases)


def _accumulated(accumulate: Any, x: Any, axis: int, reverse: bool) -> Any:
    if not reverse:
        return accumulate(x, axis=axis)
    return np.flip(accumulate(np.flip(x, axis), axis=axis), axis)


def _before(x: Any, axis: int, reverse: bool, first: float) -> Any:
    """Each element's predecessor along the axis, `first` where there is none."""
    n = x.shape[axis]
    if n == 0:
        return x
    edge = np.full((*x.shape[:axis], 1, *x.shape[axis + 1 :]), first)
    whole = [(0, m, 1) for m in x.shape]
    whole[axis] = (1, n, 1) if reverse else (0, n - 1, 1)
    rest = getitem.normal(x, index=tuple(whole))
    return concat.normal(*((rest, edge) if reverse else (edge, rest)), axis=axis)


# ---- sums -----------------------------------------------------------------------------


def _cumsum_backward(g: Any, z: Any, x: Any, *, axis: int, reverse: bool) -> Any:
    return cumsum.normal(g, axis=axis, reverse=not reverse)


@declare(
    numpy=("numpy.cumsum",),
    arguments=_along,
    ulps=0.5,  # one number after the other, as NumPy has it
    shape=_same,
    backward=_cumsum_backward,
    batched=along_axis,
    examples=_examples(),
    empty=_empty(),
)
def cumsum(x: Any, *, axis: int, reverse: bool) -> Any:
    """z = the sums of the elements of x up to each, along `axis`; of all, row by row, without."""
    return _accumulated(np.cumsum, x, axis, reverse)


# ---- products -------------------------------------------------------------------------


def _recurrence_backward_b(g: Any, z: Any, b: Any, a: Any, *, axis: int, reverse: bool) -> Any:
    factors = _before(a, axis, not reverse, 0.0)
    return _recurrence.normal(g, factors, axis=axis, reverse=not reverse)


def _recurrence_backward_a(g: Any, z: Any, b: Any, a: Any, *, axis: int, reverse: bool) -> Any:
    gb = _recurrence_backward_b(g, z, b, a, axis=axis, reverse=reverse)
    return multiply(gb, _before(z, axis, reverse, 0.0))


def _recurrence_shape(b: Shape, a: Shape, *, axis: int, reverse: bool) -> Shape:
    if a != b:
        raise ShapeError(f"_recurrence: b has shape {b}, a has shape {a}")
    return b


@declare(
    ulps=0.5,
    shape=_recurrence_shape,
    backward=(_recurrence_backward_b, _recurrence_backward_a),
    reads="z a",
    batched=along_axis,
    flow=lambda bound, position, inputs: along_rows(inputs[0].shape, (bound.attributes["axis"],)),
    examples=_examples(2),
    empty=_empty(2),
)
def _recurrence(b: Any, a: Any, *, axis: int, reverse: bool) -> Any:
    """z = b + a times the z before, along `axis`; the first is b, and the first a is not read."""
    z = np.array(b, dtype=np.result_type(a, b))
    to, factors = np.moveaxis(z, axis, 0), np.moveaxis(a, axis, 0)
    if reverse:
        to, factors = to[::-1], factors[::-1]
    for i in range(1, len(to)):
        to[i] += factors[i] * to[i - 1]
    return z


def _cumprod_backward(g: Any, z: Any, x: Any, *, axis: int, reverse: bool) -> Any:
    # z[k] = (x[0] ... x[i-1]) x[i] (x[i+1] ... x[k]): what stands behind x[i], summed over k with
    # g[k], is g[i] + x[i+1] (g[i+1] + x[i+2] (...)).
    factors = _before(x, axis, not reverse, 0.0)
    behind = _recurrence.normal(g, factors, axis=axis, reverse=not reverse)
    return multiply(_before(z, axis, reverse, 1.0), behind)


@declare(
    numpy=("numpy.cumprod",),
    arguments=_along,
    ulps=0.5,
    shape=_same,
    backward=_cumprod_backward,
    reads="z x",
    batched=along_axis,
    examples=_examples(),
    empty=_empty(),
)
def cumprod(x: Any, *, axis: int, reverse: bool) -> Any:
    """z = the products of the elements of x up to each, along `axis`; of all, row by row, without.

    The gradient is right where factors are 0.
    """
    return _accumulated(np.cumprod, x, axis, reverse)


def except_itself(x: Any, axis: int) -> Any:
    """For each element the product of all others along the axis, without dividing."""
    before = cumprod.normal(x, axis=axis, reverse=False)
    behind = cumprod.normal(x, axis=axis, reverse=True)
    return multiply(_before(before, axis, False, 1.0), _before(behind, axis, True, 1.0))


# ---- as the array API has them --------------------------------------------------------


@numpy_name("numpy.cumulative_sum")
def cumulative_sum(x: Any, axis: int | None = None, include_initial: bool = False) -> Any:
    """z = as :func:`cumsum`; an axis must be given if there are several, a 0 in front may be."""
    return _cumulative(cumsum, "cumulative_sum", x, axis, include_initial, 0.0)


@numpy_name("numpy.cumulative_prod")
def cumulative_prod(x: Any, axis: int | None = None, include_initial: bool = False) -> Any:
    """z = as :func:`cumprod`; an axis must be given if there are several, a 1 in front may be."""
    return _cumulative(cumprod, "cumulative_prod", x, axis, include_initial, 1.0)


def _cumulative(
    op: Any, name: str, x: Any, axis: int | None, include_initial: bool, initial: float
) -> Any:
    x = operand(name, x)
    if axis is None and len(x.shape) != 1:
        raise refusal(
            ShapeError, f"{name}: x has shape {x.shape}; say along which axis: axis=0", x=x
        )
    along = axis_of(name, x, 0 if axis is None else axis)
    z = op.normal(x, axis=along, reverse=False)
    if not flag(name, "include_initial", include_initial):
        return z
    edge = np.full((*x.shape[:along], 1, *x.shape[along + 1 :]), initial)
    return concat.normal(edge, z, axis=along)
