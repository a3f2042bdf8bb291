"""Losses: what to make small.

Shapes must agree exactly: (n, 1) against (n,) would broadcast to (n, n) and train something
else, so it raises. The first axis counts samples. Each loss takes a `reduction`:

=========  ==========================================================================
"sum"      the sum over everything
"mean"     the mean of what "none" gives
"batch"    the sum divided by the number of samples, the size of the first axis
"none"     one number for each element (for `softmax_cross_entropy`, for each sample)
=========  ==========================================================================

No formula overflows on the way to a result that is representable.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import numpy as np

from autodiff import ops
from autodiff.errors import IndexRangeError, ShapeError
from autodiff.node import Node
from autodiff.operators import Operators

__all__ = [
    "Reduction",
    "bernoulli_nll",
    "gaussian_kl",
    "gaussian_nll",
    "softmax_cross_entropy",
    "squared_error",
]

Reduction: TypeAlias = Literal["sum", "mean", "batch", "none"]


def squared_error(y: Any, target: Any, reduction: Reduction = "sum") -> Any:
    """(y - target)². The post's error is half of it.

    y, target : nodes or arrays of one shape. Raises ShapeError if their shapes differ.
    """
    _same_shape("squared_error", y=y, target=target)
    return _reduce(ops.square(ops.subtract(y, target)), reduction)


def bernoulli_nll(logits: Any, target: Any, reduction: Reduction = "sum") -> Any:
    """-ln p(target) for p(1) = sigmoid(logits): ln(1 + e^logits) - target · logits.

    logits, target : nodes or arrays of one shape; target in [0, 1]. For targets between 0 and
    1 it is the cross-entropy. Raises ShapeError if their shapes differ.
    """
    _same_shape("bernoulli_nll", logits=logits, target=target)
    return _reduce(ops.subtract(ops.softplus(logits), ops.multiply(target, logits)), reduction)


def gaussian_nll(mean: Any, log_variance: Any, target: Any, reduction: Reduction = "sum") -> Any:
    """-ln p(target) for the normal density: ½ (((target - mean) / σ)² + ln σ² + ln 2π).

    mean, log_variance, target : nodes or arrays of one shape. Raises ShapeError if their shapes
    differ.
    """
    _same_shape("gaussian_nll", mean=mean, log_variance=log_variance, target=target)
    z = ops.multiply(ops.subtract(target, mean), ops.exp(ops.multiply(-0.5, log_variance)))
    return _reduce(0.5 * (ops.square(z) + log_variance + math.log(2.0 * math.pi)), reduction)


def gaussian_kl(mean: Any, log_variance: Any, reduction: Reduction = "sum") -> Any:
    """KL(N(mean, σ²) ‖ N(0, 1)) = ½ (σ² + mean² - 1 - ln σ²).

    mean, log_variance : nodes or arrays of one shape. Raises ShapeError if they differ.

    References
    ----------
    Kingma, Welling, "Auto-encoding variational Bayes", ICLR 2014, appendix B.
    """
    _same_shape("gaussian_kl", mean=mean, log_variance=log_variance)
    return _reduce(0.5 * (ops.exp(log_variance) + ops.square(mean) - 1.0 - log_variance), reduction)


def softmax_cross_entropy(logits: Any, target: Any, reduction: Reduction = "sum") -> Any:
    """-Σ_k target_k ln softmax(logits)_k, over the last axis.

    Parameters
    ----------
    logits : node or array, shape (B, K)
    target : probabilities of shape (B, K), such as one-hot rows; or labels, integers
        0 ... K - 1, of shape (B,).

    Raises
    ------
    ShapeError
        If target has neither shape.
    IndexRangeError
        If a label is no class. Labels in a node are checked when it is computed.
    """
    shape = np.shape(logits)
    if not shape or np.shape(target) not in (shape, shape[:-1]):
        raise ShapeError(
            f"softmax_cross_entropy: {_describe('logits', logits)}; {_describe('target', target)}; "
            "logits must be (..., K), target the same (probabilities) or (...) (labels)"
        )
    log_p = ops.log_softmax(logits, axis=-1)
    if np.shape(target) == shape:
        return _reduce(-ops.sum(ops.multiply(target, log_p), axis=-1), reduction)
    n_classes = shape[-1]
    n_samples = math.prod(shape[:-1])
    labels = target
    if not isinstance(labels, Operators):  # else its numbers are not known yet
        _check_labels(np.asarray(labels), n_classes)
    # Rows of the flattened matrix. A label that is no class must not reach the next sample's
    # row: it is sent to a row that does not exist, so that `take` raises.
    rows = ops.add(ops.reshape(labels, (n_samples,)), float(n_classes) * np.arange(n_samples))
    known = ops.multiply(ops.greater_equal(labels, 0.0), ops.greater(float(n_classes), labels))
    rows = ops.where(ops.reshape(known, (n_samples,)), rows, float(n_samples * n_classes))
    picked = ops.take(ops.reshape(log_p, (n_samples * n_classes,)), rows)
    return _reduce(-ops.reshape(picked, shape[:-1]), reduction)


def _check_labels(labels: Any, n_classes: int) -> None:
    bad = (labels != np.floor(labels)) | (labels < 0) | (labels >= n_classes)
    if bad.any():
        raise IndexRangeError(
            f"softmax_cross_entropy: label {labels[bad].flat[0]} is none of the {n_classes} "
            f"classes 0 ... {n_classes - 1}"
        )


def _reduce(loss: Any, reduction: Reduction) -> Any:
    if reduction == "sum":
        return ops.sum(loss)
    if reduction == "mean":
        return ops.mean(loss)
    if reduction == "batch":
        shape = np.shape(loss)
        if not shape or not shape[0]:
            raise ShapeError(f'reduction "batch": there are no samples, the shape is {shape}')
        return ops.sum(loss) / float(shape[0])
    if reduction == "none":
        return loss
    raise ValueError(f'reduction is {reduction!r}; it must be "sum", "mean", "batch" or "none"')


def _same_shape(loss: str, **operands: Any) -> None:
    if len({np.shape(x) for x in operands.values()}) > 1:
        facts = "; ".join(_describe(name, x) for name, x in operands.items())
        raise ShapeError(f"{loss}: shapes must agree exactly, they are not broadcast: {facts}")


def _describe(name: str, x: Any) -> str:
    node = f" ({x.describe()})" if isinstance(x, Node) else ""
    return f"{name} has shape {np.shape(x)}{node}"
