"""Weibull regression of survival times with censoring: estimates and standard errors.

A time t is Weibull with shape k and scale e^(x'β); some are only known to be longer than c. Minus
the log-likelihood is written once, with NumPy's names. Its gradient and Hessian are exact: the
first finds the maximum, the inverse of the second is the covariance of the estimates.

    python examples/weibull.py --plot out/weibull.png
"""

# %%
from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

import autodiff

__all__ = ["main", "negative_log_likelihood", "patients"]

# %% Patients: a column of ones, a treatment, an age; times and whether death was seen.

TRUE = {"beta": np.array([2.0, 0.7, -0.4]), "log_shape": np.log(1.5)}


def patients(n: int, seed: int) -> tuple[np.ndarray[Any, Any], ...]:
    """X (n, 3), times (n,), seen (n,): of those who are not seen to die the time is a bound."""
    random = np.random.default_rng(seed)
    X = np.stack([np.ones(n), random.integers(0, 2, n), random.normal(size=n)], 1)
    shape = np.exp(TRUE["log_shape"])
    times = np.exp(X @ TRUE["beta"]) * random.exponential(size=n) ** (1.0 / shape)
    bound = random.uniform(2.0, 30.0, n)
    return X, np.minimum(times, bound), (times <= bound).astype(np.float64)


# %% The model


def negative_log_likelihood(p: Any, X: Any, times: Any, seen: Any) -> Any:
    """-Σ seen log h(t) - H(t), with H(t) = (t / e^(x'β))^k and the hazard h = H'."""
    shape = np.exp(p["log_shape"])
    z = shape * (np.log(times) - X @ p["beta"])
    return np.sum(np.exp(z)) - np.sum(seen * (p["log_shape"] + z - np.log(times)))


# %% The fit


def main(argv: Sequence[str] | None = None) -> Any:
    """Fit, print a table, and draw the survival curves if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--patients", type=int, default=400, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the result into this file")
    args = parser.parse_args(argv)
    data = patients(args.patients, args.seed)
    start = {"beta": np.zeros(3), "log_shape": 0.0}
    fit = autodiff.minimize(negative_log_likelihood, start, data, method="trust-exact")
    errors = fit.standard_errors
    print(f"{args.patients} patients, {int(data[2].sum())} deaths seen")
    print(f"{fit.nit} iterations, -log L = {fit.fun:.3f}")
    print(f"{'':12} {'true':>8} {'estimate':>9} {'std. error':>11} {'z':>7}")
    names = ["(ones)", "treatment", "age"]
    rows = [*zip(names, TRUE["beta"], fit.x["beta"], errors["beta"], strict=True)]
    rows.append(("log shape", TRUE["log_shape"], fit.x["log_shape"], errors["log_shape"]))
    for name, true, estimate, error in rows:
        print(f"{name:12} {true:8.3f} {estimate:9.3f} {error:11.3f} {estimate / error:7.2f}")
    if args.plot:
        draw(args.plot, fit, data)
    return fit


# %% The picture: survival of both treatments at the mean age, beside Kaplan and Meier's estimate


def draw(file: str, fit: Any, data: Sequence[Any]) -> None:
    """Curves of the model with a band of two standard errors, and steps of the data."""
    from pictures import COLOURS, figure, save

    X, times, seen = data
    picture = figure(8.0, 4.5)
    axis = picture.subplots()
    t = np.linspace(0.1, 30.0, 200)
    for treated, colour in zip((0, 1), COLOURS[1::-1], strict=True):

        def log_hazard(p: Any, treated: int = treated) -> Any:
            return np.exp(p[3]) * (np.log(t) - p[0] - treated * p[1])

        # A band by the delta method: the Jacobian of the curve, times the covariance.
        middle = log_hazard(fit.vector)
        J = autodiff.jacobian(log_hazard)(fit.vector)
        spread = 2.0 * np.sqrt(np.sum((J @ fit.covariance) * J, 1))
        survival = [np.exp(-np.exp(middle + s * spread)) for s in (0.0, -1.0, 1.0)]
        label = "treated" if treated else "not treated"
        axis.plot(t, survival[0], color=colour, label=f"{label}, model at age 0")
        axis.fill_between(t, survival[1], survival[2], color=colour, alpha=0.2, linewidth=0.0)
        which = X[:, 1] == treated
        axis.step(*kaplan_meier(times[which], seen[which]), where="post", color=colour, alpha=0.6,
                  linestyle="--", label=f"{label}, Kaplan-Meier")  # fmt: skip
    axis.set(xlabel="time", ylabel="share that survives", ylim=(0.0, 1.0))
    axis.legend(frameon=False)
    save(picture, file)


def kaplan_meier(times: Any, seen: Any) -> tuple[Any, Any]:
    """Times and the share that survives from there on."""
    order = np.argsort(times)
    at_risk = np.arange(len(times), 0, -1)
    return times[order], np.cumprod(1.0 - seen[order] / at_risk)


if __name__ == "__main__":
    main()
