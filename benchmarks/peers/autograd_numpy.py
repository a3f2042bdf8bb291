"""HIPS autograd: `value_and_grad` of a NumPy function, the update in NumPy."""

from __future__ import annotations

import autograd.numpy as anp
import numpy as np
from autograd import value_and_grad

from benchmarks.contestant import Run, turns
from benchmarks.peers.numpy_update import update
from benchmarks.workloads import GATES, Workload, pack_gates, unpack_gates

LIBRARY = "autograd"
MODES = {"call": "HIPS autograd"}


def _sigmoid(x):
    return 0.5 * (anp.tanh(0.5 * x) + 1.0)


def lstm_loss(w):
    """Gates packed."""
    H, n_in = w.n_hidden, w.n_in

    def loss(p, x, target):
        parts = anp.dot(x, p["W"][:n_in]) + p["b"]
        Wh = p["W"][n_in:]
        h = c = np.zeros((w.n_batch, H))
        hidden = []
        for t in range(w.n_steps):
            gates = parts[t] + anp.dot(h, Wh)
            s = _sigmoid(gates[:, : 3 * H])
            c = s[:, :H] * c + s[:, H : 2 * H] * anp.tanh(gates[:, 3 * H :])
            h = s[:, 2 * H :] * anp.tanh(c)
            hidden.append(h)
        y = anp.dot(anp.concatenate(hidden), p["V"]) + p["d"]
        return 0.5 * anp.sum((y - target) ** 2) / w.n_batch

    return loss


def vae_loss(w):
    """As in the workload."""

    def dense(p, name, x):
        return anp.dot(x, p[f"{name}.W"]) + p[f"{name}.b"]

    def loss(p, x, noise):
        hidden = anp.tanh(dense(p, "encoder", x))
        mean, log_variance = dense(p, "mean", hidden), dense(p, "log_variance", hidden)
        latent = mean + anp.exp(0.5 * log_variance) * noise
        if w.n_decoder:
            latent = anp.tanh(dense(p, "decoder", latent))
        logits = dense(p, "output", latent)
        nll = anp.sum(anp.logaddexp(0.0, logits) - x * logits)
        kl = 0.5 * anp.sum(anp.exp(log_variance) + mean**2 - 1.0 - log_variance)
        return (nll + kl) / w.n_batch

    return loss


def mlp_loss(w):
    """As in the workload."""
    n = len(w.sizes) - 1

    def loss(p, x, target):
        for k in range(n):
            x = anp.dot(x, p[f"{k}.W"]) + p[f"{k}.b"]
            if w.activation == "sigmoid":
                x = _sigmoid(x)
            elif k + 1 < n:
                x = anp.maximum(x, 0.0)
        if w.activation == "sigmoid":
            return 0.5 * anp.sum((x - target) ** 2) / w.n_batch
        x = x - anp.max(x, axis=1, keepdims=True)
        log_p = x - anp.log(anp.sum(anp.exp(x), axis=1, keepdims=True))
        return -anp.sum(target * log_p) / w.n_batch

    return loss


def prepare(workload: Workload, mode: str) -> Run:
    """Define the function."""
    p = workload.weights()
    if workload.kind == "LSTM":
        W, b = pack_gates(p, GATES)
        p = {"W": W, "b": b, "V": p["out.W"], "d": p["out.b"][0]}
    build = {"LSTM": lstm_loss, "VAE": vae_loss, "MLP": mlp_loss}[workload.kind]
    both = value_and_grad(build(workload))
    change = update(workload, p)

    def one(*sample):
        value, g = both(p, *sample)
        change(g)
        return float(value)

    def named(arrays):
        if workload.kind != "LSTM":
            return {k: np.array(x) for k, x in arrays.items()}
        out = {"out.W": np.array(arrays["V"]), "out.b": arrays["d"].reshape(1, -1).copy()}
        return {**unpack_gates(arrays["W"], arrays["b"], GATES), **out}

    def gradients():
        value, g = both(p, *workload.samples()[0])
        return float(value), named(g)

    return Run(turns(workload, one), gradients, lambda: named(p))
