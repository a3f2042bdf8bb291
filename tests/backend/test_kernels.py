"""The C kernels against the rules they stand for, for every instruction set."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import autodiff.ops
from autodiff.backend.reference import Reference
from autodiff.errors import BackendError, IndexRangeError
from autodiff.op import OPS, BoundOp, Example, Op

core = pytest.importorskip("autodiff._core")
import numerics  # noqa: E402

reference = Reference()

BUILT_IN = [op for op in OPS.values() if op.name in core.kernel_names()]
EXAMPLES = [
    pytest.param(op, example, id=f"{op.name}-{k}")
    for op in BUILT_IN
    for k, example in enumerate(op.examples)
]
ELEMENTWISE = [op for op in BUILT_IN if op.elementwise and op.name != "power"]
# Computed by one correctly rounded operation each, or by comparisons: the bits of NumPy.
EXACT = {
    "add", "subtract", "multiply", "divide", "negative", "square", "sqrt", "relu", "abs",
    "maximum", "minimum", "where", "sign", "greater", "greater_equal", "equal", "stop_gradient",
}  # fmt: skip
SIZES = [0, 1, 3, 7, 8, 9, 31, 1000]
TINY = 5e-324
SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, TINY, -TINY, 2.2e-308, -3e-310, 1e308, -1e308,
     1.5e-8, -1.5e-8, 709.7, 710.0, -745.0, -746.0, 1e5, -1e5, 36.7, np.pi, -np.pi / 2]
)  # fmt: skip


@pytest.fixture(params=core.isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set in turn, in use while the test runs."""
    before = core.isa()
    core.use_isa(request.param)
    yield request.param
    core.use_isa(before)


def expected_gradients(
    bound: BoundOp, g: np.ndarray, z: np.ndarray, inputs: Sequence[np.ndarray]
) -> list[np.ndarray | None]:
    """Those of the rules; asked only where there is one."""
    needed = [bound.op.rule(i) is not None for i in range(len(inputs))]
    return list(reference.backward(bound, g, z, inputs, needed))


def assert_close(actual: Any, expected: Any, exact: bool = False) -> None:
    if expected is None:
        assert actual is None
    elif exact:
        assert actual.shape == expected.shape
        np.testing.assert_array_equal(actual, expected)
    else:
        numerics.assert_ulps(actual, expected, 8, tiny=1e-14)


def assert_fresh(array: np.ndarray, others: Sequence[np.ndarray]) -> None:
    assert type(array) is np.ndarray
    assert array.dtype == np.float64
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert not any(np.shares_memory(array, other) for other in others)


def compare(bound: BoundOp, inputs: Sequence[np.ndarray], rng: np.random.Generator) -> None:
    """Forward, and backward for every choice of needed inputs."""
    exact = bound.name in EXACT
    kept = [x.copy() for x in inputs]
    z = core.forward(bound, inputs)
    expected = reference.forward(bound, inputs)
    assert_close(z, expected, exact)
    assert_fresh(z, inputs)
    g = rng.uniform(-2.0, 2.0, expected.shape)
    g_kept, z_kept = g.copy(), expected.copy()
    gradients = expected_gradients(bound, g, expected, inputs)
    exact = exact and all(x.shape == g.shape for x in inputs)  # else gradients are summed
    for needed in itertools.product([True, False], repeat=len(inputs)):
        found = core.backward(bound, g, expected, list(inputs), needed)
        assert len(found) == len(inputs)
        for wanted, actual, gradient in zip(needed, found, gradients, strict=True):
            assert_close(actual, gradient if wanted else None, exact)
        arrays = [a for a in found if a is not None]
        for k, array in enumerate(arrays):
            assert_fresh(array, [g, expected, *inputs, *arrays[:k]])
    for now, before in zip([*inputs, g, expected], [*kept, g_kept, z_kept], strict=True):
        np.testing.assert_array_equal(now, before)


# ---- all ops --------------------------------------------------------------------------


def test_every_op_has_a_kernel() -> None:
    named = set(core.kernel_names())
    assert named == {
        name for name, op in OPS.items() if op.forward.__module__.startswith("autodiff.")
    }
    assert len(named) == len(core.kernel_names())


