"""The norm of several gradients, and gradients of limited norm.

All of it works on arrays, nodes and recorded values alike, and on gradients of any size: they are
scaled before they are squared, so nothing overflows or vanishes. The scale is a power of two, so
that no bit changes where no scale was needed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from autodiff import ops
from autodiff.array import is_operand
from autodiff.errors import GradientError
from autodiff.hyperparameter import LIMIT, checked

__all__ = ["clip_by_global_norm", "global_norm"]


def global_norm(gradients: Iterable[Any]) -> Any:
    """√(Σ g²) over all elements of all gradients: arrays or nodes of any shapes.

    It overflows only where the norm itself is no double, and nothing is lost of small
    gradients. Infinite or NaN if an element is. Of zeros it is 0, with gradient 0.
    """
    with np.errstate(all="ignore"):  # NaN and infinity are results, not warnings
        scale, root = _norm("global_norm", list(gradients))
        return ops.divide(root, scale)


def clip_by_global_norm(gradients: Iterable[Any], limit: float | Any) -> list[Any]:
    """All gradients times min(1, limit / norm), with their :func:`global_norm`.

    They keep their direction, and a norm of up to `limit` remains as it is. NaN is not
    hidden: it spreads to all. The gradients are arrays, or nodes such as
    :func:`autodiff.gradients` returns; new ones are returned.

    limit : a number of at least 0, or a node of shape ().

    References
    ----------
    Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks",
    ICML 2013, algorithm 1.

    Examples
    --------
    >>> clip_by_global_norm([np.array([3.0]), np.array([4.0])], 1.0)
    [array([0.6]), array([0.8])]
    """
    gradients = list(gradients)
    if not is_operand(limit):
        limit = checked("clip_by_global_norm", "limit", limit, LIMIT)
    with np.errstate(all="ignore"):
        scale, root = _norm("clip_by_global_norm", gradients)
        within = ops.greater_equal(limit, ops.divide(root, scale))
        # (g · scale) · (limit / root): neither the norm nor limit / norm need be a double.
        scale = ops.where(within, 1.0, scale)
        factor = ops.where(within, 1.0, ops.divide(limit, ops.where(within, 1.0, root)))
        return [ops.multiply(ops.multiply(g, scale), factor) for g in gradients]


def _norm(name: str, gradients: Sequence[Any]) -> tuple[Any, Any]:
    """A scale, and the norm of the gradients times this scale."""
    if not gradients:
        raise GradientError(f"{name}: there are no gradients")
    # The norm does not depend on the scale, so no gradient need pass through that.
    sizes = [ops.sum(ops.abs(ops.stop_gradient(g))) for g in gradients]
    scale = _inverse_power_of_two(functools.reduce(ops.add, sizes))
    squares = [ops.sum(ops.square(ops.multiply(g, scale))) for g in gradients]
    total = functools.reduce(ops.add, squares)
    nothing = ops.equal(total, 0.0)  # where √ has no slope
    return scale, ops.where(nothing, 0.0, ops.sqrt(ops.where(nothing, 1.0, total)))


def _inverse_power_of_two(size: Any) -> Any:
    """1 / p for the greatest power of two p up to `size`, which is at least 0; or near it.

    p lies between 2^-900 and 2^1023. With q = (2^52 + 1) x it is q - (1 - 2^-53) q, rounded:
    Rump, Ogita, Oishi, "Accurate floating-point summation part I", SIAM J. Sci. Comput. 31
    (2008), algorithm 3.5.
    """
    shift = 2.0**-54  # keeps q below infinity
    x = shift * ops.minimum(ops.maximum(size, 2.0**-900), 2.0**1023)
    q = (2.0**52 + 1.0) * x
    return shift / (q - (1.0 - 2.0**-53) * q)
