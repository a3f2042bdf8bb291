"""A Gaussian process: its scales by the marginal likelihood, and what it predicts.

The likelihood goes through a Cholesky factor, with NumPy's and SciPy's names (Rasmussen and
Williams 2006, algorithm 2.1). Gradient and Hessian are exact, and each is one compiled step.

    python examples/gaussian_process.py --plot out/gaussian_process.png
"""

# %%
from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

import autodiff
from autodiff.scipy.linalg import cho_solve, solve_triangular

__all__ = ["main", "measured", "negative_log_likelihood", "predicted"]

# %% Data: a curve, measured at places that are far apart in the middle


def curve(x: Any) -> Any:
    """The truth."""
    return np.sin(2.0 * x) + 0.5 * np.cos(5.0 * x)


def measured(n: int, seed: int) -> tuple[np.ndarray[Any, Any], ...]:
    """n places and noisy values."""
    random = np.random.default_rng(seed)
    left, right = random.uniform(0.0, 2.2, n // 2), random.uniform(3.6, 6.0, n - n // 2)
    x = np.sort(np.append(left, right))
    return x, curve(x) + 0.15 * random.normal(size=n)


# %% The model


def covariance(p: Any, x: Any, y: Any) -> Any:
    """k(x, y) = s² e^(-(x - y)² / 2 l²)."""
    distance = (x[:, None] - y[None, :]) ** 2
    return np.exp(2.0 * p["log_scale"] - 0.5 * distance * np.exp(-2.0 * p["log_length"]))


def factor(p: Any, x: Any) -> Any:
    """L with L L' = the covariance of what is measured at x."""
    noise = np.exp(2.0 * p["log_noise"])
    return np.linalg.cholesky(covariance(p, x, x) + noise * np.eye(x.size))


def negative_log_likelihood(p: Any, x: Any, y: Any) -> Any:
    """½ y' K⁻¹ y + ½ log det K + ½ n log 2π."""
    L = factor(p, x)
    z = solve_triangular(L, y, lower=True)
    return 0.5 * z @ z + np.sum(np.log(np.diag(L))) + 0.5 * x.size * np.log(2.0 * np.pi)


def predicted(p: Any, x: Any, y: Any, new: Any) -> tuple[Any, Any]:
    """Mean and standard deviation of the curve at new places."""
    L = factor(p, x)
    K = covariance(p, x, new)
    mean = K.T @ cho_solve((L, True), y)
    spread = solve_triangular(L, K, lower=True)
    return mean, np.sqrt(np.exp(2.0 * p["log_scale"]) - np.sum(spread**2, 0))


# %% The fit


def main(argv: Sequence[str] | None = None) -> Any:
    """Fit, print a table, and draw the prediction if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--points", type=int, default=40, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the result into this file")
    args = parser.parse_args(argv)
    x, y = measured(args.points, args.seed)
    start = {"log_length": 0.0, "log_scale": 0.0, "log_noise": -1.0}
    fit = autodiff.minimize(negative_log_likelihood, start, (x, y), method="trust-exact")
    print(f"{args.points} points, {fit.nit} iterations, -log L = {fit.fun:.3f}")
    for name, error in fit.standard_errors.items():
        low, middle, high = np.exp(fit.x[name] + np.array([-1.96, 0.0, 1.96]) * error)
        print(f"{name[4:]:8} {middle:6.3f}   95 %: {low:.3f} to {high:.3f}")
    new = np.linspace(-0.3, 6.3, 300)
    mean, spread = predicted(fit.x, x, y, new)
    inside = np.abs(curve(new) - mean) < 2.0 * spread
    print(f"the curve lies within two standard deviations at {inside.mean():.0%} of the places")
    if args.plot:
        import pictures

        pictures.gaussian_process(args.plot, x, y, new, curve(new), mean, spread)
    return fit, inside.mean()


if __name__ == "__main__":
    main()
