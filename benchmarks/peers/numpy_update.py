"""Training with the update in NumPy, for libraries that compute gradients only."""

from __future__ import annotations

import numpy as np

from benchmarks.contestant import Run, turns
from benchmarks.workloads import ADAM, Workload

__all__ = ["trained"]


def trained(workload: Workload, parameters, compute) -> Run:
    """A run on `parameters`, arrays that change in place.

    compute : function of a sample; the loss, and the gradients by the parameters' names.
    """
    change = update(workload, parameters)

    def step(*sample):
        loss, g = compute(*sample)
        change(g)
        return float(loss)

    def gradients():
        loss, g = compute(*workload.samples()[0])
        return float(loss), workload.named(g)

    return Run(turns(workload, step), gradients, lambda: workload.named(parameters))


def update(workload: Workload, parameters):
    """A function of {name: gradient} that changes the arrays in `parameters` in place."""
    if workload.method == "sgd":

        def sgd(g):
            for name, x in parameters.items():
                x -= workload.rate * g[name]

        return sgd
    beta1, beta2, epsilon = ADAM["beta1"], ADAM["beta2"], ADAM["epsilon"]
    mean = {name: np.zeros_like(x) for name, x in parameters.items()}
    square = {name: np.zeros_like(x) for name, x in parameters.items()}
    n_steps = 0

    def adam(g):
        nonlocal n_steps
        n_steps += 1
        rate = workload.rate / (1.0 - beta1**n_steps)
        scale = 1.0 / np.sqrt(1.0 - beta2**n_steps)
        for name, x in parameters.items():
            m, v = mean[name], square[name]
            m *= beta1
            m += (1.0 - beta1) * g[name]
            v *= beta2
            v += (1.0 - beta2) * np.square(g[name])
            x -= rate * m / (scale * np.sqrt(v) + epsilon)

    return adam
