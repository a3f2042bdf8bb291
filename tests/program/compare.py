"""One step, run in every way there is: eagerly, interpreted, emulated, and in C.

A *builder* makes the step anew, with tensors that begin with the same numbers: it returns the
undecorated function and the tensors to watch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np

import autodiff
from autodiff import Tensor
from autodiff.graph.clock import settle
from autodiff.program.code.emulate import Emulator
from autodiff.program.code.flat import Code
from autodiff.program.code.kind import Operand
from autodiff.program.code.kinds.call_back import Given
from autodiff.program.code.kinds.map import Window
from autodiff.program.code.load import program_of
from autodiff.program.code.verify import verify_code, verify_program
from autodiff.program.interpret import interpret
from autodiff.program.passes import PASSES, improve
from autodiff.program.recording import Recording
from autodiff.program.structure import argument, flatten

Builder = Callable[[], tuple[Callable[..., Any], Sequence[Tensor]]]

EACH_OFF: list[tuple[str, ...]] = [(), *((name,) for name in PASSES), PASSES]
ON_AND_OFF: list[tuple[str, ...]] = [(), PASSES]


def leaves(tree: Any) -> list[np.ndarray]:
    """The numbers of results, in order."""
    if isinstance(tree, (tuple, list)):
        return [x for part in tree for x in leaves(part)]
    if isinstance(tree, dict):
        return [x for part in tree.values() for x in leaves(part)]
    if tree is None or isinstance(tree, (str, bool)):
        return []
    return [np.array(getattr(tree, "value", tree))]


def values_of(tensors: Iterable[Tensor]) -> list[np.ndarray]:
    settle()
    return [np.array(t.value) for t in tensors if t.stored is not None]


def assert_close(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray], rtol: float) -> None:
    """The same numbers; where they cancel, to a part of the largest."""
    assert len(found) == len(wanted)
    for f, w in zip(found, wanted, strict=True):
        assert np.shape(f) == np.shape(w)
        finite = np.abs(w[np.isfinite(w)])
        scale = max(1.0, float(finite.max(initial=0.0)))
        np.testing.assert_allclose(f, w, rtol=rtol, atol=rtol * scale)


def arguments_of(*arguments: Any) -> list[np.ndarray]:
    flat: list[np.ndarray] = []
    flatten(arguments, "arguments", argument, flat)
    return flat


def run_eagerly(build: Builder, calls: Sequence[tuple[Any, ...]]) -> list[np.ndarray]:
    """Results of all calls and, after each, the values of the tensors."""
    function, tensors = build()
    numbers = []
    with autodiff.use_backend("reference"):
        for call in calls:
            numbers += leaves(function(*call))
            numbers += values_of(tensors)
    return numbers


def check(
    build: Builder,
    *calls: tuple[Any, ...],
    variants: Collection[tuple[str, ...]] = EACH_OFF,
    rtol: float = 1e-12,
) -> Recording:
    """The step gives the same numbers in every way; returns the recording of the first."""
    wanted = run_eagerly(build, calls)
    first = None
    for without in variants:
        recording = _check_variant(build, calls, without, wanted, rtol)
        first = first or recording
    assert first is not None
    return first


def _check_variant(
    build: Builder,
    calls: Sequence[tuple[Any, ...]],
    without: tuple[str, ...],
    wanted: list[np.ndarray],
    rtol: float,
) -> Recording:
    function, tensors = build()
    step = autodiff.compile(function, without=without)
    recording: Recording = step.recording(*calls[0])
    verify_program(recording.recorded)
    for _, program in improve(recording.recorded, without):
        verify_program(program)
    verify_code(recording.code, recording.improved)
    for tensor in tensors:
        if tensor.stored is None:
            tensor.assign(np.zeros(tensor.shape))  # what no step has run for yet
    kept = values_of(tensors)
    _follow(lambda *a: interpret(recording.recorded, a), calls, tensors, wanted, rtol)
    restore(tensors, kept)
    _follow(lambda *a: interpret(recording.improved, a), calls, tensors, wanted, rtol)
    restore(tensors, kept)
    _follow(Emulator(recording.code).run, calls, tensors, wanted, rtol)
    restore(tensors, kept)
    if (executor := with_arena_of_nan(recording.code)) is not None:
        _follow(executor.run, calls, tensors, wanted, rtol)
        restore(tensors, kept)
    found, n_results = [], 0
    for call in calls:
        results = leaves(step(*call))
        n_results = len(results)
        found += results
        found += values_of(tensors)
    assert_close(found, wanted, rtol)
    _check_scan(build, calls, without, wanted, n_results, rtol)
    return recording


def _check_scan(
    build: Builder,
    calls: Sequence[tuple[Any, ...]],
    without: tuple[str, ...],
    wanted: list[np.ndarray],
    n_results: int,
    rtol: float,
) -> None:
    function, tensors = build()
    each = len(wanted) // len(calls)
    results = autodiff.compile(function, without=without).scan(*stacked(calls))
    expected = [np.stack([wanted[i + each * k] for k in range(len(calls))]) for i in range(each)]
    assert_close(leaves(results), expected[:n_results], rtol)
    assert_close(values_of(tensors), [e[-1] for e in expected[n_results:]], rtol)


def stacked(trees: Sequence[Any]) -> Any:
    """Arguments of several calls as those of a scan."""
    first = trees[0]
    if isinstance(first, (tuple, list)):
        parts = [stacked([tree[i] for tree in trees]) for i in range(len(first))]
        return tuple(parts) if isinstance(first, tuple) else parts
    return np.stack([np.asarray(tree, np.float64) for tree in trees])


def restore(tensors: Sequence[Tensor], values: Sequence[np.ndarray]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.assign(value)


def _follow(
    run: Callable[..., Sequence[Any]],
    calls: Sequence[tuple[Any, ...]],
    tensors: Sequence[Tensor],
    wanted: list[np.ndarray],
    rtol: float,
) -> None:
    found: list[np.ndarray] = []
    for call in calls:
        found += [np.array(r) for r in run(*arguments_of(*call))]
        found += [np.array(t.stored) for t in tensors if t.stored is not None]
    assert_close(found, wanted, rtol)


def with_arena_of_nan(code: Code) -> Any:
    """The code in C with an arena that begins as NaN: a buffer after the others."""
    try:
        import autodiff._core  # noqa: F401
    except ImportError:
        return None
    space = 1 + len(code.arguments) + len(code.buffers)

    def moved(part: Any) -> Any:
        """The same with another space for the arena, which has no room after it."""
        if isinstance(part, Operand):
            return part._replace(space=part.space or space)
        if isinstance(part, Window):
            return Window(moved(part.place), part.strides)
        if isinstance(part, Given):
            return part._replace(place=moved(part.place))
        return tuple(map(moved, part)) if type(part) is tuple else part

    instructions = [
        type(i)(*[moved(getattr(i, f.name)) for f in dataclasses.fields(i)])  # type: ignore[arg-type]
        for i in code.instructions
    ]
    results = [(moved(place), shape) for place, shape in code.results]
    buffers = [*code.buffers, np.full(code.arena_size, np.nan)]
    return program_of(
        Code(0, code.arguments, buffers, instructions, [], results, functions=code.functions)
    )
