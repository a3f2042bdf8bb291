"""Pass `combine`: a product that only a sum reads is one kernel with the sum.

    c + x y  and  c - x y,  element by element.

It is rounded twice, as the two ops are: not a bit of the result changes.
"""

from __future__ import annotations

from autodiff.program.fused import MULTIPLY_ADD, MULTIPLY_SUBTRACT
from autodiff.program.ir import Instruction, Program, Value
from autodiff.program.passes.rewrite import exchange

__all__ = ["combine"]


def combine(program: Program) -> Program:
    """Sums of a value and an elementwise product, in one op each."""
    uses = program.uses()
    outputs = set(program.outputs)

    def private_product(value: Value, shape: tuple[int, ...]) -> bool:
        single = len(uses.get(value, ())) == 1 and value not in outputs
        return value.op == "multiply" and value.shape == shape and single

    def instead(old: Instruction) -> Instruction | None:
        if old.op.name not in ("add", "subtract"):
            return None
        op = MULTIPLY_ADD if old.op.name == "add" else MULTIPLY_SUBTRACT
        first, second = old.inputs
        shape = old.output.shape
        if private_product(second, shape):
            c, product = first, second
        elif old.op.name == "add" and private_product(first, shape):
            c, product = second, first
        else:
            return None
        return Instruction(op.bind(), [c, *product.inputs], old.output.label, old.rank)

    return exchange(program, instead)
