"""Many buffers read and written at one moment, sealed arrays, and the locks behind them."""

from __future__ import annotations

import pickle
import signal
import threading
import time
import types
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from programs import elementwise, program_of

core = pytest.importorskip("autodiff._core")

SHAPES = [(), (1,), (7,), (8,), (3, 5), (100, 3), (0,), (3, 0, 2), (1, 1, 1)]


def bases(array: Any) -> list[Any]:
    """The array, its base, the base of that, ..."""
    found = []
    while array is not None:
        found.append(array)
        array = getattr(array, "base", None)
    return found


def assert_sealed(array: np.ndarray) -> None:
    for x in bases(array):
        if isinstance(x, np.ndarray):
            assert not x.flags.writeable
            with pytest.raises(ValueError, match="WRITEABLE"):
                x.flags.writeable = True
            with pytest.raises(ValueError, match="WRITEABLE"):
                x.setflags(write=True)
            assert memoryview(x).readonly
        else:
            with pytest.raises(TypeError):
                memoryview(x)
            with pytest.raises(TypeError):
                pickle.dumps(x)
            assert not any(isinstance(getattr(x, name), np.ndarray) for name in dir(x))
    for view in (array[...], array.view(), array.reshape(-1), array.T, np.asarray(array)):
        assert not view.flags.writeable
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.flags.writeable = True


# ---- sealed arrays ----------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_a_sealed_array_shows_the_same_memory(shape, rng):
    x = np.array(rng.normal(size=shape))
    shown = core.sealed(x)
    assert_sealed(shown)
    assert type(shown) is np.ndarray
    assert shown.shape == shape
    assert (shown.dtype, shown.flags.c_contiguous, shown.flags.aligned) == (x.dtype, True, True)
    x[...] = 5.0
    np.testing.assert_array_equal(shown, x)
    assert shown.__array_interface__["data"] == (x.__array_interface__["data"][0], True)


def test_a_sealed_array_keeps_the_memory():
    x = np.arange(1000.0)
    shown = core.sealed(x)
    del x
    np.testing.assert_array_equal(shown, np.arange(1000.0))
    part = shown[3:7]
    del shown
    np.testing.assert_array_equal(part, [3.0, 4.0, 5.0, 6.0])


def test_what_cannot_be_sealed():
    for wrong in (1.0, [1.0], np.arange(3), np.zeros((3, 4)).T, np.zeros(3, ">f8"), None):
        with pytest.raises(TypeError, match="float64"):
            core.sealed(wrong)


# ---- reading ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lock", [None, core.Lock()])
def test_read(shape, lock, rng):
    x = np.array(rng.normal(size=shape))
    (copy,) = core.read_together([x], [lock])
    assert_sealed(copy)
    assert copy.shape == shape
    np.testing.assert_array_equal(copy, x)
    before = x.copy()
    x += 1.0
    np.testing.assert_array_equal(copy, before)
    if copy.size >= 8:
        assert copy.__array_interface__["data"][0] % 64 == 0


def test_read_many(rng):
    locks = [core.Lock(), core.Lock(), None]
    locks[0].join(locks[1])
    arrays = [rng.normal(size=i % 7) for i in range(50)]
    for _ in range(3):  # they are released each time
        copies = core.read_together(iter(arrays), (locks[i % 3] for i in range(50)))
        for copy, x in zip(copies, arrays, strict=True):
            np.testing.assert_array_equal(copy, x)
    assert core.read_together([], []) == []


def test_what_cannot_be_read():
    x, lock = np.zeros(3), core.Lock()
    with pytest.raises(TypeError, match="array 1 is no"):
        core.read_together([x, [1.0]], [lock, lock])
    with pytest.raises(TypeError, match="lock 1 is a str"):
        core.read_together([x, x], [lock, "lock"])
    with pytest.raises(ValueError, match="1 locks for 2 arrays"):
        core.read_together([x, x], [lock])
    core.read_together([x], [lock])


# ---- writing ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_write(shape, rng):
    x, value = np.zeros(shape), np.array(rng.normal(size=shape))
    core.write_together([x], [value], [core.Lock()])
    np.testing.assert_array_equal(x, value)


def test_write_many(rng):
    lock = core.Lock()
    buffers = [np.zeros(i % 7) if i % 3 else np.array(0.0) for i in range(50)]
    values = [np.array(rng.normal(size=x.shape)) if i % 2 else
              rng.normal(size=x.shape) for i, x in enumerate(buffers)]  # fmt: skip
    values[0], values[6], values[12] = 1.5, 2, True
    core.write_together(buffers, values, [lock if i % 5 else None for i in range(50)])
    for x, value in zip(buffers, values, strict=True):
        np.testing.assert_array_equal(x, value)
    core.write_together([], [], [])


