"""How a distribution is said: its functions for location 0 and scale 1, and where they hold.

What SciPy has around them (location and scale, 0 or -inf outside of the support, NaN where a
parameter is none, broadcasting) is the same for all, and is done here. Gradients outside of the
support are 0: what is chosen there is a constant, and no formula is computed.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.array import is_operand
from autodiff.declare import numpy_name
from autodiff.ops.arguments import operand
from autodiff.ops.elementwise import equal, exp, expm1, greater, greater_equal, log, log1p, where
from autodiff.ops.rounding import floor

__all__ = ["Continuous", "Discrete", "log1mexp"]

Formula = Callable[..., Any]
_LN2 = math.log(2.0)


def log1mexp(x: Any) -> Any:
    """ln(1 - e^-x) for x >= 0, exact for small and for large x."""
    near = greater(_LN2, x)
    return where(near, log(-expm1(-where(near, x, 1.0))), log1p(-exp(-where(near, 1.0, x))))


def _inside(y: Any, low: Any, high: Any, closed: bool) -> Any:
    """1 where y is between low and high."""
    after = greater_equal if closed else greater
    found = None
    if not _is(low, -math.inf):
        found = after(y, low)
    if not _is(high, math.inf):
        below = after(high, y)
        found = below if found is None else found * below
    return found


def _is(x: Any, number: float) -> bool:
    return isinstance(x, float) and x == number


def _is_plain(x: Any, number: float) -> bool:
    """Whether it is this constant."""
    return not is_operand(x) and x.shape == () and bool(x == number)


@dataclass(frozen=True)
class _Distribution:
    """What kinds of distributions have in common.

    name : SciPy's. shapes : names of its parameters. valid : 1 where they are in their domains.
    """

    name: str
    shapes: str = ""
    valid: Formula | None = None

    def enter(self, **functions: Formula) -> None:
        """Let the functions be called by SciPy's names, with its parameters."""
        for name, function in functions.items():
            dotted = f"scipy.stats.{self.name}.{name}"
            numpy_name(dotted)(self._public(name, function))

    def _public(self, name: str, function: Formula) -> Formula:
        raise NotImplementedError

    def _made(self, name: str, call: Formula, first: str, *more: tuple[str, float]) -> Formula:
        """A function with SciPy's signature."""
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(n, kind) for n in (first, *self.shapes.split())]
        parameters += [inspect.Parameter(n, kind, default=v) for n, v in more]
        signature = inspect.Signature(parameters)
        dotted = f"{self.name}.{name}"

        def public(*given: Any, **named: Any) -> Any:
            bound = signature.bind(*given, **named)
            bound.apply_defaults()
            operands = [operand(dotted, x, n) for n, x in bound.arguments.items()]
            with np.errstate(all="ignore"):  # of constants: NaN is a result, not a warning
                return call(*operands)

        public.__name__ = public.__qualname__ = name
        public.__doc__ = f"z = {_MEANING[name]} of scipy.stats.{self.name}, as SciPy has it."
        public.__signature__ = signature  # type: ignore[attr-defined]
        return public

    def _checked(self, value: Any, parameters: Any, positive: Any = None) -> Any:
        """NaN where a parameter is none."""
        good = None if self.valid is None else self.valid(*parameters)
        if positive is not None and (is_operand(positive) or not (positive > 0.0).all()):
            fits = greater(positive, 0.0)
            good = fits if good is None else good * fits
        return value if good is None else where(good, value, math.nan)


_MEANING = {
    "pdf": "the density",
    "logpdf": "the logarithm of the density",
    "pmf": "the probability of k",
    "logpmf": "the logarithm of the probability of k",
    "cdf": "the probability up to x",
    "sf": "the probability beyond x",
    "logcdf": "the logarithm of the probability up to x",
    "logsf": "the logarithm of the probability beyond x",
}
_BELOW = {"pdf": 0.0, "logpdf": -math.inf, "cdf": 0.0, "logcdf": -math.inf, "sf": 1.0, "logsf": 0.0}
_ABOVE = {**_BELOW, "cdf": 1.0, "logcdf": 0.0, "sf": 0.0, "logsf": -math.inf}


@dataclass(frozen=True)
class Continuous(_Distribution):
    """A distribution over numbers: ``function(y, *shapes)`` with y = (x - loc) / scale.

    low, high : where the support begins and ends. within : a number in it, whatever the shapes are.
    """

    low: float = -math.inf
    high: float = math.inf
    within: float = 0.5

    def _public(self, name: str, function: Formula) -> Formula:
        call = functools.partial(self._call, name, function)
        return self._made(name, call, "x", ("loc", 0.0), ("scale", 1.0))

    def _call(self, name: str, function: Formula, x: Any, *parameters: Any) -> Any:
        *shapes, loc, scale = parameters
        y = x if _is_plain(loc, 0.0) else x - loc
        standard = _is_plain(scale, 1.0)
        y = y if standard else y / scale
        density = name in ("pdf", "logpdf")
        inside = _inside(y, self.low, self.high, closed=density)
        safe = y if inside is None else where(inside, y, self.within)
        value = function(safe, *shapes)
        if name == "pdf" and not standard:
            value = value / scale
        elif name == "logpdf" and not standard:
            value = value - log(scale)
        if inside is not None:
            value = where(inside, value, self._outside(name, y))
        value = where(equal(y, y), value, math.nan)
        return self._checked(value, shapes, scale)

    def _outside(self, name: str, y: Any) -> Any:
        below, above = _BELOW[name], _ABOVE[name]
        if below == above or _is(self.high, math.inf):
            return below
        if _is(self.low, -math.inf):
            return above
        return where(greater(y, self.within), above, below)


@dataclass(frozen=True)
class Discrete(_Distribution):
    """A distribution over whole numbers: ``function(k, *shapes)``.

    low : the least one. high : the greatest one for these shapes, or None.
    """

    low: float = 0.0
    high: Formula | None = None

    def _public(self, name: str, function: Formula) -> Formula:
        call = functools.partial(self._call, name, function)
        return self._made(name, call, "k", ("loc", 0.0))

    def _call(self, name: str, function: Formula, k: Any, *parameters: Any) -> Any:
        *shapes, loc = parameters
        y = k if _is_plain(loc, 0.0) else k - loc
        if name in ("pmf", "logpmf"):
            inside = greater_equal(y, self.low) * equal(floor(y), y)
            if self.high is not None:
                inside = inside * greater_equal(self.high(*shapes), y)
            value = function(where(inside, y, self.low), *shapes)
            value = where(inside, value, 0.0 if name == "pmf" else -math.inf)
        else:
            whole = floor(y)
            inside = greater_equal(whole, self.low)
            outside: Any = _BELOW[name]
            if self.high is not None:
                beyond = greater_equal(whole, self.high(*shapes))
                inside = inside * (1.0 - beyond)
                outside = where(beyond, _ABOVE[name], outside)
            value = function(where(inside, whole, self.low), *shapes)
            value = where(inside, value, outside)
        value = where(equal(y, y), value, math.nan)
        return self._checked(value, shapes)
