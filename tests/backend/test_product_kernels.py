"""Products by our kernels and by BLAS: any layout, stacks, nothing beside the output written."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from against_rules import assert_fresh, core, expected_gradients, reference

from autodiff.errors import BackendError
from autodiff.op import OPS


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
