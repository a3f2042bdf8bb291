"""What a step costs at least: operations, bytes, bare matrix products, transcendental functions.

The products are run in the BLAS that we use (SciPy's), called from a loop in C (``floor.c``), in
the best order known: inputs of all time steps in one product, weight gradients of all time steps in
one. The functions are charged at the measured rate of ``floor.c``'s, which is vectorised. The sum
of both is the yardstick; elementwise work, the update and memory come on top.
"""

from __future__ import annotations

import ctypes
import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import floor
from benchmarks.contestant import Run
from benchmarks.worker import enough_calls, take_turn
from benchmarks.workloads import LSTM, MLP, VAE, WORKLOADS, Workload

__all__ = ["costs", "measure"]

Product = tuple[int, int, int, int, int, str, str, str]
"""Transpose A, transpose B, m, n, k, and the names of A, B and C."""


def _dense(name: str, n_batch: int, n_in: int, n_out: int, *, first: bool) -> list[Product]:
    """Forward; gradient of W; gradient of x unless it is the input."""
    x, y, W = f"{name}.x", f"{name}.y", f"{name}.W"
    forward = (0, 0, n_batch, n_out, n_in, x, W, y)
    dW = (1, 0, n_in, n_out, n_batch, x, f"{name}.dy", f"{name}.dW")
    dx = (0, 1, n_batch, n_in, n_out, f"{name}.dy", W, f"{name}.dx")
    return [forward, dW] if first else [forward, dW, dx]


def products(w: Workload) -> list[Product]:
    """All matrix products of one step."""
    if isinstance(w, LSTM):
        T, B, H, rows = w.n_steps, w.n_batch, w.n_hidden, w.n_steps * w.n_batch
        found = _dense("in", rows, w.n_in, 4 * H, first=True)
        for t in range(1, T):  # the first state is 0
            found.append((0, 0, B, 4 * H, H, f"h{t - 1}", "U", f"a{t}"))
            found.append((0, 1, B, H, 4 * H, f"da{t}", "U", f"dh{t - 1}"))
        found.append((1, 0, H, 4 * H, rows - B, "h", "da", "dU"))
        return found + _dense("out", rows, H, w.n_out, first=False)
    if isinstance(w, VAE):
        n, h, k, d, B = w.n_in, w.n_hidden, w.n_latent, w.n_decoder, w.n_batch
        found = _dense("encoder", B, n, h, first=True)
        found += _dense("mean", B, h, k, first=False)
        found += _dense("log_variance", B, h, k, first=False)
        if d:
            found += _dense("decoder", B, k, d, first=False)
        return found + _dense("output", B, d or k, n, first=False)
    assert isinstance(w, MLP)
    found = []
    for i, (n, m) in enumerate(zip(w.sizes[:-1], w.sizes[1:], strict=True)):
        found += _dense(str(i), w.n_batch, n, m, first=i == 0)
    return found


def functions(w: Workload) -> dict[str, int]:
    """How often each transcendental function is needed."""
    if isinstance(w, LSTM):
        states = w.n_steps * w.n_batch * w.n_hidden
        return {"sigmoid": 3 * states, "tanh": 2 * states}
    if isinstance(w, VAE):
        hidden = w.n_batch * (w.n_hidden + w.n_decoder)
        pixels = w.n_batch * w.n_in
        return {"tanh": hidden, "exp": pixels + w.n_batch * w.n_latent, "log1p": pixels}
    assert isinstance(w, MLP)
    if w.activation == "sigmoid":
        return {"sigmoid": w.n_batch * sum(w.sizes[1:])}
    return {"exp": w.n_batch * w.sizes[-1]}


def costs(w: Workload) -> dict[str, Any]:
    """Operations of the products, and bytes that must move at least.

    Bytes: weights read in both passes and written, with Adam's two moments read and written; inputs
    read.
    """
    sizes = sum(x.size for x in w.weights().values())
    inputs = sum(x.size for x in w.samples()[0])
    moved = sizes * (3 if w.method == "sgd" else 7) + inputs
    flops = sum(2 * m * n * k for _, _, m, n, k, *_ in products(w))
    return {"flops": flops, "bytes": 8 * moved, "weights": sizes, "functions": functions(w)}


def _middle(call: Callable[[], Any], seconds: float = 0.03, rounds: int = 7) -> float:
    """Seconds of a call: the median over rounds of what contestants are measured by."""
    run = Run(call, None, dict)
    call()
    n_calls = enough_calls(run, seconds)
    return statistics.median(take_turn(run, n_calls, seconds) for _ in range(rounds))


def blas(function: str) -> int:
    """Address of a function of SciPy's BLAS; its integers must have 32 bits."""
    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__[function]
    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    name = name_of(capsule)
    if b"int *" not in name:
        raise RuntimeError(f"{function} takes other integers: {name!r}")
    return pointer_of(capsule, name)


def time_products(w: Workload) -> float:
    """Seconds of all products of a step, one after the other, looped in C."""
    places: dict[str, int] = {}
    end = 0
    rows = products(w)
    for _, _, m, n, k, *names in rows:
        for name, size in zip(names, (m * k, k * n, m * n), strict=True):
            if name not in places:
                places[name] = end
                end += -(-size // 8) * 8
    table = np.array([row[:5] for row in rows], dtype=np.int32)
    place = np.array([[places[name] for name in row[5:]] for row in rows], dtype=np.int64)
    memory = floor.aligned(end)
    memory[:] = np.random.default_rng(0).uniform(-1.0, 1.0, memory.size)
    call = floor.machine_code().products
    call.restype = None
    arguments = (
        *[ctypes.c_void_p(blas(name)) for name in ("dgemm", "dgemv", "dger")],
        ctypes.c_long(len(table)),
        table.ctypes.data_as(ctypes.c_void_p),
        place.ctypes.data_as(ctypes.c_void_p),
        floor.pointer(memory),
    )
    return _middle(lambda: call(*arguments))


def time_functions(w: Workload) -> float:
    """Seconds of all transcendental functions of a step, at the rate of arrays in the cache."""
    n = 4096
    x, z = floor.aligned(n), floor.aligned(n)
    x[:] = np.random.default_rng(0).uniform(0.0, 1.0, n)
    total = 0.0
    for name, count in functions(w).items():
        call = getattr(floor.machine_code(), f"{name}_all")
        call.restype = None
        arguments = floor.pointer(z), floor.pointer(x), ctypes.c_long(n)
        overhead = _middle(lambda: call(*arguments[:2], ctypes.c_long(0)), 0.005)  # noqa: B023
        taken = _middle(lambda: call(*arguments), 0.005)  # noqa: B023
        total += count * max(taken - overhead, 0.0) / n
    return total


def measure(workload: str) -> dict[str, Any]:
    """Costs and times of one workload."""
    w = WORKLOADS[workload]
    found = costs(w)
    found["products_seconds"] = time_products(w)
    found["functions_seconds"] = time_functions(w)
    found["n_products"] = len(products(w))
    found["gflops"] = found["flops"] / found["products_seconds"] / 1e9
    assert math.isfinite(found["gflops"])
    return found
