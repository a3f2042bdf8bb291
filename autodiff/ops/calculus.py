"""Differences, integrals, interpolation, convolutions and polynomials of samples: NumPy's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff.array import is_operand
from autodiff.declare import numpy_name
from autodiff.errors import ShapeError
from autodiff.ops.arguments import axis_of, brief, operand, several, whole_number
from autodiff.ops.arithmetic import add, divide, multiply, subtract
from autodiff.ops.cumulative import cumprod
from autodiff.ops.elementwise import greater, greater_equal, where
from autodiff.ops.linear import matmul
from autodiff.ops.parts import concat, getitem
from autodiff.ops.reduce import sum as sum_over
from autodiff.ops.rounding import floor
from autodiff.ops.rows import take
from autodiff.ops.shape import broadcast_to, reshape
from autodiff.refusal import refusal

__all__: list[str] = []


def _cut(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    """A slice along one axis."""
    return getitem(x, (*[slice(None)] * axis, slice(start, stop)))


# ---- differences ----------------------------------------------------------------------


@numpy_name("numpy.diff")
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """z = the differences of neighbours along `axis`, n times over.

    prepend, append : what is put before and behind a first; a number stands for one of them.
    """
    a = operand("diff", a, "a")
    along = axis_of("diff", a, axis)
    times = whole_number(n)
    if times is None or times < 0:
        raise refusal(ShapeError, f"diff: n is a whole number from 0, not {brief(n)}", a=a)
    if times == 0:
        return a
    ends = [_end(a, along, x) for x in (prepend, append)]
    parts = [x for x in (ends[0], a, ends[1]) if x is not None]
    z = concat(parts, axis=along) if len(parts) > 1 else a
    for _ in range(times):
        z = subtract(_cut(z, along, 1, None), _cut(z, along, None, -1))
    return z


def _end(a: Any, axis: int, x: Any) -> Any:
    if x is None:
        return None
    x = operand("diff", x)
    return x if x.shape else broadcast_to(x, (*a.shape[:axis], 1, *a.shape[axis + 1 :]))


@numpy_name("numpy.gradient")
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """z = the slope of samples along `axis`, central within and one-sided at the ends.

    varargs : the distance of samples, or their places, one for all axes or one for each.
    Returns one array, or a tuple of one for each axis.
    """
    f = operand("gradient", f, "f")
    if axis is None:
        axes: tuple[int, ...] = tuple(range(len(f.shape)))
    else:
        items = several(axis)
        axes = (
            (axis_of("gradient", f, axis),)
            if items is None
            else tuple(axis_of("gradient", f, i) for i in items)
        )
    spacings = list(varargs) or [1.0]
    if len(spacings) == 1:
        spacings = spacings * len(axes)
    if len(spacings) != len(axes) or edge_order not in (1, 2):
        raise refusal(
            ShapeError,
            f"gradient: f has shape {f.shape}, axes {axes}; it takes one spacing, or one for each "
            f"axis, not {len(varargs)}, and an edge_order of 1 or 2",
            f=f,
        )
    found = tuple(
        _slope(f, i, operand("gradient", h, "varargs"), edge_order)
        for i, h in zip(axes, spacings, strict=True)
    )
    return found[0] if len(axes) == 1 else found


def _slope(f: Any, axis: int, spacing: Any, edge_order: int) -> Any:
    n = f.shape[axis]
    if n < edge_order + 1:
        raise refusal(
            ShapeError,
            f"gradient: f has shape {f.shape}; along axis {axis} it needs {edge_order + 1} samples",
            f=f,
        )
    if len(spacing.shape) > 1 or (spacing.shape and spacing.shape[0] != n):
        raise refusal(
            ShapeError,
            f"gradient: places have shape {spacing.shape}; f has {n} samples along axis {axis}",
            f=f,
            places=spacing,
        )

    def at(start: int | None, stop: int | None) -> Any:
        return _cut(f, axis, start, stop)

    if spacing.shape:  # distances of neighbours, along `axis`
        steps = subtract(spacing[1:], spacing[:-1])
        steps = reshape(steps, [n - 1 if i == axis else 1 for i in range(len(f.shape))])
        before, behind = _cut(steps, axis, None, -1), _cut(steps, axis, 1, None)
        first, second = _cut(steps, axis, None, 1), _cut(steps, axis, 1, 2)
        last, last_but_one = _cut(steps, axis, -1, None), _cut(steps, axis, -2, -1)
        inner = _uneven(at(None, -2), at(1, -1), at(2, None), before, behind)
    else:
        first = second = last = last_but_one = spacing
        inner = divide(subtract(at(2, None), at(None, -2)), multiply(2.0, spacing))
    if edge_order == 1:
        left = divide(subtract(at(1, 2), at(None, 1)), first)
        right = divide(subtract(at(-1, None), at(-2, -1)), last)
    else:
        left = _one_sided(at(None, 1), at(1, 2), at(2, 3), first, second)
        right = -_one_sided(at(-1, None), at(-2, -1), at(-3, -2), last, last_but_one)
    return concat([left, inner, right], axis=axis)


def _uneven(x: Any, y: Any, z: Any, before: Any, behind: Any) -> Any:
    """The slope at y, with distances to both neighbours."""
    both = add(before, behind)
    a = -divide(behind, multiply(before, both))
    b = divide(subtract(behind, before), multiply(before, behind))
    c = divide(before, multiply(behind, both))
    return add(add(multiply(a, x), multiply(b, y)), multiply(c, z))


def _one_sided(x: Any, y: Any, z: Any, first: Any, second: Any) -> Any:
    """The slope at x, of second order, by the two samples that follow."""
    both = add(first, second)
    a = -divide(add(first, both), multiply(first, both))
    b = divide(both, multiply(first, second))
    c = -divide(first, multiply(second, both))
    return add(add(multiply(a, x), multiply(b, y)), multiply(c, z))


# ---- integrals ------------------------------------------------------------------------


@numpy_name("numpy.trapezoid", "numpy.trapz")
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """z = the integral of samples along `axis` by trapezoids; x : their places, or `dx` apart."""
    y = operand("trapezoid", y, "y")
    along = axis_of("trapezoid", y, axis)
    steps: Any = dx
    if x is not None:
        x = operand("trapezoid", x)
        if len(x.shape) == 1:
            shape = [-1 if i == along else 1 for i in range(len(y.shape))]
            steps = reshape(subtract(x[1:], x[:-1]), shape)
        else:
            steps = diff(x, axis=axis)
    both = add(_cut(y, along, 1, None), _cut(y, along, None, -1))
    areas = divide(multiply(steps, both), 2.0)
    return sum_over(areas, axis=axis)


# ---- interpolation --------------------------------------------------------------------


@numpy_name("numpy.interp")
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """z = fp interpolated linearly between the places xp, which must rise, at x.

    The gradient goes to x and fp, and to xp where that is a node. At a place of xp itself the
    slope is that of the piece on its right; beyond the ends, where z is `left` or `right`
    (without them fp's first and last), the gradient of x is 0.
    """
    x, xp, fp = operand("interp", x), operand("interp", xp, "xp"), operand("interp", fp, "fp")
    if len(xp.shape) != 1 or xp.shape != fp.shape or xp.shape[0] == 0:
        raise refusal(
            ShapeError,
            f"interp: xp has shape {xp.shape}, fp has shape {fp.shape}; both must be (n,), n > 0",
            x=x,
            xp=xp,
            fp=fp,
        )
    if period is not None:
        return _periodic(x, xp, fp, period)
    n = xp.shape[0]
    passed = sum_over(greater_equal(reshape(x, (*x.shape, 1)), xp), axis=-1)
    # NaN is at no place, and 0 · NaN makes NaN of what is taken at the first.
    low = where(greater(passed, 1.0), subtract(passed, 1.0), 0.0)
    low = where(greater(low, float(max(n - 2, 0))), float(max(n - 2, 0)), low)
    high = add(low, 1.0) if n > 1 else low
    x_low, f_low = take(xp, low), take(fp, low)
    width = subtract(take(xp, high), x_low) if n > 1 else np.ones(())
    z = add(f_low, multiply(divide(subtract(take(fp, high), f_low), width), subtract(x, x_low)))
    below, above = greater(xp[0], x), greater(x, xp[-1])
    z = where(below, fp[0] if left is None else left, z)
    return where(above, fp[-1] if right is None else right, z)


def _periodic(x: Any, xp: Any, fp: Any, period: Any) -> Any:
    """Places that come again: those of one period, in order, and their neighbours."""
    if is_operand(xp) or is_operand(period):
        raise refusal(
            ShapeError,
            "interp: with period, xp and period must be numbers: their order is theirs alone",
            xp=xp,
        )
    length = float(np.abs(period))
    if length == 0.0:
        raise refusal(ShapeError, "interp: the period must not be 0")
    places = np.asarray(xp, dtype=np.float64) % length
    order = np.argsort(places, kind="stable")
    places = places[order]
    places = np.concatenate([places[-1:] - length, places, places[:1] + length])
    numbers = np.concatenate([order[-1:], order, order[:1]]).astype(np.float64)
    turns = floor(divide(x, length))
    return interp(subtract(x, multiply(turns, length)), places, take(fp, numbers))


# ---- convolutions ---------------------------------------------------------------------

_MODES = ("valid", "same", "full")


@numpy_name("numpy.convolve")
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """z[k] = Σ a[i] v[k - i]; mode : "full", "same" (as long as the longer) or "valid"."""
    a, v = _sequences("convolve", a, v, mode)
    if v.shape[0] > a.shape[0]:
        a, v = v, a
    return _slid(a, v[::-1], mode, v.shape[0] - 1 - (v.shape[0] - 1) // 2)


@numpy_name("numpy.correlate")
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """z[k] = Σ a[i + k] v[i]; mode : as in :func:`convolve`."""
    a, v = _sequences("correlate", a, v, mode)
    if v.shape[0] > a.shape[0]:  # turned round, as NumPy does it
        return _slid(v, a, mode, a.shape[0] - 1 - (a.shape[0] - 1) // 2)[::-1]
    return _slid(a, v, mode, v.shape[0] // 2)


def _sequences(name: str, a: Any, v: Any, mode: str) -> tuple[Any, Any]:
    a, v = operand(name, a, "a"), operand(name, v, "v")
    a, v = (reshape(x, (1,)) if not x.shape else x for x in (a, v))
    if len(a.shape) != 1 or len(v.shape) != 1 or 0 in (*a.shape, *v.shape):
        raise refusal(
            ShapeError,
            f"{name}: a has shape {a.shape}, v has shape {v.shape}; both must be (n,), n > 0",
            a=a,
            v=v,
        )
    if mode not in _MODES:
        raise refusal(ShapeError, f"{name}: mode {brief(mode)} is none of {', '.join(_MODES)}")
    return a, v


def _slid(a: Any, v: Any, mode: str, before: int) -> Any:
    """Σ over i of a[k + i] v[i], v no longer than a; `before` zeros come first in mode "same"."""
    n, m = a.shape[0], v.shape[0]
    if mode == "full":
        front = back = m - 1
    elif mode == "same":
        front, back = before, m - 1 - before
    else:
        front = back = 0
    parts = [x for x in (np.zeros(front), a, np.zeros(back)) if x.shape[0]]
    padded = concat(parts, axis=0) if len(parts) > 1 else a
    count = n + front + back - m + 1
    numbers = np.add.outer(np.arange(count), np.arange(m)).astype(np.float64)
    return matmul(take(padded, numbers), v)


# ---- polynomials ----------------------------------------------------------------------


@numpy_name("numpy.polyval")
def polyval(p: Any, x: Any) -> Any:
    """z = p[0] x^(n-1) + ... + p[n-1], by Horner's rule."""
    x = operand("polyval", x)
    coefficients: Sequence[Any] = p
    if is_operand(p) or isinstance(p, np.ndarray):
        coefficients = [p[i] for i in range(p.shape[0])]
    z: Any = np.zeros(x.shape)
    for c in coefficients:
        z = add(multiply(z, x), c)
    return z


@numpy_name("numpy.vander")
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """z = the powers of x, one row for each element: falling, or rising with `increasing`."""
    x = operand("vander", x)
    if len(x.shape) != 1:
        raise refusal(ShapeError, f"vander: x has shape {x.shape}; it must be (n,)", x=x)
    n = x.shape[0] if N is None else whole_number(N)
    if n is None or n < 0:
        raise refusal(ShapeError, f"vander: N is a whole number from 0, not {brief(N)}", x=x)
    if n == 0:
        return np.zeros((x.shape[0], 0))
    column = reshape(x, (-1, 1))
    z: Any = np.ones((x.shape[0], 1))
    if n > 1:
        z = concat([z, cumprod(broadcast_to(column, (x.shape[0], n - 1)), 1)], axis=1)
    return z if increasing else z[:, ::-1]
