"""Checking gradients: the backward pass against a derivative that uses forward rules only.

:func:`check_gradients` runs a backward pass and compares it, element by element, with a
numerical derivative. That one comes from the complex step: f(x + ih) = f(x) + ih f'(x) + O(h²), so
with h = 1e-100 the imaginary part over h is f'(x) exact to rounding, without any
difference of nearby numbers. Where a forward rule cannot be run on complex numbers,
central differences of fourth order stand in, which are good to about ten digits.

An alarm must be worth looking at. What disagrees is looked at again with steps of other sizes, and
with central differences; and what is made of rounding errors is not compared.

Nothing is touched: the backward pass runs on a copy of the graph, and the tensors are not
assigned.

References
----------
Squire, Trapp, "Using complex variables to estimate derivatives of real functions", SIAM
Review 40 (1998).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.array import Array
from autodiff.errors import GradientError
from autodiff.graph import backward as graph
from autodiff.graph.node import Node, Tensor
from autodiff.graph.order import ancestors
from autodiff.graph.several import is_hub
from autodiff.numerical import Evaluation

__all__ = ["GradientReport", "Row", "TensorReport", "check_gradients"]

ABSOLUTE_FLOOR = 1e-150  # nearby, squares and products with steps vanish
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
        order, with a step of 7e-4 max(1, |x|), or 7e-4 |x| if that does better. By default the
        complex step, unless a forward rule refuses complex numbers or returns real ones where it
        has a gradient, or differences contradict the complex step wherever that contradicts the
        backward pass, and confirm the latter: as they do if a rule takes complex numbers but
        is not analytic (it uses a conjugate or a modulus).
    directions : compare the derivatives in so many random directions for each tensor, in place
        of all its elements. By default 10 for tensors of more than 1000 elements. A forward
        pass is run for every element or direction (four of them for differences).
    tolerance : largest relative error; 1e-10 for the complex step, 1e-6 for differences.
        The error is relative to the larger of the two numbers, but at least to 1e-3 of the
        tensor's largest derivative, to 1e-6 of the largest Σ |y · dy| of any node y with
        gradient dy (divided by 1e-12 |x| where x is huge), and to 1e-150: smaller derivatives
        are made of rounding errors.
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
    if not isinstance(node, Node):
        raise GradientError(
            f"check_gradients: the function returned a {type(node).__name__}, not a node computed "
            "from the tensors"
        )
    for name, tensor in named.items():
        if not isinstance(tensor, Tensor) or tensor.constant:
            raise GradientError(f"check_gradients: {name!r} is no tensor that gets a gradient")
    random = np.random.default_rng(seed)
    weights = np.ones(node.shape)
    if node.size != 1:
        weights = random.uniform(0.5, 1.5, node.shape) * random.choice([-1.0, 1.0], node.shape)
    analytic, magnitude = _backward(node, list(named.values()), weights)
    run = Evaluation(node, list(named.values()), weights)
    comparison = _Comparison(run, named, analytic, magnitude, directions, seed)
    used = method or ("complex" if run.is_complex(named.values()) else "differences")
    accepted = TOLERANCES[used] if tolerance is None else tolerance
    report = comparison.report(used, accepted)
    if not report.ok and method is None and used == "complex" and comparison.overruled(report):
        accepted = TOLERANCES["differences"] if tolerance is None else tolerance
        report = comparison.report("differences", accepted)
    if raises and not report.ok:
        raise GradientError(str(report))
    return report


def _backward(node: Node, tensors: Sequence[Tensor], weights: Array) -> tuple[list[Array], float]:
    """Gradients by the backward pass of the back end in force, on a copy of the graph.

    Also the size of the numbers that they are made of: the largest Σ |y · dy| of a node.
    """
    twin, twins = copy.deepcopy((node, tensors))
    twin.forward()
    if not twin.needs_gradient:
        return [np.zeros(t.shape) for t in tensors], 0.0
    graph.backward({twin: weights})
    magnitude = 0.0
    with np.errstate(all="ignore"):
        for x in ancestors([twin]):
            if x.op is None or is_hub(x) or not x.has_gradient:
                continue
            # The slope of log_softmax is g - softmax · Σ g: that has the size of g.
            y = 1.0 if x.typename == "log_softmax" else x.value
            size = float(np.sum(np.abs(y * x.gradient)))
            magnitude = max(magnitude, size) if np.isfinite(size) else magnitude
    return [t.gradient if t.has_gradient else np.zeros(t.shape) for t in twins], magnitude


def _unit(shape: tuple[int, ...], index: tuple[int, ...]) -> Array:
    v = np.zeros(shape)
    v[index] = 1.0
    return v


class _Comparison:
    """The gradients of a backward pass beside numerical derivatives.

    Each tensor is compared along its `vectors`: unit vectors, or a few random ones.
    """

    def __init__(
        self,
        run: Evaluation,
        named: Mapping[str, Tensor],
        analytic: Sequence[Array],
        magnitude: float,
        directions: int | None,
        seed: int,
    ) -> None:
        self.run = run
        self.named = named
        self.magnitude = magnitude
        self.sizes = [float(np.max(np.abs(x.value), initial=0.0)) for x in named.values()]
        self.in_directions: list[bool] = []
        self.vectors: list[list[Array]] = []
        self.analytic: list[Array] = []
        random = np.random.default_rng([seed, 1])
        for tensor, gradient in zip(named.values(), analytic, strict=True):
            n = directions or (DIRECTIONS if tensor.size > LARGE else None)
            self.in_directions.append(n is not None)
            if n is None:
                vectors = [_unit(tensor.shape, index) for index in np.ndindex(tensor.shape)]
            else:
                vectors = [random.standard_normal(tensor.shape) for _ in range(n)]
                vectors = [v / (np.linalg.norm(v) or 1.0) for v in vectors]
                gradient = np.array([np.sum(gradient * v) for v in vectors])
            self.vectors.append(vectors)
            self.analytic.append(gradient)

    def report(self, method: str, tolerance: float) -> GradientReport:
        """All tensors, compared by "complex" or by "differences"."""
        compare = self._by_complex_step if method == "complex" else self._by_differences
        reports = []
        for k, (name, tensor) in enumerate(self.named.items()):
            with np.errstate(all="ignore"):
                numeric, error = compare(k, tensor, tolerance)
            reports.append(
                TensorReport(
                    name,
                    tensor.describe(),
                    self.analytic[k],
                    numeric,
                    error,
                    self.in_directions[k],
                )
            )
        return GradientReport(method, tolerance, tuple(reports))

    def overruled(self, report: GradientReport) -> bool:
        """Whether, wherever the complex step does not confirm the backward pass, differences do.

        They must also contradict the complex step: else they are just not precise enough.
        """
        accepted = TOLERANCES["differences"]
        for k, tensor in enumerate(self.named.values()):
            compared, analytic = report.tensors[k], np.ravel(self.analytic[k])
            for i in np.flatnonzero(~(compared.error <= report.tolerance)):
                near = self.run.by_differences(tensor, self.vectors[k][i], analytic[i])
                floor = self._floor(k, compared.numeric, near.uncertainty)
                confirmed = _error(analytic[i], near.derivative, floor) <= accepted
                if not confirmed or _error(compared.numeric.flat[i], near[0], floor) <= accepted:
                    return False
        return True

    def _by_complex_step(self, k: int, tensor: Tensor, tolerance: float) -> tuple[Array, Array]:
        analytic = self.analytic[k]
        numeric = np.array([self.run.by_complex_step(tensor, v) for v in self.vectors[k]])
        numeric = numeric.reshape(analytic.shape)
        error = _error(analytic, numeric, self._floor(k, numeric))
        # Another step may do better: next to 1e-110 the first is large, and squares vanish.
        for i in np.flatnonzero(~(error <= tolerance)):
            again = self.run.by_complex_step(tensor, self.vectors[k][i], relative=True)
            lost = again == 0.0 and np.isfinite(numeric.flat[i])
            if not lost and _error(analytic.flat[i], again, self._floor(k, numeric)) <= tolerance:
                numeric.flat[i] = again
        return numeric, _error(analytic, numeric, self._floor(k, numeric))

    def _by_differences(self, k: int, tensor: Tensor, tolerance: float) -> tuple[Array, Array]:
        analytic, vectors = self.analytic[k], self.vectors[k]
        found = [
            self.run.by_differences(tensor, v, g)
            for v, g in zip(vectors, np.ravel(analytic), strict=True)
        ]
        numeric = np.reshape([d.derivative for d in found], analytic.shape)
        uncertainty = np.reshape([d.uncertainty for d in found], analytic.shape)
        return numeric, _error(analytic, numeric, self._floor(k, numeric, uncertainty))

    def _floor(self, k: int, numeric: Array, uncertainty: Any = 0.0) -> Any:
        """What an error is relative to, at least."""
        finite = np.abs(numeric[np.isfinite(numeric)])
        # Nothing varies within the spacing of its argument: far out, derivatives are smaller.
        scale = max(1.0, 1e-12 * self.sizes[k])
        least = max(1e-3 * np.max(finite, initial=0.0), 1e-6 * self.magnitude / scale)
        least = max(least, ABSOLUTE_FLOOR)
        return np.maximum(least, uncertainty / TOLERANCES["differences"])


def _error(analytic: Any, numeric: Any, floor: Any) -> Any:
    both = np.maximum(np.abs(analytic), np.abs(numeric))
    difference = np.abs(analytic - numeric)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(difference == 0.0, 0.0, difference / np.maximum(both, floor))
