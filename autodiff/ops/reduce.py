"""Reductions over axes, and the softmax family.

An `axis` is None (all axes), an integer or a tuple of integers, negative ones counted
from the end. The maximum is subtracted before any exponential, so nothing overflows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from autodiff.array import Shape
from autodiff.declare import declare
from autodiff.errors import ShapeError
from autodiff.op import Example, Sample
from autodiff.ops.arguments import axes_of, flag, operand
from autodiff.ops.elementwise import equal, exp, where
from autodiff.ops.shape import broadcast_to, reshape
from autodiff.refusal import refusal

__all__ = ["log_softmax", "logsumexp", "max", "mean", "min", "softmax", "sum"]

Axis: TypeAlias = int | Sequence[int] | None


def _reduced(x: Shape, *, axis: tuple[int, ...], keepdims: bool) -> Shape:
    if keepdims:
        return tuple(1 if i in axis else n for i, n in enumerate(x))
    return tuple(n for i, n in enumerate(x) if i not in axis)


def _nonempty(name: str, x: Any, axes: tuple[int, ...]) -> None:
    """Refuse a reduction over nothing; if there are no rows of nothing either, it is none."""
    shape = np.shape(x)
    if 0 in shape and math.prod(_reduced(shape, axis=axes, keepdims=False)) > 0:
        raise refusal(
            ShapeError, f"{name}: nothing to reduce: x has shape {shape}, axis {axes}", x=x
        )


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


# ---- sum, mean, max -------------------------------------------------------------------


@declare(
    shape=_reduced,
    backward=lambda g, z, x, *, axis, keepdims: _spread(g, x, axis),
    examples=_reductions(),
)
def _sum(x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """z = Σ x over the axes."""
    return np.sum(x, axis=axis, keepdims=keepdims)


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """z = Σ x over `axis`; kept as axes of size 1 with `keepdims`."""
    x = operand("sum", x)
    return _sum(x, axis=axes_of("sum", x, axis), keepdims=flag("sum", "keepdims", keepdims))


def _count(x: Any, axis: tuple[int, ...]) -> int:
    return math.prod(np.shape(x)[i] for i in axis)


@declare(
    shape=_reduced,
    backward=lambda g, z, x, *, axis, keepdims: _spread(g / float(_count(x, axis)), x, axis),
    examples=_reductions(),
)
def _mean(x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """z = Σ x / n over the axes."""
    return np.sum(x, axis=axis, keepdims=keepdims) / float(_count(x, axis))


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """z = Σ x / n over `axis`. Raises ShapeError if n = 0."""
    x = operand("mean", x)
    axes = axes_of("mean", x, axis)
    _nonempty("mean", x, axes)
    return _mean(x, axis=axes, keepdims=flag("mean", "keepdims", keepdims))


def _max_backward(g: Any, z: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    # Ties share the gradient equally, as in PyTorch's amax and in JAX.
    # They choose it: 0 · inf is no gradient.
    winners = equal(x, _spread(z, x, axis))
    share = reshape(g, _kept(x, axis)) / sum(winners, axis=axis, keepdims=True)
    return where(winners, share, 0.0)


@declare(shape=_reduced, backward=_max_backward, reads="z x", examples=_reductions())
def _max(x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """z = max x over the axes."""
    return np.max(x, axis=axis, keepdims=keepdims, initial=-np.inf)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """z = max x over `axis`; ties share the gradient. Raises ShapeError if it is empty."""
    x = operand("max", x)
    axes = axes_of("max", x, axis)
    _nonempty("max", x, axes)
    return _max(x, axis=axes, keepdims=flag("max", "keepdims", keepdims))


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """z = min x over `axis`; ties share the gradient. Raises ShapeError if it is empty."""
    x = operand("min", x)
    axes = axes_of("min", x, axis)
    _nonempty("min", x, axes)
    return -_max(-x, axis=axes, keepdims=flag("min", "keepdims", keepdims))


# ---- the softmax family ---------------------------------------------------------------


def _finite_max(x: Any, axis: tuple[int, ...]) -> Any:
    """max x over the axes, kept; 0 where it is infinite, since inf - inf is NaN."""
    m = np.max(x.real, axis=axis, keepdims=True, initial=-np.inf)
    return np.where(np.isfinite(m), m, 0.0)


def _logsumexp_backward(g: Any, z: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    return _spread(g, x, axis) * exp(x - _spread(z, x, axis))


@declare(shape=_reduced, backward=_logsumexp_backward, reads="z x", examples=_reductions())
def _logsumexp(x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    """z = ln Σ e^x over the axes, computed as m + ln Σ e^(x - m) with m = max x."""
    m = _finite_max(x, axis)
    with np.errstate(divide="ignore"):  # ln 0 = -inf is right where all x are -inf
        z = np.log(np.sum(np.exp(x - m), axis=axis, keepdims=True)) + m
    return z if keepdims else np.reshape(z, _reduced(x.shape, axis=axis, keepdims=False))


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """z = ln Σ e^x over `axis`, without overflow. Raises ShapeError if it is empty."""
    x = operand("logsumexp", x)
    axes = axes_of("logsumexp", x, axis)
    _nonempty("logsumexp", x, axes)
    return _logsumexp(x, axis=axes, keepdims=flag("logsumexp", "keepdims", keepdims))


def _same(x: Shape, *, axis: tuple[int, ...]) -> Shape:
    return x


def _softmaxes() -> list[Example]:
    cases: list[tuple[Shape, tuple[int, ...]]] = [
        ((3, 4), (1,)), ((3, 4), (0,)), ((2, 3, 4), (1,)), ((2, 3, 4), (0, 2)), ((5,), (0,))
    ]  # fmt: skip
    return [Example((Sample(shape, -4.0, 4.0),), {"axis": axis}) for shape, axis in cases]


def _softmax_backward(g: Any, z: Any, x: Any, *, axis: tuple[int, ...]) -> Any:
    return z * (g - sum(g * z, axis=axis, keepdims=True))


@declare(shape=_same, backward=_softmax_backward, reads="z", examples=_softmaxes())
def _softmax(x: Any, *, axis: tuple[int, ...]) -> Any:
    """z = e^x / Σ e^x over the axes."""
    e = np.exp(x - _finite_max(x, axis))
    return e / np.sum(e, axis=axis, keepdims=True)


def softmax(x: Any, axis: Axis = -1) -> Any:
    """z = e^x / Σ e^x over `axis`, without overflow."""
    x = operand("softmax", x)
    axes = axes_of("softmax", x, axis)
    _nonempty("softmax", x, axes)
    return _softmax(x, axis=axes)


def _log_softmax_backward(g: Any, z: Any, x: Any, *, axis: tuple[int, ...]) -> Any:
    return g - exp(z) * sum(g, axis=axis, keepdims=True)


@declare(shape=_same, backward=_log_softmax_backward, reads="z", examples=_softmaxes())
def _log_softmax(x: Any, *, axis: tuple[int, ...]) -> Any:
    """z = x - ln Σ e^x over the axes."""
    shifted = x - _finite_max(x, axis)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


def log_softmax(x: Any, axis: Axis = -1) -> Any:
    """z = x - ln Σ e^x over `axis`: the logarithm of :func:`softmax`, without overflow."""
    x = operand("log_softmax", x)
    axes = axes_of("log_softmax", x, axis)
    _nonempty("log_softmax", x, axes)
    return _log_softmax(x, axis=axes)
