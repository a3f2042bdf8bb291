"""SciPy's sums of exponentials, with its parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.declare import numpy_name
from autodiff.op import broadcast_shape
from autodiff.ops.arguments import Axis, operand, over_some
from autodiff.ops.elementwise import abs, equal, exp, log, minimum, sign, stop_gradient, where
from autodiff.ops.reduce import log_softmax as log_softmax_over
from autodiff.ops.reduce import logsumexp as logsumexp_over
from autodiff.ops.reduce import max, sum
from autodiff.ops.reduce import softmax as softmax_over
from autodiff.ops.shape import broadcast_to, reshape

__all__ = ["log_softmax", "logsumexp", "softmax"]

_LARGE = 709.0  # e^709 is nearly the largest number


@numpy_name("scipy.special.softmax")
def softmax(x: Any, axis: Axis = None) -> Any:
    """z = e^x / Σ e^x over `axis`, all axes without one."""
    return softmax_over(x, _all_axes(x, axis))


@numpy_name("scipy.special.log_softmax")
def log_softmax(x: Any, axis: Axis = None) -> Any:
    """z = x - ln Σ e^x over `axis`, all axes without one."""
    return log_softmax_over(x, _all_axes(x, axis))


def _all_axes(x: Any, axis: Axis) -> Axis:
    return tuple(range(len(np.shape(x)))) if axis is None else axis


@numpy_name("scipy.special.logsumexp")
def logsumexp(
    a: Any, axis: Axis = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """z = ln Σ b e^a over `axis`, without overflow; NaN where the sum is negative.

    return_sign : give ln |Σ b e^a| and the sign of the sum, which has no gradient.
    """
    if b is None:
        total = logsumexp_over(a, axis, keepdims)
        return (total, np.ones(total.shape)) if return_sign else total
    a, b = operand("logsumexp", a, "a"), operand("logsumexp", b, "b")
    shape = broadcast_shape("logsumexp", ("a", "b"), a.shape, b.shape)
    (a,), over = over_some("logsumexp", broadcast_to(a, shape), axis, keepdims)
    axes = over["axis"]
    nothing = equal(b, 0.0)
    top = stop_gradient(max.normal(where(nothing, -np.inf, a), axis=axes, keepdims=True))
    top = where(equal(top - top, 0.0), top, 0.0)  # inf - inf is NaN
    shifted = a - top
    # What b = 0 leaves out may be as large as it likes; b's gradient there is e^a all the same.
    terms = b * exp(where(nothing, minimum(shifted, _LARGE), shifted))
    total = sum.normal(terms, axis=axes, keepdims=True)
    value = log(abs(total) if return_sign else total) + top
    signs = sign(total)
    if not keepdims:
        rest = tuple(n for i, n in enumerate(shape) if i not in axes)
        value, signs = reshape(value, rest), reshape(signs, rest)
    return (value, signs) if return_sign else value
