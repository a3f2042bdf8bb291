"""``python -m benchmarks.functions``: values, gradients, Hessians, Jacobians beside the rivals'.

Numbers are compared with ours before anything is timed. Then come rounds, in which each library
has a turn; what counts is the median of its rounds.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.contest import Worker
from benchmarks.functions.problems import PROBLEMS

__all__ = ["RIVALS", "main", "numbers", "turn"]

OURS = [("ours", "arguments"), ("ours", "captured"), ("ours", "eager")]
RIVALS = [
    ("jax_jit", "jit"), ("hips", "eager"), ("torch_eager", "eager"), ("by_hand", "casadi-vm"),
    ("by_hand", "casadi-c"), ("by_hand", "numba"),
]  # fmt: skip
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


def _ask(worker: Worker, function: str, **arguments: Any) -> Any:
    return worker.ask(
        do="task", module="benchmarks.functions.__main__", function=function, arguments=arguments
    )


def compare(problem: str, want: str, peers: str | None, rounds: int, seconds: float) -> None:
    """Print a line for each library, ours first."""
    entries = [*OURS, *(RIVALS if peers else [])]
    workers: dict[tuple[str, str], Worker] = {}
    golden: Any = None
    for library, mode in entries:
        python = sys.executable if library == "ours" else os.path.abspath(str(peers))
        worker = Worker(python, 1)
        answer = _ask(worker, "numbers", library=library, mode=mode, problem=problem, want=want)
        found = answer.get("result", [])
        golden = golden or found
        gap = _gap(golden, found)
        if not gap <= TOLERANCE:
            reason = answer.get("error", f"disagrees with ours by {gap:.1e}")
            if not answer.get("does_not_fit"):
                print(f"  {library:12} {mode:10} {reason}", flush=True)
            worker.quit()
            continue
        workers[library, mode] = worker
    times: dict[tuple[str, str], list[float]] = {key: [] for key in workers}
    for _ in range(rounds):
        for (library, mode), worker in workers.items():
            answer = _ask(
                worker, "turn", library=library, mode=mode, problem=problem, want=want,
                seconds=seconds,
            )  # fmt: skip
            times[library, mode].append(answer["result"])
    for worker in workers.values():
        worker.quit()
    first = None
    for (library, mode), found_times in times.items():
        middle = float(np.median(found_times))
        first = first or middle
        print(f"  {library:12} {mode:10} {middle:12.1f} us   {middle / first:8.2f} x", flush=True)


def _gap(ours: list[list[float]], theirs: list[list[float]]) -> float:
    """The largest difference, in units of the largest number of each output."""
    if [len(x) for x in ours] != [len(y) for y in theirs] or not ours:
        return float("inf")
    gaps = [
        np.subtract(x, y) / max(np.max(np.abs(x)), 1e-300)
        for x, y in zip(ours, theirs, strict=True)
    ]
    return float(max(np.max(np.abs(gap)) for gap in gaps))


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.functions", description=__doc__)
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter that has the rivals")
    parser.add_argument("--only", default="", help="problems with this in their name")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.1, help="of a turn")
    args = parser.parse_args(arguments)
    for problem in PROBLEMS.values():
        for want in problem.wants if args.only in problem.name else ():
            print(f"{problem.title}: {want}", flush=True)
            compare(problem.name, want, args.peers, args.rounds, args.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
