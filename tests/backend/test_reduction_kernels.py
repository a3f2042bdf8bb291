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


def test_long_rows(isa: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 1000))
    for name in ("softmax", "log_softmax", "logsumexp"):
        compare(over(OPS[name], (1,)), (x,), rng)
