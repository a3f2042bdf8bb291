"""What can be recorded: models, optimisers, state, arguments of any nesting; and what cannot."""

from __future__ import annotations

import gc
import weakref
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compare import EACH_OFF, ON_AND_OFF, check, values_of

import autodiff
from autodiff import Tensor, nn, ops
from autodiff.declare import declare
from autodiff.errors import (
    BackwardTwiceError,
    DTypeError,
    RecordingError,
    ShapeError,
    StaleValueError,
)
from autodiff.op import OPS, Example, Sample
from autodiff.optim import SGD, Adam, Momentum, RMSprop

OPTIMISERS = {
    "sgd": lambda p: SGD(p, 0.1),
    "clip": lambda p: SGD(p, 0.1, clip=0.5),
    "momentum": lambda p: Momentum(p, 0.1),
    "rmsprop": lambda p: RMSprop(p, 0.01),
    "adam": lambda p: Adam(p, 0.01),
    "adam-clip-rate": lambda p: Adam(p, Tensor(0.01, constant=True), clip=0.5),
}
optimisers = pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)


def watched(model: Any, optimiser: Any) -> list[Tensor]:
    return [*model.parameters(), *optimiser.state.values()]


# ---- models ----------------------------------------------------------------------------


@optimisers
def test_feedforward(make: Callable[..., Any], rng: np.random.Generator) -> None:
    def build() -> Any:
        layers = nn.FeedForward(4, 5, ops.tanh, random=1), nn.FeedForward(5, 3, random=2)
        parameters = [p for layer in layers for p in layer.parameters()]
        optimiser = make(parameters)

        def step(x: Any, labels: Any) -> Any:
            logits = layers[1](layers[0](x))
            loss = nn.softmax_cross_entropy(logits, labels)
            loss.backward()
            optimiser.step()
            return loss, logits

        return step, [*parameters, *optimiser.state.values()]

    check(build, *((rng.normal(size=(6, 4)), rng.integers(0, 3, 6)) for _ in range(3)))


def lstm_builder(n_steps: int, n_batch: int, make: Callable[..., Any], carry: bool) -> Any:
    def build() -> Any:
        lstm = nn.LSTM(2, 5, random=1)
        head = nn.FeedForward(5, 2, random=2)
        parameters = [*lstm.parameters(), *head.parameters()]
        optimiser = make(parameters)
        start = lstm.initial_state(n_batch)

        def step(window: Any, target: Any) -> Any:
            h, c = start
            loss: Any = 0.0
            for x, y in zip(window, target, strict=True):
                h, c = lstm(x, h, c)
                loss = loss + ops.square(head(h) - y).sum()
            loss.backward()
            optimiser.step()
            if carry:
                for tensor, last in zip(start, (h, c), strict=True):
                    tensor.assign(last)
            return loss

        return step, [*parameters, *start, *optimiser.state.values()]

    return build


@pytest.mark.parametrize("n_batch", [1, 3])
@pytest.mark.parametrize("n_steps", range(1, 7))
def test_lstm(n_steps: int, n_batch: int, rng: np.random.Generator) -> None:
    shape = (n_steps, n_batch, 2)
    calls = [(rng.normal(size=shape), rng.normal(size=shape)) for _ in range(2)]
    build = lstm_builder(n_steps, n_batch, OPTIMISERS["sgd"], carry=n_steps % 2 == 0)
    check(build, *calls, variants=EACH_OFF if n_steps == 4 else ON_AND_OFF)


@optimisers
def test_lstm_with_carried_state(make: Callable[..., Any], rng: np.random.Generator) -> None:
    calls = [(rng.normal(size=(3, 2, 2)), rng.normal(size=(3, 2, 2))) for _ in range(3)]
    check(lstm_builder(3, 2, make, carry=True), *calls, variants=ON_AND_OFF, rtol=1e-11)


