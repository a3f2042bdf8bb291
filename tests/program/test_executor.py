"""The executor against NumPy: instructions one by one, malformed programs, calls, threads."""

from __future__ import annotations

import ctypes
import gc
import itertools
import math
import mmap
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from autodiff.op import OPS

core = pytest.importorskip("autodiff._core")

ARENA, ARGUMENT = 0, 1
FORWARD = [name for name, op in OPS.items() if op.elementwise or name == "power"]


@pytest.fixture(params=core.isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    before = core.isa()
    core.use_isa(request.param)
    yield request.param
    core.use_isa(before)


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def view(flat: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]):
    return as_strided(flat[offset:], shape, [8 * s for s in strides])


def eager(name: str, *inputs: np.ndarray) -> np.ndarray:
    """The op by the kernels called one at a time: the executor gives the same bits."""
    if name == "power":
        x, p = inputs
        return core.forward(OPS[name].bind(exponent=float(p)), (np.ascontiguousarray(x),))
    return core.forward(OPS[name].bind(), tuple(np.array(x, order="C") for x in inputs))


# ---- runs ----


def run_program(shape, operands, micros, arena: np.ndarray):
    """Run one "run" whose space 1 is a buffer that begins as `arena`; what it became."""
    buffer = arena.copy()
    moved = [((1, offset), *rest) for (_, offset), *rest in operands]
    core.Program(0, [], [buffer], [("run", shape, moved, micros)], []).run()
    # The same in the arena itself, where maps may read beyond an operand.
    load = ("run", (arena.size,), [((1, 0), (1,)), ((0, 0), (1,))],
            [("stop_gradient", 0, None, None, 1)])  # fmt: skip
    inside = core.Program(
        arena.size,
        [arena.shape],
        [],
        [load, ("run", shape, operands, micros)],
        [((0, 0), arena.shape)],
    )
    (again,) = inside.run(arena)
    np.testing.assert_array_equal(again, buffer)
    return buffer


def expected_run(shape, operands, micros, arena: np.ndarray) -> np.ndarray:
    flat = arena.copy()
    views = [view(flat, offset, shape, strides) for (_, offset), strides, *_ in operands]
    registers: dict[int, np.ndarray] = {}

    def read(k: int) -> np.ndarray:
        return registers[k] if k < 0 else views[k]

    for name, *reads, dst in micros:
        inputs = [np.array(read(k)) for k in reads if k is not None]
        if name == "power":
            assert np.ptp(inputs[1]) == 0.0
            inputs[1] = inputs[1].reshape(-1)[0]
        value = eager(name, *inputs)
        if dst < 0:
            registers[dst] = value
        else:
            views[dst][...] = value
    return flat


@pytest.mark.parametrize("name", FORWARD)
@pytest.mark.parametrize("n", [1, 7, 8, 15, 64, 257, 1000])
def test_every_map_gives_the_bits_of_the_eager_kernel(name, n, isa, rng):
    arity = 2 if name == "power" else len(OPS[name].inputs)
    arena = rng.uniform(0.1, 2.0, 4 * n + 4)
    inputs = [((0, i * n), (1,)) for i in range(arity)]
    if name == "power":
        inputs[1] = ((0, n), (0,))
    operands = [*inputs, ((0, 3 * n), (1,))]
    reads = [0, None, 1] if name == "power" else [*range(arity), None, None][:3]
    for micros in (
        [(name, *reads, arity)],
        [(name, *reads, -1), ("stop_gradient", -1, None, None, arity)],
    ):
        found = run_program((n,), operands, micros, arena)
        np.testing.assert_array_equal(found, expected_run((n,), operands, micros, arena))


CHAIN = [
    ("multiply", 0, 1, None, -1),
    ("tanh", -1, None, None, -2),
    ("where", 1, -2, 0, -3),
    ("add", -3, -1, None, 2),
    ("subtract", 2, 0, None, 3),
]


