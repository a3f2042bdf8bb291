"""Programs for the executor, written down instruction by instruction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autodiff.op import OPS
from autodiff.program.code import load
from autodiff.program.code.flat import Code
from autodiff.program.code.kinds.map import Apply, Map, Window
from autodiff.program.fused import FUSED

__all__ = ["elementwise", "program_of"]


def elementwise(shape: Any, windows: Sequence[Any], applications: Sequence[Any]) -> Map:
    """A map of windows (operand, strides) or (..., True), and of ops (name, *inputs, output)."""
    return Map(
        tuple(shape),
        tuple(Window(*window) for window in windows),
        tuple(Apply(op, tuple(inputs), output) for op, *inputs, output in applications),
        sum(_cost(op) for op, *_ in applications),
    )


def _cost(name: str) -> float:
    """Of an op; 1 if there is no such op, which the loader shall find out."""
    op = FUSED.get(name, OPS.get(name))
    return 1.0 if op is None else op.cost


def program_of(
    arena_size: int,
    arguments: Sequence[Any],
    buffers: Sequence[Any],
    instructions: Sequence[Any],
    results: Sequence[Any],
    lock: Any = None,
) -> Any:
    """The loaded program of these instructions."""
    code = Code(arena_size, list(arguments), list(buffers), list(instructions), [], list(results))
    return load.program_of(code, lock)
