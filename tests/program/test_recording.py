"""What can be recorded: graphs, passes of any kind, and state."""

from __future__ import annotations

from typing import Any

import numpy as np
from compare import check

import autodiff
from autodiff import Tensor, ops

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