@pytest.mark.parametrize(
    ("shape", "x", "y"),
    [
        ((), (), ()),
        ((1,), (1,), (0,)),
        ((5,), (0,), (1,)),
        ((300,), (3,), (-1,)),
        ((2, 300), (300, 1), (0, 1)),
        ((300, 2), (2, 1), (0, 1)),  # short rows share blocks
        ((300, 2), (2, 1), (1, 0)),
        ((300, 7), (7, 1), (0, 0)),
        ((100, 7), (9, 1), (7, 1)),
        ((9, 300), (1, 9), (300, 1)),  # transposed
        ((3, 4, 5), (20, 5, 1), (5, 0, 1)),
        ((3, 4, 5), (20, 5, 1), (0, 1, 4)),
        ((3, 1, 5), (5, 99, 1), (0, 7, 1)),
        ((2, 3, 4, 5), (60, 20, 5, 1), (1, 2, 6, 24)),
        ((2, 3, 20, 30), (1800, 600, 30, 1), (0, 30, 0, 1)),
        ((2, 3, 20, 30), (0, 0, 0, 0), (1, 0, 2, 0)),
        ((4, 0, 3), (0, 3, 1), (3, 3, 1)),
        ((0,), (1,), (1,)),
    ],
)
def test_runs_of_any_shape_and_strides(shape, x, y, isa, rng):
    size = math.prod(shape)
    z = contiguous(shape)
    w = tuple(2 * s for s in z)  # an output that is scattered
    room = 4000
    arena = rng.uniform(-2.0, 2.0, 2 * room + 3 * max(size, 1))
    shift = 300 if min((*y, 0)) < 0 else 0
    operands = [
        ((0, 0), x),
        ((0, room + shift), y),
        ((0, 2 * room), z),
        ((0, 2 * room + size), w),
    ]
    found = run_program(shape, operands, CHAIN, arena)
    np.testing.assert_array_equal(found, expected_run(shape, operands, CHAIN, arena))


@given(st.data())
def test_runs_drawn_at_random(data):
    axes = data.draw(st.integers(0, 4))
    shape = tuple(data.draw(st.lists(st.integers(0, 9), min_size=axes, max_size=axes)))
    permuted = data.draw(st.permutations(range(axes)))
    size = max(math.prod(shape), 1)
    operands = []
    for i in range(4):
        strides = [0] * axes
        step = data.draw(st.integers(1, 3)) if i < 2 else 1
        for axis in permuted if data.draw(st.booleans()) else reversed(range(axes)):
            strides[axis] = step
            step *= shape[axis]
        if i < 2:
            strides = [s * data.draw(st.integers(0, 1)) for s in strides]
        operands.append(((0, 3 * size * i), tuple(strides)))
    arena = np.random.default_rng(0).uniform(-2.0, 2.0, 12 * size)
    found = run_program(shape, operands, CHAIN, arena)
    np.testing.assert_array_equal(found, expected_run(shape, operands, CHAIN, arena))


@pytest.mark.parametrize("n", [3, 16, 700])
def test_a_run_in_place(n, isa, rng):
    arena = rng.normal(size=2 * n)
    for stride in (1, 2):
        m = n // stride
        operands = [((0, 0), (stride,)), ((0, n), (1,))]
        micros = [("add", 0, 1, None, 0), ("multiply", 0, 0, None, 0)]
        found = run_program((m,), operands, micros, arena)
        np.testing.assert_array_equal(found, expected_run((m,), operands, micros, arena))


def test_an_output_that_may_be_padded_changes_nothing_else(isa, rng):
    x = rng.normal(size=13)
    program = core.Program(
        48,
        [(13,)],
        [],
        [
            ("run", (13,), [((1, 0), (1,)), ((0, 32), (1,))], [("exp", 0, None, None, 1)]),
            (
                "run",
                (13,),
                [((0, 32), (1,)), ((0, 8), (1,), True)],
                [("negative", 0, None, None, 1)],
            ),
        ],
        [((0, 0), (48,))],
    )
    (arena,) = program.run(x)
    np.testing.assert_array_equal(arena[8:21], -eager("exp", x))
    assert not arena[:8].any()
    assert not arena[24:32].any()


def test_the_padding_after_the_arena_is_never_a_result(isa):
    operands = [((0, 0), (1,)), ((0, 9), (1,))]
    program = core.Program(
        18, [], [], [("run", (9,), operands, [("exp", 0, None, None, -1),
                                              ("exp", -1, None, None, 1)])], [((0, 0), (18,))]
    )  # fmt: skip
    for _ in range(2):
        (arena,) = program.run()
        np.testing.assert_array_equal(arena, [0.0] * 9 + [eager("exp", np.ones(1))[0]] * 9)


# ---- products ----


