"""Kind `svd`: singular values and vectors of each matrix of a stack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from autodiff.array import Shape
from autodiff.op import OPS
from autodiff.ops.linalg.eigen import no_convergence
from autodiff.program.code.kind import Emitter, Operand, instruction_kind
from autodiff.program.code.stack import OfStack
from autodiff.program.ir import Instruction, Value

__all__ = ["Svd"]


@instruction_kind
class Svd(OfStack):
    """a = u diag(s) vh, of n rows and k columns; as many columns of u as there are values."""

    name: ClassVar[str] = "svd"
    ops: ClassVar[tuple[str, ...]] = ("_svd",)
    composed: ClassVar[tuple[str, ...]] = ("_pinv",)
    can_fail: ClassVar[bool] = True

    k: int
    a: Operand
    u: Operand
    s: Operand
    vh: Operand

    @classmethod
    def legal(cls, e: Emitter, old: Instruction, inputs: Sequence[Value]) -> Value | None:
        """A pseudoinverse is V S⁻¹ U', without the small ones of S."""
        if old.op.name not in cls.composed:
            return None
        u, s, vh = e.emit_several(OPS["_svd"].bind(), inputs)
        if s.size == 0:
            return e.apply("broadcast_to", e.constant(0.0), shape=old.output.shape)
        first = tuple([(0, n, 1) for n in s.shape[:-1]]), ((0, 1, 1),)
        largest = e.apply("getitem", s, index=(*first[0], *first[1]))
        least = e.apply("multiply", largest, e.constant(old.op.attributes["rtol"]))
        known = e.apply("greater", s, least)
        inverse = e.apply("divide", e.constant(1.0), s)
        inverse = e.apply("where", known, inverse, e.constant(0.0))
        scaled = e.apply("multiply", vh, e.reshape(inverse, (*s.shape, 1)))
        axes = (*range(len(s.shape) - 1), len(s.shape), len(s.shape) - 1)
        left = e.apply("transpose", scaled, axes=axes)
        return e.apply("matmul", left, e.apply("transpose", u, axes=axes))

    @classmethod
    def described(cls, instruction: Instruction) -> tuple[Any, ...]:
        """How many matrices, of how many rows and columns."""
        return cls.count_of(instruction), *instruction.inputs[0].shape[-2:]

    def shapes(self) -> list[Shape]:
        """A matrix, and its parts."""
        least = min(self.n, self.k)
        return [(self.n, self.k), (self.n, least), (least,), (least, self.k)]

    def meaning_of_fault(self, matrix: int, part: int) -> str:
        """LAPACK gave up."""
        return no_convergence(matrix, part)
