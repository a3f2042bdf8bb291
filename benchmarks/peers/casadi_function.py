"""CasADi: the step as a graph of scalars, compiled to C with the system's compiler.

Called through its buffers, without conversion. New weights go to a second set of arrays; two
buffers take turns. Only for small models: every scalar product is a line of C.
"""

from __future__ import annotations

import os
import tempfile

import casadi as ca
import numpy as np

from benchmarks.contestant import DoesNotFit, Run, turns
from benchmarks.workloads import GATES, Workload

LIBRARY = "casadi"
MODES = {"call": "CasADi, scalar graph compiled to C"}
MAX_WEIGHTS = 5000


def _sigmoid(x):
    return 1.0 / (1.0 + ca.exp(-x))


def lstm_loss(w, p, x, target):
    """One batch row: x (T, n_in), target (T, n_out)."""
    h = c = ca.SX.zeros(1, w.n_hidden)
    total = 0.0
    for t in range(w.n_steps):
        z = ca.horzcat(x[t, :], h)
        f, i, o = (_sigmoid(z @ p[f"{g}.W"] + p[f"{g}.b"]) for g in GATES[:3])
        c = f * c + i * ca.tanh(z @ p["g.W"] + p["g.b"])
        h = o * ca.tanh(c)
        total += ca.sumsqr(h @ p["out.W"] + p["out.b"] - target[t, :])
    return 0.5 * total


def prepare(workload: Workload, mode: str) -> Run:
    """Build the graph, write C, compile it."""
    initial = workload.weights()
    size = sum(x.size for x in initial.values())
    if workload.kind != "LSTM" or workload.n_batch > 1 or size > MAX_WEIGHTS:
        raise DoesNotFit(f"a graph of scalars for {size} weights would take hours to compile")
    p = {name: ca.SX.sym(name.replace(".", "_"), *x.shape) for name, x in initial.items()}
    x = ca.SX.sym("x", workload.n_steps, workload.n_in)
    target = ca.SX.sym("target", workload.n_steps, workload.n_out)
    loss = lstm_loss(workload, p, x, target)
    flat = ca.vertcat(*[ca.vec(s) for s in p.values()])
    g = ca.gradient(loss, flat)
    names = ["x", "target", "p"]
    train = ca.Function("train", [x, target, flat], [loss, flat - workload.rate * g])
    gradient = ca.Function("gradient", [x, target, flat], [loss, g], names, ["loss", "g"])
    with tempfile.TemporaryDirectory() as folder:
        train = _compiled(train, folder)
    # Column-major, like all of CasADi.
    held = [np.concatenate([w.ravel(order="F") for w in initial.values()])]
    held.append(held[0].copy())
    sample = [np.zeros(x.numel()), np.zeros(target.numel())]
    value = np.zeros(1)
    calls = []
    for old, new in ((0, 1), (1, 0)):
        buffer, run = train.buffer()
        for k, array in enumerate([*sample, held[old]]):
            buffer.set_arg(k, memoryview(array))
        buffer.set_res(0, memoryview(value))
        buffer.set_res(1, memoryview(held[new]))
        calls.append((run, buffer))  # the buffers must outlive this function
    turn = 0
    x_in = sample[0].reshape(x.shape, order="F")
    target_in = sample[1].reshape(target.shape, order="F")

    def one(x_new, target_new):
        nonlocal turn
        x_in[...] = x_new[:, 0]
        target_in[...] = target_new
        calls[turn][0]()
        turn = 1 - turn
        return float(value[0])

    def named(vector):
        found, at = {}, 0
        for name, w in initial.items():
            found[name] = np.array(vector[at : at + w.size]).reshape(w.shape, order="F")
            at += w.size
        return found

    def gradients():
        x0, target0 = workload.samples()[0]
        loss, g = gradient(x0[:, 0], target0, held[turn])
        return float(loss), named(np.array(g).ravel())

    return Run(turns(workload, one), gradients, lambda: named(held[turn]))


def _compiled(function, folder):
    at = os.getcwd()
    os.chdir(folder)
    try:
        source = function.generate("train.c")
        compiler = os.environ.get("CC", "cc")
        flags = "-O3 -march=native -fno-math-errno -shared -fPIC"
        if os.system(f"{compiler} {flags} {source} -o train.so -lm"):
            raise RuntimeError("the C compiler failed")
        return ca.external("train", "./train.so")
    finally:
        os.chdir(at)