def stored(rng, t: bool, rows: int, cols: int, extra: int) -> np.ndarray:
    """A matrix as it is stored, with `extra` numbers after each row."""
    return rng.normal(size=(cols, rows + extra) if t else (rows, cols + extra))


@pytest.mark.parametrize(("ta", "tb"), list(itertools.product([0, 1], repeat=2)))
@pytest.mark.parametrize(
    ("m", "n", "k"),
    [
        (1, 60, 17),
        (5, 3, 2),
        (17, 60, 5),
        (64, 48, 33),
        (100, 90, 80),
        (4, 3, 0),
        (0, 3, 4),
        (1, 1, 1),
    ],
)
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (-0.5, 1.0), (2.0, 0.3)])
def test_gemm(ta, tb, m, n, k, alpha, beta, isa, rng):
    a, b = stored(rng, ta, m, k, 3), stored(rng, tb, k, n, 1)
    c = rng.normal(size=(m, n + 2))
    before = c.copy()
    program = core.Program(
        0,
        [a.shape, b.shape],
        [c],
        [("gemm", ta, tb, m, n, k, alpha, (1, 0), a.shape[1], (2, 0), b.shape[1], beta,
          (3, 0), n + 2, (), (), (), ())],
        [],
    )  # fmt: skip
    program.run(a, b)
    op_a = a[:, :m].T if ta else a[:, :k]
    op_b = b[:, :k].T if tb else b[:, :n]
    expected = alpha * (op_a @ op_b) + beta * before[:, :n]
    np.testing.assert_allclose(c[:, :n], expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(c[:, n:], before[:, n:])


@pytest.mark.parametrize(("ta", "tb"), list(itertools.product([0, 1], repeat=2)))
@pytest.mark.parametrize(
    ("m", "n", "k"),
    [
        (40, 50, 1),
        (3, 8, 1),
        (5, 7, 1),
        (2, 1100, 1),
        (9, 1, 20),
        (1, 17, 60),
        (1, 7, 8),
        (17, 60, 5),
        (6, 9, 2),
        (4, 40, 3),
        (3, 33, 4),
        (2, 31, 6),
    ],
)
def test_thin_products_beside_guards(ta, tb, m, n, k, isa, rng):
    for extra, first, alpha, beta in itertools.product(
        [0, 3], range(8), [1.0, -0.5], [0.0, 1.0, 0.3]
    ):
        a, b = stored(rng, ta, m, k, extra), stored(rng, tb, k, n, extra)
        ldc = n + extra
        buffer = np.full(first + m * ldc + 8, 7.0)
        c = buffer[first : first + m * ldc].reshape(m, ldc)
        c[:, :n] = before = rng.normal(size=(m, n))
        lda, ldb = a.shape[1], b.shape[1]
        instruction = ("gemm", ta, tb, m, n, k, alpha, (1, 0), lda, (2, 0), ldb, beta,
                       (3, first), ldc, (), (), (), ())  # fmt: skip
        core.Program(0, [a.shape, b.shape], [buffer], [instruction], []).run(a, b)
        op_a = a[:, :m].T if ta else a[:, :k]
        op_b = b[:, :k].T if tb else b[:, :n]
        expected = alpha * (op_a @ op_b) + beta * before
        np.testing.assert_allclose(c[:, :n], expected, rtol=1e-13, atol=1e-13)
        c[:, :n] = 7.0
        np.testing.assert_array_equal(buffer, 7.0)


def test_the_row_length_of_a_single_row_is_no_matter(isa, rng):
    a, b = rng.normal(size=(1, 3)), rng.normal(size=(3, 4))
    instruction = ("gemm", 0, 0, 1, 4, 3, 1.0, (1, 0), 0, (2, 0), 4, 0.0, (0, 0), 1,
                   (), (), (), ())  # fmt: skip
    (z,) = core.Program(4, [(1, 3), (3, 4)], [], [instruction], [((0, 0), (1, 4))]).run(a, b)
    np.testing.assert_allclose(z, a @ b, rtol=1e-14, atol=1e-14)


def test_gemm_writes_over_what_it_does_not_read(isa):
    c = np.full((2, 3), np.nan)
    instruction = ("gemm", 0, 0, 2, 3, 4, 1.0, (1, 0), 4, (2, 0), 3, 0.0, (3, 0), 3,
                   (), (), (), ())  # fmt: skip
    core.Program(0, [(2, 4), (4, 3)], [c], [instruction], []).run(np.ones((2, 4)), np.ones((4, 3)))
    np.testing.assert_array_equal(c, np.full((2, 3), 4.0))


def test_gemm_scaled_by_a_cell(isa, rng):
    a, b = rng.normal(size=(7, 1)), rng.normal(size=(1, 5))
    w = rng.normal(size=(7, 5))
    expected = w - 0.1 * 3.0 * (a @ b)
    program = core.Program(
        1,
        [(7, 1), (1, 5), ()],
        [w],
        [("gemm", 0, 0, 7, 5, 1, (-0.1, (3, 0)), (1, 0), 1, (2, 0), 5, 1.0, (4, 0), 5,
          (), (), (), ())],
        [],
    )  # fmt: skip
    program.run(a, b, 3.0)
    np.testing.assert_allclose(w, expected, rtol=1e-14)
    alpha = ("gemm", 0, 0, 7, 5, 1, (2.0, None), (1, 0), 1, (2, 0), 5, 0.0, (4, 0), 5,
             (), (), (), ())  # fmt: skip
    core.Program(1, [(7, 1), (1, 5), ()], [w], [alpha], []).run(a, b, 0.0)
    np.testing.assert_allclose(w, 2.0 * (a @ b), rtol=1e-14)


def test_gemm_over_stacks(isa, rng):
    a, b = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(3, 5, 6))
    program = core.Program(
        144,
        [a.shape, b.shape],
        [],
        [("gemm", 0, 0, 4, 6, 5, 1.0, (1, 0), 5, (2, 0), 6, 0.0, (0, 0), 6,
          (2, 3), (60, 20), (0, 30), (72, 24))],
        [((0, 0), (2, 3, 4, 6))],
    )  # fmt: skip
    for _ in range(2):
        (z,) = program.run(a, b)
        np.testing.assert_allclose(z, a @ b, rtol=1e-13, atol=1e-13)


