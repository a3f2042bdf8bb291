"""Instructions with several outputs: recorded, improved, lowered, verified, emulated."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import several
from compare import check, leaves
from own_tables import own_kinds  # noqa: F401
from several import own_table  # noqa: F401

import autodiff
from autodiff import Tensor, ops
from autodiff.declare import declare
from autodiff.errors import ShapeError, VerificationError
from autodiff.op import OPS, example
from autodiff.program.code.emulate import Emulator
from autodiff.program.code.kind import Kind, Operand, instruction_kind
from autodiff.program.code.numbers import window
from autodiff.program.code.verify import verify_code
from autodiff.program.code.words import from_words, to_words
from autodiff.program.interpret import interpret
from autodiff.program.ir import Builder, Instruction, Program, Value
from autodiff.program.passes import PASSES, improve
from autodiff.program.passes.arrange import arrange
from autodiff.program.passes.rewrite import substitute
from autodiff.program.passes.simplify import simplify
from autodiff.program.repeating import Repeatable, Repeating
from autodiff.program.wellformed import verify_program

# ---- composed of ops of the table ----------------------------------------------------------


@pytest.mark.usefixtures("own_table")
@pytest.mark.parametrize("outside", [False, True])
def test_composed_ops_give_the_eager_numbers(outside: bool, rng: np.random.Generator) -> None:
    f, g = several.sincos(), several.polar()

    def build() -> tuple[Callable[..., Any], list[Tensor]]:
        w, b = Tensor(np.linspace(-1.0, 2.0, 4)), Tensor(0.7)
        held = f(w) if outside else None  # nodes from outside the step, one of them unused

        def step(x: Any) -> Any:
            s, c = held or f(w)
            r, t = g(s * x, b)
            p, q = f(x)
            loss = (r * r + t).sum() + (p * q).sum()
            slope = autodiff.gradients(loss, w)
            (loss + (slope * slope).sum()).backward()
            w.assign(w.value - 0.01 * w.gradient)
            b.assign(b.value - 0.01 * b.gradient)
            return loss, slope, c * 1.0, q

        return step, [w, b]

    check(build, *[(rng.normal(size=(5, 4)),) for _ in range(2)], variants=[(), PASSES])


@pytest.mark.usefixtures("own_table")
def test_one_output_is_enough() -> None:
    f = several.sincos()
    w = Tensor(np.ones(3))

    @autodiff.compile
    def step(x: Any) -> Any:
        _, cosine = f(w * x)
        cosine.backward(np.ones(3))
        return w.gradient, f(x)[0]

    x = np.arange(3.0)
    gradient, sine = step(x)
    np.testing.assert_allclose(gradient, -x * np.sin(x), rtol=1e-14)
    np.testing.assert_allclose(sine, np.sin(x), rtol=1e-14)
    names = {i.op.name for i in step.recording(x).improved.instructions}
    assert names == {"sin", "cos", "multiply", "subtract"}


@pytest.mark.usefixtures("own_table")
def test_an_opaque_rule_is_called_back() -> None:
    f = several.slogdet()

    def build() -> tuple[Any, list[Tensor]]:
        a = Tensor(np.eye(2) + 0.1)

        def step(x: Any) -> Any:
            sign, logdet = f(a * x)
            logdet.backward()
            return sign, logdet, a.gradient

        return step, [a]

    check(build, (2.0,), (-3.0,), variants=[(), PASSES])


@pytest.mark.usefixtures("own_table")
@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        (lambda x: (x,), TypeError, "must return a tuple of a, b"),
        (lambda x: (x, x[1:]), ShapeError, r"own_pair: the rule gives \(2,\).*says \(3,\)"),
    ],
)
def test_rules_that_give_something_else_are_refused(rule: Any, error: Any, message: str) -> None:
    def own_pair(x: Any) -> Any:
        """z = two of x."""
        return rule(x)

    f = declare(outputs=("a", "b"), backward=None, examples=[])(own_pair)
    with pytest.raises(error, match=message):
        autodiff.compile(lambda x: f(x)[0])(np.ones(3))


# ---- a kind with two outputs ----------------------------------------------------------------


def extremes() -> Any:
    """An op with an instruction of its own: least and greatest of each row."""

    def own_extremes(x: Any) -> Any:
        """z = the least of each row, and the greatest."""
        return np.min(x, axis=-1), np.max(x, axis=-1)

    function = declare(
        outputs=("low", "high"),
        shape=lambda x: (x[:-1], x[:-1]),
        backward=lambda gs, zs, x: sum(
            (g[..., None] * (x == z[..., None]) for g, z in zip(gs, zs, strict=True)), 0.0
        ),
        reads="low high x",
        examples=[example((2, 3))],
    )(own_extremes)

    @instruction_kind
    class OwnExtremes(Kind):
        """Least and greatest of rows."""

        name: ClassVar[str] = "own_extremes"
        ops: ClassVar[tuple[str, ...]] = ("own_extremes",)

        n_rows: int
        n: int
        x: Operand
        low: Operand
        high: Operand

        @classmethod
        def lower(cls, members: Any, lowering: Any) -> None:
            (instruction,) = members
            (x,) = instruction.inputs
            places = [lowering.place(v) for v in (x, *instruction.outputs)]
            made = cls(x.size // x.shape[-1], x.shape[-1], *places)
            lowering.emit_one(made, instruction)

        def check(self, machine: Any, meaning: Any) -> None:
            source = machine.source(meaning.sources, "own_extremes")
            (x,) = source.inputs
            if self.n != x.shape[-1] or self.n_rows * self.n != x.size:
                machine.fail("its sizes do not fit")
            machine.from_to(source, [(self.x, "its operand")], self.low, self.high)

        def emulate(self, spaces: Any) -> None:
            x = window(spaces, self.x, (self.n_rows, self.n))
            window(spaces, self.low, (self.n_rows,))[...] = np.min(x, axis=-1)
            window(spaces, self.high, (self.n_rows,))[...] = np.max(x, axis=-1)

        def text(self, place: Any) -> str:
            outputs = f"{place(self.low)}, {place(self.high)}"
            return f"own_extremes {self.n_rows}×{self.n}: {outputs} = extremes({place(self.x)})"

    return function


def builder(f: Any, with_state: bool) -> tuple[Any, list[Tensor]]:
    w, kept = Tensor(np.linspace(0.5, 1.5, 12).reshape(3, 4)), Tensor(np.zeros(3))

    def step(x: Any) -> Any:
        low, high = f(ops.tanh(w * x).T.T)
        _, other = f((x * 2.0).T)
        if with_state:
            kept.assign(high.value)
        loss = (low * high).sum() + (f(w)[0] - f(w)[1]).sum()
        loss.backward()
        w.assign(w.value - 0.1 * w.gradient)
        return loss, high, other

    return step, [w, kept]


@pytest.mark.usefixtures("own_kinds")
@pytest.mark.parametrize("without", [(), *[(p,) for p in PASSES], PASSES])
@pytest.mark.parametrize("with_state", [False, True])
def test_a_kind_with_two_outputs(without: Any, with_state: bool, rng: np.random.Generator) -> None:
    f = extremes()
    calls = [rng.normal(size=(3, 4)) for _ in range(3)]
    eager, tensors = builder(f, with_state)
    with autodiff.use_backend("reference"):
        wanted = [leaves(eager(x)) + leaves(tensors) for x in calls]
    function, tensors = builder(f, with_state)
    step = autodiff.compile(function, without=without)
    recording = step.recording(calls[0])
    verify_program(recording.recorded)
    for _, program in improve(recording.recorded, without):
        verify_program(program)
    verify_code(recording.code, recording.improved)
    kept = [np.array(t.value) for t in tensors]
    for x, numbers in zip(calls, wanted, strict=True):
        for run in (recording.recorded, recording.improved):
            for t, value in zip(tensors, kept, strict=True):
                t.assign(value)
            found = interpret(run, [x]) + [np.array(t.stored) for t in tensors]
            for a, b in zip(found, numbers, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12)
        for t, value in zip(tensors, kept, strict=True):
            t.assign(value)
        for a, b in zip(leaves(step(x)) + leaves(tensors), numbers, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
        kept = [np.array(t.value) for t in tensors]


@pytest.mark.usefixtures("own_kinds")
def test_equal_ones_are_computed_once_and_unused_outputs_stay() -> None:
    step, _ = builder(extremes(), False)
    x = np.linspace(-1.0, 1.0, 12).reshape(3, 4)
    recording = autodiff.compile(step).recording(x)
    named = [i for i in recording.improved.instructions if i.op.name == "own_extremes"]
    assert len(named) == 3
    assert [len(i.outputs) for i in named] == [2, 2, 2]
    for i in named:
        assert not hasattr(i, "output")
    recorded = [i for i in recording.recorded.instructions if i.op.name == "own_extremes"]
    assert len(recorded) == 4  # f(w) is recorded twice
    labels = {z.label for i in named for z in i.outputs}
    assert any(re.fullmatch(r"own_extremes#\d+\.high", label) for label in labels)


@pytest.mark.usefixtures("own_kinds")
def test_it_is_listed_and_drawn_and_has_words() -> None:
    step = autodiff.compile(builder(extremes(), False)[0])
    x = np.linspace(-1.0, 1.0, 12).reshape(3, 4)
    code = step.recording(x).code
    assert re.search(r"own_extremes 3×4: @\d+, @\d+ = extremes\(@\d+\)", step.program(x))
    assert "own_extremes" in step.graph(x)
    assert from_words(to_words(code))[2] == code.instructions


@pytest.mark.usefixtures("own_kinds")
def test_an_arrow_leads_from_any_output() -> None:
    f = extremes()
    drawn = autodiff.compile(lambda x: ops.exp(f(x)[1])).graph(np.ones((2, 3)))
    assert "i0 -> i1" in drawn


@pytest.mark.usefixtures("own_kinds")
def test_what_waits_for_any_output_comes_after_it() -> None:
    extremes()
    b = Builder()
    x = Value((2, 3), "argument")
    first = b.emit(OPS["exp"].bind(), [x])
    low, high = b.emit_several(OPS["own_extremes"].bind(), [first])
    z = b.emit(OPS["exp"].bind(), [high])
    late = b.emit(OPS["tanh"].bind(), [x])
    program = Program([x], b.instructions, [z, late])
    assert arrange(program, [[first, late]]) == [[first, late], [low], [z]]


@pytest.mark.usefixtures("own_kinds")
@pytest.mark.parametrize("turned", [False, True])
def test_one_output_may_be_replaced(turned: bool) -> None:
    extremes()
    program, (low, high), _ = small_program()
    program.results = [high, low] if turned else [low, high]
    changed = substitute(program, {low: program.arguments[0]})
    wanted = [high, program.arguments[0]] if turned else [program.arguments[0], high]
    assert changed.results == wanted


@pytest.mark.usefixtures("own_kinds")
def test_recorded_again_they_are_the_same_values() -> None:
    extremes()
    first = Repeatable()
    x = first.argument((2, 3), "x")
    op = OPS["own_extremes"].bind()
    outputs = first.emit_several(op, [x])
    again = Repeating(first)
    assert again.emit_several(op, [again.argument((2, 3), "x")]) == outputs


def small_program() -> tuple[Program, tuple[Value, ...], Value]:
    """Something of the second output of two."""
    b = Builder()
    x = Value((2, 3), "argument")
    outputs = b.emit_several(OPS["own_extremes"].bind(), [x])
    z = b.emit(OPS["exp"].bind(), [outputs[1]])
    return Program([x], b.instructions, [z]), outputs, z


@pytest.mark.usefixtures("own_kinds")
def test_it_is_verified() -> None:
    step = autodiff.compile(builder(extremes(), False)[0])
    x = np.linspace(-1.0, 1.0, 12).reshape(3, 4)
    recording = step.recording(x)
    code = recording.code
    numbers = [n for n, i in enumerate(code.instructions) if i.name == "own_extremes"]
    for number in numbers:
        i: Any = code.instructions[number]
        faults: list[dict[str, Any]] = [
            {"low": i.high, "high": i.low},
            {"high": i.low},
            {"low": i.x},
            {"high": i.x},
            {"high": i.low._replace(offset=i.low.offset + 1)},
            {"low": i.high._replace(offset=i.high.offset - 1)},
            {"n": i.n + 1},
            {"n_rows": i.n, "n": i.n_rows},
        ]
        for fields in faults:
            if fields.get("n") == i.n:
                continue
            instructions = list(code.instructions)
            instructions[number] = dataclasses.replace(i, **fields)
            with pytest.raises(VerificationError):
                verify_code(
                    dataclasses.replace(code, instructions=instructions), recording.improved
                )


@pytest.mark.usefixtures("own_kinds")
def test_programs_that_are_not_well_formed() -> None:
    extremes()
    op = OPS["own_extremes"].bind()
    x = Value((2, 3), "argument")

    def program() -> tuple[Program, Instruction]:
        made = Instruction(op, [x])
        return Program([x], [made], [made.outputs[1]]), made

    good, _ = program()
    verify_program(good)
    wrong, made = program()
    made._outputs = made.outputs[::-1]
    with pytest.raises(VerificationError, match="not its output"):
        verify_program(wrong)
    wrong, made = program()
    made._outputs = made.outputs[:1]
    with pytest.raises(VerificationError, match="not so many outputs"):
        verify_program(wrong)
    wrong, made = program()
    made.outputs[0].shape = (3,)
    with pytest.raises(VerificationError, match="must have shape"):
        verify_program(wrong)


@pytest.mark.usefixtures("own_kinds")
def test_a_copied_program_is_another() -> None:
    extremes()
    b = Builder()
    x = Value((2, 3), "argument")
    low, high = b.emit_several(OPS["own_extremes"].bind(), [x])
    z = b.emit(OPS["add"].bind(), [low, high])
    program = Program([x], b.instructions, [z])
    twin = program.copy()
    assert {i.op.name for i in simplify(twin).instructions} == {"own_extremes", "add"}
    assert all(a is not b for a, b in zip(program.instructions, twin.instructions, strict=True))
    numbers = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(interpret(program, [numbers])[0], [2.0, 8.0])
    np.testing.assert_array_equal(interpret(twin, [numbers])[0], [2.0, 8.0])
    assert copy.copy(OPS["own_extremes"]) is not None


@pytest.mark.usefixtures("own_kinds")
def test_in_a_scan(rng: np.random.Generator) -> None:
    f = extremes()
    xs = rng.normal(size=(4, 3, 4))
    eager, tensors = builder(f, False)
    losses = [eager(x)[0].value for x in xs]
    step, others = builder(f, False)
    found = autodiff.compile(step).scan(xs)
    np.testing.assert_allclose(found[0], losses, rtol=1e-12)
    np.testing.assert_allclose(others[0].value, tensors[0].value, rtol=1e-12)
    assert isinstance(autodiff.compile(step).recording(xs[0]).executor, Emulator)
