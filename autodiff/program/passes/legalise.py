"""Pass `legalise`: ops that instructions can carry out as they are.

What a kind of instruction cannot take (a sum over axes that are no neighbours, say), it says itself
in ops that it can: :meth:`autodiff.program.code.kind.Kind.legal`.
"""

from __future__ import annotations

from autodiff.program.code.kinds import kind_of
from autodiff.program.ir import Instruction, Program, Value
from autodiff.program.passes.rewrite import Emitter, rewrite

__all__ = ["legalise"]


def legalise(program: Program) -> Program:
    """The same program, of ops that have kernels as they are."""
    return rewrite(program, _change, plain=True, regions=legalise)


def _change(e: Emitter, old: Instruction, inputs: tuple[Value, ...]) -> Value | None:
    kind = kind_of(old.op.op)
    return None if kind is None else kind.legal(e, old, inputs)
