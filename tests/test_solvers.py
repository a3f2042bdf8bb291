"""SciPy's solvers with exact derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import optimize

import autodiff
from autodiff.errors import DTypeError, ShapeError


def rosenbrock(x: Any) -> Any:
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


START = np.array([-1.2, 1.0, 0.5])

METHODS = [
    "Nelder-Mead", "Powell", "CG", "BFGS", "Newton-CG", "L-BFGS-B", "TNC", "COBYLA", "SLSQP",
    "trust-constr", "dogleg", "trust-ncg", "trust-exact", "trust-krylov",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*")  # SciPy's own
@pytest.mark.parametrize("method", [None, *METHODS])
def test_methods(method: str | None) -> None:
    function = (lambda x: ((x - 1.0) ** 2).sum()) if method == "COBYLA" else rosenbrock
    options = {"maxfun" if method == "TNC" else "maxiter": 2000}
    found = autodiff.minimize(function, START, method=method, options=options)
    assert found.success, found.message
    np.testing.assert_allclose(found.x, 1.0, atol=1e-3)


def test_the_path_is_scipys_own() -> None:
    """The same gradients give the same iterates."""
    gradient = autodiff.grad(rosenbrock)
    theirs = optimize.minimize(lambda x: float(rosenbrock(x)), START, jac=gradient, method="BFGS")
    ours = autodiff.minimize(rosenbrock, START, method="BFGS")
    assert ours.nit == theirs.nit
    np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-9)


@dataclass
class Point:
    x: Any
    rest: Any


@pytest.mark.parametrize(
    ("start", "parts"),
    [
        (np.zeros((2, 2)), lambda p: (p[0, 0], p[0, 1], p[1, 0], p[1, 1])),
        ([0.0, 0.0, 0.0, 0.0], tuple),
        ((0.0, np.zeros(3)), lambda p: (p[0], *p[1])),
        ({"b": 0.0, "a": [np.zeros((1, 2)), 0.0]}, lambda p: (p["b"], *p["a"][0][0], p["a"][1])),
        (Point(0.0, np.zeros((3, 1))), lambda p: (p.x, *(row[0] for row in p.rest))),
    ],
)
def test_structures(start: Any, parts: Callable[[Any], Any]) -> None:
    wanted = [1.0, -2.0, 3.0, 0.5]

    def function(p: Any) -> Any:
        return sum((a - b) ** 2 for a, b in zip(parts(p), wanted, strict=True))

    found = autodiff.minimize(function, start)
    assert type(found.x) is (np.ndarray if isinstance(start, list) else type(start))
    np.testing.assert_allclose([float(v) for v in parts(found.x)], wanted, atol=1e-6)
    np.testing.assert_allclose(found.vector, wanted, atol=1e-6)
    errors = parts(found.standard_errors)
    np.testing.assert_allclose([float(v) for v in errors], np.sqrt(0.5), rtol=1e-12)


def test_standard_errors_of_a_regression(rng: np.random.Generator) -> None:
    X = np.concatenate([np.ones((60, 1)), rng.normal(size=(60, 2))], 1)
    y = X @ [0.5, -1.0, 2.0] + 0.3 * rng.normal(size=60)
    found = autodiff.least_squares(lambda b, X, y: X @ b - y, np.zeros(3), args=(X, y))
    best, rss = np.linalg.lstsq(X, y)[:2]
    np.testing.assert_allclose(found.x, best, rtol=1e-10)
    wanted = np.sqrt(np.diag(np.linalg.inv(X.T @ X)) * rss[0] / 57)
    np.testing.assert_allclose(found.standard_errors, wanted, rtol=1e-10)

    def likelihood(p: Any) -> Any:
        r = (X @ p["b"] - y) * autodiff.exp(-p["s"])
        return 0.5 * (r * r).sum() + 60.0 * p["s"]

    fit = autodiff.minimize(likelihood, {"b": np.zeros(3), "s": 0.0}, method="trust-exact")
    variance = rss[0] / 60
    np.testing.assert_allclose(np.exp(2.0 * fit.x["s"]), variance, rtol=1e-6)
    wanted = np.sqrt(np.diag(np.linalg.inv(X.T @ X)) * variance)
    np.testing.assert_allclose(fit.standard_errors["b"], wanted, rtol=1e-5)
    np.testing.assert_allclose(fit.standard_errors["s"], 1.0 / np.sqrt(120.0), rtol=1e-5)


def test_a_saddle_has_no_standard_errors() -> None:
    found = autodiff.minimize(lambda x: x[0] ** 2 - x[1] ** 2, [0.0, 0.0], options={"maxiter": 0})
    np.testing.assert_allclose(found.hessian, np.diag([2.0, -2.0]))
    with pytest.raises(np.linalg.LinAlgError):
        found.standard_errors  # noqa: B018


def test_bounds_and_constraints() -> None:
    bounded = autodiff.minimize(rosenbrock, START, bounds=[(None, 0.5)] * 3)
    theirs = optimize.minimize(
        lambda x: float(rosenbrock(x)),
        START,
        jac=autodiff.grad(rosenbrock),
        bounds=[(None, 0.5)] * 3,
    )
    np.testing.assert_allclose(bounded.x, theirs.x, rtol=1e-6)

    def function(p: Any) -> Any:
        return (p["x"] - 2.0) ** 2 + (p["y"] - 1.0) ** 2

    start = {"x": 0.5, "y": 0.5}
    circle = optimize.NonlinearConstraint(lambda p: p["x"] ** 2 + p["y"] ** 2, -np.inf, 1.0)
    wanted = np.array([2.0, 1.0]) / np.sqrt(5.0)
    for method in ("trust-constr", "SLSQP"):
        found = autodiff.minimize(function, start, method=method, constraints=circle)
        np.testing.assert_allclose(found.vector, wanted, atol=1e-4)
    inside = {"type": "ineq", "fun": lambda p, r: [r - p["x"] ** 2 - p["y"] ** 2], "args": (1.0,)}
    found = autodiff.minimize(function, start, method="SLSQP", constraints=[inside])
    np.testing.assert_allclose(found.vector, wanted, atol=1e-5)


def test_functions_that_branch_are_differentiated_eagerly() -> None:
    def huber(x: Any) -> Any:
        total = 0.0
        for r in (x[0] - 3.0, x[1] + 1.0):
            total = total + (0.5 * r * r if abs(float(r)) < 1.0 else autodiff.abs(r) - 0.5)
        return total

    found = autodiff.minimize(huber, [0.0, 0.0])
    np.testing.assert_allclose(found.x, [3.0, -1.0], atol=1e-4)


def test_data_and_tensors_of_the_user_stay_as_they_are(rng: np.random.Generator) -> None:
    y = rng.normal(size=5)
    before, start = y.copy(), np.zeros(5)
    weight = autodiff.Tensor(2.0)
    found = autodiff.minimize(lambda x, y: (weight.value * (x - y) ** 2).sum(), start, args=(y,))
    np.testing.assert_allclose(found.x, y, atol=1e-6)
    np.testing.assert_array_equal(y, before)
    assert not start.any()
    assert weight.value == 2.0


def test_callback() -> None:
    seen = []

    def callback(p: Any) -> None:
        seen.append(p["x"].copy())
        if len(seen) == 3:
            raise StopIteration

    found = autodiff.minimize(
        lambda p: rosenbrock(p["x"]), {"x": START}, method="BFGS", callback=callback
    )
    assert len(seen) == 3
    assert seen[-1].shape == (3,)
    np.testing.assert_array_equal(found.x["x"], seen[-1])


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    autodiff.minimize(rosenbrock, START, progress=True)
    assert "evaluations" in capsys.readouterr().err


def test_root() -> None:
    for method in ("hybr", "lm", "krylov"):
        found = autodiff.root(
            lambda p: [p["x"] * p["y"] - 2.0, p["x"] - p["y"] - 1.0],
            {"x": 1.5, "y": 0.5},
            method=method,
        )
        np.testing.assert_allclose(found.vector, [2.0, 1.0], atol=1e-5)


def test_robust_least_squares(rng: np.random.Generator) -> None:
    t = np.linspace(0.0, 3.0, 40)
    y = 2.0 * np.exp(-1.3 * t)
    y[::10] += 5.0

    def residuals(p: Any) -> Any:
        return p["a"] * autodiff.exp(-p["k"] * t) - y

    found = autodiff.least_squares(
        residuals, {"a": 1.0, "k": 1.0}, loss="soft_l1", f_scale=0.01, max_nfev=500
    )
    np.testing.assert_allclose([found.x["a"], found.x["k"]], [2.0, 1.3], atol=2e-2)


def test_errors() -> None:
    with pytest.raises(DTypeError, match="x0 has no numbers"):
        autodiff.minimize(rosenbrock, {})
    with pytest.raises(DTypeError, match="x0"):
        autodiff.minimize(rosenbrock, "abc")
    with pytest.raises(ShapeError, match=r"one number.*\(3,\)"):
        autodiff.minimize(lambda x: x * x, START)
    with pytest.raises(TypeError):
        autodiff.minimize(rosenbrock, START, jac="2-point")  # type: ignore[call-arg]
    with pytest.raises(ZeroDivisionError):
        autodiff.minimize(lambda x: x.sum() * (1 // 0), START)
