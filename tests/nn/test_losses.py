import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from numerics import complex_step

import autodiff
from autodiff import Tensor
from autodiff.errors import ShapeError
from autodiff.nn import (
    bernoulli_nll,
    gaussian_kl,
    gaussian_nll,
    softmax_cross_entropy,
    squared_error,
)

SHAPE = (3, 4)


def plain_bernoulli(logits, target):
    p = 1.0 / (1.0 + np.exp(-logits))
    return -(target * np.log(p) + (1.0 - target) * np.log(1.0 - p))


def plain_gaussian(mean, log_variance, target):
    variance = np.exp(log_variance)
    density = np.exp(-0.5 * (target - mean) ** 2 / variance) / np.sqrt(2.0 * np.pi * variance)
    return -np.log(density)


def plain_kl(mean, log_variance):
    return 0.5 * (np.exp(log_variance) + mean**2 - 1.0 - log_variance)


def plain_cross_entropy(logits, target):
    e = np.exp(logits)
    return -np.sum(target * np.log(e / np.sum(e, axis=-1, keepdims=True)), axis=-1)


LOSSES = [
    (squared_error, lambda y, target: (y - target) ** 2, ("real", "real")),
    (bernoulli_nll, plain_bernoulli, ("real", "unit")),
    (gaussian_nll, plain_gaussian, ("real", "real", "real")),
    (gaussian_kl, plain_kl, ("real", "real")),
    (softmax_cross_entropy, plain_cross_entropy, ("real", "unit")),
]
IDS = [loss.__name__ for loss, _, _ in LOSSES]


def draw(rng, kinds, shape=SHAPE):
    return [
        rng.uniform(0.0, 1.0, shape) if kind == "unit" else rng.normal(size=shape) for kind in kinds
    ]


@pytest.mark.parametrize(("loss", "plain", "kinds"), LOSSES, ids=IDS)
def test_value_and_gradients(backend, rng, loss, plain, kinds):
    arrays = draw(rng, kinds)
    nodes = [Tensor(a) for a in arrays]
    elements = loss(*nodes, reduction="none")
    expected = plain(*arrays)
    np.testing.assert_allclose(elements.value, expected, rtol=1e-13, atol=1e-15)
    weight = rng.normal(size=expected.shape)
    autodiff.backward({elements: weight})
    for i, node in enumerate(nodes):
        by_step = complex_step(plain, arrays, i, weight)
        np.testing.assert_allclose(node.gradient, by_step, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("loss", "plain", "kinds"), LOSSES, ids=IDS)
def test_reductions(backend, rng, loss, plain, kinds):
    arrays = draw(rng, kinds)
    nodes = [Tensor(a) for a in arrays]
    elements = plain(*arrays)
    for reduction, expected in [
        ("sum", elements.sum()),
        ("mean", elements.mean()),
        ("batch", elements.sum() / SHAPE[0]),
    ]:
        node = loss(*nodes, reduction=reduction)
        assert node.shape == ()
        np.testing.assert_allclose(node.value, expected, rtol=1e-13)
    np.testing.assert_array_equal(loss(*nodes).value, loss(*nodes, reduction="sum").value)
    with pytest.raises(ValueError, match="reduction"):
        loss(*nodes, reduction="average")


