"""Training with the update in NumPy, for whoever computes gradients only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.contestant import Run, turns
from benchmarks.workloads import ADAM, Arrays, Workload

__all__ = ["trained", "update"]


def trained(workload: Workload, parameters: Arrays, compute: Callable[..., Any]) -> Run:
    """A run on `parameters`, arrays that change in place.

    compute : function of a sample; the loss, and the gradients by the parameters' names.
    """
    change = update(workload, parameters)

    def step(*sample: Any) -> float:
        loss, g = compute(*sample)
        change(g)
        return float(loss)

    def gradients() -> tuple[float, Arrays]:
        loss, g = compute(*workload.samples()[0])
        return float(loss), workload.named(g)

    return Run(turns(workload, step), gradients, lambda: workload.named(parameters))


def update(workload: Workload, parameters: Arrays) -> Callable[[Arrays], None]:
    """A function of the gradients that changes the parameters in place, and makes no arrays."""
    scratch = {name: np.empty_like(x) for name, x in parameters.items()}

    def sgd(g: Arrays) -> None:
        for name, x in parameters.items():
            np.multiply(g[name], workload.rate, out=scratch[name])
            x -= scratch[name]

    beta1, beta2, epsilon = ADAM["beta1"], ADAM["beta2"], ADAM["epsilon"]
    mean = {name: np.zeros_like(x) for name, x in parameters.items()}
    square = {name: np.zeros_like(x) for name, x in parameters.items()}
    n_steps = 0

    def adam(g: Arrays) -> None:
        nonlocal n_steps
        n_steps += 1
        rate = workload.rate / (1.0 - beta1**n_steps)
        scale = 1.0 / np.sqrt(1.0 - beta2**n_steps)
        for name, x in parameters.items():
            m, v, t = mean[name], square[name], scratch[name]
            m *= beta1
            np.multiply(g[name], 1.0 - beta1, out=t)
            m += t
            v *= beta2
            np.multiply(g[name], g[name], out=t)
            t *= 1.0 - beta2
            v += t
            np.sqrt(v, out=t)
            t *= scale
            t += epsilon
            np.divide(m, t, out=t)
            t *= rate
            x -= t

    return sgd if workload.method == "sgd" else adam