def test_gemm_over_a_stack_summed_into_one(isa, rng):
    a, b = rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 5, 6))
    c = np.zeros((4, 6))
    instruction = ("gemm", 0, 0, 4, 6, 5, 1.0, (1, 0), 5, (2, 0), 6, 1.0, (3, 0), 6,
                   (3,), (20,), (30,), (0,))  # fmt: skip
    core.Program(0, [a.shape, b.shape], [c], [instruction], []).run(a, b)
    np.testing.assert_allclose(c, (a @ b).sum(0), rtol=1e-13, atol=1e-13)


def test_gemm_over_an_empty_stack(isa):
    c = np.ones((2, 2))
    instruction = ("gemm", 0, 0, 2, 2, 2, 1.0, (1, 0), 2, (1, 0), 2, 0.0, (1, 0), 2,
                   (3, 0), (1, 1), (0, 0), (1, 1))  # fmt: skip
    core.Program(0, [], [c], [instruction], []).run()
    np.testing.assert_array_equal(c, 1.0)


# ---- reductions, rows ----


@pytest.mark.parametrize("shape", [(2, 3, 4), (5, 1, 1), (1, 300, 1), (1, 40, 70), (3, 0, 2),
                                   (0, 3, 2)])  # fmt: skip
@pytest.mark.parametrize("kind", ["sum", "max"])
def test_reductions(kind, shape, isa, rng):
    a, r, b = shape
    if kind == "max" and r == 0:
        return
    x = rng.normal(size=shape)
    program = core.Program(
        a * b, [shape], [], [(kind, a, r, b, (1, 0), (0, 0))], [((0, 0), (a, b))]
    )
    (z,) = program.run(x)
    np.testing.assert_allclose(z, getattr(x, kind)(axis=1), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("rows", "n"), [(1, 10), (7, 3), (0, 4), (2, 500)])
@pytest.mark.parametrize("kind", ["logsumexp", "softmax", "log_softmax"])
def test_row_maps(kind, rows, n, isa, rng):
    x = rng.normal(size=(rows, n)) * 10
    shape = (rows,) if kind == "logsumexp" else (rows, n)
    program = core.Program(
        rows * n, [(rows, n)], [], [(kind, rows, n, (1, 0), (0, 0))], [((0, 0), shape)]
    )
    (z,) = program.run(x)
    log_sum = np.log(np.exp(x).sum(1))
    expected = {
        "logsumexp": log_sum,
        "softmax": np.exp(x - log_sum[:, None]),
        "log_softmax": x - log_sum[:, None],
    }[kind]
    np.testing.assert_allclose(z, expected, rtol=1e-13, atol=1e-13)


