"""The gradient check: says yes to right rules, no to wrong ones, and touches nothing."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

import autodiff
from autodiff import nn
from autodiff.check import check_gradients
from autodiff.declare import declare
from autodiff.errors import AutodiffError, GradientError
from autodiff.graph import naming
from autodiff.op import OPS, Example, Sample


@pytest.fixture(autouse=True)
def names_are_free(monkeypatch):
    """Nodes of other tests that still live must not take the names that are looked for."""
    monkeypatch.setattr(naming, "_named", weakref.WeakValueDictionary())


@pytest.fixture
def new_op():
    """Declares ops that leave the table when the test ends; they run on the reference."""
    before = dict(OPS)
    with autodiff.use_backend("reference"):
        yield lambda function, backward, **options: declare(
            backward=backward, examples=[Example((Sample((3,)),))], **options
        )(function)
    OPS.clear()
    OPS.update(before)


def cube(x):
    """z = x³."""
    return x**3


# ---- yes ------------------------------------------------------------------------------


def test_a_network_with_shared_weights(backend, rng):
    lstm = nn.LSTM(2, 4, random=0)
    _, (h, c) = nn.unroll(lstm, rng.normal(size=(3, 2, 2)), *lstm.initial_state(2))
    report = check_gradients(h + c, lstm.named_parameters())
    assert report
    assert report.ok
    assert report.method == "complex"
    assert report.worst < 1e-12
    assert [t.name for t in report.tensors] == [*lstm.named_parameters()]
    rows = report.rows()
    assert len(rows) == sum(t.size for t in lstm.parameters())
    assert rows[1].index == (0, 1)
    assert not report.failures()
    assert str(report).startswith("gradients against the complex step: ok")


def test_differences_agree_with_the_complex_step():
    x = autodiff.Tensor([0.5, -20.0, 3000.0], name="x")
    node = autodiff.sin(x * 0.01) * x
    exact = check_gradients(node, [x])
    near = check_gradients(node, [x], method="differences")
    assert exact.ok
    assert near.ok
    assert (exact.method, near.method) == ("complex", "differences")
    np.testing.assert_allclose(near.tensors[0].numeric, exact.tensors[0].numeric, rtol=1e-9)
    assert not np.array_equal(near.tensors[0].numeric, exact.tensors[0].numeric)


def test_a_function_is_called_once_with_the_tensors():
    calls = []

    def function(x, y):
        calls.append((x, y))
        return x * y

    x, y = autodiff.Tensor([2.0, 3.0]), autodiff.Tensor(4.0)
    assert check_gradients(function, {"first": x, "second": y}).ok
    assert calls == [(x, y)]


def test_second_derivatives():
    x = autodiff.Tensor([0.3, -0.7])
    (slope,) = autodiff.gradients(autodiff.tanh(x).sum(), [x])
    assert check_gradients(slope, [x]).ok


def test_a_tensor_of_no_influence_has_gradient_zero():
    x, y = autodiff.Tensor([1.0]), autodiff.Tensor([[2.0, 3.0]], name="idle")
    report = check_gradients(x * x, [x, y])
    assert report.ok
    assert not report.tensors[1].analytic.any()
    node = autodiff.stop_gradient(x)
    assert check_gradients(node, [x]).ok
    assert check_gradients(node * node, [x], method="differences").ok
    assert check_gradients(autodiff.stop_gradient(x * x) * x, [x]).ok


def test_rounding_errors_are_not_taken_for_gradients():
    x = autodiff.Tensor(np.linspace(-3.0, 3.0, 7))
    report = check_gradients((autodiff.softmax(x) * 0.7).sum(), [x])  # the gradient is 0
    assert report.ok
    assert report.tensors[0].numeric.any()


def test_empty_tensors():
    x, y = autodiff.Tensor(np.zeros((0, 3))), autodiff.Tensor([1.0])
    report = check_gradients(x.sum() + y, [x, y])
    assert report.ok
    assert report.worst < 1e-12
    assert check_gradients(y * y, []).ok


def test_large_tensors_are_checked_in_random_directions():
    x = autodiff.Tensor(np.linspace(-1.0, 1.0, 1001), name="x")
    y = autodiff.Tensor(2.0)
    node = autodiff.exp(x) * y
    report = check_gradients(node, [x, y])
    assert report.ok
    assert [t.in_directions for t in report.tensors] == [True, False]
    assert len(report.tensors[0].error) == 10
    assert [row.index for row in report.tensors[0].rows()] == list(range(10))
    few = check_gradients(node, [x, y], directions=3)
    assert [len(t.error) for t in few.tensors] == [3, 3]
    assert "3 random directions" in str(few)
    other = check_gradients(node, [x, y], directions=3, seed=1)
    assert other.tensors[0].numeric[0] != few.tensors[0].numeric[0]


def test_nothing_is_touched():
    x = autodiff.Tensor([1.0, 2.0])
    y = x * x
    total = y.sum()
    total.forward()
    y.register("outside")
    total.backward()
    before = x.value
    waiting = (y.awaited, y.waiting_for, y.summed)
    check_gradients(total, [x])
    check_gradients(total, [x], method="differences")
    assert (y.awaited, y.waiting_for, y.summed) == waiting
    assert x.value.base is before.base
    np.testing.assert_array_equal(x.value, [1.0, 2.0])
    y.backward([0.0, 0.0], sender="outside")
    np.testing.assert_array_equal(x.gradient, [2.0, 4.0])


def test_long_chains():
    x = autodiff.Tensor(0.5)
    y = x
    for _ in range(3000):
        y = autodiff.sin(y)
    assert check_gradients(y, [x]).ok


# ---- no -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [None, "differences"])
def test_a_wrong_rule_is_found(new_op, method):
    wrong = new_op(cube, lambda g, z, x: g * (3.0001 * x * x), reads="x")
    x = autodiff.Tensor([1.0, 0.0, -2.0], name="x")
    report = check_gradients(wrong, [x], method=method)
    assert not report
    assert not report.ok
    assert {row.index for row in report.failures()} == {(0,), (2,)}
    row = report.rows()[2]
    assert row.analytic / row.numeric == pytest.approx(3.0001 / 3.0)
    assert row.error == pytest.approx(1e-4 / 3.0001, rel=1e-3)
    text = str(report)
    assert "2 of 3 are WRONG" in text
    assert f"[{row.index[0]}]" in text
    assert f"{row.analytic:.16g}" in text
    assert not check_gradients(wrong, [x], method=method, directions=2).ok
    assert check_gradients(wrong, [x], method=method, tolerance=1e-3).ok
    assert not check_gradients(wrong, [x], method=method, tolerance=0.0).ok
    with pytest.raises(GradientError, match="2 of 3 are WRONG"):
        check_gradients(wrong, [x], method=method, raises=True)


def test_a_forgotten_rule_is_found(new_op):
    x = autodiff.Tensor([1.0, 2.0, 3.0])
    report = check_gradients(new_op(cube, None), [x])
    assert report.method == "complex"
    assert len(report.failures()) == 3


def test_not_a_number_is_wrong(new_op):
    nan = new_op(cube, lambda g, z, x: g * np.array([np.nan, 3.0, 12.0]))
    report = check_gradients(nan, [autodiff.Tensor([0.5, 1.0, 2.0])])
    assert not report.ok
    assert np.isnan(report.worst)
    assert [row.index for row in report.failures()] == [(0,)]
    x = autodiff.Tensor([0.0, 1.0, 2.0])
    overflow = check_gradients(autodiff.exp(x * 1000.0) * x, [x])
    assert not overflow.ok


def test_an_infinite_output_excuses_nothing(new_op):
    def shifted(x):
        """z = x³, but infinite at 0."""
        return np.where(x.real == 0.0, np.inf, x**3)

    wrong = new_op(shifted, lambda g, z, x: g * (2.0 * x * x), reads="x")
    report = check_gradients(wrong, [autodiff.Tensor([0.0, 1.0, 2.0])])
    assert {row.index for row in report.failures()} >= {(1,), (2,)}


def test_the_worst_failures_come_first(new_op):
    wrong = new_op(cube, lambda g, z, x: g * (3.0 * x * x + x * 1e-3), reads="x")
    x = autodiff.Tensor(np.linspace(1.0, 2.0, 20))
    report = check_gradients(wrong, [x])
    errors = [row.error for row in report.failures()]
    assert errors == sorted(errors, reverse=True)
    assert str(report).endswith("and 10 more")


# ---- where the complex step cannot be used --------------------------------------------


def refuses(x):
    """z = x³, not for complex x."""
    if np.iscomplexobj(x):
        raise TypeError("real numbers only")
    return x**3


def drops(x):
    """z = x³, of the real part."""
    return x.real**3


def discards(x):
    """z = x³, by conversion."""
    return x.astype(np.float64) ** 3


@pytest.mark.parametrize("function", [refuses, drops, discards])
def test_differences_stand_in(new_op, function):
    right = new_op(function, lambda g, z, x: g * (3.0 * x * x), reads="x")
    report = check_gradients(right, [autodiff.Tensor([1.0, 0.0, -2.0])])
    assert report.ok
    assert report.method == "differences"


@pytest.mark.parametrize("function", [drops, discards])
def test_a_wrong_rule_without_the_complex_step(new_op, function):
    wrong = new_op(function, lambda g, z, x: g * (3.1 * x * x), reads="x")
    assert not check_gradients(wrong, [autodiff.Tensor([1.0, 0.0, -2.0])]).ok


def test_comparisons_do_not_prevent_the_complex_step():
    x = autodiff.Tensor([1.0, -2.0, 0.5])
    node = autodiff.where(autodiff.greater(x, 0.7), x * x, autodiff.relu(x) + autodiff.abs(x))
    report = check_gradients(node, [x])
    assert report.ok
    assert report.method == "complex"


def test_the_complex_step_at_tiny_numbers():
    x = autodiff.Tensor([1e-40, 1e-20])
    assert check_gradients(autodiff.log(x), [x]).ok


def test_refusals():
    x = autodiff.Tensor([1.0])
    with pytest.raises(ValueError, match="method 'exact'"):
        check_gradients(x * x, [x], method="exact")
    with pytest.raises(ValueError, match="directions must be at least 1"):
        check_gradients(x * x, [x], directions=0)
    for bad in (x * x, autodiff.Tensor([1.0], constant=True)):
        with pytest.raises(GradientError, match="no tensor that gets a gradient"):
            check_gradients(x * x, [bad])
    with pytest.raises(AutodiffError):
        check_gradients(lambda y: y * y, [autodiff.Tensor(shape=(2,))])
    with pytest.raises(GradientError, match="returned a float"):
        check_gradients(lambda y: 3.0, [x])


def test_a_new_op_has_nothing_of_a_dead_one_of_its_name(new_op):
    first = new_op(cube, lambda g, z, x: 3.0 * g * x**2, reads="x").op
    bound = first.bind()
    del OPS["cube"]
    second = new_op(cube, lambda g, z, x: g, reads="x").op
    assert second.bind().op is second
    assert second.bind() is second.bind()
    assert first.bind() is bound


# ---- no false alarms ------------------------------------------------------------------

POWERS = [
    (3.0, [0.0, 1.5, -2.0, 1e-80, -1e90]),
    (5.0, [0.0, -0.5]),
    (121.0, [-1.01, 1.01, -0.3]),
    (120.0, [-1.01]),
    (-121.0, [-1.01]),
    (-1.0, [-1e-120, 1e70, -3.0]),
    (2.0, [0.0, 1e-200, 1e150]),
    (2.5, [0.0, 1e-60, 1e60, 2.0]),
    (1.0, [0.0, -1.0]),
    (0.0, [0.0, -1.0]),
    (-0.5, [1e-200, 1e200]),
]


@pytest.mark.parametrize(("exponent", "points"), POWERS, ids=[str(p) for p, _ in POWERS])
def test_powers_by_the_complex_step(exponent, points):
    """NumPy's complex power goes by way of the logarithm: of -1.01 ** 121 it leaves noise."""
    report = check_gradients(lambda x: x**exponent, [autodiff.Tensor(points)])
    assert report.ok, str(report)
    assert report.method == "complex"
    for x in points:  # each alone: no other sets the scale
        assert check_gradients(lambda x: x**exponent, [autodiff.Tensor([x])], method="complex").ok


