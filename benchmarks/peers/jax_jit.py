"""JAX: the whole step in one `jit`, parameters donated; or many steps in one `lax.scan`.

Few time steps of an LSTM are unrolled, many run in an inner `lax.scan`, which is faster than the
unrolled program and compiles in seconds rather than half a minute.
"""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp

from benchmarks.contestant import Run, turns
from benchmarks.models import Framework, adam, loss_of
from benchmarks.workloads import Workload

jax.config.update("jax_enable_x64", True)
# Faster for calls this short: 23 µs in place of 33 for the post's LSTM.
jax.config.update("jax_cpu_enable_async_dispatch", False)

LIBRARY = "jax"
MODES = {
    "resident": "JAX jit, a call a step, data resident",
    "call": "JAX jit, fresh NumPy in, float out",
    "scan": "JAX lax.scan over the steps",
}


class JAX(Framework):
    """Its own functions, and `lax.scan` over many time steps."""

    sigmoid, relu = staticmethod(jax.nn.sigmoid), staticmethod(jax.nn.relu)

    def bernoulli(self, logits, target):
        """By softplus."""
        return jnp.sum(jax.nn.softplus(logits) - target * logits)

    def cross_entropy(self, logits, target, n_batch):
        """By log_softmax."""
        return -jnp.sum(target * jax.nn.log_softmax(logits)) / n_batch

    def unroll(self, w, cell, parts, U):
        """Unrolled up to ten steps."""
        if w.n_steps <= 10:
            return super().unroll(w, cell, parts, U)

        def step(state, part):
            state = cell(part, *state, U)
            return state, state[0]

        zeros = jnp.zeros((w.n_batch, w.n_hidden))
        _, hidden = jax.lax.scan(step, (zeros, zeros), parts)
        return hidden.reshape(-1, w.n_hidden)


def update(w, p, g, state):
    """New parameters and state of the optimiser."""
    if w.method == "sgd":
        return jax.tree.map(lambda x, d: x - w.rate * d, p, g), state
    m, v, t = state
    new = {k: adam(w, t + 1.0, jnp.sqrt, p[k], g[k], m[k], v[k]) for k in p}
    p, m, v = ({k: parts[i] for k, parts in new.items()} for i in range(3))
    return p, (m, v, t + 1.0)


def prepare(workload: Workload, mode: str) -> Run:
    """One of MODES."""
    initial = workload.packed()
    loss = loss_of(workload, JAX(jnp))

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

    def gradients():
        value, g = jax.jit(jax.value_and_grad(loss))(held["p"], *workload.samples()[0])
        return float(value), workload.named(g)

    return Run(
        step=step,
        gradients=gradients,
        weights=lambda: workload.named(held["p"]),
        finish=lambda: jax.block_until_ready((held["loss"], held["p"])),
        steps_per_call=workload.n_scan if mode == "scan" else 1,
    )
