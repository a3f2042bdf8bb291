"""The executor against NumPy, one instruction after the other: runs, copies, profiles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided
from programs import elementwise, program_of

from autodiff.op import OPS
from autodiff.program.code.kinds.copy import Copy
from autodiff.program.code.kinds.reduce import Reduce

core = pytest.importorskip("autodiff._core")


ARENA, ARGUMENT = 0, 1
FORWARD = [name for name, op in OPS.items() if op.elementwise or name == "power"]


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


def run_program(shape, operands, applications, arena: np.ndarray):
    """Run one "run" whose space 1 is a buffer that begins as `arena`; what it became."""
    buffer = arena.copy()
    moved = [((1, offset), *rest) for (_, offset), *rest in operands]
    program_of(0, [], [buffer], [elementwise(shape, moved, applications)], []).run()
    # The same in the arena itself, where maps may read beyond an operand.
    load = elementwise((arena.size,), [((1, 0), (1,)), ((0, 0), (1,))],
            [("stop_gradient", 0, 1)])  # fmt: skip
    inside = program_of(
        arena.size,
        [arena.shape],
        [],
        [load, elementwise(shape, operands, applications)],
        [((0, 0), arena.shape)],
    )
    (again,) = inside.run(arena)
    np.testing.assert_array_equal(again, buffer)
    return buffer


def expected_run(shape, operands, applications, arena: np.ndarray) -> np.ndarray:
    flat = arena.copy()
    views = [view(flat, offset, shape, strides) for (_, offset), strides, *_ in operands]
    registers: dict[int, np.ndarray] = {}

    def read(k: int) -> np.ndarray:
        return registers[k] if k < 0 else views[k]

    for name, *reads, dst in applications:
        inputs = [np.array(read(k)) for k in reads]
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
    reads = tuple(range(arity))
    for applications in (
        [(name, *reads, arity)],
        [(name, *reads, -1), ("stop_gradient", -1, arity)],
    ):
        found = run_program((n,), operands, applications, arena)
        np.testing.assert_array_equal(found, expected_run((n,), operands, applications, arena))


CHAIN = [
    ("multiply", 0, 1, -1),
    ("tanh", -1, -2),
    ("where", 1, -2, 0, -3),
    ("add", -3, -1, 2),
    ("subtract", 2, 0, 3),
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
        applications = [("add", 0, 1, 0), ("multiply", 0, 0, 0)]
        found = run_program((m,), operands, applications, arena)
        np.testing.assert_array_equal(found, expected_run((m,), operands, applications, arena))


def test_an_output_that_may_be_padded_changes_nothing_else(isa, rng):
    x = rng.normal(size=13)
    program = program_of(
        48,
        [(13,)],
        [],
        [
            elementwise((13,), [((1, 0), (1,)), ((0, 32), (1,))], [("exp", 0, 1)]),
            elementwise(
                (13,),
                [((0, 32), (1,)), ((0, 8), (1,), True)],
                [("negative", 0, 1)],
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
    program = program_of(
        18, [], [], [elementwise((9,), operands, [("exp", 0, -1),
                                              ("exp", -1, 1)])], [((0, 0), (18,))]
    )  # fmt: skip
    for _ in range(2):
        (arena,) = program.run()
        np.testing.assert_array_equal(arena, [0.0] * 9 + [eager("exp", np.ones(1))[0]] * 9)


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
    instruction = Copy(shape, (1, 5 - low), x, (2, 3), z)
    program = program_of(0, [(4000,)], [buffer], [instruction], [])
    program.run(numbers)
    np.testing.assert_array_equal(buffer, expected)


# ---- profiles ----


def test_what_is_executed_takes_time():
    run = [((1, 0), (1,)), ((0, 0), (1,))]
    instructions = [elementwise((8,), run, [("square", 0, 1)]),
                    Reduce("sum", 1, 8, 1, (0, 0), (0, 8)),
                    Reduce("sum", 0, 8, 1, (0, 0), (0, 16))]  # fmt: skip
    program = program_of(24, [(8,)], [], instructions, [])
    for _ in range(300):  # one slow reading of the clock must not make all times zero
        *times, nothing = program.profile(2, np.ones(8))
        assert all(t > 0.0 for t in times)
        assert nothing == 0.0
    with pytest.raises(ValueError, match="at least once"):
        program.profile(0, np.ones(8))
