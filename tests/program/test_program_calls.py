"""Programs from outside: what is refused, calls, scans, signals, threads."""

from __future__ import annotations

import dataclasses
import gc
import math
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from interrupts import interrupted_when
from programs import elementwise, program_of

from autodiff.program.code.kind import Kind
from autodiff.program.code.kinds.copy import Copy
from autodiff.program.code.kinds.flatnonzero import Flatnonzero
from autodiff.program.code.kinds.gemm import Gemm
from autodiff.program.code.kinds.join_numbers import JoinNumbers
from autodiff.program.code.kinds.last_of import LastOf
from autodiff.program.code.kinds.positions import Positions
from autodiff.program.code.kinds.reduce import Reduce
from autodiff.program.code.kinds.rows import Rows
from autodiff.program.code.kinds.scatter_rows import ScatterRows
from autodiff.program.code.kinds.search import Search
from autodiff.program.code.kinds.take import Take

core = pytest.importorskip("autodiff._core")


# ---- malformed programs ----

X, Y, Z = ((1, 0), (1,)), ((2, 0), (1,)), ((0, 0), (1,))
ADD = [("add", 0, 1, 2)]


def gemm(**changes: Any) -> Gemm:
    product = Gemm(
        False, False, 2, 2, 2, 1.0, None, (1, 0), 2, (1, 0), 2, 0.0, (0, 0), 2, (), (), (), ()
    )
    return dataclasses.replace(product, **changes)


@dataclasses.dataclass
class Dance(Kind):
    name = "dance"
    step: int = 1