@pytest.mark.parametrize("n", [2, 3, 20])
@pytest.mark.parametrize("order", [1, -1])
def test_all_values_are_read_before_one_is_written(n, order, rng):
    memory = rng.normal(size=(n, 6))
    buffers = list(memory)[::order]
    values = buffers[1:] + buffers[:1]
    wanted = [value.copy() for value in values]
    core.write_together(buffers, values, [None] * n)
    for x, value in zip(buffers, wanted, strict=True):
        np.testing.assert_array_equal(x, value)


def test_values_that_lie_across_buffers():
    memory = np.arange(20.0)
    core.write_together([memory[4:8], memory[8:12]], [memory[6:10], memory[2:6]], [None] * 2)
    wanted = np.arange(20.0)
    wanted[4:12] = [6, 7, 8, 9, 2, 3, 4, 5]
    np.testing.assert_array_equal(memory, wanted)
    memory = np.arange(20.0)
    core.write_together([memory[4:14]], [memory[2:12]], [None])
    np.testing.assert_array_equal(memory[4:14], np.arange(2.0, 12.0))
    cell = np.array(3.0)
    core.write_together([cell, memory[:1]], [7.0, cell.reshape(1)], [None] * 2)
    assert (cell, memory[0]) == (7.0, 3.0)


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        (np.zeros(4), ValueError, r"value 1 has shape \(4,\), not \(3,\)"),
        (1.0, TypeError, "value 1 is no"),
        (np.zeros(3, int), TypeError, "value 1 is no"),
        (np.zeros(6)[::2], TypeError, "value 1 is no"),
        (None, TypeError, "value 1 is no"),
    ],
)
def test_all_or_nothing(value, error, match):
    x, y = np.zeros(3), np.zeros(3)
    with pytest.raises(error, match=match):
        core.write_together([x, y], [np.ones(3), value], [None, None])
    assert not x.any()


def test_what_cannot_be_written():
    x, fixed, cell, one = np.zeros(3), np.zeros(3), np.array(0.0), np.ones(3)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="buffer 1 is read-only"):
        core.write_together([x, fixed], [one, one], [None, None])
    with pytest.raises(OverflowError):
        core.write_together([x, cell], [one, 10**400], [None, None])
    with pytest.raises(ValueError, match="1 values for 2 buffers"):
        core.write_together([x, x], [one], [None, None])
    with pytest.raises(ValueError, match="1 locks for 2 arrays"):
        core.write_together([x, x], [one, one], [None])
    with pytest.raises(TypeError, match="lock 1 is a int"):
        core.write_together([x, x], [one, one], [None, 1])
    with pytest.raises(TypeError, match="buffer 0 is no"):
        core.write_together([[0.0]], [one], [None])
    assert not x.any()


class Slots:
    __slots__ = ("array", "number")


def test_attributes_are_set_in_the_same_moment():
    things, lock = [Slots() for _ in range(3)], core.Lock()
    x, module = np.zeros(3), types.ModuleType("module")
    attributes = [(thing, "number", i) for i, thing in enumerate(things)]
    attributes += [(things[0], "array", x), (module, "epoch", "new"), (things[2], "number", 7)]
    core.write_together([x], [np.ones(3)], [lock], attributes)
    assert [thing.number for thing in things] == [0, 1, 7]
    assert things[0].array is x
    assert module.epoch == "new"
    core.write_together([], [], [], [(things[0], "number", 8)])
    assert things[0].number == 8


def test_attributes_are_checked_first():
    x, lock, thing = np.zeros(3), core.Lock(), Slots()
    for wrong in ((thing, "number"), (thing, 3, 4), [thing, "number", 3], None):
        with pytest.raises(TypeError, match="attribute 1 is not"):
            core.write_together([x], [np.ones(3)], [lock], [(thing, "number", 1), wrong])
    assert not x.any()
    with pytest.raises(AttributeError):  # the caller's fault; the lock is free again
        core.write_together([x], [np.ones(3)], [lock], [(thing, "none", 1)])
    core.read_together([x], [lock])


def test_no_signal_comes_between():
    """A handler that looks whenever it can sees all or nothing."""
    buffers, things = [np.zeros(300) for _ in range(300)], [Slots() for _ in range(300)]
    for thing in things:
        thing.number = 0.0
    seen = set()

    def look(*_: object) -> None:
        seen.add((*(float(x[-1]) for x in buffers), *(t.number for t in things)))

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 5e-4, 5e-4)
    try:
        k = 0.0
        while k < 1000.0 or len(seen) < 20:
            k += 1.0
            values = [np.full(300, k)] * 300
            attributes = [(thing, "number", k) for thing in things]
            core.write_together(buffers, values, [None] * 300, attributes)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert all(len(set(state)) == 1 for state in seen)


# ---- while programs run -----------------------------------------------------------------


