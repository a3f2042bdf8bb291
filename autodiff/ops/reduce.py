"""Reductions over axes, and the softmax family.

An `axis` is None (all axes), an integer or a tuple of integers, negative ones counted
from the end. The maximum is subtracted before any exponential, so nothing overflows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.array import Shape
from autodiff.declare import declare, numpy_name
from autodiff.errors import ShapeError
from autodiff.op import BoundOp, Example, Sample, example
from autodiff.ops.arguments import Axis, operand, over_axes, over_some, some_axes_of
from autodiff.ops.arithmetic import multiply
from autodiff.ops.batches import along_axis
from autodiff.ops.cumulative import except_itself
from autodiff.ops.elementwise import equal, exp, where
from autodiff.ops.flows import along_rows, one_a_row
from autodiff.ops.shape import broadcast_to, reshape, transpose

__all__ = [
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "min",
    "prod",
    "softmax",
    "sum",
]

builtin_max = max  # shadowed below


def _reduced(x: Shape, *, axis: tuple[int, ...], keepdims: bool) -> Shape:
    if keepdims:
        return tuple(1 if i in axis else n for i, n in enumerate(x))
    return tuple(n for i, n in enumerate(x) if i not in axis)


def _spread(g: Any, x: Any, axis: tuple[int, ...]) -> Any:
    """`g`, of the reduced shape, repeated to the shape of `x`."""
    return broadcast_to(reshape(g, _kept(x, axis)), np.shape(x))


def _kept(x: Any, axis: tuple[int, ...]) -> Shape:
    """The shape of `x` with the axes kept, as axes of size 1."""
    return _reduced(np.shape(x), axis=axis, keepdims=True)


def _reductions() -> list[Example]:
    cases: list[tuple[Shape, tuple[int, ...], bool]] = [
        ((3, 4), (0, 1), False),
        ((3, 4), (0,), True),
        ((3, 4), (1,), False),
        ((2, 3, 4), (0, 2), False),
        ((2, 3, 4), (1,), True),
        ((), (), False),
    ]
    return [
        Example((Sample(shape, kind="distinct"),), {"axis": axis, "keepdims": keepdims})
        for shape, axis, keepdims in cases
    ]


def _empty_reductions(identity: bool) -> tuple[Example, ...]:
    """Without an `identity` only where there is nothing to produce either."""
    return tuple(
        example(shape, axis=axis, keepdims=keepdims)
        for shape, axis in _EMPTY
        for keepdims in (False, True)
        if identity or 0 in _reduced(shape, axis=axis, keepdims=False)
    )


_EMPTY: list[tuple[Shape, tuple[int, ...]]] = [
    ((0,), (0,)), ((0, 3), (0,)), ((0, 3), (1,)), ((3, 0), (0,)), ((3, 0), (1,)),
    ((2, 0, 3), (0,)), ((2, 0, 3), (1,)), ((2, 0, 3), (0, 2)), ((5, 0, 0), (2,)),
    ((5, 0, 0), (0,)), ((5, 0, 0), (1, 2)), ((0, 4, 2, 3), (1, 3)), ((0, 3), (0, 1)), ((0, 3), ()),
]  # fmt: skip


# ---- sum, mean, max -------------------------------------------------------------------


def _sum_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    (x,) = inputs
    axis = bound.attributes["axis"]
    shape = bound.shape(x.shape)
    if all(x.shape[a] == 1 for a in axis):
        return e.reshape(x, shape)
    cut = e.slice_of(x)
    if cut is not None and cut.axis not in axis:  # the sum of a slice is a slice of the sum
        total = e.apply("sum", cut.source, axis=axis, keepdims=True)
        return e.reshape(e.slice(total, cut.axis, cut.start, cut.stop), shape)
    return None


def _mean_identity(e: Any, bound: BoundOp, inputs: Any) -> Any:
    total = e.apply("sum", *inputs, **bound.attributes)
    return e.apply("divide", total, e.constant(inputs[0].size / builtin_max(total.size, 1)))


@declare(
    numpy=("numpy.sum",),
    arguments=over_axes,
    batched=along_axis,
    identity=_sum_identity,
    empty=_empty_reductions(identity=True),
    shape=_reduced,
    backward=lambda g, z, x, *, axis, keepdims: _spread(g, x, axis),
    examples=_reductions(),
)
def sum(x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """z = Σ x over `axis`; kept as axes of size 1 with `keepdims`."""
    return np.sum(x, axis=axis, keepdims=keepdims)


def _count(x: Any, axis: tuple[int, ...]) -> int:
    return math.prod(np.shape(x)[i] for i in axis)


@declare(
    numpy=("numpy.mean",),
    arguments=over_some,
    batched=along_axis,
    identity=_mean_identity,
    shape=_reduced,
    backward=lambda g, z, x, *, axis, keepdims: _spread(g / float(_count(x, axis)), x, axis),
    examples=_reductions(),
    empty=_empty_reductions(identity=False),
)
def mean(x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """z = Σ x / n over `axis`. Raises ShapeError if n = 0."""
    return np.sum(x, axis=axis, keepdims=keepdims) / float(_count(x, axis))


def _prod_backward(g: Any, z: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    # g times the product of all others: dividing z by x would be wrong where a factor is 0.
    shape, n_axes = x.shape, len(x.shape)
    order = (*[i for i in range(n_axes) if i not in axis], *axis)
    rows = tuple([shape[i] for i in order[: n_axes - len(axis)]])
    flat = reshape(transpose(x, order), (*rows, _count(x, axis)))
    others = reshape(except_itself(flat, len(rows)), tuple([shape[i] for i in order]))
    back = sorted(range(n_axes), key=order.__getitem__)
    return multiply(_spread(g, x, axis), transpose(others, back))


@declare(
    numpy=("numpy.prod",),
    arguments=over_axes,
    empty=_empty_reductions(identity=True),
    shape=_reduced,
    backward=_prod_backward,
    reads="x",
    batched=along_axis,
    examples=_reductions()[:-1],  # but for that of no axes, whose gradient reads nothing
)
def prod(x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """z = Π x over `axis`; the gradient is right where factors are 0."""
    return np.prod(x, axis=axis, keepdims=keepdims)


# ---- the maximum ----------------------------------------------------------------------


def _gradients(n_inputs: int, kind: str = "real") -> list[Example]:
    """Examples of gradients that are ops: g, the value, and x if that is read."""
    cases: list[tuple[Shape, tuple[int, ...]]] = [
        ((3, 4), (1,)), ((3, 4), (0,)), ((2, 3, 4), (1,)), ((2, 3, 4), (0, 2)), ((5,), (0,))
    ]  # fmt: skip
    return [
        Example((Sample(s), Sample(s, 0.0, 1.0, kind), Sample(x, 0.0, 1.0, kind))[:n_inputs],
                {"axis": axis})
        for x, axis in cases
        for s in [_reduced(x, axis=axis, keepdims=True) if n_inputs == 3 else x]
    ]  # fmt: skip


def _empty_gradients(n_inputs: int) -> tuple[Example, ...]:
    return tuple(
        example(*[s, s, x][:n_inputs], axis=axis)
        for x, axis in _EMPTY
        if 0 in _reduced(x, axis=axis, keepdims=False)
        for s in [_reduced(x, axis=axis, keepdims=True) if n_inputs == 3 else x]
    )


def _gradient_shape(g: Shape, z: Shape, x: Shape, *, axis: tuple[int, ...]) -> Shape:
    kept = _reduced(x, axis=axis, keepdims=True)
    if g != kept or z != kept:
        raise ShapeError(f"gradients over axes {axis} of {x} have shape {kept}, not {g} and {z}")
    return x


def _gradient_flow(bound: BoundOp, position: int, inputs: Any) -> Any:
    shape, axis = inputs[-1].shape, bound.attributes["axis"]
    if len(inputs) == 2:
        return along_rows(shape, axis)
    return one_a_row(shape, axis if position < 2 else ())


def _winners(top: Any, x: Any, axis: tuple[int, ...]) -> tuple[Any, Any]:
    """1 where x is the maximum, and how many of them there are."""
    winners = equal(x, top)
    return winners, sum.normal(winners, axis=axis, keepdims=True)


def _max_gradient_backward(
    g: Any, z: Any, share: Any, top: Any, x: Any, *, axis: tuple[int, ...]
) -> Any:
    winners, count = _winners(top, x, axis)
    return sum.normal(where(winners, g / count, 0.0), axis=axis, keepdims=True)


@declare(
    ulps=0.5,
    shape=_gradient_shape,
    backward=(_max_gradient_backward, None, None),
    reads="top x",
    batched=along_axis,
    flow=_gradient_flow,
    examples=_gradients(3, "boolean"),  # ties
    empty=_empty_gradients(3),
)
def _max_gradient(g: Any, top: Any, x: Any, *, axis: tuple[int, ...]) -> Any:
    """z = g / n where x is the maximum `top`, of which there are n over `axis`, else 0."""
    winners = x.real == top.real
    share = g / np.sum(winners, axis=axis, keepdims=True)
    return np.where(winners, share, 0.0)  # they choose it: 0 · inf is no gradient


def _max_backward(g: Any, z: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    # Ties share the gradient equally, as in PyTorch's amax and in JAX.
    kept = _kept(x, axis)
    return _max_gradient.normal(reshape(g, kept), reshape(z, kept), x, axis=axis)


@declare(
    numpy=("numpy.max", "numpy.amax"),
    arguments=over_some,
    batched=along_axis,
    ulps=0.0,
    shape=_reduced,
    backward=_max_backward,
    reads="z x",
    examples=_reductions(),
    empty=_empty_reductions(identity=False),
)
def max(x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """z = max x over `axis`; ties share the gradient. Raises ShapeError if it is empty."""
    return np.max(x, axis=axis, keepdims=keepdims, initial=-np.inf)


@numpy_name("numpy.min", "numpy.amin")
def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """z = min x over `axis`; ties share the gradient. Raises ShapeError if it is empty."""
    (x,), attributes = over_some("min", x, axis, keepdims)
    return -max.normal(-x, **attributes)


# ---- the softmax family ---------------------------------------------------------------


def _finite_max(x: Any, axis: tuple[int, ...]) -> Any:
    """max x over the axes, kept; 0 where it is infinite, since inf - inf is NaN."""
    m = np.max(x.real, axis=axis, keepdims=True, initial=-np.inf)
    return np.where(np.isfinite(m), m, 0.0)


def _logsumexp_gradient_g(
    g: Any, z: Any, share: Any, total: Any, x: Any, *, axis: tuple[int, ...]
) -> Any:
    return sum.normal(g * exp(x - total), axis=axis, keepdims=True)


def _logsumexp_gradient_total(
    g: Any, z: Any, share: Any, total: Any, x: Any, *, axis: tuple[int, ...]
) -> Any:
    return -sum.normal(g * z, axis=axis, keepdims=True)


@declare(
    shape=_gradient_shape,
    backward=(
        _logsumexp_gradient_g,
        _logsumexp_gradient_total,
        lambda g, z, share, total, x, *, axis: g * z,
    ),
    reads="z total x",
    batched=along_axis,
    flow=_gradient_flow,
    examples=_gradients(3),
    empty=_empty_gradients(3),
)
def _logsumexp_gradient(g: Any, total: Any, x: Any, *, axis: tuple[int, ...]) -> Any:
    """z = g e^(x - total): the gradient of logsumexp over `axis`, which is `total`."""
    return g * np.exp(x - total)


def _logsumexp_backward(g: Any, z: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    kept = _kept(x, axis)
    return _logsumexp_gradient.normal(reshape(g, kept), reshape(z, kept), x, axis=axis)


@declare(
    arguments=over_some,
    batched=along_axis,
    shape=_reduced,
    backward=_logsumexp_backward,
    reads="z x",
    examples=_reductions(),
    empty=_empty_reductions(identity=False),
)
def logsumexp(x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """z = ln Σ e^x over `axis`, without overflow. Raises ShapeError if it is empty."""
    m = _finite_max(x, axis)
    with np.errstate(divide="ignore"):  # ln 0 = -inf is right where all x are -inf
        z = np.log(np.sum(np.exp(x - m), axis=axis, keepdims=True)) + m
    return z if keepdims else np.reshape(z, _reduced(x.shape, axis=axis, keepdims=False))


def _softmax_arguments(name: str, x: Any, axis: Axis = -1) -> Any:
    x = operand(name, x)
    return (x,), {"axis": some_axes_of(name, x, axis)}


def _same(x: Shape, *, axis: tuple[int, ...]) -> Shape:
    return x


def _softmaxes() -> list[Example]:
    cases: list[tuple[Shape, tuple[int, ...]]] = [
        ((3, 4), (1,)), ((3, 4), (0,)), ((2, 3, 4), (1,)), ((2, 3, 4), (0, 2)), ((5,), (0,))
    ]  # fmt: skip
    return [Example((Sample(shape, -4.0, 4.0),), {"axis": axis}) for shape, axis in cases]


def _empty_softmaxes() -> tuple[Example, ...]:
    return tuple(
        example(shape, axis=axis)
        for shape, axis in _EMPTY
        if 0 in _reduced(shape, axis=axis, keepdims=False)
    )


def _pair_shape(g: Shape, y: Shape, *, axis: tuple[int, ...]) -> Shape:
    if g != y:
        raise ShapeError(f"a gradient of shape {g} is given for a value of shape {y}")
    return y


def _total(x: Any, axis: tuple[int, ...]) -> Any:
    return sum.normal(x, axis=axis, keepdims=True)


def _softmax_gradient_g(g: Any, z: Any, of: Any, y: Any, *, axis: tuple[int, ...]) -> Any:
    return _softmax_backward(g, y, None, axis=axis)


def _softmax_gradient_y(g: Any, z: Any, of: Any, y: Any, *, axis: tuple[int, ...]) -> Any:
    return g * (of - _total(of * y, axis)) - of * _total(g * y, axis)


@declare(
    shape=_pair_shape,
    backward=(
        _softmax_gradient_g,
        _softmax_gradient_y,
    ),
    reads="g y",
    batched=along_axis,
    flow=_gradient_flow,
    examples=_gradients(2),
    empty=_empty_gradients(2),
)
def _softmax_gradient(g: Any, y: Any, *, axis: tuple[int, ...]) -> Any:
    """z = y (g - Σ g y): the gradient of softmax over `axis`, which is y."""
    return y * (g - np.sum(g * y, axis=axis, keepdims=True))


def _softmax_backward(g: Any, z: Any, x: Any, *, axis: tuple[int, ...]) -> Any:
    return _softmax_gradient.normal(g, z, axis=axis)


@declare(
    arguments=_softmax_arguments,
    batched=along_axis,
    shape=_same,
    backward=_softmax_backward,
    reads="z",
    examples=_softmaxes(),
    empty=_empty_softmaxes(),
)
def softmax(x: Any, *, axis: tuple[int, ...]) -> Any:
    """z = e^x / Σ e^x over `axis`, without overflow."""
    e = np.exp(x - _finite_max(x, axis))
    return e / np.sum(e, axis=axis, keepdims=True)


@declare(
    shape=_pair_shape,
    backward=(
        lambda g, z, of, y, *, axis: g - _total(g * exp(y), axis),
        lambda g, z, of, y, *, axis: -(g * exp(y) * _total(of, axis)),
    ),
    reads="g y",
    batched=along_axis,
    flow=_gradient_flow,
    examples=_gradients(2),
    empty=_empty_gradients(2),
)
def _log_softmax_gradient(g: Any, y: Any, *, axis: tuple[int, ...]) -> Any:
    """z = g - e^y Σ g: the gradient of log_softmax over `axis`, which is y."""
    return g - np.exp(y) * np.sum(g, axis=axis, keepdims=True)


def _log_softmax_backward(g: Any, z: Any, x: Any, *, axis: tuple[int, ...]) -> Any:
    return _log_softmax_gradient.normal(g, z, axis=axis)


@declare(
    arguments=_softmax_arguments,
    batched=along_axis,
    shape=_same,
    backward=_log_softmax_backward,
    reads="z",
    examples=_softmaxes(),
    empty=_empty_softmaxes(),
)
def log_softmax(x: Any, *, axis: tuple[int, ...]) -> Any:
    """z = x - ln Σ e^x over `axis`: the logarithm of :func:`softmax`, without overflow."""
    shifted = x - _finite_max(x, axis)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))