@pytest.mark.parametrize("n_batch", [1, 4])
def test_vae(n_batch: int, rng: np.random.Generator) -> None:
    def build() -> Any:
        vae = nn.VAE(6, 5, 2, random=1)
        optimiser = Adam(vae.parameters(), 0.01)

        def step(x: Any, noise: Any) -> Any:
            loss = vae.loss(x, noise)
            loss.backward()
            optimiser.step()
            return loss

        return step, watched(vae, optimiser)

    calls = [(rng.random((n_batch, 6)), rng.normal(size=(n_batch, 2))) for _ in range(2)]
    check(build, *calls)


# ---- graphs and passes -----------------------------------------------------------------


def test_a_graph_built_outside(rng: np.random.Generator) -> None:
    def build() -> Any:
        w, x = Tensor(np.ones((2, 3))), Tensor(shape=(4, 2), constant=True)
        y = ops.tanh(x @ w)
        loss = ops.square(y).sum()

        def step(rows: Any) -> Any:
            x.assign(rows)
            loss.forward()
            loss.backward()
            w.assign(w.value - 0.1 * w.gradient)
            return {"loss": loss, "y": y.value}

        return step, [w, x]

    check(build, *((rng.normal(size=(4, 2)),) for _ in range(3)))


def test_arithmetic_on_values(rng: np.random.Generator) -> None:
    def build() -> Any:
        w = Tensor(np.ones((2, 3)))

        def step(x: Any, target: Any) -> Any:
            y = x @ w
            error = y.value - target
            y.backward(2.0 * error)
            w.assign(w.value - 0.1 * w.gradient)
            return (error**2).sum(), error.mean(axis=0), np.maximum(error, 0.0), -error[0] / 2

        return step, [w]

    check(build, *((rng.normal(size=(4, 2)), rng.normal(size=(4, 3))) for _ in range(2)))


def test_several_backward_passes(rng: np.random.Generator) -> None:
    def build() -> Any:
        a, b = Tensor(rng_fixed((2, 2))), Tensor(rng_fixed((2, 2)))

        def step(x: Any) -> Any:
            first = ops.tanh(x @ a).sum()
            first.backward()
            a.assign(a.value - 0.1 * a.gradient)
            y = ops.sigmoid(x @ a)
            z = y @ b
            autodiff.backward({z: np.ones(z.shape), y: 0.5 * y.value})
            gradients = a.gradient, b.gradient
            for tensor in (a, b):
                tensor.assign(tensor.value - 0.1 * tensor.gradient)
            return first, gradients

        return step, [a, b]

    check(build, (rng.normal(size=(3, 2)),), (rng.normal(size=(3, 2)),))


