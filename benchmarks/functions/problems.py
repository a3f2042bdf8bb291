"""The functions, written once for all libraries whose arrays look like NumPy's.

A function is given a :class:`Names`, a vector of parameters and its data. Needs NumPy only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.workloads import Array

__all__ = ["PROBLEMS", "Names", "Problem"]

Names = SimpleNamespace
"""What a library calls things: `np`, which has NumPy's functions, and `gammaln`, `logsumexp`,
`log_ndtr`, `cholesky`, `solve_triangular` (lower)."""

Drawn = tuple[Array, tuple[Array, ...]]


@dataclass(frozen=True)
class Problem:
    """A function and the numbers on which it is timed.

    function : ``function(names, parameters, *data)``.
    draw : parameters and data.
    wants : which of "gradient" (with the value), "hessian", "jacobian", "rows" (the Jacobian of
        each row of the parameters) are timed.
    """

    name: str
    title: str
    function: Callable[..., Any]
    draw: Callable[[np.random.Generator], Drawn]
    wants: tuple[str, ...] = ("gradient",)

    def drawn(self) -> Drawn:
        """The same numbers each time."""
        return self.draw(np.random.default_rng(20))


# ---- regressions --------------------------------------------------------------------------------


def _design(random: np.random.Generator, n: int, k: int) -> Array:
    """A column of ones, and k - 1 of normal numbers."""
    return np.concatenate([np.ones((n, 1)), random.normal(size=(n, k - 1))], axis=1)


def weibull(m: Names, p: Any, X: Any, log_t: Any, event: Any) -> Any:
    """-Σ event (log k + k (log t - η) - log t) - e^(k (log t - η)), η = X β: censored times."""
    k = m.np.exp(p[-1])
    z = k * (log_t - X @ p[:-1])
    return -m.np.sum(event * (p[-1] + z - log_t) - m.np.exp(z))


def _draw_times(n: int, k: int) -> Callable[[np.random.Generator], Drawn]:
    def draw(random: np.random.Generator) -> Drawn:
        X = _design(random, n, k)
        beta = 0.3 * random.normal(size=k)
        log_t = X @ beta + 0.6 * np.log(random.exponential(size=n))
        event = (random.uniform(size=n) < 0.7).astype(np.float64)
        return np.append(0.9 * beta, 0.3), (X, log_t, event)

    return draw


def log_normal(m: Names, p: Any, X: Any, log_t: Any, event: Any) -> Any:
    """-Σ event (log φ(z) - log σ - log t) + (1 - event) log Φ(-z), z = (log t - X β) / σ."""
    z = (log_t - X @ p[:-1]) * m.np.exp(-p[-1])
    density = -0.5 * z**2 - 0.5 * np.log(2.0 * np.pi) - p[-1] - log_t
    return -m.np.sum(event * density + (1.0 - event) * m.log_ndtr(-z))


def negative_binomial(m: Names, p: Any, X: Any, y: Any) -> Any:
    """Counts of mean e^(X β) and dispersion r."""
    eta, r = X @ p[:-1], m.np.exp(p[-1])
    total = m.gammaln(y + r) - m.gammaln(r) - m.gammaln(y + 1.0)
    return -m.np.sum(total + r * p[-1] + y * eta - (y + r) * m.np.log(r + m.np.exp(eta)))


def _draw_counts(random: np.random.Generator) -> Drawn:
    X = _design(random, 500, 4)
    beta = np.array([0.5, 0.3, -0.2, 0.1])
    y = random.poisson(np.exp(X @ beta) * random.gamma(2.0, 0.5, 500)).astype(np.float64)
    return np.append(0.9 * beta, 0.4), (X, y)


def ordinal(m: Names, p: Any, X: Any, above: Any, below: Any, first: Any, last: Any) -> Any:
    """Σ log (σ(c_y - η) - σ(c_(y-1) - η)): three cuts, the first and e^p apart.

    above, below : rows that pick each observation's cuts. first, last : which have only one.
    """
    tanh = m.np.tanh
    steps = m.np.exp(p[4:6])
    c = m.np.stack([p[3], p[3] + steps[0], p[3] + steps[0] + steps[1]])
    eta = X @ p[:3]
    high = 0.5 * (1.0 + tanh(0.5 * (above @ c - eta)))
    low = 0.5 * (1.0 + tanh(0.5 * (below @ c - eta)))
    return -m.np.sum(
        m.np.log(m.np.where(last > 0.0, 1.0, high) - m.np.where(first > 0.0, 0.0, low))
    )


def _draw_ordinal(random: np.random.Generator) -> Drawn:
    X = random.normal(size=(500, 3))
    latent = X @ [0.7, -0.4, 0.2] + random.logistic(size=500)
    y = np.digitize(latent, [-1.0, 0.2, 1.1])
    cuts = np.eye(3)
    above = cuts[np.minimum(y, 2)]
    below = cuts[np.maximum(y - 1, 0)]
    first, last = (y == 0).astype(np.float64), (y == 3).astype(np.float64)
    return np.array([0.5, -0.3, 0.1, -0.8, 0.1, -0.1]), (X, above, below, first, last)


# ---- others -------------------------------------------------------------------------------------


def eight_schools(m: Names, p: Any, y: Any, sigma: Any) -> Any:
    """-log posterior, not centred: p = μ, log τ and eight standardised effects."""
    theta = p[0] + m.np.exp(p[1]) * p[2:]
    prior = 0.5 * m.np.sum(p[2:] ** 2) + 0.5 * (p[0] / 5.0) ** 2
    half_cauchy = m.np.log(1.0 + m.np.exp(2.0 * p[1]) / 25.0) - p[1]
    return 0.5 * m.np.sum(((y - theta) / sigma) ** 2) + prior + half_cauchy


def _draw_schools(random: np.random.Generator) -> Drawn:
    y = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    sigma = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    return 0.5 * random.normal(size=10), (y, sigma)


def residuals(m: Names, p: Any, t: Any, y: Any) -> Any:
    """Two exponentials and a line through 50 points, six parameters."""
    return p[0] * m.np.exp(-p[1] * t) + p[2] * m.np.exp(-p[3] * t) + p[4] + p[5] * t - y


def _draw_residuals(random: np.random.Generator) -> Drawn:
    t = np.linspace(0.0, 4.0, 50)
    p = np.array([2.0, 0.5, 1.0, 3.0, 0.2, -0.1])
    return p, (t, residuals(Names(np=np), 1.1 * p, t, 0.0) + 0.05 * random.normal(size=50))


def gaussian_process(m: Names, p: Any, x: Any, y: Any) -> Any:
    """½ y' K⁻¹ y + ½ log det K: p = log length, log scale, log noise."""
    n = y.shape[0]
    distance = (x[:, None] - x[None, :]) ** 2
    K = m.np.exp(2.0 * p[1] - 0.5 * distance * m.np.exp(-2.0 * p[0]))
    L = m.cholesky(K + m.np.eye(n) * (m.np.exp(2.0 * p[2]) + 1e-9))
    z = m.solve_triangular(L, y)
    return 0.5 * m.np.sum(z**2) + m.np.sum(m.np.log(m.np.diag(L)))


