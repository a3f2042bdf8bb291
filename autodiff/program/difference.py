"""Where two recordings of a step differ: it must not depend on what is not recorded."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from autodiff.program.ir import Program, Value

__all__ = ["difference"]


def difference(first: Program, second: Program) -> str | None:
    """What the first difference of two programs is, and where; None if they are the same."""
    if len(first.arguments) != len(second.arguments):
        return "the number of arguments"
    twins = dict(zip(first.arguments, second.arguments, strict=True))
    pairs = zip_longest(first.instructions, second.instructions)
    for a, b in pairs:
        if a is None or b is None:
            more = a or b
            assert more is not None
            once = "the first" if b is None else "the second"
            return f"{_where(more.outputs[0])}: {once} recording goes on with {more.op.name}"
        where = b.outputs[0]
        if a.op is not b.op and a.op.key() != b.op.key():
            return f"{_where(where)}: first {a.op!r}, then {b.op!r}"
        found = _operands(a.inputs, b.inputs, twins)
        if found is not None:
            return f"{_where(where)}: {b.op.name} is applied to {found}"
        for x, y in zip(a.regions, b.regions, strict=True):
            found = difference(x, y)
            if found is not None:
                return f"{_where(where)}, in what it repeats: {found}"
        twins.update(zip(a.outputs, b.outputs, strict=True))
    found = _operands(first.results, second.results, twins)
    if found is not None or len(first.results) != len(second.results):
        return f"the results: {found or 'their number'}"
    a_writes, b_writes = ([x for pair in p.writes for x in pair] for p in (first, second))
    found = _operands(a_writes, b_writes, twins)
    if found is not None or len(a_writes) != len(b_writes):
        return f"what is assigned: {found or 'the number of tensors'}"
    return None


def _operands(
    first: Sequence[Value], second: Sequence[Value], twins: dict[Value, Value]
) -> str | None:
    for a, b in zip(first, second, strict=False):
        if twins.get(a) is b:
            continue
        if not _same_given(a, b):
            return f"{_what(a)} first, then to {_what(b)}"
        twins[a] = b
    return None


def _same_given(a: Value, b: Value) -> bool:
    """Whether two values are the same tensor, or constants of the same bits."""
    if a.buffer is None or b.buffer is None or a.kind != b.kind or a.shape != b.shape:
        return False
    return a.buffer is b.buffer or (
        a.kind == "constant" and a.buffer.tobytes() == b.buffer.tobytes()
    )


def _what(value: Value) -> str:
    if value.kind == "constant":
        assert value.buffer is not None
        text = f" {value.buffer:.6g}" if value.buffer.ndim == 0 else f" of shape {value.shape}"
        return f"the constant{text}"
    return f"{value.label or value.op or 'a value'} of shape {value.shape}"


def _where(value: Value) -> str:
    name = f"{value.label!r}" if value.label else value.op
    if value.where is None:
        return f"at {name}"
    file, line = value.where
    return f"at {name} ({file}:{line})"
