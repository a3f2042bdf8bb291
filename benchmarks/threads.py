"""Large products and Adam's update on one thread and on several; products by BLAS beside them.

    python -m benchmarks.threads [--threads 2] [--seconds 1]

The least wall-clock time of many runs, in turns. BLAS runs in a fresh process for each number of
threads. Unset OPENBLAS_CORETYPE, or it may not use the best kernels for this machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np

import autodiff
from autodiff import Tensor, _core

SIZES = [(128, 784, 512), (784, 128, 512), (128, 400, 784), (32, 160, 512), (160, 1600, 128),
         (512, 512, 512), (1024, 1024, 1024)]  # fmt: skip


def product(m: int, k: int, n: int) -> Any:
    """One matrix product, added to what is there, as a compiled step."""
    random = np.random.default_rng(0)
    a, b = (Tensor(random.normal(size=shape)) for shape in ((m, k), (k, n)))
    c = Tensor(np.zeros((m, n)))
    return autodiff.compile(lambda: c.assign(c.value + a.value @ b.value))


def adam(n: int) -> Any:
    """Adam's update of n numbers, as a compiled step."""
    random = np.random.default_rng(0)
    w, g, m, v = (Tensor(random.uniform(0.5, 1.0, n)) for _ in range(4))

    def step() -> None:
        m.assign(0.9 * m.value + 0.1 * g.value)
        v.assign(0.9 * v.value + 0.1 * g.value**2)
        w.assign(w.value - 0.1 * m.value / (np.sqrt(v.value) + 0.1))

    return autodiff.compile(step)


def least(step: Any, counts: list[int], seconds: float) -> dict[int, float]:
    """Microseconds with each number of threads."""
    step()  # recorded
    best = dict.fromkeys(counts, float("inf"))
    end = time.perf_counter() + seconds * len(counts)
    while time.perf_counter() < end:
        for n in counts:
            autodiff.set_threads(n)
            for _ in range(20):
                start = time.perf_counter()
                step()
                best[n] = min(best[n], 1e6 * (time.perf_counter() - start))
    return best


def blas(threads: int, seconds: float) -> None:
    """In a process of its own: prints microseconds."""
    _core._blas_from(0.0)
    for size in SIZES:
        print(least(product(*size), [threads], seconds)[threads])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.threads")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--blas", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.blas:
        blas(given.threads, given.seconds)
        return
    counts = sorted({1, given.threads})
    theirs = {}
    for n in counts:
        command = [sys.executable, "-m", "benchmarks.threads", "--blas", "--threads", str(n)]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(n)}
        done = subprocess.run(
            [*command, "--seconds", str(given.seconds)],
            env=environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        theirs[n] = [float(line) for line in done.stdout.split()]
    _core._blas_from(float("inf"))
    print(f"{'microseconds':28}" + "".join(f"{f'ours, {n}':>12}{f'BLAS, {n}':>12}" for n in counts))
    for number, (m, k, n) in enumerate(SIZES):
        ours = least(product(m, k, n), counts, given.seconds)
        row = "".join(f"{ours[c]:12.1f}{theirs[c][number]:12.1f}" for c in counts)
        print(f"{f'{m} x {k} . {k} x {n}':28}{row}")
    update = least(adam(313_600), counts, given.seconds)
    print(f"{'Adam, 313600':28}" + "".join(f"{update[c]:12.1f}{'':12}" for c in counts))


if __name__ == "__main__":
    main()
