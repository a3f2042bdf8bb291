import math

import numpy as np
import pytest
from numerics import complex_step

import autodiff
from autodiff import Tensor
from autodiff.errors import IndexRangeError, ShapeError
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


# ---- labels ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.array, list, lambda labels: Tensor(labels, constant=True)])
def test_labels_are_one_hot_rows(backend, rng, kind):
    logits = rng.normal(size=(4, 3))
    labels = [2, 0, 2, 1]
    by_label, by_row = Tensor(logits), Tensor(logits)
    one = softmax_cross_entropy(by_label, kind(labels))
    two = softmax_cross_entropy(by_row, np.eye(3)[labels])
    np.testing.assert_allclose(one.value, two.value, rtol=1e-14)
    one.backward()
    two.backward()
    np.testing.assert_allclose(by_label.gradient, by_row.gradient, rtol=1e-13, atol=1e-16)


def test_labels_of_one_sample_and_of_stacks(backend, rng):
    logits = rng.normal(size=(2, 3, 4))
    labels = np.array([[0, 3, 1], [2, 2, 0]])
    expected = plain_cross_entropy(logits, np.eye(4)[labels])
    actual = softmax_cross_entropy(Tensor(logits), labels, "none")
    np.testing.assert_allclose(actual.value, expected, rtol=1e-13)
    single = softmax_cross_entropy(Tensor(logits[0, 0]), 0, "none")
    np.testing.assert_allclose(single.value, expected[0, 0], rtol=1e-13)


@pytest.mark.parametrize("bad", [3, -1, 0.5, math.nan])
@pytest.mark.parametrize("position", [0, 1])
def test_a_label_that_is_no_class_raises(backend, bad, position):
    """In a node as well, and although the neighbouring sample's row would exist."""
    logits = Tensor(np.zeros((2, 3)))
    labels = np.array([1.0, 1.0])
    labels[position] = bad
    with pytest.raises(IndexRangeError, match="none of the 3 classes"):
        softmax_cross_entropy(logits, labels)
    node = softmax_cross_entropy(logits, Tensor(labels, constant=True))
    with pytest.raises(IndexRangeError):
        node.forward()


def test_labels_can_be_assigned(backend):
    labels = Tensor([0, 1], constant=True)
    logits = Tensor([[1.0, 2.0], [3.0, 5.0]])
    loss = softmax_cross_entropy(logits, labels, "none")
    first = loss.value.copy()
    labels.assign([1, 0])
    np.testing.assert_allclose(loss.forward() - first, [-1.0, 2.0], rtol=1e-13)


def test_scalar_logits_are_refused():
    with pytest.raises(ShapeError, match="labels"):
        softmax_cross_entropy(Tensor(1.0), 0)


# ---- extremes -------------------------------------------------------------------------


def test_bernoulli_with_extreme_logits(backend):
    logits = Tensor([1e3, -1e3, 1e3, -1e3, 0.0])
    loss = bernoulli_nll(logits, [1.0, 0.0, 0.0, 1.0, 0.5], "none")
    np.testing.assert_allclose(loss.value, [0.0, 0.0, 1e3, 1e3, math.log(2.0)], rtol=1e-15)
    autodiff.backward({loss: np.ones(5)})
    np.testing.assert_array_equal(logits.gradient, [0.0, 0.0, 1.0, -1.0, 0.0])


def test_cross_entropy_with_extreme_logits(backend):
    logits = Tensor([[1e3, -1e3], [-1e3, 1e3], [1e3, 1e3]])
    loss = softmax_cross_entropy(logits, [0, 0, 1], "none")
    np.testing.assert_allclose(loss.value, [0.0, 2e3, math.log(2.0)], rtol=1e-15)
    autodiff.backward({loss: np.ones(3)})
    np.testing.assert_array_equal(logits.gradient, [[0, 0], [-1, 1], [0.5, -0.5]])


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
