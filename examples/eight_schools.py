"""Eight schools by Hamiltonian Monte Carlo: value and gradient from one compiled function.

Eight schools report the effect of coaching and its standard error (Rubin 1981). Effects are normal
around μ with spread τ; what is sampled is not centred, θ = μ + τ η (Betancourt and Girolami 2015).

    python examples/eight_schools.py --plot out/eight_schools.png
"""

# %%
from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from options import progress

import autodiff

__all__ = ["main", "negative_log_posterior", "sample", "split_rhat"]

EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])

# %% The model: q = μ, log τ, η (8); μ ~ N(0, 5), τ ~ half-Cauchy(5)


def negative_log_posterior(q: Any) -> Any:
    """Up to a constant."""
    mean, log_spread, eta = q[0], q[1], q[2:]
    spread = np.exp(log_spread)
    z = (EFFECTS - mean - spread * eta) / ERRORS
    prior = 0.5 * np.sum(eta**2) + 0.5 * (mean / 5.0) ** 2 + np.log1p((spread / 5.0) ** 2)
    return 0.5 * np.sum(z**2) + prior - log_spread


# %% The sampler


def sample(
    energy: Callable[[Any], Any], start: Any, n: int, *, seed: int, step: float, leaps: int
) -> tuple[Any, float]:
    """n draws by Hamiltonian Monte Carlo, and the share of proposals that was accepted.

    energy : value and gradient at q. The step's length is tuned during the first half of the draws,
        which are dropped, so that about 85 % are accepted.
    """
    random = np.random.default_rng(seed)
    q = np.array(start)
    value, g = energy(q)
    draws, accepted = [], 0
    for i in progress(2 * n, f"chain {seed}"):
        p = random.normal(size=q.size)
        before = value + 0.5 * p @ p
        length = step * random.uniform(0.8, 1.2)
        q_new, value_new, g_new = q, value, g
        for _ in range(leaps):
            p = p - 0.5 * length * g_new
            q_new = q_new + length * p
            value_new, g_new = energy(q_new)
            p = p - 0.5 * length * g_new
        chance = np.exp(min(0.0, before - value_new - 0.5 * p @ p))
        if random.uniform() < chance:  # False, too, if the chance is NaN
            q, value, g = q_new, value_new, g_new
            accepted += i >= n
        if i < n:
            step *= np.exp((np.nan_to_num(chance) - 0.85) / np.sqrt(i + 10.0))
        else:
            draws.append(q)
    return np.array(draws), accepted / n


def split_rhat(chains: Any) -> Any:
    """How far half chains disagree, for each parameter (Gelman et al. 2013): 1 if they do not."""
    m, n = chains.shape[:2]
    halves = chains[:, : n // 2 * 2].reshape(2 * m, n // 2, -1)
    within = halves.var(1, ddof=1).mean(0)
    between = halves.mean(1).var(0, ddof=1)
    return np.sqrt((within * (n // 2 - 1) / (n // 2) + between) / within)


# %% All


def main(argv: Sequence[str] | None = None) -> Any:
    """Sample, print a table, and draw it if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--draws", type=int, default=2000, metavar="N", help="of each chain")
    parser.add_argument("--chains", type=int, default=4, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the result into this file")
    args = parser.parse_args(argv)
    energy = autodiff.compile(autodiff.value_and_grad(negative_log_posterior))
    starts = np.random.default_rng(args.seed).normal(size=(args.chains, 10))
    energy(starts[0])
    began = time.perf_counter()
    found = [
        sample(energy, q, args.draws, seed=args.seed + i, step=0.2, leaps=12)
        for i, q in enumerate(starts)
    ]
    seconds = time.perf_counter() - began
    chains = np.array([draws for draws, _ in found])
    n_gradients = args.chains * 2 * args.draws * 12
    each = 1e6 * seconds / n_gradients
    print(f"{n_gradients:,} gradients in {seconds:.2f} s, {each:.1f} µs each with the leaps")
    print(f"accepted: {', '.join(f'{share:.0%}' for _, share in found)}")
    q = chains.reshape(-1, 10)
    schools = q[:, :1] + np.exp(q[:, 1:2]) * q[:, 2:]
    table = {"mean": q[:, 0], "spread": np.exp(q[:, 1])}
    table |= {f"school {'ABCDEFGH'[i]}": schools[:, i] for i in range(8)}
    rhat = split_rhat(chains)
    print(f"{'':10} {'mean':>7} {'sd':>7} {'5 %':>7} {'95 %':>7}   largest R-hat {rhat.max():.3f}")
    for name, x in table.items():
        low, high = np.quantile(x, [0.05, 0.95])
        print(f"{name:10} {x.mean():7.2f} {x.std():7.2f} {low:7.2f} {high:7.2f}")
    if args.plot:
        import pictures

        pictures.eight_schools(args.plot, table, EFFECTS, ERRORS)
    return table, rhat


if __name__ == "__main__":
    main()
