"""Losses: what to make small.

Shapes must agree exactly: (n, 1) against (n,) would broadcast to (n, n) and train something
else, so it raises. The first axis counts samples. Each loss takes a `reduction`:

=========  ==========================================================================
"sum"      the sum over everything
"mean"     the mean of what "none" gives (for labels with weights, the weighted mean)
"batch"    the sum divided by the number of samples, the size of the first axis
"none"     one number for each element (for `softmax_cross_entropy`, for each sample)
=========  ==========================================================================

No formula overflows on the way to a result that is representable, and what has probability
0 or 1 is no special case: infinite logits and log-variances give the limits, 0 · inf is 0.
Values and gradients of `bernoulli_nll` and `gaussian_kl` are right to a relative 4e-12, however
small they are. All is composed of ops, so it can be differentiated again.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import numpy as np

from autodiff import ops
from autodiff.array import as_float64
from autodiff.errors import IndexRangeError, ShapeError
from autodiff.graph.node import Node, lift
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
    # With x = |logits|: ln(1 + e^-x) + x · (how much of the target lies on the other side). Two
    # terms of at least 0, and the slope is -sigmoid(-x) where the target is 1: nothing cancels.
    likely = ops.greater(logits, 0.0)
    tail = ops.softplus(ops.multiply(ops.where(likely, -1.0, 1.0), logits))
    return _reduce(tail - _weighted(ops.subtract(target, likely), logits), reduction)


def gaussian_nll(mean: Any, log_variance: Any, target: Any, reduction: Reduction = "sum") -> Any:
    """-ln p(target) for the normal density: ½ (((target - mean) / σ)² + ln σ² + ln 2π).

    mean, log_variance, target : nodes or arrays of one shape. Raises ShapeError if their shapes
    differ.
    """
    _same_shape("gaussian_nll", mean=mean, log_variance=log_variance, target=target)
    # 1 / σ as a square, as its root overflows only below a log-variance of -2838, where any
    # difference but 0 makes the result infinite. There 0 · inf is to be 0, and inf - inf inf.
    difference = ops.subtract(target, mean)
    hit = ops.equal(difference, 0.0)
    exponent = ops.multiply(-0.25, log_variance)
    sharp = ops.greater(exponent, _LARGEST)
    no_width = ops.equal(log_variance, -math.inf)
    width = ops.where(ops.greater(no_width, hit), 0.0, log_variance)
    with np.errstate(over="ignore"):
        root = ops.exp(ops.where(ops.multiply(hit, sharp), _LARGEST, exponent))
        z = (difference * root) * root
        loss = (0.5 * z) * z + 0.5 * (width + math.log(2.0 * math.pi))
    return _reduce(loss, reduction)


def gaussian_kl(mean: Any, log_variance: Any, reduction: Reduction = "sum") -> Any:
    """KL(N(mean, σ²) ‖ N(0, 1)) = ½ (mean² + σ² - 1 - ln σ²).

    mean, log_variance : nodes or arrays of one shape. Raises ShapeError if their shapes differ.

    References
    ----------
    Kingma, Welling, "Auto-encoding variational Bayes", ICLR 2014, appendix B.
    """
    _same_shape("gaussian_kl", mean=mean, log_variance=log_variance)
    spread = _exp_minus_line(log_variance)
    shift = ops.square(ops.multiply(math.sqrt(0.5), mean))
    return _reduce(shift + 0.5 * spread, reduction)


def _exp_minus_line(s: Any) -> Any:
    """e^s - 1 - s, by its series around 0, where the difference would cancel.

    The series is s² (1/2 + s/6 + s²/24), as a square. Relative errors stay below 4e-12 (next to
    where the two meet), and those of the first derivative below 2e-12.
    """
    near = ops.multiply(ops.greater(_NEAR, s), ops.greater(s, -_NEAR))
    x = ops.where(near, s, 0.0)  # where the series is not used, its powers might overflow
    series = ops.square(x) * (ops.square(x + 2.0) / 24.0 + 1.0 / 3.0)
    with np.errstate(over="ignore"):
        line = ops.minimum(s, _LARGEST_DOUBLE)  # inf - inf is inf here
        return ops.where(near, series, ops.expm1(s) - line)


_LARGEST = 709.0  # its exponential is just a double
_LARGEST_DOUBLE = float(np.finfo(np.float64).max)
_NEAR = 2e-4


def softmax_cross_entropy(
    logits: Any,
    target: Any,
    reduction: Reduction = "sum",
    *,
    class_weights: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> Any:
    """-Σ_k w_k target_k ln softmax(logits)_k, over the last axis.

    The options mean what they mean in PyTorch's `cross_entropy`.

    Parameters
    ----------
    logits : node or array, shape (B, K). May be -inf where a class is impossible.
    target : probabilities of shape (B, K), such as one-hot rows; or labels, integers
        0 ... K - 1, of shape (B,). Labels cost no one-hot rows.
    class_weights : w, of shape (K,); all 1 by default. With labels, the reduction "mean" divides
        by the sum of the samples' weights.
    ignore_index : label of samples that take no part: their loss is 0, whatever their logits, and
        so are their gradients. "mean" does not count them (it is NaN if there are no others).
    label_smoothing : the part ε of each target, 0 to 1, that is spread evenly over the classes:
        (1 - ε) target + ε / K.

    Raises
    ------
    ShapeError
        If target has neither shape, or class_weights is not of shape (K,).
    IndexRangeError
        If a label is no class. Labels in a node, or among the arguments of a compiled step,
        are checked when they are used.
    """
    shape = np.shape(logits)
    if not shape or np.shape(target) not in (shape, shape[:-1]):
        raise ShapeError(
            f"softmax_cross_entropy: {_describe('logits', logits)}; {_describe('target', target)}; "
            "logits must be (..., K), target the same (probabilities) or (...) (labels)"
        )
    if class_weights is not None and np.shape(class_weights) != shape[-1:]:
        raise ShapeError(
            f"softmax_cross_entropy: {_describe('class_weights', class_weights)}; "
            f"there are {shape[-1]} classes, its shape must be {shape[-1:]}"
        )
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(
            f"softmax_cross_entropy: label_smoothing is {label_smoothing}; it must be 0 to 1"
        )
    if np.shape(target) == shape:
        if ignore_index is not None:
            raise ValueError(
                "softmax_cross_entropy: ignore_index is for labels; target has probabilities"
            )
        return _by_probabilities(logits, target, reduction, class_weights, float(label_smoothing))
    labels = _Labels(target, shape[-1], ignore_index)
    return labels.loss(logits, reduction, class_weights, float(label_smoothing))


def _by_probabilities(
    logits: Any, target: Any, reduction: Reduction, weights: Any, smoothing: float
) -> Any:
    log_p = ops.log_softmax(logits, axis=-1)
    if smoothing:
        target = ops.multiply(1.0 - smoothing, target) + smoothing / np.shape(logits)[-1]
    if weights is not None:
        target = ops.multiply(weights, target)
    return _reduce(-ops.sum(_weighted(target, log_p), axis=-1), reduction)


class _Labels:
    """Classes by number: checked, flat, and one in place of those to be ignored.

    Attributes
    ----------
    numbers : of the samples' classes, shape (n,).
    ignored : 1 for samples that take no part, shape (n,); None if all do.
    """

    def __init__(self, target: Any, n_classes: int, ignore_index: int | None) -> None:
        self.shape = np.shape(target)
        self.n_classes = n_classes
        self.n_samples = math.prod(np.shape(target))
        known = not isinstance(target, Operators)  # else its numbers are not known yet
        if known:
            target = as_float64(target, "softmax_cross_entropy: target")
        labels = ops.reshape(target, (self.n_samples,))
        self.ignored = None
        if ignore_index is not None:
            self.ignored = ops.equal(labels, float(ignore_index))
            labels = ops.where(self.ignored, 0.0, labels)
        self.numbers = self._checked(labels) if known else self._checked_when_used(labels)

    def _checked(self, labels: Any) -> Any:
        bad = (labels != np.floor(labels)) | (labels < 0) | (labels >= self.n_classes)
        if bad.any():
            raise IndexRangeError(
                f"softmax_cross_entropy: label {labels[bad].flat[0]} is none of the "
                f"{self.n_classes} classes 0 ... {self.n_classes - 1}"
            )
        return labels

    def _checked_when_used(self, labels: Any) -> Any:
        """The same numbers, taken out of 0 ... K - 1: `take` raises if one is not there.

        (In the flattened matrix, a label that is no class would be one of another sample.)
        """
        n = float(self.n_classes)
        labels = ops.where(ops.greater_equal(labels, 0.0), labels, n)  # no counting from the end
        checked: Node = ops.take(np.arange(n), lift(labels))
        checked.name = f"label for softmax_cross_entropy, one of {self.n_classes} classes"
        return checked

    def loss(self, logits: Any, reduction: Reduction, weights: Any, smoothing: float) -> Any:
        """The cross-entropy of these labels."""
        n_samples, n_classes = self.n_samples, self.n_classes
        logits = ops.reshape(logits, (n_samples, n_classes))
        if self.ignored is not None:  # even NaN is to be ignored
            logits = ops.where(ops.reshape(self.ignored, (n_samples, 1)), 0.0, logits)
        log_p = ops.log_softmax(logits, axis=-1)
        rows = ops.add(self.numbers, float(n_classes) * np.arange(n_samples))
        loss = -ops.take(ops.reshape(log_p, (n_samples * n_classes,)), rows)
        counts = None
        if weights is not None:
            counts = ops.take(weights, self.numbers)
            loss = _weighted(counts, loss)
        if smoothing:
            spread = log_p if weights is None else _weighted(weights, log_p)
            even = (-smoothing / n_classes) * ops.sum(spread, axis=-1)
            loss = even if smoothing == 1.0 else (1.0 - smoothing) * loss + even
        if self.ignored is not None:
            loss = ops.where(self.ignored, 0.0, loss)
            counts = ops.where(self.ignored, 0.0, 1.0 if counts is None else counts)
        if reduction == "mean" and counts is not None:
            return ops.divide(ops.sum(loss), ops.sum(counts))
        return _reduce(ops.reshape(loss, self.shape), reduction)


def _weighted(weight: Any, x: Any) -> Any:
    """weight · x; 0 where the weight is 0, even if x is infinite."""
    if isinstance(weight, Node) and weight.needs_gradient:  # its slope is x, if x is a number
        infinite = ops.add(ops.equal(x, math.inf), ops.equal(x, -math.inf))
        return ops.multiply(weight, ops.where(ops.equal(weight, 0.0) * infinite, 0.0, x))
    return ops.multiply(weight, ops.where(weight, x, 0.0))


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