@pytest.mark.parametrize("exponent", [3.0, 121.0, -121.0, 2.5])
def test_a_wrong_power_is_found(new_op, exponent):
    def power_of(x):
        """z = x^p."""
        return x**exponent

    right = new_op(power_of, lambda g, z, x: g * (exponent * x ** (exponent - 1.0)), reads="x")
    del OPS["power_of"]
    wrong = new_op(power_of, lambda g, z, x: g * (1.001 * exponent * z / x), reads="z x")
    points = [autodiff.Tensor([1.01 if exponent == 2.5 else -1.01])]
    assert check_gradients(right, points).ok  # its own rule, on complex numbers, is no good
    assert not check_gradients(wrong, points).ok
    assert not check_gradients(wrong, points, method="differences").ok


def test_an_exponent_that_is_a_node():
    base, exponent = autodiff.Tensor([0.5, 2.0]), autodiff.Tensor([3.0, -1.5])
    report = check_gradients(autodiff.power(base, exponent), [base, exponent])
    assert report.ok
    assert report.method == "complex"


QUIET = {
    "a product at 0": (lambda x: x * x * x, [0.0]),
    "log1p near 0": (lambda x: autodiff.log1p(x) * autodiff.log1p(x), [1e-20, 1e-12, 0.0]),
    "expm1 near 0": (lambda x: autodiff.expm1(x) * autodiff.expm1(x), [1e-200, 1e-20, 0.0, 1e-8]),
    "log of tiny and huge": (autodiff.log, [1e-200, 1e-120, 1e200]),
    "sqrt of tiny and huge": (autodiff.sqrt, [1e-300, 1e-200, 1e300]),
    "inverse of tiny and huge": (lambda x: 1.0 / x, [1e-120, 1e-70, 1e120]),
    "all of tiny": (lambda x: (x * x).sum(), [1e-160, 1e-200]),
    "all of huge": (lambda x: x.sum() * 3.0, [1e300, 1e307]),
    "a tiny loss": (lambda x: (x * x).sum() * 1e-200, [1.0, 2.0]),
    "a huge loss": (lambda x: (x * x).sum() * 1e200, [1.0, 2.0]),
    "saturation": (autodiff.sigmoid, [40.0, -40.0, 800.0, -800.0]),
    "saturated tanh": (autodiff.tanh, [20.0, -30.0, 400.0]),
    "softplus": (autodiff.softplus, [0.0, 40.0, -40.0, 800.0, -800.0]),
    "zero times": (lambda x: x * 0.0, [1.0, 2.0]),
    "a difference of equals": (lambda x: (x - x).sum(), [1.0, 1e9]),
    "sin² + cos² - 1": (lambda x: autodiff.sin(x) ** 2 + autodiff.cos(x) ** 2 - 1.0, [0.3, 1e5]),
    "softmax sums to 1": (lambda x: autodiff.softmax(x).sum() - 1.0, [1.0, 2.0, 3.0]),
    "softmax of huge": (lambda x: autodiff.softmax(x).sum(), [1e10, 1e10 + 1.0]),
    "logsumexp twice": (
        lambda x: autodiff.logsumexp(x) - autodiff.log(autodiff.exp(x).sum()), [1.0, 2.0]
    ),
    "centred": (lambda x: (x - x.mean()).sum(), [1.0, 2.0, 4.0, 1e6]),
    "Bernoulli": (lambda x: nn.bernoulli_nll(x, [1.0, 0.0, 0.5]), [40.0, -40.0, 0.0]),
    "Kullback and Leibler": (lambda x: nn.gaussian_kl(x * 0.0, x), [1e-8, 0.0, -0.09]),
    "far from the other class": (lambda x: nn.softmax_cross_entropy(x, 0), [30.0, 0.0]),
}  # fmt: skip