def _draw_process(n: int) -> Callable[[np.random.Generator], Drawn]:
    def draw(random: np.random.Generator) -> Drawn:
        x = np.sort(random.uniform(0.0, 10.0, n))
        y = np.sin(x) + 0.3 * random.normal(size=n)
        return np.array([0.2, 0.1, -1.0]), (x, y)

    return draw


def mixture(m: Names, p: Any, x: Any) -> Any:
    """-Σ log Σ_k w_k N(x; μ_k, σ_k): three components."""
    w, mean, log_sigma = p[:3], p[3:6], p[6:9]
    z = (x[None, :] - mean[:, None]) * m.np.exp(-log_sigma)[:, None]
    log_p = (w - log_sigma)[:, None] - 0.5 * z**2
    return x.shape[0] * m.logsumexp(w, 0) - m.np.sum(m.logsumexp(log_p, 0))


def _draw_mixture(random: np.random.Generator) -> Drawn:
    x = np.array([-2.0, 0.5, 3.0])[random.integers(0, 3, 1000)] + 0.7 * random.normal(size=1000)
    return np.array([0.1, 0.0, -0.1, -1.5, 0.0, 2.5, 0.1, -0.1, 0.0]), (x,)


# ---- ADBench (Šrajer, Kukelova, Fitzgibbon 2018), without priors --------------------------------


