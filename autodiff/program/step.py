"""Compiled steps: record once for each signature of shapes, replay ever after."""

from __future__ import annotations

import functools
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from autodiff import forks, graph
from autodiff.array import Array
from autodiff.errors import IndexRangeError, RecordingError, ShapeError
from autodiff.node import Node, Tensor
from autodiff.program.ir import Program
from autodiff.program.listing import instruction_lines, listing
from autodiff.program.load import Executor, load
from autodiff.program.lower import Code, lower
from autodiff.program.passes import LOWERING_OPTIONS, PASSES, carry, improve
from autodiff.program.pause import no_collection
from autodiff.program.picture import program_dot
from autodiff.program.recorder import Recorder
from autodiff.program.structure import Leaf, Structure, flatten, map_leaves, rebuild
from autodiff.program.verify import verify_code

__all__ = ["CompiledStep", "Recording", "compile", "record"]


@dataclass
class Scans:
    """What runs in a scan: the step, and what is run before and after several of them."""

    code: Code
    executor: Executor
    before: Executor | None = None
    after: Executor | None = None


class Recording:
    """A step for one signature of shapes: the program, its code, and the loaded code.

    recorded, improved : the program before and after the passes.
    returned : the nesting of the results, with their numbers for leaves.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        structure: Structure,
        shapes: Sequence[tuple[int, ...]],
        without: Collection[str] = (),
    ) -> None:
        self.structure = structure
        self.options = {name: name not in without for name in LOWERING_OPTIONS}
        self.carries = "carry" not in without
        self._scans: Scans | None = None
        with no_collection():
            self.recorded, self.returned, written, touched = record(function, structure, shapes)
            self.improved = self.recorded
            for _, program in improve(self.recorded, without):
                self.improved = program
            self.code: Code = self._lower(self.improved)
        self.executor: Executor = load(self.code, touched)
        self.written = [weakref.ref(tensor) for tensor in written]
        self.single = self.returned == 0  # the step returns one array or number
        forks.tell_children(self, _settle_later)  # a thread may have run it and not said so

    def _lower(self, program: Program) -> Code:
        code = lower(program, **self.options)
        verify_code(code, program)
        return code

    def scans(self) -> Scans:
        """What scans run; made by the first of them."""
        if self._scans is None:
            self._scans = self._make_scans()
        return self._scans

    def _make_scans(self) -> Scans:
        with no_collection():
            carried = carry(self.improved) if self.carries else None
            if carried is None:
                return Scans(self.code, self.executor)
            codes = [self._lower(p) for p in (carried.body, carried.before, carried.after)]
        body, before, after = (load(code, beside=self.executor) for code in codes)
        return Scans(codes[0], body, before, after)

    def settle(self) -> None:
        """Tell the graph that the written tensors have changed."""
        tick = graph.new_epoch()
        for reference in self.written:
            tensor = reference()
            if tensor is not None:
                if tensor._awaited > 0:
                    tensor._gradient = None
                tensor._awaited = -1
                tensor._tick = tick

    def row_error(self, error: IndexError, code: Code | None = None) -> IndexRangeError:
        """What a row number that does not exist raises: it names the op and the node."""
        code = code or self.code
        number = getattr(error, "instruction", None)
        if number is None:
            return IndexRangeError(str(error))
        name, label = code.instructions[number][0], code.labels[number]
        node = f", node {label!r}" if label else ""
        return IndexRangeError(f"{name}: {error}{node}")

    def results(self, flat: Sequence[Any]) -> Any:
        """The results as the step returns them."""
        return flat[0] if self.single else map_leaves(self.returned, flat.__getitem__)


def _settle_later(recording: Recording) -> None:
    graph.defer(recording.settle)


def record(
    function: Callable[..., Any], structure: Structure, shapes: Sequence[tuple[int, ...]]
) -> tuple[Program, Any, list[Tensor], list[Tensor]]:
    """Run `function` once on values without numbers.

    Returns the program, the nesting of the results, and the tensors written and touched.
    """
    recorder = Recorder()
    with recorder.recording():
        positional, named = rebuild(structure, iter(list(map(recorder.argument, shapes))))
        returned = function(*positional, **named)
        results: list[Any] = []

        def collect(leaf: Any) -> int:
            results.append(leaf.value if isinstance(leaf, Node) else leaf)
            return len(results) - 1

        numbers = map_leaves(returned, collect)
        del positional, named, returned
        recorder.forget_locals()
        program = recorder.program(results)
    return program, numbers, recorder.written, recorder.tensors


class CompiledStep:
    """A step function that is recorded at its first call and replayed afterwards.

    Made by :func:`autodiff.compile`. Call it like the function; the results are arrays, and floats
    where the shape is ().

    Attributes
    ----------
    function : the undecorated function, to debug with.
    """

    def __init__(
        self, function: Callable[..., Any], cache_size: int = 16, without: Collection[str] = ()
    ) -> None:
        unknown = set(without) - set(PASSES)
        if unknown:
            raise ValueError(f"compile: there is no pass {sorted(unknown)}; there are {PASSES}")
        functools.update_wrapper(self, function)
        self.function = function
        self.cache_size = cache_size
        self.without = frozenset(without)
        self._cache: OrderedDict[Structure, Recording] = OrderedDict()
        self._lock = forks.new_lock()
        self._last: Recording | None = None  # for calls with arrays only

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", repr(self.function))
        return f"<compiled step {name}, {len(self._cache)} recordings>"

    def __call__(self, *positional: Any, **named: Any) -> Any:
        """Run the step.

        Raises
        ------
        RecordingError
            At the first call for a signature: the step asks a value for its numbers.
        IndexRangeError
            If a row number that the step takes does not exist. Instructions before it have
            been executed.
        """
        if graph.current_observer() is not None:
            return self._within_another(positional, named)
        last = self._last
        if last is not None and not named:
            try:
                flat = last.executor(*positional)
            except (TypeError, ValueError):
                pass  # arguments that must be converted, or of another signature
            except IndexError as error:
                graph.defer(last.settle)
                raise last.row_error(error) from error
            else:
                graph.defer(last.settle)
                return last.results(flat)
        leaves: list[Array] = []
        structure = flatten((positional, named), "arguments", leaves)
        recording = self._recording(structure, [leaf.shape for leaf in leaves])
        plain = not named and all(isinstance(s, Leaf) for s in structure[1][1:])
        self._last = recording if plain else None
        try:
            flat = recording.executor(*leaves)
        except IndexError as error:
            raise recording.row_error(error) from error
        finally:
            graph.defer(recording.settle)
        return recording.results(flat)

    def _within_another(self, positional: Any, named: Any) -> Any:
        """Become part of what is observed. As elsewhere, only values come in and go out."""

        def value(x: Any) -> Any:
            return x.value if isinstance(x, Node) else x

        positional, named = map_leaves((positional, named), value)
        return map_leaves(self.function(*positional, **named), value)

    def scan(self, *positional: Any, **named: Any) -> Any:
        """Run the step over the leading axis of all arguments, within C.

        Returns the results of all steps, stacked along a leading axis. State that the step
        assigns is carried from step to step. Ctrl-C is looked at between steps; the tensors are
        then left as the last finished step left them.

        Raises
        ------
        ShapeError
            If the leading axes differ, or an argument has none.
        RecordingError
            Within another recording, or in anomaly mode: call the step in a loop there.
        """
        if graph.current_observer() is not None:
            raise RecordingError(
                "scan: within a recording, or in anomaly mode, call the step in a loop"
            )
        leaves: list[Array] = []
        structure = flatten((positional, named), "arguments", leaves)
        lengths = {leaf.shape[0] if leaf.ndim else None for leaf in leaves}
        if len(lengths) != 1 or None in lengths:
            shapes = [leaf.shape for leaf in leaves]
            raise ShapeError(f"scan: arguments must share their leading axis; shapes: {shapes}")
        n_steps = leaves[0].shape[0]
        recording = self._recording(_without_leading(structure), [x.shape[1:] for x in leaves])
        with self._lock:
            scans = recording.scans()
        try:
            flat = scans.executor.scan(n_steps, *leaves, before=scans.before, after=scans.after)
        except IndexError as error:
            raise recording.row_error(error, scans.code) from error
        finally:
            graph.defer(recording.settle)
        return recording.results(flat)

    def recording(self, *positional: Any, **named: Any) -> Recording:
        """The recording for arguments of these shapes, made if need be; nothing is run."""
        leaves: list[Array] = []
        structure = flatten((positional, named), "arguments", leaves)
        return self._recording(structure, [leaf.shape for leaf in leaves])

    def program(self, *positional: Any, **named: Any) -> str:
        """The program for arguments of these shapes as text, an instruction a line."""
        return listing(self.recording(*positional, **named))

    def graph(self, *positional: Any, **named: Any) -> str:
        """The program for arguments of these shapes as DOT text, a box an instruction."""
        return program_dot(self.recording(*positional, **named))

    def profile(
        self, *positional: Any, repeats: int = 100, by: str = "instruction", **named: Any
    ) -> list[tuple[float, str]]:
        """Where the time goes: pairs of nanoseconds and what took them.

        It runs the step `repeats` times: what the step assigns changes.

        Parameters
        ----------
        repeats : runs; the least time of each instruction counts.
        by : "instruction": a pair for each line of :meth:`program`, in order; "node": for each
            node and gradient, the most expensive first. An instruction that computes several
            counts for each in equal parts; one that computes only intermediate values counts as "".
        """
        if by not in ("instruction", "node"):
            raise ValueError(f"profile: by must be 'instruction' or 'node', not {by!r}")
        leaves: list[Array] = []
        structure = flatten((positional, named), "arguments", leaves)
        recording = self._recording(structure, [leaf.shape for leaf in leaves])
        times = recording.executor.profile(repeats, *leaves)
        graph.defer(recording.settle)
        if by == "instruction":
            return list(zip(times, instruction_lines(recording.code), strict=True))
        sums: dict[str, float] = {}
        for time, label in zip(times, recording.code.labels, strict=True):
            names = label.split(", ")
            for name in names:
                sums[name] = sums.get(name, 0.0) + time / len(names)
        return sorted(((time, name) for name, time in sums.items()), reverse=True)

    def _recording(self, structure: Structure, shapes: Sequence[tuple[int, ...]]) -> Recording:
        with self._lock:
            found = self._cache.get(structure)
            if found is None:
                found = Recording(self.function, structure, shapes, self.without)
                self._cache[structure] = found
                while len(self._cache) > self.cache_size:
                    self._cache.popitem(last=False)
            self._cache.move_to_end(structure)
            return found


def _without_leading(structure: Structure) -> Structure:
    """The structure of one step of stacked arguments."""
    if isinstance(structure, Leaf):
        return Leaf(structure.shape[1:])
    if structure[0] == "static":
        return structure
    if structure[0] is dict:
        return (*structure[:2], *map(_without_leading, structure[2:]))
    return (structure[0], *map(_without_leading, structure[1:]))


def compile(
    function: Callable[..., Any] | None = None,
    *,
    cache_size: int = 16,
    without: Collection[str] = (),
) -> Any:
    """Record a step once for each signature of shapes, and replay it in C.

    The function may do all that the library can: build graphs or use graphs built
    outside, run forward and backward passes, step an optimiser, assign tensors. It runs
    once, on values that have shapes and no numbers; what it would have computed is
    written down, improved and loaded. Later calls touch neither Python nor the GIL.

    Parameters
    ----------
    function : takes arrays and numbers in any nesting of tuples, lists and dicts, and
        returns nodes, values and arrays likewise. Strings, bools and None are part of the
        signature.
    cache_size : recordings that are kept; the least recently used is dropped.
    without : names of passes to switch off, see :data:`autodiff.program.passes.PASSES`.

    Returns
    -------
    CompiledStep
        Or a decorator, if no function is given.

    Notes
    -----
    Arrays that are not arguments are constants. A tensor is state: read at each replay, and
    written if the step assigns it. Programs that share tensors exclude each other, so
    threads may call any steps.

    Examples
    --------
    >>> import autodiff
    >>> w = autodiff.Tensor([1.0, 2.0])
    >>> @autodiff.compile
    ... def step(x):
    ...     loss = ((w * x) ** 2).sum()
    ...     loss.backward()
    ...     w.assign(w.value - 0.25 * w.gradient)
    ...     return loss
    >>> step([1.0, 1.0]), step([1.0, 1.0])
    (5.0, 1.25)
    """
    if function is None:
        return functools.partial(compile, cache_size=cache_size, without=without)
    return CompiledStep(function, cache_size, without)