def rng_fixed(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(8).normal(size=shape)


def test_senders_and_the_posts_style(rng: np.random.Generator) -> None:
    def build() -> Any:
        w = Tensor(rng_fixed((2, 2)))

        def step(x: Any) -> Any:
            y = ops.tanh(x @ w)
            y.register("penalty")
            loss = (y * y).sum()
            loss.backward()
            y.backward(0.1 * y.value, sender="penalty")
            return loss, w.gradient

        return step, [w]

    check(build, (rng.normal(size=(3, 2)),))


def test_temporary_readers_hold_up_nobody(rng: np.random.Generator) -> None:
    def build() -> Any:
        w, norm = Tensor(rng_fixed((2, 2))), Tensor(0.0, constant=True)

        def step(x: Any) -> Any:
            norm.assign((w * w).sum())  # this reader of w is gone at once
            (x @ w).sum().backward()
            return w.gradient

        return step, [w, norm]

    check(build, (rng.normal(size=(3, 2)),))


def test_second_derivatives(rng: np.random.Generator) -> None:
    def build() -> Any:
        x, w = Tensor(rng_fixed((3, 2))), Tensor(rng_fixed((2, 2)))

        def step(row: Any) -> Any:
            x.assign(row)
            energy = ops.tanh(x @ w).sum()
            (force,) = autodiff.gradients(energy, [x])
            loss = ops.square(force).sum()
            autodiff.backward(loss)
            gradient = w.gradient
            w.assign(w.value - 0.1 * gradient)
            return loss, force, gradient

        return step, [x, w]

    check(build, (rng.normal(size=(3, 2)),))


def test_a_compiled_step_within_a_step(rng: np.random.Generator) -> None:
    def build() -> Any:
        w = Tensor(rng_fixed((2, 2)))

        @autodiff.compile
        def inner(x: Any) -> Any:
            loss = ops.square(x @ w).sum()
            loss.backward()
            w.assign(w.value - 0.01 * w.gradient)
            return loss

        def step(x: Any) -> Any:
            return inner(x) + inner(2.0 * x)

        return step, [w]

    check(build, (rng.normal(size=(3, 2)),), (rng.normal(size=(3, 2)),))


# ---- state -----------------------------------------------------------------------------


def test_swaps_copies_and_views_of_tensors() -> None:
    def build() -> Any:
        a, b, c = (Tensor(np.arange(6.0).reshape(2, 3) + 10 * i) for i in range(3))

        def step(x: Any) -> Any:
            first, second = a.value, b.value
            a.assign(second)
            b.assign(first)  # swapped
            shown = c.value
            c.assign(a.value[::-1] * 1.0)
            again = a.value * b.value
            a.assign(a)  # itself
            c.assign(c.value[:, ::-1])
            return shown, again, a.value, x, c.value, np.ones(3), a.value.T, first, second

        return step, [a, b, c]

    check(build, (np.ones((2, 3)),), (np.zeros((2, 3)),))


def test_one_value_for_two_tensors_and_a_result() -> None:
    def build() -> Any:
        a, b = Tensor(np.zeros((2, 3))), Tensor(np.zeros((2, 3)))

        def step(x: Any) -> Any:
            z = ops.exp(x)
            a.assign(z)
            b.assign(z)
            return z, a.value, x

        return step, [a, b]

    check(build, (rng_fixed((2, 3)),), (rng_fixed((2, 3)) + 1,))


def test_arguments_assigned_as_they_are() -> None:
    def build() -> Any:
        a, b = Tensor(shape=(2, 3)), Tensor(shape=(3, 2))

        def step(x: Any) -> Any:
            a.assign(x)
            b.assign(np.transpose(x))
            return [a.value, b.value]

        return step, [a, b]

    check(build, (rng_fixed((2, 3)),), (rng_fixed((2, 3)) + 1,))


def test_a_tensor_without_a_value_is_made_by_the_step() -> None:
    h = Tensor(shape=(2,))

    @autodiff.compile
    def step(x: Any) -> Any:
        h.assign(x + 1.0)
        return h

    assert step([1.0, 2.0]).tolist() == [2.0, 3.0]
    assert h.value.tolist() == [2.0, 3.0]


def test_tensors_made_by_the_step_are_made_anew_by_every_run() -> None:
    def build() -> Any:
        def step(x: Any) -> Any:
            total = Tensor(np.zeros(3))
            for _ in range(2):
                total.assign(total.value + x)
            copy = Tensor(x)
            copy.assign(copy.value * 2.0)
            return total, copy.value

        return step, []

    check(build, (np.ones(3),), (np.ones(3),), (np.ones(3),))


def test_what_such_tensors_begin_with_is_constant() -> None:
    @autodiff.compile
    def step(x: Any) -> Any:
        return ops.tanh(Tensor(np.ones(3), constant=True)) + x

    recording = step.recording(np.ones(3))
    assert [i.op.name for i in recording.recorded.instructions] == ["tanh", "add"]
    assert [i.op.name for i in recording.improved.instructions] == ["add"]


def test_tensors_made_by_the_step_and_kept_are_state() -> None:
    kept: list[Tensor] = []

    @autodiff.compile
    def step(x: Any) -> Any:
        if not kept:
            kept.append(Tensor(np.zeros(3)))
        kept[0].assign(kept[0].value + x)
        return kept[0]

    step(np.ones(3))
    assert step(np.ones(3)).tolist() == [2.0] * 3
    assert kept[0].value.tolist() == [2.0] * 3


def test_constants_are_captured() -> None:
    captured = np.array([1.0, 2.0])

    @autodiff.compile
    def step(x: Any) -> Any:
        return x * captured + 3

    assert step([1.0, 1.0]).tolist() == [4.0, 5.0]
    captured[:] = 100.0
    assert step([1.0, 1.0]).tolist() == [4.0, 5.0]
    assert step(np.ones((2, 2))).tolist() == [[103.0, 103.0]] * 2  # recorded anew


# ---- arguments and results -------------------------------------------------------------

Point = namedtuple("Point", "x y")


def test_nests_of_arguments_and_results() -> None:
    @autodiff.compile
    def step(a: Any, *, options: Any) -> Any:
        assert type(options["point"]) is Point
        total = a[0] + a[1][0] + options["point"].x
        return {"sum": total, "rest": [Point(a[1][0] * 2, None), ("name", True, 3.0)]}

    arguments = (1, [np.ones(2)])
    found = step(arguments, options={"point": Point(np.arange(2.0), 7.0), "mode": "train"})
    assert list(found) == ["sum", "rest"]
    assert found["sum"].tolist() == [2.0, 3.0]
    point, rest = found["rest"]
    assert type(point) is Point
    assert point.x.tolist() == [2.0, 2.0]
    assert point.y is None
    assert rest == ("name", True, 3.0)
    assert type(rest) is tuple


def test_scalars_are_floats() -> None:
    step = autodiff.compile(lambda x, y: (x * y, x + 1))
    for x in (2, 2.0, np.float64(2.0), np.array(2.0), np.int32(2), np.float32(2.0)):
        found = step(x, 3)
        assert found == (6.0, 3.0)
        assert all(type(r) is float for r in found)


def test_arguments_that_must_be_converted() -> None:
    step = autodiff.compile(lambda x: x * 2)
    x = np.arange(12.0).reshape(3, 4)
    for given in (x, x.astype(np.float32), x.astype(int), np.asfortranarray(x), x.tolist()):
        np.testing.assert_array_equal(step(given), 2 * x)
    np.testing.assert_array_equal(step(np.arange(24.0).reshape(3, 8)[:, ::2]), 4 * x)
    with pytest.raises(DTypeError, match=r"arguments\[0\]\[0\]"):
        step(x + 1j)
    with pytest.raises(DTypeError, match=r"arguments\[0\]\[0\]"):
        step(object())


def test_words_and_flags_are_part_of_the_signature() -> None:
    seen = []

    @autodiff.compile(check=False)
    def step(x: Any, mode: str, flag: Any = None) -> Any:
        seen.append((mode, flag))
        return x + 1 if mode == "up" else x - 1

    assert step(1.0, "up") == 2.0
    assert step(1.0, "down") == 0.0
    assert step(1.0, "up", flag=True) == 2.0
    assert step(1.0, "up") == 2.0
    assert step(5.0, "down") == 4.0
    assert len(seen) == 3


def test_words_by_name_are_part_of_the_signature() -> None:
    @autodiff.compile
    def step(x: Any, mode: str = "down") -> Any:
        return x + 1 if mode == "up" else x - 1

    assert step(1.0, mode="up") == 2.0
    assert step(1.0) == 0.0
    assert step(1.0, mode="up") == 2.0


def test_no_arguments_and_no_results() -> None:
    w = Tensor(1.0)

    @autodiff.compile
    def step() -> None:
        w.assign(w.value * 2)

    assert step() is None
    assert step() is None
    assert w.value == 4.0


def test_empty_arrays() -> None:
    w = Tensor(np.ones((2, 3)))

    @autodiff.compile
    def step(x: Any) -> Any:
        loss = ops.tanh(x @ w).sum()
        loss.backward()
        return loss, w.gradient

    loss, gradient = step(np.ones((0, 2)))
    assert loss == 0.0
    assert gradient.tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("shape", [(), (4,), (1, 4), (2, 4), (1, 1), (2, 1, 4)])
def test_neutral_constants_keep_their_shape(shape: tuple[int, ...]) -> None:
    def build() -> Any:
        zeros, ones = np.zeros(shape), np.ones(shape)

        def step(x: Any) -> Any:
            return x + zeros, zeros + x, x - zeros, zeros - x, x * ones, ones * x, x / ones

        return step, []

    check(build, (np.arange(4.0),), variants=ON_AND_OFF)


@pytest.mark.parametrize("index", [np.s_[:, -9::-1], np.s_[3:3], np.s_[2:0, ::-1], np.s_[-9:-5:-1]])
def test_empty_slices(index: Any) -> None:
    def build() -> Any:
        def step(x: Any) -> Any:
            part = ops.tanh(x[index])
            return part, part.sum(), ops.concat([part, part], axis=0)

        return step, []

    check(build, (np.ones((3, 4)),), variants=ON_AND_OFF)


def test_the_cache_is_bounded() -> None:
    recorded = []

    @autodiff.compile(cache_size=2, check=False)
    def step(x: Any) -> Any:
        recorded.append(x.shape)
        return x + 1

    for n in (1, 2, 1, 3, 1, 2):
        step(np.zeros(n))
    assert recorded == [(1,), (2,), (3,), (2,)]
    assert "2 recordings" in repr(step)


def test_a_dropped_recording_frees_its_constants() -> None:
    class Held(np.ndarray):
        pass

    big = np.zeros(100).view(Held)
    kept = weakref.ref(big)

    @autodiff.compile(cache_size=1)
    def step(x: Any, which: str) -> Any:
        return x + held[0] if which == "a" else x

    held = [big]
    step(1.0, "a")
    step(1.0, "b")
    del big
    held.clear()
    gc.collect()
    assert kept() is None


# ---- eager use around a replay ---------------------------------------------------------


def test_eager_use_before_and_after() -> None:
    w = Tensor([1.0, 2.0])
    y = ops.square(w).sum()
    assert y.forward() == 5.0
    y.backward()

    @autodiff.compile
    def step(x: Any) -> Any:
        w.assign(w.value + x)
        return w

    step([1.0, 1.0])
    assert y.value == 5.0  # as of the last forward pass
    assert y.forward() == 13.0
    y.backward()
    assert w.gradient.tolist() == [4.0, 6.0]
    step([1.0, 1.0])
    with pytest.raises(StaleValueError, match="forward"):
        y.reset() or y.backward()
    w.assign([0.0, 0.0])
    assert step([1.0, 1.0]).tolist() == [1.0, 1.0]
    assert y.forward() == 2.0


def test_eager_passes_see_every_replay() -> None:
    w = Tensor([1.0, 2.0])
    y = ops.square(w).sum()
    step = autodiff.compile(lambda x: w.assign(w.value + x))
    x = np.ones(2)  # taken as it is: the fast way into C
    for expected in (13.0, 25.0, 41.0):
        step(x)
        assert y.forward() == expected
    y.backward()
    assert w.gradient.tolist() == [8.0, 10.0]
    step.scan(np.ones((2, 2)))
    assert y.forward() == 85.0


def test_a_successful_recording_leaves_values_of_other_graphs() -> None:
    w = Tensor([1.0, 2.0])
    y = ops.square(w).sum()
    assert y.forward() == 5.0

    @autodiff.compile
    def step(x: Any) -> Any:
        return y.forward() * x

    assert step(2.0) == 10.0
    assert y.value == 5.0
    y.backward()
    assert w.gradient.tolist() == [2.0, 4.0]


def test_gradients_of_a_replay_are_not_left_in_tensors() -> None:
    w = Tensor([1.0, 2.0])

    @autodiff.compile
    def step(x: Any) -> Any:
        loss = ops.square(w * x).sum()
        loss.backward()
        return w.gradient

    step(2.0)
    assert not w.has_gradient


# ---- what cannot be recorded -----------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [float, bool, int, np.asarray, np.array, lambda x: x.item(), lambda x: [1, 2][x],
     lambda x: x > 1 and None, np.isfinite, lambda x: np.linalg.norm(x), lambda x: f"{x:.2f}"],
)  # fmt: skip
def test_asking_for_numbers_says_what_to_do(ask: Callable[[Any], Any]) -> None:
    w = Tensor(2.0)

    @autodiff.compile
    def step(x: Any) -> Any:
        ask((w * x).value)
        return x

    with pytest.raises(TypeError) as caught:
        step(1.0)
    if isinstance(caught.value, RecordingError):
        for part in ("no numbers", "return it", "autodiff.where", "step.function"):
            assert part in str(caught.value)


