"""Contests: many contestants on one workload, each in its own process, taking turns.

A contestant first shows loss, gradients and weights after some steps; what disagrees with ours is
reported and not timed. Then come rounds: in each, every contestant runs for a tenth of a second.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kept import median_and_spread
from benchmarks.peers.install import absent
from benchmarks.workloads import WORKLOADS

__all__ = ["OURS", "PEERS", "Entry", "Worker", "contest", "environment"]

ROOT = Path(__file__).resolve().parents[1]
TOLERANCE = 1e-9
N_CHECKED = 3  # steps before weights and gradients are compared
TIME_LIMIT = 900.0  # seconds for an answer; CasADi's compiler may take its time


@dataclass(frozen=True)
class Entry:
    """A contestant: module, mode, and the library whose import is timed."""

    module: str
    mode: str
    package: str | None = None
    peer: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Short and unique, such as "jax_jit/scan"."""
        return f"{self.module.rpartition('.')[2]}/{self.mode}"


def _entries(module: str, library: str | None, modes: str, peer: bool = False) -> list[Entry]:
    return [Entry(f"benchmarks.{module}", mode, library, peer) for mode in modes.split()]


OURS: list[Entry] = [
    *_entries("ours", "autodiff", "call scan eager rebuilt reference"),
    *_entries("textbook", None, "call"),
    *_entries("by_hand", None, "call"),
    *_entries("floor", None, "scan"),
    *_entries("control", None, "call"),
]
"""Ours and the yardsticks; the first one's numbers are what the others are compared with."""

PEERS: list[Entry] = [
    *_entries("peers.jax_jit", "jax", "resident call scan", peer=True),
    *_entries("peers.pytensor_function", "pytensor", "call", peer=True),
    *_entries("peers.torch_eager", "torch", "call nn.LSTM compile", peer=True),
    *_entries("peers.casadi_function", "casadi", "call", peer=True),
    *_entries("peers.autograd_numpy", "autograd", "call", peer=True),
    *_entries("peers.mygrad_tensor", "mygrad", "call", peer=True),
    *_entries("peers.sklearn_mlp", "sklearn", "call", peer=True),
]
"""The rivals."""


def environment(n_threads: int) -> dict[str, str]:
    """Variables for a worker: so many threads, whatever the library calls them."""
    variables = dict(os.environ)
    # Set on some processors; together they pick an old kernel. All contestants go without.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        variables.pop(name, None)
    for name in ("OPENBLAS", "OMP", "MKL", "BLIS", "NUMBA", "NUMEXPR", "VECLIB_MAXIMUM"):
        variables[f"{name}_NUM_THREADS"] = str(n_threads)
    if n_threads == 1:
        variables["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    paths = [str(ROOT), *variables.get("PYTHONPATH", "").split(os.pathsep)]
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    variables["PYTHONWARNINGS"] = "ignore"
    return variables


class Worker:
    """A process that runs ``benchmarks.worker``, for one contestant or task."""

    def __init__(self, python: str, n_threads: int) -> None:
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        pinned = {cores[-1]} if n_threads == 1 and cores else None
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("BENCHMARKS_DEBUG") else subprocess.DEVNULL,
            env=environment(n_threads),
            cwd=ROOT,
            text=True,
        )
        if pinned:  # the library then sees one processor, whatever it is told
            os.sched_setaffinity(self.process.pid, pinned)

    def ask(self, limit: float = TIME_LIMIT, **message: Any) -> dict[str, Any]:
        """Send a message and wait for the answer; {"error": ...} if there is none."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps(message) + "\n")
            stdin.flush()
            if not select.select([stdout], [], [], limit)[0]:
                self.process.kill()
                return {"error": f"no answer within {limit:.0f} s"}
            line = stdout.readline()
        except OSError as error:
            return {"error": str(error)}
        if not line:
            return {"error": f"the process died, exit code {self.process.wait()}"}
        return json.loads(line)

    def quit(self) -> None:
        """End the process."""
        try:
            self.process.communicate(json.dumps({"do": "quit"}) + "\n", timeout=10)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


def difference(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """Largest difference of two checks, in units of the largest number of each array."""
    worst = 0.0
    for key, y in theirs.items():
        x = ours.get(key)
        if x is None or np.shape(x) != np.shape(y):
            return float("inf")
        scale = max(float(np.max(np.abs(x), initial=0.0)), 1e-30)
        gap = float(np.max(np.abs(x - y), initial=0.0)) / scale
        worst = max(worst, gap) if gap == gap else float("inf")
    return worst


def contest(
    workload: str,
    entries: Sequence[Entry],
    *,
    n_threads: int,
    pythons: dict[bool, str],
    rounds: int,
    seconds: float,
    shrunk: bool = False,
    say: Any = print,
) -> dict[str, dict[str, Any]]:
    """All entries on one workload; a record for each key, with "times" or a "reason".

    The first entry's numbers are those that the others must reproduce.

    pythons : the interpreter for {ours: False, rivals: True}.
    """
    missing = absent(pythons.get(True))
    records: dict[str, dict[str, Any]] = {}
    workers: dict[str, Worker] = {}
    chosen = WORKLOADS[workload].shrunk() if shrunk else WORKLOADS[workload]
    checks = [N_CHECKED, chosen.n_scan]
    golden: dict[str, Any] | None = None
    with tempfile.TemporaryDirectory() as folder:
        for entry in entries:
            record: dict[str, Any] = {}
            records[entry.key] = record
            python = pythons.get(entry.peer)
            if python is None:
                record["reason"] = "the rivals' environment was not made"
                continue
            file = os.path.join(folder, f"{len(records)}.npz")
            worker = Worker(python, n_threads)
            scan = entry.mode.endswith("scan")
            check = checks if golden is None else [checks[1] if scan else checks[0]]
            answer = worker.ask(
                do="start",
                module=entry.module,
                mode=entry.mode,
                library=entry.package,
                workload=workload,
                shrunk=shrunk,
                check=check,
                file=file,
                options=entry.options,
            )
            if "error" in answer:
                library = {"sklearn": "scikit-learn"}.get(entry.package or "", entry.package)
                record["reason"] = missing.get(library or "", answer["error"])
                record["does_not_fit"] = answer.get("does_not_fit", False)
                worker.quit()
                continue
            record.update(answer)
            with np.load(file) as stored:
                found = dict(stored)
            if golden is None:
                golden = found
            record["difference"] = difference(golden, found)
            if not record["difference"] <= TOLERANCE:
                record["reason"] = f"disagrees with ours by {record['difference']:.1e}; not timed"
                worker.quit()
                continue
            record["times"] = []
            workers[entry.key] = worker
        for _ in range(rounds):
            for key, worker in list(workers.items()):
                if n_threads > 1:
                    time.sleep(0.05)  # the other pools' threads go to sleep
                answer = worker.ask(do="run", seconds=seconds)
                if "error" in answer:
                    records[key]["reason"] = answer["error"]
                    workers.pop(key).quit()
                else:
                    records[key]["times"].append(answer["seconds"])
    for worker in workers.values():
        worker.quit()
    for key, record in records.items():
        if record.get("times"):
            middle = median_and_spread(record["times"])["median"]
            say(f"  {key:28} {middle * 1e6:12.2f} µs   {record['difference']:.0e}")
        elif not record.get("does_not_fit"):
            say(f"  {key:28} {record['reason']}")
    return records
