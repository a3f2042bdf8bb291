import copy
import math
import pickle

import numpy as np
import pytest

import autodiff
from autodiff import Tensor
from autodiff.errors import GradientError, IncompleteGradientError
from autodiff.nn import FeedForward, squared_error
from autodiff.optim import (
    SGD,
    Adam,
    AdamW,
    Momentum,
    Optimiser,
    RMSprop,
)

N_STEPS = 6


# ---- references: x after each step, for given gradients -------------------------------


def plain_sgd(x, gradients, rate=0.1, weight_decay=0.0):
    for g in gradients:
        x = x - rate * (g + weight_decay * x)
        yield x


def plain_momentum(x, gradients, rate=0.1, momentum=0.9, weight_decay=0.0):
    v = np.zeros_like(x)
    for g in gradients:
        v = momentum * v + g + weight_decay * x
        x = x - rate * v
        yield x


def plain_rmsprop(x, gradients, rate=0.1, decay=0.9, epsilon=1e-8, weight_decay=0.0):
    s = np.zeros_like(x)
    for g in gradients:
        g = g + weight_decay * x
        s = decay * s + (1.0 - decay) * g**2
        x = x - rate * g / (np.sqrt(s) + epsilon)
        yield x


def plain_adam(
    x, gradients, rate=0.1, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, decoupled=0.0
):
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, start=1):
        g = g + weight_decay * x
        x = x - rate * decoupled * x
        m = beta1 * m + (1.0 - beta1) * g
        v = beta2 * v + (1.0 - beta2) * g**2
        m_hat, v_hat = m / (1.0 - beta1**t), v / (1.0 - beta2**t)
        x = x - rate * m_hat / (np.sqrt(v_hat) + epsilon)
        yield x


def plain_adamw(x, gradients, weight_decay=0.01, **options):
    return plain_adam(x, gradients, decoupled=weight_decay, **options)


RULES = [
    (SGD, plain_sgd, {}),
    (SGD, plain_sgd, {"rate": 0.5}),
    (Momentum, plain_momentum, {}),
    (Momentum, plain_momentum, {"momentum": 0.0}),
    (Momentum, plain_momentum, {"momentum": 0.5, "rate": 1.0}),
    (RMSprop, plain_rmsprop, {}),
    (RMSprop, plain_rmsprop, {"decay": 0.5, "epsilon": 0.1}),
    (Adam, plain_adam, {}),
    (Adam, plain_adam, {"beta1": 0.0, "beta2": 0.5, "epsilon": 0.1}),
    (SGD, plain_sgd, {"weight_decay": 0.3}),
    (Momentum, plain_momentum, {"weight_decay": 0.3}),
    (RMSprop, plain_rmsprop, {"weight_decay": 0.3}),
    (Adam, plain_adam, {"weight_decay": 0.3}),
    (AdamW, plain_adamw, {}),
    (AdamW, plain_adamw, {"weight_decay": 2.0, "beta1": 0.5}),
    (AdamW, plain_adamw, {"weight_decay": 0.0}),
]
ALL = [SGD, Momentum, RMSprop, Adam, AdamW]


def send(*tensors_and_gradients):
    """A backward pass that leaves each tensor with the given gradient."""
    terms = [(x * g).sum() for x, g in tensors_and_gradients]
    autodiff.backward(dict.fromkeys(terms, 1.0))