def take_program(n_rows: int, size: int, n: int) -> Any:
    nothing = ("run", (0,), [], [])
    return core.Program(
        n * size + n_rows * size,
        [(n_rows, size), (n,), (n, size)],
        [],
        [
            nothing,
            ("take", n_rows, size, n, (1, 0), (2, 0), (0, 0)),
            ("scatter_rows", n_rows, size, n, (3, 0), (2, 0), (0, n * size)),
        ],
        [((0, 0), (n, size)), ((0, n * size), (n_rows, size))],
    )


@pytest.mark.parametrize(("n_rows", "size", "n"), [(4, 3, 6), (1, 1, 1), (5, 0, 2), (3, 2, 0)])
def test_rows_by_number(n_rows, size, n, rng):
    x, y = rng.normal(size=(n_rows, size)), rng.normal(size=(n, size))
    rows = rng.integers(-n_rows, n_rows, n)
    expected = np.zeros((n_rows, size))
    np.add.at(expected, rows, y)
    program = take_program(n_rows, size, n)
    for _ in range(2):
        taken, scattered = program.run(x, rows.astype(float), y)
        np.testing.assert_array_equal(taken, x[rows])
        np.testing.assert_allclose(scattered, expected, rtol=1e-15)


@pytest.mark.parametrize("bad", [4.0, -5.0, 0.5, -0.5, math.nan, math.inf, -math.inf, 1e300])
def test_a_bad_row_number_stops_the_program(bad, rng):
    program = take_program(4, 3, 2)
    x, y = np.ones((4, 3)), np.ones((2, 3))
    with pytest.raises(core.RowNumberError, match=r"instruction 1: .* is no row of 4") as info:
        program.run(x, np.array([1.0, bad]), y)
    assert isinstance(info.value, IndexError)
    assert (info.value.instruction, info.value.n_rows, info.value.step) == (1, 4, None)
    np.testing.assert_equal(info.value.row, bad)
    program.run(x, np.array([1.0, 2.0]), y)
    rows = np.array([[0.0, 1.0], [1.0, bad], [0.0, 0.0]])
    with pytest.raises(core.RowNumberError, match="instruction 1, step 1") as info:
        program.scan(3, np.stack([x] * 3), rows, np.stack([y] * 3))
    assert info.value.step == 1
    with pytest.raises(core.RowNumberError):
        program.profile(1, x, rows[1], y)


def test_a_bad_row_number_in_scatter_rows(rng):
    program = core.Program(
        8, [(1, 2), (1,)], [], [("scatter_rows", 4, 2, 1, (1, 0), (2, 0), (0, 0))], []
    )
    with pytest.raises(core.RowNumberError, match="instruction 0: 7 is no row of 4"):
        program.run(np.ones((1, 2)), np.array([7.0]))


# ---- the last number of a page ----