MALFORMED = {
    "unknown": Dance(),
    "negative size": elementwise((-1,), [X, Y, Z], ADD),
    "five axes": elementwise((1,) * 5, [], []),
    "unknown map": elementwise((4,), [X, Y, Z], [("dance", 0, 1, 2)]),
    "operand missing": elementwise((4,), [X, Y, Z], [("add", 0, 2)]),
    "parameter missing": elementwise((4,), [X, Y, Z], [("power", 0, 2)]),
    "operand too many": elementwise((4,), [X, Y, Z], [("add", 0, 1, 1, 2)]),
    "no such operand": elementwise((4,), [X, Y, Z], [("add", 0, 3, 2)]),
    "no such output": elementwise((4,), [X, Y, Z], [("add", 0, 1, 3)]),
    "register unwritten": elementwise((4,), [X, Y, Z], [("add", 0, -1, 2)]),
    "register written later": elementwise(
        (4,), [X, Y, Z], [("add", 0, -1, 2), ("negative", 0, -1)]),
    "far register": elementwise((4,), [X, Y, Z], [("add", 0, 1, -100000)]),
    "strides missing": elementwise((2, 2), [X, Y, Z], ADD),
    "no such space": elementwise((4,), [((9, 0), (1,)), Y, Z], ADD),
    "negative space": elementwise((4,), [((-1, 0), (1,)), Y, Z], ADD),
    "before its space": elementwise((4,), [((1, -1), (1,)), Y, Z], ADD),
    "beyond its space": elementwise((4,), [((1, 1), (1,)), Y, Z], ADD),
    "far beyond": elementwise((4,), [((1, 2**62), (1,)), Y, Z], ADD),
    "empty beyond": elementwise((0,), [((1, 5), (1,)), Y, Z], ADD),
    "stride leaves": elementwise((4,), [((1, 0), (2,)), Y, Z], ADD),
    "stride leaves below": elementwise((4,), [((1, 2), (-1,)), Y, Z], ADD),
    "stride overflows": elementwise((4,), [((1, 0), (2**62,)), Y, Z], ADD),
    "strides overflow": elementwise((2, 2), [((1, 0), (2**62, 2**62)), Y, Z], ADD),
    "unused operand leaves": elementwise((4,), [X, Y, Z, ((0, 40), (1,))], ADD),
    "writes an argument": elementwise((4,), [X, Y, X], ADD),
    "writes a read-only buffer": elementwise((4,), [X, Y, ((3, 0), (1,))], ADD),
    "written again and again": elementwise((4,), [X, Y, ((0, 0), (0,))], ADD),
    "padded beyond": elementwise((4,), [X, Y, ((0, 12), (1,), True)], ADD),
    "padded buffer": elementwise((4,), [X, Y, ((2, 0), (1,), True)], ADD),
    "copy of five axes": Copy((1,) * 5, (1, 0), (1,) * 5, (0, 0), (1,) * 5),
    "copy strides": Copy((2, 2), (1, 0), (2,), (0, 0), (2, 1)),
    "copy output strides": Copy((2, 2), (1, 0), (2, 1), (0, 0), (2,)),
    "copy beyond": Copy((2, 2), (1, 1), (2, 1), (0, 0), (2, 1)),
    "copy below": Copy((2, 2), (1, 0), (-2, 1), (0, 0), (2, 1)),
    "copy to beyond": Copy((2, 2), (1, 0), (2, 1), (0, 13), (2, 1)),
    "copy to an argument": Copy((2, 2), (1, 0), (2, 1), (1, 0), (2, 1)),
    "copy negative": Copy((2, -2), (1, 0), (2, 1), (0, 0), (2, 1)),
    "copy overflows": Copy((2, 2), (1, 0), (2**62, 2**62), (0, 0), (2, 1)),
    "gemm negative": gemm(m=-1),
    "gemm A": gemm(a=(1, 1)),
    "gemm B": gemm(b=(1, 1)),
    "gemm C": gemm(c=(0, 13)),
    "gemm C argument": gemm(c=(1, 0)),
    "gemm lda short": gemm(lda=1),
    "gemm ldb negative": gemm(ldb=-2),
    "gemm ldc zero": gemm(n=1, ldc=0),
    "gemm huge": gemm(m=2**62, ta=True, lda=2**62),
    "gemm alpha cell": gemm(scale=(1, 4)),
    "gemm stack strides": gemm(stack=(2,)),
    "gemm stack leaves": gemm(stack=(2,), a_strides=(1,), b_strides=(0,), c_strides=(4,)),
    "gemm stack negative": gemm(stack=(-2,), a_strides=(0,), b_strides=(0,), c_strides=(0,)),
    "sum x": Reduce("sum", 1, 5, 1, (1, 0), (0, 0)),
    "sum z": Reduce("sum", 4, 1, 1, (1, 0), (0, 13)),
    "sum into an argument": Reduce("sum", 1, 4, 1, (1, 0), (1, 0)),
    "sum overflows": Reduce("sum", 2**40, 2**40, 0, (1, 0), (0, 0)),
    "max of nothing": Reduce("max", 1, 0, 1, (1, 0), (0, 0)),
    "softmax of nothing": Rows("softmax", 1, 0, 1, (1, 0), (0, 0)),
    "softmax x": Rows("softmax", 1, 5, 1, (1, 0), (0, 0)),
    "softmax z": Rows("softmax", 1, 4, 1, (1, 0), (0, 13)),
    "logsumexp z": Rows("logsumexp", 4, 1, 1, (1, 0), (0, 13)),
    "take x": Take(5, 1, 4, (1, 0), (1, 0), (0, 0)),
    "take rows": Take(4, 1, 5, (1, 0), (1, 0), (0, 0)),
    "take z": Take(2, 2, 4, (1, 0), (1, 0), (0, 9)),
    "take negative": Take(2, 2, -1, (1, 0), (1, 0), (0, 0)),
    "take tables": Take(2, 1, 2, (1, 0), (1, 0), (0, 0), 3),
    "take no tables": Take(2, 2, 4, (1, 0), (1, 0), (0, 0), -1),
    "take overflows": Take(2**31, 2**31, 0, (1, 0), (1, 0), (0, 0), 4),
    "join x": JoinNumbers(5, 2, 2, (1, 0), (2, 0), (0, 0)),
    "join y": JoinNumbers(5, 2, 2, (2, 0), (1, 0), (0, 0)),
    "join z": JoinNumbers(4, 2, 2, (1, 0), (2, 0), (0, 13)),
    "join onto itself": JoinNumbers(4, 2, 2, (1, 0), (2, 0), (2, 0)),
    "join negative": JoinNumbers(4, 2, -2, (1, 0), (2, 0), (0, 0)),
    "flatnonzero x": Flatnonzero(5, 1, (1, 0), (0, 0)),
    "flatnonzero z": Flatnonzero(4, 4, (1, 0), (0, 13)),
    "flatnonzero in place": Flatnonzero(4, 4, (2, 0), (2, 0)),
    "argsort x": Positions("argsort", 1, 5, (1, 0), (0, 0)),
    "argsort z": Positions("argsort", 2, 2, (1, 0), (0, 13)),
    "argsort overflows": Positions("argsort", 2**40, 2**40, (1, 0), (0, 0)),
    "argmax of nothing": Positions("argmax", 1, 0, (1, 0), (0, 0)),
    "no such positions": Positions("argmean", 2, 2, (1, 0), (0, 0)),
    "search x": Search(5, 2, True, (1, 0), (2, 0), (0, 0)),
    "search y": Search(2, 5, True, (2, 0), (1, 0), (0, 0)),
    "search z": Search(2, 4, False, (2, 0), (1, 0), (3, 0)),
    "last_of x": LastOf(5, 4, False, (1, 0), (0, 0)),
    "last_of z": LastOf(4, 4, False, (1, 0), (0, 13)),
    "last_of in place": LastOf(4, 4, True, (2, 0), (2, 2)),
    "scatter x": ScatterRows(4, 2, 3, (1, 0), (1, 0), (0, 0)),
    "scatter z": ScatterRows(9, 2, 2, (1, 0), (1, 0), (0, 0)),
}  # fmt: skip