@pytest.mark.parametrize(
    "ask",
    [
        float,
        bool,
        lambda x: np.asarray(autodiff.stop_gradient(x)),
        lambda x: x.item(),
        lambda x: x.tolist(),
        lambda x: f"{x:.3f}",
        lambda x: x.value.tolist(),
        lambda x: f"{x.value:.3f}",
    ],
)
def test_asking_a_node_for_numbers(ask: Callable[[Any], Any]) -> None:
    w = Tensor(2.0)

    @autodiff.compile
    def step(x: Any) -> Any:
        return x if ask(w * x) else w

    with pytest.raises(RecordingError, match=r"no numbers"):
        step(1.0)


def test_a_failed_recording_leaves_no_trace() -> None:
    w, h = Tensor([1.0, 2.0]), Tensor(shape=(2,))
    y = ops.square(w)
    z = y.sum()
    z.forward()
    z.backward()
    assert w.gradient.tolist() == [2.0, 4.0]
    before = {n: (n._value, n._gradient, n._tick, n._awaited, n._round) for n in (w, h, y, z)}
    buffer, bits = w._value, w._value.tobytes()

    @autodiff.compile
    def step(x: Any) -> Any:
        w.assign(w.value * x)
        h.assign(w.value)
        z.forward()
        z.backward()
        w.assign(w.value - w.gradient)
        return float(z.value)

    for _ in range(2):
        with pytest.raises(RecordingError):
            step(3.0)
        after = {n: (n._value, n._gradient, n._tick, n._awaited, n._round) for n in before}
        assert all(
            all(a is b or a == b for a, b in zip(after[n], before[n], strict=True)) for n in before
        )
    assert w._value is buffer
    assert buffer.tobytes() == bits
    assert w.gradient.tolist() == [2.0, 4.0]
    with pytest.raises(BackwardTwiceError):
        z.backward()
    z.reset()
    z.backward()
    assert "0 recordings" in repr(step)


