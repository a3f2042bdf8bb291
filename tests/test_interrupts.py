"""Ctrl-C at every line of the library: nothing is half done, and the next step works.

A trace function raises KeyboardInterrupt when a line is reached for the first time, then, in a
fresh world, at the next line, and so on until the work runs through. The same is done for the last
time that each line is reached, when most is done.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import autodiff
from autodiff import Tensor, optim
from autodiff.graph import clock, memory
from autodiff.program.code import load as load_module
from autodiff.save import load, save

LOCKS = (load_module._loading, clock._lock, memory._reserving)
PACKAGE = os.path.dirname(autodiff.__file__) + os.sep
Line = tuple[str, int]


class World(NamedTuple):
    """What is interrupted, and what must hold afterwards.

    work : what is interrupted.
    tensors : either all as they were before, or all as after the work.
    again : goes on with the same objects, and returns numbers to compare.
    """

    work: Callable[[], Any]
    tensors: list[Tensor]
    again: Callable[[], Any]


def lines_of(work: Callable[[], Any]) -> dict[Line, int]:
    """How often each line of the library is reached."""
    counts: dict[Line, int] = {}

    def note(frame: Any, event: str, argument: Any) -> Any:
        if event == "line":
            line = frame.f_code.co_filename, frame.f_lineno
            counts[line] = counts.get(line, 0) + 1
        return note

    _traced(work, note)
    return counts


def interrupted(work: Callable[[], Any], line: Line, count: int) -> bool:
    """Do the work, with KeyboardInterrupt when `line` is reached for the count-th time."""
    left = count

    def interrupt(frame: Any, event: str, argument: Any) -> Any:
        nonlocal left
        if event == "line" and (frame.f_code.co_filename, frame.f_lineno) == line:
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return interrupt

    try:
        with np.errstate():  # left as it was, as a block would leave it that is not cut short
            _traced(work, interrupt)
    except KeyboardInterrupt:
        return True
    return False


def _traced(work: Callable[[], Any], local: Any) -> None:
    def enter(frame: Any, event: str, argument: Any) -> Any:
        return local if frame.f_code.co_filename.startswith(PACKAGE) else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        work()
    finally:
        sys.settrace(before)


def values(tensors: list[Tensor]) -> list[list[float]]:
    return [t.value.ravel().tolist() for t in tensors]


def walk(make: Callable[[], World], once: tuple[str, ...] = ()) -> int:
    """Interrupt at every line; returns how many times.

    once : files and folders in which the first time that a line is reached is enough.
    """
    world = make()
    before = values(world.tensors)
    counts = lines_of(world.work)
    after = values(world.tensors)
    assert before != after
    numbers = {}
    for name, run in (("before", False), ("after", True)):
        world = make()
        if run:
            world.work()
        numbers[name] = world.again(), values(world.tensors)
    n_stops = 0
    for line, count in counts.items():
        for number in {1} if line[0].startswith(once) else {1, count}:
            world = make()
            stopped = interrupted(world.work, line, number)
            n_stops += stopped
            where = f"{line[0].removeprefix(PACKAGE)}:{line[1]}, time {number} of {count}"
            now = values(world.tensors)
            assert gc.isenabled(), f"no garbage is collected: {where}"
            assert not any(lock._is_owned() for lock in LOCKS), f"a lock is held: {where}"
            assert now in (before, after), f"half done: {where}"
            wanted = numbers["before" if now == before else "after"]
            try:
                found = world.again(), values(world.tensors)
            except Exception as error:
                raise AssertionError(f"does not go on: {where}: {error}") from error
            assert found == wanted, f"goes on otherwise: {where}"
    return n_stops


def network() -> tuple[list[Tensor], Callable[[], Any]]:
    random = np.random.default_rng(3)
    w, b = Tensor(random.normal(size=(3, 2))), Tensor(np.zeros(2))
    x = random.normal(size=(4, 3))
    return [w, b], lambda: autodiff.square(autodiff.tanh(x @ w + b)).sum()


COMPILER = (
    "op.py", "ops", "program/passes", "program/plan", "program/ir.py", "program/derivation.py",
    "program/wellformed.py", "program/fused.py", "program/code/kinds",
    *(f"program/code/{name}.py" for name in (
        "flat", "kind", "lower", "lowering", "machine", "numbers", "row_list", "tags", "verify",
        "words",
    )),
)  # fmt: skip
"""What touches neither tensors nor state of its own."""

OPTIMISERS = {
    "SGD": lambda p: optim.SGD(p, 0.1),
    "Adam": lambda p: optim.Adam(p, 0.1, clip=0.5),
}


@pytest.mark.parametrize("rule", OPTIMISERS)
def test_an_eager_step(rule: str) -> None:
    def make() -> World:
        tensors, loss = network()
        optimiser = OPTIMISERS[rule](tensors)

        def step() -> float:
            value = loss()
            autodiff.backward(value)
            optimiser.step()
            return value.item()

        return World(step, [*tensors, *optimiser.state.values()], step)

    assert walk(make) > 200


def test_a_compiled_call() -> None:
    def make() -> World:
        tensors, loss = network()
        optimiser = optim.Momentum(tensors, 0.1)

        @autodiff.compile
        def step(scale: Any) -> Any:
            value = loss() * scale
            autodiff.backward(value)
            optimiser.step()
            return value

        step.program(1.0)

        def eager() -> list[float]:
            numbers = [step(1.0), step(np.array(2.0)), step(3)]
            value = loss()
            autodiff.backward(value)
            optimiser.step()
            return [*numbers, value.item()]

        return World(lambda: step(2), [*tensors, *optimiser.state.values()], eager)

    assert walk(make) > 50


def test_a_recording() -> None:
    def make() -> World:
        w, h = Tensor([1.0, 2.0]), Tensor(shape=(2,), constant=True)
        old = autodiff.square(w).sum()
        optimiser = optim.SGD([w], 0.1)

        @autodiff.compile
        def step(x: Any) -> Any:
            value = old.forward() + autodiff.square(w * x).sum()
            autodiff.backward(value)
            optimiser.step()
            h.assign(w.value)
            return value

        def go_on() -> list[float]:
            old.forward()
            autodiff.backward(old)
            return [w.gradient.tolist(), step(3.0), step(4.0), h.value.tolist()]

        return World(lambda: step(2.0), [w], go_on)

    n_stops = walk(make, once=tuple(PACKAGE + part for part in COMPILER))
    assert n_stops > 1000


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # unclosed files
def test_loading(tmp_path: Path) -> None:
    tensors, _ = network()
    path = tmp_path / "model.npz"
    for t in tensors:
        t.assign(t.value + 1.0)
    save(path, dict(zip("wb", tensors, strict=True)))

    def make() -> World:
        tensors, loss = network()
        named = dict(zip("wb", tensors, strict=True))
        return World(lambda: load(path, named), tensors, lambda: loss().item())

    assert walk(make) > 100