@pytest.mark.parametrize("name", QUIET)
def test_no_false_alarm(name):
    function, points = QUIET[name]
    report = check_gradients(function, [autodiff.Tensor(points)])
    assert report.ok, str(report)
    assert report.method == "complex"


@pytest.mark.parametrize("name", [n for n in QUIET if n != "far from the other class"])
def test_no_false_alarm_by_differences(name):
    function, points = QUIET[name]
    report = check_gradients(function, [autodiff.Tensor(points)], method="differences")
    assert report.ok, str(report)


def test_differences_find_a_step_that_serves():
    """Steep, tiny, huge: neither 7e-4 nor 7e-4 |x| suits all."""
    for function, point in [
        (lambda x: x**121.0, -1.01),
        (autodiff.log, 1e-6),
        (autodiff.sin, 1e10),
        (lambda x: autodiff.exp(x * 300.0), 0.1),
        (lambda x: autodiff.tanh(x * 1e-5), 1e5),
        (autodiff.abs, 1e-150),
    ]:
        report = check_gradients(function, [autodiff.Tensor([point])], method="differences")
        assert report.ok, str(report)


def test_differences_overrule_a_complex_step_that_they_contradict(new_op):
    def modulus(x):
        """z = |x|, and not analytic, though it looks so."""
        return np.abs(x) + 0j if np.iscomplexobj(x) else np.abs(x)

    right = new_op(modulus, lambda g, z, x: g * np.sign(x), reads="x")
    x = autodiff.Tensor([1.0, -2.0])
    report = check_gradients(right, [x])
    assert report.ok
    assert report.method == "differences"
    assert not check_gradients(right, [x], method="complex").ok
    del OPS["modulus"]
    wrong = new_op(modulus, lambda g, z, x: g * np.sign(x) * 1.001, reads="x")
    assert not check_gradients(wrong, [x]).ok


