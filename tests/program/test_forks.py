"""Children of a fork: whatever other threads were at, they work, and what they see is whole."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor, optim
from autodiff.graph import clock
from autodiff.program.code import load

pytest.importorskip("autodiff._core")
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def in_child(work: Callable[[], object], seconds: int = 20) -> None:
    """Fork; the child does the work within some seconds, or this fails."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(seconds)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert status != signal.SIGALRM, "the child hangs"
    assert status == 0, "the child failed: see stderr"


@contextlib.contextmanager
def meanwhile(*works: Callable[[], object]) -> Iterator[None]:
    """Threads that repeat this, each begun once at least; their errors are raised here."""
    stop, errors = threading.Event(), []
    begun = [threading.Event() for _ in works]

    def repeat(work: Callable[[], object], begun: threading.Event) -> None:
        try:
            while not stop.is_set():
                work()
                begun.set()
        except BaseException as error:
            errors.append(error)
            begun.set()

    threads = [threading.Thread(target=repeat, args=pair, daemon=True)
               for pair in zip(works, begun, strict=True)]  # fmt: skip
    for thread in threads:
        thread.start()
    try:
        assert all(event.wait(30) for event in begun)
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads), "the parent hangs"
        assert not errors, errors


def counting(n: int = 50_000) -> tuple[Any, list[Tensor]]:
    """A step that adds its argument to two large tensors, and the tensors."""
    tensors = [Tensor(np.zeros(n)), Tensor(np.zeros((n // 100, 100)))]

    @autodiff.compile
    def step(x):
        for w in tensors:
            w.assign(w + x)
        return x * 2.0

    step(1.0)
    return step, tensors


def level(tensors: list[Tensor]) -> float:
    """The number that all the tensors are full of."""
    low, high = min(w.value.min() for w in tensors), max(w.value.max() for w in tensors)
    assert low == high
    return float(low)


# ---- while other threads replay ----------------------------------------------------------


def test_fork_while_a_thread_replays():
    step, tensors = counting()

    def work() -> None:
        before = level(tensors)
        assert step(1.0) == 2.0
        assert level(tensors) == before + 1.0

    with meanwhile(lambda: step(1.0)):
        for _ in range(40):
            in_child(work)


def test_fork_while_several_threads_wait_for_each_other():
    step, tensors = counting()
    other, _ = counting()
    both = autodiff.compile(lambda x: [w.assign(w + x) for w in tensors] and x)

    def work() -> None:
        before = level(tensors)
        both(1.0)
        step(1.0)
        other(1.0)
        assert level(tensors) == before + 2.0

    with meanwhile(*[lambda s=s: s(1.0) for s in (step, both, other, step)]):
        for _ in range(30):
            in_child(work)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_fork_in_the_middle_of_a_scan(n_threads):
    before = autodiff.get_threads()
    tensors = [Tensor(np.zeros(30_000)), Tensor(np.zeros(30_000))]
    optimiser = optim.SGD(tensors, 1.0)

    @autodiff.compile
    def step(x):
        ((tensors[0] + tensors[1]) * -x).sum().backward()
        optimiser.step()
        return x

    xs = np.ones(2000)
    step.scan(xs[:3])

    def work() -> None:
        was = level(tensors)
        step.scan(xs[:5])
        step(1.0)
        assert level(tensors) == was + 6.0

    autodiff.set_threads(n_threads)
    try:
        with meanwhile(lambda: step.scan(xs)):
            for _ in range(30):
                in_child(work)
    finally:
        autodiff.set_threads(before)


def test_several_threads_fork_at_once():
    step, tensors = counting()
    work = [lambda: in_child(lambda: step(1.0))] * 3
    with meanwhile(lambda: step(1.0), *work):
        for _ in range(20):
            in_child(lambda: level(tensors))
    step(1.0)


def test_children_of_children():
    step, tensors = counting()

    def generation(n: int) -> None:
        before = level(tensors)
        with meanwhile(lambda: step(1.0)):
            if n:
                in_child(lambda: generation(n - 1))
        assert level(tensors) > before

    generation(3)


def test_what_was_computed_before_is_stale_in_the_child():
    """A thread has run a step, and has not said so to the graph when the process forks."""
    w = Tensor(np.zeros(3))
    step = autodiff.compile(lambda x: w.assign(w + x) or x)
    total = w.sum()
    step(1.0)
    assert total.forward() == 3.0
    step.recording(1.0).executor.run(1.0)

    def work() -> None:
        assert total.forward() == 6.0

    in_child(work)


# ---- while other threads do something else ------------------------------------------------


def test_fork_while_a_thread_records():
    w = Tensor(np.zeros(3))
    recording, go_on = threading.Event(), threading.Event()

    @autodiff.compile
    def step(x):
        if threading.current_thread() is thread:
            recording.set()
            assert go_on.wait(60)
        return (w * x).sum()

    thread = threading.Thread(target=lambda: step(np.ones((2, 3))), daemon=True)
    thread.start()
    assert recording.wait(30)

    def work() -> None:
        assert gc.isenabled()
        assert step(np.ones(3)) == 0.0
        assert step(np.ones((2, 3))) == 0.0
        assert (w.sum() + 1.0).value == 1.0

    try:
        in_child(work)
    finally:
        go_on.set()
        thread.join(30)


def test_fork_within_a_recording():
    def work() -> None:
        other = autodiff.compile(lambda x: x * 2.0)
        assert threading.Thread(target=lambda: None).start() is None
        del other

    @autodiff.compile
    def step(x):
        in_child(work)
        return x + 1.0

    assert step(1.0) == 2.0

    @autodiff.compile
    def leaving(x):
        nonlocal child
        if child == -1:  # both times that it is recorded, go on in both processes
            child = os.fork()
        return x + 1.0

    child, fine = -1, False
    try:
        fine = leaving(1.0) == 2.0 and leaving(np.ones(2)).sum() == 4.0
    finally:
        if child == 0:
            os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("lock", [load._loading, clock._lock])
def test_fork_while_a_thread_has_a_lock_of_the_library(lock):
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            go_on.wait(60)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert held.wait(30)

    def work() -> None:
        w = Tensor(np.ones(3))
        step = autodiff.compile(lambda x: w.assign(w * x) or w.sum())
        assert step(2.0) == 6.0

    try:
        in_child(work)
    finally:
        go_on.set()
        thread.join(30)


def test_fork_while_a_thread_changes_the_number_of_threads():
    before = autodiff.get_threads()
    step, _ = counting(400_000)
    numbers = itertools.cycle([1, 2, 3])

    def work() -> None:
        autodiff.set_threads(2)
        step(1.0)

    try:
        with meanwhile(lambda: autodiff.set_threads(next(numbers)), lambda: step(1.0)):
            for _ in range(30):
                in_child(work)
    finally:
        autodiff.set_threads(before)


def test_fork_while_programs_come_and_go():
    kept, _ = counting(1000)

    def come_and_go() -> None:
        step, tensors = counting(1000)
        step(1.0)
        level(tensors)

    with meanwhile(come_and_go, lambda: kept(1.0)):
        for _ in range(30):
            in_child(come_and_go)


def test_a_lock_made_during_the_fork():
    """Others' handlers may let a thread make a program, and run it, while the process forks."""
    run_script("""
        import os, signal, threading, time

        def late():
            global thread, program
            if not armed:
                return
            one = np.array(1.0)
            windows = Window((1, 0), (1,)), Window((2, 0), (0,))
            add = Map((x.size,), windows, (Apply("add", (0, 1), 0),), 1.0)
            program = program_of(Code(0, [], [x, one], [add]))
            thread = threading.Thread(target=program.run, daemon=True)
            thread.start()
            time.sleep(0.02)

        armed = False
        os.register_at_fork(before=late)  # the later ones are called first
        import numpy as np
        from autodiff.program.code.flat import Code
        from autodiff.program.code.kinds.map import Apply, Map, Window
        from autodiff.program.code.load import program_of
        x = np.zeros(1_000_000)
        armed = True
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            whole = x.min() == x.max()
            program.run()
            os._exit(0 if whole and x.min() == x.max() else 1)
        assert os.waitpid(child, 0)[1] == 0
        thread.join(20)
        assert x.min() == x.max() == 1.0
    """)


# ---- pools ----------------------------------------------------------------------------


POOL = """
    import multiprocessing, os, signal, sys, threading
    from concurrent.futures import ProcessPoolExecutor
    import numpy as np
    import autodiff
    from autodiff import Tensor, optim

    w = Tensor(np.zeros(20_000))
    optimiser = optim.Adam([w], 0.1)

    @autodiff.compile
    def step(x):
        loss = ((w - x) ** 2).mean()
        loss.backward()
        optimiser.step()
        return loss

    def fit(x):
        w.assign(0.0 * w.value)
        signal.alarm(100)
        losses = [step(x) for _ in range(5)]
        assert w.value.min() == w.value.max()
        return x, losses[0]

    def main(method):
        if method != "spawn":
            step(1.0)  # children find it recorded
        stop = threading.Event()
        def replay():
            while not stop.is_set():
                step(1.0)
        thread = threading.Thread(target=replay, daemon=True)
        thread.start()
        context = multiprocessing.get_context(method)
        xs = [float(i) for i in range(12)]
        for _ in range(ROUNDS):
            with context.Pool(2) as pool:
                assert pool.map_async(fit, xs, 1).get(100) == [(x, x * x) for x in xs]
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            assert list(pool.map(fit, xs, timeout=100)) == [(x, x * x) for x in xs]
        stop.set()
        thread.join(20)
        assert not thread.is_alive()

    if __name__ == "__main__":
        main(sys.argv[1])
"""


def run_script(text: str, *arguments: str, folder: Any = None) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(text)]
    if folder is not None:  # children of other kinds import the file again
        (folder / "script.py").write_text(textwrap.dedent(text))
        command[3:] = [str(folder / "script.py")]
    ran = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=240,
                         check=False)  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(("method", "rounds"), [("fork", 5), ("forkserver", 1), ("spawn", 1)])
def test_pools_while_a_thread_replays(method, rounds, tmp_path):
    run_script(POOL.replace("ROUNDS", str(rounds)), method, folder=tmp_path)


def test_a_fork_that_fails_leaves_the_locks_free():
    run_script("""
        import os, resource
        import autodiff
        step = autodiff.compile(lambda x: x * 2.0)
        step(1.0)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        try:
            child = os.fork()
        except OSError:
            child = -1
        if child == 0:
            os._exit(0)
        assert step(2.0) == 4.0
    """)


def test_waiting_for_a_fork_is_short():
    step, _ = counting(200_000)
    with meanwhile(lambda: step(1.0)):
        start = time.monotonic()
        for _ in range(10):
            in_child(lambda: None)
        assert time.monotonic() - start < 10.0
