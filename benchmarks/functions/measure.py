"""Measuring: each library in a process of its own, in turns; the numbers compared before.

What is kept of a library is the median of its rounds; of a round the least time of a call.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.contest import Worker
from benchmarks.functions.problems import PROBLEMS

__all__ = ["OURS", "RIVALS", "compare", "numbers", "turn"]

OURS = (("ours", "arguments"), ("ours", "captured"), ("ours", "eager"))
RIVALS = (
    ("jax_jit", "jit"), ("hips", "eager"), ("torch_eager", "eager"), ("by_hand", "casadi-vm"),
    ("by_hand", "casadi-c"), ("by_hand", "numba"),
)  # fmt: skip
TOLERANCE = 1e-8

_steps: dict[tuple[str, str, str, str], Callable[[], Any]] = {}


def _step(library: str, mode: str, problem: str, want: str) -> Callable[[], Any]:
    key = library, mode, problem, want
    if key not in _steps:
        module = importlib.import_module(f"benchmarks.functions.{library}")
        _steps[key] = module.prepare(PROBLEMS[problem], want, mode)
    return _steps[key]


def numbers(library: str, mode: str, problem: str, want: str) -> list[list[float]]:
    """What a library gives, each output flat; of many numbers only each hundredth."""
    found = _step(library, mode, problem, want)()
    parts = [np.ravel(np.asarray(x)) for x in (found if isinstance(found, tuple) else (found,))]
    return [(x if x.size < 10_000 else x[::100]).astype(np.float64).tolist() for x in parts]


def turn(library: str, mode: str, problem: str, want: str, seconds: float) -> float:
    """Microseconds of a call: the least of a turn."""
    step = _step(library, mode, problem, want)
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - start)
    return 1e6 * best


def _ask(worker: Worker, function: str, **arguments: Any) -> dict[str, Any]:
    return worker.ask(
        do="task", module="benchmarks.functions.measure", function=function, arguments=arguments
    )


def compare(
    problem: str, want: str, peers: str | None, *, rounds: int, seconds: float
) -> dict[str, dict[str, Any]]:
    """By "library/mode" the microseconds of a call, or the reason why there are none.

    peers : the interpreter that has the rivals; None: ours only.
    """
    records: dict[str, dict[str, Any]] = {}
    workers: dict[str, tuple[Worker, dict[str, str]]] = {}
    golden: list[list[float]] = []
    for library, mode in (*OURS, *(RIVALS if peers else ())):
        python = sys.executable if library == "ours" else os.path.abspath(str(peers))
        worker, key = Worker(python, 1), f"{library}/{mode}"
        what = {"library": library, "mode": mode, "problem": problem, "want": want}
        answer = _ask(worker, "numbers", **what)
        found = answer.get("result", [])
        golden = golden or found
        gap = _gap(golden, found)
        if gap <= TOLERANCE:
            workers[key] = worker, what
            continue
        worker.quit()
        if not answer.get("does_not_fit"):
            reason = answer.get("error", f"disagrees with ours by {gap:.1e}; not timed")
            records[key] = {"reason": reason}
    times: dict[str, list[float]] = {key: [] for key in workers}
    for _ in range(rounds):
        for key, (worker, what) in workers.items():
            times[key].append(_ask(worker, "turn", **what, seconds=seconds)["result"])
    for worker, _ in workers.values():
        worker.quit()
    return {key: {"us": float(np.median(t))} for key, t in times.items()} | records


def _gap(ours: list[list[float]], theirs: list[list[float]]) -> float:
    """The largest difference, in units of the largest number of each output."""
    if [len(x) for x in ours] != [len(y) for y in theirs] or not ours:
        return float("inf")
    pairs = zip(ours, theirs, strict=True)
    gaps = [np.subtract(x, y) / max(np.max(np.abs(x)), 1e-300) for x, y in pairs]
    return float(max(np.max(np.abs(gap)) for gap in gaps))