def gmm(m: Names, p: Any, x: Any, places: Any, sizes: Any) -> Any:
    """A mixture of Gaussians: weights, means, log diagonals and lower triangles of factors.

    places : where each entry of a full lower triangle lies in (0, the triangle). sizes : K of
        weights; only its shape counts.
    """
    (n, d), K = x.shape, sizes.shape[0]
    n_lower = d * (d - 1) // 2
    w, means = p[:K], p[K : K + K * d].reshape(K, 1, d)
    factors = p[K + K * d :].reshape(K, d + n_lower)
    log_diagonal = factors[:, :d]
    padded = m.np.concatenate([np.zeros((K, 1)), factors[:, d:]], 1)
    lower = padded[:, places].reshape(K, d, d)
    centred = x.reshape(1, n, d) - means
    z = m.np.exp(log_diagonal)[:, None, :] * centred + centred @ m.np.swapaxes(lower, 1, 2)
    log_p = (w + m.np.sum(log_diagonal, 1))[:, None] - 0.5 * m.np.sum(z**2, 2)
    return n * m.logsumexp(w, 0) - m.np.sum(m.logsumexp(log_p, 0))


def _draw_gmm(n: int, d: int, K: int) -> Callable[[np.random.Generator], Drawn]:
    def draw(random: np.random.Generator) -> Drawn:
        places = np.zeros((d, d), dtype=np.int64)
        places[np.tril_indices(d, -1)] = 1 + np.arange(d * (d - 1) // 2)
        size = K + K * d + K * (d + d * (d - 1) // 2)
        return 0.3 * random.normal(size=size), (
            random.normal(size=(n, d)), places.ravel(), np.zeros(K))  # fmt: skip

    return draw


def reprojection(m: Names, q: Any, feature: Any) -> Any:
    """Bundle adjustment, one observation: q = camera (11), point (3), weight; two residuals."""
    rotation, centre, f, x0, k1, k2 = q[0:3], q[3:6], q[6], q[7:9], q[9], q[10]
    X = q[11:14] - centre
    theta = m.np.sqrt(m.np.sum(rotation**2))
    axis = rotation / theta
    c, s = m.np.cos(theta), m.np.sin(theta)
    crossed = m.np.stack([
        axis[1] * X[2] - axis[2] * X[1],
        axis[2] * X[0] - axis[0] * X[2],
        axis[0] * X[1] - axis[1] * X[0],
    ])  # fmt: skip
    turned = X * c + crossed * s + axis * (m.np.sum(axis * X) * (1.0 - c))
    plane = turned[:2] / turned[2]
    r = m.np.sum(plane**2)
    return q[14] * (plane * (1.0 + k1 * r + k2 * r * r) * f + x0 - feature)


def _draw_observations(n: int) -> Callable[[np.random.Generator], Drawn]:
    def draw(random: np.random.Generator) -> Drawn:
        q = random.normal(size=(n, 15)) * 0.3 + np.concatenate(
            [np.full(3, 0.5), np.zeros(3), [1.0], np.zeros(4), [0.0, 0.0, 3.0], [1.0]]
        )
        return q, (random.normal(size=(n, 2)),)

    return draw


PROBLEMS: dict[str, Problem] = {
    p.name: p
    for p in (
        Problem("weibull", "Weibull likelihood, 200 rows, 5 parameters", weibull,
                _draw_times(200, 4), ("gradient", "hessian")),
        Problem("eight-schools", "eight schools, log posterior", eight_schools, _draw_schools),
        Problem("least-squares", "residuals 50×6", residuals, _draw_residuals, ("jacobian",)),
        Problem("gp-20", "Gaussian process, n = 20", gaussian_process, _draw_process(20)),
        Problem("gp-60", "Gaussian process, n = 60", gaussian_process, _draw_process(60)),
        Problem("gp-200", "Gaussian process, n = 200", gaussian_process, _draw_process(200)),
        Problem("mixture", "mixture of Gaussians 1,000×3", mixture, _draw_mixture),
        Problem("negative-binomial", "negative binomial regression 500×4", negative_binomial,
                _draw_counts),
        Problem("ordinal", "ordinal regression 500×3, 4 classes", ordinal, _draw_ordinal),
        Problem("log-normal", "log-normal AFT, censored, 500×4", log_normal, _draw_times(500, 4)),
        Problem("gmm-10-25", "ADBench GMM, 1,000 points, d = 10, K = 25", gmm,
                _draw_gmm(1000, 10, 25)),
        Problem("gmm-20-50", "ADBench GMM, 1,000 points, d = 20, K = 50", gmm,
                _draw_gmm(1000, 20, 50)),
        Problem("ba", "ADBench BA, 31,843 observations", reprojection, _draw_observations(31843),
                ("rows",)),
    )
}  # fmt: skip
"""All problems by name."""
