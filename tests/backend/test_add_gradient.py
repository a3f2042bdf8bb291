"""Gradients added onto a total where they belong, for every back end and instruction set."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from table import EXAMPLES, of_each, parts, refused

import autodiff
import autodiff.ops
from autodiff.backend.reference import Reference
from autodiff.declare import declare
from autodiff.errors import IndexRangeError
from autodiff.graph.observer import Watching, observe
from autodiff.op import OPS, BoundOp, Example, Op, Sample
from autodiff.ops.index import normalise_index
from autodiff.program.recorder import Recorder

core = pytest.importorskip("autodiff._core")
reference = Reference()


@pytest.fixture(params=["reference", *core.isas()])
def executor(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The reference back end, and the kernels of each instruction set in turn."""
    if request.param == "reference":
        yield reference
        return
    before = core.isa()
    core.use_isa(request.param)
    yield core
    core.use_isa(before)


def bits(x: np.ndarray) -> np.ndarray:
    """x as integers: NaN is itself, and -0.0 is not 0.0."""
    return np.ascontiguousarray(x).reshape(-1).view(np.int64)


def compare(executor: Any, bound: BoundOp, inputs: Sequence[np.ndarray], g: Any) -> None:
    """The bits of adding full gradients; nothing else is written."""
    z = reference.forward(bound, inputs)
    for position in range(len(inputs)):
        if refused(bound.op, position):
            continue
        rng = np.random.default_rng(7)
        total = rng.normal(size=inputs[position].shape)
        given = [*parts(g), *parts(z), *inputs]
        kept = [x.copy() for x in given]
        needed = [i == position for i in range(len(inputs))]
        gradient = executor.backward(bound, g, z, inputs, needed)[position]
        expected = total if gradient is None else total + gradient
        found = executor.add_gradient(bound, position, g, z, tuple(inputs), total)
        assert found is total  # in place
        np.testing.assert_array_equal(bits(found), bits(expected))
        for now, before in zip(given, kept, strict=True):
            np.testing.assert_array_equal(bits(now), bits(before))


@pytest.mark.parametrize(("op", "example"), EXAMPLES)
def test_examples(op: Op, example: Example, executor: Any, rng: np.random.Generator) -> None:
    bound, inputs = op.bind(**example.attributes), example.draw(rng)
    inputs = tuple(np.ascontiguousarray(x) for x in inputs)
    z = reference.forward(bound, inputs)
    compare(executor, bound, inputs, of_each(lambda z: np.asarray(rng.normal(size=z.shape)), z))


def test_which_ops_are_sparse() -> None:
    assert {name for name, op in OPS.items() if op.sparse} == {"getitem", "take"}


# ---- slices -----------------------------------------------------------------------------

ROW = slice(None)
INDICES = [
    (0,), (-1,), (ROW,), (slice(1, None),), (slice(None, None, -1),), (slice(4, 0, -2),), (..., 1),
    (None, 2), (ROW, None, slice(2, 0, -1)), (slice(3, 3),), (slice(0, 3, -1), 2), (1, 2, 3),
    (slice(None, None, 2), ..., slice(None, None, 3)), (None, ..., None),
    (ROW, ROW, slice(None, None, -1)), (ROW, ROW, slice(1, 2)), (ROW, slice(None, None, -2)),
    (slice(0, 0), 1, ROW), (ROW, 1),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_slices(index: tuple[Any, ...], executor: Any, rng: np.random.Generator) -> None:
    for shape in ((5, 3, 4), (5, 3, 33), (5, 17, 4)):
        x = rng.normal(size=shape)
        bound = OPS["getitem"].bind(index=normalise_index(shape, index))
        compare(executor, bound, (x,), rng.normal(size=x[index].shape))


@pytest.mark.parametrize("step", [1, 2, 7, -1, -3, 2**63 - 1, 1 - 2**63, -(2**63)])
def test_ranges_of_any_length(step: int, rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 2))
    ends = [0, 1, 4, 5, -1, 2**63 - 1, -(2**63), -(2**63) + 1]
    for start, stop in itertools.product(ends, ends):
        taken = range(start, stop, step)
        bound = OPS["getitem"].bind(index=((start, stop, step), (0, 2, 1)))
        if not taken or (0 <= taken[0] < 5 and 0 <= taken[-1] < 5):
            compare(core, bound, (x,), rng.normal(size=(len(taken), 2)))
        else:
            with pytest.raises((TypeError, OverflowError), match=r"fit|too many"):
                core.forward(bound, (x,))


def test_slices_of_scalars_and_long_ones(executor: Any, rng: np.random.Generator) -> None:
    x = np.array(2.0)
    for index, shape in (((), ()), ((None, None), (1, 1))):
        compare(executor, OPS["getitem"].bind(index=index), (x,), rng.normal(size=shape))
    x = rng.normal(size=300_001)
    for index in (slice(1, None), slice(None, None, -1), slice(5, None, 3)):
        bound = OPS["getitem"].bind(index=normalise_index(x.shape, index))
        compare(executor, bound, (x,), rng.normal(size=x[index].shape))