class Guarded:
    """Arrays that end where memory ends: to touch the next number is to crash."""

    def __init__(self) -> None:
        self.maps: list[mmap.mmap] = []
        self.protect = ctypes.CDLL(None).mprotect

    def array(self, *shape: int) -> np.ndarray:
        size = 8 * math.prod(shape)
        pages = -(-size // mmap.PAGESIZE)
        memory = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
        self.maps.append(memory)
        end = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + pages * mmap.PAGESIZE
        assert self.protect(ctypes.c_void_p(end), mmap.PAGESIZE, 0) == 0
        offset = pages * mmap.PAGESIZE - size
        array = np.frombuffer(memory, dtype=float, count=math.prod(shape), offset=offset)
        return array.reshape(shape)


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
@pytest.mark.parametrize("n", [1, 3, 7, 8, 9, 15, 33, 513])
def test_nothing_touches_what_lies_behind_a_buffer(n, isa, rng):
    guard = Guarded()
    x, y, z = guard.array(n), guard.array(n), guard.array(n)
    x[:], y[:] = rng.uniform(0.5, 1.0, (2, n))
    run_1 = [((1, 0), (1,)), ((2, 0), (1,)), ((3, 0), (1,))]
    micros = [
        ("multiply", 0, 1, None, -1),
        ("tanh", -1, None, None, -2),
        ("where", 0, 1, -2, -3),
        ("add", -3, 0, None, 2),
    ]
    backwards = [((1, n - 1), (-1,)), ((2, 0), (1,)), ((3, n - 1), (-1,))]
    program = core.Program(
        n,
        [(n,)],
        [y, z],
        [
            ("run", (n,), run_1, micros),
            ("run", (n,), backwards, micros),
            ("sum", 1, n, 1, (1, 0), (3, n - 1)),
            ("max", 1, 1, n, (1, 0), (3, 0)),
            ("softmax", 1, n, (1, 0), (3, 0)),
            ("log_softmax", n, 1, (1, 0), (3, 0)),
            ("logsumexp", 1, n, (1, 0), (3, n - 1)),
        ],
        [((3, 0), (n,))],
    )
    program.run(x)


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
@pytest.mark.parametrize(("ta", "tb"), list(itertools.product([0, 1], repeat=2)))
def test_no_product_touches_what_lies_behind_a_buffer(ta, tb, isa, rng):
    guard = Guarded()
    for m, n, k in itertools.product([1, 3, 9, 17], [1, 2, 7, 17, 50], [1, 5, 8, 20]):
        a = guard.array(k, m) if ta else guard.array(m, k)
        b = guard.array(n, k) if tb else guard.array(k, n)
        a[:], b[:] = rng.normal(size=a.shape), rng.normal(size=b.shape)
        c = guard.array(m, n)
        products = [
            ("gemm", ta, tb, m, n, k, 1.0, (1, 0), a.shape[1], (2, 0), b.shape[1], beta,
             (3, 0), n, (), (), (), ())
            for beta in (0.0, 1.0)
        ]  # fmt: skip
        core.Program(0, [a.shape, b.shape], [c], products, []).run(a, b)
        expected = 2.0 * (a.T if ta else a) @ (b.T if tb else b)
        np.testing.assert_allclose(c, expected, rtol=1e-12, atol=1e-12)


# ---- malformed programs ----

X, Y, Z = ((1, 0), (1,)), ((2, 0), (1,)), ((0, 0), (1,))
ADD = [("add", 0, 1, None, 2)]


def gemm(**changes: Any) -> tuple[Any, ...]:
    fields: dict[str, Any] = {
        "ta": 0, "tb": 0, "m": 2, "n": 2, "k": 2, "alpha": 1.0, "A": (1, 0), "lda": 2,
        "B": (1, 0), "ldb": 2, "beta": 0.0, "C": (0, 0), "ldc": 2, "stack": (), "sa": (),
        "sb": (), "sc": (),
    }  # fmt: skip
    return ("gemm", *{**fields, **changes}.values())


MALFORMED = {
    "empty": (),
    "not a tuple": 3,
    "unknown": ("dance", 1),
    "unhashable": ([], 1),
    "too few": ("sum", 1, 4, 1, (1, 0)),
    "too many": ("sum", 1, 4, 1, (1, 0), (0, 0), 7),
    "negative size": ("run", (-1,), [X, Y, Z], ADD),
    "size no integer": ("run", (1.5,), [X, Y, Z], ADD),
    "five axes": ("run", (1,) * 5, [], []),
    "unknown map": ("run", (4,), [X, Y, Z], [("dance", 0, 1, None, 2)]),
    "map no string": ("run", (4,), [X, Y, Z], [(None, 0, 1, None, 2)]),
    "micro too short": ("run", (4,), [X, Y, Z], [("add", 0, 1, 2)]),
    "operand missing": ("run", (4,), [X, Y, Z], [("add", 0, None, None, 2)]),
    "parameter missing": ("run", (4,), [X, Y, Z], [("power", 0, None, None, 2)]),
    "parameter as operand": ("run", (4,), [X, Y, Z], [("power", 0, 1, None, 2)]),
    "operand too many": ("run", (4,), [X, Y, Z], [("add", 0, 1, 1, 2)]),
    "no such operand": ("run", (4,), [X, Y, Z], [("add", 0, 3, None, 2)]),
    "no such output": ("run", (4,), [X, Y, Z], [("add", 0, 1, None, 3)]),
    "no output": ("run", (4,), [X, Y, Z], [("add", 0, 1, None, None)]),
    "register unwritten": ("run", (4,), [X, Y, Z], [("add", 0, -1, None, 2)]),
    "register written later": (
        "run", (4,), [X, Y, Z], [("add", 0, -1, None, 2), ("negative", 0, None, None, -1)]),
    "far register": ("run", (4,), [X, Y, Z], [("add", 0, 1, None, -100000)]),
    "strides missing": ("run", (2, 2), [X, Y, Z], ADD),
    "no such space": ("run", (4,), [((9, 0), (1,)), Y, Z], ADD),
    "negative space": ("run", (4,), [((-1, 0), (1,)), Y, Z], ADD),
    "no operand": ("run", (4,), [(0, (1,)), Y, Z], ADD),
    "before its space": ("run", (4,), [((1, -1), (1,)), Y, Z], ADD),
    "beyond its space": ("run", (4,), [((1, 1), (1,)), Y, Z], ADD),
    "far beyond": ("run", (4,), [((1, 2**62), (1,)), Y, Z], ADD),
    "offset too large": ("run", (4,), [((1, 2**64), (1,)), Y, Z], ADD),
    "empty beyond": ("run", (0,), [((1, 5), (1,)), Y, Z], ADD),
    "stride leaves": ("run", (4,), [((1, 0), (2,)), Y, Z], ADD),
    "stride leaves below": ("run", (4,), [((1, 2), (-1,)), Y, Z], ADD),
    "stride overflows": ("run", (4,), [((1, 0), (2**62,)), Y, Z], ADD),
    "strides overflow": ("run", (2, 2), [((1, 0), (2**62, 2**62)), Y, Z], ADD),
    "unused operand leaves": ("run", (4,), [X, Y, Z, ((0, 40), (1,))], ADD),
    "writes an argument": ("run", (4,), [X, Y, X], ADD),
    "writes a read-only buffer": ("run", (4,), [X, Y, ((3, 0), (1,))], ADD),
    "written again and again": ("run", (4,), [X, Y, ((0, 0), (0,))], ADD),
    "padded beyond": ("run", (4,), [X, Y, ((0, 12), (1,), True)], ADD),
    "padded buffer": ("run", (4,), [X, Y, ((2, 0), (1,), True)], ADD),
    "gemm too short": gemm()[:-1],
    "gemm negative": gemm(m=-1),
    "gemm A": gemm(A=(1, 1)),
    "gemm B": gemm(B=(1, 1)),
    "gemm C": gemm(C=(0, 13)),
    "gemm C argument": gemm(C=(1, 0)),
    "gemm lda short": gemm(lda=1),
    "gemm ldb negative": gemm(ldb=-2),
    "gemm ldc zero": gemm(n=1, ldc=0),
    "gemm huge": gemm(m=2**62, ta=1, lda=2**62),
    "gemm alpha": gemm(alpha="1"),
    "gemm alpha cell": gemm(alpha=(1.0, (1, 4))),
    "gemm alpha triple": gemm(alpha=(1.0, (1, 0), 2)),
    "gemm stack strides": gemm(stack=(2,)),
    "gemm stack leaves": gemm(stack=(2,), sa=(1,), sb=(0,), sc=(4,)),
    "gemm stack negative": gemm(stack=(-2,), sa=(0,), sb=(0,), sc=(0,)),
    "sum x": ("sum", 1, 5, 1, (1, 0), (0, 0)),
    "sum z": ("sum", 4, 1, 1, (1, 0), (0, 13)),
    "sum into an argument": ("sum", 1, 4, 1, (1, 0), (1, 0)),
    "sum overflows": ("sum", 2**40, 2**40, 0, (1, 0), (0, 0)),
    "max of nothing": ("max", 1, 0, 1, (1, 0), (0, 0)),
    "softmax of nothing": ("softmax", 1, 0, (1, 0), (0, 0)),
    "softmax x": ("softmax", 1, 5, (1, 0), (0, 0)),
    "softmax z": ("softmax", 1, 4, (1, 0), (0, 13)),
    "logsumexp z": ("logsumexp", 4, 1, (1, 0), (0, 13)),
    "take x": ("take", 5, 1, 4, (1, 0), (1, 0), (0, 0)),
    "take rows": ("take", 4, 1, 5, (1, 0), (1, 0), (0, 0)),
    "take z": ("take", 2, 2, 4, (1, 0), (1, 0), (0, 9)),
    "take negative": ("take", 2, 2, -1, (1, 0), (1, 0), (0, 0)),
    "scatter x": ("scatter_rows", 4, 2, 3, (1, 0), (1, 0), (0, 0)),
    "scatter z": ("scatter_rows", 9, 2, 2, (1, 0), (1, 0), (0, 0)),
}  # fmt: skip


def malformed_surroundings() -> tuple[Any, ...]:
    """Spaces: arena 0 (16), argument 1 (4), buffer 2 (8), read-only buffer 3 (4)."""
    fixed = np.zeros(4)
    fixed.flags.writeable = False
    return 16, [(4,)], [np.zeros(8), fixed]


@pytest.mark.parametrize("instruction", list(MALFORMED.values()), ids=list(MALFORMED))
def test_malformed_instructions_are_refused(instruction):
    good = ("run", (4,), [X, Y, Z], ADD)
    core.Program(*malformed_surroundings(), [good, gemm(), good], [])
    with pytest.raises(ValueError, match="instruction 1 of the program"):
        core.Program(*malformed_surroundings(), [good, instruction, good], [])


@pytest.mark.parametrize("result", [((0, 13), (4,)), ((7, 0), ()), ((0, 0), (2**40, 2**40)),
                                    ((0, -1), ()), ((0, 0), (-1,)), (0, ())])  # fmt: skip
def test_malformed_results_are_refused(result):
    with pytest.raises((ValueError, OverflowError, TypeError)):
        core.Program(*malformed_surroundings(), [], [result])


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
        core.Program(arena_size, arguments, buffers, [], [])


# ---- calls ----


def square_sum(shape: tuple[int, ...] = (3,)) -> Any:
    """x to (sum of x², x itself)."""
    n = math.prod(shape)
    return core.Program(
        n + 1,
        [shape],
        [],
        [
            ("run", (n,), [((1, 0), (1,)), ((0, 0), (1,))], [("square", 0, None, None, 1)]),
            ("sum", 1, n, 1, (0, 0), (0, n)),
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


@pytest.mark.parametrize("x", [2.0, 2, np.float64(2.0), np.array(2.0), True])
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
    program = core.Program(
        0, [()] * n, [], [], [((1 + i, 0), () if i % 2 else (1,)) for i in range(n)]
    )
    results = program.run(*map(float, range(n)))
    assert [float(np.squeeze(r)) for r in results] == list(range(n))


def test_a_program_without_anything():
    program = core.Program(0, [], [], [], [])
    assert program.run() == ()
    assert program.scan(5) == ()
    assert program.profile(2) == []
    assert program.n_instructions == 0


def test_buffers_are_used_where_they_lie_and_kept_alive():
    state = np.zeros(3)
    operands = [((1, 0), (1,)), ((2, 0), (1,))]
    program = core.Program(
        0, [(3,)], [state], [("run", (3,), operands, [("add", 0, 1, None, 1)])], []
    )
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
    assert "square" in program.listing()
    assert len(program.listing().splitlines()) == 3
    assert "2 instructions" in repr(program)
    nanoseconds = program.profile(50, np.ones(3))
    assert len(nanoseconds) == 2
    assert all(0.0 <= t < 1e6 for t in nanoseconds)
    with pytest.raises(TypeError):
        program.__init__(0, [], [], [], [])


# ---- scans ----


def counter(steps_per_call: int = 1) -> tuple[Any, np.ndarray]:
    """Adds the argument to each of 1000 cells of the state, and returns the first cell."""
    state = np.zeros(1000)
    add = ("run", (1000,), [((2, 0), (1,)), ((1, 0), (0,))], [("add", 0, 1, None, 0)])
    program = core.Program(0, [()], [state], [add] * steps_per_call, [((2, 0), ())])
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
    main = threading.main_thread().ident
    assert main is not None
    for delay in (0.01, 0.05):
        state[:] = 0.0
        timer = threading.Timer(delay, signal.pthread_kill, (main, signal.SIGINT))
        timer.start()
        start = time.perf_counter()
        with pytest.raises(KeyboardInterrupt):
            program.scan(n, ones)
        assert time.perf_counter() - start < 1.0
        timer.join()
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
    one = [("run", (n,), [((1, 0), (1,)), ((2, 0), (0,))], [("add", 0, 1, None, 0)])]
    programs = [
        core.Program(0, [], [state, np.array([y])], one * 10, [((1, 0), (n,))], lock)
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
