"""The verifier: no program that breaks a rule reaches C.

:func:`verify_program` checks a program in single-assignment form; it holds after every pass.

:func:`verify_code` proves that flat code computes what the program says, whatever was
decided about places, order and memory. Every element of every computed value is a number, its
*tag* (:mod:`autodiff.program.code.tags`). The code is executed
on memories that hold tags (:mod:`autodiff.program.code.machine`), and what each instruction does
to them its kind says: whenever it reads, the window that its fields
describe must hold the tags of the value that the program has there; whatever it writes
becomes the tags of the value that it computes; a copy moves tags. In the end results and
tensors must hold theirs. So it finds a wrong order, values that overlap while both are needed,
a wrong offset, stride or leading dimension, an operand overwritten in place too early.

Cost: linear in the elements that the code reads and writes, at some nanoseconds each. Whole
arguments, constants and tensors that nothing has written yet are not looked at.
"""

from __future__ import annotations

from autodiff.errors import VerificationError
from autodiff.program.code.flat import Code
from autodiff.program.code.kinds import KINDS
from autodiff.program.code.machine import Machine
from autodiff.program.code.tags import TaggedValues
from autodiff.program.ir import Program
from autodiff.program.wellformed import verify_program

__all__ = ["verify_code", "verify_program"]


def verify_code(code: Code, program: Program) -> None:
    """Prove that `code` computes `program`, from which it was lowered.

    Raises
    ------
    VerificationError
        If it does not. The message names the instruction, the value that it must find, and
        what it finds in its place.
    """
    machine = Machine(code, TaggedValues(program), verify_code)
    for number, (instruction, meaning) in enumerate(
        zip(code.instructions, code.meanings, strict=True)
    ):
        kind = KINDS.get(instruction.name)
        try:
            if kind is not type(instruction):
                machine.fail("the verifier does not know it")
            kind.check(instruction, machine, meaning)
        except VerificationError as error:
            label = code.labels[number]
            where = f"instruction {number} ({instruction.name}{' ' if label else ''}{label})"
            raise VerificationError(f"{where}: {error}") from None
        except _MALFORMED as error:
            raise VerificationError(f"instruction {number} is malformed: {error!r}") from error
    _check_end(machine)


_MALFORMED = (AssertionError, AttributeError, IndexError, KeyError, OverflowError, TypeError,
              ValueError)  # fmt: skip


def _check_end(machine: Machine) -> None:
    """What results and tensors hold in the end."""
    code, tagged = machine.code, machine.tagged
    program = tagged.program
    if len(code.results) != len(program.results):
        machine.fail("there are more or fewer results than the program has")
    for number, ((place, shape), value) in enumerate(
        zip(code.results, program.results, strict=True)
    ):
        if shape != value.shape:
            machine.fail(f"result {number} has shape {shape}, not {value.shape}")
        machine.expect(machine.window(place, shape), tagged.of(value), f"result {number}")
    final = {id(state.buffer): value for state, value in program.writes}
    numbers = {id(b): n for n, b in enumerate(code.buffers) if n > 0}
    for state, value in program.writes:
        if id(state.buffer) not in numbers and value is not state:
            machine.fail(f"{state!r} is never assigned {value!r}")
    for key, number in numbers.items():
        memory = machine.spaces[1 + len(code.arguments) + number]
        leaf = tagged.leaves.get(key)
        if leaf is None:  # of a region, and nobody else's
            continue
        value = final.get(key, leaf)
        if not memory.fresh or key in final:
            machine.expect(memory.tags, tagged.of(value).reshape(-1), f"tensor {leaf.label!r}")