@pytest.mark.parametrize(("op", "example"), EXAMPLES)
def test_examples(op: Op, example: Example, isa: str, rng: np.random.Generator) -> None:
    compare(op.bind(**example.attributes), example.draw(rng), rng)


@pytest.mark.parametrize(("op", "example"), EXAMPLES)
def test_same_bits_on_every_instruction_set(
    op: Op, example: Example, rng: np.random.Generator
) -> None:
    if op.name == "matmul":
        pytest.skip("products fuse multiply and add where the machine can")
    bound, inputs = op.bind(**example.attributes), example.draw(rng)
    before, found = core.isa(), set()
    g = rng.uniform(-2.0, 2.0, reference.forward(bound, inputs).shape)
    try:
        for name in core.isas():
            core.use_isa(name)
            z = core.forward(bound, inputs)
            gradients = core.backward(bound, g, z, inputs, [True] * len(inputs))
            found.add((z.tobytes(), *(a is not None and a.tobytes() for a in gradients)))
    finally:
        core.use_isa(before)
    assert len(found) == 1


# ---- elementwise ----------------------------------------------------------------------


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_sizes(op: Op, n: int, isa: str, rng: np.random.Generator) -> None:
    # Of all numbers of a size: a mistake at the seam of two blocks shows.
    inputs = [rng.uniform(0.2, 3.0, n) for _ in op.inputs]
    compare(op.bind(), inputs, rng)


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_special_values(op: Op, isa: str) -> None:
    grid = np.meshgrid(*[SPECIAL] * len(op.inputs), indexing="ij")
    inputs = [np.ascontiguousarray(x).reshape(-1) for x in grid]
    bound, exact = op.bind(), op.name in EXACT
    z = core.forward(bound, inputs)
    with np.errstate(all="ignore"):
        expected = reference.forward(bound, inputs)
    tolerance = {} if exact else {"rtol": 2e-15}
    np.testing.assert_allclose(z, expected, atol=0 if exact else TINY, **(tolerance or {"rtol": 0}))
    zero = (expected == 0.0) & (z == 0.0)
    np.testing.assert_array_equal(np.signbit(z[zero]), np.signbit(expected[zero]))
    for g in (np.full_like(z, -1.5), np.resize(SPECIAL, z.shape)):
        found = core.backward(bound, g, expected, inputs, [True] * len(inputs))
        for actual, gradient in zip(
            found, expected_gradients(bound, g, expected, inputs), strict=True
        ):
            if gradient is None:
                assert actual is None
            else:
                np.testing.assert_allclose(actual, gradient, rtol=0 if exact else 2e-15, atol=TINY)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, 3.0, 0.5, -1.0, -2.0, 1.5, 2.5, 1e3])
def test_powers(exponent: float, isa: str, rng: np.random.Generator) -> None:
    bound = OPS["power"].bind(exponent=exponent)
    x = np.concatenate([SPECIAL, rng.uniform(-2.0, 2.0, 40)])
    z = core.forward(bound, (x,))
    expected = reference.forward(bound, (x,))
    np.testing.assert_allclose(z, expected, rtol=1e-15, atol=TINY)
    (gx,) = core.backward(bound, x[::-1].copy(), z, (x,), (True,))
    (gradient,) = expected_gradients(bound, x[::-1].copy(), z, (x,))
    np.testing.assert_allclose(gx, gradient, rtol=1e-15, atol=TINY)


SHAPES = [
    ((), ()), ((1,), ()), ((5,), (1,)), ((1, 15), (15,)), ((4, 15), (1, 15)), ((4, 1), (4, 15)),
    ((2, 3, 4), (3, 1)), ((2, 1, 4), (1, 3, 1)), ((0, 3), (3,)), ((3, 0), (1, 1)), ((9, 1), (1, 9)),
    ((2, 1, 2, 1), (1, 3, 1, 17)), ((1, 1), (2, 3)), ((64, 1, 65), (1, 3, 65)),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), SHAPES)
