"""A step recorded for one signature: the program, its code, and the loaded code."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from autodiff import forks
from autodiff.errors import AutodiffError, IndexRangeError, InstructionError, RecordingError
from autodiff.graph import clock
from autodiff.graph.memory import settle_written
from autodiff.graph.node import Node
from autodiff.program.code.flat import Code
from autodiff.program.code.load import Executor, load, without_collection
from autodiff.program.code.lower import lower
from autodiff.program.code.verify import verify_code
from autodiff.program.difference import difference
from autodiff.program.ir import Program
from autodiff.program.kept import Kept
from autodiff.program.passes import LOWERING_OPTIONS, carry, improve
from autodiff.program.recorded import Recorded
from autodiff.program.recorder import Recorder
from autodiff.program.stand_ins import Watch
from autodiff.program.structure import Group, Leaf, Structure, flatten, rebuild, shapes_of

__all__ = ["FAILURES", "Recording", "record"]

FAILURES = InstructionError, IndexError
"""What executors raise if an instruction fails; the second, if NumPy has carried it out."""


@dataclass
class Scans:
    """What runs in a scan: the step, and what is run before and after several of them."""

    code: Code
    executor: Executor
    before: Executor | None = None
    after: Executor | None = None


class Recording:
    """A step for one signature of shapes: the program, its code, and the loaded code.

    improved : the program after the passes.
    returned : the structure of the results.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        structure: Structure,
        without: Collection[str] = (),
        check: bool = True,
    ) -> None:
        self.structure = structure
        self.options = {name: name not in without for name in LOWERING_OPTIONS}
        self.carries = "carry" not in without
        self._scans: Scans | None = None
        watch = without_collection(lambda: self._build(function, without, check))
        self.executor: Executor = load(self.code, watch.tensors)
        self.written = [weakref.ref(tensor) for tensor in watch.written]
        self.reached = [weakref.ref(node) for node in watch.reached]
        self._conditions = watch.conditions
        self.n_passes = clock.n_passes
        forks.tell_children(self, _settle_later)  # a thread may have run it and not said so
        self.single = isinstance(self.returned, Leaf)  # the step returns one array or number
        self.plain = self.single or _is_plain(self.returned)

    def _build(self, function: Callable[..., Any], without: Collection[str], check: bool) -> Watch:
        watch, recorded, self.returned = record(function, self.structure)
        if check:
            first = recorded, self.returned
            watch, recorded = _record_again(function, self.structure, first, watch)
        self._recorded = Kept(recorded)
        watch.recorder.let_go()
        self.improved = recorded
        for _, program in improve(recorded, without, own=True):
            self.improved = program
        self.code: Code = self._lower(self.improved)
        return watch

    def _lower(self, program: Program) -> Code:
        code = lower(program, **self.options)
        verify_code(code, program)
        return code

    @property
    def recorded(self) -> Program:
        """The program before the passes, written down anew each time that it is asked for."""
        return self._recorded.program()

    def scans(self) -> Scans:
        """What scans run; made by the first of them."""
        if self._scans is None:
            self._scans = without_collection(self._make_scans)
        return self._scans

    def _make_scans(self) -> Scans:
        carried = carry(self.improved) if self.carries else None
        if carried is None:
            return Scans(self.code, self.executor)
        codes = [self._lower(p) for p in (carried.body, carried.before, carried.after)]
        body, before, after = (load(code, beside=self.executor) for code in codes)
        return Scans(codes[0], body, before, after)

    def holds(self) -> bool:
        """Whether the world is, in what a recording cannot see, as it was when this one was made.

        To be asked when :data:`autodiff.graph.clock.n_passes` has moved. If not, recording anew
        says what is wrong, or takes note of it.
        """
        n_passes = clock.n_passes
        clock.settle()
        if not all(condition() for condition in self._conditions):
            return False
        self.n_passes = n_passes
        return True

    def settle(self) -> None:
        """Tell the graph what a replay has done to tensors."""
        for reference in self.reached:
            node = reference()
            if node is not None:
                node.summed = None
                node.awaited = -1
                node.unread = None
        settle_written(
            [tensor for reference in self.written if (tensor := reference()) is not None]
        )

    def run(self, execute: Callable[[], Sequence[Any]], code: Code | None = None) -> Sequence[Any]:
        """What an executor gives of this recording's code, or other code; see :meth:`fail`."""
        try:
            found = execute()
        except FAILURES as error:
            failed = error
        except BaseException:
            clock.defer(self)
            raise
        else:
            clock.defer(self)
            return found
        self.fail(failed, code)

    def fail(self, error: Exception, code: Code | None = None) -> NoReturn:
        """Raise what a failed instruction means.

        To be called where no exception is being handled: what a rule has raised keeps its context.
        """
        clock.defer(self)
        failure = self._failure(error, code)
        error.__traceback__ = None  # it would keep the caller's frame, which has it
        raise failure

    def _failure(self, error: Exception, code: Code | None = None) -> BaseException:
        """What a failed instruction raises: its kind says why, and here the op and the node.

        What a rule has raised that was called back stays what it is, with a note of where it was.
        """
        code = code or self.code
        number = getattr(error, "instruction", None)
        if number is None:
            return _caused_by(error, IndexRangeError(str(error)))
        instruction, label = code.instructions[number], code.labels[number]
        step = error.step  # type: ignore[attr-defined]
        where = f"instruction {number}" + ("" if step is None else f", step {step}")
        node = f", node {label!r}" if label else ""
        if error.__cause__ is not None:
            _note(error.__cause__, f"{_called(code, number)}, called back by {where}{node}")
            return error.__cause__
        reason: AutodiffError = instruction.error(error.numbers)  # type: ignore[attr-defined]
        line = _line(code, number)
        return _caused_by(error, type(reason)(f"{instruction.name}: {where}: {reason}{node}{line}"))

    def results(self, flat: Sequence[Any]) -> Any:
        """The results as the step returns them."""
        if self.plain:
            return flat[0] if self.single else flat
        return rebuild(self.returned, iter(flat))