def test_errors_of_the_step_are_its_own() -> None:
    w = Tensor(np.ones((3, 2)))
    step = autodiff.compile(lambda x: x @ w)
    assert step(np.ones((1, 3))).tolist() == [[3.0, 3.0]]
    with pytest.raises(ShapeError, match="inner sizes differ"):
        step(np.ones((1, 4)))
    with pytest.raises(ShapeError, match="assign"):
        autodiff.compile(lambda x: w.assign(x))(np.ones(5))


def test_values_that_escaped_a_recording() -> None:
    escaped = []

    @autodiff.compile
    def step(x: Any) -> Any:
        if escaped:
            return escaped[0] + x
        escaped.append(x * 2)
        return x

    with pytest.raises(RecordingError, match="another recording"):
        step(1.0)  # when it is recorded again, to compare
    with pytest.raises(RecordingError, match="another recording"):
        step(np.ones(2))
    with pytest.raises(RecordingError, match=r"shape but no numbers.*return it from the step"):
        escaped[0] + 1.0


def test_an_op_without_a_kernel_is_refused_by_name() -> None:
    @declare(backward=lambda g, z, x: g, examples=[Example((Sample((3,)),))])
    def unheard_of(x: Any) -> Any:
        """z = x."""
        return x * 1.0

    try:
        w = Tensor(np.ones(3))
        before = values_of([w])

        @autodiff.compile
        def step(x: Any) -> Any:
            w.assign(w.value + x)
            return unheard_of(w)

        for without in ([], ["fuse"]):
            with pytest.raises(RecordingError, match="'unheard_of' has no kernel"):
                autodiff.compile(step.function, without=without)(1.0)
        assert values_of([w])[0].tolist() == before[0].tolist()
    finally:
        del OPS["unheard_of"]


def test_an_unknown_pass_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'steck'.*stack"):
        autodiff.compile(lambda x: x, without=["steck"])
