"""The norm of several gradients, and gradients of limited norm.

All of it works on arrays, nodes and recorded values alike, and on gradients of any size: the
squares are those of g / max |g|, so none overflows or vanishes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from autodiff import ops
from autodiff.errors import GradientError
from autodiff.hyperparameter import LIMIT, checked
from autodiff.op import is_operand

__all__ = ["clip_by_global_norm", "global_norm"]


def global_norm(gradients: Iterable[Any]) -> Any:
    """√(Σ g²) over all elements of all gradients: arrays or nodes of any shapes.

    It overflows only where the norm itself is no double, and nothing is lost of small
    gradients. Infinite or NaN if an element is. Of zeros it is 0, with gradient 0.
    """
    with np.errstate(all="ignore"):  # NaN and infinity are results, not warnings
        scale, root = _norm("global_norm", list(gradients))
        return ops.multiply(scale, root)


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
        within = ops.greater_equal(limit, ops.multiply(scale, root))
        # g / scale · limit / root: neither the norm nor limit / norm need be a double.
        divisor = ops.where(within, 1.0, scale)
        factor = ops.where(within, 1.0, ops.divide(limit, ops.where(within, 1.0, root)))
        return [ops.multiply(ops.divide(g, divisor), factor) for g in gradients]


def _norm(name: str, gradients: Sequence[Any]) -> tuple[Any, Any]:
    """The norm as a product: the largest element's modulus, and a number of at least 1 or 0."""
    if not gradients:
        raise GradientError(f"{name}: there are no gradients")
    largest = [ops.max(ops.abs(g)) for g in gradients if math.prod(np.shape(g))]
    m = functools.reduce(ops.maximum, largest) if largest else 0.0
    usable = ops.multiply(ops.greater(m, 0.0), ops.greater(math.inf, m))
    # The norm does not depend on it, so no gradient need pass through the maximum.
    scale = ops.stop_gradient(ops.where(usable, m, 1.0))
    squares = [ops.sum(ops.square(ops.divide(g, scale))) for g in gradients]
    total = functools.reduce(ops.add, squares)
    nothing = ops.equal(total, 0.0)  # where √ has no slope
    return scale, ops.where(nothing, 0.0, ops.sqrt(ops.where(nothing, 1.0, total)))
