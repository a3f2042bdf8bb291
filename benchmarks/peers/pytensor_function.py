"""PyTensor: the whole step as one function with shared variables, compiled through Numba.

Few time steps are unrolled; many run in `pytensor.scan`.
"""

from __future__ import annotations

import numpy as np
import pytensor
import pytensor.tensor as pt

from benchmarks.contestant import Run, turns
from benchmarks.models import Framework, adam, loss_of
from benchmarks.workloads import Workload

pytensor.config.floatX = "float64"

LIBRARY = "pytensor"
MODES = {"call": "PyTensor (Numba), a call a step"}


class PyTensor(Framework):
    """Its own functions, and `scan` over many time steps."""

    sigmoid = staticmethod(pt.sigmoid)

    def dense(self, x, W, b):
        """Products of matrices only, and known shapes."""
        if x.ndim == 2:
            return x @ W + b
        n_steps, n_batch, n_in = x.type.shape
        flat = x.reshape((n_steps * n_batch, n_in)) @ W + b
        return flat.reshape((n_steps, n_batch, b.get_value(borrow=True).size))

    def bernoulli(self, logits, target):
        """By softplus."""
        return pt.sum(pt.softplus(logits) - target * logits)

    def cross_entropy(self, logits, target, n_batch):
        """By log_softmax."""
        return -pt.sum(target * pt.special.log_softmax(logits, axis=1)) / n_batch

    def zeros(self, n_rows, n_columns):
        """Symbolic ones."""
        return pt.zeros((n_rows, n_columns))

    def unroll(self, w, cell, parts, U):
        """Unrolled up to ten steps."""
        if w.n_steps <= 10:
            return super().unroll(w, cell, parts, U)
        zeros = self.zeros(w.n_batch, w.n_hidden)
        (hidden, _), _ = pytensor.scan(
            cell, sequences=[parts], outputs_info=[zeros, zeros], non_sequences=[U], strict=True
        )
        return hidden.reshape((w.n_steps * w.n_batch, w.n_hidden))


def updates(w, p, g):
    """New values of all shared variables."""
    if w.method == "sgd":
        return [(x, x - w.rate * d) for x, d in zip(p, g, strict=True)]
    n_steps = pytensor.shared(np.float64(0.0))
    changes = [(n_steps, n_steps + 1.0)]
    for x, d in zip(p, g, strict=True):
        m, v = (_shared(np.zeros_like(x.get_value())) for _ in range(2))
        new = adam(w, n_steps + 1.0, pt.sqrt, x, d, m, v)
        changes += zip((x, m, v), new, strict=True)
    return changes


def _shared(x, name=None):
    """With axes of one element known, so that they broadcast."""
    return pytensor.shared(x, name=name, shape=tuple(1 if n == 1 else None for n in x.shape))


def prepare(workload: Workload, mode: str) -> Run:
    """Build and compile."""
    p = {name: _shared(x, name) for name, x in workload.packed().items()}
    first = workload.samples()[0]
    variables = [pt.tensor3("x") if x.ndim == 3 else pt.matrix() for x in first]
    inputs = [
        pt.specify_shape(v, x.shape) if v.ndim == 3 else v
        for v, x in zip(variables, first, strict=True)
    ]
    loss = loss_of(workload, PyTensor(pt))(p, *inputs)
    g = pytensor.grad(loss, list(p.values()))
    train = pytensor.function(variables, loss, updates=updates(workload, list(p.values()), g))
    train.trust_input = True

    def gradients():
        value, *arrays = pytensor.function(variables, [loss, *g])(*first)
        return float(value), workload.named(dict(zip(p, arrays, strict=True)))

    return Run(
        step=turns(workload, lambda *sample: float(train(*sample))),
        gradients=gradients,
        weights=lambda: workload.named({k: x.get_value() for k, x in p.items()}),
    )
