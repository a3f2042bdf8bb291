"""Groups of values that wait for each other: what a pass brings together, and what it leaves."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compare import check

import autodiff
from autodiff import Tensor, nn, ops, optim
from autodiff.program.code.kinds.gemm import Gemm
from autodiff.program.ir import Builder, Program, Value
from autodiff.program.passes.arrange import arrange
from autodiff.program.passes.rewrite import Emitter
from autodiff.program.step import Recording

# ---- arrange ---------------------------------------------------------------------------


class Chain:
    """A program written down by hand: each value is the sum of earlier ones."""

    def __init__(self, **sums: str) -> None:
        self.builder = Builder()
        self.values: dict[str, Value] = {}
        e = Emitter(plain=True)
        argument = Value((2,), "argument")
        for name, operands in sums.items():
            value = e.apply("negative", argument)
            for x in operands:
                value = e.apply("add", value, self.values[x])
            self.values[name] = value
        self.program = Program([argument], e.instructions, list(self.values.values()))

    def arranged(self, *groups: str, **more: Any) -> list[str]:
        """The groups in which named values come, of more than one; checks the order."""
        lists = [[self.values[name] for name in group] for group in groups]
        order = arrange(self.program, lists, **more)
        names = {value: name for name, value in self.values.items()}
        done: set[Value] = set()
        for members in order:
            for value in members:
                assert all(x in done for x in value.inputs if x.producer is not None)
            done.update(members)
        assert sum(map(len, order)) == len(self.program.instructions)
        return ["".join(names[v] for v in members) for members in order if len(members) > 1]


def test_values_that_do_not_wait_for_each_other_come_together() -> None:
    chain = Chain(a="", b="", c="ab", d="", e="c")
    assert chain.arranged("abd") == ["abd"]
    assert chain.arranged("ad", "be") == ["ad"]  # e waits for b


def test_members_that_depend_on_each_other_come_apart() -> None:
    assert Chain(a="", b="a", c="b", d="c").arranged("abcd") == []
    assert Chain(a="", b="", c="ab", d="ab").arranged("abcd") == ["ab", "cd"]


def test_groups_that_wait_for_each_other_come_apart() -> None:
    crossed = Chain(a="", b="", c="a", d="b")
    assert crossed.arranged("ad", "bc") in (["ad"], ["bc"])
    larger = Chain(a="", b="", c="a", d="b", e="a", f="a")
    assert larger.arranged("ad", "bcef") == ["bcef"]
    assert larger.arranged("bcef", "ad") == ["bcef"]


def test_a_group_is_not_broken_for_one_that_breaks_anyhow() -> None:
    # h waits for each of the chain's members, which wait for each other.
    chain = Chain(a="", i="a", b="a", j="b", c="b", k="c")
    assert chain.arranged("abc", "ijk") == ["ijk"]


def test_what_members_will_be_computed_from_counts() -> None:
    chain = Chain(a="", b="a", c="b", d="")
    a, b, c = (chain.values[name] for name in "abc")
    assert chain.arranged("bc") == []
    order = arrange(chain.program, [[b, c]], {b: [a], c: [a]})
    assert [b, c] in order


def test_later_phases_go_when_nothing_else_can() -> None:
    chain = Chain(a="", b="", c="", d="")
    a, c = chain.values["a"], chain.values["c"]
    order = arrange(chain.program, [[a], [c]], phases=[2, 1])
    assert order[-2:] == [[c], [a]]


def test_random_groups_never_deadlock(rng: np.random.Generator) -> None:
    names = "abcdefghijklmnopqrstuvwxyz"
    for _ in range(200):
        sums = {
            name: "".join(rng.choice(list(names[:n]), rng.integers(0, 3))) if n else ""
            for n, name in enumerate(names)
        }
        chain = Chain(**sums)
        shuffled = "".join(rng.permutation(list(names)))
        cuts = sorted(rng.integers(0, 26, 4))
        groups = [shuffled[i:j] for i, j in zip([0, *cuts], [*cuts, 26], strict=True)]
        phases = [int(p) for p in rng.integers(0, 3, len(groups))]
        chain.arranged(*groups, phases=phases)


# ---- steps that could not be compiled --------------------------------------------------


def weights(seed: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    return [Tensor(0.5 * rng.normal(size=shape)) for shape in shapes]


def gradients_of(tensors: list[Tensor]) -> list[Any]:
    """The gradients, read and forgotten."""
    gradients = [t.gradient for t in tensors]
    for tensor in tensors:
        tensor.reset()
    return gradients


def two_updates() -> Any:
    """Of one weight, over the same inputs."""
    (w,) = weights(1, (3, 2))

    def step(xs: Any) -> Any:
        for _ in range(2):
            autodiff.backward(sum(ops.square(x @ w).sum() for x in xs))
            w.assign(w.value - 0.01 * w.gradient)
        return w.value * 1.0

    return step, [w]


def three_updates_of_gates() -> Any:
    """Of several weights, by Adam: each update stacks what the gates have in common."""
    cell = nn.LSTM(3, 3, random=1)
    optimiser = optim.Adam(cell, 0.01, epsilon=1e-3)

    def step(xs: Any) -> Any:
        for _ in range(3):
            h, c = cell.initial_state(2)
            loss: Any = 0.0
            for x in xs:
                h, c = cell(x, h, c)
                loss = loss + ops.square(h).sum()
            autodiff.backward(loss)
            optimiser.step()
        return loss

    return step, [*cell.parameters(), *optimiser.state.values()]


def penalty() -> Any:
    """On the gradient with respect to the weight, which reads every x twice."""
    w, v = weights(2, (3, 3), (3, 2))

    def step(xs: Any) -> Any:
        loss = sum(ops.square(ops.tanh(x @ w) @ v).sum() for x in xs)
        (g,) = autodiff.gradients(loss, [w])
        total = loss + 0.1 * ops.square(g).sum()
        autodiff.backward(total)
        return total, *gradients_of([w, v])

    return step, [w, v]


def torch_gru() -> Any:
    W, U = weights(3, (3, 4), (3, 4), (3, 4)), weights(4, (4, 4), (4, 4), (4, 4))

    def step(xs: Any) -> Any:
        h: Any = np.zeros((2, 4))
        for x in xs:
            z, r = (ops.sigmoid(x @ W[k] + h @ U[k]) for k in (0, 1))
            h = (1.0 - z) * ops.tanh(x @ W[2] + r * (h @ U[2])) + z * h
        return h

    return step, [*W, *U]


def gate_on_the_input_only() -> Any:
    W, U = weights(5, *[(3, 4)] * 4), weights(6, *[(4, 4)] * 3)

    def step(xs: Any) -> Any:
        h: Any = np.zeros((2, 4))
        c: Any = np.zeros((2, 4))
        loss: Any = 0.0
        for x in xs:
            i = ops.sigmoid(x @ W[0])
            f, o = (ops.sigmoid(x @ W[k + 1] + h @ U[k]) for k in (0, 1))
            c = f * c + i * ops.tanh(x @ W[3] + h @ U[2])
            h = o * ops.tanh(c)
            loss = loss + ops.square(h).sum()
        autodiff.backward(loss)
        return loss, *gradients_of([*W, *U])

    return step, [*W, *U]


STEPS = [two_updates, three_updates_of_gates, penalty, torch_gru, gate_on_the_input_only]


@pytest.mark.parametrize("build", STEPS)
def test_steps(build: Callable[[], Any], rng: np.random.Generator) -> None:
    check(build, *[(rng.normal(size=(3, 2, 3)),) for _ in range(2)], rtol=1e-10)


def recording_of(build: Callable[[], Any], xs: Any) -> Recording:
    recording: Recording = autodiff.compile(build()[0]).recording(xs)
    return recording


def test_each_of_two_updates_stacks_its_own_products() -> None:
    recording = recording_of(two_updates, np.ones((6, 2, 3)))
    shapes = Counter((i.m, i.n, i.k) for i in recording.code.instructions if isinstance(i, Gemm))
    # Forward one product of all rows, and one for the gradient, in each of the updates.
    assert shapes == {(12, 2, 3): 2, (3, 2, 12): 2}


def test_each_of_three_updates_stacks_the_products_of_each_gate() -> None:
    recording = recording_of(three_updates_of_gates, np.ones((4, 2, 3)))
    shapes = Counter((i.m, i.n, i.k) for i in recording.code.instructions if isinstance(i, Gemm))
    assert shapes[6, 3, 8] == 3 * 4  # over all steps; [x h] is 6 wide
    assert shapes[6, 3, 2] == 0


def test_two_sequences_through_one_cell_run_side_by_side() -> None:
    (U,) = weights(7, (3, 3))

    def step(h: Any, k: Any) -> Any:
        for _ in range(5):
            h, k = ops.tanh(h @ U), ops.tanh(k @ U)
        return h, k

    recording: Recording = autodiff.compile(step).recording(np.ones((2, 3)), np.ones((2, 3)))
    shapes = [(i.m, i.n, i.k) for i in recording.code.instructions if isinstance(i, Gemm)]
    assert shapes == [(4, 3, 3)] * 5


def test_circles_cost_no_more_than_in_proportion_to_the_steps() -> None:
    def seconds(n_steps: int) -> float:
        best = 1e9
        for _ in range(2):
            build = autodiff.compile(gate_on_the_input_only()[0])
            start = time.process_time()
            build.recording(np.ones((n_steps, 1, 3)))
            best = min(best, time.process_time() - start)
        return best

    assert seconds(160) < 2.5 * 8 * seconds(20)


# ---- tensors that are assigned ---------------------------------------------------------


def test_tensors_that_are_assigned_themselves_beside_two_that_are_swapped() -> None:
    def build() -> Any:
        same, too, a, b = weights(8, (2, 2), (2, 2), (2, 2), (2, 2))

        def step(x: Any) -> Any:
            same.assign(same)
            too.assign(too)
            old = a.value * 1.0
            a.assign(b + x)
            b.assign(old - x)
            return same * 2.0

        return step, [same, too, a, b]

    check(build, (np.ones((2, 2)),), (np.zeros((2, 2)),))


def test_an_early_new_value_waits_for_late_readers_of_the_old_one() -> None:
    def build() -> Any:
        (w, scale) = weights(9, (3,), ())

        def step(x: Any) -> Any:
            old = scale.value * 1.0
            scale.assign(ops.tanh(w.sum()))
            return ops.sin(ops.tanh(x * 2.0) + old).sum()

        return step, [w, scale]

    check(build, (np.ones((2, 3)),), (np.zeros((2, 3)),))


def test_the_code_is_the_same_every_time() -> None:
    texts = set()
    for _ in range(4):
        step = autodiff.compile(gate_on_the_input_only()[0])
        code = step.recording(np.ones((5, 2, 3))).code
        texts.add(repr((code.instructions, code.arena_size, code.results)))
    assert len(texts) == 1
