"""Numbers of optimisers: what they may be, and that a step goes by what they are now."""

import copy
import math
import pickle

import numpy as np
import pytest

import autodiff
from autodiff import Tensor
from autodiff.errors import RecordingError, ShapeError
from autodiff.optim import SGD, Adam, AdamW, Momentum, RMSprop

ALL = [SGD, Momentum, RMSprop, Adam, AdamW]
NUMBERS = {
    SGD: ["rate", "clip", "weight_decay"],
    Momentum: ["rate", "clip", "weight_decay", "momentum"],
    RMSprop: ["rate", "clip", "weight_decay", "decay", "epsilon"],
    Adam: ["rate", "clip", "weight_decay", "beta1", "beta2", "epsilon"],
    AdamW: ["rate", "clip", "weight_decay", "beta1", "beta2", "epsilon"],
}
ONE_NUMBER = [(rule, name) for rule, names in NUMBERS.items() for name in names]
FRACTIONS = ("momentum", "decay", "beta1", "beta2")


def send(x, g):
    """A backward pass that leaves `x` with the gradient `g`."""
    autodiff.backward((x * g).sum())


@pytest.mark.parametrize(("rule", "name"), ONE_NUMBER)
def test_numbers_are_checked(rule, name):
    """When the optimiser is made, and when they are set; what was set before remains."""
    x = Tensor(1.0)
    wrong = [math.nan, -math.inf, -0.1, -5e-324]
    wrong += [1.0, 2.0] if name in FRACTIONS else []
    wrong += [math.inf] if name not in ("clip", *FRACTIONS) else []
    start = {"rate": 0.1, name: 0.5}
    optimiser = rule([x], **start)
    for bad in [*wrong, *map(np.array, wrong)]:
        with pytest.raises(
            ValueError, match=rf"{rule.__name__}: {name} is .*must be.*test_hyperparameter"
        ):
            rule([x], **{**start, name: bad})
        with pytest.raises(ValueError, match=rf"{rule.__name__}: {name} is .*must be"):
            setattr(optimiser, name, bad)
    for bad in ("0.1", None, [0.1], np.ones(2), 1j, x * 1.0):
        if bad is None and name == "clip":
            continue
        with pytest.raises(TypeError, match=rf"{rule.__name__}: {name} is .*must be a number"):
            setattr(optimiser, name, bad)
    assert getattr(optimiser, name) == 0.5
    for good in (0, np.float32(0.25), np.array(0.5), np.int64(0), True * 0.5):
        setattr(optimiser, name, good)
        assert getattr(optimiser, name) == good
        assert type(getattr(optimiser, name)) is float


def test_only_the_rate_may_be_a_tensor():
    x = Tensor(1.0)
    with pytest.raises(ShapeError, match=r"rate is node 'many'.*\(2,\).*must be \(\)"):
        SGD(x, Tensor([0.1, 0.2], name="many"))
    with pytest.raises(TypeError, match=r"momentum is .*must be a number"):
        Momentum(x, 0.1, Tensor(0.9))
    rate = Tensor(0.5)
    optimiser = SGD(x, rate)
    assert optimiser.rate is rate
    optimiser.rate = 0.25
    assert (optimiser.rate, rate.item()) == (0.25, 0.5)
    with pytest.raises(AttributeError, match="follows"):
        Adam(x)._rest1 = 0.5


def changed(rule, name):
    """Options before and after the number is set."""
    before = {"rate": 0.1, "clip": 2.0, "weight_decay": 0.3}
    return before, {**before, name: 0.7}


@pytest.mark.parametrize("how", ["eager", "call", "scan"])
@pytest.mark.parametrize(("rule", "name"), ONE_NUMBER)
def test_a_number_set_later_counts_from_then_on(backend, rng, rule, name, how):
    """As if the state went on with another optimiser, without another recording."""
    before, after = changed(rule, name)
    start = rng.normal(size=(2, 3))
    x, y = Tensor(start), Tensor(start)
    one, two, other = rule([x], **before), rule([y], **before), rule([y], **after)
    gradients = rng.normal(size=(6, 2, 3))

    def step(g):
        send(x, g)
        one.step()

    if how != "eager":
        step = autodiff.compile(step)
    run = (lambda gs: step.scan(gs)) if how == "scan" else (lambda gs: [step(g) for g in gs])
    run(gradients[:3])
    setattr(one, name, after[name])
    run(gradients[3:])
    for g in gradients[:3]:
        send(y, g)
        two.step()
    for state, tensor in other.state.items():
        tensor.assign(two.state[state])
    for g in gradients[3:]:
        send(y, g)
        other.step()
    np.testing.assert_allclose(x.value, y.value, rtol=1e-13)
    assert not np.allclose(x.value, start)


