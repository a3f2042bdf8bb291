"""The floor: hand-written C for the post's LSTM and auto-encoder, called by ctypes.

``floor.c`` is compiled when first needed, by the system's compiler and for this machine. A call
takes many steps, looped in C, as `scan` does.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shlex
import subprocess
import sysconfig
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.contestant import DoesNotFit, Run
from benchmarks.workloads import GATES, LSTM, VAE, Array, Arrays, Workload

__all__ = ["MODES", "machine_code", "prepare"]

LIBRARY = None
MODES = {"scan": "hand-written C, vector extensions, looped in C"}

FLAGS = ["-O3", "-march=native", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math"]
FLAGS += ["-shared", "-fPIC"]
_POINTER = ctypes.POINTER(ctypes.c_double)
_PADDED = 16  # columns of a gate


@functools.cache
def machine_code() -> ctypes.CDLL:
    """floor.c, compiled for this machine."""
    source = Path(__file__).with_name("floor.c")
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[:1]
    digest = hashlib.sha256(source.read_bytes() + " ".join(compiler + FLAGS).encode()).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"autodiff-floor-{os.getuid()}"
    folder.mkdir(exist_ok=True, mode=0o700)
    target = folder / f"{digest[:16]}.so"
    if not target.exists():
        unfinished = target.with_suffix(f".{os.getpid()}")
        command = [*compiler, *FLAGS, str(source), "-o", str(unfinished), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DoesNotFit(f"floor.c was not compiled: {done.stderr[-300:]}")
        unfinished.replace(target)
    loaded = ctypes.CDLL(str(target))
    for name in ("lstm_scan", "vae_scan"):
        getattr(loaded, name).restype = None
    return loaded


def pointer(array: Array) -> ctypes._Pointer:
    """Where the numbers of a contiguous float64 array are."""
    assert array.flags.c_contiguous
    assert array.dtype == np.float64
    return array.ctypes.data_as(_POINTER)


def aligned(*shape: int) -> Array:
    """Zeros at a multiple of 64 bytes."""
    size = int(np.prod(shape))
    raw = np.zeros(size + 8)
    offset = (-raw.ctypes.data % 64) // 8
    return raw[offset : offset + size].reshape(shape)


def prepare(workload: Workload, mode: str) -> Run:
    """The post's two models; others do not fit."""
    if isinstance(workload, LSTM):
        model = LSTMFloor(workload)
    elif isinstance(workload, VAE):
        model = VAEFloor(workload)
    else:
        raise DoesNotFit("written for the post's LSTM and VAE")
    first = [np.ascontiguousarray(x[None]) for x in workload.samples()[0]]
    stacked = [np.ascontiguousarray(x) for x in workload.stacked()]

    def gradients():
        # A step of rate 1 from the same weights moves them by the gradient.
        before = model.pack(model.weights())
        loss = model.scan(first, before, 1.0)[0]
        after = model.unpack(before)
        return loss, {name: w - after[name] for name, w in model.weights().items()}

    return Run(
        step=lambda: model.scan(stacked, model.memory, workload.rate),
        gradients=gradients,
        weights=model.weights,
        steps_per_call=workload.n_scan,
    )


