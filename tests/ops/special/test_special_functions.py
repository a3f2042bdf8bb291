"""Special functions against a table: values and derivatives with sixty digits, rounded.

The table was made with mpmath, whose differences at sixty digits know nothing of our formulas.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special

import autodiff
from autodiff import Tensor
from autodiff.declare import NAMES
from autodiff.errors import DTypeError, GradientError

TABLE = json.loads((Path(__file__).parent / "reference.json").read_text())
FIRST = 3e-11  # relative; of the worst, the beta function's derivatives by its shapes
SECOND = 1e-8


def function(name: str) -> Any:
    return NAMES[f"scipy.special.{name}"]


@pytest.mark.parametrize("name", TABLE)
def test_values_and_first_derivatives(name: str) -> None:
    for inputs, value, slopes, _ in TABLE[name]:
        tensors = [Tensor(x) for x in inputs]
        z = function(name)(*tensors)
        np.testing.assert_allclose(z.value, value, rtol=2e-12, atol=1e-15)
        found = [float(g.value) for g in autodiff.gradients(z, tensors)]
        np.testing.assert_allclose(found, slopes, rtol=FIRST, atol=1e-13)
        with autodiff.use_backend("reference"):
            again = [float(g.value) for g in autodiff.gradients(function(name)(*tensors), tensors)]
        np.testing.assert_allclose(again, found, rtol=1e-13)


@pytest.mark.parametrize("name", TABLE)
def test_compiled_steps_give_the_same(name: str) -> None:
    n = len(TABLE[name][0][0])
    step = autodiff.compile(autodiff.value_and_grad(function(name), argnums=tuple(range(n))))
    for inputs, _, slopes, _ in TABLE[name]:
        value, found = step(*[np.asarray(x) for x in inputs])
        np.testing.assert_allclose(value, function(name)(*map(Tensor, inputs)).value, rtol=1e-14)
        np.testing.assert_allclose(found, slopes, rtol=FIRST, atol=1e-13)


@pytest.mark.parametrize("name", TABLE)
def test_second_derivatives(name: str) -> None:
    for inputs, _, slopes, curvatures in TABLE[name]:
        tensors = [Tensor(x) for x in inputs]
        first = autodiff.gradients(function(name)(*tensors), tensors)
        scale = 1e-3 * np.abs(slopes).max()
        for g, expected in zip(first, curvatures, strict=True):
            found = [float(h.value) for h in autodiff.gradients(g, tensors)]
            np.testing.assert_allclose(found, expected, rtol=SECOND, atol=1e-6 * scale)


def test_functions_are_scipys() -> None:
    for name in TABLE:
        x = [np.array([row[0][i] for row in TABLE[name]]) for i in range(len(TABLE[name][0][0]))]
        tensors = [Tensor(v) for v in x]
        theirs = getattr(scipy.special, name)
        np.testing.assert_array_equal(theirs(*tensors).value, theirs(*x), err_msg=name)


# ---- edges ----------------------------------------------------------------------------


def slope(name: str, *inputs: float, by: int = 0) -> float:
    tensors = [Tensor(x) for x in inputs]
    return float(autodiff.gradients(function(name)(*tensors), tensors)[by].value)


def test_edges() -> None:
    assert slope("xlogy", 0.0, 0.0, by=1) == 0.0
    assert slope("xlogy", 0.0, 2.0) == np.log(2.0)
    assert slope("xlog1py", 0.0, -1.0, by=1) == 0.0
    assert slope("entr", 0.0) == np.inf
    assert slope("rel_entr", 0.0, 0.0, by=1) == 0.0
    assert slope("kl_div", 2.0, 2.0) == 0.0
    assert slope("erfinv", 1.0) == np.inf
    assert slope("ndtri", 0.0) == np.inf
    assert slope("log_ndtr", -1e6) == pytest.approx(1e6, rel=1e-11)
    assert slope("log_ndtr", 50.0) == 0.0
    # 1 / Γ is 0 at -2, where it rises by 2!.
    assert slope("rgamma", -2.0) == 2.0
    assert slope("rgamma", -3.0) == -6.0
    assert slope("gammainc", 2.0, 0.0) == 0.0
    assert slope("gammainc", 1.0, 0.0, by=1) == 1.0
    assert slope("betainc", 1.0, 3.0, 0.0, by=2) == 3.0
    assert slope("i1", 0.0) == 0.5
    # P(0, x) is 1, and falls by E1(x).
    assert slope("gammainc", 0.0, 1.5) == pytest.approx(-scipy.special.exp1(1.5), rel=1e-14)


def test_large_shapes() -> None:
    # Against the table's program, with sixty digits.
    assert slope("gammaincc", 1e5, 100300.0) == pytest.approx(0.0008039282123635643, rel=1e-11)
    assert np.isnan(slope("gammainc", 1e12, 1e12))  # not computed, and said so


def test_polygamma_and_zeta() -> None:
    x = np.array([0.3, 1.0, 4.5, -0.7])
    for n in range(5):
        found = function("polygamma")(n, Tensor(x)).value
        np.testing.assert_allclose(found, scipy.special.polygamma(n, x), rtol=1e-13)
    np.testing.assert_allclose(
        function("zeta")(3.0, Tensor([2.0, 0.5])).value, scipy.special.zeta(3.0, [2.0, 0.5])
    )
    assert slope("digamma", -40.3) == pytest.approx(
        float(scipy.special.polygamma(1, -40.3)), rel=1e-12
    )
    with pytest.raises(DTypeError, match="polygamma: n must be one whole number"):
        function("polygamma")(0.5, Tensor(x))
    with pytest.raises(GradientError, match="no derivative by x"):
        function("zeta")(Tensor(3.0), 2.0)


def test_a_derivative_that_is_not_there_is_refused_by_name() -> None:
    a, x = Tensor(2.0), Tensor(1.5)
    first = autodiff.gradients(function("gammainc")(a, x), a)
    second = autodiff.gradients(first, a)
    assert np.isfinite(float(second.value))
    with pytest.raises(GradientError, match="third derivative of gammainc by its shape a"):
        autodiff.gradients(second, a)
    assert np.isfinite(float(autodiff.gradients(second, x).value))
    for name in ("iv", "ive", "jv", "yv", "kv", "kve"):
        with pytest.raises(GradientError, match=f"{name}: there is no derivative by v"):
            function(name)(Tensor(1.0), x)
        assert function(name)(1.0, x).value == getattr(scipy.special, name)(1.0, 1.5)


# ---- functions that are said with ops --------------------------------------------------


def test_logsumexp() -> None:
    a, b = (
        np.array([[1.0, 800.0, -np.inf], [0.5, 2.0, 3.0]]),
        np.array([[1.0, 0.0, 2.0], [3.0, 1.0, 2.0]]),
    )
    for axis in (0, 1, None, (0, 1), -1):
        for keepdims in (False, True):
            found = function("logsumexp")(Tensor(a), axis=axis, b=b, keepdims=keepdims)
            expected = scipy.special.logsumexp(a, axis=axis, b=b, keepdims=keepdims)
            np.testing.assert_allclose(found.value, expected, rtol=1e-14)
    b = np.array([1.0, -3.0, 0.5])
    value, sign = function("logsumexp")(Tensor(a[1]), b=Tensor(b), return_sign=True)
    expected, expected_sign = scipy.special.logsumexp(a[1], b=b, return_sign=True)
    np.testing.assert_allclose(value.value, expected)
    assert sign.value == expected_sign
    # At b = 0 its gradient is e^a / Σ, not 0.
    weights = Tensor([1.0, 0.0])
    total = function("logsumexp")(np.array([0.0, 1.0]), b=weights)
    np.testing.assert_allclose(autodiff.gradients(total, weights).value, [1.0, np.e])


def test_softmax_over_all_axes() -> None:
    x = np.array([[1.0, 2.0], [3.0, 0.5]])
    for name in ("softmax", "log_softmax"):
        for axis in (None, 0, 1):
            found = function(name)(Tensor(x), axis=axis)
            expected = getattr(scipy.special, name)(x, axis=axis)
            np.testing.assert_allclose(found.value, expected, rtol=1e-14)


def test_combinations() -> None:
    k = np.array([-1.0, 0.0, 2.0, 5.0, 6.0])
    for repetition in (False, True):
        found = function("comb")(5.0, Tensor(k), repetition=repetition)
        expected = scipy.special.comb(5.0, k, repetition=repetition)
        np.testing.assert_allclose(found.value, expected)
    found = function("factorial")(Tensor([-1.0, 0.0, 4.0]))
    np.testing.assert_allclose(found.value, [0.0, 1.0, 24.0])
    found = function("multigammaln")(Tensor([3.0, 4.5]), 3)
    np.testing.assert_allclose(found.value, scipy.special.multigammaln([3.0, 4.5], 3))
    x = np.array([-800.0, -1.0, 0.0, 30.0])
    np.testing.assert_allclose(
        function("log_expit")(Tensor(x)).value, scipy.special.log_expit(x), rtol=1e-15
    )


@pytest.mark.parametrize("name", ["gammaincinv", "gammainccinv", "betaincinv"])
def test_inverses(name: str) -> None:
    inputs = [2.3, 0.4] if name.startswith("gamma") else [1.7, 2.2, 0.4]
    for i in range(len(inputs)):

        def at(step: float, i: int = i) -> Any:
            moved = [x + step * (k == i) for k, x in enumerate(inputs)]
            return getattr(scipy.special, name)(*moved)

        h = 1e-4
        expected = (8.0 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12.0 * h)
        assert slope(name, *inputs, by=i) == pytest.approx(expected, rel=1e-9)


def test_logarithms_of_incomplete_functions() -> None:
    from autodiff.ops.special.log_incomplete import betaincln, gammainccln, gammaincln

    for function_, exact, inputs in (
        (gammaincln, scipy.special.gammainc, (2.0, 0.3)),
        (gammainccln, scipy.special.gammaincc, (2.0, 9.0)),
        (betaincln, scipy.special.betainc, (2.0, 3.0, 0.4)),
    ):
        tensors = [Tensor(x) for x in inputs]
        z = function_(*tensors)
        np.testing.assert_allclose(z.value, np.log(exact(*inputs)), rtol=1e-14)
    a, x = Tensor(2.0), Tensor(60.0)
    q = float(scipy.special.gammaincc(2.0, 60.0))
    np.testing.assert_allclose(gammaincln(a, x).value, -q, rtol=1e-13)


# ---- where SciPy's functions are found -------------------------------------------------


def test_functions_that_are_not_found_are_called_by_way_of_python() -> None:
    core = pytest.importorskip("autodiff._core")
    from scipy.special import cython_special

    capsules = cython_special.__pyx_capi__
    found = core._scipy_functions(capsules)
    assert all(found.values())
    assert not any(core._scipy_functions({}).values())
    other = {k: v for k, v in capsules.items() if "gammaln" not in k}
    assert [k for k, v in core._scipy_functions(other).items() if not v] == ["gammaln"]
    # One of another signature is none: of floats, or of complex numbers.
    floats = {"__pyx_fuse_0betainc": capsules["__pyx_fuse_1betainc"]}
    names = [k for k, v in core._scipy_functions(floats).items() if v]
    assert names in ([], ["betainc"])
    number = list(found).index("gammaln")
    assert core._asked(number, 4.0) == scipy.special.gammaln(4.0)
    number = list(found).index("betainc")
    assert core._asked(number, 2.0, 3.0, 0.4) == scipy.special.betainc(2.0, 3.0, 0.4)
