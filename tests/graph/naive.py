"""Reverse-mode differentiation of single numbers, in a hundred lines: the slow engine that
the real one is compared with, and a first thing to read about how such an engine works.

A :class:`Scalar` is a number that remembers what it was computed from, and how fast it
changes with each of those. For arrays, NumPy does the rest: an array of Scalars (dtype object)
adds, multiplies, broadcasts, sums, slices and joins like any other, element by element.

>>> x, y = Scalar(3.0), Scalar(4.0)
>>> z = x * y + x
>>> gradient = gradients({z: 1.0})
>>> gradient[x], gradient[y]
(5.0, 3.0)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


class Scalar:
    """A number, and the slopes dz/dx to the numbers that it was computed from."""

    def __init__(self, value: float, slopes: tuple[tuple[Scalar, float], ...] = ()) -> None:
        self.value = float(value)
        self.slopes = slopes

    def __repr__(self) -> str:
        return f"Scalar({self.value:g})"

    def __add__(self, other: Any) -> Scalar:
        x, y = self, scalar(other)
        return Scalar(x.value + y.value, ((x, 1.0), (y, 1.0)))

    def __mul__(self, other: Any) -> Scalar:
        x, y = self, scalar(other)
        return Scalar(x.value * y.value, ((x, y.value), (y, x.value)))

    def __neg__(self) -> Scalar:
        return Scalar(-self.value, ((self, -1.0),))

    def reciprocal(self) -> Scalar:
        return Scalar(1.0 / self.value, ((self, -1.0 / self.value**2),))

    # The others are spelled by these; np.exp(array) calls the method `exp` of each element.

    def __sub__(self, other: Any) -> Scalar:
        return self + -scalar(other)

    def __truediv__(self, other: Any) -> Scalar:
        return self * scalar(other).reciprocal()

    def __radd__(self, other: Any) -> Scalar:
        return scalar(other) + self

    def __rmul__(self, other: Any) -> Scalar:
        return scalar(other) * self

    def __rsub__(self, other: Any) -> Scalar:
        return scalar(other) - self

    def exp(self) -> Scalar:
        z = math.exp(self.value)
        return Scalar(z, ((self, z),))

    def tanh(self) -> Scalar:
        z = math.tanh(self.value)
        return Scalar(z, ((self, 1.0 - z * z),))

    def sin(self) -> Scalar:
        return Scalar(math.sin(self.value), ((self, math.cos(self.value)),))


def scalar(x: Any) -> Scalar:
    """`x` itself if it is a Scalar, else a new one: a constant."""
    return x if isinstance(x, Scalar) else Scalar(x)


def scalars(array: Any) -> np.ndarray:
    """An array of new Scalars with the numbers of `array`."""
    array = np.asarray(array, float)
    made = np.empty(array.shape, object)
    for at in np.ndindex(*array.shape):
        made[at] = Scalar(array[at])
    return made


def own(array: Any) -> np.ndarray:
    """The same numbers in Scalars of their own, each computed from the one given."""
    return np.vectorize(lambda s: Scalar(s.value, ((s, 1.0),)), otypes=[object])(array)


def values(array: Any) -> np.ndarray:
    """The numbers of an array of Scalars."""
    return np.vectorize(lambda s: s.value, otypes=[float])(np.asarray(array, object))


def gradients(seeds: Mapping[Scalar, float]) -> dict[Scalar, float]:
    """Gradient of sum(seed · z) for every Scalar that the z were computed from.

    Whoever is computed last sends first. So when a Scalar's turn comes, all that were computed
    from it have sent, and its sum is complete: the same rule as in the real engine.
    """
    total = dict(seeds)
    for z in reversed(in_order(seeds)):
        for x, slope in z.slopes:
            total[x] = total.get(x, 0.0) + slope * total[z]
    return total


def in_order(roots: Any) -> list[Scalar]:
    """`roots` and what they were computed from, the inputs of each before it."""
    order: list[Scalar] = []
    seen: set[Scalar] = set()

    def visit(z: Scalar) -> None:
        if z not in seen:
            seen.add(z)
            for x, _ in z.slopes:
                visit(x)
            order.append(z)

    for root in roots:
        visit(root)
    return order
