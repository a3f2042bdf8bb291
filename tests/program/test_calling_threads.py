"""While a rule is called back, its program's lock is held: who else may run, and who must not."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from own_rules import called, nothing_stays  # noqa: F401
from test_forks import in_child

import autodiff
from autodiff import Tensor
from autodiff.errors import CallBackError

core = pytest.importorskip("autodiff._core")

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


@pytest.fixture
def impatient() -> Iterator[None]:
    before = core._set_patience(0.3)
    yield
    core._set_patience(before)


class OwnError(Exception):
    """Of nobody else."""


def together(*works: Callable[[], object], seconds: float = 30.0) -> list[BaseException]:
    """Run these in threads, which must end; what they raise."""
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(w,), daemon=True) for w in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    assert not any(thread.is_alive() for thread in threads), "they wait for each other"
    return errors


def counting(inside: Callable[[], object] = lambda: None) -> tuple[Any, Tensor]:
    """A step that adds 1 to a tensor by way of a rule, which does something else as well."""

    def rule(x: Any) -> Any:
        inside()
        return x + 1.0

    f, w = called(rule), Tensor(np.zeros(3))

    @autodiff.compile
    def step() -> None:
        w.assign(f(w.value))

    return step, w


# ---- threads ---------------------------------------------------------------------------------


def test_threads_that_wait_for_the_lock_let_the_rule_run() -> None:
    """The rule needs the GIL: whoever waits for the lock must not have it."""
    step, w = counting(lambda: time.sleep(0.001))
    step()

    def call() -> None:
        for _ in range(20):
            step()

    def look() -> None:
        for _ in range(50):
            value = w.value
            assert (value == value[0]).all()

    def assign() -> None:
        other = Tensor(np.zeros(3))
        for _ in range(20):
            other.assign(w.value)

    assert together(call, call, call, look, assign) == []
    assert w.value.tolist() == [61.0] * 3


def test_a_rule_lets_other_threads_run_python() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def inside() -> None:
        begun.set()
        assert go_on.wait(10)

    step, w = counting(inside)

    def other() -> None:
        assert begun.wait(10)
        go_on.set()

    assert together(step, other) == []
    assert w.value.tolist() == [1.0] * 3


def test_each_thread_has_its_own_exception() -> None:
    def rule(x: Any) -> Any:
        time.sleep(0.0005)
        raise OwnError(x[0])

    f = called(rule)
    step = autodiff.compile(lambda x: f(x))
    step.recording(np.ones(3))

    def call(number: float) -> None:
        for _ in range(20):
            with pytest.raises(OwnError) as caught:
                step(np.full(3, number))
            assert caught.value.args == (number,)

    assert together(*[lambda n=n: call(float(n)) for n in range(4)]) == []


# ---- rules that call steps -------------------------------------------------------------------


def test_a_rule_that_calls_another_step() -> None:
    w = Tensor(np.full(3, 2.0))
    inner = autodiff.compile(lambda x: autodiff.exp(x) * w)
    f = called(inner)
    outer = autodiff.compile(lambda x: f(x) * 2.0)
    np.testing.assert_allclose(outer(np.zeros(3)), 4.0)
    np.testing.assert_allclose(outer.scan(np.zeros((4, 3))), 4.0)


def test_a_rule_that_calls_a_step_with_a_rule_that_fails() -> None:
    def fails(x: Any) -> Any:
        raise ValueError("inner")

    g = called(fails)
    del autodiff.op.OPS["own"]
    inner = autodiff.compile(lambda x: g(x))

    def rule(x: Any) -> Any:
        with pytest.raises(ValueError, match="inner"):
            inner(x)
        raise KeyError("outer")

    f = called(rule)
    with pytest.raises(KeyError, match="outer"):
        autodiff.compile(lambda x: f(x))(np.ones(3))


@pytest.mark.parametrize("how", ["call", "scan", "profile", "sharing", "value", "assign", "record"])
def test_what_the_step_holds_is_refused(how: str) -> None:
    asked: list[Any] = []
    step, w = counting(lambda: asked[0]())
    sharing = autodiff.compile(lambda: w.value * 2.0)
    asked.append(lambda: None)
    step()
    if how != "record":
        sharing()
    asked[0] = {
        "call": step,
        "scan": lambda: step.scan(length=2),
        "profile": step.profile,
        "sharing": sharing,
        "record": sharing,
        "value": lambda: w.value,
        "assign": lambda: w.assign(np.zeros(3)),
    }[how]
    for _ in range(2):
        with pytest.raises(CallBackError, match="what the step holds"):
            step()
    asked[0] = lambda: None
    before = w.value[0]
    step()
    assert w.value.tolist() == [before + 1.0] * 3
    assert sharing().tolist() == [2.0 * before + 2.0] * 3


def test_threads_whose_rules_call_each_others_steps(impatient: None) -> None:
    """Each holds what the other wants: one of them at least is refused, and none waits for ever."""
    steps: list[Any] = []
    met = threading.Barrier(2)

    within = threading.local()

    def call_other(number: int) -> None:
        if not hasattr(within, "rule"):
            within.rule = True
            met.wait(10)
            steps[number]()

    tensors = []
    for number in range(2):
        step, w = counting(lambda number=number: inside[number]())
        del autodiff.op.OPS["own"]
        steps.append(step)
        tensors.append(w)
    inside: list[Callable[[], object]] = [lambda: None, lambda: None]
    for step in steps:
        step()
    inside[:] = [lambda: call_other(1), lambda: call_other(0)]
    errors = together(steps[0], steps[1])
    assert errors
    assert all(isinstance(e, CallBackError) for e in errors)
    inside[:] = [lambda: None, lambda: None]
    for step, w in zip(steps, tensors, strict=True):
        step()
        assert w.value[0] >= 2.0


def test_a_rule_waits_for_a_step_that_another_thread_runs() -> None:
    begun = threading.Event()

    def slow() -> None:
        begun.set()
        time.sleep(0.2)

    long, w = counting(slow)
    del autodiff.op.OPS["own"]
    read = autodiff.compile(lambda: w.value + 0.0)
    read()
    found: list[Any] = []
    step, _ = counting(lambda: found.append(read().tolist()))
    step()
    begun.clear()
    found.clear()

    def call() -> None:
        assert begun.wait(10)
        step()

    assert together(long, call) == []
    assert found == [[w.value[0]] * 3]


# ---- interruptions, forks ----------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
@pytest.mark.parametrize("scan", [False, True])
def test_an_interruption_in_a_rule(scan: bool) -> None:
    on = [False]

    def inside() -> None:
        if on[0]:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5.0)

    step, w = counting(inside)
    step()
    on[0] = True
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        step.scan(length=10) if scan else step()
    assert time.monotonic() - start < 3.0
    on[0] = False
    assert w.value.tolist() == [1.0] * 3
    step()
    assert w.value.tolist() == [2.0] * 3


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_within_a_rule() -> None:
    children: list[int] = []
    on = [False]

    def inside() -> None:
        if on[0]:
            children.append(os.fork())
            on[0] = False

    step, w = counting(inside)
    step()
    on[0] = True
    step()
    if children == [0]:  # the child is within a rule, and goes on
        try:
            signal.alarm(20)
            step()
            os._exit(0 if w.value.tolist() == [3.0] * 3 else 1)
        finally:
            os._exit(1)
    _, status = os.waitpid(children[0], 0)
    assert status == 0
    step()
    assert w.value.tolist() == [3.0] * 3


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_while_a_thread_is_in_a_rule() -> None:
    """The child sees the tensor whole, and can call the step."""
    older = autodiff.compile(lambda x: x * 2.0)
    older(1.0)
    step, w = counting(lambda: (time.sleep(0.002), older(1.0)))
    step()
    stop = threading.Event()

    def work() -> None:
        value = w.value
        assert (value == value[0]).all()
        step()
        assert w.value.tolist() == (value + 1.0).tolist()

    def repeat() -> None:
        while not stop.is_set():
            step()

    def fork() -> None:
        try:
            for _ in range(10):
                in_child(work)
        finally:
            stop.set()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    fork()
    thread.join(30)
    assert not thread.is_alive()
