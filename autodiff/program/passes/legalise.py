"""Pass `legalise`: reductions over axes that the kernels can take.

Kernels of sums and maxima reduce neighbouring axes, those of the softmax family the last
ones. Everything else is brought into that form.
"""

from __future__ import annotations

from autodiff.array import Shape
from autodiff.program.ir import Instruction, Program, Value
from autodiff.program.passes.rewrite import Emitter, rewrite

__all__ = ["legalise"]


def legalise(program: Program) -> Program:
    """The same program, of ops that have kernels as they are."""
    return rewrite(program, _change, plain=True)


def _change(e: Emitter, old: Instruction, inputs: list[Value]) -> Value | None:
    name = old.op.name
    if name == "mean":
        x = inputs[0]
        total = e.apply("sum", x, **old.op.attributes)
        grouped = _by_groups(e, "sum", old.op.attributes["axis"], x, total.shape) or total
        return e.apply("divide", grouped, e.constant(x.size / max(total.size, 1)))
    if name in ("sum", "max"):
        return _by_groups(e, name, old.op.attributes["axis"], inputs[0], old.output.shape)
    if name in ("softmax", "log_softmax", "logsumexp"):
        return _on_last_axes(e, old, inputs[0])
    return None


def _by_groups(
    e: Emitter, name: str, axis: tuple[int, ...], x: Value, shape: Shape
) -> Value | None:
    """One reduction for each group of neighbouring axes, the last group first."""
    groups: list[list[int]] = []
    for a in axis:
        if groups and all(x.shape[i] == 1 for i in range(groups[-1][-1] + 1, a)):
            groups[-1].extend(range(groups[-1][-1] + 1, a + 1))
        else:
            groups.append([a])
    if len(groups) <= 1 and (not groups or tuple(groups[0]) == axis):
        return None
    for group in reversed(groups):
        x = e.apply(name, x, axis=tuple(group), keepdims=True)
    return e.reshape(x, shape)


def _on_last_axes(e: Emitter, old: Instruction, x: Value) -> Value | None:
    axis = old.op.attributes["axis"]
    n = len(x.shape)
    if axis == tuple(range(n - len(axis), n)):
        return None
    order = (*(a for a in range(n) if a not in axis), *axis)
    moved = e.apply("transpose", x, axes=order)
    last = tuple(range(n - len(axis), n))
    if old.op.name == "logsumexp":
        total = e.apply("logsumexp", moved, axis=last, keepdims=False)
        return e.reshape(total, old.output.shape)
    z = e.apply(old.op.name, moved, axis=last)
    back = tuple(order.index(a) for a in range(n))
    return e.apply("transpose", z, axes=back)
