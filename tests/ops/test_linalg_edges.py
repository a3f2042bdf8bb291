"""Linear algebra where it ends: what is singular, empty, equal, not finite, not square."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff
import autodiff.numpy as anp
from autodiff import Tensor
from autodiff.errors import AutodiffError, MatrixError, ShapeError
from autodiff.scipy import linalg as asl

la = anp.linalg
ONES = np.ones((3, 3))
TWO = np.stack([np.eye(3), np.diag([1.0, 2.0, -1.0])])

FAILING: list[tuple[str, Callable[[Any], Any], np.ndarray, str]] = [
    ("cholesky", la.cholesky, TWO, "matrix 1 is not positive definite: .* order 3"),
    ("solve", lambda a: la.solve(a, np.ones(3)), ONES, "matrix 0 is singular: its pivot 2 is 0"),
    ("solve", la.inv, ONES, "matrix 0 is singular: its pivot 2 is 0"),
    ("solve_triangular", lambda a: asl.solve_triangular(a, np.ones(3)), np.diag([1.0, 0.0, 2.0]),
     "matrix 0 is singular: its diagonal element 2 is 0"),
    ("sqrtm", asl.sqrtm, -np.eye(3), "no real square root"),
    ("solve_sylvester", lambda a: asl.solve_sylvester(a, -1.0 * a, np.eye(3)), np.eye(3),
     "eigenvalue in common"),
    ("solve_banded", lambda a: asl.solve_banded((1, 1), a, np.ones(3)), np.zeros((3, 3)),
     "matrix 0 is singular: its pivot 1 is 0"),
    ("cholesky_banded", lambda a: asl.cholesky_banded(a, lower=True),
     np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 0.0]]), "not positive definite: .* order 3"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "f", "a", "message"), FAILING)
def test_errors_name_op_node_and_line(name: str, f: Any, a: np.ndarray, message: str) -> None:
    here = re.escape("test_linalg_edges.py:")
    for error in (MatrixError, np.linalg.LinAlgError, AutodiffError, ValueError):
        with pytest.raises(error, match=f"{name}: .*{message}.*node '_?{name}#.*{here}"):
            _ = f(Tensor(a)).value
    with pytest.raises(MatrixError, match=f"{name}: .*{message}"):
        _applied(f, a)
    w = Tensor(1.0)
    step = autodiff.compile(lambda x: f(x * w))
    for _ in range(2):
        with pytest.raises(MatrixError, match=rf"instruction \d+: .*{message}.*{here}") as caught:
            step(a)
        assert isinstance(caught.value, np.linalg.LinAlgError)


def _applied(f: Any, a: np.ndarray) -> Any:
    """The op's rule, on arrays."""
    return autodiff.stop_gradient(f(Tensor(a))).value


def test_a_failing_step_leaves_its_tensors_and_works_again() -> None:
    total = Tensor(0.0)

    @autodiff.compile
    def step(a: Any) -> Any:
        low = la.cholesky(a)
        total.assign(total.value + 1.0)
        return low

    step(np.eye(2))
    with pytest.raises(MatrixError):
        step(-np.eye(2))
    np.testing.assert_array_equal(step(4.0 * np.eye(2)), 2.0 * np.eye(2))
    assert total.value == 2.0
    with pytest.raises(MatrixError, match="step 1"):
        step.scan(np.stack([np.eye(2), -np.eye(2)]))


NOT_SQUARE = np.ones((2, 3))


@pytest.mark.parametrize(
    "f", [la.cholesky, la.inv, la.det, la.slogdet, la.eigh, la.eigvalsh, asl.expm, asl.sqrtm,
          lambda a: la.solve(a, np.ones(3)), lambda a: la.matrix_power(a, 2),
          lambda a: asl.solve_triangular(a, np.ones(3))],
)  # fmt: skip
def test_what_is_not_square_is_refused(f: Any) -> None:
    with pytest.raises(ShapeError, match=r"square matrix.*shape \(2, 3\).*test_linalg_edges"):
        f(Tensor(NOT_SQUARE))
    with pytest.raises(ShapeError, match="square matrix"):
        autodiff.compile(f)(NOT_SQUARE)


def test_sizes_that_do_not_fit_are_told() -> None:
    with pytest.raises(ShapeError, match=r"a has shape \(3, 3\), b has shape \(4,\)"):
        la.solve(Tensor(ONES), np.ones(4))
    with pytest.raises(ShapeError, match=r"leading axes.*\(2, 3, 3\).*\(4, 3, 1\)"):
        la.solve(Tensor(TWO), np.ones((4, 3, 1)))
    with pytest.raises(ShapeError, match="full_matrices=False"):
        la.svd(Tensor(NOT_SQUARE))
    with pytest.raises(ShapeError, match="mode must be"):
        la.qr(Tensor(ONES), mode="raw")
    with pytest.raises(ShapeError, match="no norm of matrices"):
        la.norm(Tensor(ONES), 3)
    with pytest.raises(ShapeError, match="no norm of vectors"):
        la.norm(Tensor(np.ones(3)), "fro")


@pytest.mark.parametrize(
    "f", [la.cholesky, la.eigvalsh, la.svdvals, asl.expm, asl.sqrtm, la.inv, la.det,
          lambda a: la.solve(a, np.ones(2)), lambda a: la.norm(a, 2), lambda a: la.norm(a)],
)  # fmt: skip
def test_nan_gives_nan(f: Any) -> None:
    a = np.array([[np.nan, 0.5], [0.5, 2.0]])
    assert np.isnan(f(Tensor(a)).value).any()
    assert np.isnan(autodiff.compile(f)(a)).any()