@pytest.mark.parametrize(("rule", "plain", "options"), RULES)
def test_against_numpy(backend, rng, rule, plain, options):
    shapes = [(3, 4), (5,), (), (0, 2)]
    xs = [Tensor(rng.normal(size=shape)) for shape in shapes]
    gradients = [[rng.normal(size=shape) for shape in shapes] for _ in range(N_STEPS)]
    expected = [
        list(plain(x.value.copy(), [g[i] for g in gradients], **options)) for i, x in enumerate(xs)
    ]
    optimiser = rule(xs, **{"rate": 0.1, **options})
    for t in range(N_STEPS):
        send(*zip(xs, gradients[t], strict=True))
        optimiser.step()
        for i, x in enumerate(xs):
            np.testing.assert_allclose(x.value, expected[i][t], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("rule", ALL)
def test_a_shared_weight_steps_once(backend, rule):
    shared, alone = Tensor([1.0, 2.0]), Tensor([1.0, 2.0])
    twice, once = rule([shared, shared], 0.1), rule([alone], 0.1)
    assert twice.parameters == [shared]
    for _ in range(3):
        send((shared, 3.0), (alone, 3.0))
        twice.step()
        once.step()
    np.testing.assert_array_equal(shared.value, alone.value)


@pytest.mark.parametrize("rule", ALL)
def test_a_missing_gradient_leaves_everything_untouched(backend, rule):
    first, second = Tensor([1.0]), Tensor([2.0], name="forgotten")
    optimiser = rule([first, second], 0.1)
    send((first, 3.0))
    with pytest.raises(GradientError, match=r"forgotten.*no gradient"):
        optimiser.step()
    assert first.value == 1.0
    assert not any(state.value.any() for state in optimiser.state.values())
    first.reset()
    send((first, 3.0), (second, 1.0))  # the step can be made up for
    optimiser.step()
    assert first.value != 1.0


@pytest.mark.parametrize("rule", ALL)
def test_an_incomplete_gradient_leaves_everything_untouched(backend, rule):
    first, second = Tensor([1.0]), Tensor([2.0])
    optimiser = rule([first, second], 0.1)
    one, two = second * 3.0, second * 4.0
    (first * 2.0).backward()
    one.backward()
    with pytest.raises(IncompleteGradientError, match="waits for"):
        optimiser.step()
    assert (first.value, second.value) == (1.0, 2.0)
    two.backward()
    optimiser.step()
    assert second.value < 2.0


@pytest.mark.parametrize("rule", ALL)
def test_a_gradient_is_used_once(rule):
    """Else a parameter that a pass does not reach would move by an old gradient."""
    x, y = Tensor([1.0]), Tensor([1.0])
    optimiser = rule([x, y], 0.1)
    send((x, 1.0), (y, 1.0))
    optimiser.step()
    kept = x.value.copy()
    with pytest.raises(GradientError, match="no new gradient"):
        optimiser.step()
    send((x, 1.0))
    with pytest.raises(GradientError, match="no new gradient"):
        optimiser.step()
    np.testing.assert_array_equal(x.value, kept)


@pytest.mark.parametrize("rule", ALL)
def test_skip_missing(rule):
    x, y = Tensor([1.0]), Tensor([1.0])
    optimiser = rule([x, y], 0.1, skip_missing=True)
    send((x, 1.0))
    optimiser.step()
    assert (x.value < 1.0, y.value) == (True, 1.0)
    before = x.value.copy()
    send((y, 1.0))
    optimiser.step()
    assert (x.value, y.value < 1.0) == (before, True)


def test_two_optimisers_may_use_one_gradient():
    x, y = Tensor([1.0]), Tensor([1.0])
    one, two = SGD(x, 0.5), Momentum([x, y], 0.25)
    send((x, 1.0), (y, 1.0))
    one.step()
    two.step()
    assert (x.value, y.value) == (0.25, 0.75)


@pytest.mark.parametrize("rule", ALL)
def test_the_rate_may_change(rule):
    rate = Tensor(0.1, constant=True)
    x, y = Tensor([1.0, -1.0]), Tensor([1.0, -1.0])
    by_tensor, by_number = rule([x], rate), rule([y], 0.1)
    for new in (0.1, 0.1, 0.02):
        rate.assign(new)
        by_number.rate = new
        send((x, [1.0, 3.0]), (y, [1.0, 3.0]))
        by_tensor.step()
        by_number.step()
        np.testing.assert_array_equal(x.value, y.value)
    assert rate.value == 0.02


def test_parameters_of_a_module_or_one_tensor():
    layer = FeedForward(2, 3, random=0)
    assert SGD(layer, 0.1).parameters == [layer.W, layer.b]
    assert SGD(layer.W, 0.1).parameters == [layer.W]
    assert SGD((x for x in [layer.b, layer.W]), 0.1).parameters == [layer.b, layer.W]


@pytest.mark.parametrize("rule", ALL)
def test_what_is_refused(rule):
    x = Tensor([1.0])
    with pytest.raises(GradientError, match=r"fixed.*constant"):
        rule([x, Tensor([1.0], name="fixed", constant=True)], 0.1)
    with pytest.raises(GradientError, match="no parameters"):
        rule([], 0.1)
    with pytest.raises(TypeError, match="Tensor"):
        rule([x, x * 2.0], 0.1)


@pytest.mark.parametrize("rule", ALL)
def test_a_step_that_fails_changes_nothing(rule):
    """All new values are computed before the first is written."""
    x, y = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    optimiser = rule([x, y], 0.1)
    send((x, 1.0), (y, 1.0))
    y.summed = np.ones(3)  # cannot be computed with
    before = [t.value.copy() for t in (x, y, *optimiser.state.values())]
    with pytest.raises(ValueError, match="broadcast"):
        optimiser.step()
    for t, value in zip((x, y, *optimiser.state.values()), before, strict=True):
        np.testing.assert_array_equal(t.value, value)


def test_weights_shrink_at_one_rate_in_adamw():
    """Without gradients: x (1 - rate · decay) each step; in Adam it would be rate a step."""
    x = Tensor([2.0, -400.0])
    optimiser = AdamW(x, 0.1, weight_decay=0.5)
    for _ in range(3):
        send((x, 0.0))
        optimiser.step()
    np.testing.assert_allclose(x.value, [2.0 * 0.95**3, -400.0 * 0.95**3], rtol=1e-14)


def test_state_is_named_constant_tensors():
    xs = [Tensor(np.ones((2, 3))), Tensor(np.ones(4))]
    state = Adam(xs).state
    assert set(state) == {"n_steps", "0.mean", "1.mean", "0.mean_square", "1.mean_square"}
    assert state["0.mean"].shape == (2, 3)
    assert all(tensor.constant for tensor in state.values())
    assert SGD(xs, 0.1).state == {}
    assert list(Momentum(xs, 0.1).state) == ["0.velocity", "1.velocity"]
    assert list(RMSprop(xs).state) == ["0.mean_square", "1.mean_square"]


@pytest.mark.parametrize("rule", [Momentum, RMSprop, Adam, AdamW])
def test_a_copied_state_goes_on_the_same(rule):
    x, y = Tensor([1.0, 2.0]), Tensor([1.0, 2.0])
    one, two = rule([x], 0.1), rule([y], 0.1)
    for g in (1.0, -2.0):
        send((x, g))
        one.step()
    y.assign(x)
    for name, tensor in two.state.items():
        tensor.assign(one.state[name])
    send((x, 0.5), (y, 0.5))
    one.step()
    two.step()
    np.testing.assert_array_equal(x.value, y.value)


def test_adams_bias_correction_after_many_steps():
    """1 - beta^t without cancellation, and right where beta^t has become nothing."""
    x = Tensor(0.0)
    optimiser = Adam([x], 1.0, epsilon=0.0)
    for t in (1.0, 1e2, 1e5):
        optimiser.n_steps.assign(t - 1.0)
        optimiser.mean[0].assign(0.0)
        optimiser.mean_square[0].assign(0.0)
        before = x.item()
        send((x, 1.0))
        optimiser.step()
        expected = -(0.1 / (1.0 - 0.9**t)) / math.sqrt(0.001 / (1.0 - 0.999**t))
        assert x.item() - before == pytest.approx(expected, rel=1e-12)


def test_no_warnings_and_nothing_hidden(backend):
    """NaN and infinity are results."""
    for rule in ALL:
        x = Tensor([1.0, 1.0, 1.0])
        optimiser = rule([x], 0.1)
        send((x, [math.inf, math.nan, 1.0]))
        optimiser.step()
        assert np.isfinite(x.value).tolist() == [False, False, True]


def test_a_rule_of_ones_own():
    class Sign(Optimiser):
        def _update(self, indices, gradients, rate, read):
            pairs = zip((self.parameters[i] for i in indices), gradients, strict=True)
            return [(x, read(x) - rate * autodiff.sign(g)) for x, g in pairs]

    x = Tensor([1.0, 1.0])
    send((x, [5.0, -0.1]))
    Sign(x, 0.5).step()
    np.testing.assert_array_equal(x.value, [0.5, 1.5])


@pytest.mark.parametrize("rule", ALL)
def test_learning(backend, rng, rule):
    layer = FeedForward(2, 1, random=rng)
    x = rng.normal(size=(20, 2))
    loss = squared_error(layer(x), x @ [[2.0], [-1.0]] + 0.5, "mean")
    optimiser = rule(layer, 0.05)
    first = loss.item()
    for _ in range(200):
        loss.backward()
        optimiser.step()
        loss.forward()
    assert loss.item() < 1e-2 * first


# ---- in a recording -------------------------------------------------------------------


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("rule", ALL)
def test_a_step_can_be_recorded(rule, clip):
    rate = Tensor(0.1, constant=True)
    xs = [Tensor(np.ones((2, 3))), Tensor(np.ones(4))]
    optimiser = rule(xs, rate, clip=clip, weight_decay=0.0)

    def step():
        autodiff.backward(sum(autodiff.square(x).sum() for x in xs))
        optimiser.step()

    recording = autodiff.compile(step).recording()
    changing = {*xs, *optimiser.state.values()}
    assert {tensor() for tensor in recording.written} == changing
    assert len(recording.written) == len(changing)
    states = {id(v.buffer) for i in recording.recorded.instructions for v in i.inputs}
    assert {id(x.stored) for x in (*changing, rate)} <= states


@pytest.mark.parametrize("before", [None, 0.5])
def test_clip_comes_into_use_and_goes_after_the_recording(before):
    x = Tensor([3.0, 4.0])
    optimiser = SGD([x], 1.0, clip=before)

    @autodiff.compile
    def step():
        autodiff.backward(0.5 * autodiff.square(x).sum())
        optimiser.step()

    for clip in (before, 1.0, None, 2.0, 2.5, None):
        optimiser.clip = clip
        x.assign([3.0, 4.0])
        step()
        factor = 1.0 if clip is None else clip / 5.0
        np.testing.assert_allclose(x.value, [3.0 * (1 - factor), 4.0 * (1 - factor)], rtol=1e-14)


def test_each_optimiser_of_a_parameter_takes_each_gradient_once():
    x = Tensor([1.0])
    first, second = SGD([x], 0.1), SGD([x], 0.2)
    autodiff.backward(autodiff.square(x).sum())
    first.step()
    second.step()
    np.testing.assert_allclose(x.value, [0.4])
    for optimiser in (first, second):
        with pytest.raises(GradientError, match="no new gradient"):
            optimiser.step()
    for optimiser in (pickle.loads(pickle.dumps(first)), copy.deepcopy(first)):
        (twin,) = optimiser.parameters
        autodiff.backward(autodiff.square(twin).sum())
        optimiser.step()
        np.testing.assert_allclose(twin.value, [0.32])


@pytest.mark.parametrize(("rule", "plain", "options"), RULES[::2])
def test_clip_in_a_step(backend, rng, rule, plain, options):
    x, y = Tensor(rng.normal(size=(2, 3))), Tensor(rng.normal(size=4))
    gradients = []
    for _ in range(N_STEPS):
        pair = [rng.normal(size=(2, 3)), rng.normal(size=4)]
        gradients.append(pair)
    clipped = []
    for pair in gradients:
        norm = math.sqrt(sum(np.sum(g**2) for g in pair))
        clipped.append([g * min(1.0, 2.0 / norm) for g in pair])
    expected = [
        list(plain(tensor.value.copy(), [pair[i] for pair in clipped], **options))[-1]
        for i, tensor in enumerate((x, y))
    ]
    optimiser = rule([x, y], **{"rate": 0.1, **options}, clip=2.0)
    for pair in gradients:
        send((x, pair[0]), (y, pair[1]))
        optimiser.step()
    np.testing.assert_allclose(x.value, expected[0], rtol=1e-12)
    np.testing.assert_allclose(y.value, expected[1], rtol=1e-12)
