"""Distributions against SciPy's: values, supports, parameters; gradients by differences."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import scipy.stats

import autodiff
from autodiff import Tensor
from autodiff.declare import NAMES

SHAPES: dict[str, dict[str, float]] = {
    "norm": {}, "halfnorm": {}, "lognorm": {"s": 0.7}, "t": {"df": 3.5}, "cauchy": {},
    "vonmises": {"kappa": 1.3}, "expon": {}, "weibull_min": {"c": 1.7}, "rayleigh": {},
    "pareto": {"b": 2.3}, "gompertz": {"c": 0.8}, "gumbel_r": {}, "gumbel_l": {}, "logistic": {},
    "fisk": {"c": 2.1}, "uniform": {}, "laplace": {}, "gamma": {"a": 1.6}, "chi2": {"df": 3.3},
    "invgamma": {"a": 2.4}, "beta": {"a": 1.4, "b": 2.7}, "poisson": {"mu": 2.6},
    "binom": {"n": 7.0, "p": 0.3}, "bernoulli": {"p": 0.3}, "nbinom": {"n": 2.5, "p": 0.4},
    "geom": {"p": 0.35},
}  # fmt: skip

SERVED = sorted(
    tuple(name.split(".")[2:])
    for name in NAMES
    if name.startswith("scipy.stats.") and name.split(".")[2] in SHAPES
)
DISCRETE = {"poisson", "binom", "bernoulli", "nbinom", "geom"}
REAL = [(name, function) for name, function in SERVED if name not in DISCRETE]

functions = pytest.mark.parametrize(("name", "function"), SERVED)
# SciPy's own logarithms of probabilities are of rounded ones, or of its own formulas.
RTOL = 2e-12


def ours(name: str, function: str) -> Any:
    return NAMES[f"scipy.stats.{name}.{function}"]


def theirs(name: str, function: str, *given: Any, **named: Any) -> Any:
    with np.errstate(all="ignore"):
        return getattr(getattr(scipy.stats, name), function)(*given, **named)


def points(name: str) -> np.ndarray:
    if name in DISCRETE:
        return np.arange(-2.0, 11.0)
    return np.array([-3.0, -0.4, 0.0, 1e-9, 0.3, 0.5, 1.0, 1.3, 2.5, 6.0, np.inf, -np.inf, np.nan])


def test_every_distribution_is_tested() -> None:
    named = {name.split(".")[2] for name in NAMES if name.startswith("scipy.stats.")}
    assert named - {"dirichlet", "multivariate_normal"} == set(SHAPES)


@functions
def test_values_are_scipys(name: str, function: str) -> None:
    x, shapes = points(name), SHAPES[name]
    found = ours(name, function)(Tensor(x), **shapes)
    np.testing.assert_allclose(found.value, theirs(name, function, x, **shapes), rtol=RTOL)
    more = {"loc": 1.0} if name in DISCRETE else {"loc": 0.4, "scale": 1.7}
    found = ours(name, function)(Tensor(x), **shapes, **more)
    np.testing.assert_allclose(
        found.value, theirs(name, function, x, **shapes, **more), rtol=RTOL, atol=1e-15
    )


@functions
def test_the_signature_is_scipys(name: str, function: str) -> None:
    given = list(inspect.signature(ours(name, function)).parameters)
    shapes = getattr(scipy.stats, name).shapes
    own = [] if shapes is None else shapes.split(", ")
    first = "k" if name in DISCRETE else "x"
    assert given == [first, *own, "loc", *([] if name in DISCRETE else ["scale"])]
    x = points(name)[:2]
    by_position = ours(name, function)(Tensor(x), *SHAPES[name].values(), 0.0)
    by_name = ours(name, function)(Tensor(x), **SHAPES[name])
    np.testing.assert_array_equal(by_position.value, by_name.value)


@functions
def test_wrong_parameters_give_nan(name: str, function: str) -> None:
    shapes = dict.fromkeys(SHAPES[name], -1.0)
    if name not in DISCRETE:
        found = ours(name, function)(Tensor([0.5]), **SHAPES[name], scale=-1.0)
        assert np.isnan(found.value).all()
    if shapes:
        assert np.isnan(ours(name, function)(Tensor([2.0]), **shapes).value).all()


@functions
def test_gradients_by_differences(name: str, function: str) -> None:
    x = np.array([0.23, 0.6, 0.9]) + (1.0 if name == "pareto" else 0.0)
    given: dict[str, Any] = {"x": x, **SHAPES[name], "loc": 0.05, "scale": 1.2}
    if name in DISCRETE:
        given = {"k": np.array([1.0, 3.0, 4.0]) if name != "bernoulli" else np.ones(3)}
        given |= SHAPES[name]
    tensors = {k: Tensor(v) for k, v in given.items()}
    value = ours(name, function)(**tensors).sum()
    order = [k for k in given if k not in ("k", "n")]
    found = autodiff.gradients(value, [tensors[k] for k in order])

    def at(k: str, step: Any) -> Any:
        return theirs(name, function, **{**given, k: given[k] + step})

    for k, g in zip(order, found, strict=True):
        h = 1e-3
        near, far = at(k, h) - at(k, -h), at(k, 2 * h) - at(k, -2 * h)
        nearer = at(k, h / 2) - at(k, -h / 2)
        rough, fine = (8.0 * near - far) / (12.0 * h), (8.0 * nearer - near) / (6.0 * h)
        slope = fine + (fine - rough) / 15.0
        g = np.asarray(getattr(g, "value", g))
        np.testing.assert_allclose(g.sum(), slope.sum(), rtol=1e-9, atol=1e-10, err_msg=k)


@pytest.mark.parametrize(("name", "function"), REAL)
def test_gradients_outside_of_the_support_are_zero(name: str, function: str) -> None:
    low, high = getattr(scipy.stats, name)(**SHAPES[name]).support()
    if name == "vonmises" or not np.isfinite(low):
        pytest.skip("the support has no end")
    x = Tensor([low - 1.0] + ([high + 1.0] if np.isfinite(high) else []))
    scale = Tensor(1.0)
    value = ours(name, function)(x, **SHAPES[name], scale=scale)
    for g in autodiff.gradients(value.sum(), [x, scale]):
        np.testing.assert_array_equal(np.asarray(getattr(g, "value", g)), 0.0)


def test_logarithms_of_what_has_gone_to_zero() -> None:
    x = Tensor([40.0, -40.0])
    np.testing.assert_allclose(
        ours("norm", "logsf")(x).value, scipy.stats.norm.logsf([40.0, -40.0]), rtol=1e-14
    )
    np.testing.assert_allclose(ours("expon", "logcdf")(Tensor([1e-20])).value, np.log(1e-20))
    np.testing.assert_allclose(ours("gumbel_r", "logcdf")(Tensor([-8.0])).value, -np.exp(8.0))
    np.testing.assert_allclose(ours("logistic", "logsf")(Tensor([800.0])).value, -800.0)


def test_parameters_broadcast() -> None:
    x, a = np.array([0.5, 1.5, 2.5]), np.array([[1.0], [2.0]])
    found = ours("gamma", "logpdf")(x, Tensor(a), scale=[1.0, 2.0, 3.0])
    expected = scipy.stats.gamma.logpdf(x, a, scale=[1.0, 2.0, 3.0])
    np.testing.assert_allclose(found.value, expected, rtol=1e-13)


@pytest.mark.parametrize("function", ["pdf", "logpdf"])
def test_dirichlet(function: str) -> None:
    alpha, x = np.array([1.5, 2.0, 0.7]), np.array([[0.2, 0.5], [0.3, 0.1], [0.5, 0.4]])
    for point in (x, x[:, 0]):
        found = ours("dirichlet", function)(point, Tensor(alpha))
        expected = getattr(scipy.stats.dirichlet, function)(point, alpha)
        np.testing.assert_allclose(found.value, expected, rtol=1e-13)
    with pytest.raises(autodiff.errors.ShapeError, match="3 rows"):
        ours("dirichlet", function)(x[:2], Tensor(alpha))


@pytest.mark.parametrize("function", ["pdf", "logpdf"])
def test_multivariate_normal(function: str, rng: np.random.Generator) -> None:
    root, mean = rng.normal(size=(3, 3)), rng.normal(size=3)
    cov = root @ root.T + np.eye(3)
    for x in (rng.normal(size=(5, 3)), rng.normal(size=3), rng.normal(size=(2, 4, 3))):
        for c in (cov, 2.0, np.array([1.0, 2.0, 3.0])):
            tensor = Tensor(c)
            found = ours("multivariate_normal", function)(x, mean, tensor)
            expected = getattr(scipy.stats.multivariate_normal, function)(x, mean, c)
            np.testing.assert_allclose(found.value, expected, rtol=1e-12)
    (g,) = autodiff.gradients(
        ours("multivariate_normal", "logpdf")(x, mean, tensor).sum(), [tensor]
    )
    assert np.asarray(getattr(g, "value", g)).shape == (3,)
