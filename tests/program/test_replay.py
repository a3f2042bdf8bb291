"""Replay: calls, scans, threads, interruptions, memory."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref
from typing import Any

import numpy as np
import pytest
from interrupts import interrupted_when

import autodiff
from autodiff import Tensor, nn, ops
from autodiff.errors import IndexRangeError, ShapeError

pytest.importorskip("autodiff._core")


def lstm_step() -> tuple[Any, list[Tensor]]:
    lstm = nn.LSTM(2, 4, random=1)
    optimiser = autodiff.optim.Adam(lstm.parameters(), 0.01)
    start = lstm.initial_state(1)

    @autodiff.compile
    def step(window: Any, target: Any) -> Any:
        h, c = start
        for x in window:
            h, c = lstm(x, h, c)
        loss = ops.square(h - target).sum()
        loss.backward()
        optimiser.step()
        start[0].assign(h)
        start[1].assign(c)
        return loss, {"h": h}

    return step, [*optimiser.parameters, *optimiser.state.values(), *start]


def stacks(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.normal(size=(n, 3, 1, 2)), rng.normal(size=(n, 1, 4))


def test_a_scan_is_a_loop_of_calls() -> None:
    (one, one_tensors), (two, two_tensors) = lstm_step(), lstm_step()
    windows, targets = stacks(20)
    called = [one(x, y) for x, y in zip(windows, targets, strict=True)]
    losses, rest = two.scan(windows, targets)
    assert losses.shape == (20,)
    assert losses.tolist() == [loss for loss, _ in called]
    np.testing.assert_array_equal(rest["h"], [r["h"] for _, r in called])
    for a, b in zip(one_tensors, two_tensors, strict=True):
        np.testing.assert_array_equal(a.value, b.value)
    later = two.scan(windows[:1], targets[:1])[0]  # it goes on from there
    assert later[0] == one(windows[0], targets[0])[0]


def test_a_scan_of_no_steps() -> None:
    step, tensors = lstm_step()
    windows, targets = stacks(2)
    step(windows[0], targets[0])
    before = [t.value.tobytes() for t in tensors]
    losses, rest = step.scan(windows[:0], targets[:0])
    assert losses.shape == (0,)
    assert rest["h"].shape == (0, 1, 4)
    assert [t.value.tobytes() for t in tensors] == before


def test_scans_of_scalars_dicts_and_words() -> None:
    total = Tensor(0.0)

    @autodiff.compile
    def step(x: Any, options: Any, mode: str) -> Any:
        total.assign(total.value + x["a"] * options[0])
        return total if mode == "total" else x["a"]

    a, b = np.arange(4.0), np.full(4, 2.0)
    assert step.scan({"a": a}, [b], "total").tolist() == [0.0, 2.0, 6.0, 12.0]
    assert step.scan({"a": a}, [b], "a").tolist() == [0.0, 1.0, 2.0, 3.0]
    assert total.value == 24.0


def test_leading_axes_must_agree() -> None:
    step = autodiff.compile(lambda x, y: x + y)
    with pytest.raises(ShapeError, match=r"leading axis.*\(3,\), \(4,\)"):
        step.scan(np.zeros(3), np.zeros(4))
    with pytest.raises(ShapeError, match="leading axis"):
        step.scan(np.zeros(3), 1.0)


def test_a_scan_within_a_recording_is_refused() -> None:
    inner = autodiff.compile(lambda x: x * 2)

    @autodiff.compile
    def step(x: Any) -> Any:
        return inner.scan(x)

    with pytest.raises(TypeError, match="scan"):
        step(np.ones(3))


def test_results_are_fresh() -> None:
    w = Tensor(np.ones(3))

    @autodiff.compile
    def step(x: Any) -> Any:
        w.assign(w.value + x)
        return w, x, w.value * 2

    first = step(np.ones(3))
    kept = [np.array(r) for r in first]
    second = step(np.ones(3))
    for a, b in zip(first, kept, strict=True):
        np.testing.assert_array_equal(a, b)
    first[0][:] = 100.0
    assert w.value.tolist() == [3.0] * 3
    assert second[0].tolist() == [3.0] * 3


def test_arguments_are_not_written() -> None:
    w = Tensor(np.ones(3))

    @autodiff.compile
    def step(x: Any) -> Any:
        w.assign(x)
        w.assign(w.value * 2)
        return x

    x = np.ones(3)
    x.flags.writeable = False
    assert step(x).tolist() == [1.0] * 3
    assert step(x).tolist() == [1.0] * 3


def test_interrupted_scan_keeps_the_last_finished_step() -> None:
    n, count = Tensor(0.0), Tensor(np.zeros((60, 60)))

    @autodiff.compile
    def step(x: Any) -> Any:
        n.assign(n.value + 1.0)
        count.assign(count.value + 1.0)
        return (count.value @ count.value).sum() * x

    step(1.0)
    with interrupted_when(lambda: n.stored[()] >= 3.0):
        step.scan(np.zeros(2_000_000))
    done = float(n.value)
    assert 3 <= done < 1_000_000
    assert (count.value == done).all()
    step(1.0)
    assert n.value == done + 1


# ---- threads ---------------------------------------------------------------------------


def in_threads(*functions: Any) -> None:
    errors: list[BaseException] = []

    def guarded(function: Any) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(f,)) for f in functions]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    if errors:
        raise errors[0]


def test_threads_calling_one_step() -> None:
    total = Tensor(np.zeros(200))

    @autodiff.compile
    def step(x: Any) -> Any:
        total.assign(total.value + x)
        return total.value, ops.tanh(x) * 0.0 + x

    def work(number: float) -> Any:
        def run() -> None:
            for _ in range(300):
                seen, own = step(np.full(200, number))
                assert (seen == seen[0]).all()
                assert (own == number).all()

        return run

    in_threads(*(work(float(n)) for n in (1, 2, 3, 4)))
    assert (total.value == 3000.0).all()


def test_threads_calling_steps_that_share_a_tensor() -> None:
    total = Tensor(np.zeros(200))

    def make(number: float) -> Any:
        own = Tensor(np.zeros(200))

        @autodiff.compile
        def step(x: Any) -> Any:
            total.assign(total.value + number)
            own.assign(own.value + total.value * 0.0 + x)
            return total.value, own.value

        def run() -> None:
            for i in range(200):
                seen, mine = step(1.0)
                assert (seen == seen[0]).all()
                assert (mine == i + 1).all()
            step.scan(np.ones(100))

        return run

    in_threads(*(make(float(n)) for n in (1, 2, 3)))
    assert (total.value == 1800.0).all()


def test_steps_whose_tensors_come_together_later_exclude_each_other() -> None:
    # Two steps with tensors of their own; then a third that touches both.
    a, b = Tensor(np.zeros(50_000)), Tensor(np.zeros(50_000))
    add_a = autodiff.compile(lambda x: a.assign(a.value + x))
    add_b = autodiff.compile(lambda x: b.assign(b.value + x))
    add_a(0.0)
    add_b(0.0)

    @autodiff.compile
    def both(x: Any) -> Any:
        a.assign(a.value + x)
        b.assign(b.value + x)
        return a.value, b.value

    both(0.0)

    def many(step: Any) -> Any:
        return lambda: [step(1.0) for _ in range(300)]

    in_threads(many(add_a), many(add_b), many(both))
    assert (a.value == 600.0).all()
    assert (b.value == 600.0).all()


def test_threads_recording_at_once() -> None:
    w = Tensor(np.ones((3, 3)))

    @autodiff.compile
    def step(x: Any) -> Any:
        y = ops.tanh(x @ w)
        y.sum().backward()
        return y, w.gradient

    def run() -> None:
        for n in range(1, 12):
            x = np.ones((n, 3))
            y, g = step(x)
            np.testing.assert_allclose(y, np.tanh(x @ np.ones((3, 3))), rtol=1e-14)
            np.testing.assert_allclose(g, n * (1 - np.tanh(3.0) ** 2), rtol=1e-9)

    in_threads(*[run] * 4)


def test_recordings_wait_for_each_other() -> None:
    w = Tensor(np.ones(3))
    y = ops.square(w).sum()

    def make() -> Any:
        @autodiff.compile
        def step(x: Any) -> Any:
            w.assign(w.value + x)
            time.sleep(0.02)  # now w holds no numbers
            return y.forward()

        return lambda: step(1.0)

    in_threads(*(make() for _ in range(3)))
    assert w.value.tolist() == [4.0] * 3
    assert y.forward() == 48.0


def test_a_recording_does_not_see_replays_of_other_threads() -> None:
    w = Tensor(np.ones(3))
    other = autodiff.compile(lambda x: w.assign(w.value + x))
    other(1.0)
    recording, replayed = threading.Event(), threading.Event()

    @autodiff.compile
    def step(x: Any) -> Any:
        loss = ops.square(w * x).sum()
        loss.forward()
        recording.set()
        replayed.wait(5.0)
        loss.backward()  # its values are not stale: it has none
        return w.gradient

    def replay() -> None:
        recording.wait(5.0)
        other(1.0)
        replayed.set()

    in_threads(lambda: step(1.0), replay)
    assert step(1.0).tolist() == [6.0] * 3


# ---- errors while running --------------------------------------------------------------


def test_a_row_that_does_not_exist() -> None:
    table, calls = Tensor(np.arange(6.0).reshape(3, 2), name="table"), Tensor(0.0)

    @autodiff.compile
    def step(rows: Any) -> Any:
        picked = ops.take(table, rows)
        picked.name = "picked"
        loss = picked.sum()
        loss.backward()
        table.assign(table.value - 0.1 * table.gradient)
        calls.assign(calls.value + 1.0)
        return loss

    assert step([0.0, 2.0]) == 10.0
    before = table.value.tobytes()
    for rows in ([0.0, 3.0], [0.5, 1.0], [np.nan, 0.0], [-4.0, 0.0]):
        with pytest.raises(IndexRangeError, match="take") as caught:
            step(rows)
        assert "picked" in str(caught.value)
        assert isinstance(caught.value, IndexError)
        assert table.value.tobytes() == before
    assert calls.value == 1.0
    assert step([-1.0, 0.0]) == pytest.approx(9.6)
    with pytest.raises(IndexRangeError, match="step 1"):
        step.scan(np.array([[0.0, 1.0], [0.0, 7.0], [0.0, 1.0]]))
    assert calls.value == 3.0


# ---- memory ----------------------------------------------------------------------------


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_memory_does_not_grow_over_replays() -> None:
    step, _ = lstm_step()
    windows, targets = stacks(1)
    for _ in range(2000):
        step(windows[0], targets[0])
    gc.collect()
    before = resident()
    for _ in range(10_000):
        step(windows[0], targets[0])
    assert resident() - before < 1 << 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_memory_does_not_grow_over_recordings() -> None:
    w = Tensor(np.ones((200, 200)))

    def once() -> None:
        @autodiff.compile
        def step(x: Any) -> Any:
            loss = ops.square(x @ w).sum()
            loss.backward()
            w.assign(w.value - 1e-9 * w.gradient)
            return loss

        step(np.ones((100, 200)))

    for _ in range(20):
        once()
    gc.collect()
    before = resident()
    for _ in range(100):
        once()
    gc.collect()
    assert resident() - before < 4 << 20


def test_a_step_that_is_gone_leaves_nothing() -> None:
    held = [Tensor(np.ones(3))]
    kept = weakref.ref(held[0])

    def once() -> None:
        w = held[0]
        step = autodiff.compile(lambda x: w.assign(w.value + x))
        step(1.0)

    once()
    gc.collect()
    assert held[0].value.tolist() == [2.0] * 3
    held.clear()
    gc.collect()
    assert kept() is None