class LSTMFloor:
    """Weights as `lstm_weights` in floor.c."""

    def __init__(self, workload: LSTM) -> None:
        sizes = (workload.n_in, workload.n_hidden, workload.n_out, workload.n_batch)
        if sizes != (2, 15, 2, 1) or workload.n_steps > 64:
            raise DoesNotFit("written for 2 inputs, 15 units, 2 outputs, batch 1")
        self.n_steps = workload.n_steps
        self.call = machine_code().lstm_scan
        self.memory = self.pack(workload.weights())
        self.losses = np.empty(workload.n_scan)

    def pack(self, weights: Arrays) -> Array:
        """One array: 18 rows of 4 padded gates; output weights, transposed; output bias."""
        memory = aligned(18 * 64 + 2 * 16 + 8)
        w = memory[: 18 * 64].reshape(18, 4, _PADDED)
        for k, gate in enumerate(GATES):
            w[:17, k, :15] = weights[f"{gate}.W"]
            w[17, k, :15] = weights[f"{gate}.b"]
        memory[18 * 64 : 18 * 64 + 32].reshape(2, 16)[:, :15] = weights["out.W"].T
        memory[18 * 64 + 32 : 18 * 64 + 34] = weights["out.b"]
        return memory

    def unpack(self, memory: Array) -> Arrays:
        """The reverse."""
        w = memory[: 18 * 64].reshape(18, 4, _PADDED)
        weights: Arrays = {}
        for k, gate in enumerate(GATES):
            weights[f"{gate}.W"] = np.array(w[:17, k, :15])
            weights[f"{gate}.b"] = np.array(w[17:, k, :15])
        weights["out.W"] = np.array(memory[18 * 64 : 18 * 64 + 32].reshape(2, 16)[:, :15].T)
        weights["out.b"] = np.array(memory[18 * 64 + 32 : 18 * 64 + 34]).reshape(1, 2)
        return weights

    def weights(self) -> Arrays:
        """The present weights."""
        return self.unpack(self.memory)

    def scan(self, stacked: list[Array], memory: Array, rate: float) -> Array:
        """Many steps; the losses."""
        x, target = stacked
        self.call(
            pointer(memory),
            self.n_steps,
            ctypes.c_long(len(x)),
            pointer(x),
            pointer(target),
            ctypes.c_double(rate),
            pointer(self.losses),
        )
        return self.losses


class _VAEWeights(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("n", "h", "k", "n_hidden", "n_latent")] + [
        (name, _POINTER) for name in ("w1", "b1", "wm", "bm", "wv", "bv", "w2", "b2")
    ]


class VAEFloor:
    """Weights as `vae_weights` in floor.c, padded to multiples of 8."""

    LAYERS = ("encoder", "mean", "log_variance", "output")

    def __init__(self, workload: VAE) -> None:
        n, h, k = workload.n_in, workload.n_hidden, workload.n_latent
        if workload.n_decoder or workload.n_batch != 1 or n % 8 or n > 1024 or h > 64 or k > 32:
            raise DoesNotFit("written for batch 1, no decoder layer, n_in a multiple of 8")
        self.n_hidden, self.n_latent = h, k
        self.real = {"encoder": (n, h), "mean": (h, k), "log_variance": (h, k), "output": (k, n)}
        self.call = machine_code().vae_scan
        self.mask = aligned(32)
        self.mask[:k] = 1.0
        self.memory = self.pack(workload.weights())
        self.losses = np.empty(workload.n_scan)

    def pack(self, weights: Arrays) -> Arrays:
        """Padded copies."""
        packed: Arrays = {}
        for name in self.LAYERS:
            n_in, n_out = self.real[name]
            columns = -(-n_out // 8) * 8
            packed[f"{name}.W"] = aligned(-(-n_in // 8) * 8, columns)
            packed[f"{name}.W"][:n_in, :n_out] = weights[f"{name}.W"]
            packed[f"{name}.b"] = aligned(1, columns)
            packed[f"{name}.b"][:, :n_out] = weights[f"{name}.b"]
        return packed

    def unpack(self, packed: Arrays) -> Arrays:
        """Without the padding."""
        weights: Arrays = {}
        for name in self.LAYERS:
            n_in, n_out = self.real[name]
            weights[f"{name}.W"] = np.array(packed[f"{name}.W"][:n_in, :n_out])
            weights[f"{name}.b"] = np.array(packed[f"{name}.b"][:, :n_out])
        return weights

    def weights(self) -> Arrays:
        """The present weights."""
        return self.unpack(self.memory)

    def scan(self, stacked: list[Array], packed: Arrays, rate: float) -> Array:
        """Many steps; the losses."""
        x, noise = stacked
        rows = [packed[f"{name}.W"].shape for name in self.LAYERS]
        n, h, k = rows[0][0], rows[0][1], rows[1][1]
        fields = [pointer(packed[f"{name}.{part}"]) for name in self.LAYERS for part in "Wb"]
        self.call(
            ctypes.byref(_VAEWeights(n, h, k, self.n_hidden, self.n_latent, *fields)),
            ctypes.c_long(len(x)),
            pointer(x),
            pointer(noise),
            pointer(self.mask),
            ctypes.c_double(rate),
            pointer(self.losses),
        )
        return self.losses
