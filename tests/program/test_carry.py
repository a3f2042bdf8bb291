"""Scans whose packed weights stay packed: the same numbers as a loop of calls."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from interrupts import interrupted_when
from programs import program_of

import autodiff
from autodiff import Tensor, nn
from autodiff.errors import IndexRangeError
from autodiff.program.code.emulate import Emulator
from autodiff.program.code.kinds.take import Take
from autodiff.program.code.verify import verify_program
from autodiff.program.interpret import interpret
from autodiff.program.passes.carry import carry

try:
    from autodiff import _core
except ImportError:
    _core = None

# One product of packed weights adds the same terms in the same order as one product a
# weight, but sums of short rows may be taken in other lanes.
RTOL = 1e-13

ROWS = 4  # of the state: packing pays


class Gates:
    """A state h and three weights that it meets in every step, each updated by SGD."""

    def __init__(self, n: int = 5, names: str = "abc") -> None:
        random = np.random.default_rng(7)
        self.weights = [Tensor(random.normal(size=(n, n + i)) / n, name=x)
                        for i, x in enumerate(names)]  # fmt: skip
        self.h = Tensor(np.zeros((ROWS, n)), name="h")
        self.table = Tensor(random.normal(size=(6, n)), name="table")
        self.tensors = [*self.weights, self.h, self.table]
        self.rate = 0.05

    def loss(self, x: Any) -> Any:
        self.h.assign(x)
        gates = [autodiff.tanh(self.h @ w) for w in self.weights]
        return (autodiff.concat(gates, axis=1) ** 2).sum()

    def update(self) -> None:
        for w in self.weights:
            w.assign(w.value - self.rate * w.gradient)

    def step(self, x: Any) -> Any:
        loss = self.loss(x)
        loss.backward()
        self.update()
        return loss

    def values(self) -> list[np.ndarray]:
        return [np.array(t.value) for t in self.tensors]


def rows_of(n_steps: int, n: int = 5) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(n_steps, ROWS, n))


def assert_same(found: list[np.ndarray], wanted: list[np.ndarray], rtol: float = RTOL) -> None:
    for f, w in zip(found, wanted, strict=True):
        np.testing.assert_allclose(f, w, rtol=rtol, atol=rtol)


def carries(step: Any, *arguments: Any) -> bool:
    return step.recording(*arguments).scans().before is not None


def compare(one: Gates, function: Any, other: Gates, twin: Any, xs: np.ndarray) -> Any:
    """A scan of the one is a loop of calls of the other; returns the compiled step."""
    step, calls = autodiff.compile(function), autodiff.compile(twin)
    scanned = step.scan(xs)
    called = [calls(x) for x in xs]
    columns = list(zip(*called, strict=True)) if isinstance(called[0], tuple) else [called]
    scanned = scanned if isinstance(scanned, tuple) else (scanned,)
    for s, c in zip(scanned, columns, strict=True):
        np.testing.assert_allclose(s, np.array(c), rtol=RTOL, atol=RTOL)
    assert_same(one.values(), other.values())
    return step


@pytest.mark.parametrize("n_steps", [0, 1, 2, 50, 3000])
def test_a_scan_is_a_loop_of_calls(n_steps):
    one, other = Gates(), Gates()
    xs = rows_of(n_steps)
    step, calls = autodiff.compile(one.step), autodiff.compile(other.step)
    losses = step.scan(xs)
    assert carries(step, xs[0] if n_steps else np.zeros((ROWS, 5)))
    np.testing.assert_allclose(losses, [calls(x) for x in xs], rtol=1e-11)
    assert_same(one.values(), other.values(), 1e-11)


def test_the_programs_are_sound_and_say_the_same():
    one, other = Gates(), Gates()
    xs = rows_of(20)
    recording = autodiff.compile(one.step).recording(xs[0])
    from autodiff.program.passes import carry

    carried = carry(recording.improved)
    assert carried is not None
    for program in (carried.before, carried.body, carried.after):
        verify_program(program)
    interpret(carried.before, [])
    losses = [interpret(carried.body, [x])[0] for x in xs]
    interpret(carried.after, [])
    twin = autodiff.compile(other.step)
    np.testing.assert_allclose(losses, [twin(x) for x in xs], rtol=RTOL)
    assert_same(one.values()[:3], other.values()[:3])


def test_nothing_is_packed_within_the_steps():
    gates = Gates()
    scans = autodiff.compile(gates.step).recording(np.zeros((ROWS, 5))).scans()
    written = {scans.code.names.get(n) for n in range(len(scans.code.buffers))}
    assert "packed" in written
    assert not written & {"a", "b", "c"}


def test_without_carry():
    one, other = Gates(), Gates()
    xs = rows_of(30)
    step, plain = autodiff.compile(one.step), autodiff.compile(other.step, without=("carry",))
    assert carries(step, xs[0])
    assert not carries(plain, xs[0])
    np.testing.assert_allclose(step.scan(xs), plain.scan(xs), rtol=RTOL)
    assert_same(one.values(), other.values())


def test_interleaved_with_other_steps_on_the_same_tensors():
    one, other = Gates(), Gates()
    xs = rows_of(12)
    for gates, way in ((one, "scan"), (other, "calls")):
        step = autodiff.compile(gates.step)
        halve = autodiff.compile(lambda w=gates.weights[1]: w.assign(0.5 * w.value))
        for k in range(4):
            if way == "scan":
                step.scan(xs[3 * k : 3 * k + 3])
            else:
                for x in xs[3 * k : 3 * k + 3]:
                    step(x)
            halve()
            gates.weights[0].assign(gates.weights[0].value * 1.125)
            step(xs[k])
            gates.step(xs[k])  # eagerly
    assert_same(one.values(), other.values())


def test_what_else_looks_at_the_weights():
    """Results that show a weight before and after, and a tensor that follows one."""

    def made() -> tuple[Gates, Any]:
        gates = Gates()
        average = Tensor(np.zeros((5, 6)), name="average")
        last = Tensor(np.zeros((5, 5)), name="last")
        gates.tensors += [average, last]

        def step(x):
            old = gates.weights[0].value
            loss = gates.loss(x)
            loss.backward()
            last.assign(gates.weights[0].value)
            gates.update()
            average.assign(0.5 * average.value + gates.weights[1].value)
            return loss, old, gates.weights[0].value, gates.weights[2].value.sum()

        return gates, step

    (one, step), (other, twin) = made(), made()
    step = compare(one, step, other, twin, rows_of(40))
    assert carries(step, np.zeros((ROWS, 5)))


def test_weights_that_are_updated_in_turn_are_not_carried():
    def made() -> tuple[Gates, Any]:
        gates = Gates(names="ab")

        def step(x):
            a, b = gates.weights
            loss = gates.loss(x)
            loss.backward()
            a.assign(a.value - gates.rate * a.gradient)
            g = gates.h.value.T @ (np.ones((ROWS, 6)) * a.value.sum())
            b.assign(b.value - gates.rate * g)
            return loss

        return gates, step

    (one, step), (other, twin) = made(), made()
    step = compare(one, step, other, twin, rows_of(40))
    assert not carries(step, np.zeros((ROWS, 5)))


def test_a_bad_row_number_leaves_the_last_finished_step():
    def made() -> tuple[Gates, Any]:
        gates = Gates()

        def step(row):
            loss = gates.loss(autodiff.take(gates.table, row).value)
            loss.backward()
            gates.update()
            return loss

        return gates, step

    (one, step), (other, twin) = made(), made()
    rows = np.array([[0.0, 1, 2, 3], [3, 3, 3, 3], [5, 4, 5, -6], [2, 1, 0, 0], [0, 6, 1, 2]])
    compiled, calls = autodiff.compile(step), autodiff.compile(twin)
    with pytest.raises(IndexRangeError, match=r"take: .*step 4.* 6 is no row of 6.*"):
        compiled.scan(rows)
    assert carries(compiled, rows[0])
    for row in rows[:4]:
        calls(row)
    assert_same(one.values()[:3], other.values()[:3])
    compiled.scan(rows[:3])
    for row in rows[:3]:
        calls(row)
    assert_same(one.values()[:3], other.values()[:3])


@pytest.mark.skipif(_core is None, reason="needs the executor")
def test_a_signal_leaves_the_last_finished_step():
    one, other = Gates(), Gates()
    step, twin = autodiff.compile(one.step), autodiff.compile(other.step)
    counted = Tensor(0.0)

    def counting(x):
        loss = one.step(x)
        counted.assign(counted.value + 1.0)
        return loss

    step = autodiff.compile(counting)
    xs = np.repeat(rows_of(1), 2_000_000, axis=0)
    step.scan(xs[:1])
    with interrupted_when(lambda: counted.stored[()] > 1.0):
        step.scan(xs)
    assert carries(step, xs[0])
    n = int(counted.value)
    assert 1 < n < len(xs)
    twin.scan(xs[:n])
    assert_same(one.values(), other.values())


@pytest.mark.skipif(_core is None, reason="needs the executor")
def test_other_threads_see_finished_steps():
    gates = Gates()
    gates.rate = 1e-6
    w = gates.weights
    w[1].assign(w[0].value[:, :5] @ np.eye(5, 6))
    w[2].assign(w[0].value[:, :5] @ np.eye(5, 7))

    def push(x):  # all weights move alike, wherever they are
        gates.h.assign(x)
        sum(((gates.h @ t) ** 2).sum() for t in w).backward()
        gates.update()

    step = autodiff.compile(push)
    look = autodiff.compile(lambda: tuple(t.value for t in w))
    step.scan(rows_of(1))
    assert carries(step, rows_of(1)[0])
    thread = threading.Thread(target=lambda: step.scan(rows_of(100_000)))
    thread.start()
    seen = 0
    while thread.is_alive():
        a, b, c = look()
        np.testing.assert_allclose(a, b[:, :5], rtol=0, atol=1e-9)
        np.testing.assert_allclose(a, c[:, :5], rtol=0, atol=1e-9)
        seen += 1
    thread.join()
    assert seen > 0


def test_the_emulator_scans_alike():
    one, other = Gates(), Gates()
    xs = rows_of(10)
    recording = autodiff.compile(one.step).recording(xs[0])
    from autodiff.program.code.lower import lower
    from autodiff.program.passes import carry

    carried = carry(recording.improved)
    assert carried is not None
    body, before, after = (
        Emulator(lower(p)) for p in (carried.body, carried.before, carried.after)
    )
    (losses,) = body.scan(10, xs, before=before, after=after)
    twin = autodiff.compile(other.step)
    np.testing.assert_allclose(losses, [twin(x) for x in xs], rtol=RTOL)
    assert_same(one.values()[:3], other.values()[:3])


@pytest.mark.skipif(_core is None, reason="needs the executor")
def test_programs_around_a_scan_take_and_return_nothing():
    nothing = program_of(0, [], [], [], [])
    takes = program_of(0, [()], [], [], [])
    returns = program_of(1, [], [], [], [((0, 0), ())])
    fails = program_of(2, [], [np.zeros(2)], [Take(1, 1, 1, (1, 0), (1, 1), (0, 0))], [])
    assert nothing.scan(3, before=nothing, after=nothing) == ()
    for bad in (takes, returns, fails):
        with pytest.raises(ValueError, match="around a scan"):
            nothing.scan(3, before=bad)
        with pytest.raises(ValueError, match="around a scan"):
            nothing.scan(3, after=bad)
    with pytest.raises(TypeError):
        nothing.scan(3, before=7)


def test_biases_are_packed_added_at_once_and_carried() -> None:
    """One bias of the width of all gates is added in a step, and updated in place in a scan."""
    cell = nn.LSTM(2, 3, random=0)
    rate = 0.1

    def step(xs: Any) -> Any:
        h, c = cell.initial_state(1)
        for x in xs:
            h, c = cell(x, h, c)
        loss = autodiff.square(h).sum()
        autodiff.backward(loss)
        for p in cell.parameters():
            p.assign(p.value - rate * p.gradient)
        return loss

    xs = np.random.default_rng(0).normal(size=(4, 5, 1, 2))
    compiled = autodiff.compile(step)
    improved = compiled.recording(xs[0]).improved
    assert sum(i.op.name == "add" and i.output.shape == (1, 12) for i in improved.instructions) == 5
    carried = carry(improved)
    assert carried is not None
    assert sorted(state.shape for state, _ in carried.before.writes) == [(1, 12), (5, 12)]
    start = [np.array(p.value) for p in cell.parameters()]
    losses = compiled.scan(xs)
    ends = [np.array(p.value) for p in cell.parameters()]
    for p, value in zip(cell.parameters(), start, strict=True):
        p.assign(value)
    np.testing.assert_allclose([float(step(x)) for x in xs], losses, rtol=1e-13)
    for p, end in zip(cell.parameters(), ends, strict=True):
        np.testing.assert_allclose(p.value, end, rtol=1e-12, atol=1e-15)
