"""Generic over the op table: every back end gives the reference's numbers, at all sizes
and at the edges of what float64 can hold.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numerics import assert_ulps
from table import (
    ELEMENTWISE,
    REDUCTIONS,
    apart,
    at_most,
    differentiable,
    drawn,
    is_exact,
    over,
    slack,
    variants,
)

from autodiff.backend import Backend, get_backend
from autodiff.op import OPS, BoundOp, Op

SIZES = [0, 1, 3, 8, 9, 31, 1000]

elementwise = pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)


def compare(bound: BoundOp, inputs: list[np.ndarray], g: np.ndarray, backend: Backend) -> None:
    reference, ulps, tiny = get_backend("reference"), apart(bound.op), slack(bound.op)
    z = reference.forward(bound, inputs)
    assert_ulps(backend.forward(bound, inputs), z, ulps, tiny)
    g = np.broadcast_to(g, z.shape).copy()
    needed = [differentiable(bound.op, i) for i in range(len(inputs))]
    sent = backend.backward(bound, g, z, inputs, needed)
    expected = reference.backward(bound, g, z, inputs, needed)
    for gx, e in zip(sent, expected, strict=True):
        if e is not None:
            assert_ulps(gx, e, ulps, tiny)


@pytest.mark.parametrize("size", SIZES)
@elementwise
def test_elementwise_ops_at_all_sizes(
    op: Op, size: int, backend: Backend, rng: np.random.Generator
) -> None:
    size = at_most(op, size)
    for bound in variants(op):
        compare(bound, drawn(op, [(size,)], rng), rng.normal(size=size), backend)


BROADCASTS = [
    ((9, 31), (31,)),
    ((9, 31), (1, 31)),
    ((9, 31), (9, 1)),
    ((9, 31), ()),
    ((), (9, 31)),
    ((9, 1), (1, 31)),
    ((1, 1), (3,)),
    ((3, 1, 8), (9, 1)),
    ((2, 3, 4), (3, 1)),
    ((0, 3), (3,)),
    ((0, 3), (1, 1)),
    ((1, 3), (0, 1)),
    ((2, 1, 3, 1), (1, 4, 1, 5)),
    ((1000,), (1,)),
    ((1000, 3), (3,)),
    ((3, 1000), (3, 1)),
]


@pytest.mark.parametrize("shapes", BROADCASTS, ids=str)
@pytest.mark.parametrize(
    "op", [op for op in ELEMENTWISE if len(op.inputs) > 1], ids=lambda op: op.name
)
def test_broadcasting(op: Op, shapes: Any, backend: Backend, rng: np.random.Generator) -> None:
    inputs = drawn(op, [tuple(at_most(op, n) for n in shape) for shape in shapes], rng)
    reference = get_backend("reference")
    (bound,) = variants(op)
    z = reference.forward(bound, inputs)
    ulps, tiny = apart(op), slack(op)
    assert_ulps(backend.forward(bound, inputs), z, ulps, tiny)
    g = rng.normal(size=z.shape)
    needed = [differentiable(op, i) for i in range(len(inputs))]
    sent = backend.backward(bound, g, z, inputs, needed)
    expected = reference.backward(bound, g, z, inputs, needed)
    for gx, e, a in zip(sent, expected, inputs, strict=True):
        if e is None:
            assert gx is None
            continue
        assert gx.shape == a.shape
        if a.shape == z.shape:
            assert_ulps(gx, e, ulps, tiny)
        else:  # summed in another order
            k = z.size / max(1, a.size)
            finite = np.isfinite(e)
            scale = max(1.0, float(np.max(np.abs(e), initial=0.0, where=finite)))
            np.testing.assert_allclose(gx, e, rtol=1e-13 * np.sqrt(k), atol=1e-15 * k * scale)


SPECIAL = np.array(
    [
        0.0,
        5e-324,
        2.3e-308,
        1e-300,
        1e-30,
        1e-08,
        0.1,
        0.5,
        1.0,
        1.5,
        2.0,
        20.0,
        36.7,
        709.7,
        709.8,
        745.1,
        745.2,
        1000.0,
        100000.0,
        1000000000000000.0,
        1e300,
        1.7976931348623157e308,
        np.inf,
    ]
)
SPECIAL = np.concatenate([SPECIAL, -SPECIAL, [np.nan]])


@elementwise
@pytest.mark.parametrize("gradient", [1.0, -0.3])
def test_elementwise_ops_at_the_edges(op: Op, gradient: float, backend: Backend) -> None:
    special = SPECIAL if at_most(op, len(SPECIAL)) == len(SPECIAL) else SPECIAL[::5]
    chosen = [
        np.array([0.0, 1.0]) if sample.kind == "boolean" else special
        for sample in op.examples[0].samples
    ]
    grid = list(itertools.product(*chosen))
    inputs = [np.array(column) for column in zip(*grid, strict=True)]
    for bound in variants(op):
        compare(bound, inputs, np.float64(gradient), backend)


def evaluated(name: str, x: Any, backend: Backend, **attributes: Any) -> tuple[Any, Any]:
    """Value and gradient of sum(z) for one input."""
    bound = OPS[name].bind(**attributes)
    x = np.asarray(x, np.float64)
    z = backend.forward(bound, [x])
    return z, backend.backward(bound, np.ones_like(z), z, [x], [True])[0]


def test_nothing_overflows_on_the_way(backend: Backend) -> None:
    x = np.array([-np.inf, -1e3, -800.0, 800.0, 1e3, np.inf])
    z, gx = evaluated("sigmoid", x, backend)
    np.testing.assert_array_equal(z, [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(gx, np.zeros(6))
    z, gx = evaluated("tanh", x, backend)
    np.testing.assert_array_equal(z, [-1, -1, -1, 1, 1, 1])
    np.testing.assert_array_equal(gx, np.zeros(6))
    z, gx = evaluated("softplus", x, backend)
    np.testing.assert_array_equal(z, [0, 0, 0, 800, 1e3, np.inf])
    np.testing.assert_array_equal(gx, [0, 0, 0, 1, 1, 1])
    z, gx = evaluated("relu", x, backend)
    np.testing.assert_array_equal(z, [0, 0, 0, 800, 1e3, np.inf])
    np.testing.assert_array_equal(gx, [0, 0, 0, 1, 1, 1])


def test_small_arguments_keep_their_digits(backend: Backend) -> None:
    x = np.array([1e-20, -1e-20, 1e-9, 5e-324, 1e-310])
    for name in ("expm1", "log1p", "tanh", "sin"):
        z, gx = evaluated(name, x, backend)
        assert_ulps(z, np.where(np.abs(x) == 1e-9, getattr(np, name)(x), x), 2)
        np.testing.assert_allclose(gx, np.ones(5), rtol=1e-8)
    z, _ = evaluated("sigmoid", [-700.0, -745.0], backend)
    np.testing.assert_allclose(z, np.exp([-700.0, -745.0]), rtol=1e-14)
    z, _ = evaluated("softplus", [-700.0, -40.0], backend)
    np.testing.assert_allclose(z, np.exp([-700.0, -40.0]), rtol=1e-14)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is double here")
def test_slopes_where_functions_saturate(backend: Backend, rng: np.random.Generator) -> None:
    """What docs/numerics.md says is exact, and how far off the rest may be."""
    x = np.concatenate([rng.uniform(-740.0, 740.0, 4000), rng.uniform(-45.0, 45.0, 4000)])
    e = np.exp(-np.abs(x.astype(np.longdouble)))
    sigmoid_, tanh_ = e / (1 + e) ** 2, 4 * e**2 / (1 + e**2) ** 2
    below = x <= 0.0
    _, gx = evaluated("sigmoid", x, backend)
    assert_ulps(gx[below], sigmoid_[below].astype(np.float64), 8)
    assert np.abs(gx - sigmoid_).max() <= 4e-16
    assert not gx[x >= 37.0].any()
    np.testing.assert_allclose(evaluated("sigmoid", [-40.0], backend)[1], 4.248354255291589e-18)
    _, gx = evaluated("tanh", x, backend)
    assert np.abs(gx - tanh_).max() <= 1e-15
    assert not gx[np.abs(x) >= 19.1].any()
    _, gx = evaluated("softplus", x, backend)
    assert_ulps(gx, (np.where(below, e, 1.0) / (1 + e)).astype(np.float64), 8)
    _, gx = evaluated("expm1", x[below], backend)
    assert np.abs(gx - e[below]).max() <= 4e-16


def test_nan_is_not_swallowed(backend: Backend) -> None:
    x = np.array([np.nan, 1.0])
    answers = ("isnan", "isfinite", "isinf", "signbit", "logical_not")
    for op in OPS.values():
        if op.elementwise and len(op.inputs) == 1 and not op.attributes and op.name not in answers:
            z = backend.forward(op.bind(), [op.into_domain(0, x)])
            assert np.isnan(z[0]), op.name
            assert not np.isnan(z[1]), op.name
    for name in ("maximum", "minimum", "add", "subtract", "multiply", "divide"):
        for pair in ([x, x[::-1].copy()], [x[::-1].copy(), x]):
            assert np.isnan(backend.forward(OPS[name].bind(), pair)).all(), name


def test_kinks(backend: Backend) -> None:
    zero = [0.0, -0.0]
    assert list(evaluated("relu", zero, backend)[1]) == [0.0, 0.0]
    assert list(evaluated("abs", zero, backend)[1]) == [0.0, 0.0]
    tie = np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 4.0])
    for name, expected in (("maximum", [0.5, 1.0, 0.0]), ("minimum", [0.5, 0.0, 1.0])):
        bound = OPS[name].bind()
        z = backend.forward(bound, tie)
        gx, gy = backend.backward(bound, np.ones(3), z, tie, [True, True])
        np.testing.assert_array_equal(gx, expected)
        np.testing.assert_array_equal(gy, 1.0 - np.array(expected))
    z, gx = evaluated("max", [[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], backend, axis=(1,), keepdims=False)
    np.testing.assert_array_equal(z, [3.0, 2.0])
    np.testing.assert_allclose(gx, [[0.0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-15)
    z, gx = evaluated("power", [0.0, 2.0], backend, exponent=0.0)
    np.testing.assert_array_equal(z, [1.0, 1.0])
    np.testing.assert_array_equal(gx, [0.0, 0.0])


# ---- reductions and products ------------------------------------------------------------

REDUCED = [
    *(((n,), (0,)) for n in SIZES if n),
    *(((n, 5), (0,)) for n in SIZES if n),
    *(((5, n), (1,)) for n in SIZES if n),
    ((9, 31), (0, 1)),
    ((3, 8, 9), (1,)),
    ((3, 8, 9), (0, 2)),
    ((2, 3, 4, 5), (1, 3)),
    ((2, 3, 4, 5), (0, 1)),
    ((1, 1), (0,)),
    ((4, 3), ()),
    ((0, 3), (1,)),
]


@pytest.mark.parametrize(("shape", "axis"), REDUCED, ids=str)
@pytest.mark.parametrize("op", REDUCTIONS, ids=lambda op: op.name)
def test_reductions(
    op: Op, shape: Any, axis: Any, backend: Backend, rng: np.random.Generator
) -> None:
    x = rng.normal(size=shape) * 3.0
    k = int(np.prod([shape[i] for i in axis], initial=1))
    reference = get_backend("reference")
    for keepdims in (False, True):
        bound = over(op, axis, keepdims)
        z = reference.forward(bound, [x])
        rtol = 0.0 if is_exact(op) else 1e-13 * np.sqrt(k)
        atol = rtol * k
        np.testing.assert_allclose(backend.forward(bound, [x]), z, rtol=rtol, atol=atol)
        g = rng.normal(size=z.shape)
        (gx,) = backend.backward(bound, g, z, [x], [True])
        (e,) = reference.backward(bound, g, z, [x], [True])
        np.testing.assert_allclose(gx, e, rtol=rtol, atol=atol)


def test_sums_of_nothing(backend: Backend) -> None:
    bound = OPS["sum"].bind(axis=(0,), keepdims=False)
    x = np.zeros((0, 3))
    z = backend.forward(bound, [x])
    np.testing.assert_array_equal(z, np.zeros(3))
    (gx,) = backend.backward(bound, np.ones(3), z, [x], [True])
    assert gx.shape == (0, 3)


ROWS = np.array(
    [
        [1e3, 999.0, -1e3],
        [-1e3, -1e3, -1e3],
        [1e308, -1e308, 0.0],
        [-np.inf, 0.0, 1.0],
        [-np.inf, -np.inf, 0.0],
        [700.0, 710.0, 720.0],
    ]
)


def test_the_softmax_family_does_not_overflow(backend: Backend) -> None:
    z, gx = evaluated("softmax", ROWS, backend, axis=(1,))
    np.testing.assert_allclose(z.sum(axis=1), 1.0, rtol=1e-15)
    np.testing.assert_allclose(z[3], [0.0, 1 / (1 + np.e), np.e / (1 + np.e)], rtol=1e-14)
    np.testing.assert_array_equal(z[4], [0.0, 0.0, 1.0])
    np.testing.assert_allclose(gx, 0.0, atol=1e-15)
    z, gx = evaluated("log_softmax", ROWS[:2], backend, axis=(1,))
    np.testing.assert_allclose(
        z[0], [-np.log1p(np.exp(-1)), -1 - np.log1p(np.exp(-1)), -2e3 - np.log1p(np.exp(-1))]
    )
    np.testing.assert_allclose(z[1], -np.log(3.0), rtol=1e-12)
    assert np.isfinite(gx).all()
    z, gx = evaluated("logsumexp", ROWS, backend, axis=(1,), keepdims=False)
    expected = [1e3 + np.log1p(np.exp(-1)), -1e3 + np.log(3.0), 1e308]
    expected += [np.log1p(np.e), 0.0, 720.0 + np.log(1 + np.exp(-10) + np.exp(-20))]
    np.testing.assert_allclose(z, expected, rtol=1e-15)
    np.testing.assert_allclose(gx.sum(axis=1), 1.0, rtol=1e-12)
    z, _ = evaluated("logsumexp", [-np.inf, -np.inf], backend, axis=(0,), keepdims=False)
    assert z == -np.inf
    z, _ = evaluated("logsumexp", [np.inf, 0.0], backend, axis=(0,), keepdims=False)
    assert z == np.inf
    for op in REDUCTIONS:
        z = backend.forward(over(op, (1,)), [np.array([[1.0, np.nan], [1.0, 2.0]])])
        assert np.isnan(z[0]).all(), op.name
        assert not np.isnan(z[1]).any(), op.name


MATRICES = [
    *itertools.product([0, 1, 3, 9], [0, 1, 3, 8], [0, 1, 9, 31]),
    (1, 1000, 31),
    (31, 8, 1000),
    (1000, 3, 1),
    (1, 31, 1),
    (31, 1, 31),
    (70, 130, 90),
]


def test_matrix_products_at_all_sizes(backend: Backend, rng: np.random.Generator) -> None:
    bound = OPS["matmul"].bind()
    for m, k, n in MATRICES:
        x, y, g = (rng.normal(size=s) for s in ((m, k), (k, n), (m, n)))
        z = backend.forward(bound, [x, y])
        gx, gy = backend.backward(bound, g, z, [x, y], [True, True])
        for made, a, b in ((z, x, y), (gx, g, y.T), (gy, x.T, g)):
            terms = np.abs(a) @ np.abs(b)
            assert made.shape == terms.shape
            assert np.all(np.abs(made - a @ b) <= 1e-13 * terms), (m, k, n)


@pytest.mark.parametrize(
    ("x_shape", "y_shape"),
    [
        ((2, 3, 4), (2, 4, 5)),
        ((3, 4), (6, 4, 2)),
        ((6, 3, 4), (4, 5)),
        ((2, 1, 3, 4), (5, 4, 2)),
        ((1, 3, 4), (7, 4, 1)),
        ((0, 3, 4), (4, 2)),
        ((2, 3, 0), (0, 4)),
        ((1, 1, 1), (2, 2, 1, 1)),
    ],
    ids=str,
)
def test_stacks_of_matrices(
    x_shape: Any, y_shape: Any, backend: Backend, rng: np.random.Generator
) -> None:
    x, y = rng.normal(size=x_shape), rng.normal(size=y_shape)
    bound, reference = OPS["matmul"].bind(), get_backend("reference")
    z = reference.forward(bound, [x, y])
    np.testing.assert_allclose(backend.forward(bound, [x, y]), z, rtol=1e-12, atol=1e-13)
    g = rng.normal(size=z.shape)
    sent = backend.backward(bound, g, z, [x, y], [True, True])
    expected = reference.backward(bound, g, z, [x, y], [True, True])
    for gx, e in zip(sent, expected, strict=True):
        np.testing.assert_allclose(gx, e, rtol=1e-12, atol=1e-13)


def test_nan_and_infinity_pass_through_a_product(backend: Backend) -> None:
    x = np.ones((9, 9))
    x[4, 4] = np.nan
    x[7, 7] = np.inf
    y = np.ones((9, 3))
    z = backend.forward(OPS["matmul"].bind(), [x, y])
    assert np.isnan(z[4]).all()
    assert np.isinf(z[7]).all()
    assert (np.delete(z, [4, 7], axis=0) == 9.0).all()
    x[7, 7] = np.nan
    z = backend.forward(OPS["matmul"].bind(), [np.zeros((3, 9)), x])  # 0 · nan is nan
    assert np.isnan(z[:, [4, 7]]).all()


def test_moving_data_is_exact(backend: Backend, rng: np.random.Generator) -> None:
    movers = [op for op in OPS.values() if op.moves]
    assert len(movers) >= 6
    reference = get_backend("reference")
    for op in [*movers, OPS["take"], OPS["scatter_rows"]]:
        for example in op.examples:
            bound, inputs = op.bind(**example.attributes), example.draw(rng)
            z = reference.forward(bound, inputs)
            np.testing.assert_array_equal(backend.forward(bound, inputs), z)
            g = rng.integers(-9, 9, z.shape).astype(float)  # sums of integers are exact
            needed = [differentiable(op, i) for i in range(len(inputs))]
            sent = backend.backward(bound, g, z, inputs, needed)
            expected = reference.backward(bound, g, z, inputs, needed)
            for gx, e in zip(sent, expected, strict=True):
                if e is not None:
                    np.testing.assert_array_equal(gx, e)
