"""Cross-entropy of classes: by probabilities, by number, weighted, smoothed, partly ignored."""

import itertools
import math

import numpy as np
import pytest

import autodiff
from autodiff import Tensor
from autodiff.errors import DTypeError, IndexRangeError, ShapeError
from autodiff.nn import softmax_cross_entropy


def plain_cross_entropy(logits, target):
    e = np.exp(logits)
    return -np.sum(target * np.log(e / np.sum(e, axis=-1, keepdims=True)), axis=-1)


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


# ---- weights, smoothing, what is ignored ----------------------------------------------


def by_definition(logits, labels, reduction, weights=None, ignored=None, smoothing=0.0):
    """Sample by sample, as PyTorch documents it."""
    n_classes = logits.shape[-1]
    w = np.ones(n_classes) if weights is None else weights
    losses, counts = [], []
    for row, label in zip(logits.reshape(-1, n_classes), labels.ravel(), strict=True):
        if label == ignored:
            losses.append(0.0)
            counts.append(0.0)
            continue
        log_p = row - np.log(np.sum(np.exp(row)))
        even = -np.sum(w * log_p) / n_classes
        losses.append((1.0 - smoothing) * -w[label] * log_p[label] + smoothing * even)
        counts.append(w[label])
    losses = np.array(losses)
    return {
        "sum": losses.sum(),
        "mean": losses.sum() / np.sum(counts),
        "batch": losses.sum() / len(labels),
        "none": losses.reshape(labels.shape),
    }[reduction]


OPTIONS = list(itertools.product([False, True], [None, -100, 1], [0.0, 0.1, 1.0]))


