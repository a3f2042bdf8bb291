"""MyGrad: tensors, with its guard against mutation off (faster, as its documentation says)."""

from __future__ import annotations

import mygrad as mg
import numpy as np
from mygrad.nnet.activations import relu, sigmoid
from mygrad.nnet.losses import softmax_crossentropy

from benchmarks.contestant import Run, turns
from benchmarks.peers.numpy_update import update
from benchmarks.workloads import GATES, Workload, pack_gates, unpack_gates

mg.turn_memory_guarding_off()

LIBRARY = "mygrad"
MODES = {"call": "MyGrad"}


def lstm_loss(w):
    """Gates packed."""
    H, n_in = w.n_hidden, w.n_in

    def loss(p, x, target):
        Wx, Wh = p["W"][:n_in], p["W"][n_in:]
        h = c = np.zeros((w.n_batch, H))
        hidden = []
        for t in range(w.n_steps):
            gates = mg.matmul(x[t], Wx) + mg.matmul(h, Wh) + p["b"]
            s = sigmoid(gates[:, : 3 * H])
            c = s[:, :H] * c + s[:, H : 2 * H] * mg.tanh(gates[:, 3 * H :])
            h = s[:, 2 * H :] * mg.tanh(c)
            hidden.append(h)
        y = mg.matmul(mg.concatenate(hidden), p["V"]) + p["d"]
        return mg.sum((y - target) ** 2) * (0.5 / w.n_batch)

    return loss


def vae_loss(w):
    """As in the workload."""

    def dense(p, name, x):
        return mg.matmul(x, p[f"{name}.W"]) + p[f"{name}.b"]

    def loss(p, x, noise):
        hidden = mg.tanh(dense(p, "encoder", x))
        mean, log_variance = dense(p, "mean", hidden), dense(p, "log_variance", hidden)
        latent = mean + mg.exp(0.5 * log_variance) * noise
        if w.n_decoder:
            latent = mg.tanh(dense(p, "decoder", latent))
        logits = dense(p, "output", latent)
        nll = mg.sum(mg.logaddexp(logits, 0.0) - x * logits)
        kl = 0.5 * mg.sum(mg.exp(log_variance) + mean**2 - 1.0 - log_variance)
        return (nll + kl) * (1.0 / w.n_batch)

    return loss


def mlp_loss(w):
    """As in the workload."""
    n = len(w.sizes) - 1

    def loss(p, x, target):
        for k in range(n):
            x = mg.matmul(x, p[f"{k}.W"]) + p[f"{k}.b"]
            if w.activation == "sigmoid":
                x = sigmoid(x)
            elif k + 1 < n:
                x = relu(x)
        if w.activation == "sigmoid":
            return mg.sum((x - target) ** 2) * (0.5 / w.n_batch)
        return softmax_crossentropy(x, target.argmax(axis=1))

    return loss


def prepare(workload: Workload, mode: str) -> Run:
    """Make the parameters."""
    initial = workload.weights()
    if workload.kind == "LSTM":
        W, b = pack_gates(initial, GATES)
        initial = {"W": W, "b": b, "V": initial["out.W"], "d": initial["out.b"][0]}
    p = {name: mg.tensor(x) for name, x in initial.items()}
    loss = {"LSTM": lstm_loss, "VAE": vae_loss, "MLP": mlp_loss}[workload.kind](workload)
    change = update(workload, {name: x.data for name, x in p.items()})

    def compute(*sample):
        value = loss(p, *sample)
        value.backward()
        return float(value.item()), {name: x.grad for name, x in p.items()}

    def one(*sample):
        value, g = compute(*sample)
        change(g)
        for x in p.values():
            x.null_grad()
        return value

    def named(arrays):
        arrays = {k: np.array(x) for k, x in arrays.items()}
        if workload.kind != "LSTM":
            return arrays
        out = {"out.W": arrays["V"], "out.b": arrays["d"].reshape(1, -1)}
        return {**unpack_gates(arrays["W"], arrays["b"], GATES), **out}

    def gradients():
        value, g = compute(*workload.samples()[0])
        found = named(g)
        for x in p.values():
            x.null_grad()
        return value, found

    return Run(turns(workload, one), gradients, lambda: named({k: x.data for k, x in p.items()}))
