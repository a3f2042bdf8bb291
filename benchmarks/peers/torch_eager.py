"""PyTorch: eager with fused optimisers, and `torch.compile` of forward, backward and update.

For the LSTM, eager runs both `nn.LSTM`, whose cell is one kernel, and the cell written out with
packed gates.
"""

from __future__ import annotations

import os

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.contestant import DoesNotFit, Run, turns
from benchmarks.models import Framework, loss_of
from benchmarks.workloads import ADAM, Workload, pack_gates, unpack_gates

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "0")) or os.cpu_count() or 1)

LIBRARY = "torch"
MODES = {
    "call": "PyTorch eager",
    "nn.LSTM": "PyTorch eager, nn.LSTM",
    "compile": "PyTorch, torch.compile of the whole step",
}
TORCH_GATES = ("i", "f", "g", "o")


class Torch(Framework):
    """Products that add, fused losses, and cuts that are views."""

    sigmoid, relu = staticmethod(torch.sigmoid), staticmethod(torch.relu)

    def dense(self, x, W, b):
        """One kernel for matrices."""
        return torch.addmm(b, x, W) if x.dim() == 2 else x @ W + b

    def squared_error(self, y, target):
        """Fused."""
        return F.mse_loss(y, target, reduction="sum")

    def bernoulli(self, logits, target):
        """Fused."""
        return F.binary_cross_entropy_with_logits(logits, target, reduction="sum")

    def cross_entropy(self, logits, target, n_batch):
        """Fused; a mean over the rows."""
        return F.cross_entropy(logits, target)

    def gates(self, sums, n):
        """Four views by one operation."""
        f, i, o, g = sums.chunk(4, dim=1)
        return torch.sigmoid(f), torch.sigmoid(i), torch.sigmoid(o), torch.tanh(g)

    def zeros(self, n_rows, n_columns):
        """Of its own kind."""
        return torch.zeros((n_rows, n_columns), dtype=torch.float64)

    def unroll(self, w, cell, parts, U):
        """All parts by one operation."""
        return super().unroll(w, cell, parts.unbind(), U)


def prepare(workload: Workload, mode: str) -> Run:
    """One of MODES."""
    if mode == "nn.LSTM":
        if workload.kind != "LSTM":
            raise DoesNotFit("not an LSTM")
        p, loss, named = _nn_lstm(workload)
    else:
        p = {k: torch.tensor(x).requires_grad_() for k, x in workload.packed().items()}
        loss, named = loss_of(workload, Torch(torch)), workload.named
    one = (_compiled if mode == "compile" else _eager)(workload, p, loss)
    first = [torch.from_numpy(x) for x in workload.samples()[0]]

    def gradients():
        value = loss(p, *first)
        g = torch.autograd.grad(value, list(p.values()))
        return value.item(), named({k: np.array(x) for k, x in zip(p, g, strict=True)})

    return Run(
        step=turns(workload, lambda *sample: one(*map(torch.from_numpy, sample))),
        gradients=gradients,
        weights=lambda: named({k: np.array(x.detach()) for k, x in p.items()}),
    )


def _eager(workload, p, loss):
    parameters = list(p.values())
    if workload.method == "sgd":
        optimiser = torch.optim.SGD(parameters, lr=workload.rate, fused=True)
    else:
        betas = (ADAM["beta1"], ADAM["beta2"])
        optimiser = torch.optim.Adam(
            parameters, lr=workload.rate, betas=betas, eps=ADAM["epsilon"], fused=True
        )

    def one(*sample):
        optimiser.zero_grad(set_to_none=True)
        value = loss(p, *sample)
        value.backward()
        optimiser.step()
        return value.item()

    return one


def _compiled(workload, p, loss):
    """Forward, backward and update as one function that changes the parameters in place."""
    held = {k: x.detach() for k, x in p.items()}  # the same memory
    beta1, beta2, epsilon = ADAM["beta1"], ADAM["beta2"], ADAM["epsilon"]
    adam = workload.method == "adam"
    m = {k: torch.zeros_like(x) for k, x in held.items()}
    v = {k: torch.zeros_like(x) for k, x in held.items()}
    rate = torch.tensor(workload.rate, dtype=torch.float64)
    scale = torch.ones((), dtype=torch.float64)
    n_steps = 0

    @torch.compile(fullgraph=True)
    def train(p, m, v, rate, scale, *sample):
        g, value = torch.func.grad_and_value(loss)(p, *sample)
        for k, x in p.items():
            if adam:
                m[k].mul_(beta1).add_((1.0 - beta1) * g[k])
                v[k].mul_(beta2).add_((1.0 - beta2) * g[k] * g[k])
                x.sub_(rate * m[k] / (scale * v[k].sqrt() + epsilon))
            else:
                x.sub_(workload.rate * g[k])
        return value

    def one(*sample):
        nonlocal n_steps
        if adam:
            n_steps += 1
            rate.fill_(workload.rate / (1.0 - beta1**n_steps))
            scale.fill_((1.0 - beta2**n_steps) ** -0.5)
        with torch.no_grad():
            return train(held, m, v, rate, scale, *sample).item()

    return one


def _nn_lstm(w):
    """nn.LSTM and nn.Linear; its second bias stays 0."""
    initial = w.weights()
    W, b = pack_gates(initial, TORCH_GATES)
    lstm = torch.nn.LSTM(w.n_in, w.n_hidden, dtype=torch.float64)
    out = torch.nn.Linear(w.n_hidden, w.n_out, dtype=torch.float64)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(torch.from_numpy(W[: w.n_in].T.copy()))
        lstm.weight_hh_l0.copy_(torch.from_numpy(W[w.n_in :].T.copy()))
        lstm.bias_ih_l0.copy_(torch.from_numpy(b))
        lstm.bias_hh_l0.zero_()
        out.weight.copy_(torch.from_numpy(initial["out.W"].T.copy()))
        out.bias.copy_(torch.from_numpy(initial["out.b"][0]))
    lstm.bias_hh_l0.requires_grad_(False)

    def loss(p, x, target):
        hidden, _ = lstm(x)
        y = out(hidden.reshape(-1, w.n_hidden))
        return 0.5 * F.mse_loss(y, target, reduction="sum") / w.n_batch

    p = {
        "x": lstm.weight_ih_l0,
        "h": lstm.weight_hh_l0,
        "b": lstm.bias_ih_l0,
        "V": out.weight,
        "d": out.bias,
    }

    def named(a):
        W = np.concatenate([a["x"].T, a["h"].T])
        last = {"out.W": np.ascontiguousarray(a["V"].T), "out.b": a["d"].reshape(1, -1)}
        return {**unpack_gates(W, a["b"], TORCH_GATES), **last}

    return p, loss, named