def adds(buffers: list[np.ndarray], lock: Any = None) -> Any:
    """A program that adds 1 to all numbers of the buffers, one buffer after the other."""
    one = np.array(1.0)
    code = [
        elementwise((x.size,), [((1 + i, 0), (1,)), ((1 + len(buffers), 0), (0,))],
         [("add", 0, 1, 0)])
        for i, x in enumerate(buffers)
    ]  # fmt: skip
    return program_of(0, [], [*buffers, one], code, [], lock)


@contextmanager
def running(*works: Callable[[], object]) -> Any:
    """Threads that repeat this, each begun once at least; their errors are raised here."""
    stop, errors = threading.Event(), []

    def repeat(work: Callable[[], object], begun: threading.Event) -> None:
        try:
            while not stop.is_set():
                work()
                begun.set()
        except BaseException as error:
            errors.append(error)
        begun.set()

    threads = []
    for work in works:
        begun = threading.Event()
        threads.append(threading.Thread(target=repeat, args=(work, begun), daemon=True))
        threads[-1].start()
        assert begun.wait(30)
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads), "it hangs"
        assert not errors, errors


def test_what_is_read_while_programs_run_is_whole():
    buffers = [np.zeros(100_000), np.zeros(100_000)]
    program = adds(buffers)
    seen = set()
    with running(program.run, program.run):
        for _ in range(100):
            x, y = core.read_together(buffers, [program.lock] * 2)
            assert x.min() == x.max() == y.min() == y.max()
            seen.add(float(x[0]))
    assert len(seen) > 1


def test_what_is_written_while_programs_run_is_whole():
    buffers = [np.zeros(50_000), np.zeros(50_000)]
    program = adds(buffers)
    with running(program.run):
        for k in range(100):
            x = np.full(50_000, 1e6 * k)
            core.write_together(buffers, [x, x], [program.lock] * 2)
            x, y = core.read_together(buffers, [program.lock] * 2)
            assert x.min() == x.max() == y.min() == y.max() >= 1e6 * k


def test_a_reader_is_not_overtaken_for_ever():
    x = np.zeros(100_000)
    program, n_steps = adds([x]), 30_000
    thread = threading.Thread(target=program.scan, args=(n_steps,), daemon=True)
    thread.start()
    while x[0] < 100:  # it has begun; it pauses for a microsecond about every millisecond
        time.sleep(0.001)
    before = x[0]
    for _ in range(10):
        core.read_together([x[:1]], [program.lock])
    assert x[0] - before < n_steps / 4
    thread.join(30)
    assert x[0] == n_steps


def test_locks_in_any_order_without_a_deadlock():
    locks = [core.Lock() for _ in range(4)]
    buffers = [np.zeros(1000) for _ in locks]
    programs = [adds([x], lock) for x, lock in zip(buffers, locks, strict=True)]

    def reader(order: tuple[int, ...]) -> Callable[[], object]:
        arrays, theirs = [buffers[i] for i in order], [locks[i] for i in order]
        return lambda: core.read_together(arrays, theirs)

    orders = [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)]
    with running(*map(reader, orders), *(p.run for p in programs)):
        for _ in range(50):
            core.write_together(buffers[::-1], buffers, locks[::-1])
            time.sleep(0)


@pytest.mark.parametrize("seed", range(5))
def test_locks_that_join_while_others_wait(seed):
    random = np.random.default_rng(seed)
    locks = [core.Lock() for _ in range(12)]
    buffers = [np.zeros(20_000) for _ in locks]
    programs = [adds([x], lock) for x, lock in zip(buffers, locks, strict=True)]

    def reader() -> None:
        for copy in core.read_together(buffers, locks):
            assert copy.min() == copy.max()

    def joiner(pairs: list[list[int]]) -> Callable[[], object]:
        rest = iter(pairs)
        return lambda: [locks[i].join(locks[k]) for i, k in [next(rest, (0, 0))]]

    pairs = random.integers(0, len(locks), (2, 12, 2)).tolist()
    run = [lambda p=p: p.run() for p in programs[:3]]
    with running(reader, reader, *run, *map(joiner, pairs)):
        for i in random.permutation(len(locks)):
            locks[i].join(locks[(i + 1) % len(locks)])
    both = adds([buffers[0]], locks[0]), adds([buffers[0]], locks[-1])
    with running(both[0].run, both[1].run):  # now one lock
        for _ in range(50):
            reader()


def test_locks_come_and_go():
    kept = []
    for i in range(1000):
        lock, other = core.Lock(), core.Lock()
        lock.join(other)
        if i % 3 == 0:
            kept.append(lock)
        if i % 7 == 0:
            kept[i // 13 % len(kept)].join(lock)
    core.read_together([np.zeros(2)] * len(kept), kept)