def malformed_surroundings() -> tuple[Any, ...]:
    """Spaces: arena 0 (16), argument 1 (4), buffer 2 (8), read-only buffer 3 (4)."""
    fixed = np.zeros(4)
    fixed.flags.writeable = False
    return 16, [(4,)], [np.zeros(8), fixed]


@pytest.mark.parametrize("instruction", list(MALFORMED.values()), ids=list(MALFORMED))
def test_malformed_instructions_are_refused(instruction):
    good = elementwise((4,), [X, Y, Z], ADD)
    program_of(*malformed_surroundings(), [good, gemm(), good], [])
    with pytest.raises(ValueError, match="instruction 1 of the program"):
        program_of(*malformed_surroundings(), [good, instruction, good], [])


@pytest.mark.parametrize("result", [((0, 13), (4,)), ((7, 0), ()), ((0, 0), (2**40, 2**40)),
                                    ((0, -1), ()), ((0, 0), (-1,)), (0, ())])  # fmt: skip
def test_malformed_results_are_refused(result):
    with pytest.raises((ValueError, OverflowError, TypeError)):
        program_of(*malformed_surroundings(), [], [result])


@pytest.mark.parametrize(
    ("arena_size", "arguments", "buffers", "kind"),
    [
        (-1, [], [], ValueError),
        (2**62, [], [], (OverflowError, MemoryError)),
        (0, [(-1,)], [], ValueError),
        (0, [(1,) * 65], [], ValueError),
        (0, [], [[1.0]], ValueError),
        (0, [], [np.zeros(3, np.float32)], ValueError),
        (0, [], [np.zeros((4, 4))[:, 1]], ValueError),
    ],
)
def test_malformed_surroundings_are_refused(arena_size, arguments, buffers, kind):
    with pytest.raises(kind):
        program_of(arena_size, arguments, buffers, [], [])


# ---- calls ----


def square_sum(shape: tuple[int, ...] = (3,)) -> Any:
    """x to (sum of x², x itself)."""
    n = math.prod(shape)
    return program_of(
        n + 1,
        [shape],
        [],
        [
            elementwise((n,), [((1, 0), (1,)), ((0, 0), (1,))], [("square", 0, 1)]),
            Reduce("sum", 1, n, 1, (0, 0), (0, n)),
        ],
        [((0, n), ()), ((1, 0), shape)],
    )


def test_results_are_floats_and_fresh_arrays():
    program = square_sum()
    x = np.array([1.0, 2.0, 3.0])
    total, copy = program(x)
    assert type(total) is float
    assert total == 14.0
    assert copy is not x
    copy[0] = 9.0
    again = program.run(np.array([1.0, 1.0, 1.0]))
    assert again[0] == 3.0
    assert copy[1] == 2.0
    assert x[0] == 1.0


def test_read_only_arguments_are_fine():
    x = np.ones(3)
    x.flags.writeable = False
    assert square_sum().run(x)[0] == 3.0


