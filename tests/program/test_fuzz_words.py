"""Words that are none: the loader refuses them with a code and a place, or what it accepts runs.

Programs with every kind of instruction are changed at random: single words, bits, words deleted
and inserted. What the loader accepts is decoded by Python as well, where each access must lie
inside its space, and is run. ``AUTODIFF_FUZZ=100000`` says how many are tried.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from autodiff.errors import InstructionError
from autodiff.program.code.flat import Code
from autodiff.program.code.kind import KINDS, Kind, Operand
from autodiff.program.code.kinds.band_product import BandProduct
from autodiff.program.code.kinds.band_times import BandTimes
from autodiff.program.code.kinds.call_back import CallBack, Given
from autodiff.program.code.kinds.cho_solve_banded import ChoSolveBanded
from autodiff.program.code.kinds.cholesky import Cholesky
from autodiff.program.code.kinds.cholesky_banded import CholeskyBanded
from autodiff.program.code.kinds.cholesky_banded_gradient import CholeskyBandedGradient
from autodiff.program.code.kinds.cholesky_gradient import CholeskyGradient
from autodiff.program.code.kinds.copy import Copy
from autodiff.program.code.kinds.cumulative import Cumulative
from autodiff.program.code.kinds.eigh import Eigh
from autodiff.program.code.kinds.expm import Expm
from autodiff.program.code.kinds.flatnonzero import Flatnonzero
from autodiff.program.code.kinds.gemm import Gemm
from autodiff.program.code.kinds.join_numbers import JoinNumbers
from autodiff.program.code.kinds.last_of import LastOf
from autodiff.program.code.kinds.lu import Lu
from autodiff.program.code.kinds.lu_determinant import LuDeterminant
from autodiff.program.code.kinds.lu_solve import LuSolve
from autodiff.program.code.kinds.map import Apply, Map, Window
from autodiff.program.code.kinds.positions import Positions
from autodiff.program.code.kinds.qr import Qr
from autodiff.program.code.kinds.reduce import Reduce
from autodiff.program.code.kinds.rows import Rows, RowsGradient
from autodiff.program.code.kinds.scatter_rows import ScatterRows
from autodiff.program.code.kinds.search import Search
from autodiff.program.code.kinds.solve_banded import SolveBanded
from autodiff.program.code.kinds.solve_sylvester import SolveSylvester
from autodiff.program.code.kinds.solve_triangular import SolveTriangular
from autodiff.program.code.kinds.sqrtm import Sqrtm
from autodiff.program.code.kinds.svd import Svd
from autodiff.program.code.kinds.take import Take
from autodiff.program.code.stack import OfStack
from autodiff.program.code.words import from_words, to_words
from autodiff.program.fused import find_op

core = pytest.importorskip("autodiff._core")

N_TRIES = int(
    os.environ.get(
        "AUTODIFF_FUZZ", "100000" if os.environ.get("HYPOTHESIS_PROFILE") == "ci" else "5000"
    )
)
MOST_RUN = 1 << 16  # numbers that a changed program may ask for if it is to be run

ARENA, ARGUMENT, NUMBER, BUFFER, FIXED = range(5)


def at(space: int, offset: int = 0) -> Operand:
    return Operand(space, offset)


MAPS = [
    Map(
        (3, 4),
        (
            Window(at(ARGUMENT), (4, 1)),
            Window(at(NUMBER), (0, 0)),
            Window(at(ARENA, 4), (4, 1), True),
            Window(at(BUFFER, 2), (8, 2)),
        ),
        (
            Apply("add", (0, 1), -1),
            Apply("_tanh_slope", (-1, 0), 2),
            Apply("power", (2, 1), -2),
            Apply("where", (-1, -2, 0), 3),
        ),
        60.0,
    ),
    Map((30,), (Window(at(ARENA, 40), (-1,)), Window(at(ARENA, 41), (1,))),
        (Apply("exp", (0,), 1),), 6.0),
    Map((2, 3, 2, 40), (Window(at(FIXED), (0, 0, 1, 0)), Window(at(BUFFER), (240, 80, 40, 1))),
        (Apply("negative", (0,), -1), Apply("square", (-1,), 1)), 2.0),
]  # fmt: skip
OTHERS = [
    Copy((2, 3, 4), at(ARGUMENT), (0, 4, 1), at(BUFFER, 7), (40, 12, 3)),
    Copy((300,), at(BUFFER, 0), (1,), at(ARENA, 100), (1,)),
    Gemm(False, True, 3, 2, 4, 0.5, at(NUMBER), at(ARGUMENT), 4, at(FIXED), 4, 1.0,
         at(ARENA, 9), 5, (), (), (), ()),
    Gemm(True, False, 4, 4, 3, 1.0, None, at(ARGUMENT), 4, at(ARGUMENT), 4, 0.0,
         at(BUFFER), 12, (2, 3), (0, 0), (0, 0), (100, 4)),
    Gemm(False, False, 5, 1, 1, 1.0, None, at(BUFFER), 2, at(NUMBER), 1, 0.0,
         at(ARENA), 1, (), (), (), ()),
    Reduce("sum", 3, 4, 1, at(ARGUMENT), at(ARENA, 1)),
    Reduce("max", 2, 3, 2, at(ARGUMENT), at(BUFFER, 5)),
    Rows("logsumexp", 4, 3, 1, at(ARGUMENT), at(ARENA, 3)),
    Rows("softmax", 3, 4, 1, at(ARGUMENT), at(ARENA, 20)),
    Rows("log_softmax", 2, 3, 2, at(ARGUMENT), at(ARENA, 3)),
    RowsGradient("_max_gradient", 2, 3, 2, at(BUFFER), at(FIXED), at(ARGUMENT), at(ARENA, 30)),
    RowsGradient("_softmax_gradient", 2, 3, 2, at(ARGUMENT), at(BUFFER), None, at(ARENA, 30)),
    Cumulative("cumprod", 2, 3, 2, True, at(ARGUMENT), None, at(ARENA, 30)),
    Cumulative("_recurrence", 2, 3, 2, False, at(ARGUMENT), at(BUFFER), at(ARENA, 30)),
    Reduce("prod", 2, 3, 2, at(ARGUMENT), at(BUFFER, 5)),
    Take(3, 4, 2, at(ARGUMENT), at(FIXED, 8), at(ARENA, 30)),
    ScatterRows(6, 2, 3, at(ARGUMENT), at(FIXED, 8), at(BUFFER, 11)),
    CallBack("_own_call", 1, (Given(at(ARGUMENT), (4, 3)), Given(at(NUMBER), ())),
             (Given(at(BUFFER, 3), (2, 5)), Given(at(ARENA, 60), (2, 1)))),
    CallBack("_own_gradient_0", 0, (Given(at(ARENA, 40), (7,)),), (Given(at(ARENA, 50), (3,)),)),
]  # fmt: skip
OTHERS += [
    Take(2, 2, 3, at(ARGUMENT), at(FIXED, 8), at(ARENA, 30), 3),
    ScatterRows(6, 1, 2, at(ARGUMENT), at(FIXED, 8), at(BUFFER, 11), 2),
    JoinNumbers(3, 4, 5, at(FIXED, 8), at(FIXED, 9), at(ARENA, 30)),
    Flatnonzero(4, 3, at(FIXED, 8), at(ARENA, 30)),
    Positions("argsort", 3, 4, at(ARGUMENT), at(ARENA, 30)),
    Positions("argmax", 4, 3, at(ARGUMENT), at(BUFFER, 30)),
    Search(4, 6, True, at(FIXED), at(ARGUMENT), at(ARENA, 30)),
    LastOf(3, 5, False, at(FIXED, 8), at(ARENA, 30)),
    LastOf(2, 3, True, at(FIXED, 8), at(BUFFER, 40)),
]
OTHERS += [
    Cholesky(2, 2, at(BUFFER, 8), at(ARENA, 70)),
    CholeskyGradient(1, 3, at(ARGUMENT), at(BUFFER, 3), at(ARENA, 80)),
    SolveTriangular(1, 3, 2, True, False, False, at(ARGUMENT), at(FIXED), at(ARENA, 90)),
    SolveTriangular(2, 2, 1, False, True, True, at(ARGUMENT), at(FIXED), at(ARENA, 90)),
    Lu(2, 2, at(ARGUMENT), at(ARENA, 110)),
    LuSolve(1, 3, 1, True, at(ARGUMENT), at(FIXED), at(ARENA, 130)),
    LuDeterminant(2, 2, "log", at(ARGUMENT), at(ARENA, 140)),
    Eigh(1, 3, at(ARGUMENT), at(ARENA, 150), at(ARENA, 160)),
    Svd(2, 2, 3, at(ARGUMENT), at(ARENA, 170), at(ARENA, 180), at(ARENA, 190)),
    Qr(1, 4, 3, at(ARGUMENT), at(ARENA, 210), at(ARENA, 230)),
    Expm(1, 3, at(ARGUMENT), at(ARENA, 240)),
    Sqrtm(2, 2, at(BUFFER), at(ARENA, 250)),
    BandProduct(1, 3, 2, 1, 1, at(ARGUMENT), at(BUFFER), at(ARENA, 270)),
    BandTimes(1, 3, 2, 1, 1, True, at(ARGUMENT), at(BUFFER), at(ARENA, 280)),
    SolveBanded(2, 2, 1, 1, 1, False, at(ARGUMENT), at(BUFFER), at(ARENA, 290)),
    CholeskyBanded(1, 3, 2, at(ARGUMENT), at(ARENA, 300)),
    CholeskyBandedGradient(2, 3, 1, at(ARGUMENT), at(BUFFER), at(ARENA, 310)),
    ChoSolveBanded(1, 3, 2, 1, at(ARGUMENT), at(BUFFER), at(ARENA, 330)),
    SolveSylvester(1, 3, 2, at(ARGUMENT), at(BUFFER), at(FIXED), at(ARENA, 260)),
]

INTERESTING = [0, 1, -1, 2, 3, 5, 8, -2, -3, 63, 64, 512, 4095, 4096, 1 << 16, 1 << 31, 1 << 32,
               (1 << 62) - 1, 1 << 62, (1 << 63) - 1, -(1 << 63), -(1 << 63) + 1]  # fmt: skip


def sums_of(*shapes: tuple[int, ...]) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    """A function that reads all that it is given."""
    return lambda inputs: [np.full(s, sum(float(np.sum(x)) for x in inputs)) for s in shapes]


FUNCTIONS = [sums_of((3,)), sums_of((2, 5), (2, 1))]


def buffers() -> list[np.ndarray]:
    fixed = np.arange(12.0) / 4.0
    fixed[8:] = [2.0, -1.0, 0.0, 1.0]
    fixed.flags.writeable = False
    return [np.linspace(0.5, 1.5, 500), fixed]


def program(instructions: Sequence[Kind]) -> np.ndarray:
    results = [(at(ARENA, 4), (3, 4)), (at(BUFFER, 1), ()), (at(ARGUMENT, 2), (2,))]
    return to_words(Code(400, [(3, 4), ()], buffers(), list(instructions), [], results))


def seeds() -> list[np.ndarray]:
    return [program([*MAPS, *OTHERS]), *(program([i]) for i in [*MAPS, *OTHERS]), program([])]


# ---- what an instruction may touch, by Python's reading of the words ------------------------


def extent(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, int]:
    assert len(shape) == len(strides)
    if 0 in shape:
        return 0, 0
    ways = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
    return sum(min(w, 0) for w in ways), sum(max(w, 0) for w in ways) + 1


Access = tuple[Operand, int, int, bool]


def map_accesses(i: Map) -> Iterator[Access]:
    written, registers = set(), set()
    for op, refs, z in i.applications:
        assert len(refs) in (1, 2, 3), op
        assert all(r in registers if r < 0 else r < len(i.windows) for r in refs)
        assert z < len(i.windows)
        (registers if z < 0 else written).add(z)
    for number, w in enumerate(i.windows):
        low, high = extent(i.shape, w.strides)
        if w.padded:
            assert w.place.space == ARENA
            high = low + (high - low + 7) // 8 * 8
        yield w.place, low, high, number in written


def gemm_accesses(i: Gemm) -> Iterator[Access]:
    def matrix(place: Any, shape: tuple[int, int], ld: int, strides: Any, writes: bool) -> Access:
        assert shape[0] < 2 or ld >= max(shape[1], 1)
        row = ld if shape[0] > 1 else max(shape[1], 1)
        return place, *extent((*i.stack, *shape), (*strides, row, 1)), writes

    if i.scale is not None:
        yield i.scale, 0, 1, False
    yield matrix(i.a, (i.k, i.m) if i.ta else (i.m, i.k), i.lda, i.a_strides, False)
    yield matrix(i.b, (i.n, i.k) if i.tb else (i.k, i.n), i.ldb, i.b_strides, False)
    yield matrix(i.c, (i.m, i.n), i.ldc, i.c_strides, True)


def stack_accesses(i: OfStack) -> Iterator[Access]:
    operands = [x for f in dataclasses.fields(i) if isinstance(x := getattr(i, f.name), Operand)]
    shapes = i.shapes()
    assert len(shapes) == len(operands)
    n_inputs = len(find_op(i.ops[0]).inputs)
    for number, (place, shape) in enumerate(zip(operands, shapes, strict=True)):
        yield place, 0, i.count * math.prod(shape), number >= n_inputs


def accesses(i: Any) -> Iterator[Access]:
    if isinstance(i, Map):
        yield from map_accesses(i)
    elif isinstance(i, Copy):
        yield i.x, *extent(i.shape, i.x_strides), False
        yield i.z, *extent(i.shape, i.z_strides), True
    elif isinstance(i, Gemm):
        yield from gemm_accesses(i)
    elif isinstance(i, Reduce):
        yield i.x, 0, i.outer * i.reduced * i.inner, False
        yield i.z, 0, i.outer * i.inner, True
    elif isinstance(i, Rows):
        n_rows = i.outer * i.inner
        yield i.x, 0, n_rows * i.n, False
        yield i.z, 0, n_rows * (1 if i.op == "logsumexp" else i.n), True
    elif isinstance(i, RowsGradient):
        n_rows = i.outer * i.inner
        for x in (i.g, i.y):
            yield x, 0, n_rows * (i.n if i.x is None else 1), False
        for place, writes in ((i.x, False), (i.z, True)):
            if place is not None:
                yield place, 0, n_rows * i.n, writes
    elif isinstance(i, Cumulative):
        for place, writes in ((i.x, False), (i.a, False), (i.z, True)):
            if place is not None:
                yield place, 0, i.outer * i.n * i.inner, writes
    elif isinstance(i, OfStack):
        yield from stack_accesses(i)
    elif isinstance(i, JoinNumbers):
        for place, writes in ((i.x, False), (i.y, False), (i.z, True)):
            yield place, 0, i.n, writes
    elif isinstance(i, Flatnonzero):
        yield i.x, 0, i.n, False
        yield i.z, 0, i.count, True
    elif isinstance(i, Positions):
        yield i.x, 0, i.n_rows * i.n, False
        yield i.z, 0, i.n_rows * (i.n if i.op == "argsort" else 1), True
    elif isinstance(i, Search):
        yield i.x, 0, i.n, False
        yield i.y, 0, i.m, False
        yield i.z, 0, i.m, True
    elif isinstance(i, LastOf):
        yield i.x, 0, i.n, False
        yield i.z, 0, i.size, True
    elif isinstance(i, CallBack):
        assert 0 <= i.function < len(FUNCTIONS)
        for x in i.inputs:
            yield x.place, 0, math.prod(x.shape), False
        for z in i.outputs:
            yield z.place, 0, math.prod(z.shape), True
    else:
        assert isinstance(i, Take | ScatterRows)
        table, rows = (i.outer * n * i.row_size for n in (i.n_rows, i.n))
        scatters = isinstance(i, ScatterRows)
        yield i.x, 0, rows if scatters else table, False
        yield i.rows, 0, i.n, False
        yield i.z, 0, table if scatters else rows, True


def check_accepted(words: np.ndarray) -> list[tuple[int, ...]]:
    """Python's reading agrees; returns the shapes of the arguments."""
    arena_size, arguments, instructions, results = from_words(words)
    sizes = [arena_size, *map(math.prod, arguments), *(b.size for b in buffers())]
    read_only = {*range(1, 1 + len(arguments)), len(sizes) - 1}
    found = [access for i in instructions for access in accesses(i)]
    found += [(place, 0, math.prod(shape), False) for place, shape in results]
    for (space, offset), low, high, writes in found:
        assert 0 <= space < len(sizes)
        assert 0 <= offset <= sizes[space]
        assert offset + low >= 0
        assert offset + high <= sizes[space]
        assert not (writes and space in read_only)
    return arguments


