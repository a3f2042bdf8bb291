"""Checking gradients: the backward pass against a derivative that uses forward rules only.

:func:`check_gradients` runs a backward pass and compares it, element by element, with a
numerical derivative. That one comes from the complex step: f(x + ih) = f(x) + ih f'(x) + O(h²), so
with h = 1e-100 the imaginary part over h is f'(x) exact to rounding, without any
difference of nearby numbers. Where a forward rule cannot be run on complex numbers,
central differences of fourth order stand in, which are good to about ten digits.

Nothing is touched: the backward pass runs on a copy of the graph, and the tensors are not
assigned.

References
----------
Squire, Trapp, "Using complex variables to estimate derivatives of real functions", SIAM
Review 40 (1998).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff import graph
from autodiff.array import Array
from autodiff.errors import GradientError
from autodiff.node import Node, Tensor

__all__ = ["GradientReport", "Row", "TensorReport", "check_gradients"]

COMPLEX_STEP = 1e-100
DIFFERENCE_STEP = np.finfo(float).eps ** 0.2  # balances truncation, h⁴, and rounding, eps / h
TOLERANCES = {"complex": 1e-10, "differences": 1e-6}
LARGE = 1000  # elements; larger tensors are checked in random directions
DIRECTIONS = 10


@dataclass(frozen=True)
class Row:
    """One compared derivative.

    index : of the element, or the number of a random direction.
    """

    tensor: str
    index: tuple[int, ...] | int
    analytic: float
    numeric: float
    error: float


@dataclass(frozen=True)
class TensorReport:
    """What was compared for one tensor.

    Attributes
    ----------
    analytic, numeric, error : arrays of the tensor's shape, or, if it was checked in n random
        directions, of shape (n,).
    """

    name: str
    place: str
    analytic: Array
    numeric: Array
    error: Array
    in_directions: bool

    def rows(self) -> Iterator[Row]:
        """All comparisons, in the order of the elements."""
        for index in np.ndindex(self.error.shape):
            yield Row(
                self.name,
                index[0] if self.in_directions else index,
                float(self.analytic[index]),
                float(self.numeric[index]),
                float(self.error[index]),
            )


@dataclass(frozen=True)
class GradientReport:
    """The result of :func:`check_gradients`; prints as a table, true if all is well.

    Attributes
    ----------
    method : "complex" or "differences".
    tolerance : the largest relative error that is accepted.
    tensors : one report for each tensor.
    """

    method: str
    tolerance: float
    tensors: tuple[TensorReport, ...]

    @property
    def ok(self) -> bool:
        """Whether every relative error is within the tolerance."""
        return all(bool((t.error <= self.tolerance).all()) for t in self.tensors)

    def __bool__(self) -> bool:
        return self.ok

    @property
    def worst(self) -> float:
        """The largest relative error; NaN if something was not a number."""
        return float(np.max([np.max(t.error, initial=0.0) for t in self.tensors], initial=0.0))

    def rows(self) -> list[Row]:
        """All comparisons."""
        return [row for tensor in self.tensors for row in tensor.rows()]

    def failures(self) -> list[Row]:
        """The comparisons outside the tolerance, the worst first."""
        wrong = [row for row in self.rows() if not row.error <= self.tolerance]
        return sorted(wrong, key=lambda row: (row.error == row.error, -row.error))

    def __str__(self) -> str:
        failures = self.failures()
        n = sum(t.error.size for t in self.tensors)
        verdict = "ok" if self.ok else f"{len(failures)} of {n} are WRONG"
        how = {"complex": "the complex step", "differences": "central differences"}[self.method]
        lines = [
            f"gradients against {how}: {verdict}; largest relative error {self.worst:.2g}, "
            f"tolerance {self.tolerance:.2g}"
        ]
        for t in self.tensors:
            what = "random directions" if t.in_directions else "elements"
            lines.append(
                f"  {t.place}: {t.error.size} {what}, error {np.max(t.error, initial=0.0):.2g}"
            )
        if failures:
            lines.append(f"{'tensor':>16} {'index':>10} {'backward':>24} {'numeric':>24}    error")
            for row in failures[:10]:
                index = ", ".join(map(str, row.index)) if isinstance(row.index, tuple) else "any"
                lines.append(
                    f"{row.tensor:>16} {f'[{index}]':>10} {row.analytic:>24.16g} "
                    f"{row.numeric:>24.16g} {row.error:>8.2g}"
                )
            if len(failures) > 10:
                lines.append(f"  and {len(failures) - 10} more")
        return "\n".join(lines)


def check_gradients(
    function: Node | Callable[..., Node],
    tensors: Sequence[Tensor] | Mapping[str, Tensor],
    *,
    method: str | None = None,
    directions: int | None = None,
    tolerance: float | None = None,
    seed: int = 0,
    raises: bool = False,
) -> GradientReport:
    """Compare the gradients of a backward pass with a numerical derivative.

    Parameters
    ----------
    function : a node, or what makes one: it is called once, as ``function(*tensors)``. If the
        node has more than one element, the gradient is that of the sum of its elements,
        each times a fixed random factor of size 0.5 to 1.5.
    tensors : those to differentiate by; a dictionary's names are used in the report, and its
        values are the arguments of `function`.
    method : "complex" for the complex step, "differences" for central differences of fourth
        order, with a step of 7e-4 max(1, |x|). By default the complex step, unless a forward
        rule refuses complex numbers or returns real ones where it has a gradient. A rule that
        takes complex numbers but is not analytic (it uses a conjugate or a modulus) is seen
        by nobody and must be checked with "differences".
    directions : compare the derivatives in so many random directions for each tensor, in place
        of all its elements. By default 10 for tensors of more than 1000 elements. A forward
        pass is run for every element or direction (four of them for differences).
    tolerance : largest relative error; 1e-10 for the complex step, 1e-6 for differences.
        The error is relative to the larger of the two numbers, but at least to 1e-3 of the
        tensor's largest derivative, and to 1e-6 of the sum of the output's moduli: smaller
        derivatives are made of rounding errors.
    seed : of the random factors and directions.
    raises : raise GradientError, with the report as its message, unless all is well.

    Notes
    -----
    At a kink (``relu`` at 0, a tie of ``maximum``) there is no derivative, and a disagreement means
    nothing. What goes through ``stop_gradient`` counts as constant. The numerical side uses
    the rules of the op table, whatever the back end; the backward pass uses the back end
    in force, so this also checks its kernels.

    Examples
    --------
    >>> import autodiff
    >>> w = autodiff.Tensor([[0.5], [-1.0]], name="w")
    >>> report = check_gradients(lambda w: autodiff.tanh([[1.0, 2.0]] @ w).sum(), [w])
    >>> report.ok, report.worst < 1e-14
    (True, True)
    >>> for row in report.rows():
    ...     print(row.tensor, row.index, f"{row.analytic:.6f} {row.numeric:.6f}")
    w (0, 0) 0.180707 0.180707
    w (1, 0) 0.361413 0.361413
    """
    if method not in (None, *TOLERANCES):
        raise ValueError(f"check_gradients: method {method!r} is not one of {[*TOLERANCES]}")
    if directions is not None and directions < 1:
        raise ValueError(f"check_gradients: directions must be at least 1, not {directions}")
    named = tensors if isinstance(tensors, Mapping) else {t.name: t for t in tensors}
    node = function if isinstance(function, Node) else function(*named.values())
    for name, tensor in named.items():
        if not isinstance(tensor, Tensor) or tensor.constant:
            raise GradientError(f"check_gradients: {name!r} is no tensor that gets a gradient")
    random = np.random.default_rng(seed)
    weights = np.ones(node.shape)
    if node.size != 1:
        weights = random.uniform(0.5, 1.5, node.shape) * random.choice([-1.0, 1.0], node.shape)
    analytic = _backward(node, list(named.values()), weights)
    run = _Evaluation(node, list(named.values()), weights)
    used = method or ("complex" if run.is_complex(named.values()) else "differences")
    derivative = run.by_complex_step if used == "complex" else run.by_differences
    reports = []
    for (name, tensor), gradient in zip(named.items(), analytic, strict=True):
        n = directions or (DIRECTIONS if tensor.size > LARGE else None)
        if n is None:
            units = (_unit(tensor.shape, index) for index in np.ndindex(tensor.shape))
            numeric = np.array([derivative(tensor, v) for v in units]).reshape(tensor.shape)
        else:
            vectors = [random.standard_normal(tensor.shape) for _ in range(n)]
            vectors = [v / (np.linalg.norm(v) or 1.0) for v in vectors]
            gradient = np.array([np.sum(gradient * v) for v in vectors])
            numeric = np.array([derivative(tensor, v) for v in vectors])
        error = _relative_error(gradient, numeric, run.magnitude)
        reports.append(
            TensorReport(name, tensor.describe(), gradient, numeric, error, n is not None)
        )
    accepted = TOLERANCES[used] if tolerance is None else tolerance
    report = GradientReport(used, accepted, tuple(reports))
    if raises and not report.ok:
        raise GradientError(str(report))
    return report


def _backward(node: Node, tensors: Sequence[Tensor], weights: Array) -> list[Array]:
    """Gradients by the backward pass of the back end in force, on a copy of the graph."""
    twin, twins = copy.deepcopy((node, tensors))
    twin.forward()
    if not twin.needs_gradient:
        return [np.zeros(t.shape) for t in tensors]
    graph.backward({twin: weights})
    return [t.gradient if t.has_gradient else np.zeros(t.shape) for t in twins]


def _unit(shape: tuple[int, ...], index: tuple[int, ...]) -> Array:
    v = np.zeros(shape)
    v[index] = 1.0
    return v


def _relative_error(analytic: Array, numeric: Array, magnitude: float) -> Array:
    both = np.maximum(np.abs(analytic), np.abs(numeric))
    floor = 1e-3 * np.max(np.abs(numeric), initial=0.0)
    if np.isfinite(magnitude):
        floor = max(floor, 1e-6 * magnitude)
    difference = np.abs(analytic - numeric)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(difference == 0.0, 0.0, difference / np.maximum(both, floor))


class _Evaluation:
    """The sum of `node` times `weights`, by the forward rules, for changed tensors."""

    def __init__(self, node: Node, tensors: Sequence[Tensor], weights: Array) -> None:
        self.node = node
        self.weights = weights
        self.order = graph.ancestors([node, *tensors])
        self.values: dict[Node, Any] = {}
        with np.errstate(all="ignore"):
            for x in self.order:
                self.values[x] = x.value if x.op is None else self._apply(x, {})
        self.magnitude = float(np.sum(np.abs(weights * self.values[node])))
        self.above: dict[Tensor, list[Node]] = {}

    def _apply(self, node: Node, changed: Mapping[Node, Any]) -> Any:
        assert node.op is not None
        if node.typename == "stop_gradient":
            changed = {}
        inputs = [changed.get(x, self.values[x]) for x in node.inputs]
        return np.asarray(node.op.forward(inputs))

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
                if not np.iscomplexobj(value) and any(
                    wanted and i in changed and np.iscomplexobj(changed[i])
                    for i, wanted in zip(x.inputs, x.needed, strict=True)
                ):
                    return False
        return True

    def by_complex_step(self, tensor: Tensor, v: Array) -> float:
        value = self.values[tensor] + 1j * COMPLEX_STEP * v
        z = self._run(tensor, value).get(self.node, self.values[self.node])
        return float(np.sum(self.weights * np.imag(z)) / COMPLEX_STEP)

    def by_differences(self, tensor: Tensor, v: Array) -> float:
        # f' = (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h, error h⁴ f⁽⁵⁾ / 30
        x = self.values[tensor]
        h = DIFFERENCE_STEP * max(1.0, float(np.max(np.abs(x) * (v != 0.0), initial=0.0)))

        def f(step: float) -> Any:
            return self._run(tensor, x + step * v).get(self.node, self.values[self.node])

        near, far = f(h) - f(-h), f(2.0 * h) - f(-2.0 * h)
        return float(np.sum(self.weights * (8.0 * near - far)) / (12.0 * h))
