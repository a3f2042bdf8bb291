"""Rules that are called back and fail, keep what they are given, or write into it."""

from __future__ import annotations

import gc
import sys
import traceback
import weakref
from typing import Any

import numpy as np
import pytest
from compare import ON_AND_OFF, values_of
from own_rules import both, called, nothing_stays  # noqa: F401

import autodiff
from autodiff import Tensor
from autodiff.errors import DTypeError, GradientError, InstructionError, ShapeError
from autodiff.graph.clock import settle
from autodiff.program.code.flat import Code
from autodiff.program.code.kind import Operand
from autodiff.program.code.kinds.call_back import CallBack, Given
from autodiff.program.code.words import to_words


class OwnError(Exception):
    """Of nobody else."""


def failing(error: BaseException) -> Any:
    def rule(x: Any) -> Any:
        if x[0] > 1.0:
            raise error
        return x + 0.0

    return called(rule)


@pytest.mark.parametrize(
    "kind", [OwnError, TypeError, ValueError, IndexError, KeyboardInterrupt, SystemExit]
)
def test_an_exception_is_raised_as_it_is_and_tensors_stay(kind: type[BaseException]) -> None:
    error = kind("of the user's own")
    f = failing(error)
    w, v = Tensor(np.ones(3)), Tensor(np.ones(3))

    @autodiff.compile
    def step(x: Any) -> Any:
        w.assign(w.value + x)  # f reads it, so it cannot be written afterwards
        z = f(w.value)
        v.assign(v.value * 2.0 + z)
        return z.sum()

    assert step(0.0) == 3.0
    for run in both(step, 1.0):
        before = values_of([w, v])
        with pytest.raises(kind) as caught:
            run()
        assert caught.value is error
        after = values_of([w, v])
        np.testing.assert_array_equal(after, before)
        lines = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert "rule" in lines
        if sys.version_info >= (3, 11):
            (note,) = error.__notes__
            assert "the forward rule of 'own'" in note
            assert "test_failing_calls.py:" in note
            assert "called back by instruction" in note
            del error.__notes__
        error.__traceback__ = None
    assert step(0.0) == 3.0  # and it goes on


def test_an_exception_in_a_backward_rule_is_named() -> None:
    def rule(g: Any, z: Any, x: Any) -> Any:
        raise OwnError("backward")

    f, w = called(lambda x: x + 0.0, rule), Tensor(np.ones(3), name="weight")

    @autodiff.compile
    def step(x: Any) -> Any:
        f(w * x).sum().backward()
        w.assign(w.value - w.gradient)

    with pytest.raises(OwnError) as caught:
        step(1.0)
    assert w.value.tolist() == [1.0] * 3
    if sys.version_info >= (3, 11):
        assert "the backward rule of 'own' for 'x'" in caught.value.__notes__[0]


def test_an_exception_keeps_its_cause_and_context() -> None:
    def rule(x: Any) -> Any:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise OwnError("second") from error

    f = called(rule)
    with pytest.raises(OwnError) as caught:
        autodiff.compile(lambda x: f(x))(np.ones(3))
    assert isinstance(caught.value.__cause__, KeyError)
    assert isinstance(caught.value.__context__, KeyError)


def test_nothing_is_kept_of_what_has_failed() -> None:
    class Large:
        pass

    def rule(x: Any) -> Any:
        large = Large()
        kept.append(weakref.ref(large))
        raise OwnError(large)

    kept: list[Any] = []
    f = called(rule)
    step = autodiff.compile(lambda x: f(x))
    for _ in range(3):
        with pytest.raises(OwnError):
            step(np.ones(3))
    gc.collect()
    assert [r() for r in kept] == [None] * len(kept)


def test_updates_in_every_place_wait_for_the_last_call() -> None:
    """Sums onto a tensor, parts of a concat in it, tensors that are swapped."""
    f = failing(OwnError())
    w, u, v = Tensor(np.ones((3, 3))), Tensor(np.arange(3.0)), Tensor(np.ones(3))
    c = Tensor(np.ones(6))

    def step(x: Any) -> Any:
        w.assign(w.value - 0.1 * (x.T @ x) - 0.2 * (x.T @ (2.0 * x)))
        u.assign(v.value)
        v.assign(np.array([1.0, 2.0, 3.0]) * u.value)
        c.assign(autodiff.concat([x[0] * 2.0, x[0] + v.value], axis=0))
        return f(x[0] + 0.0 * c.value[:3]).sum() + f(x[0] * 1.0).sum()

    good, bad = np.full((2, 3), 0.5), np.full((2, 3), 1.5)
    for without in ON_AND_OFF:
        compiled = autodiff.compile(step, without=without)
        compiled(good)
        before = values_of([w, u, v, c])
        with pytest.raises(OwnError):
            compiled(bad)
        for now, then in zip(values_of([w, u, v, c]), before, strict=True):
            np.testing.assert_array_equal(now, then)