@pytest.mark.parametrize("factor", [1.0 + 1e-7, 1.0 + 1e-9])
def test_differences_do_not_excuse_what_they_cannot_see(new_op, factor):
    wrong = new_op(cube, lambda g, z, x: g * (3.0 * factor * x * x), reads="x")
    report = check_gradients(wrong, [autodiff.Tensor([1.0, -2.0])])
    assert not report.ok
    assert report.method == "complex"


def test_one_that_is_not_a_number_leaves_the_others_alone(new_op):
    def shifted(x):
        """z = x³, and nothing at 0."""
        return np.where(x.real == 0.0, np.nan, x**3)

    right = new_op(shifted, lambda g, z, x: g * (3.0 * x * x), reads="x")
    report = check_gradients(right, [autodiff.Tensor([0.0, 1.0, 2.0])])
    assert [row.index for row in report.failures()] in ([], [(0,)])


def test_a_forgotten_gradient_of_tiny_numbers_is_found(new_op):
    def tiny(x):
        """z = x² / 1e100."""
        return x * x * 1e-100

    wrong = new_op(tiny, lambda g, z, x: 0.0 * g)
    assert not check_gradients(wrong, [autodiff.Tensor([1.0, 1e20])]).ok


def test_a_step_that_vanishes_on_the_way_confirms_nothing(new_op):
    def there_and_back(x):
        """z = x, by way of 1e-150 x."""
        return (x * 1e-150) * 1e150

    wrong = new_op(there_and_back, lambda g, z, x: 0.0 * g)
    assert not check_gradients(wrong, [autodiff.Tensor([1e-145])]).ok
