"""PyTensor: the whole step as one function with shared variables, compiled through Numba.

Few time steps are unrolled; many run in `pytensor.scan`.
"""

from __future__ import annotations

import numpy as np
import pytensor
import pytensor.tensor as pt

from benchmarks.contestant import Run, turns
from benchmarks.workloads import ADAM, GATES, Workload, pack_gates, unpack_gates

pytensor.config.floatX = "float64"

LIBRARY = "pytensor"
MODES = {"call": "PyTensor (Numba), a call a step"}


def lstm_loss(w, p):
    """Inputs and loss."""
    x, target = pt.tensor3("x"), pt.matrix("target")
    H, n_in = w.n_hidden, w.n_in
    x = pt.specify_shape(x, (w.n_steps, w.n_batch, n_in))
    flat = x.reshape((w.n_steps * w.n_batch, n_in))
    parts = (flat @ p["W"][:n_in] + p["b"]).reshape((w.n_steps, w.n_batch, 4 * H))
    Wh = p["W"][n_in:]

    def cell(part, h, c, Wh):
        gates = part + h @ Wh
        s = pt.sigmoid(gates[:, : 3 * H])
        c = s[:, :H] * c + s[:, H : 2 * H] * pt.tanh(gates[:, 3 * H :])
        return s[:, 2 * H :] * pt.tanh(c), c

    zeros = pt.zeros((w.n_batch, H))
    if w.n_steps <= 10:
        h = c = zeros
        hidden = []
        for t in range(w.n_steps):
            h, c = cell(parts[t], h, c, Wh)
            hidden.append(h)
        h_all = pt.concatenate(hidden, axis=0)
    else:
        (h_all, _), _ = pytensor.scan(
            cell, sequences=[parts], outputs_info=[zeros, zeros], non_sequences=[Wh], strict=True
        )
        h_all = h_all.reshape((w.n_steps * w.n_batch, H))
    y = h_all @ p["V"] + p["d"]
    return (x, target), 0.5 * pt.sum((y - target) ** 2) / w.n_batch


def vae_loss(w, p):
    """Inputs and loss."""
    x, noise = pt.matrix("x"), pt.matrix("noise")

    def dense(name, x):
        return x @ p[f"{name}.W"] + p[f"{name}.b"]

    hidden = pt.tanh(dense("encoder", x))
    mean, log_variance = dense("mean", hidden), dense("log_variance", hidden)
    latent = mean + pt.exp(0.5 * log_variance) * noise
    if w.n_decoder:
        latent = pt.tanh(dense("decoder", latent))
    logits = dense("output", latent)
    nll = pt.sum(pt.softplus(logits) - x * logits)
    kl = 0.5 * pt.sum(pt.exp(log_variance) + mean**2 - 1.0 - log_variance)
    return (x, noise), (nll + kl) / w.n_batch


def mlp_loss(w, p):
    """Inputs and loss."""
    x, target = pt.matrix("x"), pt.matrix("target")
    y = x
    n = len(w.sizes) - 1
    for k in range(n):
        y = y @ p[f"{k}.W"] + p[f"{k}.b"]
        if w.activation == "sigmoid":
            y = pt.sigmoid(y)
        elif k + 1 < n:
            y = pt.maximum(y, 0.0)
    if w.activation == "sigmoid":
        return (x, target), 0.5 * pt.sum((y - target) ** 2) / w.n_batch
    return (x, target), -pt.sum(target * pt.special.log_softmax(y, axis=1)) / w.n_batch


def updates(w, p, g):
    """New values of all shared variables."""
    if w.method == "sgd":
        return [(x, x - w.rate * d) for x, d in zip(p, g, strict=True)]
    beta1, beta2, epsilon = ADAM["beta1"], ADAM["beta2"], ADAM["epsilon"]
    n_steps = pytensor.shared(np.float64(0.0))
    t = n_steps + 1.0
    rate, scale = w.rate / (1.0 - beta1**t), 1.0 / pt.sqrt(1.0 - beta2**t)
    changes = [(n_steps, t)]
    for x, d in zip(p, g, strict=True):
        shape = x.type.broadcastable
        zeros = np.zeros_like(x.get_value())
        m, v = (pytensor.shared(zeros, shape=_static(shape)) for _ in range(2))
        m_new = beta1 * m + (1.0 - beta1) * d
        v_new = beta2 * v + (1.0 - beta2) * d * d
        step = rate * m_new / (scale * pt.sqrt(v_new) + epsilon)
        changes += [(m, m_new), (v, v_new), (x, x - step)]
    return changes


def _static(broadcastable):
    return tuple(1 if b else None for b in broadcastable)


def prepare(workload: Workload, mode: str) -> Run:
    """Build and compile."""
    initial = workload.weights()
    if workload.kind == "LSTM":
        W, b = pack_gates(initial, GATES)
        initial = {"W": W, "b": b, "V": initial["out.W"], "d": initial["out.b"][0]}
    p = {
        k: pytensor.shared(x, name=k, shape=tuple(1 if n == 1 else None for n in x.shape))
        for k, x in initial.items()
    }
    build = {"LSTM": lstm_loss, "VAE": vae_loss, "MLP": mlp_loss}[workload.kind]
    inputs, loss = build(workload, p)
    variables = [i.owner.inputs[0] if i.owner else i for i in inputs]
    g = pytensor.grad(loss, list(p.values()))
    train = pytensor.function(variables, loss, updates=updates(workload, list(p.values()), g))
    train.trust_input = True
    gradient_of = []

    def named(arrays):
        arrays = {k: np.array(x) for k, x in arrays.items()}
        if workload.kind != "LSTM":
            return arrays
        out = {"out.W": arrays["V"], "out.b": arrays["d"].reshape(1, -1)}
        return {**unpack_gates(arrays["W"], arrays["b"], GATES), **out}

    def gradients():
        gradient_of[:] = [pytensor.function(variables, [loss, *g])]
        value, *arrays = gradient_of[0](*workload.samples()[0])
        return float(value), named(dict(zip(p, arrays, strict=True)))

    return Run(
        step=turns(workload, lambda *sample: float(train(*sample))),
        gradients=gradients,
        weights=lambda: named({k: x.get_value() for k, x in p.items()}),
    )