@pytest.mark.parametrize(("loss", "plain", "kinds"), LOSSES, ids=IDS)
def test_arrays_and_lists_give_arrays(rng, loss, plain, kinds):
    arrays = draw(rng, kinds)
    value = loss(*arrays, reduction="none")
    assert isinstance(value, np.ndarray)
    np.testing.assert_allclose(value, plain(*arrays), rtol=1e-13, atol=1e-15)
    mixed = loss(Tensor(arrays[0]), *(a.tolist() for a in arrays[1:]), reduction="none")
    np.testing.assert_allclose(mixed.value, value, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(("loss", "plain", "kinds"), LOSSES, ids=IDS)
@pytest.mark.parametrize("wrong", [(3, 1), (1, 4), (4,), (), (4, 3)])
def test_shapes_must_agree_exactly(rng, loss, plain, kinds, wrong):
    for i in range(len(kinds)):
        nodes = [Tensor(a, name="good") for a in draw(rng, kinds)]
        nodes[i] = Tensor(np.zeros(wrong), name="bad")
        with pytest.raises(ShapeError) as raised:
            loss(*nodes)
        for fact in (loss.__name__, str(SHAPE), str(wrong), "bad", "good"):
            assert fact in str(raised.value)


def test_a_column_against_a_vector_is_refused():
    with pytest.raises(ShapeError, match=r"\(5, 1\).*\(5,\)"):
        squared_error(Tensor(np.zeros((5, 1))), np.zeros(5))


def test_batch_needs_samples():
    with pytest.raises(ShapeError, match="no samples"):
        squared_error(Tensor(1.0), 2.0, "batch")
    with pytest.raises(ShapeError, match="no samples"):
        squared_error(Tensor(np.ones((0, 2))), np.ones((0, 2)), "batch")


# ---- extremes -------------------------------------------------------------------------


def test_bernoulli_with_extreme_logits(backend):
    logits = Tensor([1e3, -1e3, 1e3, -1e3, 0.0])
    loss = bernoulli_nll(logits, [1.0, 0.0, 0.0, 1.0, 0.5], "none")
    np.testing.assert_allclose(loss.value, [0.0, 0.0, 1e3, 1e3, math.log(2.0)], rtol=1e-15)
    autodiff.backward({loss: np.ones(5)})
    np.testing.assert_array_equal(logits.gradient, [0.0, 0.0, 1.0, -1.0, 0.0])


def test_gaussians_with_extreme_log_variance(backend):
    log_variance = Tensor([700.0, -700.0, 0.0])
    mean = Tensor([1e3, 2.0, -1e3])
    nll = gaussian_nll(mean, log_variance, [0.0, 2.0, -1e3], "none")
    half = 0.5 * math.log(2.0 * math.pi)
    np.testing.assert_allclose(nll.value, [350.0 + half, -350.0 + half, half], rtol=1e-14)
    kl = gaussian_kl(mean, log_variance, "none")
    assert np.isfinite(kl.value).all()
    autodiff.backward({nll: np.ones(3), kl: np.ones(3)})
    assert np.isfinite(mean.gradient).all()
    assert np.isfinite(log_variance.gradient).all()


# ---- exact, far out and at infinity ---------------------------------------------------


def exact_nll(logit, target):
    """Loss, slope and curvature of `bernoulli_nll`, for a target of 0 or 1."""
    if target == 1.0:
        loss, slope, curvature = exact_nll(-logit, 0.0)
        return loss, -slope, curvature
    with localcontext() as context:
        context.prec = 50
        e = (-abs(Decimal(logit))).exp()
        tail = e if e < Decimal(10) ** -30 else (1 + e).ln()
        p = e / (1 + e) if logit < 0.0 else 1 / (1 + e)
        return tail + max(Decimal(logit), 0), p, e / (1 + e) ** 2


def exact_kl(log_variance):
    with localcontext() as context:
        context.prec = 400
        s = Decimal(log_variance)
        return (s.exp() - 1 - s) / 2, (s.exp() - 1) / 2, s.exp() / 2


def twice_differentiated(loss, x):
    """The elements of a loss, their first and their second derivatives."""
    elements = loss(x)
    (slope,) = autodiff.gradients(elements.sum(), [x])
    (curvature,) = autodiff.gradients(slope.sum(), [x])
    return [node.value for node in (elements, slope, curvature)]


def assert_close_to(actual, exact, rtol):
    for i, expected in enumerate(exact):
        for which, value in enumerate(expected):
            error = abs(Decimal(float(actual[which][i])) - value)
            assert error <= Decimal(rtol[which]) * abs(value), (i, which, actual[which][i], value)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_bernoulli_is_exact_in_the_tails(backend, rng, target):
    """With its first and second derivatives, to three units in the last place."""
    logits = rng.choice([-1.0, 1.0], 300) * 10.0 ** rng.uniform(-8.0, 2.8, 300)
    logits[:6] = [40.0, -40.0, 20.0, -20.0, 0.0, 700.0]
    targets = np.full(300, target)
    actual = twice_differentiated(lambda x: bernoulli_nll(x, targets, "none"), Tensor(logits))
    assert_close_to(actual, [exact_nll(x, target) for x in logits], [7e-16] * 3)


def test_bernoulli_at_infinity(backend):
    """Also where the target gets a gradient: -logits, but for 0 · inf."""
    logits = [math.inf, -math.inf, math.inf, -math.inf, math.inf, 1e308, -1e308]
    targets = [1.0, 0.0, 0.0, 1.0, 0.5, 1.0, 0.0]
    expected = [
        [0.0, 0.0, math.inf, math.inf, math.inf, 0.0, 0.0],
        [0.0, 0.0, 1.0, -1.0, 0.5, 0.0, 0.0],
        [0.0] * 7,
    ]
    for actual in (
        twice_differentiated(lambda x: bernoulli_nll(x, targets, "none"), Tensor(logits)),
        twice_differentiated(lambda x: bernoulli_nll(x, Tensor(targets), "none"), Tensor(logits)),
    ):
        for values, wanted in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(values, wanted)
    t = Tensor(targets)
    (slope,) = autodiff.gradients(bernoulli_nll(Tensor(logits), t).sum(), [t])
    np.testing.assert_array_equal(
        slope.value, [0.0, 0.0, -math.inf, math.inf, -math.inf, -1e308, 1e308]
    )


def test_bernoulli_gradients_of_both_sides(backend):
    """Where the target is on the logit's side, the target's slope is -logit as anywhere."""
    x, t = Tensor([2.0, -3.0, 2.0, 0.0]), Tensor([1.0, 0.0, 0.25, 0.5])
    slopes = autodiff.gradients(bernoulli_nll(x, t), [x, t])
    np.testing.assert_allclose(slopes[0].value, 1.0 / (1.0 + np.exp(-x.value)) - t.value)
    np.testing.assert_array_equal(slopes[1].value, -x.value)


def test_nan_stays_nan(backend):
    x = Tensor([math.nan])
    one = np.ones(1)
    assert np.isnan(bernoulli_nll(one, x).value)
    for loss in (
        bernoulli_nll(x, one),
        bernoulli_nll(x, 0.0 * one),
        gaussian_nll(x, one, one),
        gaussian_nll(one, x, one),
        gaussian_kl(x, one),
        gaussian_kl(one, x),
    ):
        assert np.isnan(loss.value)
        assert np.isnan(autodiff.gradients(loss, [x])[0].value)


def test_kl_is_exact_near_the_prior(backend, rng):
    """Value and slope however small they are; the curvature, ½ e^s, to a rounding of 1."""
    s = rng.choice([-1.0, 1.0], 300) * 10.0 ** rng.uniform(-20.0, 2.8, 300)
    s[:4] = [1e-8, -1e-8, 1e-120, -690.0]
    s[4:40] = rng.choice([-1.0, 1.0], 36) * rng.uniform(1.9e-4, 2.1e-4, 36)  # the two meet
    actual = twice_differentiated(lambda x: gaussian_kl(np.zeros(300), x, "none"), Tensor(s))
    assert_close_to(actual[:2], [exact_kl(x)[:2] for x in s], [4e-12, 2e-12])
    np.testing.assert_allclose(actual[2], 0.5 * np.exp(s), rtol=2e-12, atol=2e-16)
    m = rng.normal(size=300) * 10.0 ** rng.uniform(-100.0, 100.0, 300)
    actual = twice_differentiated(lambda x: gaussian_kl(x, np.zeros(300), "none"), Tensor(m))
    np.testing.assert_allclose(actual[0], 0.5 * m * m, rtol=1e-15)
    np.testing.assert_allclose(actual[1:], [m, np.ones(300)], rtol=1e-15)


def test_kl_far_out(backend):
    s = Tensor([math.inf, -math.inf, -1e200, 709.0, -745.0])
    actual = twice_differentiated(lambda x: gaussian_kl(np.zeros(5), x, "none"), s)
    e = math.exp(709.0)
    np.testing.assert_allclose(actual[0], [math.inf, math.inf, 5e199, e / 2, 372.0])
    np.testing.assert_allclose(actual[1], [math.inf, -0.5, -0.5, e / 2, -0.5])
    mean = Tensor(1.5e154)  # its square is no double, half of it is
    kl = gaussian_kl(mean, 0.0)
    assert kl.item() == pytest.approx(1.125e308, rel=1e-15)
    kl.backward()
    np.testing.assert_allclose(mean.gradient, 1.5e154, rtol=1e-15)


GAUSSIANS = [
    # mean, log-variance, target; loss without ½ ln 2π; slopes by mean and by log-variance
    (0.0, -1500.0, 0.0, -750.0, 0.0, 0.5),
    (0.0, -3000.0, 0.0, -1500.0, 0.0, 0.5),
    (0.0, -math.inf, 0.0, -math.inf, 0.0, 0.5),
    (0.0, -math.inf, 1.0, math.inf, -math.inf, -math.inf),
    (1.0, -3000.0, 0.5, math.inf, math.inf, -math.inf),
    (0.0, 1500.0, 1e300, 750.0, 0.0, 0.5),
    (0.0, 5000.0, 1e300, 2500.0, 0.0, 0.5),
]


@pytest.mark.parametrize("case", GAUSSIANS)
def test_gaussian_at_the_edge(backend, case):
    mean, log_variance, target, loss, by_mean, by_log_variance = case
    m, v = Tensor([mean]), Tensor([log_variance])
    node = gaussian_nll(m, v, [target])
    np.testing.assert_allclose(node.value, loss + 0.5 * math.log(2.0 * math.pi), rtol=1e-14)
    node.backward()
    np.testing.assert_allclose(m.gradient, [by_mean], atol=1e-300)
    np.testing.assert_allclose(v.gradient, [by_log_variance])


def test_gaussian_without_overflow_on_the_way(backend):
    """e^(-v/2) is no double for v = -1500, z = 1e-300 e^750 is."""
    d, v = 1e-300, -1500.0
    z = Decimal(d) * Decimal(750).exp()
    m, w = Tensor([0.0]), Tensor([v])
    node = gaussian_nll(m, w, [d])
    assert node.item() == pytest.approx(float(z * z / 2), rel=1e-12)
    node.backward()
    np.testing.assert_allclose(w.gradient, [float(-z * z / 2)], rtol=1e-12)
    m, w = Tensor([3e154]), Tensor([4.0])
    assert gaussian_nll(m, w, [3e154]).item() == pytest.approx(2.0 + 0.5 * math.log(2 * math.pi))


def test_gaussian_second_derivatives(backend, rng):
    """e^-v by the mean, ½ z² by the log-variance, also where the mean is hit."""
    m, v, t = (rng.normal(size=6) for _ in range(3))
    t[:2] = m[:2]
    z2 = (t - m) ** 2 * np.exp(-v)
    by_mean = twice_differentiated(lambda x: gaussian_nll(x, v, t, "none"), Tensor(m))
    np.testing.assert_allclose(by_mean[2], np.exp(-v), rtol=1e-14)
    by_width = twice_differentiated(lambda x: gaussian_nll(m, x, t, "none"), Tensor(v))
    np.testing.assert_allclose(by_width[1], 0.5 - 0.5 * z2, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(by_width[2], 0.5 * z2, rtol=1e-13, atol=1e-300)


def test_arrays_at_the_edge_give_no_warnings():
    inf, zero, one = np.array([math.inf]), np.zeros(1), np.ones(1)
    assert bernoulli_nll(inf, one) == bernoulli_nll(-inf, zero) == 0.0
    assert gaussian_nll(zero, -inf, one) == gaussian_nll(zero, inf, zero) == math.inf
    assert gaussian_nll(zero, -5000.0 * one, one) == math.inf
    assert gaussian_kl(zero, inf) == gaussian_kl(zero, -inf) == math.inf


@pytest.mark.parametrize(("loss", "plain", "kinds"), LOSSES, ids=IDS)
def test_compiled_losses_are_the_same(rng, loss, plain, kinds):
    """At the edges as well, with their gradients, and in the style of the post's backward."""
    arrays = draw(rng, kinds, (4, 8))
    arrays[0][0] = [math.inf, -math.inf, 1e-9, -1e-9, 50.0, -50.0, 0.0, 1e200]
    if loss is softmax_cross_entropy:
        arrays[0][0, [0, 7]] = -math.inf, 30.0
    if loss is bernoulli_nll:
        arrays[1][0, :4] = [1.0, 0.0, 1.0, 0.0]
    if loss is gaussian_kl:
        arrays[1][1] = arrays[0][0]

    def step(*values):
        nodes = [Tensor(x) for x in values[:-1]] + [Tensor(values[-1], constant=len(values) > 1)]
        total = loss(*nodes)
        total.backward()
        return total, [n.gradient for n in nodes if not n.constant]

    total, gradients = step(*arrays)
    compiled_total, compiled = autodiff.compile(step)(*arrays)
    np.testing.assert_allclose(compiled_total, total.value, rtol=1e-14)
    for one, two in zip(compiled, gradients, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-14)


# ---- meaning --------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "log_variance"), [(0.0, 0.0), (1.5, -1.0), (-0.7, 0.8)])
def test_kl_is_an_expectation(mean, log_variance):
    """KL = E_q[ln q - ln p], by Gauss-Hermite quadrature, which is exact for it."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(10)
    z = mean + math.exp(0.5 * log_variance) * nodes
    log_q = -gaussian_nll(np.full(10, mean), np.full(10, log_variance), z, "none")
    log_p = -gaussian_nll(np.zeros(10), np.zeros(10), z, "none")
    expectation = np.sum(weights * (log_q - log_p)) / math.sqrt(2.0 * math.pi)
    np.testing.assert_allclose(gaussian_kl(mean, log_variance), expectation, rtol=1e-13, atol=1e-14)


def test_the_kl_has_its_minimum_at_the_standard_normal(backend):
    mean, log_variance = Tensor(np.zeros(3)), Tensor(np.zeros(3))
    kl = gaussian_kl(mean, log_variance)
    kl.backward()
    assert kl.item() == 0.0
    assert not mean.gradient.any()
    assert not log_variance.gradient.any()


def test_gaussian_density_integrates_to_one():
    x = np.linspace(-12.0, 12.0, 4001)
    p = np.exp(-gaussian_nll(np.full(x.shape, 0.3), np.full(x.shape, 0.5), x, "none"))
    np.testing.assert_allclose(np.sum(p) * (x[1] - x[0]), 1.0, rtol=1e-12)
