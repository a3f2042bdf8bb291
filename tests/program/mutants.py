"""Code with one fault: every kind of fault that a pass or the lowering could make."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from autodiff.program.code.flat import Code
from autodiff.program.code.kind import Kind, Operand
from autodiff.program.code.kinds.gemm import Gemm
from autodiff.program.code.kinds.map import Map

Mutant = tuple[str, Code]


def copied(code: Code) -> Code:
    return dataclasses.replace(
        code,
        instructions=list(code.instructions),
        labels=list(code.labels),
        meanings=list(code.meanings),
        results=list(code.results),
    )


def with_instruction(code: Code, number: int, new: Kind) -> Code:
    result = copied(code)
    result.instructions[number] = new
    return result


def with_fields(code: Code, number: int, **fields: Any) -> Code:
    return with_instruction(code, number, dataclasses.replace(code.instructions[number], **fields))


def replaced(items: Any, at: int, new: Any) -> Any:
    return (*items[:at], new, *items[at + 1 :])


def swapped(items: Any, i: int, j: int) -> Any:
    return replaced(replaced(items, i, items[j]), j, items[i])


def moved(operand: Operand, by: int) -> Operand:
    return operand._replace(offset=operand.offset + by)


def everywhere(part: Any, change: Callable[[Operand], Operand]) -> Any:
    """All operands of instructions or results, changed."""
    if isinstance(part, Operand):
        return change(part)
    if isinstance(part, Kind):
        fields = {f.name: everywhere(getattr(part, f.name), change) for f in
                  dataclasses.fields(part)}  # type: ignore[arg-type]  # fmt: skip
        return type(part)(**fields)
    if isinstance(part, list):
        return [everywhere(x, change) for x in part]
    if isinstance(part, tuple):
        parts = [everywhere(x, change) for x in part]
        return type(part)(*parts) if hasattr(part, "_fields") else tuple(parts)
    return part


def mutants(code: Code, rng: np.random.Generator) -> Iterator[Mutant]:
    """Every kind of fault that a pass or the lowering could make, in every instruction."""
    for i, instruction in enumerate(code.instructions):
        without = copied(code)
        for rows in (without.instructions, without.labels, without.meanings):
            del rows[i]  # type: ignore[attr-defined]
        yield f"{i} dropped", without
        if i:
            turned = copied(code)
            for rows in (turned.instructions, turned.labels, turned.meanings):
                rows[i - 1], rows[i] = rows[i], rows[i - 1]  # type: ignore[index]
            yield f"{i - 1} and {i} swapped", turned
        if isinstance(instruction, Map):
            for what, fields in map_mutants(instruction):
                yield f"{i} {what}", with_fields(code, i, **fields)
        else:
            for what, fields in field_mutants(instruction, code, rng):
                yield f"{i} {instruction.name}: {what}", with_fields(code, i, **fields)
        if isinstance(instruction, Gemm):
            turned_operands = {"a": instruction.b, "b": instruction.a}
            yield f"{i} operands swapped", with_fields(code, i, **turned_operands)
    for number, (place, shape) in enumerate(code.results):
        changed = copied(code)
        changed.results[number] = moved(place, 1), shape
        yield f"result {number} moved", changed
    smaller = copied(code)
    smaller.arena_size -= 8
    yield "arena too small", smaller


def field_mutants(
    instruction: Kind, code: Code, rng: np.random.Generator
) -> Iterator[tuple[str, dict[str, Any]]]:
    for field in dataclasses.fields(instruction):  # type: ignore[arg-type]
        name, value = field.name, getattr(instruction, field.name)
        news: list[Any] = []
        if isinstance(value, Operand):
            news = [moved(value, by) for by in (1, -1, 8)]
            if value.space == 0:
                news.append(Operand(0, int(rng.integers(0, max(code.arena_size - 8, 1)))))
        elif isinstance(value, bool):
            news = [not value]
        elif isinstance(value, int):
            news = [value + 1, value - 1]
        elif isinstance(value, float):
            news = [0.5, 2.0]
        elif isinstance(value, str):
            news = [op for op in instruction.ops if op != value] + ["tanh"]
        elif value and isinstance(value, tuple):
            news = [replaced(value, k, value[k] + 1) for k in range(len(value))]
        elif value is None:
            news = [Operand(1 + len(code.arguments), 0)]
        for new in news:
            yield f"{name} is {new}", {name: new}


def map_mutants(code: Map) -> Iterator[tuple[str, dict[str, Any]]]:
    windows, applications = code.windows, code.applications
    for k, window in enumerate(windows):
        news = {f"by {by}": window._replace(place=moved(window.place, by)) for by in (1, -1)}
        for axis, stride in enumerate(window.strides):
            strides = replaced(window.strides, axis, stride + 1)
            news[f"stride {axis}"] = window._replace(strides=strides)
        for what, new in news.items():
            yield f"window {k} {what}", {"windows": replaced(windows, k, new)}
        if k:
            yield f"windows {k - 1} and {k} swapped", {"windows": swapped(windows, k - 1, k)}
            yield f"window {k} is {k - 1}", {"windows": replaced(windows, k, windows[k - 1])}
    for axis, n in enumerate(code.shape):
        yield f"axis {axis} longer", {"shape": replaced(code.shape, axis, n + 1)}
        yield f"axis {axis} shorter", {"shape": replaced(code.shape, axis, n - 1)}
    for m, apply in enumerate(applications):
        inputs, z = apply.inputs, apply.output
        others = [apply._replace(op="tanh" if apply.op != "tanh" else "exp")]
        if len(inputs) == 2 and inputs[0] != inputs[1]:
            others.append(apply._replace(inputs=inputs[::-1]))
        for at, ref in enumerate(inputs):
            for new_ref in {ref + 1, ref - 1, ~ref} - {ref}:
                others.append(apply._replace(inputs=replaced(inputs, at, new_ref)))
        others += [apply._replace(output=new) for new in {z + 1, z - 1, ~z} - {z}]
        others.append(apply._replace(inputs=inputs[:1] * (1 if len(inputs) > 1 else 2)))
        for other in others:
            yield f"{m}: {other}", {"applications": replaced(applications, m, other)}
        yield f"{m} dropped", {"applications": (*applications[:m], *applications[m + 1 :])}
        if m:
            both = swapped(applications, m - 1, m)
            yield f"applications {m - 1} and {m} swapped", {"applications": both}
