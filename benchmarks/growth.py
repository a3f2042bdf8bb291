"""How cost grows, what a recording costs, and that memory does not grow.

Each function is a task for a worker of its own (``benchmarks.worker``) and returns plain numbers.
"""

from __future__ import annotations

import dataclasses
import gc
import statistics
import time
from typing import Any

import autodiff
from benchmarks import by_hand, ours, textbook
from benchmarks.worker import enough_calls, rss, take_turn, time_calls
from benchmarks.workloads import LSTM, WORKLOADS, Workload

__all__ = ["AXES", "MODES", "cost", "memory_over", "passes", "recording"]

AXES: dict[str, tuple[int, ...]] = {
    "n_steps": (5, 20, 50, 200, 500, 1000, 2000, 5000, 10000),
    "n_hidden": (8, 16, 32, 64, 128, 256, 512, 1024),
    "n_batch": (1, 4, 16, 64, 128, 256, 512),
}
"""What is varied, one at a time; see :func:`varied` for the rest."""

MODES = {
    "autodiff, compiled": ("ours", "call"),
    "autodiff, eager": ("ours", "eager"),
    "textbook NumPy graph": ("textbook", "call"),
    "NumPy by hand": ("by_hand", "call"),
}
"""Curves."""

LIMITS = {"autodiff, compiled": 5000, "textbook NumPy graph": 5000, "NumPy by hand": 5000}
"""Time steps up to which a mode is run; eager goes on to 10,000."""


def varied(axis: str, size: int) -> LSTM:
    """The post's LSTM with more steps; or one of 10 steps with other sizes."""
    base = WORKLOADS["lstm-post"]
    assert isinstance(base, LSTM)
    sizes = {"n_steps": 10, "n_hidden": 32, "n_batch": 1, "n_in": 8, "n_out": 8}
    if axis == "n_steps":
        sizes = {"n_steps": size}
    elif axis == "n_batch":
        sizes["n_batch"] = size
    else:
        sizes["n_hidden"] = size
    return dataclasses.replace(base, n_samples=2, rate=1e-4, **sizes)


def cost(axis: str, size: int, mode: str, seconds: float, rounds: int) -> dict[str, Any]:
    """Seconds of a step, and bytes of memory above the imports'."""
    module_name, module_mode = MODES[mode]
    module = {"ours": ours, "textbook": textbook, "by_hand": by_hand}[module_name]
    workload = varied(axis, size)
    before = rss()
    run = module.prepare(workload, module_mode)
    run.step()
    n_calls = enough_calls(run, seconds)
    times = [take_turn(run, n_calls, seconds) for _ in range(rounds)]
    return {"seconds": statistics.median(times), "bytes": rss() - before}


def recording(n_steps: int) -> dict[str, Any]:
    """Seconds to record, improve and load the post's LSTM over so many steps; bytes."""
    workload = varied("n_steps", n_steps)
    model = ours.Model(workload)
    sample = workload.samples()[0]
    before = rss()
    step = autodiff.compile(model.step)
    started = time.perf_counter()
    recorded = step.recording(*sample)
    seconds = time.perf_counter() - started
    values = sum(8 * i.output.size for i in recorded.recorded.instructions)
    return {
        "first_seconds": seconds,
        "recorded": len(recorded.recorded.instructions),
        "instructions": len(recorded.code.instructions),
        "values_bytes": values,
        "arena_bytes": 8 * recorded.code.arena_size,
        "peak_bytes": rss() - before,
    }


def memory_over(n_steps: int, mode: str, workload: str = "lstm-post") -> dict[str, Any]:
    """Resident memory after a tenth of the steps and after all: training must not grow."""
    run = ours.prepare(WORKLOADS[workload], mode)
    n_calls = -(-n_steps // run.steps_per_call)
    time_calls(run, -(-n_calls // 10))
    gc.collect()
    begun = rss("VmRSS")
    time_calls(run, n_calls)
    gc.collect()
    return {"begun": begun, "ended": rss("VmRSS"), "n_steps": n_steps}


def passes(workload: str, seconds: float, rounds: int) -> dict[str, Any]:
    """Seconds of a step without each pass, and without all, in turns."""
    from autodiff.program.passes import PASSES

    chosen: Workload = WORKLOADS[workload]
    absent: dict[str, tuple[str, ...]] = {"": ()}
    absent.update({name: (name,) for name in PASSES})
    absent["all"] = tuple(PASSES)
    runs, found = {}, {}
    for name, without in absent.items():
        found[name] = {"times": []}
        try:
            runs[name] = ours.prepare(chosen, "call", without)
            runs[name].step()
        except Exception as error:
            found[name]["reason"] = f"{type(error).__name__}: {error}"[:200]
            runs.pop(name, None)
    calls = {name: enough_calls(run, seconds) for name, run in runs.items()}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name]["times"].append(take_turn(run, calls[name], seconds))
    return found