@pytest.mark.parametrize(
    ("bound", "inputs"),
    [
        (OPS["getitem"].bind(index=((1, 3, 1),)), (np.zeros(4),)),
        (OPS["take"].bind(), (np.zeros(4), np.array([1.0, -2.0]))),
    ],
    ids=["getitem", "take"],
)
def test_what_was_not_read_keeps_its_sign(
    bound: BoundOp, inputs: Sequence[np.ndarray], executor: Any
) -> None:
    # Adding a full gradient would make the first and the last number 0.0; between, the
    # bits are those of the sum: slices copy -0.0, rows are summed from 0.0 on.
    total, g = np.full(4, -0.0), np.array([-0.0, 0.0])
    (full, *_) = executor.backward(bound, g, g, inputs, (True, False)[: len(inputs)])
    executor.add_gradient(bound, 0, g, g, inputs, total)
    np.testing.assert_array_equal(np.signbit(total[[0, 3]]), [True, True])
    np.testing.assert_array_equal(bits(total[1:3]), bits((np.full(4, -0.0) + full)[1:3]))


# ---- rows -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [1, 3, 40, 5000])
@pytest.mark.parametrize("rows_shape", [(), (1,), (2,), (7,), (3, 5), (200,), (2, 0), (0,)])
@pytest.mark.parametrize("row_shape", [(), (1,), (3,), (2, 9), (0,)])
def test_rows(
    n_rows: int,
    rows_shape: tuple[int, ...],
    row_shape: tuple[int, ...],
    executor: Any,
    rng: np.random.Generator,
) -> None:
    rows = rng.integers(-n_rows, n_rows, rows_shape).astype(np.float64)
    x = rng.normal(size=(n_rows, *row_shape))
    compare(executor, OPS["take"].bind(), (x, rows), rng.normal(size=rows_shape + row_shape))


def test_rows_that_meet_in_the_table(executor: Any, rng: np.random.Generator) -> None:
    # Far apart, neighbours, and both ends by both of their numbers.
    n = 1 << 20
    rows = np.concatenate([np.arange(0, n, 4096), np.arange(64), [-1, n - 1, 0, -n, -n]])
    g = rng.normal(size=rows.size)
    compare(executor, OPS["take"].bind(), (np.zeros(n), rows.astype(np.float64)), g)


def test_no_rows_of_none(executor: Any) -> None:
    compare(executor, OPS["take"].bind(), (np.zeros((0, 3)), np.zeros(0)), np.zeros((0, 3)))


@pytest.mark.parametrize("bad", [4.0, -5.0, 0.5, np.nan, np.inf])
def test_a_row_that_does_not_exist_changes_nothing(bad: float, executor: Any) -> None:
    total, g = np.ones(4), np.ones(2)
    with pytest.raises(IndexRangeError, match="no row of an array of 4"):
        executor.add_gradient(
            OPS["take"].bind(), 0, g, g, (np.zeros(4), np.array([1.0, bad])), total
        )
    np.testing.assert_array_equal(total, np.ones(4))


# ---- what is refused --------------------------------------------------------------------


def frozen(x: np.ndarray) -> np.ndarray:
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"total": np.zeros(4, np.float32)}, "total must be a C-contiguous"),
        ({"total": np.zeros(8)[::2]}, "total must be a C-contiguous"),
        ({"total": None}, "total must be a C-contiguous"),
        ({"total": frozen(np.zeros(4))}, "may be written"),
        ({"total": np.zeros(5)}, "fit"),
        ({"total": np.zeros((1, 4))}, "fit"),
        ({"gradient": np.zeros(3)}, "fit"),
        ({"gradient": [0.0, 0.0]}, "the gradient"),
        ({"inputs": ([0.0],)}, "input 0"),
        ({"inputs": (np.zeros(4), np.zeros(4))}, "fit"),
        ({"inputs": (np.zeros((2, 2)),), "total": np.zeros((2, 2))}, "fit"),
        ({"position": 1}, "number 1"),
        ({"position": -1}, "number -1"),
    ],
    ids=str,
)
def test_only_what_fits_is_read_and_written(change: dict[str, Any], message: str) -> None:
    given = {
        "position": 0, "gradient": np.zeros(2), "output": np.zeros(2), "inputs": (np.zeros(4),),
        "total": np.zeros(4), **change,
    }  # fmt: skip
    with pytest.raises(TypeError, match=message):
        core.add_gradient(OPS["getitem"].bind(index=((1, 3, 1),)), *given.values())


@pytest.mark.parametrize(
    ("g", "rows", "total"),
    [((3,), (2,), (4,)), ((2,), (2,), ()), ((2, 3), (2,), (4,)), ((2,), (2,), (4, 3))],
)
def test_rows_that_do_not_fit(g: Any, rows: Any, total: Any) -> None:
    with pytest.raises(TypeError, match="fit"):
        core.add_gradient(
            OPS["take"].bind(), 0, np.zeros(g), None, (np.zeros(total), np.zeros(rows)),
            np.zeros(total),
        )  # fmt: skip


