"""How weights begin: each initialiser is called with (shape, random) and returns an array.

Options are keyword arguments; fix them with ``functools.partial(truncated_normal, std=0.1)``.

`n_in` (fan in) and `n_out` (fan out) are the last two sizes of the shape: weights stand as
(n_in, n_out), since rows are samples. A vector of n counts as (n, n). Axes before the last
two are a stack of matrices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from autodiff.array import Array
from autodiff.errors import ShapeError

__all__ = [
    "Initialiser",
    "constant",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "normal",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "zeros",
]


class Initialiser(Protocol):
    """What a layer takes as initialiser."""

    def __call__(self, shape: Sequence[int], random: np.random.Generator, /) -> Array:
        """An array of `shape`, drawn from `random`."""
        ...


def zeros(shape: Sequence[int], random: np.random.Generator) -> Array:
    """All 0; draws nothing."""
    return np.zeros(shape)


def constant(shape: Sequence[int], random: np.random.Generator, *, value: float = 1.0) -> Array:
    """All `value`; draws nothing."""
    return np.full(shape, float(value))


def uniform(shape: Sequence[int], random: np.random.Generator, *, limit: float = 1.0) -> Array:
    """Uniform in [-limit, limit)."""
    return random.uniform(-limit, limit, shape)


def normal(shape: Sequence[int], random: np.random.Generator, *, std: float = 1.0) -> Array:
    """Normal with mean 0 and standard deviation `std`."""
    return random.normal(0.0, std, shape)


def truncated_normal(
    shape: Sequence[int], random: np.random.Generator, *, std: float = 1.0
) -> Array:
    """The post's: normal with mean 0, drawn again while beyond 2 `std`.

    The standard deviation of what is left is 0.8796 `std`.
    """
    drawn = random.normal(0.0, std, math.prod(shape))
    while (beyond := np.flatnonzero(np.abs(drawn) > 2.0 * std)).size:
        drawn[beyond] = random.normal(0.0, std, beyond.size)
    return drawn.reshape(shape)


def glorot_uniform(shape: Sequence[int], random: np.random.Generator) -> Array:
    """Uniform in ±√(6 / (n_in + n_out)): for tanh and sigmoid.

    References
    ----------
    Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010, equation 16.
    """
    n_in, n_out = _fans(shape)
    return uniform(shape, random, limit=math.sqrt(6.0 / max(n_in + n_out, 1)))


def glorot_normal(shape: Sequence[int], random: np.random.Generator) -> Array:
    """Normal with variance 2 / (n_in + n_out): equation 12 of the source of `glorot_uniform`."""
    n_in, n_out = _fans(shape)
    return normal(shape, random, std=math.sqrt(2.0 / max(n_in + n_out, 1)))


def he_uniform(shape: Sequence[int], random: np.random.Generator) -> Array:
    """Uniform in ±√(6 / n_in), variance 2 / n_in: for relu. Source: see `he_normal`."""
    return uniform(shape, random, limit=math.sqrt(6.0 / max(_fans(shape)[0], 1)))


def he_normal(shape: Sequence[int], random: np.random.Generator) -> Array:
    """Normal with variance 2 / n_in: for relu.

    References
    ----------
    He, Zhang, Ren, Sun, "Delving deep into rectifiers", ICCV 2015, equation 10.
    """
    return normal(shape, random, std=math.sqrt(2.0 / max(_fans(shape)[0], 1)))


def orthogonal(shape: Sequence[int], random: np.random.Generator, *, gain: float = 1.0) -> Array:
    """`gain` times a matrix with orthonormal rows or columns, whichever are fewer.

    Uniformly distributed: from the QR decomposition of a normal matrix, with the signs of R's
    diagonal put into Q. Raises ShapeError for fewer than two axes.

    References
    ----------
    Saxe, McClelland, Ganguli, "Exact solutions to the nonlinear dynamics of learning in
    deep linear neural networks", ICLR 2014, section 3. Mezzadri, "How to generate random
    matrices from the classical compact groups", Notices of the AMS 54 (2007), section 5.
    """
    if len(shape) < 2:
        raise ShapeError(f"orthogonal: a matrix has two axes, the shape is {tuple(shape)}")
    *stack, n_rows, n_columns = shape
    tall = (*stack, max(n_rows, n_columns), min(n_rows, n_columns))
    q, r = np.linalg.qr(random.normal(size=tall))
    q *= np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0.0, -1.0, 1.0)[..., None, :]
    return gain * np.ascontiguousarray(q if n_rows >= n_columns else np.swapaxes(q, -1, -2))


def _fans(shape: Sequence[int]) -> tuple[int, int]:
    if not shape:
        return 1, 1
    return (shape[-2], shape[-1]) if len(shape) > 1 else (shape[0], shape[0])