@pytest.mark.parametrize("name", ["add", "multiply", "divide", "maximum"])
def test_broadcasting(
    name: str, first: tuple[int, ...], second: tuple[int, ...], isa: str, rng: np.random.Generator
) -> None:
    bound = OPS[name].bind()
    for shapes in ((first, second), (second, first)):
        inputs = [rng.uniform(0.5, 2.0, s) for s in shapes]
        z = core.forward(bound, inputs)
        np.testing.assert_array_equal(z, reference.forward(bound, inputs))
        g = rng.uniform(-1.0, 1.0, z.shape)
        found = core.backward(bound, g, z, inputs, (True, True))
        for actual, gradient in zip(found, expected_gradients(bound, g, z, inputs), strict=True):
            assert actual.shape == gradient.shape
            np.testing.assert_allclose(actual, gradient, rtol=1e-13, atol=1e-13)


def test_three_operands_broadcast(isa: str, rng: np.random.Generator) -> None:
    for shapes in itertools.permutations([(3, 1), (4,), (2, 1, 1)]):
        c = rng.integers(0, 2, shapes[0]).astype(np.float64)
        compare(
            OPS["where"].bind(), (c, rng.normal(size=shapes[1]), rng.normal(size=shapes[2])), rng
        )


def test_the_same_array_twice(isa: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=31)
    for name in ("add", "multiply", "divide", "maximum"):
        compare(OPS[name].bind(), (x, x), rng)
    compare(OPS["matmul"].bind(), (x[:25].reshape(5, 5).copy(),) * 2, rng)
    g = core.forward(OPS["multiply"].bind(), (x, x))
    first, second = core.backward(OPS["multiply"].bind(), x, g, (x, x), (True, True))
    np.testing.assert_array_equal(first, second)  # gradient, inputs: all one array


def test_read_only_inputs(isa: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 4))
    x.flags.writeable = False
    for name in ("tanh", "matmul"):
        bound = OPS[name].bind()
        inputs = (x,) * len(OPS[name].inputs)
        z = core.forward(bound, inputs)
        z.flags.writeable = False
        core.backward(bound, z, z, inputs, [True] * len(inputs))


# ---- reductions -----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4), (2, 1, 3, 4), (3, 17, 2, 9)])
@pytest.mark.parametrize("name", ["sum", "mean", "max", "logsumexp", "softmax", "log_softmax"])
def test_all_axes(name: str, shape: tuple[int, ...], isa: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=shape)
    x[x > 0.5] = 0.5  # ties
    for n in range(len(shape) + 1):
        for axis in itertools.combinations(range(len(shape)), n):
            for keepdims in (True, False):
                attributes = {} if name.endswith("softmax") else {"keepdims": keepdims}
                compare(OPS[name].bind(axis=axis, **attributes), (x,), rng)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
def test_empty_reductions(shape: tuple[int, ...], isa: str, rng: np.random.Generator) -> None:
    x = np.zeros(shape)
    for n in range(len(shape) + 1):
        for axis in itertools.combinations(range(len(shape)), n):
            compare(OPS["sum"].bind(axis=axis, keepdims=False), (x,), rng)
            empty = any(shape[i] == 0 for i in axis)
            for name in ("max", "logsumexp", "softmax"):
                more = {} if name == "softmax" else {"keepdims": False}
                bound = OPS[name].bind(axis=axis, **more)
                if empty and 0 not in np.delete(shape, axis):
                    with pytest.raises(ValueError, match="nothing to reduce"):
                        core.forward(bound, (x,))
                else:
                    compare(bound, (x,), rng)


@pytest.mark.parametrize("name", ["max", "logsumexp", "softmax", "log_softmax"])
def test_reductions_of_special_values(name: str, isa: str) -> None:
    inf, nan = np.inf, np.nan
    rows = [
        [1.0, inf, 2.0], [-inf, -inf, -inf], [-inf, 0.0, 1.0], [nan, 1.0, inf], [1.0, 2.0, nan],
        [inf, inf, 0.0], [1e308, 1e308, -1e308], [-0.0, 0.0, -0.0], [-1e308, -1e308, -1e308],
    ]  # fmt: skip
    x = np.array(rows)
    for axis, a in ((1, x), (0, x.T.copy())):
        attributes = {} if name.endswith("softmax") else {"keepdims": False}
        bound = OPS[name].bind(axis=(axis,), **attributes)
        z = core.forward(bound, (a,))
        expected = reference.forward(bound, (a,))
        np.testing.assert_allclose(z, expected, rtol=1e-15, atol=1e-300)
        g = np.linspace(-1.0, 1.0, expected.size).reshape(expected.shape)
        (gx,) = core.backward(bound, g, expected, (a,), (True,))
        (gradient,) = expected_gradients(bound, g, expected, (a,))
        np.testing.assert_allclose(gx, gradient, rtol=1e-15, atol=1e-300)


