"""Kind `gemm`: matrix products, as BLAS has them, over a stack of matrices."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from autodiff.array import Array, Shape
from autodiff.program.code.flat import Meaning
from autodiff.program.code.kind import Kind, Operand, Places, instruction_kind
from autodiff.program.code.lowering import Lowering
from autodiff.program.code.machine import Machine, same
from autodiff.program.code.numbers import window
from autodiff.program.code.tags import Tags
from autodiff.program.ir import Instruction, Value
from autodiff.program.plan.layout import Layout

__all__ = ["Gemm"]

Side = tuple[Operand, Value, Tags]  # an operand, the value that it must be, what is found there


@instruction_kind
class Gemm(Kind):
    """C = alpha scale op(A) op(B) + beta C for each matrix of a stack; op transposes, or does not.

    m, n, k : C is m×n, op(A) m×k, op(B) k×n. scale : one number, or None for 1.
    lda, ldb, ldc : numbers from one row to the next. stack : how many matrices, on each axis;
    a_strides, b_strides, c_strides : numbers from one to the next.
    """

    name: ClassVar[str] = "gemm"
    ops: ClassVar[tuple[str, ...]] = ("matmul", "product_add")
    colour: ClassVar[str] = "#d6e6f5"

    ta: bool
    tb: bool
    m: int
    n: int
    k: int
    alpha: float
    scale: Operand | None
    a: Operand
    lda: int
    b: Operand
    ldb: int
    beta: float
    c: Operand
    ldc: int
    stack: tuple[int, ...]
    a_strides: tuple[int, ...]
    b_strides: tuple[int, ...]
    c_strides: tuple[int, ...]

    # ---- from programs to instructions ----

    @classmethod
    def takes(cls, instruction: Instruction, position: int, layout: Layout) -> bool:
        """Matrices may lie by rows or by columns; the scale is one number."""
        if cls.must_overwrite(instruction) is not None and position in (0, 3):
            return True
        return layout.matrix() is not None

    @classmethod
    def gives(cls, value: Value, same_shape: bool) -> bool:
        """One matrix may be part of a larger one."""
        return same_shape and len(value.shape) == 2

    @classmethod
    def may_overwrite(cls, instruction: Instruction) -> int:
        """What a product is added to."""
        return 0 if cls.must_overwrite(instruction) is None else 1

    @classmethod
    def must_overwrite(cls, instruction: Instruction) -> int | None:
        """What a product is added to."""
        return 0 if _adds(instruction) else None

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """By strides; C' = B' A' where C lies column by column."""
        (instruction,) = members
        alpha, scale = 1.0, None
        x, y, *_ = instruction.inputs
        if adds := _adds(instruction):
            _, x, y, number = instruction.inputs
            alpha = float(instruction.op.attributes["sign"])
            if number.kind == "constant" and number.buffer is not None:
                alpha *= float(number.buffer)
            else:
                scale = lowering.place(number)
        a, b, c = (lowering.layouts[v] for v in (x, y, instruction.output))
        (ta, lda), (tb, ldb), out = a.matrix(), b.matrix(), c.matrix()  # type: ignore[misc]
        assert out is not None
        (m, k), n = a.shape[-2:], b.shape[-1]
        stack = c.shape[:-2]
        sa, sb, sc = ((), (), ()) if not stack else (_stack_strides(v, stack) for v in (a, b, c))
        at_a, at_b, at_c = lowering.operand(a), lowering.operand(b), lowering.operand(c)
        if out[0]:
            m, n, ta, tb = n, m, not tb, not ta
            at_a, lda, sa, at_b, ldb, sb = at_b, ldb, sb, at_a, lda, sa
        beta = 1.0 if adds else 0.0
        made = cls(ta, tb, m, n, k, alpha, scale, at_a, lda, at_b, ldb, beta, at_c, out[1],
                   stack, sa, sb, sc)  # fmt: skip
        lowering.emit_one(made, instruction)

    # ---- what it means ----

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Its operands must be those of the product, in this order or both turned."""
        source = machine.source(meaning.sources, *self.ops)
        tagged, z = machine.tagged, source.output
        adds = _adds(source)
        x, y = source.inputs[1:3] if adds else source.inputs
        self._check_factor(machine, source, adds)
        if min(self.lda, self.ldb, self.ldc) < 1:
            machine.fail("a leading dimension is not positive")
        if 0 in z.shape:
            return
        machine.begin_write(self.c)
        stack, m, n, k = self.stack, self.m, self.n, self.k
        c_strides = (*self.c_strides, self.ldc, 1)
        left = _matrix(machine, self.a, self.ta, (*stack, m, k), (*self.a_strides, self.lda, 1))
        right = _matrix(machine, self.b, self.tb, (*stack, k, n), (*self.b_strides, self.ldb, 1))
        zs, turned = tagged.of(z), False
        if not (
            z.shape == (*stack, m, n)
            and _holds(machine, (self.a, x, left), z.shape[:-2])
            and _holds(machine, (self.b, y, right), z.shape[:-2])
        ):
            turned = True
            zs = zs.swapaxes(-1, -2)
            if zs.shape != (*stack, m, n):
                machine.fail(f"it computes a product of shape {(*stack, m, n)}, not {z!r}")
            for window_, value, what in ((left, y, "left"), (right, x, "right")):
                wanted = _repeated(tagged.of(value), stack).swapaxes(-1, -2)
                machine.expect(window_, wanted, f"its {what} operand")
        reads = [left, right]
        if adds:
            old = tagged.of(source.inputs[0])
            old = old.swapaxes(-1, -2) if turned else old
            machine.expect(
                machine.window(self.c, (*stack, m, n), c_strides), old, "what it adds to"
            )
        if self.scale is not None:
            number = machine.window(self.scale, ())
            machine.expect(number, tagged.of(source.inputs[3]).reshape(()), "its scale")
            reads.append(number)
        machine.write(self.c, c_strides, zs, *reads)

    def _check_factor(self, machine: Machine, source: Instruction, adds: bool) -> None:
        wanted = 1.0
        if adds:
            wanted = source.op.attributes["sign"]
            number = source.inputs[3]
            if self.scale is None:
                if number.kind != "constant" or number.buffer is None:
                    machine.fail(f"it must be scaled by {number!r}")
                wanted *= float(number.buffer)
        elif self.scale is not None:
            machine.fail("it must not be scaled")
        if self.beta != float(adds) or self.alpha != wanted:
            factors = f"{self.alpha:g} and {self.beta:g}"
            machine.fail(f"its factors are {factors}: not those of {source!r}")

    def emulate(self, spaces: Sequence[Array]) -> None:
        """One matrix after the other."""
        factor = self.alpha
        if self.scale is not None:
            factor *= float(spaces[self.scale.space][self.scale.offset])
        a_shape = (self.k, self.m) if self.ta else (self.m, self.k)
        b_shape = (self.n, self.k) if self.tb else (self.k, self.n)
        for index in itertools.product(*map(range, self.stack)):
            x = _one_of(spaces, self.a, index, self.a_strides, a_shape, self.lda)
            y = _one_of(spaces, self.b, index, self.b_strides, b_shape, self.ldb)
            z = _one_of(spaces, self.c, index, self.c_strides, (self.m, self.n), self.ldc)
            product = factor * np.matmul(x.T if self.ta else x, y.T if self.tb else y)
            z[...] = product if self.beta == 0.0 else product + self.beta * z

    # ---- how it is shown ----

    def text(self, place: Places) -> str:
        """gemm [2×3]·[3×4]: c += 0.1 a · b'."""
        product = f"{place(self.a)}{chr(39) * self.ta} · {place(self.b)}{chr(39) * self.tb}"
        factor = "" if self.alpha == 1.0 else f"{self.alpha:g} "
        factor += "" if self.scale is None else f"{place(self.scale)} "
        times = f"{list(self.stack)} × " if self.stack else ""
        sizes = f"{times}[{self.m}×{self.k}]·[{self.k}×{self.n}]"
        sign = "+=" if self.beta == 1.0 else "="
        return f"gemm {sizes}: {place(self.c)} {sign} {factor}{product}"

    def title(self) -> str:
        """gemm 2×3 · 3×4."""
        return f"gemm {self.m}×{self.k} · {self.k}×{self.n}"