# ---- ops of a user's own ------------------------------------------------------------------


@pytest.fixture
def temporary_op() -> Iterator[Callable[..., BoundOp]]:
    before = set(OPS)

    def make(function: Any, **facts: Any) -> BoundOp:
        bound: BoundOp = declare(**facts)(function).op.bind()
        return bound

    yield make
    for name in set(OPS) - before:
        del OPS[name]


def test_an_op_of_ones_own_may_be_sparse(executor: Any, temporary_op: Any) -> None:
    def first(x: Any) -> Any:
        """z = x[0]."""
        return x[0]

    def onto(total: Any, g: Any, z: Any, x: Any) -> None:
        total[0] += g
        added.append(g)

    added: list[Any] = []
    bound = temporary_op(
        first,
        shape=lambda x: x[1:],
        backward=lambda g, z, x: autodiff.ops.scatter_slice(g, index=0, shape=x.shape),
        onto=onto,
        examples=[],
    )
    compare(executor, bound, (np.ones((3, 2)),), np.array([1.0, 2.0]))
    assert len(added) == 1


def test_an_op_of_many_inputs_and_no_kernel(executor: Any, temporary_op: Any) -> None:
    def total_of(*parts: Any) -> Any:
        """z = the sum of the parts."""
        return np.sum(parts, axis=0)

    bound = temporary_op(
        total_of,
        shape=lambda *shapes: shapes[0],
        backward=lambda g, z, *parts, needed: [
            (i + 1.0) * g if wanted else None for i, wanted in enumerate(needed)
        ],
        examples=[Example((Sample((2,)),))],
    )
    parts = [np.ones(2)] * 4
    g = np.array([1.0, -1.0])
    found = executor.backward(bound, g, g, parts, (True, False, True, True))
    for position, gradient in zip((0, 2, 3), [found[0], *found[2:]], strict=True):
        np.testing.assert_array_equal(gradient, (position + 1.0) * g)
    assert found[1] is None
    compare(executor, bound, parts, g)


# ---- the recorder -------------------------------------------------------------------------


def test_a_recording_adds() -> None:
    recorder = Recorder()
    x, g, total = (recorder.argument(shape) for shape in ((4,), (2,), (4,)))
    bound = OPS["getitem"].bind(index=((1, 3, 1),))
    inside = Watching()
    inside.home = recorder
    with observe(inside):
        found = recorder.add_gradient(bound, 0, g, g, (x,), total)
        assert recorder.add_gradient(OPS["take"].bind(), 1, g, g, (x, g), total) is total
    assert found.shape == (4,)
    assert [i.op.name for i in recorder.builder.instructions] == ["scatter_slice", "add"]


# ---- linear ---------------------------------------------------------------------------------


def seconds(action: Callable[[], Any]) -> float:
    """The best of a few times."""
    best = np.inf
    for _ in range(5):
        start = time.process_time()
        action()
        best = min(best, time.process_time() - start)
    return best


def test_the_gradients_of_many_parts_take_one_pass(rng: np.random.Generator) -> None:
    bound = OPS["concat"].bind(axis=0)

    def time_of(n: int) -> float:
        parts = tuple(rng.normal(size=(1, 3)) for _ in range(n))
        z = core.forward(bound, parts)
        return seconds(lambda: core.backward(bound, z, z, parts, (True,) * n))

    assert time_of(16_000) < 24 * time_of(2_000)  # 8 if linear, 64 if each scanned all


def test_a_slice_costs_its_own_size(rng: np.random.Generator) -> None:
    def time_of(n: int) -> float:
        x, g, total = (np.zeros(s) for s in ((n, 4), (4,), (n, 4)))
        slices = [OPS["getitem"].bind(index=(i, (0, 4, 1))) for i in range(0, n, n // 100)]
        rows = x, np.array([1.0, 3.0, 1.0])
        taken = np.zeros((3, 4))

        def action() -> None:
            for bound in slices:
                core.add_gradient(bound, 0, g, g, (x,), total)
                core.add_gradient(OPS["take"].bind(), 0, taken, taken, rows, total)

        return seconds(action)

    assert time_of(1_000_000) < 10 * time_of(100)


def test_no_back_end_scans_all_parts_for_each() -> None:
    bound = OPS["concat"].bind(axis=0)

    def time_of(n: int) -> float:
        parts = [np.zeros((1, 2)) for _ in range(n)]
        g = np.zeros((n, 2))
        recorder = Recorder()
        inside = Watching()
        inside.home = recorder
        recorded = [recorder.argument((1, 2)) for _ in range(n)]
        of_output = recorder.argument((n, 2))

        def action() -> None:
            reference.backward(bound, g, g, parts, [True] * n)
            with observe(inside):
                recorder.backward(bound, of_output, of_output, recorded, [True] * n)

        return seconds(action)

    assert time_of(4000) < 24 * time_of(500)  # 8 if linear, 64 if each scanned all
