"""Instructions that own programs, as a loop owns its body: a kind of the test's own repeats one."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
import pytest
from mutants import mutants
from own_tables import own_kinds  # noqa: F401

from autodiff.array import aligned_copy
from autodiff.errors import InstructionError, ShapeError, VerificationError
from autodiff.op import OPS, Op
from autodiff.program.code.emulate import Emulator
from autodiff.program.code.flat import Code, Region, region_code
from autodiff.program.code.kind import Kind, Operand, instruction_kind
from autodiff.program.code.listing import instruction_lines
from autodiff.program.code.lower import lower
from autodiff.program.code.numbers import run_region, window
from autodiff.program.code.verify import verify_code
from autodiff.program.code.words import from_words, to_words
from autodiff.program.difference import difference
from autodiff.program.fused import FUSED
from autodiff.program.interpret import interpret
from autodiff.program.ir import Builder, Instruction, Program, Value
from autodiff.program.opaque import opaque
from autodiff.program.passes import PASSES, improve
from autodiff.program.wellformed import verify_program

pytestmark = pytest.mark.usefixtures("own_kinds")

MATRIX = np.linspace(-0.5, 0.7, 16).reshape(4, 4)


def body_shapes(carry: Any, fixed: Any, *, n: int, regions: Any) -> Any:
    (body,) = regions
    if [x.shape for x in body.arguments] != [carry, fixed] or body.results[0].shape != carry:
        raise ShapeError("repeat: the operands do not fit the arguments of the body")
    return carry, body.results[1].shape


def run_body(carry: Any, fixed: Any, *, n: int, regions: Any) -> Any:
    last = None
    for _ in range(n):
        carry, last = regions[0](carry, fixed)
    return carry, last


def declare_repeat() -> Op:
    """carry, y = body(carry, fixed), n times: the last carry and the last y."""
    op = Op(
        name="repeat",
        inputs=("carry", "fixed"),
        attributes=("n",),
        outputs=("final", "last"),
        shape=body_shapes,
        forward=run_body,
        backward=(None, None),
        reads=frozenset(),
        elementwise=False,
        variadic=False,
        examples=(),
        formula="z = the body, n times.",
        n_regions=1,
    )
    FUSED[op.name] = op

    @instruction_kind
    class Repeat(Kind):
        """The body, n times."""

        name: ClassVar[str] = "repeat"
        ops: ClassVar[tuple[str, ...]] = ("repeat",)

        n: int
        carry: Operand
        fixed: Operand
        regions: tuple[Region, ...]
        final: Operand
        last: Operand

        @classmethod
        def lower(cls, members: Any, lowering: Any) -> None:
            (instruction,) = members
            body, code = lowering.region(instruction.regions[0])
            carry, fixed, final, last = (
                lowering.place(v) for v in (*instruction.inputs, *instruction.outputs)
            )
            n = instruction.op.attributes["n"]
            lowering.emit_one(cls(n, carry, fixed, (body,), final, last), instruction, [code])

        def check(self, machine: Any, meaning: Any) -> None:
            source = machine.source(meaning.sources, "repeat")
            if self.n != source.op.attributes["n"] or len(self.regions) != 1:
                machine.fail("it repeats too often, or too little")
            machine.check_region(self.regions[0], source.regions[0], meaning.regions[0])
            operands = [(self.carry, "its first carry"), (self.fixed, "what stays")]
            machine.from_to(source, operands, self.final, self.last)

        def emulate(self, spaces: Any) -> None:
            (body,) = self.regions
            places = zip((self.carry, self.fixed), body.arguments, strict=True)
            carry, fixed = (np.array(window(spaces, *at)) for at in places)
            for _ in range(self.n):
                carry, last = run_region(body, spaces, [carry, fixed])
            window(spaces, self.final, carry.shape)[...] = carry
            window(spaces, self.last, last.shape)[...] = last

        def text(self, place: Any) -> str:
            outputs = f"{place(self.final)}, {place(self.last)}"
            return f"repeat {self.n}: {outputs} = repeat({place(self.carry)}, {place(self.fixed)})"

    return op


def body_program() -> Program:
    """carry = tanh(carry M + fixed) / 2, y = its mean over rows: with constants of its own."""
    b = Builder()
    carry, fixed = Value((3, 4), "argument"), Value((4,), "argument")
    product = b.emit(OPS["matmul"].bind(), [carry, b.constant(MATRIX)])
    bent = b.emit(OPS["tanh"].bind(), [b.emit(OPS["add"].bind(), [product, fixed])])
    new = b.emit(OPS["multiply"].bind(), [bent, b.constant(0.5)], "carried")
    y = b.emit(OPS["mean"].bind(axis=(0,), keepdims=False), [new])
    return Program([carry, fixed], b.instructions, [new, y])


def program(n: int = 3) -> tuple[Program, np.ndarray]:
    """A step around it; the tensor that it writes."""
    op = declare_repeat() if "repeat" not in FUSED else FUSED["repeat"]
    b = Builder()
    x = Value((3, 4), "argument")
    tensor = aligned_copy(np.linspace(0.1, 0.4, 4))
    state = Value((4,), "state", tensor, "w")
    start = b.emit(OPS["exp"].bind(), [b.emit(OPS["negative"].bind(), [x])])
    final, last = b.emit_several(op.bind(n=n), [start, state], (body_program(),))
    final2, _ = b.emit_several(op.bind(n=n), [final, last], (body_program(),))
    z = b.emit(OPS["add"].bind(), [final2, b.constant(0.5)], "z")
    unused = b.emit(OPS["tanh"].bind(), [z])
    assert unused.shape == (3, 4)
    return Program([x], b.instructions, [z], [(state, last)]), tensor


def expected(x: np.ndarray, w: np.ndarray, n: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """The result, and what the tensor is assigned."""

    def repeat(carry: np.ndarray, fixed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        for _ in range(n):
            carry = 0.5 * np.tanh(carry @ MATRIX + fixed)
        return carry, carry.mean(axis=0)

    final, last = repeat(np.exp(-x), w)
    return repeat(final, last)[0] + 0.5, last


def lowered(without: Any = ()) -> tuple[Code, Program, np.ndarray]:
    recorded, tensor = program()
    improved = recorded
    for _, improved in improve(recorded, without):
        verify_program(improved)
    return lower(improved), improved, tensor


X = np.linspace(-1.0, 1.0, 12).reshape(3, 4)


def test_interpreted() -> None:
    recorded, tensor = program()
    verify_program(recorded)
    z, w = expected(X, tensor)
    np.testing.assert_allclose(interpret(recorded, [X])[0], z, rtol=1e-13)
    np.testing.assert_allclose(tensor, w, rtol=1e-13)


@pytest.mark.parametrize("without", [(), PASSES])
def test_lowered_verified_and_emulated(without: Any) -> None:
    code, improved, tensor = lowered(without)
    before = tensor.copy()
    verify_code(code, improved)
    z, w = expected(X, before)
    np.testing.assert_allclose(interpret(improved, [X])[0], z, rtol=1e-13)
    tensor[...] = before
    np.testing.assert_allclose(Emulator(code).run(X)[0], z, rtol=1e-13)
    np.testing.assert_allclose(tensor, w, rtol=1e-13)


def test_a_rule_called_back_within_a_region() -> None:
    """Its function is one of the whole; no tensor is written before it."""
    calls: list[int] = []

    def own(x: Any) -> Any:
        calls.append(1)
        if len(calls) > 6:
            raise ValueError("enough")
        return np.tanh(x)

    rule = opaque(dataclasses.replace(OPS["tanh"], name="own", forward=own))
    try:
        recorded, tensor = program()
        for owner in (i for i in recorded.instructions if i.regions):
            (body,) = owner.regions
            for i in body.instructions:
                if i.op.name == "tanh":
                    i.op = rule.bind()
        verify_program(recorded)
        improved = recorded
        for _, improved in improve(recorded):
            verify_program(improved)
        code = lower(improved)
        verify_code(code, improved)
        assert len(code.functions) == 1
        assert from_words(to_words(code))[2] == code.instructions
        before = tensor.copy()
        z, w = expected(X, before)
        np.testing.assert_allclose(Emulator(code).run(X)[0], z, rtol=1e-13)
        np.testing.assert_allclose(tensor, w, rtol=1e-13)
        with pytest.raises(InstructionError):
            Emulator(code).run(X)
        np.testing.assert_allclose(tensor, w, rtol=1e-13)
    finally:
        FUSED.pop(rule.name)


def test_the_recorded_program_stays_as_it_is() -> None:
    recorded, _ = program()
    (first, _) = (i for i in recorded.instructions if i.regions)
    for _ in improve(recorded):
        pass
    names = [i.op.name for i in first.regions[0].instructions]
    assert names == ["matmul", "add", "tanh", "multiply", "mean"]


def test_passes_leave_both_and_order_them() -> None:
    _, improved, _ = lowered()
    owners = [i for i in improved.instructions if i.regions]
    assert len(owners) == 2  # equal ones would not be merged
    assert owners[1].inputs[0] is owners[0].outputs[0]
    assert improved.instructions.index(owners[0]) < improved.instructions.index(owners[1])
    assert "mean" not in {i.op.name for o in owners for i in o.regions[0].instructions}


def test_listed() -> None:
    code, _, _ = lowered()
    texts = [text for text in instruction_lines(code) if text.startswith("repeat 3:")]
    assert len(texts) == 2
    for text in texts:
        head, *owned = text.split("\n")
        assert "= repeat(" in head
        assert all(line.startswith("    ") for line in owned)
        assert owned[-1].startswith("    gives ")
        assert any("argument0" in line for line in owned)
        assert any("tanh" in line for line in owned)


def test_words_round_trip() -> None:
    code, _, _ = lowered()
    words = to_words(code)
    size, arguments, instructions, results = from_words(words)
    assert (size, arguments, results) == (code.arena_size, code.arguments, code.results)
    assert instructions == code.instructions
    for at in range(len(words)):
        with pytest.raises(VerificationError):
            from_words(words[:at])


def test_words_that_nest_too_deeply_are_refused() -> None:
    code, _, _ = lowered()
    (number, *_) = (n for n, i in enumerate(code.instructions) if i.name == "repeat")
    nested: Any = code.instructions[number]
    for _ in range(70):
        body = dataclasses.replace(nested.regions[0], instructions=(nested,))
        nested = dataclasses.replace(nested, regions=(body,))
    words = to_words(dataclasses.replace(code, instructions=[nested]))
    with pytest.raises(VerificationError, match="deep"):
        from_words(words)


def test_a_region_within_a_region() -> None:
    recorded, _ = program()
    owner = next(i for i in recorded.instructions if i.regions)
    b = Builder()
    carry, fixed = Value((3, 4), "argument"), Value((4,), "argument")
    inner = b.emit_several(owner.op, [carry, fixed], (body_program(),))
    outer = Instruction(
        owner.op, owner.inputs, regions=(Program([carry, fixed], b.instructions, [*inner]),)
    )
    whole = Program(recorded.arguments, [*recorded.instructions[:2], outer], [*outer.outputs])
    verify_program(whole)
    *_, (_, improved) = improve(whole)
    code = lower(improved)
    verify_code(code, improved)
    found = Emulator(code).run(X)
    for a, b_ in zip(found, interpret(whole, [X]), strict=True):
        np.testing.assert_allclose(a, b_, rtol=1e-13)
    assert from_words(to_words(code))[2] == code.instructions
    assert sum("gives" in line for line in "\n".join(instruction_lines(code)).split("\n")) == 2


# ---- what is refused --------------------------------------------------------------------------


def test_programs_that_are_not_well_formed() -> None:
    def broken(change: Any, message: str) -> None:
        wrong, _ = program()
        owner = next(i for i in wrong.instructions if i.regions)
        change(wrong, owner, owner.regions[0])
        with pytest.raises(VerificationError, match=message):
            verify_program(wrong)

    def sees_outside(whole: Program, owner: Instruction, body: Program) -> None:
        body.instructions[0].inputs = (owner.inputs[0], body.instructions[0].inputs[1])

    def reads_tensor(whole: Program, owner: Instruction, body: Program) -> None:
        body.instructions[1].inputs = (body.instructions[1].inputs[0], owner.inputs[1])

    def gives_tensor(whole: Program, owner: Instruction, body: Program) -> None:
        body.results[1] = owner.inputs[1]

    def writes(whole: Program, owner: Instruction, body: Program) -> None:
        body.writes.append((owner.inputs[1], body.results[1]))

    def unknown(whole: Program, owner: Instruction, body: Program) -> None:
        body.instructions[0].op = dataclasses.replace(OPS["tanh"]).bind()

    def other_shape(whole: Program, owner: Instruction, body: Program) -> None:
        body.results[0] = body.results[1]

    def none_at_all(whole: Program, owner: Instruction, body: Program) -> None:
        owner.regions = ()

    def one_more(whole: Program, owner: Instruction, body: Program) -> None:
        owner.regions = (body, body)

    def on_another(whole: Program, owner: Instruction, body: Program) -> None:
        whole.instructions[0].regions = (body,)

    for change in (sees_outside, unknown):
        broken(change, "region 0: instruction 0")
    for change in (reads_tensor, gives_tensor, writes):
        broken(change, "region 0 must leave tensors alone")
    broken(other_shape, "do not fit the arguments of the body")
    for change in (none_at_all, one_more, on_another):
        broken(change, "not so many outputs or regions")


def computes_the_same(code: Code, tensor: np.ndarray, before: np.ndarray) -> bool:
    z, w = expected(X, before)
    tensor[...] = before
    try:
        with np.errstate(all="ignore"):
            found = Emulator(code).run(X)[0]
    except (IndexError, TypeError, ValueError):
        return False
    finally:
        written = tensor.copy()
        tensor[...] = before
    close = np.shape(found) == z.shape and np.allclose(found, z, rtol=1e-12, atol=0)
    return bool(close and np.allclose(written, w, rtol=1e-12, atol=0))


def test_mutants_of_what_is_owned_are_rejected(rng: np.random.Generator) -> None:
    code, improved, tensor = lowered()
    before = tensor.copy()
    number = next(n for n, i in enumerate(code.instructions) if i.name == "repeat")
    owner: Any = code.instructions[number]
    region, inside = owner.regions[0], code.meanings[number].regions[0]
    rejected = 0
    for what, mutant in mutants(inside, rng):
        body = Region(
            mutant.arena_size,
            region.arguments,
            region.buffers,
            tuple(mutant.instructions),
            tuple(mutant.results),
        )
        changed = dataclasses.replace(code, meanings=list(code.meanings))
        changed.meanings[number] = dataclasses.replace(code.meanings[number], regions=(mutant,))
        new = dataclasses.replace(owner, regions=(body,))
        rejected += not accepted(changed, improved, number, new, what, tensor, before)
    for fields in (
        {"arena_size": 0},
        {"arguments": region.arguments[::-1]},
        {"arguments": ((3, 4), (3, 4))},
        {"buffers": region.buffers[::-1]},
        {"buffers": region.buffers[:1]},
        {"buffers": (*region.buffers[:1], 0)},
        {"buffers": (*region.buffers[:1], 1)},
        {"buffers": (*region.buffers[:1], 99)},
        {"results": region.results[::-1]},
        {"results": region.results[:1]},
        {"instructions": ()},
    ):
        body = dataclasses.replace(region, **fields)  # type: ignore[arg-type]
        new = dataclasses.replace(owner, regions=(body,))
        assert not accepted(code, improved, number, new, str(fields), tensor, before)
    assert rejected > 50


def test_mutants_of_the_owner_are_rejected(rng: np.random.Generator) -> None:
    code, improved, tensor = lowered()
    before = tensor.copy()
    number = next(n for n, i in enumerate(code.instructions) if i.name == "repeat")
    owner: Any = code.instructions[number]
    other: Any = next(i for i in reversed(code.instructions) if i.name == "repeat")
    for fields in (
        {"n": owner.n + 1},
        {"carry": owner.fixed},
        {"fixed": owner.carry},
        {"final": owner.last, "last": owner.final},
        {"last": owner.final},
        {"final": owner.carry},
        {"regions": ()},
        {"regions": owner.regions * 2},
        {"carry": other.carry},
    ):
        mutant = dataclasses.replace(owner, **fields)
        assert not accepted(code, improved, number, mutant, str(fields), tensor, before)


def accepted(
    code: Code,
    improved: Program,
    number: int,
    mutant: Any,
    what: str,
    tensor: np.ndarray,
    before: np.ndarray,
) -> bool:
    """Whether the verifier accepts it; then it must compute the same."""
    changed = dataclasses.replace(code, instructions=list(code.instructions))
    changed.instructions[number] = mutant
    try:
        verify_code(changed, improved)
    except VerificationError:
        return False
    assert computes_the_same(changed, tensor, before), what
    return True


def test_a_region_sees_buffers_only() -> None:
    code, _, _ = lowered()
    owner: Any = next(i for i in code.instructions if i.name == "repeat")
    (region,) = owner.regions
    assert region_code(region, code, code).buffers[0].size > 0
    for space in (-1, 0, 1):
        wrong = dataclasses.replace(region, buffers=(*region.buffers, space))
        with pytest.raises(VerificationError, match="not all of them buffers"):
            region_code(wrong, code, code)


def test_a_fault_inside_says_where_it_is() -> None:
    code, improved, _ = lowered()
    number = next(n for n, i in enumerate(code.instructions) if i.name == "repeat")
    owner: Any = code.instructions[number]
    body = dataclasses.replace(owner.regions[0], instructions=owner.regions[0].instructions[1:])
    changed = dataclasses.replace(code, instructions=list(code.instructions))
    changed.instructions[number] = dataclasses.replace(owner, regions=(body,))
    with pytest.raises(VerificationError, match=rf"instruction {number} \(repeat.*in what it owns"):
        verify_code(changed, improved)


# ---- comparing ----------------------------------------------------------------------------------


def test_recordings_that_differ_inside_differ() -> None:
    first, tensor = program()
    second = first.copy()
    assert difference(first, second) is None
    owner = next(i for i in second.instructions if i.regions)
    inner = owner.regions[0].instructions[1]
    inner.inputs = inner.inputs[::-1]
    found = difference(first, second)
    assert found is not None
    assert "in what it repeats" in found
    assert tensor.shape == (4,)