def _adds(instruction: Instruction) -> bool:
    """Whether a product is added onto something."""
    return len(instruction.inputs) > 2


def _stack_strides(x: Layout, stack: Shape) -> tuple[int, ...]:
    return x.broadcast((*stack, *x.shape[-2:]))[:-2]


def _matrix(
    machine: Machine, place: Operand, transposed: bool, shape: Shape, strides: Sequence[int]
) -> Tags:
    """The tags of op(A), of this shape."""
    if not transposed:
        return machine.window(place, shape, strides)
    *stack, rows, columns = shape
    return machine.window(place, (*stack, columns, rows), strides).swapaxes(-1, -2)


def _repeated(tags: Tags, stack: Shape) -> Tags:
    """A stack of matrices, repeated where the product's stack is larger."""
    return np.broadcast_to(tags, (*stack, *tags.shape[-2:])) if stack else tags


def _holds(machine: Machine, side: Side, stack: Shape) -> bool:
    """Whether an operand holds what it must, in the order of the program."""
    place, value, found = side
    if found.flags.c_contiguous and found.shape == value.shape and machine.is_whole(place, value):
        return True
    wanted = _repeated(machine.tagged.of(value), stack)
    return found.shape == wanted.shape and same(found, wanted)


def _one_of(
    spaces: Sequence[Array],
    place: Operand,
    index: Sequence[int],
    strides: Sequence[int],
    shape: Shape,
    leading: int,
) -> Array:
    """One matrix of a stack."""
    offset = place.offset + sum(i * s for i, s in zip(index, strides, strict=True))
    return window(spaces, Operand(place.space, offset), shape, (leading, 1))
