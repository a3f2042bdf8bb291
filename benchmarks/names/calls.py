"""How each function that nodes are served with can be called: operands, and the call itself.

Most can be called with one vector, two matrices and the like; these forms are tried one after the
other. What needs other arguments has a call of its own in :data:`CALLS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["CALLS", "Call", "calls_of"]


@dataclass(frozen=True)
class Call:
    """A call of one function: ``call(function, *operands)``."""

    call: Callable[..., Any]
    operands: tuple[np.ndarray, ...]


def _writing(*more: Any) -> Callable[..., Any]:
    """A call of a function that writes into an array, and of nodes gives a new one."""

    def call(function: Any, x: Any) -> Any:
        if not isinstance(x, np.ndarray):
            return function(x, *more, inplace=False)
        written = x.copy()
        function(written, *more)
        return written

    return call


V = np.array([0.25, 0.625, 0.375])
W = np.array([0.5, 0.75, 0.3125])
LARGE = np.array([1.5, 2.25, 3.0])
COUNTS = np.array([0.0, 1.0, 2.0])
MASK = np.array([True, False, True])
M = np.array([[0.5, 0.25, 0.75], [0.125, 0.875, 0.625], [0.375, 0.6875, 0.3125]])
N = np.array([[0.75, 0.1875, 0.5], [0.25, 0.5625, 0.875], [0.625, 0.4375, 0.125]])
SPD = M @ M.T + 2.0 * np.eye(3)
LOWER = np.tril(M) + np.eye(3)
BANDS = np.array([[0.0, 0.25, 0.5], [2.0, 2.5, 3.0]])

# Forms that are tried in order, and the operands: the first that NumPy itself takes is used.
FORMS: list[Call] = [
    Call(lambda f, x: f(x), (V,)),
    Call(lambda f, x: f(x), (LARGE,)),
    Call(lambda f, x: f(x), (SPD,)),
    Call(lambda f, x: f(x), (-V,)),
    Call(lambda f, x, y: f(x, y), (V, W)),
    Call(lambda f, x, y: f(x, y), (M, N)),
    Call(lambda f, x, y: f(x, y), (SPD, V)),
    Call(lambda f, x, y: f([x, y]), (V, W)),
    Call(lambda f, x, y, z: f(x, y, z), (V, W, LARGE)),
    Call(lambda f, x, y, z: f(x, y, z), (V, LARGE, W)),
    Call(lambda f, x, y, z, w: f(x, y, z, w), (V, LARGE, W, LARGE)),
    Call(lambda f, x: f(2, x), (LARGE,)),
    Call(lambda f, x: f(x, 2), (M,)),
    Call(lambda f, x: f(x, 1, 0), (M,)),
    Call(lambda f, x: f(x, (1, 3, 3)), (M,)),
]


def calls_of(name: str) -> Iterator[Call]:
    """Calls of a function that are to be tried."""
    if name in CALLS:
        yield CALLS[name]
        return
    family = name.removeprefix("scipy.stats.").partition(".")[0]
    if name.startswith("scipy.stats.") and family in DISTRIBUTIONS:
        yield DISTRIBUTIONS[family]
        return
    yield from FORMS


def _banded(f: Any, x: Any, y: Any) -> Any:
    return f((1, 1), x, y)


DISTRIBUTIONS: dict[str, Call] = {
    "bernoulli": Call(lambda f, p: f([0.0, 0.0, 0.0], p), (V,)),
    "binom": Call(lambda f, p: f(COUNTS, 5.0, p), (V,)),
    "dirichlet": Call(lambda f, a: f([0.25, 0.5, 0.25], a), (LARGE,)),
    "geom": Call(lambda f, p: f(COUNTS + 1.0, p), (V,)),
    "multivariate_normal": Call(lambda f, x, m, c: f(x, m, c), (V, W, SPD)),
    "nbinom": Call(lambda f, p: f(COUNTS, 4.0, p), (V,)),
    "poisson": Call(lambda f, m: f(COUNTS, m), (LARGE,)),
}
"""Of counts, and of several numbers at once; all functions of one distribution are called alike."""

CALLS: dict[str, Call] = {
    "scipy.special.ndtri_exp": Call(lambda f, x: f(-x), (LARGE,)),
    "numpy.apply_along_axis": Call(lambda f, x: f(lambda row: row[1:] * row[0], 0, x), (M,)),
    "numpy.append": Call(lambda f, x, y: f(x, y, axis=0), (M, N)),
    "numpy.array_split": Call(lambda f, x: f(x, 2), (V,)),
    "numpy.bitwise_and": Call(lambda f, x, y: f(x > 0.3, y > 0.4), (V, W)),
    "numpy.bitwise_or": Call(lambda f, x, y: f(x > 0.3, y > 0.4), (V, W)),
    "numpy.bitwise_xor": Call(lambda f, x, y: f(x > 0.3, y > 0.4), (V, W)),
    "numpy.block": Call(lambda f, x, y: f([[x, y], [y, x]]), (M, N)),
    "numpy.broadcast_to": Call(lambda f, x: f(x, (2, 3)), (V,)),
    "numpy.choose": Call(lambda f, x, y: f([0, 1, 0], [x, y]), (V, W)),
    "numpy.clip": Call(lambda f, x: f(x, 0.3, 0.5), (V,)),
    "numpy.compress": Call(lambda f, x: f(MASK, x), (V,)),
    "numpy.cross": Call(lambda f, x, y: f(x, y), (V, W)),
    "numpy.delete": Call(lambda f, x: f(x, 1), (V,)),
    "numpy.dsplit": Call(lambda f, x: f(x, 3), (M[None],)),
    "numpy.einsum": Call(lambda f, x, y: f("ij,jk->ik", x, y), (M, N)),
    "numpy.empty_like": Call(lambda f, x: np.shape(f(x)), (V,)),
    "numpy.expand_dims": Call(lambda f, x: f(x, 0), (V,)),
    "numpy.extract": Call(lambda f, x: f(MASK, x), (V,)),
    "numpy.full": Call(lambda f, x: f((2, 3), x), (V,)),
    "numpy.full_like": Call(lambda f, x: f(M, x), (V,)),
    "numpy.hsplit": Call(lambda f, x: f(x, 3), (M,)),
    "numpy.insert": Call(lambda f, x, y: f(x, 1, y), (V, W[0])),
    "numpy.interp": Call(lambda f, x, y: f(x, [0.0, 0.5, 1.0], y), (V, W)),
    "numpy.invert": Call(lambda f, x: f(x > 0.3), (V,)),
    "numpy.linalg.matrix_power": Call(lambda f, x: f(x, 3), (M,)),
    "numpy.linalg.multi_dot": Call(lambda f, x, y: f([x, y, x]), (M, N)),
    "numpy.linalg.tensorinv": Call(lambda f, x: f(x, ind=1), (SPD,)),
    "numpy.linalg.tensorsolve": Call(lambda f, x, y: f(x, y), (SPD, V)),
    "numpy.linspace": Call(lambda f, x, y: f(x, y, 4), (V, W)),
    "numpy.moveaxis": Call(lambda f, x: f(x, 0, -1), (M,)),
    "numpy.pad": Call(lambda f, x: f(x, 1), (V,)),
    "numpy.partition": Call(lambda f, x: f(x, 1), (V,)),
    "numpy.argpartition": Call(lambda f, x: f(x, 1), (V,)),
    "numpy.percentile": Call(lambda f, x: f(x, 30.0), (V,)),
    "numpy.nanpercentile": Call(lambda f, x: f(x, 30.0), (V,)),
    "numpy.quantile": Call(lambda f, x: f(x, 0.3), (V,)),
    "numpy.nanquantile": Call(lambda f, x: f(x, 0.3), (V,)),
    "numpy.piecewise": Call(lambda f, x: f(x, [MASK], [lambda y: 2.0 * y, 1.0]), (V,)),
    "numpy.polyval": Call(lambda f, x, y: f(x, y), (V, W)),
    "numpy.power": Call(lambda f, x, y: f(x, y), (V, W)),
    "numpy.put_along_axis": Call(_writing(np.array([0]), 2.0, 0), (V,)),
    "numpy.fill_diagonal": Call(_writing(2.0), (M,)),
    "numpy.repeat": Call(lambda f, x: f(x, 2), (V,)),
    "numpy.reshape": Call(lambda f, x: f(x, (3, 1)), (V,)),
    "numpy.resize": Call(lambda f, x: f(x, (2, 3)), (V,)),
    "numpy.roll": Call(lambda f, x: f(x, 1), (V,)),
    "numpy.rollaxis": Call(lambda f, x: f(x, 1), (M,)),
    "numpy.rot90": Call(lambda f, x: f(x), (M,)),
    "numpy.select": Call(lambda f, x, y: f([MASK, ~MASK], [x, y]), (V, W)),
    "numpy.split": Call(lambda f, x: f(x, 3), (V,)),
    "numpy.swapaxes": Call(lambda f, x: f(x, 0, 1), (M,)),
    "numpy.take": Call(lambda f, x: f(x, [0, 2]), (V,)),
    "numpy.take_along_axis": Call(lambda f, x: f(x, np.array([[0], [1], [0]]), 1), (M,)),
    "numpy.tensordot": Call(lambda f, x, y: f(x, y, 1), (M, N)),
    "numpy.tile": Call(lambda f, x: f(x, 2), (V,)),
    "numpy.vsplit": Call(lambda f, x: f(x, 3), (M,)),
    "numpy.where": Call(lambda f, x, y: f(MASK, x, y), (V, W)),
    "scipy.linalg.block_diag": Call(lambda f, x, y: f(x, y), (M, N)),
    "scipy.linalg.cho_factor": Call(lambda f, x: np.triu(f(x)[0]), (SPD,)),
    "scipy.linalg.cho_solve": Call(lambda f, x, y: f((x, True), y), (LOWER, V)),
    "scipy.linalg.cholesky_banded": Call(lambda f, x: f(x), (BANDS,)),
    "scipy.linalg.cho_solve_banded": Call(lambda f, x, y: f((x, False), y), (BANDS, V)),
    "scipy.linalg.eigh": Call(lambda f, x: (f(x)[0], np.abs(f(x)[1])), (SPD,)),
    "scipy.linalg.solve_banded": Call(_banded, (np.vstack([BANDS, BANDS[0]]), V)),
    "scipy.linalg.solveh_banded": Call(lambda f, x, y: f(x, y), (BANDS, V)),
    "scipy.linalg.solve_triangular": Call(lambda f, x, y: f(x, y, lower=True), (LOWER, V)),
    "scipy.linalg.solve_sylvester": Call(lambda f, x, y, z: f(x, y, z), (SPD, SPD, M)),
    "scipy.linalg.solve_continuous_lyapunov": Call(lambda f, x, y: f(x, y), (SPD, M)),
    "scipy.linalg.solve_discrete_lyapunov": Call(lambda f, x, y: f(x, y), (M / 4.0, SPD)),
    "scipy.special.logsumexp": Call(lambda f, x: f(x, axis=0), (M,)),
    "scipy.special.multigammaln": Call(lambda f, x: f(x, 2), (LARGE,)),
    "scipy.special.polygamma": Call(lambda f, x: f(1, x), (LARGE,)),
    "scipy.special.zeta": Call(lambda f, x: f(3.0, x), (LARGE,)),
}