@pytest.mark.parametrize("x", [2.0, 2, np.float64(2.0), np.array(2.0)])
def test_numbers_for_shape_unit(x):
    total, copy = square_sum(()).run(x)
    assert total == float(x) ** 2
    assert copy == float(x)


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (np.ones(4), ValueError),
        (np.ones((1, 3)), ValueError),
        (np.ones(3, np.float32), TypeError),
        (np.ones(3, ">f8"), TypeError),
        (np.ones(6)[::2], TypeError),
        (np.ones(25, np.uint8)[1:].view(float), TypeError),
        ([1.0, 2.0, 3.0], TypeError),
        (1.0, TypeError),
        (None, TypeError),
    ],
)
def test_other_arguments_are_refused(x, kind):
    with pytest.raises(kind, match="argument 0"):
        square_sum().run(x)


@pytest.mark.parametrize("x", ["2", None, 1j, np.ones(1), 10**400])
def test_other_numbers_are_refused(x):
    with pytest.raises((TypeError, ValueError, OverflowError)):
        square_sum(()).run(x)


@pytest.mark.parametrize("arguments", [(), (np.ones(3), np.ones(3))])
def test_a_wrong_number_of_arguments(arguments):
    program = square_sum()
    with pytest.raises(TypeError, match="takes 1 arguments"):
        program.run(*arguments)
    with pytest.raises(TypeError, match="takes 1 arguments"):
        program.scan(1, *arguments)


def test_many_arguments_and_results():
    n = 50
    program = program_of(
        0, [()] * n, [], [], [((1 + i, 0), () if i % 2 else (1,)) for i in range(n)]
    )
    results = program.run(*map(float, range(n)))
    assert [float(np.squeeze(r)) for r in results] == list(range(n))


def test_a_program_without_anything():
    program = program_of(0, [], [], [], [])
    assert program.run() == ()
    assert program.scan(5) == ()
    assert program.profile(2) == []
    assert program.n_instructions == 0


def test_buffers_are_used_where_they_lie_and_kept_alive():
    state = np.zeros(3)
    operands = [((1, 0), (1,)), ((2, 0), (1,))]
    program = program_of(0, [(3,)], [state], [elementwise((3,), operands, [("add", 0, 1, 1)])], [])
    program.run(np.ones(3))
    np.testing.assert_array_equal(state, 1.0)
    state[0] = 5.0
    program.run(np.ones(3))
    np.testing.assert_array_equal(state, [6.0, 2.0, 2.0])
    before = sys.getrefcount(state)
    del program
    gc.collect()
    assert sys.getrefcount(state) == before - 1


def test_calls_leak_nothing():
    program = square_sum()
    x = np.ones(3)
    for _ in range(10):
        results = program.run(x)
    counts = sys.getrefcount(x), sys.getrefcount(None), sys.getrefcount(program)
    for _ in range(100):
        results = program.run(x)
        program.scan(2, np.ones((2, 3)))
        with pytest.raises(ValueError, match="shape"):
            program.run(np.ones(4))
    assert all(sys.getrefcount(r) <= 3 for r in results)
    after = sys.getrefcount(x), sys.getrefcount(None), sys.getrefcount(program)
    assert all(b - a < 50 for a, b in zip(counts, after, strict=True))


def test_a_program_keeps_the_instruction_set_it_was_loaded_with():
    before = core.isa()
    core.use_isa("base")
    try:
        program = square_sum()
    finally:
        core.use_isa(before)
    assert program.isa == "base"
    assert square_sum().isa == before


def test_what_there_is_to_see():
    program = square_sum()
    assert program.n_instructions == 2
    assert program.arena_size == 4
    assert program.nbytes >= 32
    assert "2 instructions" in repr(program)
    nanoseconds = program.profile(50, np.ones(3))
    assert len(nanoseconds) == 2
    assert all(0.0 <= t < 1e6 for t in nanoseconds)
    with pytest.raises(TypeError):
        program.__init__(np.zeros(0, np.int64), [])


# ---- scans ----


def counter(steps_per_call: int = 1) -> tuple[Any, np.ndarray]:
    """Adds the argument to each of 1000 cells of the state, and returns the first cell."""
    state = np.zeros(1000)
    add = elementwise((1000,), [((2, 0), (1,)), ((1, 0), (0,))], [("add", 0, 1, 0)])
    program = program_of(0, [()], [state], [add] * steps_per_call, [((2, 0), ())])
    return program, state


@pytest.mark.parametrize("n", [0, 1, 2, 5000])
def test_a_scan_is_a_repeated_run(n, rng):
    program, state = counter()
    other, other_state = counter()
    xs = rng.normal(size=n)
    (scanned,) = program.scan(n, xs)
    repeated = [other.run(x)[0] for x in xs]
    assert scanned.shape == (n,)
    np.testing.assert_array_equal(scanned, np.array(repeated))
    np.testing.assert_array_equal(state, other_state)


