"""Pass `simplify`: equal expressions once, constants folded, nothing that nothing reads.

Also: an elementwise op broadcasts by itself, so an operand that was repeated to the
output's shape is used as it is; and a slice that takes one row by number becomes a
slice of rows, which later passes can tell from its neighbours.
"""

from __future__ import annotations

import math

import numpy as np

from autodiff.program.ir import Instruction, Program, Value
from autodiff.program.passes.rewrite import Emitter, rewrite

__all__ = ["simplify"]


def simplify(program: Program) -> Program:
    """The same program, each value computed once and only if needed."""
    return rewrite(program, _change)


def _change(e: Emitter, old: Instruction, inputs: tuple[Value, ...]) -> Value | None:
    op = old.op
    if op.op.elementwise:
        narrow = inputs
        for x in inputs:
            if x.op == "broadcast_to" or x.kind == "constant":
                narrow = tuple([_narrowed(e, x) for x in inputs])
                break
        if narrow is not inputs and narrow != inputs:
            small = op.shape(*[x.shape for x in narrow])
            if math.prod(small) == 1 < old.output.size:  # one number, repeated
                number = e.reshape(e.emit(op, narrow, old.output.label), ())
                return e.apply("broadcast_to", number, shape=old.output.shape)
            kept = inputs
            for i, x in enumerate(narrow):  # one at a time: they may have repeated each other
                trial = (*kept[:i], x, *kept[i + 1 :])
                if op.shape(*[v.shape for v in trial]) == old.output.shape:
                    kept = trial
            return e.keep(old, kept)
    if op.name == "getitem":
        return _row_as_slice(e, old, inputs[0])
    return None


def _narrowed(e: Emitter, x: Value) -> Value:
    """What `x` repeats: the operand of a broadcast, the number that fills a constant."""
    if x.op == "broadcast_to":
        return x.inputs[0]
    if x.kind == "constant" and x.size > 1 and x.buffer is not None:
        first = x.buffer.flat[0]
        if np.all(x.buffer == first):
            return e.constant(first)
    return x


def _row_as_slice(e: Emitter, old: Instruction, x: Value) -> Value | None:
    """x[t] of shape (B, ...) as rows tB ... of x with its first two axes made one."""
    index = old.op.attributes["index"]
    shape = old.output.shape
    whole = tuple((0, n, 1) for n in x.shape[1:])
    if not isinstance(index[0], int) or index[1:] != whole:
        return None
    rows, rest = (shape[0], shape[1:]) if shape else (1, ())
    joined = e.reshape(x, (x.shape[0] * rows, *rest))
    t = index[0]
    return e.reshape(e.slice(joined, 0, t * rows, (t + 1) * rows), shape)
