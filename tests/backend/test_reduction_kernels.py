"""Reductions and maps of rows: all axes, nothing to reduce, special values, accuracy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from against_rules import compare, core, expected_gradients, reference
from table import REDUCTIONS, over

from autodiff.op import OPS, Op


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4), (2, 1, 3, 4), (3, 17, 2, 9)])
@pytest.mark.parametrize("op", REDUCTIONS, ids=lambda op: op.name)
def test_all_axes(op: Op, shape: tuple[int, ...], isa: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=shape)
    x[x > 0.5] = 0.5  # ties
    for n in range(len(shape) + 1):
        for axis in itertools.combinations(range(len(shape)), n):
            for keepdims in (True, False):
                compare(over(op, axis, keepdims), (x,), rng)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
def test_empty_reductions(shape: tuple[int, ...], isa: str, rng: np.random.Generator) -> None:
    x = np.zeros(shape)
    for n in range(len(shape) + 1):
        for axis in itertools.combinations(range(len(shape)), n):
            compare(OPS["sum"].bind(axis=axis, keepdims=False), (x,), rng)
            empty = any(shape[i] == 0 for i in axis)
            for name in ("max", "logsumexp", "softmax"):
                bound = over(OPS[name], axis)
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
        bound = over(OPS[name], (axis,))
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


# Columns: a tile has up to 128 numbers, rows are folded into it, and what is left is a tail.
COLUMNS = [
    (1, 2), (2, 2), (63, 2), (64, 2), (65, 2), (129, 2), (1000, 3), (41, 3), (42, 3), (43, 3),
    (5, 63), (5, 64), (5, 65), (1, 128), (3, 128), (3, 129), (2, 300), (300, 2), (9, 17),
]  # fmt: skip


@pytest.mark.parametrize("size", COLUMNS, ids=str)
@pytest.mark.parametrize("op", REDUCTIONS, ids=lambda op: op.name)
def test_columns(op: Op, size: tuple[int, int], isa: str, rng: np.random.Generator) -> None:
    x = rng.uniform(0.9, 1.1, size) if op.name == "prod" else rng.normal(size=size)
    x[rng.uniform(size=size) < 0.1] = 0.75  # ties
    compare(over(op, (0,)), (x,), rng)
    compare(over(op, (1,)), (np.stack([x, -x]),), rng)


@pytest.mark.parametrize("size", [(1000, 3), (7, 70), (3, 300)], ids=str)
@pytest.mark.parametrize("op", REDUCTIONS, ids=lambda op: op.name)
def test_columns_are_what_rows_are(
    op: Op, size: tuple[int, int], isa: str, rng: np.random.Generator
) -> None:
    x = rng.uniform(0.9, 1.1, size)
    columns = core.forward(over(op, (0,)), (x,))
    rows = core.forward(over(op, (1,)), (x.T.copy(),))
    np.testing.assert_allclose(columns, rows if rows.ndim == 1 else rows.T, rtol=3e-13)


@pytest.mark.parametrize("name", ["max", "logsumexp", "softmax", "log_softmax"])
@pytest.mark.parametrize("size", [(50, 3), (3, 200)], ids=str)
def test_special_values_stay_in_their_columns(name: str, size: tuple[int, int], isa: str) -> None:
    x = np.linspace(-1.0, 1.0, size[0] * size[1]).reshape(size)
    for special in (np.nan, np.inf, -np.inf, 1e308):
        for row in (0, size[0] // 2, size[0] - 1):
            a = x.copy()
            a[row, 1] = special
            bound = over(OPS[name], (0,))
            z, expected = core.forward(bound, (a,)), reference.forward(bound, (a,))
            np.testing.assert_allclose(z, expected, rtol=1e-14, atol=1e-300)
            g = np.ones(z.shape)
            (gx,) = core.backward(bound, g, expected, (a,), (True,))
            (gradient,) = expected_gradients(bound, g, expected, (a,))
            np.testing.assert_allclose(gx, gradient, rtol=1e-12, atol=1e-14)


def test_long_rows(isa: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 1000))
    for name in ("softmax", "log_softmax", "logsumexp"):
        compare(over(OPS[name], (1,)), (x,), rng)