def _caused_by(error: BaseException, raised: AutodiffError) -> AutodiffError:
    raised.__cause__ = error
    return raised


def _note(error: BaseException, text: str) -> None:
    """Have the traceback end with a line more, where Python has that."""
    if hasattr(error, "add_note"):
        error.add_note(text)


def _line(code: Code, number: int) -> str:
    """The user's line that an instruction comes from, if that is known."""
    (source,) = code.meanings[number].sources
    where = None if source is None else source.outputs[0].where
    return "" if where is None else f", of {where[0]}:{where[1]}"


def _called(code: Code, number: int) -> str:
    """Which rule an instruction calls, and the line that it comes from."""
    (source,) = code.meanings[number].sources
    assert source is not None
    name = getattr(source.op.op, "rule_name", source.op.name)
    return f"in {name}{_line(code, number)}"


def _is_plain(structure: Structure) -> bool:
    return (
        isinstance(structure, Group)
        and structure.kind is tuple
        and all(isinstance(part, Leaf) for part in structure.parts)
    )


def _settle_later(recording: Recording) -> None:
    clock.defer(recording)


def name_of(function: Callable[..., Any]) -> str:
    """What a step is called in messages."""
    return f"step {getattr(function, '__qualname__', repr(function))!r}"


def record(
    function: Callable[..., Any], structure: Structure, first: Recorder | None = None
) -> tuple[Watch, Program, Structure]:
    """Run `function` once on values without numbers.

    Returns what was seen of the world outside, the program, and the structure of the results.

    first : the recorder of an earlier run, whose values are used again as far as this is the same.
    """
    recorder = Recorder(name_of(function), first)
    watch = Watch(recorder)

    def recorded(leaf: Any, what: str) -> Recorded:
        return recorder.recorded(leaf.value if isinstance(leaf, Node) else leaf, what)

    def run() -> tuple[Program, Structure]:
        arguments = iter(list(map(recorder.argument, shapes_of(structure))))
        positional, named = rebuild(structure, arguments)
        returned = function(*positional, **named)
        results: list[Any] = []
        numbers = flatten(returned, "the result", recorded, results, lists=True)
        del arguments, positional, named, returned
        watch.forget_locals()
        return watch.program(results), numbers

    program, numbers = watch.run(run)
    return watch, program, numbers


def _record_again(
    function: Callable[..., Any],
    structure: Structure,
    first: tuple[Program, Structure],
    seen: Watch,
) -> tuple[Watch, Program]:
    """Record once more, and compare: what is not recorded must not change what is.

    first : what was recorded, and returned. seen : what that recording saw of the world outside.
    Returns what this one sees and records.
    """
    advice = (
        "A step must do the same each time it is called with such arguments, for a replay does. "
        "Random numbers, clocks, counters, iterators and lists that grow are usually why: hand "
        "them in as arguments, or keep them in tensors made outside. "
        "autodiff.compile(..., check=False) takes the step as it was recorded"
    )
    try:
        watch, program, returned = record(function, structure, seen.recorder)
    except AutodiffError:
        raise
    except Exception as error:
        raise RecordingError(
            f"{name_of(function)} was recorded, but run once more to compare, it raised "
            f"{type(error).__name__}: {error}. {advice}"
        ) from error
    recorded, returned_first = first
    found = None if program == recorded else difference(recorded, program)
    if found is None and returned != returned_first:
        found = f"the results: first {returned_first!r}, then {returned!r}"
    if found is not None:
        raise RecordingError(f"{name_of(function)}, recorded twice, differs {found}. {advice}")
    seen.recorder.let_go()
    return watch, program
