"""The three models, written once for all rivals whose arrays have operators and functions.

A :class:`Framework` is what a model asks of a library. What is written here suits whatever looks
like NumPy; a rival's file overrides what its library has a better way for, such as a fused loss.
Needs NumPy only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.workloads import ADAM, LSTM, MLP, VAE, Workload

__all__ = ["Framework", "adam", "loss_of"]


class Framework:
    """Layers, losses and loops on the arrays of `module`, in the way of NumPy."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def dense(self, x: Any, W: Any, b: Any) -> Any:
        """x W + b, for the rows of x."""
        return x @ W + b

    def sigmoid(self, x: Any) -> Any:
        """1 / (1 + e^-x)."""
        return 0.5 * (self.module.tanh(0.5 * x) + 1.0)

    def relu(self, x: Any) -> Any:
        """max(x, 0)."""
        return self.module.maximum(x, 0.0)

    def squared_error(self, y: Any, target: Any) -> Any:
        """Σ (y - t)²."""
        return self.module.sum((y - target) ** 2)

    def bernoulli(self, logits: Any, target: Any) -> Any:
        """Σ ln(1 + e^l) - t l."""
        return self.module.sum(self.module.logaddexp(0.0, logits) - target * logits)

    def cross_entropy(self, logits: Any, target: Any, n_batch: int) -> Any:
        """-Σ t ln softmax(l) / batch."""
        y = logits - self.module.max(logits, axis=1, keepdims=True)
        log_p = y - self.module.log(self.module.sum(self.module.exp(y), axis=1, keepdims=True))
        return -self.module.sum(target * log_p) / n_batch

    def gates(self, sums: Any, n: int) -> Sequence[Any]:
        """The gates f, i, o, g of n units, whose sums lie side by side."""
        s = self.sigmoid(sums[:, : 3 * n])
        return s[:, :n], s[:, n : 2 * n], s[:, 2 * n :], self.module.tanh(sums[:, 3 * n :])

    def zeros(self, n_rows: int, n_columns: int) -> Any:
        """An initial state."""
        return np.zeros((n_rows, n_columns))

    def unroll(self, w: LSTM, cell: Callable[..., Any], parts: Any, U: Any) -> Any:
        """h of all steps, one below the other; cell(part, h, c, U) gives the next h and c."""
        h = c = self.zeros(w.n_batch, w.n_hidden)
        hidden = []
        for t in range(w.n_steps):
            h, c = cell(parts[t], h, c, U)
            hidden.append(h)
        return self.module.concatenate(hidden)


def loss_of(workload: Workload, framework: Framework) -> Callable[..., Any]:
    """The loss as a function of the weights, in the form of `Workload.packed`, and a sample."""
    model = {"LSTM": lstm, "VAE": vae, "MLP": mlp}[workload.kind]
    return lambda p, *sample: model(framework, workload, p, *sample)  # type: ignore[operator]


def lstm(f: Framework, w: LSTM, p: Any, x: Any, target: Any) -> Any:
    """All gates in one matrix: its upper rows meet the inputs of all steps at once."""

    def cell(part: Any, h: Any, c: Any, U: Any) -> Any:
        forget, enter, leave, new = f.gates(f.dense(h, U, part), w.n_hidden)
        c = forget * c + enter * new
        return leave * f.module.tanh(c), c

    hidden = f.unroll(w, cell, f.dense(x, p["W"][: w.n_in], p["b"]), p["W"][w.n_in :])
    return f.squared_error(f.dense(hidden, p["V"], p["d"]), target) * (0.5 / w.n_batch)


def vae(f: Framework, w: VAE, p: Any, x: Any, noise: Any) -> Any:
    """As in the workload."""

    def dense(name: str, x: Any) -> Any:
        return f.dense(x, p[f"{name}.W"], p[f"{name}.b"])

    tanh, exp = f.module.tanh, f.module.exp
    hidden = tanh(dense("encoder", x))
    mean, log_variance = dense("mean", hidden), dense("log_variance", hidden)
    latent = mean + exp(0.5 * log_variance) * noise
    if w.n_decoder:
        latent = tanh(dense("decoder", latent))
    kl = 0.5 * f.module.sum(exp(log_variance) + mean**2 - 1.0 - log_variance)
    return (f.bernoulli(dense("output", latent), x) + kl) * (1.0 / w.n_batch)


def mlp(f: Framework, w: MLP, p: Any, x: Any, target: Any) -> Any:
    """As in the workload."""
    n = len(w.sizes) - 1
    for k in range(n):
        x = f.dense(x, p[f"{k}.W"], p[f"{k}.b"])
        if w.activation == "sigmoid":
            x = f.sigmoid(x)
        elif k + 1 < n:
            x = f.relu(x)
    if w.activation == "sigmoid":
        return f.squared_error(x, target) * (0.5 / w.n_batch)
    return f.cross_entropy(x, target, w.n_batch)


def adam(w: Workload, t: Any, sqrt: Any, x: Any, g: Any, m: Any, v: Any) -> tuple[Any, Any, Any]:
    """Weight and moments after step t with the gradient g, for libraries that trace expressions."""
    beta1, beta2, epsilon = ADAM["beta1"], ADAM["beta2"], ADAM["epsilon"]
    m = beta1 * m + (1.0 - beta1) * g
    v = beta2 * v + (1.0 - beta2) * g * g
    rate, scale = w.rate / (1.0 - beta1**t), 1.0 / sqrt(1.0 - beta2**t)
    return x - rate * m / (scale * sqrt(v) + epsilon), m, v