def attempt(words: np.ndarray) -> bool:
    """Whether it was accepted; it is then run, unless it is too large."""
    refused: Any = None
    try:
        loaded = core.Executor(words, buffers(), FUNCTIONS)
    except core.LoadError as error:
        refused = error
    except MemoryError:
        return False
    if refused is not None:
        assert refused.code > 0
        assert 0 <= refused.place <= len(words)
        assert refused.instruction is None or refused.instruction >= 0
        return False
    arguments = check_accepted(words)
    sizes = [*map(math.prod, arguments), loaded.arena_size]
    if max(sizes) <= MOST_RUN and all(len(shape) < 32 for shape in arguments):
        with contextlib.suppress(InstructionError):
            loaded.run(*[np.ones(shape) for shape in arguments])
    return True


def mutated(words: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    changed = words.copy()
    for _ in range(rng.choice([1, 1, 2])):
        # The head and the names are short and seldom interesting.
        place = int(rng.integers(len(changed))) if len(changed) else 0
        how = rng.integers(12)
        if not len(changed) or how == 0:
            changed = np.insert(changed, place, rng.choice(INTERESTING))
        elif how == 1:
            changed = np.delete(changed, place)
        elif how == 2:
            changed = changed[:place]
        elif how == 3:
            changed[place] ^= np.int64(1) << int(rng.integers(63))
        elif how in (4, 5):
            changed[place] = rng.choice(words)
        elif how in (6, 7):
            with np.errstate(over="ignore"):
                changed[place] += rng.choice([-1, 1])
        else:
            changed[place] = rng.choice(INTERESTING)
    if len(changed) > 2 and rng.random() < 0.7:  # else the number of words tells already
        changed[2] = len(changed)
    return np.ascontiguousarray(changed)


def test_every_kind_is_tried() -> None:
    assert {type(i) for i in [*MAPS, *OTHERS]} >= {
        kind for kind in KINDS.values() if kind.__module__.startswith("autodiff.")
    }
    assert all(attempt(words) for words in seeds())


def test_mutated_words() -> None:
    rng = np.random.default_rng(20261125)
    originals = seeds()
    accepted = sum(
        attempt(mutated(originals[int(rng.integers(len(originals)))], rng)) for _ in range(N_TRIES)
    )
    assert 0.02 * N_TRIES < accepted < 0.6 * N_TRIES, accepted


def test_words_cut_short_anywhere() -> None:
    words = seeds()[0]
    for n in range(len(words)):
        for length in (len(words), n):
            cut = words[:n].copy()
            cut[2:3] = length
            assert not attempt(cut)


def test_words_from_nothing() -> None:
    rng = np.random.default_rng(7)
    head = program([])[:3]
    for _ in range(N_TRIES // 5):
        n = int(rng.integers(40))
        some = rng.choice([*INTERESTING, *range(8)], n) if n % 2 else rng.integers(-4, 20, n)
        words = np.concatenate([head, some.astype(np.int64)])
        words[2] = len(words)
        attempt(words)
    for _ in range(N_TRIES // 50):
        assert not attempt(rng.integers(-(1 << 63), (1 << 63) - 1, int(rng.integers(50))))


@pytest.mark.parametrize("count", [1 << 20, 1 << 31, 1 << 60, (1 << 63) - 1, -1, -(1 << 63)])
def test_counts_that_cannot_be(count) -> None:
    # Every word in turn: nothing of this size is allocated before it is refused.
    for words in seeds():
        for place in range(len(words)):
            changed = words.copy()
            changed[place] = count
            attempt(changed)