@pytest.mark.parametrize("reduction", ["sum", "mean", "batch", "none"])
@pytest.mark.parametrize(("weighted", "ignored", "smoothing"), OPTIONS)
def test_options_of_labels(backend, rng, weighted, ignored, smoothing, reduction):
    """Eagerly by array and by node, and in a program with the labels as an argument."""
    logits = rng.normal(size=(3, 2, 4))
    labels = np.array([[0, 1], [1, 3], [2, 1]])
    if ignored is not None:
        labels[1] = [3, ignored]
    weights = rng.uniform(0.2, 2.0, 4) if weighted else None
    options = {"class_weights": weights, "ignore_index": ignored, "label_smoothing": smoothing}

    def numeric(x):
        return by_definition(x, labels, reduction, weights, ignored, smoothing)

    def step(x, classes):
        node = Tensor(x)
        loss = softmax_cross_entropy(node, classes, reduction, **options)
        autodiff.backward(loss.sum())
        return loss, node.gradient

    expected = numeric(logits)
    gradient = np.empty(logits.shape)
    for i in np.ndindex(*logits.shape):
        lifted = logits.astype(complex)
        lifted[i] += 1e-30j
        gradient[i] = np.sum(np.imag(numeric(lifted))) * 1e30
    plain = softmax_cross_entropy(logits, labels, reduction, **options)
    np.testing.assert_allclose(plain, expected, rtol=1e-13)
    for loss, slope in (
        step(logits, labels),
        step(logits, Tensor(labels, constant=True)),
        autodiff.compile(step)(logits, labels.astype(np.float64)),
        autodiff.compile(step)(logits, labels),
    ):
        np.testing.assert_allclose(getattr(loss, "value", loss), expected, rtol=1e-13)
        np.testing.assert_allclose(slope, gradient, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_options_of_probabilities(backend, rng, smoothing):
    """One-hot rows are labels, but that "mean" divides by the number of samples."""
    logits, weights = rng.normal(size=(5, 3)), np.array([0.5, 2.0, 0.0])
    labels = np.array([0, 2, 1, 1, 0])
    options = {"class_weights": weights, "label_smoothing": smoothing}
    for reduction in ("sum", "batch", "none"):
        one = softmax_cross_entropy(logits, labels, reduction, **options)
        two = softmax_cross_entropy(Tensor(logits), np.eye(3)[labels], reduction, **options)
        np.testing.assert_allclose(two.value, one, rtol=1e-13)
    mean = softmax_cross_entropy(logits, np.eye(3)[labels], "mean", **options)
    np.testing.assert_allclose(
        mean, softmax_cross_entropy(logits, labels, "batch", **options), rtol=1e-13
    )


def test_what_is_ignored_may_be_anything(backend):
    """Rows of NaN and infinities have no part in loss and gradient."""
    logits = Tensor([[1.0, 2.0], [math.nan, 0.0], [-math.inf, -math.inf], [math.inf, 0.0]])
    loss = softmax_cross_entropy(logits, [0, -1, -1, -1], "mean", ignore_index=-1)
    np.testing.assert_allclose(loss.value, math.log1p(math.e), rtol=1e-15)
    loss.backward()
    p = 1.0 / (1.0 + math.e)
    expected = [[p - 1.0, 1.0 - p], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    np.testing.assert_allclose(logits.gradient, expected, rtol=1e-14)


def test_all_ignored():
    logits = Tensor(np.ones((2, 3)))
    assert softmax_cross_entropy(logits, [7, 7], ignore_index=7).item() == 0.0
    mean = softmax_cross_entropy(logits, [7, 7], "mean", ignore_index=7)
    assert np.isnan(mean.value)  # as in PyTorch: there is nothing to take the mean of


@pytest.mark.parametrize("bad", [3.0, -1.0, 0.5, math.nan, -4.0, 1e300, math.inf])
def test_errors_of_labels_name_the_loss_and_the_number_of_classes(backend, bad):
    logits = Tensor(np.zeros((2, 3)))
    labels = np.array([-100.0, bad])
    words = r"softmax_cross_entropy.*3 classes"
    with pytest.raises(IndexRangeError, match=words):
        softmax_cross_entropy(logits, labels, ignore_index=-100)
    node = softmax_cross_entropy(logits, Tensor(labels, constant=True), ignore_index=-100)
    with pytest.raises(IndexRangeError, match=words):
        node.forward()
    step = autodiff.compile(lambda y: softmax_cross_entropy(logits, y, ignore_index=-100))
    assert step([-100, 1]) == pytest.approx(math.log(3.0))
    with pytest.raises(IndexRangeError, match=words):
        step(labels)


def test_options_are_checked():
    logits, labels = Tensor(np.zeros((2, 3)), name="scores"), [0, 1]
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"label_smoothing is .*must be 0 to 1"):
            softmax_cross_entropy(logits, labels, label_smoothing=bad)
    for shape in [(2,), (3, 1), ()]:
        with pytest.raises(ShapeError, match=r"class_weights has shape .*3 classes.*\(3,\)"):
            softmax_cross_entropy(logits, labels, class_weights=np.ones(shape))
    with pytest.raises(ValueError, match="ignore_index is for labels"):
        softmax_cross_entropy(logits, np.eye(3)[labels], ignore_index=0)
    with pytest.raises(DTypeError, match="softmax_cross_entropy: target"):
        softmax_cross_entropy(logits, ["cat", "dog"])
    with pytest.raises(ValueError, match="reduction"):
        softmax_cross_entropy(logits, labels, "average", class_weights=np.ones(3))


def test_weights_may_be_nodes(backend, rng):
    logits, w = Tensor(rng.normal(size=(4, 3))), Tensor([1.0, 0.0, 2.0])
    labels = np.array([0, 1, 2, 2])
    loss = softmax_cross_entropy(logits, labels, class_weights=w)
    log_p = autodiff.log_softmax(logits.value)[np.arange(4), labels]
    (slope,) = autodiff.gradients(loss, [w])
    np.testing.assert_allclose(loss.value, -np.sum(log_p * w.value[labels]), rtol=1e-14)
    expected = [-log_p[0], -log_p[1], -log_p[2] - log_p[3]]
    np.testing.assert_allclose(slope.value, expected, rtol=1e-14)


def test_no_one_hot_rows():
    """The largest values are those of the logits."""
    step = autodiff.compile(lambda x, y: softmax_cross_entropy(x, y))
    values = [
        i.output for i in step.recording(np.ones((50, 40)), np.ones(50)).recorded.instructions
    ]
    assert sum(v.size == 2000 for v in values) == 2  # log_softmax, and it flat


# ---- extremes -------------------------------------------------------------------------


def test_cross_entropy_with_extreme_logits(backend):
    logits = Tensor([[1e3, -1e3], [-1e3, 1e3], [1e3, 1e3]])
    loss = softmax_cross_entropy(logits, [0, 0, 1], "none")
    np.testing.assert_allclose(loss.value, [0.0, 2e3, math.log(2.0)], rtol=1e-15)
    autodiff.backward({loss: np.ones(3)})
    np.testing.assert_array_equal(logits.gradient, [[0, 0], [-1, 1], [0.5, -0.5]])


@pytest.mark.parametrize("labels", [False, True])
def test_impossible_classes(backend, labels):
    """A logit of -inf is a class of probability 0: it costs nothing unless it is the target."""
    logits = Tensor([[-math.inf, 0.0, 0.0], [0.0, -math.inf, -math.inf], [0.0, -math.inf, 0.0]])
    numbers = np.array([1, 0, 1])
    target = numbers if labels else np.eye(3)[numbers]
    loss = softmax_cross_entropy(logits, target, "none")
    np.testing.assert_allclose(loss.value, [math.log(2.0), 0.0, math.inf], rtol=1e-15)
    (slope,) = autodiff.gradients(loss.sum(), [logits])
    expected = np.array([[0.0, -0.5, 0.5], [0.0, 0.0, 0.0], [0.5, -1.0, 0.5]])
    np.testing.assert_allclose(slope.value, expected, rtol=1e-15)
    (second,) = autodiff.gradients(slope, [logits], seed=np.ones((3, 3)) * [1.0, 2.0, 3.0])
    p = np.array([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [0.5, 0.0, 0.5]])
    v = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(second.value, p * (v - (p @ v)[:, None]), atol=1e-15)


def test_targets_of_no_weight_and_of_nodes(backend):
    """0 · -inf is 0 for weights of 0 and for probabilities that get a gradient themselves."""
    logits = np.array([[0.0, -math.inf]])
    assert softmax_cross_entropy(logits, [1], class_weights=[1.0, 0.0]) == 0.0
    target = Tensor([[1.0, 0.0]])
    loss = softmax_cross_entropy(Tensor(logits), target)
    assert loss.item() == 0.0
    (slope,) = autodiff.gradients(loss, [target])
    np.testing.assert_array_equal(slope.value, [[0.0, 0.0]])
    smooth = softmax_cross_entropy(logits, [0], class_weights=[1.0, 0.0], label_smoothing=0.5)
    assert smooth == 0.0
