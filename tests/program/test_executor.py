"""The executor against NumPy, one instruction after the other."""

from __future__ import annotations

import ctypes
import itertools
import math
import mmap
import sys
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


# ---- copies ----


@pytest.mark.parametrize(
    ("shape", "x", "z"),
    [
        ((), (), ()),
        ((7,), (1,), (1,)),
        ((7,), (-2,), (1,)),
        ((17, 15), (15, 1), (60, 1)),  # a part of packed weights
        ((17, 15), (60, 1), (15, 1)),
        ((5, 300), (300, 1), (301, 1)),
        ((9, 20), (1, 9), (20, 1)),  # transposed
        ((9, 20), (20, 1), (1, 9)),
        ((9, 20), (1, 9), (1, 9)),
        ((9, 20), (0, 1), (20, 1)),
        ((9, 20), (1, 0), (20, 1)),
        ((9, 20), (2, 40), (20, 1)),
        ((3, 4, 5), (20, 5, 1), (5, 15, 1)),
        ((3, 4, 5), (1, 15, 3), (20, 5, 1)),
        ((2, 3, 4, 5), (60, 20, 5, 1), (1, 2, 6, 24)),
        ((2, 3, 4, 5), (60, -20, 5, -1), (60, 20, 5, 1)),
        ((2, 0, 4), (1, 1, 1), (1, 1, 1)),
    ],
)
def test_copies(shape, x, z, isa, rng):
    numbers = rng.normal(size=4000)
    buffer = np.zeros(4000)
    low = sum((n - 1) * s for n, s in zip(shape, x, strict=True) if s < 0 and n > 0)
    expected = buffer.copy()
    view(expected, 3, shape, z)[...] = view(numbers, 5 - low, shape, x)
    instruction = ("copy", shape, (1, 5 - low), x, (2, 3), z)
    program = core.Program(0, [(4000,)], [buffer], [instruction], [])
    program.run(numbers)
    np.testing.assert_array_equal(buffer, expected)


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


# ---- profiles ----


def test_what_is_executed_takes_time():
    run = [((1, 0), (1,)), ((0, 0), (1,))]
    instructions = [("run", (8,), run, [("square", 0, None, None, 1)]),
                    ("sum", 1, 8, 1, (0, 0), (0, 8)),
                    ("sum", 0, 8, 1, (0, 0), (0, 16))]  # fmt: skip
    program = core.Program(24, [(8,)], [], instructions, [])
    for _ in range(300):  # one slow reading of the clock must not make all times zero
        *times, nothing = program.profile(2, np.ones(8))
        assert all(t > 0.0 for t in times)
        assert nothing == 0.0
    with pytest.raises(ValueError, match="at least once"):
        program.profile(0, np.ones(8))