@pytest.mark.parametrize("n", [1, 7, 8, 127, 128, 129, 1000, 4096, 200_003])
@pytest.mark.parametrize("columns", [1, 3])
def test_sums_are_as_accurate_as_pairwise_ones(
    n: int, columns: int, isa: str, rng: np.random.Generator
) -> None:
    bound = OPS["sum"].bind(axis=(0,), keepdims=False)
    for x in (
        rng.uniform(0.0, 1.0, (n, columns)) * 10.0 ** rng.integers(-3, 4, (n, columns)),
        np.full((n, columns), 0.1),  # equal numbers: their roundings do not cancel
    ):
        exact = np.array([math.fsum(column) for column in x.T])
        error = np.abs(core.forward(bound, (x,)) - exact)
        roundings = 16 + np.log2(n) + 1  # one a number of a block and a halving; fsum's
        assert (error <= roundings * 2.0**-53 * exact).all()


def test_long_rows(isa: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 1000))
    for name in ("softmax", "log_softmax", "logsumexp"):
        attributes = {} if name.endswith("softmax") else {"keepdims": False}
        compare(OPS[name].bind(axis=(1,), **attributes), (x,), rng)


# ---- products -------------------------------------------------------------------------


def product_bound(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How far two ways to sum a product may differ: k u |A| |B|, element by element."""
    return (a.shape[-1] + 4) * 2.0**-53 * (np.abs(a) @ np.abs(b)) + 1e-300


M = [1, 2, 3, 4, 5, 8, 9, 13]
N = [1, 2, 3, 7, 8, 15, 16, 17, 33, 520]
K = [0, 1, 2, 7, 8, 17, 300]


@pytest.mark.parametrize("how", ["kernel", "blas"])
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_gemm(how: str, ta: bool, tb: bool, isa: str, rng: np.random.Generator) -> None:
    if how == "blas":
        pytest.importorskip("scipy")
        if isa != core.isas()[-1]:
            pytest.skip("BLAS does not depend on it")
    alpha, beta = 1.75, -0.375
    for m, n, k in itertools.product(M, N, K):
        if how == "blas" and k == 0:
            continue  # never sent there
        a, b, c = rng.normal(size=(m, k)), rng.normal(size=(k, n)), rng.normal(size=(m, n))
        # Rows that lie apart, and sentinels between them and after the end.
        stored = []
        for x in (a.T if ta else a, b.T if tb else b, c):
            wide = np.full((x.shape[0] + 1, x.shape[1] + 3), 1e9)
            wide[:-1, :-3] = x
            stored.append(wide)
        for factor in (beta, 0.0, 1.0):
            out = stored[2].copy()
            if factor == 0.0:
                out[:-1, :-3] = np.nan  # what beta = 0 must not read
            core._gemm(
                how, ta, tb, alpha, stored[0][:-1, :-3], stored[1][:-1, :-3], factor, out[:-1, :-3]
            )
            assert (out[-1] == 1e9).all()
            assert (out[:, -3:] == 1e9).all()
            expected = alpha * (a @ b) + (factor * c if factor else 0.0)
            slack = 2 * alpha * product_bound(a, b) + 2.0**-51 * np.abs(c) + 1e-300
            assert (np.abs(out[:-1, :-3] - expected) <= slack).all(), (m, n, k, factor)


def test_gemm_refuses_what_does_not_fit() -> None:
    a, c = np.zeros((2, 3)), np.zeros((2, 2))
    with pytest.raises(ValueError, match="fit"):
        core._gemm("kernel", False, False, 1.0, a, a, 0.0, c)
    with pytest.raises(ValueError, match="side by side"):
        core._gemm("kernel", False, False, 1.0, np.zeros((3, 2)).T, np.zeros((3, 2)), 0.0, c)
    with pytest.raises(BackendError, match="pigeon"):
        core._gemm("pigeon", False, True, 1.0, a, a, 0.0, c)


STACKS = [
    ((3, 4), (4, 5)), ((1, 17), (17, 15)), ((70, 40), (40, 30)), ((1, 30), (30, 600)),
    ((2, 3, 4), (2, 4, 5)), ((6, 3, 4), (4, 5)), ((3, 4), (6, 4, 5)), ((1, 3, 4), (6, 4, 5)),
    ((6, 3, 4), (1, 4, 5)), ((2, 1, 3, 4), (3, 4, 2)), ((2, 3, 3, 4), (3, 4, 2)),
    ((2, 3, 3, 4), (1, 1, 4, 2)), ((3, 4), (1, 1, 4, 2)), ((5, 1, 3, 4), (1, 6, 4, 2)),
    ((0, 4), (4, 5)), ((3, 0), (0, 5)), ((3, 4), (4, 0)), ((0, 3, 4), (4, 5)),
    ((0, 3, 4), (1, 4, 5)),
    ((2, 3, 0), (0, 5)), ((3, 4), (0, 4, 5)), ((2, 0, 3, 4), (2, 1, 4, 5)),
]  # fmt: skip


@pytest.mark.parametrize("blas", [False, True])
@pytest.mark.parametrize(("x_shape", "y_shape"), STACKS)
def test_matmul(
    x_shape: tuple[int, ...],
    y_shape: tuple[int, ...],
    blas: bool,
    isa: str,
    rng: np.random.Generator,
) -> None:
    if blas:
        pytest.importorskip("scipy")
    bound = OPS["matmul"].bind()
    inputs = rng.normal(size=x_shape), rng.normal(size=y_shape)
    core._blas_from(0 if blas else 1e18)
    try:
        z = core.forward(bound, inputs)
        expected = reference.forward(bound, inputs)
        assert z.shape == expected.shape
        np.testing.assert_allclose(z, expected, rtol=1e-13, atol=1e-13)
        g = rng.normal(size=z.shape)
        found = core.backward(bound, g, z, inputs, (True, True))
        for actual, gradient in zip(found, expected_gradients(bound, g, z, inputs), strict=True):
            assert actual.shape == gradient.shape
            np.testing.assert_allclose(actual, gradient, rtol=1e-13, atol=1e-13)
            assert_fresh(actual, [g, z, *inputs])
    finally:
        core._blas_from()


def test_nan_and_infinity_pass_through_products(isa: str) -> None:
    x = np.ones((5, 9))
    y = np.zeros((9, 20))
    x[2, 8], y[0, 3], y[5, 19] = np.nan, np.inf, np.nan
    for left in (x, x[:1].copy()):
        z = core.forward(OPS["matmul"].bind(), (left, y))
        np.testing.assert_array_equal(z, left @ y)


# ---- data movement --------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 4), (1, 5), (2, 3, 4), (2, 3, 1, 5), (33, 40), (0, 3)])
def test_all_orders_of_axes(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.normal(size=shape)
    for axes in itertools.permutations(range(len(shape))):
        compare(OPS["transpose"].bind(axes=axes), (x,), rng)


ROW = slice(None)
INDICES = [
    (0,), (-1,), (ROW,), (slice(1, None),), (slice(None, None, -1),), (slice(4, 0, -2),), (..., 1),
    (None, 2), (ROW, None, slice(2, 0, -1)), (slice(3, 3),), (slice(0, 3, -1), 2), (1, 2, 3),
    (slice(None, None, 2), ..., slice(None, None, 3)), (None, ..., None),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_slices(index: tuple[Any, ...], rng: np.random.Generator) -> None:
    from autodiff.ops.index import normalise_index

    x = rng.normal(size=(5, 3, 4))
    normal = normalise_index(x.shape, index)
    compare(OPS["getitem"].bind(index=normal), (x,), rng)
    part = np.array(x[index])
    compare(OPS["scatter_slice"].bind(index=normal, shape=x.shape), (part,), rng)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_joins(axis: int, rng: np.random.Generator) -> None:
    for sizes in ([1], [2, 3], [0, 2], [1, 1, 1, 1], [0]):
        shape = [2, 3, 4]
        parts = []
        for size in sizes:
            shape[axis] = size
            parts.append(rng.normal(size=shape))
        compare(OPS["concat"].bind(axis=axis), parts, rng)


def test_rows_by_number(rng: np.random.Generator) -> None:
    for x_shape, rows_shape in [((4, 3), (6,)), ((4,), ()), ((4, 2, 3), (2, 0)), ((4, 0), (3,))]:
        rows = rng.integers(-4, 4, rows_shape).astype(np.float64)
        compare(OPS["take"].bind(), (rng.normal(size=x_shape), rows), rng)
        g = rng.normal(size=rows_shape + x_shape[1:])
        compare(OPS["scatter_rows"].bind(n_rows=4), (g, rows), rng)
    compare(OPS["take"].bind(), (np.zeros((0, 3)), np.zeros(0)), rng)


@pytest.mark.parametrize("bad", [4.0, -5.0, 0.5, np.nan, np.inf, -np.inf, 1e300, -1e19])
def test_rows_that_do_not_exist(bad: float) -> None:
    x, rows = np.ones((4, 3)), np.array([0.0, bad, 9.0])
    g = np.ones((3, 3))
    calls = [
        lambda b: b.forward(OPS["take"].bind(), (x, rows)),
        lambda b: b.forward(OPS["scatter_rows"].bind(n_rows=4), (g, rows)),
        lambda b: b.backward(OPS["take"].bind(), g, g, (x, rows), (True, False)),
        lambda b: b.backward(OPS["scatter_rows"].bind(n_rows=4), x, x, (g, rows), (True, False)),
    ]
    for call in calls:
        messages = []
        for b in (core, reference):
            with pytest.raises(IndexRangeError) as caught, np.errstate(all="ignore"):
                call(b)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]


# ---- what is refused ------------------------------------------------------------------


def unaligned() -> np.ndarray:
    return np.frombuffer(bytearray(8 * 4 + 1), np.uint8)[1:].view(np.float64)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros(4, np.float32),
        np.zeros(4, np.int64),
        np.zeros(4, np.complex128),
        np.zeros(4, object),
        np.zeros(4, ">f8" if sys.byteorder == "little" else "<f8"),
        np.zeros(8)[::2],
        unaligned(),
        [0.0, 0.0, 0.0, 0.0],
        1.0,
        None,
    ],
    ids=lambda bad: str(getattr(bad, "dtype", type(bad).__name__)),
)
def test_only_plain_float64_arrays_are_read(bad: Any) -> None:
    good = np.zeros(4)
    tanh, add = OPS["tanh"].bind(), OPS["add"].bind()
    with pytest.raises(TypeError, match="float64"):
        core.forward(tanh, (bad,))
    with pytest.raises(TypeError, match="input 1"):
        core.forward(add, (good, bad))
    with pytest.raises(TypeError, match="gradient"):
        core.backward(tanh, bad, good, (good,), (True,))
    with pytest.raises(TypeError, match="output"):
        core.backward(tanh, good, bad, (good,), (True,))
    with pytest.raises(TypeError, match="input 0"):
        core.backward(add, good, good, (bad, good), (False, True))


def test_fortran_order_is_refused() -> None:
    with pytest.raises(TypeError, match="contiguous"):
        core.forward(OPS["tanh"].bind(), (np.zeros((3, 4)).T,))


MISFITS: list[tuple[str, dict[str, Any], list[tuple[int, ...]]]] = [
    ("tanh", {}, [(3,), (3,)]),
    ("add", {}, [(3,)]),
    ("add", {}, [(3,), (4,)]),
    ("where", {}, [(3,), (4,), (1,)]),
    ("matmul", {}, [(3, 4), (3, 4)]),
    ("matmul", {}, [(3,), (3, 4)]),
    ("matmul", {}, [(2, 3, 4), (3, 4, 5)]),
    ("reshape", {"shape": (5,)}, [(2, 3)]),
    ("broadcast_to", {"shape": (2, 3)}, [(2,)]),
    ("broadcast_to", {"shape": (3,)}, [(1, 3)]),
    ("transpose", {"axes": (1, 0)}, [(2, 3, 4)]),
    ("concat", {"axis": 1}, [(2, 3), (3, 3)]),
    ("concat", {"axis": 1}, [(2, 3), (2,)]),
    ("concat", {"axis": 2}, [(2, 3)]),
    ("concat", {"axis": 0}, []),
    ("getitem", {"index": (3, (0, 3, 1))}, [(3, 3)]),
    ("getitem", {"index": ((0, 4, 1),)}, [(3,)]),
    ("getitem", {"index": ((2, -2, -1),)}, [(3,)]),
    ("getitem", {"index": (0,)}, [(3, 3)]),
    ("scatter_slice", {"index": ((0, 2, 1),), "shape": (3,)}, [(3,)]),
    ("take", {}, [(), (2,)]),
    ("scatter_rows", {"n_rows": 4}, [(3, 2), (2,)]),
    ("sum", {"axis": (2,), "keepdims": False}, [(2, 3)]),
    ("softmax", {"axis": (2,)}, [(2, 3)]),
]


@pytest.mark.parametrize(("name", "attributes", "shapes"), MISFITS)
def test_shapes_that_do_not_fit_are_not_read(
    name: str, attributes: dict[str, Any], shapes: list[tuple[int, ...]]
) -> None:
    with pytest.raises(TypeError, match="fit"):
        core.forward(OPS[name].bind(**attributes), [np.zeros(s) for s in shapes])


@pytest.mark.parametrize(("op", "example"), EXAMPLES)
def test_gradients_that_do_not_fit_are_not_read(
    op: Op, example: Example, rng: np.random.Generator
) -> None:
    bound, inputs = op.bind(**example.attributes), example.draw(rng)
    z = core.forward(bound, inputs)
    wrong = np.zeros((z.size + 7,))
    needed = [op.rule(i) is not None for i in range(len(inputs))]
    # A scalar's gradient may have any shape: it broadcasts, and is summed.
    if any(needed) and not (op.elementwise and z.ndim == 0):
        with pytest.raises(TypeError, match="fit"):
            core.backward(bound, wrong, z, inputs, needed)
    with pytest.raises(TypeError, match="needed"):
        core.backward(bound, z, z, inputs, [True] * (len(inputs) + 1))


# ---- instruction sets, ops without kernels --------------------------------------------


def test_instruction_sets() -> None:
    assert core.isas()[0] == "base"
    assert core.isa() in core.isas()
    with pytest.raises(BackendError, match=r"'v9'.*base"):
        core.use_isa("v9")


@pytest.mark.parametrize("name", [*core.isas(), "v9"])
def test_the_environment_picks_the_instruction_set(name: str) -> None:
    code = "from autodiff import get_backend; print(get_backend('compiled'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "AUTODIFF_ISA": name},
        capture_output=True,
        text=True,
        check=False,
    )
    if name == "v9":
        assert "BackendError: AUTODIFF_ISA: there is no instruction set 'v9'" in done.stderr
    else:
        assert done.stdout.strip() == f"<back end compiled: C kernels, instruction set {name}>"


def test_an_op_without_a_kernel_is_computed_by_its_rules(
    isa: str, rng: np.random.Generator
) -> None:
    def cube(x: Any) -> Any:
        """z = x³."""
        return x * x * x

    declare = autodiff.declare.declare
    function = declare(backward=lambda g, z, x: g * (3.0 * x * x), reads="x", examples=[])(cube)
    try:
        compare(function.op.bind(), (rng.normal(size=(3, 4)),), rng)
    finally:
        del OPS["cube"]


def test_a_prepared_kernel_is_kept_and_serves_other_shapes(rng: np.random.Generator) -> None:
    bound = OPS["sum"].bind(axis=(0,), keepdims=False)
    core.forward(bound, (np.ones(3),))
    prepared = bound.kernel
    assert prepared is not None
    x = rng.normal(size=(5, 2))
    np.testing.assert_allclose(core.forward(bound, [x]), x.sum(axis=0), rtol=1e-15)
    assert bound.kernel is prepared
    bound.kernel = "another back end's"
    np.testing.assert_allclose(core.forward(bound, [x]), x.sum(axis=0), rtol=1e-15)


def test_memory_is_returned(rng: np.random.Generator) -> None:
    """Results and errors leave no reference behind."""
    x = rng.normal(size=(3, 4))
    bound = OPS["multiply"].bind()
    before = sys.getrefcount(x)
    for _ in range(50):
        z = core.forward(bound, (x, x))
        core.backward(bound, z, z, [x, x], (True, True))
        with pytest.raises(TypeError):
            core.forward(bound, (x, 1.0))
    assert sys.getrefcount(x) == before
    assert sys.getrefcount(z) == 2
