"""Products in the executor against NumPy: any layout, scaled, over stacks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from programs import program_of

from autodiff.program.code.kinds.gemm import Gemm

core = pytest.importorskip("autodiff._core")


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
    program = program_of(
        0,
        [a.shape, b.shape],
        [c],
        [Gemm(ta, tb, m, n, k, alpha, None, (1, 0), a.shape[1], (2, 0), b.shape[1], beta,
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
        instruction = Gemm(ta, tb, m, n, k, alpha, None, (1, 0), lda, (2, 0), ldb, beta,
                       (3, first), ldc, (), (), (), ())  # fmt: skip
        program_of(0, [a.shape, b.shape], [buffer], [instruction], []).run(a, b)
        op_a = a[:, :m].T if ta else a[:, :k]
        op_b = b[:, :k].T if tb else b[:, :n]
        expected = alpha * (op_a @ op_b) + beta * before
        np.testing.assert_allclose(c[:, :n], expected, rtol=1e-13, atol=1e-13)
        c[:, :n] = 7.0
        np.testing.assert_array_equal(buffer, 7.0)


def test_the_row_length_of_a_single_row_is_no_matter(isa, rng):
    a, b = rng.normal(size=(1, 3)), rng.normal(size=(3, 4))
    instruction = Gemm(0, 0, 1, 4, 3, 1.0, None, (1, 0), 0, (2, 0), 4, 0.0, (0, 0), 1,
                   (), (), (), ())  # fmt: skip
    (z,) = program_of(4, [(1, 3), (3, 4)], [], [instruction], [((0, 0), (1, 4))]).run(a, b)
    np.testing.assert_allclose(z, a @ b, rtol=1e-14, atol=1e-14)


def test_gemm_writes_over_what_it_does_not_read(isa):
    c = np.full((2, 3), np.nan)
    instruction = Gemm(0, 0, 2, 3, 4, 1.0, None, (1, 0), 4, (2, 0), 3, 0.0, (3, 0), 3,
                   (), (), (), ())  # fmt: skip
    program_of(0, [(2, 4), (4, 3)], [c], [instruction], []).run(np.ones((2, 4)), np.ones((4, 3)))
    np.testing.assert_array_equal(c, np.full((2, 3), 4.0))


def test_gemm_scaled_by_a_cell(isa, rng):
    a, b = rng.normal(size=(7, 1)), rng.normal(size=(1, 5))
    w = rng.normal(size=(7, 5))
    expected = w - 0.1 * 3.0 * (a @ b)
    program = program_of(
        1,
        [(7, 1), (1, 5), ()],
        [w],
        [Gemm(0, 0, 7, 5, 1, -0.1, (3, 0), (1, 0), 1, (2, 0), 5, 1.0, (4, 0), 5,
          (), (), (), ())],
        [],
    )  # fmt: skip
    program.run(a, b, 3.0)
    np.testing.assert_allclose(w, expected, rtol=1e-14)
    alpha = Gemm(0, 0, 7, 5, 1, 2.0, None, (1, 0), 1, (2, 0), 5, 0.0, (4, 0), 5,
             (), (), (), ())  # fmt: skip
    program_of(1, [(7, 1), (1, 5), ()], [w], [alpha], []).run(a, b, 0.0)
    np.testing.assert_allclose(w, 2.0 * (a @ b), rtol=1e-14)


def test_gemm_over_stacks(isa, rng):
    a, b = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(3, 5, 6))
    program = program_of(
        144,
        [a.shape, b.shape],
        [],
        [Gemm(0, 0, 4, 6, 5, 1.0, None, (1, 0), 5, (2, 0), 6, 0.0, (0, 0), 6,
          (2, 3), (60, 20), (0, 30), (72, 24))],
        [((0, 0), (2, 3, 4, 6))],
    )  # fmt: skip
    for _ in range(2):
        (z,) = program.run(a, b)
        np.testing.assert_allclose(z, a @ b, rtol=1e-13, atol=1e-13)


def test_gemm_over_a_stack_summed_into_one(isa, rng):
    a, b = rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 5, 6))
    c = np.zeros((4, 6))
    instruction = Gemm(0, 0, 4, 6, 5, 1.0, None, (1, 0), 5, (2, 0), 6, 1.0, (3, 0), 6,
                   (3,), (20,), (30,), (0,))  # fmt: skip
    program_of(0, [a.shape, b.shape], [c], [instruction], []).run(a, b)
    np.testing.assert_allclose(c, (a @ b).sum(0), rtol=1e-13, atol=1e-13)


def test_gemm_over_an_empty_stack(isa):
    c = np.ones((2, 2))
    instruction = Gemm(0, 0, 2, 2, 2, 1.0, None, (1, 0), 2, (1, 0), 2, 0.0, (1, 0), 2,
                   (3, 0), (1, 1), (0, 0), (1, 1))  # fmt: skip
    program_of(0, [], [c], [instruction], []).run()
    np.testing.assert_array_equal(c, 1.0)
