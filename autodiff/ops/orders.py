"""What is said with the order of elements: sorted arrays, medians, quantiles, single values.

The gradient goes to the elements that were chosen. Where several are equal, the order in which they
stand decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from autodiff.array import Array, Shape, is_operand
from autodiff.declare import numpy_name
from autodiff.errors import DTypeError, ShapeError
from autodiff.ops.arguments import axes_of, axis_of, brief, flag, operand
from autodiff.ops.choosing import take_along_axis
from autodiff.ops.elementwise import equal, stop_gradient, where
from autodiff.ops.masks import flatnonzero
from autodiff.ops.parts import concat, getitem
from autodiff.ops.rows import take
from autodiff.ops.shape import reshape, transpose
from autodiff.ops.sorting import argsort, searchsorted
from autodiff.refusal import refusal, without_op

__all__ = ["digitize", "median", "partition", "percentile", "quantile", "sort", "unique"]


@numpy_name("numpy.sort")
def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """a with its elements in rising order along `axis`; without one, all of them along one.

    Equal elements stay in order, whatever `kind` is; NaN comes last.
    """
    x = operand("sort", a, "a")
    if axis is None:
        x, axis = reshape(x, -1), 0
    i = axis_of("sort", x, axis)
    return take_along_axis(x, argsort(x, i, order=order), i)


@numpy_name("numpy.partition")
def partition(
    a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None
) -> Any:
    """As :func:`sort`, whose order is one of those that a partition may have."""
    return sort(a, axis, order=order)


# ---- quantiles --------------------------------------------------------------------------


def _along_one(name: str, a: Any, axis: Any) -> tuple[Any, Shape]:
    """a with some axes at the end and counted as one, and its shape with these axes of size 1."""
    x = operand(name, a, "a")
    axes = axes_of(name, x, axis)
    kept = [i for i in range(len(x.shape)) if i not in axes]
    size = math.prod(x.shape[i] for i in axes)
    if not size:
        raise refusal(ShapeError, f"{name}: nothing to reduce: a has shape {x.shape}", a=x)
    x_kept = tuple([1 if i in axes else n for i, n in enumerate(x.shape)])
    moved = transpose(x, (*kept, *axes))
    return reshape(moved, (*[x.shape[i] for i in kept], size)), x_kept


def _picked(x: Any, places: list[int]) -> tuple[list[Any], Any]:
    """The elements at these places of the sorted rows of x, and the last, which may be NaN."""
    n = x.shape[-1]
    wanted = sorted({*places, n - 1})
    order = getitem(argsort(x), (..., np.array(wanted)))
    chosen = take_along_axis(x, order, -1)
    found = {place: getitem(chosen, (..., k)) for k, place in enumerate(wanted)}
    return [found[place] for place in places], found[n - 1]


def _unless_nan(value: Any, last: Any) -> Any:
    return where(equal(last, last), value, last)


@numpy_name("numpy.median")
def median(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The element in the middle, or the mean of the two that are; NaN where there is one."""
    x, kept = _along_one("median", a, axis)
    n = x.shape[-1]
    (low, high), last = _picked(x, [(n - 1) // 2, n // 2])
    value = _unless_nan(low if n % 2 else (low + high) / 2.0, last)
    return reshape(value, kept) if flag("median", "keepdims", keepdims) else value


@numpy_name("numpy.percentile")
def percentile(
    a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """See :func:`quantile`; q is out of 100."""
    shares = _shares("percentile", q, 100.0)
    return _quantiles("percentile", a, shares, axis, method, keepdims)


@numpy_name("numpy.quantile")
def quantile(
    a: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """The element of which a share q is below; between two of them as `method` has it.

    q : numbers from 0 to 1, of any shape, which are known; its axes come first in the result.
    """
    return _quantiles("quantile", a, _shares("quantile", q, 1.0), axis, method, keepdims)


def _shares(name: str, q: Any, whole: float) -> Array:
    if is_operand(q):
        raise refusal(
            DTypeError, f"{name}: q must be known, there is no gradient for it; give its value", q=q
        )
    shares = np.true_divide(operand(name, q, "q"), whole)
    if not ((shares >= 0.0) & (shares <= 1.0)).all():
        raise refusal(ShapeError, f"{name}: q must be between 0 and {whole:g}, not {brief(q)}")
    return np.asarray(shares)


def _quantiles(name: str, a: Any, shares: Array, axis: Any, method: str, keepdims: Any) -> Any:
    if method not in _METHODS:
        raise refusal(
            ShapeError, f"{name}: method {brief(method)} is none of {', '.join(_METHODS)}"
        )
    x, kept = _along_one(name, a, axis)
    shape = kept if flag(name, "keepdims", keepdims) else x.shape[:-1]
    n = x.shape[-1]
    pairs = [_neighbours(n, float(q), method) for q in shares.flat]
    places = [place for low, high, _ in pairs for place in (low, high)]
    found, last = _picked(x, places)
    values = []
    for (_, _, weight), low, high in zip(pairs, found[::2], found[1::2], strict=True):
        between = low if weight is None else _between(low, high, weight)
        values.append(reshape(_unless_nan(between, last), (1, *shape)))
    return reshape(concat(values, 0) if values else np.zeros((0, *shape)), (*shares.shape, *shape))


def _between(low: Any, high: Any, weight: float) -> Any:
    """As NumPy interpolates: exact at both ends."""
    if weight >= 0.5:
        return high - (high - low) * (1.0 - weight)
    return low + (high - low) * weight


def _neighbours(n: int, q: float, method: str) -> tuple[int, int, float | None]:
    """The places of the sorted elements between which a quantile lies, and how far.

    None: it is the first of them.
    """
    place, weigh = _METHODS[method]
    virtual = place(n, q)
    low = math.floor(virtual)
    if weigh is None:
        return low, low, None
    if virtual >= n - 1:
        return n - 1, n - 1, 0.0
    if virtual < 0.0:
        return 0, 0, 0.0
    return low, low + 1, weigh(virtual - low, virtual)


def _own(weight: float, virtual: float) -> float:
    return weight


_Place: TypeAlias = Callable[[int, float], float]


def _spread(alpha: float, beta: float) -> _Place:
    return lambda n, q: n * q + (alpha + q * (1 - alpha - beta)) - 1


def _closest(n: int, q: float) -> float:
    virtual = n * q - 1 - 0.5
    low = math.floor(virtual)
    return max(0.0, low if virtual == low and low % 2 == 1 else low + 1)


def _inverted(n: int, q: float) -> float:
    virtual = n * q - 1
    return max(0.0, math.ceil(virtual))


_METHODS: dict[str, tuple[_Place, Callable[[float, float], float] | None]] = {
    "inverted_cdf": (_inverted, None),
    "averaged_inverted_cdf": (lambda n, q: n * q - 1, lambda w, _: 0.5 if w == 0.0 else 1.0),
    "closest_observation": (_closest, None),
    "interpolated_inverted_cdf": (_spread(0, 1), _own),
    "hazen": (_spread(0.5, 0.5), _own),
    "weibull": (_spread(0, 0), _own),
    "linear": (lambda n, q: (n - 1) * q, _own),
    "median_unbiased": (_spread(1 / 3.0, 1 / 3.0), _own),
    "normal_unbiased": (_spread(3 / 8.0, 3 / 8.0), _own),
    "lower": (lambda n, q: math.floor((n - 1) * q), None),
    "higher": (lambda n, q: math.ceil((n - 1) * q), None),
    "midpoint": (
        lambda n, q: 0.5 * (math.floor((n - 1) * q) + math.ceil((n - 1) * q)),
        lambda w, virtual: 0.0 if virtual % 1 == 0.0 else 0.5,
    ),
    "nearest": (lambda n, q: float(np.around((n - 1) * q)), None),
}
"""NumPy's methods: at which place of n sorted elements a quantile lies, and, if that need be no
whole number, the weight of the element behind it."""


# ---- single values ----------------------------------------------------------------------


@numpy_name("numpy.unique")
def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: Any = None,
    *,
    equal_nan: bool = True,
) -> Any:
    """The values of ar in order, each once; how many there are must be known, and must not change.

    With them, on request: where each is first, which of them each element is, how often each is.
    """
    if axis is not None:
        raise without_op("np.unique", ["axis"])
    x = operand("unique", ar, "ar")
    flat = reshape(x, -1)
    n = flat.shape[0]
    order = argsort(flat)
    ordered = take(flat, order)
    begins = _begins(stop_gradient(ordered), equal_nan) if n else np.zeros(0)
    first = flatnonzero(begins)
    values = take(ordered, first)
    found = [values]
    if return_index:
        found.append(take(order, first))
    if return_inverse:
        found.append(reshape(searchsorted(values, flat), x.shape))
    if return_counts:
        ends = concat([getitem(first, slice(1, None)), [float(n)]], 0) if n else first
        found.append(ends - first)
    return found[0] if len(found) == 1 else tuple(found)


def _begins(ordered: Any, equal_nan: bool) -> Any:
    """Where another value begins, as a mask."""
    n = ordered.shape[0]
    before, here = getitem(ordered, slice(n - 1)), getitem(ordered, slice(1, None))
    same = equal(before, here)
    if equal_nan:
        same = same + (1.0 - equal(before, before)) * (1.0 - equal(here, here))
    return concat([np.ones(1), 1.0 - same], 0)


@numpy_name("numpy.digitize")
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """Between which of the bins, which are known and in order, each element lies."""
    if is_operand(bins):
        raise refusal(
            DTypeError, "digitize: the bins must be known, to see their order; give their value",
            bins=bins,
        )  # fmt: skip
    x, edges = operand("digitize", x), operand("digitize", bins, "bins")
    steps = np.diff(edges) if len(edges.shape) == 1 else np.array([np.nan])
    side = "left" if right else "right"
    if (steps >= 0.0).all():
        return searchsorted(edges, x, side)
    if (steps <= 0.0).all():
        return edges.shape[0] - searchsorted(np.ascontiguousarray(edges[::-1]), x, side)
    raise refusal(ShapeError, "digitize: bins must be along one axis, and rise or fall", x=x)
