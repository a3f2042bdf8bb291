"""Derivatives by forward rules only: the complex step, and central differences.

The complex step takes NumPy's complex functions where they are right next to the real axis. Real
parts are those of the real functions (`np.log1p` and `np.expm1` lose them near 0), and powers are
taken from real ones: `np.power` goes by way of the logarithm, which leaves nothing of the
imaginary part of (-1.01 + ih) ** 121.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autodiff.array import Array
from autodiff.graph.node import Node, Tensor
from autodiff.graph.order import ancestors
from autodiff.op import OUTPUT_OF, BoundOp

__all__ = ["Difference", "Evaluation"]

Mask: TypeAlias = NDArray[np.bool_]

COMPLEX_STEP = 1e-100
RELATIVE_COMPLEX_STEP = 1e-30
EPSILON = float(np.finfo(float).eps)
DIFFERENCE_STEP = EPSILON**0.2  # balances truncation, h⁴, and rounding, eps / h


class Difference(NamedTuple):
    """A derivative by central differences of fourth order.

    uncertainty : rounding errors, and what the step from second order to fourth has changed.
    """

    derivative: float
    uncertainty: float

    @property
    def precise(self) -> bool:
        """Whether it claims to be good to six digits."""
        return self.uncertainty <= 1e-6 * abs(self.derivative)


def _complex_power(op: BoundOp, inputs: Sequence[Any]) -> Any:
    """x^p next to the real axis, with the derivatives of real powers."""
    x, *exponents = inputs
    p = exponents[0] if exponents else op.attributes["exponent"]
    a, b = np.real(x), np.real(p)
    z = np.empty(np.broadcast_shapes(np.shape(x), np.shape(p)), np.complex128)
    z.real = np.power(a, b)
    slopes = [np.where(b == 0.0, 0.0, b * np.power(a, b - 1.0)) * np.ones(z.shape)]
    slopes += [np.where(a == 0.0, 0.0, z.real * np.log(a))] if np.iscomplexobj(p) else []
    z.imag = sum(
        np.where(np.imag(t) == 0.0, 0.0, slope * np.imag(t))
        for slope, t in zip(slopes, (x, p), strict=False)
    )
    return z


COMPLEX_RULES = {"power": _complex_power}
"""In place of forward rules that NumPy does not compute well on complex numbers."""


def _arrays(value: Any) -> Any:
    """What a rule gives, as an array, or as a tuple of those of several outputs."""
    return tuple(map(np.asarray, value)) if isinstance(value, tuple) else np.asarray(value)


def _is_complex(value: Any) -> bool:
    parts = value if type(value) is tuple else (value,)
    return any(map(np.iscomplexobj, parts))


def _stepped(value: Any, before: Any) -> Any:
    """A value with the real part of before: the step is too small to change it."""
    if np.iscomplexobj(value):
        value = np.array(value)
        value.real = before
    return value


class Evaluation:
    """The sum of `node` times `weights`, by the forward rules, for changed tensors."""

    def __init__(self, node: Node, tensors: Sequence[Tensor], weights: Array) -> None:
        self.node = node
        self.weights = weights
        self.order = ancestors([node, *tensors])
        self.values: dict[Node, Any] = {}
        with np.errstate(all="ignore"):
            for x in self.order:
                self.values[x] = x.value if x.op is None else self._apply(x, {})
        self.above: dict[Tensor, list[Node]] = {}

    def _apply(self, node: Node, changed: Mapping[Node, Any]) -> Any:
        assert node.op is not None
        if node.op.op.moves and not any(node.op.op.backward):  # it stops gradients
            changed = {}
        inputs = [changed.get(x, self.values[x]) for x in node.inputs]
        if not any(map(_is_complex, inputs)):
            return _arrays(node.op.forward(inputs))
        rule = COMPLEX_RULES.get(node.typename)
        found = _arrays(node.op.forward(inputs) if rule is None else rule(node.op, inputs))
        before = self.values[node]
        if type(found) is tuple:
            return tuple(map(_stepped, found, before))
        return found if node.op.op is OUTPUT_OF else _stepped(found, before)

    def _run(self, tensor: Tensor, value: Any) -> dict[Node, Any]:
        """Values of all that depends on `tensor`, which is given another value."""
        if tensor not in self.above:
            reached: set[Node] = {tensor}
            self.above = {tensor: []}
            for x in self.order:
                if not reached.isdisjoint(x.inputs):
                    reached.add(x)
                    self.above[tensor].append(x)
        changed: dict[Node, Any] = {tensor: value}
        with np.errstate(all="ignore"):
            for x in self.above[tensor]:
                changed[x] = self._apply(x, changed)
        return changed

    def is_complex(self, tensors: Iterable[Tensor]) -> bool:
        """Whether all rules above the tensors take complex numbers and keep them."""
        for tensor in tensors:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error", np.exceptions.ComplexWarning)
                    changed = self._run(tensor, self.values[tensor] + 0j)
            except (TypeError, ValueError, np.exceptions.ComplexWarning):
                return False
            for x, value in changed.items():
                # (An output that is real, a sign, may be one of several.)
                one_of_several = x.op is not None and x.op.op is OUTPUT_OF
                if not (one_of_several or _is_complex(value)) and any(
                    wanted and i in changed and _is_complex(changed[i])
                    for i, wanted in zip(x.inputs, x.needed, strict=True)
                ):
                    return False
        return True

    def by_complex_step(self, tensor: Tensor, v: Array, relative: bool = False) -> float:
        """The derivative along `v`, with a step of 1e-100, or of 1e-30 |x|."""
        h = COMPLEX_STEP
        if relative:
            x = self._scale(tensor, v) or 1.0
            h = max(RELATIVE_COMPLEX_STEP * x, min(1e-8 * x, 1e-300))
        value = self.values[tensor] + 1j * h * v
        z = self._run(tensor, value).get(self.node, self.values[self.node])
        return float(np.sum(self.weights * np.imag(z)) / h)

    def by_differences(self, tensor: Tensor, v: Array, expected: float) -> Difference:
        """The derivative along `v`, with the step that serves best.

        The first one does, if it gives what is expected, or any that claims to be precise and
        does; else the one that is least uncertain.
        """
        tried = []
        changes = np.zeros(self.node.shape, bool)  # elements that any step has changed
        for h in _steps(self._scale(tensor, v)):
            found = self._difference(tensor, v, h, changes)
            if found.precise and abs(found.derivative - expected) <= 1e-6 * abs(expected):
                return found
            tried.append(found)
        known = [d for d in tried if np.isfinite(d).all()]
        return min(known or tried, key=lambda d: d.uncertainty)

    def _scale(self, tensor: Tensor, v: Array) -> float:
        return float(np.max(np.abs(self.values[tensor]) * (v != 0.0), initial=0.0))

    def _difference(self, tensor: Tensor, v: Array, h: float, changes: Mask) -> Difference:
        # f' = (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h, error h⁴ f⁽⁵⁾ / 30
        x = self.values[tensor]

        def f(step: float) -> Any:
            return self._run(tensor, x + step * v).get(self.node, self.values[self.node])

        with np.errstate(all="ignore"):
            above, below, beyond, beneath = f(h), f(-h), f(2.0 * h), f(-2.0 * h)
            near, far = above - below, beyond - beneath
            derivative = float(np.sum(self.weights * (8.0 * near - far)) / (12.0 * h))
            second_order = float(np.sum(self.weights * near) / (2.0 * h))
            changes |= (near != 0.0) | (far != 0.0)
            size = np.sum(np.abs(self.weights * above), where=changes)
            rounding = float(2.0 * EPSILON * size / h)
        return Difference(derivative, rounding + abs(derivative - second_order))


def _steps(scale: float) -> Iterator[float]:
    """Steps to try for a number of modulus `scale`; x + h is exact, or nearly so."""
    large = max(1.0, scale)
    small = scale if 0.0 < scale < 1.0 else 1.0 if scale > 1.0 else 1e-3
    for base in (large, large / 16.0, small, small / 16.0):
        h = max(DIFFERENCE_STEP * base, 2.0 * float(np.spacing(scale)))
        yield (scale + h) - scale
