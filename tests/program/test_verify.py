"""The verifier accepts what the passes make, and rejects mutants of it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compare import EACH_OFF, arguments_of
from mutants import copied, everywhere, moved, mutants, with_fields

import autodiff
from autodiff import Tensor, nn, ops
from autodiff.errors import VerificationError
from autodiff.op import OPS
from autodiff.program.code.emulate import Emulator
from autodiff.program.code.flat import Code, Meaning
from autodiff.program.code.kind import Operand
from autodiff.program.code.kinds.gemm import Gemm
from autodiff.program.code.kinds.map import Apply, Map, Window
from autodiff.program.code.load import program_of
from autodiff.program.code.lower import lower
from autodiff.program.code.verify import verify_code, verify_program
from autodiff.program.ir import Instruction, Program, Value
from autodiff.program.step import Recording

core = pytest.importorskip("autodiff._core")

SAMPLE = int(os.environ.get("AUTODIFF_MUTANTS", "150"))


# ---- programs --------------------------------------------------------------------------


def small_program() -> Program:
    x = Value((2, 3), "argument")
    w = Value((3, 2), "state", np.ones((3, 2)))
    product = Instruction(OPS["matmul"].bind(), [x, w])
    squared = Instruction(OPS["square"].bind(), [product.output])
    turned = Instruction(OPS["transpose"].bind(axes=(1, 0)), [x])
    state = Instruction(OPS["matmul"].bind(), [turned.output, product.output])
    writes = [(w, state.output)]
    return Program([x], [product, squared, turned, state], [squared.output], writes)


def test_a_good_program_is_accepted() -> None:
    verify_program(small_program())


def _swap(p: Program) -> None:
    p.instructions[0], p.instructions[1] = p.instructions[1], p.instructions[0]


def _drop(p: Program) -> None:
    del p.instructions[2]


def _double(p: Program) -> None:
    p.instructions.append(p.instructions[0])


def _shape(p: Program) -> None:
    p.instructions[1].output.shape = (4,)


def _operands(p: Program) -> None:
    p.instructions[0].inputs = (*p.instructions[0].inputs, *p.arguments)


def _order(p: Program) -> None:
    p.instructions[0].inputs = (p.arguments[0], p.arguments[0])


def _op(p: Program) -> None:
    p.instructions[1].op = dataclasses.replace(OPS["exp"], name="unheard_of").bind()


def _argument(p: Program) -> None:
    p.arguments[0].kind = "constant"


def _foreign(p: Program) -> None:
    p.instructions[1].inputs = (Value((2, 2), "argument"),)


def _result(p: Program) -> None:
    p.results[0] = Instruction(OPS["exp"].bind(), [p.arguments[0]]).output


def _twice(p: Program) -> None:
    p.writes.append(p.writes[0])


def _fit(p: Program) -> None:
    p.writes[0] = (p.writes[0][0], p.results[0])


def _read_only(p: Program) -> None:
    assert p.writes[0][0].buffer is not None
    p.writes[0][0].buffer.flags.writeable = False


def _buffer(p: Program) -> None:
    p.writes[0][0].buffer = np.ones((3, 2), np.float32)  # type: ignore[assignment]


@pytest.mark.parametrize(
    "spoil",
    [_swap, _drop, _double, _shape, _operands, _order, _op, _argument, _foreign, _result, _twice,
     _fit, _read_only, _buffer],
)  # fmt: skip
def test_a_bad_program_is_rejected(spoil: Callable[[Program], None]) -> None:
    program = small_program()
    spoil(program)
    with pytest.raises(VerificationError):
        verify_program(program)


# ---- good codes, and their mutants -----------------------------------------------------


def lstm_step(n_batch: int) -> tuple[Callable[..., Any], list[Tensor], tuple[Any, ...]]:
    lstm = nn.LSTM(2, 3, random=1)
    head = nn.FeedForward(3, 2, random=2)
    optimiser = autodiff.optim.Momentum([*lstm.parameters(), *head.parameters()], 0.1)
    start = lstm.initial_state(n_batch)

    def step(window: Any, target: Any) -> Any:
        h, c = start
        loss: Any = 0.0
        for x, y in zip(window, target, strict=True):
            h, c = lstm(x, h, c)
            loss = loss + ops.square(head(h) - y).sum()
        loss.backward()
        optimiser.step()
        start[0].assign(h)
        start[1].assign(c)
        return loss, h

    rng = np.random.default_rng(3)
    shape = (3, n_batch, 2)
    tensors = [*optimiser.parameters, *optimiser.state.values(), *start]
    return step, tensors, (rng.normal(size=shape), rng.normal(size=shape))


def mixed_step() -> tuple[Callable[..., Any], list[Tensor], tuple[Any, ...]]:
    rng = np.random.default_rng(4)
    a, b = Tensor(rng.normal(size=(3, 4))), Tensor(rng.normal(size=(3, 4)))
    w = Tensor(rng.normal(size=(4, 4)))

    def step(x: Any, rows: Any) -> Any:
        old = a.value * 1.5
        z = ops.concat([x @ w, a, b[::-1]], axis=0)
        y = ops.softmax(z[:, 1:]) + ops.max(z, axis=1, keepdims=True)
        taken = ops.take(y, rows) ** 3.5
        loss = (taken.sum(axis=0) * ops.logsumexp(z)).mean()
        loss.backward()
        w.assign(w.value - 0.1 * w.gradient)
        a.assign(b)
        b.assign(old)
        return loss, a.gradient, y.value[:, ::-1]

    return step, [a, b, w], (rng.normal(size=(2, 4)), rng.integers(0, 8, 3))


STEPS = {
    "lstm-1": lambda: lstm_step(1),
    "lstm-2": lambda: lstm_step(2),
    "mixed": mixed_step,
}
steps = pytest.mark.parametrize("make", STEPS.values(), ids=STEPS)


@steps
@pytest.mark.parametrize("without", EACH_OFF, ids=lambda w: "-".join(w[:2]) or "all")
def test_good_code_is_accepted(make: Any, without: tuple[str, ...]) -> None:
    step, _, arguments = make()
    recording = autodiff.compile(step, without=without).recording(*arguments)
    verify_code(recording.code, recording.improved)


def rejected(code: Code, recording: Recording) -> bool:
    try:
        verify_code(code, recording.improved)
        program_of(code)
    except (VerificationError, ValueError):
        return True
    return False


def numbers_of(code: Code, tensors: list[Tensor], arguments: list[np.ndarray]) -> list[np.ndarray]:
    kept = [np.array(t.value) for t in tensors]
    try:
        found = Emulator(code).run(*arguments)
        return [np.array(f) for f in found] + [np.array(t.value) for t in tensors]
    finally:
        for tensor, value in zip(tensors, kept, strict=True):
            tensor.assign(value)


@steps
@pytest.mark.parametrize("without", [(), ("fuse", "pack"), ("stack", "batch", "in_place")])
def test_mutants_are_rejected(make: Any, without: tuple[str, ...]) -> None:
    step, tensors, arguments = make()
    recording = autodiff.compile(step, without=without).recording(*arguments)
    flat = arguments_of(*arguments)
    wanted = numbers_of(recording.code, tensors, flat)
    rng = np.random.default_rng(0)
    every = list(mutants(recording.code, rng))
    chosen = rng.permutation(len(every))[:SAMPLE]  # all of them: about 3000, in half a minute
    accepted = [every[i] for i in chosen if not rejected(every[i][1], recording)]
    assert len(every) > 500
    # What is accepted must be a good program of its own: the same bits for these numbers.
    for what, mutant in accepted:
        found = numbers_of(mutant, tensors, flat)
        for f, w in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(f, w, err_msg=f"accepted: {what}")
    assert len(accepted) <= 0.1 * len(chosen), [what for what, _ in accepted]


def test_an_early_write_is_rejected() -> None:
    # In place, before the last reader of the old contents.
    a, b = Tensor(np.ones(3)), Tensor(np.ones(3))

    def step(x: Any) -> Any:
        old = a.value * 1.0
        a.assign(a.value + x)
        b.assign(old * b.value)

    recording = autodiff.compile(step, without=["fuse"]).recording(np.ones(3))
    code = recording.code
    turned = copied(code)
    for rows in (turned.instructions, turned.labels, turned.meanings):
        rows.reverse()  # type: ignore[attr-defined]
    outcomes = [verdict(c, recording) for c in (code, turned)]
    assert outcomes[0] == ""
    assert "must hold" in outcomes[1]


def verdict(code: Code, recording: Recording) -> str:
    try:
        verify_code(code, recording.improved)
    except VerificationError as error:
        return str(error)
    return ""


def place_of_output(instruction: Any) -> Operand:
    return instruction.windows[-1].place if isinstance(instruction, Map) else instruction.z


def test_overlapping_storages_are_rejected_and_named() -> None:
    w = Tensor(np.ones((2, 2)), name="weights")

    def step(x: Any) -> Any:
        y = ops.tanh(x @ w)
        z = ops.exp(y @ w)
        return (y * z).sum()

    recording = autodiff.compile(step, without=["fuse", "reuse"]).recording(np.ones((2, 2)))
    code = recording.code
    places = sorted({place_of_output(i) for i in code.instructions if i.name in ("map", "reduce")})
    first, second = places[0], places[1]

    def alias(place: Operand) -> Operand:
        return first if place == second else place

    changed = dataclasses.replace(code, instructions=everywhere(code.instructions, alias))
    message = verdict(changed, recording)
    assert "instruction" in message
    assert "it holds" in message or "overlaps" in message


def test_an_operand_that_overlaps_the_output_of_its_run_is_rejected() -> None:
    x = Tensor(np.ones(8))

    def step(y: Any) -> Any:
        x.assign(x.value * y)

    recording = autodiff.compile(step).recording(2.0)
    code = recording.code
    first, *_ = code.instructions
    assert isinstance(first, Map)
    place = first.windows[0].place
    assert place.space > 1  # the tensor
    windows = (*first.windows, Window(moved(place, 7), (-1,)))
    assert verdict(with_fields(code, 0, windows=windows), recording) == ""  # no op reads it
    reading = (*first.applications, Apply("stop_gradient", (len(first.windows),), -1))
    changed = with_fields(code, 0, windows=windows, applications=reading)
    changed.meanings[0] = Meaning([*code.meanings[0].sources, None])
    assert "overlaps one that is written" in verdict(changed, recording)
    windows = (*first.windows, Window(Operand(1, 0), (0,)))
    changed = with_fields(code, 0, windows=windows, applications=reading)
    changed.meanings[0] = Meaning([*code.meanings[0].sources, None])
    assert verdict(changed, recording) == ""


def test_a_product_onto_its_own_operand_is_rejected() -> None:
    w = Tensor(np.ones((2, 2)))
    recording = autodiff.compile(lambda x: ops.tanh(x) @ w).recording(np.ones((2, 2)))
    code = recording.code
    ((operand, shape),) = code.results
    _, product = code.instructions
    assert isinstance(product, Gemm)
    assert product.c == operand
    for at in (product.a, moved(product.a, 2)):  # nobody needs the operand afterwards
        changed = with_fields(code, 1, c=at)
        changed.results[0] = at, shape
        assert "overlaps what it reads" in verdict(changed, recording)


def test_a_state_that_is_not_assigned_must_stay() -> None:
    a, b = Tensor(np.ones(3)), Tensor(np.ones(3))

    def step(x: Any) -> Any:
        a.assign(x * b.value)
        return b.value + x

    recording = autodiff.compile(step).recording(np.ones(3))
    code = recording.code
    at_a, at_b = (
        Operand(1 + 1 + n, 0) for n in sorted(code.names, key=lambda n: code.names[n] != a.name)
    )

    def turned(place: Operand) -> Operand:
        return {at_a: at_b, at_b: at_a}.get(place, place)

    changed = dataclasses.replace(code, instructions=everywhere(code.instructions, turned))
    assert verdict(changed, recording) != ""


def test_the_room_after_an_output_may_be_written() -> None:
    def step(x: Any) -> Any:
        return ops.tanh(x), ops.exp(x)

    recording = autodiff.compile(step, without=["fuse"]).recording(np.ones(3))
    code = recording.code
    (first, _), (second, _) = code.results
    assert all(i.windows[-1].padded for i in code.instructions if isinstance(i, Map))
    inside = moved(second, 3)  # in the room after the second output

    def turned(place: Operand) -> Operand:
        return inside if place == first else place

    changed = dataclasses.replace(
        code,
        arena_size=code.arena_size + 16,
        instructions=everywhere(code.instructions, turned),
        results=everywhere(code.results, turned),
    )
    assert "it holds nothing" in verdict(changed, recording)


def test_a_buffer_of_nobody_is_rejected() -> None:
    step, _, arguments = mixed_step()
    recording = autodiff.compile(step).recording(*arguments)
    buffers = [*recording.code.buffers[:-1], np.array(recording.code.buffers[-1])]
    changed = dataclasses.replace(recording.code, buffers=buffers)
    assert "belongs to no value" in verdict(changed, recording)


def test_every_recording_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    from autodiff.program import recording as steps

    def spoilt(*arguments: Any, **options: Any) -> Code:
        code = lower(*arguments, **options)
        code.instructions.reverse()
        return code

    monkeypatch.setattr(steps, "lower", spoilt)
    with pytest.raises(VerificationError, match="instruction"):
        autodiff.compile(lambda x: ops.exp(x).sum())(np.ones(3))
