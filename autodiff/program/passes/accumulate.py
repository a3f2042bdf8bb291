"""Pass `accumulate`: a product that is added to something is computed onto it.

    w - rate * (x' g)   becomes   w := w - rate x' g   in one pass over w,

so that the gradient of a large weight that only the update reads is never stored; and of
a sum of two products the second is computed onto the first.
"""

from __future__ import annotations

from autodiff.program.fused import PRODUCT_ADD
from autodiff.program.ir import Builder, Instruction, Program, Value
from autodiff.program.passes.rewrite import exchange, is_constant

__all__ = ["accumulate"]


def accumulate(program: Program) -> Program:
    """Products whose only reader adds them to a tensor's old value, or to another product."""
    readers = program.uses()
    outputs = set(program.outputs)
    updates = {(state, value) for state, value in program.writes}

    def only_reader(value: Value) -> bool:
        return len(readers.get(value, ())) == 1 and value not in outputs

    def instead(instruction: Instruction) -> Instruction | None:
        root = instruction.first
        if root.op not in ("add", "subtract"):
            return None
        first, second = root.inputs
        for c, term, sign in (
            (first, second, 1.0 if root.op == "add" else -1.0),
            *(((second, first, 1.0),) if root.op == "add" else ()),
        ):
            product, scale = _scaled_product(term)
            if product is None or c.shape != root.shape or product.shape != root.shape:
                continue
            onto_tensor = (c, root) in updates
            onto_product = c.op == "matmul" and only_reader(c) and c is not term
            chain_is_private = only_reader(term) and only_reader(product)
            if chain_is_private and (onto_tensor or onto_product):
                op, operands = PRODUCT_ADD.bind(sign=sign), [c, *product.inputs, scale]
                return Instruction(op, operands, root.label, instruction.rank)
        return None

    return exchange(program, instead)


def _scaled_product(term: Value) -> tuple[Value | None, Value]:
    """`term` as scale · product."""
    if _is_product(term):
        return term, _ONE
    if term.op == "multiply":
        for scale, product in (term.inputs, term.inputs[::-1]):
            if scale.shape == () and _is_product(product) and not is_constant(scale, 1.0):
                return product, scale
    return None, _ONE


def _is_product(value: Value) -> bool:
    return value.op == "matmul" and len(value.shape) == 2


_ONE = Builder().constant(1.0)