def test_a_scan_that_fails_leaves_the_last_step_that_did_not() -> None:
    f, w = failing(OwnError()), Tensor(np.zeros(3))

    def step(x: Any) -> Any:
        w.assign(w.value + f(x))
        return w.value.sum()

    compiled = autodiff.compile(step)
    xs = np.array([[0.25] * 3, [0.5] * 3, [2.0] * 3, [0.5] * 3])
    with pytest.raises(OwnError) as caught:
        compiled.scan(xs)
    assert w.value.tolist() == [0.75] * 3
    if sys.version_info >= (3, 11):
        assert "step 2" in caught.value.__notes__[-1]
    with pytest.raises(OwnError):
        compiled.profile(np.full(3, 2.0))


@pytest.mark.parametrize(
    ("rule", "error", "match"),
    [
        (lambda x: x[1:], ShapeError, r"the forward rule of 'own' gives \(2,\).*\(3,\)"),
        (lambda x: x[None], ShapeError, r"gives \(1, 3\)"),
        (lambda x: float(x[0]), ShapeError, r"gives \(\)"),
        (lambda x: x + 1j, DTypeError, "complex"),
        (lambda x: None, DTypeError, "None"),
        (lambda x: x.astype(str), DTypeError, "dtype"),
        (lambda x: Tensor(x), GradientError, "tensor"),
    ],
)
def test_results_that_are_none(rule: Any, error: type[Exception], match: str) -> None:
    f, w = called(rule), Tensor(np.ones(3))

    @autodiff.compile
    def step(x: Any) -> Any:
        w.assign(w.value + x)
        return f(w * x).sum()

    for run in both(step, 1.0):
        with pytest.raises(error, match=match):
            run()
        assert w.value.tolist() == [1.0] * 3


def test_what_a_function_of_the_loader_gives_is_checked() -> None:
    core = pytest.importorskip("autodiff._core")
    made = CallBack("_own_call", 0, (), (Given(Operand(0, 0), (3,)),))
    words = to_words(Code(8, [], [np.zeros(1)], [made], [""], []))
    for wrong in (None, 1.0, np.zeros(3), [], [np.zeros(3)] * 2, [1.0], [np.zeros(2)],
                  [np.zeros((3, 1))], [np.zeros(3, np.float32)], [np.zeros(6)[::2]]):  # fmt: skip
        program = core.Executor(words, [np.zeros(1)], [lambda _, wrong=wrong: wrong])
        with pytest.raises(InstructionError) as caught:
            program.run()
        assert isinstance(caught.value.__cause__, TypeError)


# ---- what is kept, and what is changed ------------------------------------------------------


def test_what_a_rule_keeps_stays_what_it_was() -> None:
    kept: list[np.ndarray] = []

    def rule(x: Any) -> Any:
        kept.append(x[:2])
        return x + 0.0

    f = called(rule)
    step = autodiff.compile(lambda x: f(f(x) * 2.0))
    step(np.array([1.0, 2.0, 3.0]))
    step(np.array([4.0, 5.0, 6.0]))
    del step
    gc.collect()
    assert [k.tolist() for k in kept] == [[1, 2], [2, 4], [4, 5], [8, 10]]


def test_a_rule_that_writes_into_its_operand_spoils_nothing() -> None:
    def rule(x: Any) -> Any:
        x *= 2.0
        return x

    f, w = called(rule), Tensor(np.ones(3))
    step = autodiff.compile(lambda x: (f(w + 0.0 * x), f(w), f(x)))
    x = np.ones(3)
    for _ in range(2):
        assert [r.tolist() for r in step(x)] == [[2.0] * 3] * 3
    assert x.tolist() == w.value.tolist() == [1.0] * 3


def test_a_program_goes_away_with_its_functions() -> None:
    class Held:
        pass

    held = Held()

    def rule(x: Any) -> Any:
        return x + float(held is None)

    f = called(rule)
    step = autodiff.compile(lambda x: f(x))
    step(np.ones(3))
    executor = weakref.ref(step.recording(np.ones(3)))
    del step
    settle()
    gc.collect()
    assert executor() is None
