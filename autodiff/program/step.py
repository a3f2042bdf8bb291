"""Compiled steps: record once for each signature of shapes, replay ever after."""

from __future__ import annotations

import functools
import inspect
import operator
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

from autodiff import forks
from autodiff.array import Array, as_float64
from autodiff.errors import GradientError, RecordingError, ShapeError
from autodiff.graph import clock
from autodiff.graph.node import Node
from autodiff.graph.observer import current_observer
from autodiff.program.code.listing import instruction_lines, listing
from autodiff.program.passes import PASSES
from autodiff.program.picture import program_dot
from autodiff.program.recorded import Recorded
from autodiff.program.recording import FAILURES, Recording, name_of
from autodiff.program.structure import (
    Group,
    Leaf,
    Static,
    Structure,
    argument,
    flatten,
    rebuild,
    shapes_of,
    without_leading,
)

__all__ = ["CompiledStep", "compile"]

_AGAIN = 3  # recordings that were dropped and made again, before a word is said


class CompiledStep:
    """A step function that is recorded at its first call and replayed afterwards.

    Made by :func:`autodiff.compile`. Call it like the function; the results are arrays, and floats
    where the shape is (). As an attribute of a class it is a method: each object has its own.

    Attributes
    ----------
    function : the undecorated function, to debug with.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        cache_size: int = 16,
        without: Collection[str] = (),
        static: Collection[str | int] = (),
        check: bool = True,
    ) -> None:
        if not callable(function):
            raise TypeError(f"compile: {function!r} is no function")
        unknown = set(without) - set(PASSES)
        if unknown:
            raise ValueError(f"compile: there is no pass {sorted(unknown)}; there are {PASSES}")
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.cache_size = _positive("compile: cache_size", cache_size)
        self.without = frozenset(without)
        self.static = _Statics(function, static)
        self.check = check
        self._cache: OrderedDict[Structure, Recording] = OrderedDict()
        self._dropped: set[int] = set()
        self._misses = self._again = 0  # recordings in a row, and of what was dropped before
        self._warned = False
        self._lock = forks.new_lock()
        self._last: Recording | None = None  # for calls with arrays only
        self._methods: dict[int, tuple[weakref.ref[Any], CompiledStep]] = {}

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", repr(self.function))
        return f"<compiled step {name}, {len(self._cache)} recordings>"

    def __get__(self, instance: Any, owner: type | None = None) -> CompiledStep:
        """The step of one object; it is recorded for that object."""
        if instance is None:
            return self
        found = self._methods.get(id(instance))
        if found is None or found[0]() is not instance:
            found = self._bind(instance)
        return found[1]

    def _bind(self, instance: Any) -> tuple[weakref.ref[Any], CompiledStep]:
        key, methods = id(instance), self._methods
        try:
            reference = weakref.ref(instance, lambda _: methods.pop(key, None))
        except TypeError:
            raise TypeError(
                f"{self!r} cannot be a method of {instance!r}: objects of this class cannot be "
                'referred to weakly; add "__weakref__" to its __slots__'
            ) from None

        @functools.wraps(self.function)
        def function(*positional: Any, **named: Any) -> Any:
            return self.function(reference(), *positional, **named)

        # As the descriptor counts arguments, so do static positions: without the object.
        del function.__wrapped__
        function.__signature__ = _without_first(self.function)  # type: ignore[attr-defined]
        step = CompiledStep(
            function, self.cache_size, self.without, self.static.for_method(), self.check
        )
        methods[key] = reference, step
        return methods[key]

    def __call__(self, *positional: Any, **named: Any) -> Any:
        """Run the step.

        Raises
        ------
        RecordingError
            At the first call for a signature: the step asks a value for its numbers, or does not
            do the same when it is run again.
        IndexRangeError
            If a row number that the step takes does not exist. Instructions before it have
            been executed.
        Exception
            Whatever a rule of an own op raises that the step calls back; tensors are as before.
        """
        if current_observer() is not None:
            return self._within_another(positional, named)
        last = self._last
        if last is not None and not named and (last.n_passes == clock.n_passes or last.holds()):
            failure = None
            try:
                flat = last.executor(*positional)
            except (TypeError, ValueError):
                pass  # arguments that must be converted, or of another signature
            except FAILURES as error:
                failure = error
            else:
                clock.defer(last)
                return last.results(flat)
            if failure is not None:
                last.fail(failure)
        leaves: list[Array] = []
        try:
            structure = self._flatten(positional, named, leaves)
        except GradientError:
            return self._within_another(positional, named)
        recording = self._recording(structure)
        plain = not named and all(
            isinstance(s, Leaf) for s in cast(Group, structure.parts[0]).parts
        )
        self._last = recording if plain else None
        return recording.results(recording.run(lambda: recording.executor(*leaves)))

    def _flatten(
        self, positional: Any, named: Any, leaves: list[Any], convert: Any = argument
    ) -> Group:
        positional, named = self.static.marked(positional, named)
        structure = flatten((positional, named), "arguments", convert, leaves)
        assert isinstance(structure, Group)
        return structure

    def _within_another(self, positional: Any, named: Any) -> Any:
        """Run the function itself, where a call would lose gradients or go unobserved.

        Arguments are converted as for a call. If nodes that need a gradient are among them,
        nodes come back, and gradients go through; else the values, as from a call.
        """
        leaves: list[Any] = []
        structure = self._flatten(positional, named, leaves, within)
        positional, named = rebuild(structure, iter(leaves))
        returned = self.function(*positional, **named)
        if any(isinstance(leaf, Node) for leaf in leaves):
            return returned
        results: list[Any] = []
        kinds = flatten(returned, "the result", result, results, lists=True)
        return rebuild(kinds, iter(results))

    def scan(
        self,
        *positional: Any,
        length: int | None = None,
        fixed: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> Any:
        """Run the step over the leading axis of all arguments, within C.

        Returns the results of all steps, stacked along a leading axis. State that the step
        assigns is carried from step to step. Ctrl-C is looked at between steps; the tensors are
        then left as the last finished step left them.

        Parameters
        ----------
        positional, named : the arguments of all steps, each with a leading axis of steps.
        length : how many steps; needed where no argument tells.
        fixed : arguments by name, the same for all steps: ``scan(xs, fixed={"scale": 3.0})``.

        Raises
        ------
        ShapeError
            If the leading axes differ, or an argument has none.
        RecordingError
            Within another recording, or in anomaly mode: call the step in a loop there.
        """
        if current_observer() is not None:
            raise RecordingError(
                "scan: within a recording, or in anomaly mode, call the step in a loop"
            )
        fixed = dict(fixed or {})
        if twice := sorted(set(fixed) & set(named)):
            raise TypeError(f"scan: {twice} are given both fixed and for each step")
        leaves: list[Array] = []
        stacked = self._flatten(positional, named, leaves)
        n_steps = _scan_length(list(shapes_of(stacked)), length)
        inner = without_leading(stacked)
        n_stacked = len(leaves)
        constant = self._flatten((), fixed, leaves)
        recording = self._recording(_joined(inner, constant))
        scans = forks.holding(self._lock, recording.scans)

        def run() -> Sequence[Any]:
            return scans.executor.scan(
                n_steps,
                *leaves,
                n_fixed=len(leaves) - n_stacked,
                before=scans.before,
                after=scans.after,
            )

        return recording.results(recording.run(run, scans.code))

    def recording(self, *positional: Any, **named: Any) -> Recording:
        """The recording for arguments of these shapes, made if need be; nothing is run."""
        return self._recording(self._flatten(positional, named, []))

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
        recording = self._recording(self._flatten(positional, named, leaves))
        times = recording.run(lambda: recording.executor.profile(repeats, *leaves))
        if by == "instruction":
            return list(zip(times, instruction_lines(recording.code), strict=True))
        sums: dict[str, float] = {}
        for time, label in zip(times, recording.code.labels, strict=True):
            names = label.split(", ")
            for name in names:
                sums[name] = sums.get(name, 0.0) + time / len(names)
        return sorted(((time, name) for name, time in sums.items()), reverse=True)

    def _recording(self, structure: Structure) -> Recording:
        def find() -> Recording:
            found = self._cache.get(structure)
            if found is not None and found.n_passes != clock.n_passes and not found.holds():
                found = None
            if found is None:
                found = Recording(self.function, structure, self.without, self.check)
                self._keep(structure, found)
            else:
                self._misses = 0
            self._cache.move_to_end(structure)
            return found

        return forks.holding(self._lock, find)

    def _keep(self, structure: Structure, recording: Recording) -> None:
        self._cache[structure] = recording
        if len(self._cache) <= self.cache_size:
            return
        dropped, _ = self._cache.popitem(last=False)
        if len(self._dropped) < 10_000:
            self._dropped.add(hash(dropped))
        self._again += hash(structure) in self._dropped
        self._misses += 1
        if not self._warned and (self._again >= _AGAIN or self._misses > 2 * self.cache_size):
            self._warned = True
            shapes = ", ".join(map(str, list(self._cache)[-3:]))
            warnings.warn(
                f"{name_of(self.function)} is recorded again and again: it is called with more "
                f"signatures than the {self.cache_size} that are kept, of late {shapes}. Pad the "
                "arguments to a few shapes, hand numbers in as arrays and not as static, or "
                "compile(..., cache_size=...)",
                RuntimeWarning,
                stacklevel=5,
            )


class _Statics:
    """Which arguments of a function are static: part of the signature, as they are."""

    def __init__(self, function: Callable[..., Any], static: Collection[str | int]) -> None:
        self.given = (static,) if isinstance(static, (str, int)) else tuple(static)
        self.positions = {x for x in self.given if isinstance(x, int)}
        self.names = {x for x in self.given if isinstance(x, str)}
        if not self.given:
            return
        parameters = _parameters(function)
        if parameters is None:
            return
        places = [
            p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        names = {p.name for p in parameters}
        takes_more = any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)
        for x in self.given:
            if not (takes_more or x in names or x in range(len(places))):
                raise ValueError(f"compile: static: {function!r} has no parameter {x!r}")
        self.positions |= {places.index(name) for name in self.names if name in places}
        self.names |= {places[i] for i in self.positions if i in range(len(places))}

    def for_method(self) -> tuple[str | int, ...]:
        """The same, without the first parameter."""
        return tuple(x if isinstance(x, str) else x - 1 for x in self.given if x != 0)

    def marked(self, positional: Sequence[Any], named: Mapping[str, Any]) -> tuple[Any, Any]:
        """The arguments, the static ones wrapped."""
        if not self.given:
            return tuple(positional), dict(named)
        return (
            tuple(_static(x, i) if i in self.positions else x for i, x in enumerate(positional)),
            {k: _static(x, k) if k in self.names else x for k, x in named.items()},
        )


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None


def _without_first(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def _static(value: Any, which: Any) -> Static:
    try:
        static = Static(value)
        hash(static)
    except TypeError:
        raise TypeError(
            f"static argument {which!r}: {value!r} is not hashable; a static argument is part of "
            "the signature of a recording"
        ) from None
    return static


def within(leaf: Any, what: str) -> Any:
    """A leaf of the arguments of a step that is run as a part of something larger."""
    if isinstance(leaf, Recorded) or (isinstance(leaf, Node) and leaf.needs_gradient):
        return leaf
    observer = current_observer()
    if observer is not None and observer.home is not None:
        return observer.home.recorded(
            leaf.value if isinstance(leaf, Node) else argument(leaf, what)
        )
    return argument(leaf, what)


def result(leaf: Any, what: str) -> Any:
    """A leaf of the results of a step that was run as it is: as a call would give it."""
    leaf = leaf.value if isinstance(leaf, Node) else leaf
    if isinstance(leaf, Recorded):
        return leaf
    array = as_float64(leaf, what)
    return array if array.shape else float(array)


def _scan_length(shapes: Sequence[tuple[int, ...]], length: int | None) -> int:
    """The leading axis that all shapes share, or `length` if there are none."""
    lengths = {shape[0] if shape else None for shape in shapes}
    if length is not None:
        lengths.add(_count("scan: length", length))
    if not lengths:
        raise ShapeError("scan: without arguments, say how many steps: scan(length=100)")
    if len(lengths) != 1 or None in lengths:
        told = "" if length is None else f", length is {length}"
        raise ShapeError(
            f"scan: arguments must share their leading axis; shapes: {list(shapes)}{told}; what is "
            'the same at all steps is given as scan(..., fixed={"name": value})'
        )
    (n_steps,) = lengths
    assert n_steps is not None
    return n_steps


def _joined(stacked: Structure, fixed: Group) -> Group:
    """The structure of a call with the arguments of both."""
    positional, named = cast(Group, stacked).parts
    return Group(tuple, None, (positional, cast(Group, named).joined(cast(Group, fixed.parts[1]))))


def _count(what: str, n: Any) -> int:
    try:
        number = operator.index(n)
    except TypeError:
        number = -1
    if number < 0 or isinstance(n, bool):
        raise ValueError(f"{what} is a whole number from 0 on, not {n!r}")
    return number


def _positive(what: str, n: Any) -> int:
    if _count(what, n) == 0:
        raise ValueError(f"{what} is at least 1")
    return operator.index(n)


def compile(
    function: Callable[..., Any] | None = None,
    *,
    cache_size: int = 16,
    without: Collection[str] = (),
    static: Collection[str | int] = (),
    check: bool = True,
) -> Any:
    """Record a step once for each signature of shapes, and replay it in C.

    The function may do all that the library can: build graphs or use graphs built
    outside, run forward and backward passes, step an optimiser, assign tensors. It runs
    on values that have shapes and no numbers; what it would have computed is
    written down, improved and loaded. Later calls touch neither Python nor the GIL.

    Parameters
    ----------
    function : takes arrays and numbers in any nesting of tuples, lists and dicts, and
        returns nodes, values and arrays likewise. Strings, bools, None and members of an enum
        are part of the signature. Methods can be decorated.
    cache_size : recordings that are kept; the least recently used is dropped.
    without : names of passes to switch off, see :data:`autodiff.program.passes.PASSES`.
    static : names or positions of arguments that are part of the signature as they are: whole
        numbers that say how often or how large, callables, anything hashable.
    check : record twice, and refuse a step that does not do the same both times: what comes
        from random numbers, clocks or counters would be the same at every replay.

    Returns
    -------
    CompiledStep
        Or a decorator, if no function is given.

    Notes
    -----
    Arrays that are not arguments are constants. A tensor is state: read at each replay, and
    written if the step assigns it; the numbers of an optimiser are state, too. Gradients live
    within a call: return those that are wanted outside. A gradient or a node's value from before
    the recording is refused. The results are those of the undecorated function.
    Programs that share tensors exclude each other, so threads may call any steps.

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
        return functools.partial(
            compile, cache_size=cache_size, without=without, static=static, check=check
        )
    return CompiledStep(function, cache_size, without, static, check)