def test_a_scan_stacks_arrays(rng):
    program = square_sum()
    xs = rng.normal(size=(7, 3))
    totals, copies = program.scan(7, xs)
    np.testing.assert_allclose(totals, (xs**2).sum(1), rtol=1e-14)
    np.testing.assert_array_equal(copies, xs)


@pytest.mark.parametrize(
    ("n", "x", "kind"),
    [
        (3, np.ones((2, 3)), ValueError),
        (3, np.ones((3, 4)), ValueError),
        (3, np.ones(3), ValueError),
        (3, np.ones((3, 3, 1)), ValueError),
        (3, np.ones((3, 6))[:, ::2], TypeError),
        (3, 1.0, TypeError),
        (-1, np.ones((3, 3)), ValueError),
    ],
)
def test_scans_refuse_other_arguments(n, x, kind):
    with pytest.raises(kind):
        square_sum().scan(n, x)


def test_a_signal_stops_a_scan_after_a_whole_step():
    program, state = counter(steps_per_call=50)
    n = 1_000_000  # seconds
    ones = np.ones(n)
    for n_steps in (1, 2000):
        state[:] = 0.0
        with interrupted_when(lambda n=n_steps: state[0] >= 50.0 * n):
            program.scan(n, ones)
        assert np.ptp(state) == 0.0
        assert 0.0 < state[0] < 50.0 * n
        assert state[0] % 50.0 == 0.0
    assert program.run(1.0)[0] == state[0]


# ---- threads ----


def hammer(work: Any, n_threads: int = 4) -> None:
    errors: list[BaseException] = []

    def run(i: int) -> None:
        try:
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n_threads)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors


@pytest.fixture
def busy_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("busy_switching")
def test_threads_that_share_a_program_see_no_torn_results():
    n = 50_000  # so long that threads do meet in it
    program = square_sum((n,))

    def work(i: int) -> None:
        x = np.full(n, float(i + 1))
        for _ in range(100):
            total, copy = program.run(x)
            assert total == n * (i + 1) ** 2
            assert (copy == i + 1).all()
        totals, copies = program.scan(20, np.tile(x, (20, 1)))
        assert (totals == n * (i + 1) ** 2).all()
        assert (copies == i + 1).all()
        assert len(program.profile(20, x)) == 2

    hammer(work)


@pytest.mark.usefixtures("busy_switching")
def test_programs_with_a_common_lock_exclude_each_other():
    n, rounds = 10_000, 200
    lock = core.Lock()
    state = np.zeros(n)
    one = [elementwise((n,), [((1, 0), (1,)), ((2, 0), (0,))], [("add", 0, 1, 0)])]
    programs = [
        program_of(0, [], [state, np.array([y])], one * 10, [((1, 0), (n,))], lock)
        for y in (1.0, 2.0)
    ]
    assert all(program.lock is lock for program in programs)

    def work(i: int) -> None:
        for k in range(rounds):
            (seen,) = programs[i % 2].run()
            assert np.ptp(seen) == 0.0
            if k % 50 == 0:
                programs[i % 2].scan(3)

    hammer(work)
    scans = 3 * len(range(0, rounds, 50))
    np.testing.assert_array_equal(state, 2 * (10 * 1.0 + 10 * 2.0) * (rounds + scans))


@pytest.mark.parametrize("method", ["run", "scan", "profile"])
def test_the_gil_is_released(method):
    program, _ = counter(steps_per_call=100_000)  # some milliseconds
    arguments = {"run": (1.0,), "scan": (1, np.ones(1)), "profile": (1, 1.0)}[method]
    ticks: list[int] = []
    done = threading.Event()

    def work() -> None:
        for _ in range(3):
            start = len(ticks)
            getattr(program, method)(*arguments)
            meanwhile.append(len(ticks) - start)
        done.set()

    meanwhile: list[int] = []
    before = sys.getswitchinterval()
    sys.setswitchinterval(10.0)  # nobody takes the GIL from the main thread
    try:
        thread = threading.Thread(target=work)
        thread.start()
        while not done.is_set():
            ticks.append(0)
            time.sleep(0.0)
        thread.join()
    finally:
        sys.setswitchinterval(before)
    assert max(meanwhile) > 100
