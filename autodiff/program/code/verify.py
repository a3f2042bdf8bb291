"""The verifier: no program that breaks a rule reaches C.

:func:`verify_program` checks a program in single-assignment form; it holds after every pass.

:func:`verify_code` proves that flat code computes what the program says, whatever was
decided about places, order and memory. Every element of every computed value is a number, its
*tag* (:mod:`autodiff.program.code.tags`). The code is executed
on memories that hold tags: whenever an instruction reads, the window that its tuple
describes must hold the tags of the value that the program has there; whatever it writes
becomes the tags of the value that it computes; a copy moves tags. In the end results and
tensors must hold theirs. So it finds a wrong order, values that overlap while both are needed,
a wrong offset, stride or leading dimension, an operand overwritten in place too early.

Cost: linear in the elements that the code reads and writes, at some nanoseconds each. Whole
arguments, constants and tensors that nothing has written yet are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from autodiff.array import Shape
from autodiff.errors import VerificationError
from autodiff.program.code.lower import Code, Meaning, Operand
from autodiff.program.code.tags import NOTHING, Memory, TaggedValues, Tags
from autodiff.program.ir import Instruction, Program, Value
from autodiff.program.wellformed import verify_program

__all__ = ["verify_code", "verify_program"]


def verify_code(code: Code, program: Program) -> None:
    """Prove that `code` computes `program`, from which it was lowered.

    Raises
    ------
    VerificationError
        If it does not. The message names the instruction, the value that it must find, and
        what it finds in its place.
    """
    _Machine(code, TaggedValues(program)).run()


class _Machine:
    """Executes code on tags."""

    def __init__(self, code: Code, tagged: TaggedValues) -> None:
        self.code = code
        self.tagged = tagged
        self.now = "the code"
        self.itemsize = tagged.dtype.itemsize
        self.spaces = self._memories()

    def _memories(self) -> list[Memory]:
        code, tagged, program = self.code, self.tagged, self.tagged.program
        if code.arguments != [x.shape for x in program.arguments]:
            self.fail("its arguments are not those of the program")
        if not len(code.instructions) == len(code.meanings) == len(code.labels):
            self.fail("there must be one meaning for each instruction")
        arena: Tags = np.full(code.arena_size, NOTHING, tagged.dtype)
        spaces = [Memory(arena, True)]
        spaces += [Memory(tagged.of(x).reshape(-1), False) for x in program.arguments]
        assigned = {id(state.buffer) for state, _ in program.writes}
        for number, buffer in enumerate(code.buffers):
            if number == 0:
                scalars = [tagged.scalar(float(s)) for s in buffer]
                spaces.append(Memory(np.array(scalars, tagged.dtype), False))
            elif (leaf := tagged.leaves.get(id(buffer))) is not None:
                tags = tagged.of(leaf).reshape(-1)
                spaces.append(Memory(tags, id(buffer) in assigned))
            else:
                self.fail(f"buffer {number} belongs to no value of the program")
        return spaces

    def fail(self, message: str) -> NoReturn:
        """Raise, and say where."""
        raise VerificationError(f"{self.now}: {message}")

    def run(self) -> None:
        """Execute everything, then look at results and tensors."""
        methods = {
            "run": self._run,
            "copy": self._copy,
            "gemm": self._gemm,
            "sum": self._reduction,
            "max": self._reduction,
            "softmax": self._over_rows,
            "log_softmax": self._over_rows,
            "logsumexp": self._over_rows,
            "take": self._rows_by_number,
            "scatter_rows": self._rows_by_number,
        }
        code = self.code
        for number, (instruction, meaning, label) in enumerate(
            zip(code.instructions, code.meanings, code.labels, strict=True)
        ):
            name, *parameters = instruction
            self.now = f"instruction {number} ({name}{' ' if label else ''}{label})"
            method = methods.get(name)
            if method is None:
                self.fail("the verifier does not know it")
            try:
                method(name, parameters, meaning)
            except (AssertionError, IndexError, KeyError, TypeError, ValueError) as error:
                self.fail(f"it is malformed: {error!r}")
        self.now = "at the end"
        self._finish()

    def _finish(self) -> None:
        program, code, tagged = self.tagged.program, self.code, self.tagged
        if len(code.results) != len(program.results):
            self.fail("there are more or fewer results than the program has")
        for number, ((place, shape), value) in enumerate(
            zip(code.results, program.results, strict=True)
        ):
            if shape != value.shape:
                self.fail(f"result {number} has shape {shape}, not {value.shape}")
            self.expect(self.window(place, shape), tagged.of(value), f"result {number}")
        final = {id(state.buffer): value for state, value in program.writes}
        numbers = {id(b): n for n, b in enumerate(code.buffers) if n > 0}
        for state, value in program.writes:
            if id(state.buffer) not in numbers and value is not state:
                self.fail(f"{state!r} is never assigned {value!r}")
        for key, number in numbers.items():
            memory = self.spaces[1 + len(code.arguments) + number]
            leaf = tagged.leaves[key]
            value = final.get(key, leaf)
            if not memory.fresh or key in final:
                self.expect(memory.tags, tagged.of(value).reshape(-1), f"tensor {leaf.label!r}")

    # ---- windows ----------------------------------------------------------------------

    def window(self, place: Operand, shape: Shape, strides: Sequence[int] | None = None) -> Tags:
        """The tags where an operand says; its own strides, or one row after the other."""
        space, offset = place
        if space < 0 or offset < 0:
            self.fail(f"operand {place} lies nowhere")
        tags = self.spaces[space].tags
        if 0 in shape:
            return np.empty(shape, self.tagged.dtype)
        if strides is None:
            size = math.prod(shape)
            if offset + size > tags.size:
                self.fail(f"operand {place} of {size} numbers leaves its space")
            return tags[offset : offset + size].reshape(shape)
        if len(strides) != len(shape):
            self.fail(f"operand {place} has {len(strides)} strides for {len(shape)} axes")
        size = self.itemsize
        try:
            return np.ndarray(
                shape, tags.dtype, tags, size * offset, tuple([size * s for s in strides])
            )
        except (TypeError, ValueError):
            self.fail(f"operand {place} leaves its space")

    def expect(self, found: Tags, wanted: Tags, what: str) -> None:
        """The window must hold these tags."""
        if found.shape == wanted.shape and _same(found, wanted):
            return
        if found.shape != wanted.shape:
            self.fail(f"{what} has shape {found.shape}, it must have {wanted.shape}")
        at = tuple(np.argwhere(found != wanted)[0])
        self.fail(
            f"{what} must hold {self.tagged.text(int(wanted[at]))}, "
            f"it holds {self.tagged.text(int(found[at]))}"
        )

    def is_whole(self, place: Operand, x: Value) -> bool:
        """Whether an operand is a given array, which nothing has written to yet."""
        memory = self.spaces[place[0]]
        return (
            place[0] > 0
            and place[1] == 0
            and memory.fresh
            and memory.tags.size == x.size > 0
            and self.tagged.first.get(x) == int(memory.tags[0])
            and x.producer is None
        )

    def begin_write(self, place: Operand) -> Memory:
        """The memory of an operand that is written."""
        memory = self.spaces[place[0]]
        if not memory.writable:
            self.fail(f"it writes to {place}, which is not to be written")
        if memory.fresh:
            memory.fresh = False
            if place[0] > 0:
                memory.tags = memory.tags.copy()
        return memory

    def write(
        self, place: Operand, strides: Sequence[int] | None, tags: Tags, *reads: Tags
    ) -> None:
        """Put tags in a window, which none of the windows `reads` may overlap.

        (Get the windows after begin_write, if they are of the same space.)
        """
        self.begin_write(place)
        target = self.window(place, tags.shape, strides)
        if any(np.may_share_memory(target, r) for r in reads):
            target[...] = NOTHING
            if any(bool((r == NOTHING).any()) for r in reads):
                self.fail(f"what it writes to {place} overlaps what it reads")
        target[...] = tags
        if strides is not None and not _same(target, tags):
            self.fail(f"it writes more than once to the same place, at {place}")

    # ---- runs -------------------------------------------------------------------------

    def _run(self, name: str, parameters: Sequence[Any], meaning: Meaning) -> None:
        shape, operands, micros = parameters
        if len(micros) != len(meaning.sources):
            self.fail(f"it has {len(micros)} maps, it must have {len(meaning.sources)}")
        if 0 not in shape:
            _Run(self, tuple(shape), operands, meaning).execute(micros)

    def _copy(self, name: str, parameters: Sequence[Any], meaning: Meaning) -> None:
        """A run of one map, but for its form."""
        shape, x, x_strides, z, z_strides = parameters
        micros = [("stop_gradient", 0, None, None, 1)]
        self._run("run", (shape, [(x, x_strides), (z, z_strides)], micros), meaning)

    # ---- single instructions ----------------------------------------------------------

    def _source(self, name: str, meaning: Meaning) -> Instruction:
        (source,) = meaning.sources
        if source is None or source.op.name != name:
            self.fail(f"it must be {source!r}")
        return source

    def _gemm(self, _: str, parameters: Sequence[Any], meaning: Meaning) -> None:
        ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, stack, sa, sb, sc = parameters
        factor, scale = alpha if isinstance(alpha, tuple) else (alpha, None)
        (source,) = meaning.sources
        if source is None or source.op.name not in ("matmul", "product_add"):
            self.fail(f"it must be {source!r}")
        tagged, z = self.tagged, source.output
        adds = source.op.name == "product_add"
        x, y = source.inputs[1:3] if adds else source.inputs
        self._check_factor(source, factor, scale, beta)
        stack = tuple(stack)
        if min(lda, ldb, ldc) < 1:
            self.fail("a leading dimension is not positive")
        if 0 in z.shape:
            return
        self.begin_write(c)
        left = self.window(a, (*stack, *((k, m) if ta else (m, k))), (*sa, lda, 1))
        right = self.window(b, (*stack, *((n, k) if tb else (k, n))), (*sb, ldb, 1))
        left = left.swapaxes(-1, -2) if ta else left
        right = right.swapaxes(-1, -2) if tb else right
        xs = np.broadcast_to(tagged.of(x), (*z.shape[:-2], *x.shape[-2:]))
        ys = np.broadcast_to(tagged.of(y), (*z.shape[:-2], *y.shape[-2:]))
        zs = tagged.of(z)
        if not self._is_product(z.shape, stack, (m, n), (a, x, left, xs), (b, y, right, ys)):
            # C' = B' A': the operands in the other order, all transposed.
            xs, ys, zs = ys.swapaxes(-1, -2), xs.swapaxes(-1, -2), zs.swapaxes(-1, -2)
            if zs.shape != (*stack, m, n):
                self.fail(f"it computes a product of shape {(*stack, m, n)}, not {z!r}")
            self.expect(left, xs, "its left operand")
            self.expect(right, ys, "its right operand")
        reads = [left, right]
        if adds:
            old = tagged.of(source.inputs[0])
            old = old if zs is tagged.of(z) else old.swapaxes(-1, -2)
            self.expect(self.window(c, (*stack, m, n), (*sc, ldc, 1)), old, "what it adds to")
        if scale is not None:
            number = self.window(scale, ())
            self.expect(number, tagged.of(source.inputs[3]), "its scale")
            reads.append(number)
        self.write(c, (*sc, ldc, 1), zs, *reads)

    def _is_product(
        self, shape: Shape, stack: Shape, size: Shape, *sides: tuple[Operand, Value, Tags, Tags]
    ) -> bool:
        """Whether the two sides hold what they must, in the order of the program."""
        return shape == (*stack, *size) and all(
            found.shape == wanted.shape
            and (
                (self.is_whole(place, x) and found.flags.c_contiguous and found.shape == x.shape)
                or _same(found, wanted)
            )
            for place, x, found, wanted in sides
        )

    def _check_factor(
        self, source: Instruction, factor: float, scale: Operand | None, beta: float
    ) -> None:
        adds = source.op.name == "product_add"
        wanted = 1.0
        if adds:
            wanted = source.op.attributes["sign"]
            number = source.inputs[3]
            if scale is None:
                if number.kind != "constant" or number.buffer is None:
                    self.fail(f"it must be scaled by {number!r}")
                wanted *= float(number.buffer)
        elif scale is not None:
            self.fail("it must not be scaled")
        if beta != float(adds) or factor != wanted:
            self.fail(f"its factors are {factor:g} and {beta:g}: not those of {source!r}")

    def _reduction(self, name: str, parameters: Sequence[Any], meaning: Meaning) -> None:
        a, r, b, x, z = parameters
        source = self._source(name, meaning)
        (value,) = source.inputs
        axes = [i for i in source.op.attributes["axis"] if value.shape[i] != 1]
        first = axes[0] if axes else 0
        last = axes[-1] + 1 if axes else 0
        reduced = [n for i, n in enumerate(value.shape) if first <= i < last and i not in axes]
        sizes = (
            math.prod(value.shape[:first]),
            math.prod(value.shape[first:last]),
            math.prod(value.shape[last:]),
        )
        if any(n != 1 for n in reduced):
            self.fail(f"{source!r} is over axes that are not neighbours")
        plain = value.size == source.output.size  # nothing is summed: any cut will do
        if (a, r, b) != sizes and not (plain and r == 1 and a * b == value.size):
            self.fail(f"its sizes are {(a, r, b)}, they must be {sizes}")
        self._from_to(source, x, value, z)

    def _from_to(self, source: Instruction, x: Operand, value: Value, z: Operand) -> None:
        self._map(source, ((x, value, "its operand"),), z)

    def _map(
        self, source: Instruction, operands: Iterable[tuple[Operand, Value, str]], z: Operand
    ) -> None:
        """Contiguous operands, contiguous output."""
        reads = []
        self.begin_write(z)
        for place, value, what in operands:
            window = self.window(place, value.shape)
            if not self.is_whole(place, value):
                self.expect(window, self.tagged.of(value), what)
            reads.append(window)
        self.write(z, None, self.tagged.of(source.output), *reads)

    def _over_rows(self, name: str, parameters: Sequence[Any], meaning: Meaning) -> None:
        rows, n, x, z = parameters
        source = self._source(name, meaning)
        (value,) = source.inputs
        axes = source.op.attributes["axis"]
        size = math.prod(value.shape[i] for i in axes)
        last = tuple(range(len(value.shape) - len(axes), len(value.shape)))
        if axes != last or n != size or rows * n != value.size:
            self.fail(f"{rows} rows of {n} are not {source!r}")
        self._from_to(source, x, value, z)

    def _rows_by_number(self, name: str, parameters: Sequence[Any], meaning: Meaning) -> None:
        n_rows, row_size, n, x, rows, z = parameters
        source = self._source(name, meaning)
        value, numbers = source.inputs
        table = value.shape if name == "take" else source.output.shape
        if (n_rows, row_size, n) != (table[0], math.prod(table[1:]), numbers.size):
            self.fail(f"its sizes {(n_rows, row_size, n)} do not fit {source!r}")
        self._map(source, ((x, value, "its operand"), (rows, numbers, "its row numbers")), z)


class _Run:
    """Executes one run: maps over windows and registers, all of one size.

    It goes block by block: a window that it writes may not overlap any other.
    """

    def __init__(
        self, machine: _Machine, shape: Shape, operands: Sequence[Any], meaning: Meaning
    ) -> None:
        self.machine = machine
        self.tagged = machine.tagged
        self.shape = shape
        self.size = math.prod(shape)
        self.operands = operands
        self.meaning = meaning
        self.held: dict[int, Tags] = {}  # by registers and windows
        self.read: list[int] = []  # windows that are read before they are written, if they are
        self.written: dict[int, None] = {}

    def execute(self, micros: Sequence[Any]) -> None:
        """All maps, then write."""
        held, written = self.held, self.written
        for (name, a, b, c, z), source in zip(micros, self.meaning.sources, strict=True):
            refs = [ref for ref in (a, b, c) if ref is not None]
            if source is None or source.op.name == "stop_gradient":
                if name != "stop_gradient" or len(refs) != 1:
                    self.machine.fail(f"{name} of {len(refs)} operands must be a copy")
                tags = self.get(refs[0])
                held[z] = tags if tags.flags.owndata else tags.copy()
            else:
                held[z] = self.map(name, refs, source)
            if z >= 0:
                written[z] = None
        self.store()

    def get(self, ref: int) -> Tags:
        """The tags in a register or window, row by row."""
        tags = self.held.get(ref)
        if tags is None:
            if ref < 0:
                self.machine.fail(f"register {~ref} is read before it is written")
            place, strides = self.operands[ref][:2]
            tags = self.machine.window(place, self.shape, strides).reshape(-1)
            self.held[ref] = tags
            self.read.append(ref)
        return tags

    def map(self, name: str, refs: list[int], source: Instruction) -> Tags:
        """One op: its operands must hold what the program has there."""
        machine, shape = self.machine, source.output.shape
        start, stop = self.meaning.start, self.meaning.start + self.size
        if name != source.op.name:
            machine.fail(f"{name} must be {source!r}")
        if name == "power":
            exponent = self.tagged.scalar(float(source.op.attributes["exponent"]))
            if len(refs) != 2 or (self.get(refs.pop()) != exponent).any():
                machine.fail(f"its exponent must be that of {source!r}")
        if len(refs) != len(source.inputs):
            machine.fail(f"{name} of {len(refs)} operands must be {source!r}")
        for number, (ref, x) in enumerate(zip(refs, source.inputs, strict=True)):
            found, wanted = self.get(ref), self.tagged.flat(x, shape)
            if self.size != wanted.size:
                wanted = wanted[start:stop]
            if not (found is wanted or _same(found, wanted)):
                machine.expect(found, wanted, f"operand {number} of {name}")
        made = self.tagged.flat(source.output, shape)
        if self.size != made.size:
            made = made[start:stop]
            if self.size != made.size:
                machine.fail(f"it computes {self.size} elements of {source!r}")
        return made

    def store(self) -> None:
        """Write the outputs; what overlaps them is an error."""
        machine, shape = self.machine, self.shape
        windows: dict[int, Tags] = {}
        for z in self.written:
            machine.begin_write(self.operands[z][0])
        for z in self.written:
            place, strides = self.operands[z][:2]
            windows[z] = machine.window(place, shape, strides)
        suspicious = self._may_overlap()
        if suspicious:
            for window in windows.values():
                window[...] = NOTHING
            for ref in self.read:
                if ref not in windows:
                    place, strides = self.operands[ref][:2]
                    if (machine.window(place, shape, strides) == NOTHING).any():
                        machine.fail(f"operand {ref} overlaps one that is written")
        for z, window in windows.items():
            window[...] = self.held[z].reshape(shape)
        if suspicious:
            for z, window in windows.items():
                if not _same(window, self.held[z].reshape(shape)):
                    machine.fail(f"operand {z} overlaps another one, or itself")
        for z in windows:
            if any(self.operands[z][2:]):  # it may be written to the end of a block of eight
                _, high, space = self._extent(z)
                low = self._extent(z)[0]
                machine.spaces[space].tags[high : low + -(-(high - low) // 8) * 8] = NOTHING

    def _extent(self, ref: int) -> tuple[int, int, int]:
        (space, offset), strides = self.operands[ref][:2]
        low = high = offset
        for n, stride in zip(self.shape, strides, strict=True):
            if stride < 0:
                low += (n - 1) * stride
            else:
                high += (n - 1) * stride
        return low, high + 1, space

    def _may_overlap(self) -> bool:
        """Whether the hull of a window that is written meets another one's."""
        extents = []
        for ref in {*self.read, *self.written}:
            low, high, space = self._extent(ref)
            if ref in self.written and high - low < self.size:
                return True
            extents.append((space, low, high, ref in self.written))
        extents.sort()
        before, end, end_written = -1, 0, 0
        for space, low, high, written in extents:
            if space != before:
                before, end, end_written = space, 0, 0
            if low < end_written or (written and low < end):
                return True
            end = max(end, high)
            if written:
                end_written = max(end_written, high)
        return False


def _same(found: Tags, wanted: Tags) -> bool:
    """Whether two arrays of tags are equal."""
    if found.size <= 1024:  # ten times faster than comparing element by element
        return found.shape == wanted.shape and found.tobytes() == wanted.tobytes()
    return bool(np.array_equal(found, wanted))