@pytest.mark.parametrize("how", ["eager", "call", "scan"])
def test_a_rate_of_zero_stops(how):
    x = Tensor([1.0])
    optimiser = SGD(x, 0.1)

    def step(g):
        send(x, g)
        optimiser.step()

    if how != "eager":
        step = autodiff.compile(step)
    run = step.scan if how == "scan" else lambda gs: [step(g) for g in gs]
    run(np.ones(3))
    optimiser.rate = 0.0
    before = x.value.copy()
    run(np.ones(3))
    np.testing.assert_array_equal(x.value, before)


def test_numbers_may_be_set_within_a_step():
    """A schedule in the step is part of the step; so is a rate that is an argument."""

    def made():
        x = Tensor([1.0, 2.0])
        optimiser = Adam(x, 0.5, 0.5)

        def step(g, beta2):
            optimiser.rate = 0.5 * optimiser.rate
            optimiser.beta1 = optimiser.beta1 * optimiser.beta1
            optimiser.beta2 = beta2
            send(x, g)
            optimiser.step()
            return optimiser.rate + 0.0

        return step, x, optimiser

    arguments = [(1.0, 0.9), (-2.0, 0.5), (3.0, 0.0)]
    eager, x, one = made()
    rates = [eager(*pair) for pair in arguments]
    step, y, two = made()
    compiled = autodiff.compile(step)
    assert [compiled(*pair) for pair in arguments] == rates == [0.25, 0.125, 0.0625]
    np.testing.assert_allclose(y.value, x.value, rtol=1e-13)
    assert (one.beta1, one.beta2, one.rate) == (two.beta1, two.beta2, two.rate)
    assert two._rest1 == 1.0 - two.beta1
    step, z, three = made()
    scanned = autodiff.compile(step).scan(*map(np.array, zip(*arguments, strict=True)))
    assert scanned.tolist() == rates
    np.testing.assert_allclose(z.value, x.value, rtol=1e-13)
    assert three.beta2 == 0.0


def test_what_a_step_is_made_of_cannot_change_within_it():
    x = Tensor([1.0])
    optimiser = Momentum(x, 0.1, clip=1.0)
    for name, value in [("clip", None), ("weight_decay", 0.5), ("rate", Tensor(0.5))]:
        before = optimiser.structure()
        with pytest.raises(RecordingError, match=f"Momentum: what {name} is"):
            autodiff.compile(lambda: setattr(optimiser, name, value))()  # noqa: B023
        assert optimiser.structure() == before
        setattr(optimiser, name, value)
        assert optimiser.structure() != before
    assert (optimiser.clip, optimiser.weight_decay) == (None, 0.5)
    with autodiff.detect_anomaly():  # looks on too, and records nothing
        optimiser.clip = 3.0
    assert optimiser.clip == 3.0
    same = optimiser.structure()
    optimiser.clip, optimiser.momentum, optimiser.weight_decay = 4.0, 0.5, 0.1
    assert optimiser.structure() == same


@pytest.mark.parametrize("rule", ALL)
def test_numbers_cost_no_instruction(rule):
    """They are scalars in the places of the constants that they would be."""
    xs = [Tensor(np.ones((3, 4))), Tensor(np.ones(4))]
    optimiser = rule(xs, 0.1)

    class Fixed(rule):
        """The same with constants."""

    for name in [*NUMBERS[rule], "_rest", "_rest1", "_rest2", "_log1", "_log2"]:
        if hasattr(optimiser, name):
            setattr(Fixed, name, getattr(optimiser, name))

    def size(optimiser):
        def step(g):
            send(xs[0], g)
            send(xs[1], 1.0)
            optimiser.step()

        return len(autodiff.compile(step).recording(np.ones((3, 4))).code.instructions)

    fixed = copy.copy(optimiser)
    fixed.__class__ = Fixed
    assert size(optimiser) == size(fixed)


@pytest.mark.parametrize("rule", ALL)
def test_copies_have_their_own_numbers(rule):
    optimiser = rule([Tensor([1.0])], 0.1, clip=2.0)
    for twin in (copy.deepcopy(optimiser), pickle.loads(pickle.dumps(optimiser))):
        assert (twin.rate, twin.clip) == (0.1, 2.0)
        twin.rate = 0.5
        assert optimiser.rate == 0.1
        send(twin.parameters[0], 1.0)
        twin.step()
