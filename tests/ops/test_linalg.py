"""Linear algebra: values against NumPy and SciPy, derivatives, stacks, errors, edges."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg as sl

import autodiff
import autodiff.numpy as anp
from autodiff import Tensor
from autodiff.scipy import linalg as asl

la = anp.linalg


def definite(rng: np.random.Generator, *shape: int) -> np.ndarray:
    x = rng.normal(size=shape)
    return x @ np.swapaxes(x, -1, -2) + shape[-1] * np.eye(shape[-1])


def numbers(result: Any) -> list[np.ndarray]:
    if isinstance(result, (tuple, list)):
        return [x for part in result for x in numbers(part)]
    return [np.asarray(getattr(result, "value", result), np.float64)]


def richardson(f: Callable[[np.ndarray], float], x: np.ndarray, direction: np.ndarray) -> float:
    """The derivative along a direction, by differences of three widths."""
    widths = [0.04, 0.02, 0.01, 0.005]
    table = [(f(x + h * direction) - f(x - h * direction)) / (2 * h) for h in widths]
    for power in (4.0, 16.0, 64.0):
        table = [(power * b - a) / (power - 1.0) for a, b in itertools.pairwise(table)]
    return table[-1]


# Functions of one matrix, symmetric or not, with one number for a result.
W = np.linspace(0.5, 2.0, 16).reshape(4, 4)
WS = 0.5 * (W + W.T)
FUNCTIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "cholesky": ("definite", lambda a: (la.cholesky(a) * W).sum()),
    "cholesky upper": ("definite", lambda a: (la.cholesky(a, upper=True) * W).sum()),
    "cho_solve": ("definite", lambda a: (asl.cho_solve(asl.cho_factor(a), W) * W).sum()),
    "cho_solve lower": (
        "definite", lambda a: (asl.cho_solve(asl.cho_factor(a, True), W[0]) * W[1]).sum()
    ),
    "log determinant": (
        "definite", lambda a: 2.0 * anp.log(anp.diagonal(la.cholesky(a))).sum()
    ),
    "solve_triangular": (
        "definite", lambda a: (asl.solve_triangular(a, W, trans="T", lower=True) * W).sum()
    ),
    "solve": ("any", lambda a: (la.solve(a, W) * W).sum()),
    "solve vector": ("any", lambda a: (la.solve(a, W[0]) * W[1]).sum()),
    "solve definite": ("definite", lambda a: (asl.solve(a, W, assume_a="pos") * W).sum()),
    "inv": ("any", lambda a: (la.inv(a) * W).sum()),
    "det": ("any", la.det),
    "slogdet": ("any", lambda a: la.slogdet(a)[1]),
    "eigenvalues": ("definite", lambda a: (la.eigvalsh(a) * W[0]).sum()),
    "eigh": (
        "definite",
        lambda a: (la.eigh(a)[0] * W[0]).sum() + ((la.eigh(a)[1] ** 2.0) * W).sum(),
    ),
    "svd": (
        "any",
        lambda a: (la.svd(a)[1] * W[0]).sum()
        + ((la.svd(a)[0] * W) @ la.svd(a)[2]).sum(),
    ),
    "svd of columns": ("any", lambda a: _of_svd(la.svd(a[:, :2], full_matrices=False))),
    "svd of rows": ("any", lambda a: _of_svd(la.svd(a[:2], full_matrices=False))),
    "qr": ("any", lambda a: sum((x * W).sum() for x in la.qr(a))),
    "qr of columns": ("any", lambda a: sum((x**3.0).sum() for x in la.qr(a[:, :2]))),
    "qr of rows": ("any", lambda a: sum((x**3.0).sum() for x in la.qr(a[:2]))),
    "pinv": ("any", lambda a: (la.pinv(a[:, :3]) * W[:3]).sum()),
    "lstsq": ("any", lambda a: sum((x * x).sum() for x in la.lstsq(a[:, :2], W)[:2])),
    "norm": ("any", lambda a: la.norm(a) + la.norm(a, axis=0).sum() + la.norm(a[0], 3)),
    "norm of matrices": (
        "any", lambda a: sum(la.norm(a, o) for o in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf))
    ),
    "norms along axes": (
        "any", lambda a: (la.norm(a, np.inf, axis=1) * W[0]).sum() + la.norm(a, 1, (1, 0))
    ),
    "cond": ("any", lambda a: la.cond(a) + la.cond(a, 1) + la.cond(a, "fro")),
    "matrix_power": ("any", lambda a: ((la.matrix_power(a, 5) * W).sum() / 100.0)),
    "negative power": ("any", lambda a: (la.matrix_power(a, -3) * W).sum()),
    "multi_dot": ("any", lambda a: la.multi_dot([W[0], a, a[:, :2], a[:2], W[1]])),
    "block_diag": ("any", lambda a: (asl.block_diag(a, a[:2], W) ** 2.0).sum()),
    "expm": ("any", lambda a: (asl.expm(a) * W).sum()),
    "sqrtm": ("definite", lambda a: (asl.sqrtm(a) * W).sum()),
    "solve_sylvester": (
        "definite", lambda a: (asl.solve_sylvester(a, a[:2, :2], W[:, :2]) * W[:, 2:]).sum()
    ),
    "continuous lyapunov": (
        "definite", lambda a: (asl.solve_continuous_lyapunov(a, W) * W).sum()
    ),
    "discrete lyapunov": (
        "any", lambda a: (asl.solve_discrete_lyapunov(0.1 * a, W + a) * W).sum()
    ),
    "bilinear": (
        "any", lambda a: (asl.solve_discrete_lyapunov(0.1 * a, W, "bilinear") * W).sum()
    ),
}  # fmt: skip

D = np.linspace(3.0, 4.0, 4)


def banded(a: Any) -> Any:
    """Three diagonals from elements of a matrix, the main one the largest."""
    return anp.stack([0.2 * a[0], D + 0.1 * a[1], 0.1 * a[2]])


def upper(a: Any) -> Any:
    return banded(a)[:2]


def lower(a: Any) -> Any:
    return banded(a)[1:]


BANDED: dict[str, Callable[[Any], Any]] = {
    "solve_banded": lambda a: (asl.solve_banded((1, 1), banded(a), a) * W).sum(),
    "solve_banded vector": lambda a: (asl.solve_banded((2, 0), banded(a)[::-1], a[3]) * D).sum(),
    "solveh_banded": lambda a: (asl.solveh_banded(upper(a), a) * W).sum(),
    "solveh_banded lower": lambda a: (asl.solveh_banded(lower(a), a[0], lower=True) * D).sum(),
    "cholesky_banded": lambda a: (asl.cholesky_banded(upper(a))[:, 1:] * W[:2, 1:]).sum(),
    "cholesky_banded lower": lambda a: anp.log(asl.cholesky_banded(lower(a), lower=True)[0]).sum(),
    "cho_solve_banded": lambda a: (
        asl.cho_solve_banded((asl.cholesky_banded(upper(a)), False), a) * W
    ).sum(),
}
FUNCTIONS |= {name: ("any", f) for name, f in BANDED.items()}


def _of_svd(found: Any) -> Any:
    u, s, vh = found
    return (u @ vh).sum() + (s * s).sum() + ((u * anp.log(s)) @ vh)[0].sum()


def matrix_for(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Singular values about 1, 2, 3 and 4."""
    u, v = (np.linalg.qr(rng.normal(size=(4, 4)))[0] for _ in range(2))
    s = np.array([4.1, 2.9, 2.05, 1.0])
    return (u * s) @ (u if kind == "definite" else v).T


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_and_second_derivatives(name: str, rng: np.random.Generator) -> None:
    kind, f = FUNCTIONS[name]
    a = matrix_for(kind, rng)
    direction, other = rng.normal(size=(2, 4, 4)) * 0.1
    if kind == "definite":
        direction, other = direction + direction.T, other + other.T

    def value(x: np.ndarray) -> float:
        return float(np.sum(numbers(f(Tensor(x)))[0]))

    def slope(x: np.ndarray) -> float:
        return float(np.sum(autodiff.grad(f)(x) * other))

    first = np.sum(autodiff.grad(f)(a) * direction)
    assert first == pytest.approx(richardson(value, a, direction), rel=1e-9, abs=1e-10)
    second = np.sum(autodiff.grad(lambda x: (autodiff.grad(f)(x) * other).sum())(a) * direction)
    assert second == pytest.approx(richardson(slope, a, direction), rel=2e-8, abs=1e-9)
    step = autodiff.compile(lambda x: (f(x), autodiff.grad(f)(x)))
    compiled = step(a)
    assert float(compiled[0]) == pytest.approx(value(a), rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(compiled[1], autodiff.grad(f)(a), rtol=1e-10, atol=1e-11)


STACKED: dict[str, Callable[[Any], Any]] = {
    "cholesky": la.cholesky,
    "inv": la.inv,
    "det": la.det,
    "slogdet": la.slogdet,
    "eigh": la.eigh,
    "eigvalsh": la.eigvalsh,
    "svdvals": la.svdvals,
    "svd": lambda a: la.svd(a, full_matrices=False),
    "qr": la.qr,
    "pinv": la.pinv,
    "solve": lambda a: la.solve(a, np.ones(a.shape)),
    "matrix_power": lambda a: la.matrix_power(a, 3),
    "cond": la.cond,
    "norm": lambda a: la.norm(a, 2, axis=(-2, -1)),
    "matrix_rank": la.matrix_rank,
    "expm": lambda a: asl.expm(0.1 * a),
    "sqrtm": asl.sqrtm,
}


@pytest.mark.parametrize("name", STACKED)
@pytest.mark.parametrize("shape", [(2, 3, 3, 3), (1, 2, 2), (0, 3, 3), (2, 1, 1)])
def test_stacks_are_matrices_one_by_one(name: str, shape: Any, rng: np.random.Generator) -> None:
    f, a = STACKED[name], definite(rng, *shape)
    found = numbers(f(Tensor(a)))
    compiled = numbers(autodiff.compile(lambda x: f(x * 1.0))(a))
    strided = numbers(f(Tensor(np.asfortranarray(a))))
    for x, y, z in zip(found, compiled, strided, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(x, z, rtol=1e-10, atol=1e-12)
    for index in np.ndindex(shape[:-2]):
        for x, alone in zip(found, numbers(f(Tensor(a[index]))), strict=True):
            np.testing.assert_allclose(x[index], alone, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7, 16, 17, 31, 48, 65, 130])
@pytest.mark.usefixtures("backend")
def test_all_sizes_in_programs(n: int, rng: np.random.Generator) -> None:
    a, m, b = definite(rng, n, n), rng.normal(size=(n, n)), rng.normal(size=(n, 5))
    lower = np.linalg.cholesky(a)
    step = autodiff.compile(
        lambda a, m, b, low: (
            la.cholesky(a), la.solve(m, b), la.solve(m.T, b[:, 0]), la.slogdet(m)[1],
            *[
                asl.solve_triangular(x, b, trans=trans, lower=is_lower, unit_diagonal=unit)
                for x, is_lower in ((low, True), (low.T, False))
                for trans in (0, 1) for unit in (False, True)
            ],
        )
    )  # fmt: skip
    small = lower / n
    expected = [
        lower, np.linalg.solve(m, b), np.linalg.solve(m.T, b[:, 0]), np.linalg.slogdet(m)[1],
        *[
            sl.solve_triangular(x, b, trans=trans, lower=is_lower, unit_diagonal=unit)
            for x, is_lower in ((small, True), (small.T, False))
            for trans in (0, 1) for unit in (False, True)
        ],
    ]  # fmt: skip
    for found, wanted in zip(step(a, m, b, small), expected, strict=True):
        scale = np.max(np.abs(wanted))
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-10 * scale)


