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

from autodiff import _core
from autodiff.program.code.flat import Code
from autodiff.program.code.kind import Operand
from autodiff.program.code.kinds.gemm import Gemm
from autodiff.program.code.kinds.map import Apply, Map, Window
from autodiff.program.code.load import program_of

SIZES = [(128, 784, 512), (784, 128, 512), (128, 400, 784), (32, 160, 512), (160, 1600, 128),
         (512, 512, 512), (1024, 1024, 1024)]  # fmt: skip
ADAM = [
    Apply("multiply", (2, 4), -1), Apply("multiply", (1, 5), -2), Apply("add", (-1, -2), 2),
    Apply("square", (1,), -1), Apply("multiply", (-1, 5), -1), Apply("multiply", (3, 4), -2),
    Apply("add", (-1, -2), 3), Apply("sqrt", (3,), -1), Apply("add", (-1, 5), -1),
    Apply("divide", (2, -1), -1), Apply("multiply", (-1, 5), -1), Apply("subtract", (0, -1), 0),
]  # fmt: skip

ADAM_COST = 17.0  # in additions


def product(m: int, k: int, n: int) -> Any:
    """One matrix product."""
    random = np.random.default_rng(0)
    a, b, c = random.normal(size=(m, k)), random.normal(size=(k, n)), np.zeros((m, n))
    x, y, z = (Operand(space, 0) for space in (1, 2, 3))
    gemm = Gemm(False, False, m, n, k, 1.0, None, x, k, y, n, 0.0, z, n, (), (), (), ())
    return program_of(Code(buffers=[a, b, c], instructions=[gemm]))


def adam(n: int) -> Any:
    """An update of n numbers in one run."""
    random = np.random.default_rng(0)
    tensors = [random.uniform(0.5, 1.0, n) for _ in range(4)]
    windows = [Window(Operand(i + 1, 0), (1,)) for i in range(4)]
    windows += [Window(Operand(5, i), (0,)) for i in range(2)]
    buffers = [*tensors, np.array([0.9, 0.1])]
    update = Map((n,), tuple(windows), tuple(ADAM), ADAM_COST)
    return program_of(Code(buffers=buffers, instructions=[update]))


def least(program: Any, counts: list[int], seconds: float) -> dict[int, float]:
    """Microseconds with each number of threads."""
    best = dict.fromkeys(counts, float("inf"))
    end = time.perf_counter() + seconds * len(counts)
    while time.perf_counter() < end:
        for n in counts:
            _core.set_threads(n)
            for _ in range(20):
                start = time.perf_counter()
                program.run()
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
