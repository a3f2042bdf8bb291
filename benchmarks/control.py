"""A control that touches no library: a loop in Python. Its spread is that of the machine."""

from __future__ import annotations

from benchmarks.contestant import Run
from benchmarks.workloads import Workload

LIBRARY = None
MODES = {"call": "control (a Python loop)"}


def _loop() -> int:
    total = 0
    for k in range(1000):
        total += k & 7
    return total


def prepare(workload: Workload, mode: str) -> Run:
    """The same loop for every workload."""
    return Run(step=_loop, gradients=None, weights=dict)