@pytest.mark.parametrize("n", [3, 8, 9, 16, 20, 32, 33, 40, 70])
@pytest.mark.usefixtures("backend")
def test_the_gradient_of_a_factor_in_programs(n: int, rng: np.random.Generator) -> None:
    a, g = definite(rng, n, n), rng.normal(size=(n, n))
    f = autodiff.grad(lambda a: (la.cholesky(a) * g).sum())
    lower = np.linalg.cholesky(a)
    inverse, x = np.linalg.inv(lower), lower.T @ np.tril(g)
    half = np.tril(x) - 0.5 * np.diag(np.diag(x))
    wanted = inverse.T @ half @ inverse
    wanted = 0.5 * (wanted + wanted.T)
    np.testing.assert_allclose(f(a), wanted, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(autodiff.compile(f)(a), wanted, rtol=1e-10, atol=1e-12)


def test_one_matrix_serves_many_right_sides(rng: np.random.Generator) -> None:
    a, b = definite(rng, 3, 3), rng.normal(size=(4, 2, 3, 2))
    for f, g in ((la.solve, np.linalg.solve), (asl.solve_triangular, None)):
        found = f(Tensor(a), b).value
        one = np.linalg.solve(np.triu(a), b) if g is None else g(a, b)
        np.testing.assert_allclose(found, one, rtol=1e-12)
    stacked = definite(rng, 4, 2, 3, 3)
    np.testing.assert_allclose(
        la.solve(Tensor(stacked), np.ones(3)).value,
        np.linalg.solve(stacked, np.ones((3, 1)))[..., 0],
        rtol=1e-12,
    )


def test_a_matrix_is_factored_once() -> None:
    def f(a: Any) -> Any:
        sign, logarithm = la.slogdet(a)
        return (la.solve(a, np.ones(3)) ** 2.0).sum() + sign * logarithm + la.det(a.T)

    step = autodiff.compile(lambda a: (f(a), autodiff.grad(f)(a)))
    a = np.diag([1.0, 2.0, 3.0]) + 0.1
    step(a)
    names = [i.name for i in step.recording(a).code.instructions]
    assert names.count("lu") == 1
    assert "copy" not in names


def test_bands_are_matrices(rng: np.random.Generator) -> None:
    n = 6
    ab = rng.normal(size=(4, n))
    full = sum(np.diag(ab[r, max(0, 1 - r) : n + min(0, 1 - r)], 1 - r) for r in range(4))
    b = rng.normal(size=(n, 2))
    step = autodiff.compile(lambda ab, b: asl.solve_banded((2, 1), ab, b))
    for found in (asl.solve_banded((2, 1), Tensor(ab), b).value, step(ab, b)):
        np.testing.assert_allclose(found, np.linalg.solve(full, b), rtol=1e-9)
    ab[0] = 9.0
    for is_lower in (True, False):
        sides = ab if is_lower else ab[::-1]
        for x in (
            asl.cholesky_banded(Tensor(sides), lower=is_lower).value,
            autodiff.compile(lambda x, s=is_lower: asl.cholesky_banded(x, lower=s))(sides),
        ):
            wanted = sl.cholesky_banded(sides, lower=is_lower)
            for r in range(4):
                inside = slice(0, n - r) if is_lower else slice(3 - r, n)
                np.testing.assert_allclose(x[r, inside], wanted[r, inside], rtol=1e-12)
        np.testing.assert_allclose(
            asl.solveh_banded(Tensor(sides), b, lower=is_lower).value,
            sl.solveh_banded(sides, b, lower=is_lower),
            rtol=1e-10,
        )
