"""Compiled steps: record once for each signature of shapes, replay ever after."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from autodiff import graph
from autodiff.array import Array
from autodiff.node import Node
from autodiff.program.interpret import interpret
from autodiff.program.ir import Program
from autodiff.program.recorder import Recorder
from autodiff.program.structure import Structure, flatten, map_leaves, rebuild

__all__ = ["CompiledStep", "compile", "record"]


def record(
    function: Callable[..., Any], structure: Structure, leaves: Sequence[Array]
) -> tuple[Program, Structure, list[Any]]:
    """Run `function` once on values without numbers; the program, and how to return results."""
    recorder = Recorder()
    with recorder.recording():
        recorded = iter([recorder.argument(leaf.shape) for leaf in leaves])
        positional, named = rebuild(structure, recorded)
        returned = function(*positional, **named)
        results: list[Any] = []

        def collect(leaf: Any) -> int:
            results.append(leaf.value if isinstance(leaf, Node) else leaf)
            return len(results) - 1

        shape_of_results = map_leaves(returned, collect)
        program = recorder.program(results)
    return program, shape_of_results, recorder.written


class CompiledStep:
    """A step function that is recorded at its first call and replayed afterwards.

    function : the undecorated function.
    """

    def __init__(self, function: Callable[..., Any], cache_size: int = 16) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self._cache: OrderedDict[Structure, tuple[Program, Structure, list[Any]]] = OrderedDict()
        self._cache_size = cache_size

    def __call__(self, *positional: Any, **named: Any) -> Any:
        """Run the step: the same as ``function(...)``, with arrays for results."""
        leaves: list[Array] = []
        structure = flatten((positional, named), "arguments", leaves)
        if structure not in self._cache:
            self._cache[structure] = record(self.function, structure, leaves)
            while len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        self._cache.move_to_end(structure)
        program, returned, written = self._cache[structure]
        results = interpret(program, leaves)
        for tensor in written:
            tensor._tick = graph.new_epoch()
            tensor._awaited = -1
        return map_leaves(returned, results.__getitem__)


def compile(function: Callable[..., Any] | None = None, *, cache_size: int = 16) -> Any:
    """Decorate a step function: record it once, replay it in C."""
    if function is None:
        return functools.partial(compile, cache_size=cache_size)
    return CompiledStep(function, cache_size)
