"""JAX: the whole step in one `jit`, parameters donated; or many steps in one `lax.scan`.

The gates of an LSTM are packed into one matrix, the best form for XLA. Few time steps are unrolled,
many run in an inner `lax.scan`, which is faster than the unrolled program and compiles in
seconds rather than half a minute.
"""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contestant import Run, turns
from benchmarks.workloads import ADAM, GATES, Workload, pack_gates, unpack_gates

jax.config.update("jax_enable_x64", True)
# Faster for calls this short: 23 µs in place of 33 for the post's LSTM.
jax.config.update("jax_cpu_enable_async_dispatch", False)

LIBRARY = "jax"
MODES = {
    "resident": "JAX jit, a call a step, data resident",
    "call": "JAX jit, fresh NumPy in, float out",
    "scan": "JAX lax.scan over the steps",
}


def lstm_loss(w):
    """The loss of (parameters, x, target)."""
    H, n_in = w.n_hidden, w.n_in

    def cell(p, state, x_part):
        h, c = state
        gates = x_part + h @ p["W"][n_in:]
        f, i, o = jnp.split(jax.nn.sigmoid(gates[:, : 3 * H]), 3, axis=1)
        c = f * c + i * jnp.tanh(gates[:, 3 * H :])
        h = o * jnp.tanh(c)
        return (h, c), h

    def loss(p, x, target):
        parts = x @ p["W"][:n_in] + p["b"]  # for all steps at once
        state = (jnp.zeros((w.n_batch, H)), jnp.zeros((w.n_batch, H)))
        if w.n_steps <= 10:
            hidden = []
            for t in range(w.n_steps):
                state, h = cell(p, state, parts[t])
                hidden.append(h)
            hidden = jnp.concatenate(hidden)
        else:
            _, hidden = jax.lax.scan(lambda s, part: cell(p, s, part), state, parts)
        y = hidden.reshape(-1, H) @ p["V"] + p["d"]
        return 0.5 * jnp.sum((y - target) ** 2) / w.n_batch

    return loss


def vae_loss(w):
    """The loss of (parameters, x, noise)."""

    def dense(p, name, x):
        return x @ p[f"{name}.W"] + p[f"{name}.b"]

    def loss(p, x, noise):
        hidden = jnp.tanh(dense(p, "encoder", x))
        mean, log_variance = dense(p, "mean", hidden), dense(p, "log_variance", hidden)
        latent = mean + jnp.exp(0.5 * log_variance) * noise
        if w.n_decoder:
            latent = jnp.tanh(dense(p, "decoder", latent))
        logits = dense(p, "output", latent)
        nll = jnp.sum(jax.nn.softplus(logits) - x * logits)
        kl = 0.5 * jnp.sum(jnp.exp(log_variance) + mean**2 - 1.0 - log_variance)
        return (nll + kl) / w.n_batch

    return loss


def mlp_loss(w):
    """The loss of (parameters, x, target)."""
    n = len(w.sizes) - 1

    def loss(p, x, target):
        for k in range(n):
            x = x @ p[f"{k}.W"] + p[f"{k}.b"]
            if w.activation == "sigmoid":
                x = jax.nn.sigmoid(x)
            elif k + 1 < n:
                x = jax.nn.relu(x)
        if w.activation == "sigmoid":
            return 0.5 * jnp.sum((x - target) ** 2) / w.n_batch
        return -jnp.sum(target * jax.nn.log_softmax(x)) / w.n_batch

    return loss


def update(w, p, g, state):
    """New parameters and state of the optimiser."""
    if w.method == "sgd":
        return jax.tree.map(lambda x, d: x - w.rate * d, p, g), state
    m, v, t = state
    beta1, beta2, epsilon = ADAM["beta1"], ADAM["beta2"], ADAM["epsilon"]
    t = t + 1.0
    m = jax.tree.map(lambda m, d: beta1 * m + (1.0 - beta1) * d, m, g)
    v = jax.tree.map(lambda v, d: beta2 * v + (1.0 - beta2) * d * d, v, g)
    rate, scale = w.rate / (1.0 - beta1**t), 1.0 / jnp.sqrt(1.0 - beta2**t)
    p = jax.tree.map(lambda x, m, v: x - rate * m / (scale * jnp.sqrt(v) + epsilon), p, m, v)
    return p, (m, v, t)


def prepare(workload: Workload, mode: str) -> Run:
    """One of MODES."""
    initial = workload.weights()
    if workload.kind == "LSTM":
        W, b = pack_gates(initial, GATES)
        initial = {"W": W, "b": b, "V": initial["out.W"], "d": initial["out.b"][0]}
    loss = {"LSTM": lstm_loss, "VAE": vae_loss, "MLP": mlp_loss}[workload.kind](workload)

    def train(p, state, *sample):
        value, g = jax.value_and_grad(loss)(p, *sample)
        p, state = update(workload, p, g, state)
        return value, p, state

    def zeros():
        return {k: jnp.zeros_like(jnp.asarray(x)) for k, x in initial.items()}

    p = {k: jnp.array(x) for k, x in initial.items()}
    state = () if workload.method == "sgd" else (zeros(), zeros(), jnp.zeros(()))
    held = {"p": p, "state": state, "loss": None}

    if mode == "scan":

        def many(p, state, *stacked):
            def one(carry, sample):
                value, p, state = train(*carry, *sample)
                return (p, state), value

            (p, state), losses = jax.lax.scan(one, (p, state), stacked)
            return losses, p, state

        train_many = jax.jit(many, donate_argnums=(0, 1))
        stacked = [jax.device_put(x) for x in workload.stacked()]

        def step():
            held["loss"], held["p"], held["state"] = train_many(held["p"], held["state"], *stacked)

    else:
        train_one = jax.jit(train, donate_argnums=(0, 1))
        samples = workload.samples()
        if mode == "resident":
            samples = [[jax.device_put(x) for x in sample] for sample in samples]

        def one(*sample):
            held["loss"], held["p"], held["state"] = train_one(held["p"], held["state"], *sample)
            return float(held["loss"]) if mode == "call" else held["loss"]

        step = turns(workload, one, samples)

    def named(tree):
        arrays = {k: np.array(x) for k, x in tree.items()}
        if workload.kind != "LSTM":
            return arrays
        out = {"out.W": arrays["V"], "out.b": arrays["d"].reshape(1, -1)}
        return {**unpack_gates(arrays["W"], arrays["b"], GATES), **out}

    def gradients():
        value, g = jax.jit(jax.value_and_grad(loss))(held["p"], *workload.samples()[0])
        return float(value), named(g)

    return Run(
        step=step,
        gradients=gradients,
        weights=lambda: named(held["p"]),
        finish=lambda: jax.block_until_ready((held["loss"], held["p"])),
        steps_per_call=workload.n_scan if mode == "scan" else 1,
    )