def test_a_singular_matrix_has_a_determinant() -> None:
    for a in (ONES, np.zeros((3, 3)), np.diag([1.0, 0.0, -2.0])):
        sign, logarithm = la.slogdet(Tensor(a))
        assert (sign.value, logarithm.value, la.det(Tensor(a)).value) == (0.0, -np.inf, 0.0)
        found = autodiff.compile(lambda a: (*la.slogdet(a), la.det(a)))(a)
        assert tuple(map(float, found)) == (0.0, -np.inf, 0.0)
        with pytest.raises(MatrixError, match="singular"):
            autodiff.grad(la.det)(a)


@pytest.mark.parametrize("order", [None, 2, 1, 3, 1.5, np.inf, 0.5])
@pytest.mark.parametrize("compiled", [False, True])
def test_the_gradient_of_a_norm_of_nothing_is_nothing(order: Any, compiled: bool) -> None:
    f = autodiff.grad(lambda x: la.norm(x, order, axis=-1).sum())
    x = np.array([[0.0, 0.0, 0.0], [0.0, 3.0, 4.0]])
    found = (autodiff.compile(f) if compiled else f)(x)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[0], 0.0)
    assert found[1].any()


def test_the_frobenius_norm_of_zeros() -> None:
    f = autodiff.grad(lambda x: la.norm(x))
    np.testing.assert_array_equal(f(np.zeros((2, 2))), 0.0)
    np.testing.assert_array_equal(autodiff.grad(lambda x: f(x).sum())(np.zeros((2, 2))), 0.0)


def test_equal_eigenvalues() -> None:
    a = np.diag([2.0, 2.0, 5.0])
    by_values = autodiff.grad(lambda a: (la.eigvalsh(a) ** 3.0).sum())
    np.testing.assert_allclose(by_values(a), 3.0 * a @ a, rtol=1e-14)
    of_the_other = autodiff.grad(lambda a: (la.eigh(a)[1][:, 2] ** 2.0)[0] + a[0, 0])
    assert np.isfinite(of_the_other(a)).all()
    of_one = autodiff.grad(lambda a: (la.eigh(a)[1][:, 0] * np.arange(3.0)).sum())
    assert np.isnan(of_one(a)).any()
    for f in (asl.sqrtm, asl.expm, la.inv, la.cholesky):
        assert np.isfinite(autodiff.grad(lambda a, f=f: f(a).sum())(a)).all()


def test_equal_singular_values() -> None:
    a = np.array([[0.6, -0.8], [0.8, 0.6]])
    nuclear = autodiff.grad(lambda a: la.norm(a, "nuc"))
    np.testing.assert_allclose(nuclear(a), a, rtol=1e-14)
    np.testing.assert_allclose(
        autodiff.grad(lambda a: la.pinv(a).sum())(a),
        autodiff.grad(lambda a: la.inv(a).sum())(a),
        rtol=1e-12,
    )
    of_zeros = autodiff.grad(lambda a: la.norm(a, "nuc"))(np.zeros((3, 2)))
    assert np.isfinite(of_zeros).all()


def test_a_matrix_of_less_than_full_rank() -> None:
    a = np.outer([1.0, 2.0, 3.0], [1.0, -1.0])
    np.testing.assert_allclose(la.pinv(Tensor(a), rcond=1e-10).value, np.linalg.pinv(a, 1e-10))
    assert la.matrix_rank(Tensor(a)).value == 1.0
    assert la.lstsq(Tensor(a), np.ones(3)).rank.value == 1.0
    with pytest.raises(MatrixError, match="solve_triangular"):
        autodiff.grad(lambda a: la.qr(a)[0].sum())(np.zeros((2, 2)))


def test_the_lower_triangle_counts_as_much_as_the_upper() -> None:
    a = np.array([[4.0, 1.0], [1.2, 3.0]])
    mean = 0.5 * (a + a.T)
    np.testing.assert_array_equal(la.cholesky(Tensor(a)).value, np.linalg.cholesky(mean))
    np.testing.assert_array_equal(autodiff.compile(la.cholesky)(a), np.linalg.cholesky(mean))
    gradient = autodiff.grad(lambda a: la.cholesky(a).sum())(a)
    np.testing.assert_array_equal(gradient, gradient.T)


def test_matrices_in_batches() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(5, 3, 3))
    a, b = x @ np.swapaxes(x, -1, -2) + 3.0 * np.eye(3), rng.normal(size=(5, 3))
    for f in (lambda a, b: la.solve(a, b), lambda a, b: asl.cho_solve(asl.cho_factor(a), b)):
        found = autodiff.vmap(f)(a, b)
        np.testing.assert_allclose(found, np.linalg.solve(a, b[..., None])[..., 0], rtol=1e-12)
        shared = autodiff.vmap(f, in_axes=(None, 0))(a[0], b)
        np.testing.assert_allclose(shared, np.linalg.solve(a[0], b.T).T, rtol=1e-12)
    jacobian = autodiff.jacobian(lambda b: la.solve(a[0], b))(b[0])
    np.testing.assert_allclose(jacobian, np.linalg.inv(a[0]), rtol=1e-12)
