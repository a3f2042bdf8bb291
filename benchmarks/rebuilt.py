"""Graphs that are built anew in every step: what a node costs, beside HIPS autograd if it is there.

``python -m benchmarks.rebuilt --peers PYTHON``. Both build, compute and differentiate the same
expressions, in processes of their own, turn by turn; told is the least CPU time. A node is one
op of the expression; literals count as part of the op that reads them.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.contest import Worker
from benchmarks.workloads import WORKLOADS

__all__ = ["GROWTH", "MODELS", "growth", "main", "turn"]

N = 1000


def _unary(f: Any, x: Any) -> Any:
    for _ in range(N // 2):
        x = -f.tanh(x)
    return x


def _binary(f: Any, x: Any) -> Any:
    y = x
    for _ in range(N // 2):
        y = y * x + x
    return y


def _mixed(f: Any, x: Any) -> Any:
    y = x
    for _ in range(N // 4):
        y = f.tanh(f.sin(y) * x) + y
    return y


def _literals(f: Any, x: Any) -> Any:
    for _ in range(N // 2):
        x = x * 0.9 + 0.1
    return x


def _getitem(f: Any, x: Any) -> Any:
    for _ in range(N):
        x = x[::-1]
    return f.sum(x)


def _sum(f: Any, x: Any) -> Any:
    x = f.sum(x)
    for _ in range(N):
        x = f.sum(x)
    return x


def _joins(f: Any, x: Any) -> Any:
    for _ in range(N // 3):
        x = f.concatenate([x[:1], x[1:]])
    return f.sum(x)


MODELS: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {
    "unary": (_unary, 0.5),
    "binary": (_binary, 0.5),
    "mixed": (_mixed, 0.5),
    "literals": (_literals, 0.5),
    "getitem": (_getitem, [0.5, 0.2, 0.1]),
    "sum": (_sum, [0.5, 0.2, 0.1]),
    "concat and slices": (_joins, [0.5, 0.2, 0.1]),
}
"""Chains of a thousand nodes: the expression, of functions and an input; and its first value."""

_steps: dict[tuple[str, str], Callable[[], Any]] = {}


def turn(library: str, what: str, seconds: float) -> float:
    """Microseconds of CPU time for a node, or a step of the post's LSTM: the least of a turn."""
    step = _steps.get((library, what))
    if step is None:
        step = _steps[library, what] = _step(library, what)
        step()
    gc.collect()
    best, until = float("inf"), time.process_time() + seconds
    while time.process_time() < until:
        start = time.process_time()
        step()
        best = min(best, time.process_time() - start)
    return 1e6 * best / (1 if what == "LSTM" else N)


def _step(library: str, what: str) -> Callable[[], Any]:
    if what == "LSTM":
        return _lstm(library)
    build, begin = MODELS[what]
    if library == "autograd":
        import autograd
        import autograd.numpy as f

        gradient = autograd.grad(lambda x: build(f, x))
        return lambda: gradient(np.array(begin) if isinstance(begin, list) else begin)
    import autodiff

    x = autodiff.Tensor(begin)

    class Functions:
        tanh, sin, sum = autodiff.tanh, autodiff.sin, autodiff.sum

        @staticmethod
        def concatenate(parts: Any) -> Any:
            return autodiff.concat(parts, 0)

    def step() -> Any:
        autodiff.backward(build(Functions, x))
        return x.gradient

    return step


def _lstm(library: str) -> Callable[[], Any]:
    workload = WORKLOADS["lstm-post"]
    if library == "autograd":
        from benchmarks.peers.autograd_numpy import prepare

        return prepare(workload, "call").step
    from benchmarks.ours import Model

    model, sample = Model(workload), workload.samples()[0]
    return lambda: model.step(*sample).item()


# ---- growth ---------------------------------------------------------------------------------


def _joined(n_steps: int) -> tuple[Any, Any]:
    """The concat of the outputs of all steps."""
    import autodiff

    w, h = autodiff.Tensor(np.full((1, 4), 0.9)), autodiff.Tensor(np.ones((1, 4)), constant=True)
    outputs = []
    for _ in range(n_steps):
        h = autodiff.tanh(h * w)
        outputs.append(h)
    return w, autodiff.square(autodiff.concat(outputs, 0)).sum()


def _sliced(n_steps: int) -> tuple[Any, Any]:
    """A slice for each step."""
    import autodiff

    x = autodiff.Tensor(np.ones((n_steps, 4)))
    rows = [autodiff.tanh(x[t]) for t in range(n_steps)]
    return x, autodiff.concat(rows, 0).sum()


GROWTH: dict[str, Callable[[int], tuple[Any, Any]]] = {"concat": _joined, "slices": _sliced}
"""Graphs over the number of time steps; each is built once."""


def growth(what: str, n_steps: int, rounds: int) -> float:
    """Microseconds of CPU time for a time step, forward and backward."""
    tensor, loss = GROWTH[what](n_steps)
    best = float("inf")
    for _ in range(rounds):
        tensor.assign(0.999 * tensor.value)
        start = time.process_time()
        loss.forward()
        loss.backward()
        best = min(best, time.process_time() - start)
        _ = tensor.gradient
    return 1e6 * best / n_steps


# ---- all ------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; what cannot be measured says why."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rebuilt", description=__doc__)
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter that has HIPS autograd")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2, help="of a turn")
    args = parser.parse_args(arguments)
    workers = {"autodiff": Worker(sys.executable, 1)}
    if args.peers:
        workers["autograd"] = Worker(os.path.abspath(args.peers), 1)
    for what in [*MODELS, "LSTM"]:
        best = dict.fromkeys(workers, float("inf"))
        for _ in range(args.rounds):
            for library, worker in workers.items():
                answer = _ask(worker, "turn", library=library, what=what, seconds=args.seconds)
                best[library] = min(best[library], answer)
        text = ", ".join(f"{library} {us:8.2f} us" for library, us in best.items())
        ratio = best.get("autograd", float("nan")) / best["autodiff"]
        print(f"{what:18} {text}" + (f"   {ratio:.2f} x" if args.peers else ""), flush=True)
    for what in GROWTH:
        few, many = (
            _ask(workers["autodiff"], "growth", what=what, n_steps=n, rounds=rounds)
            for n, rounds in ((100, 100), (10_000, 10))
        )
        print(f"{what}: one of 100 time steps {few:.2f} us, of 10,000 {many:.2f} us", end="")
        print(f"   {many / few:.2f} x", flush=True)
    for worker in workers.values():
        worker.quit()
    return 0


def _ask(worker: Worker, function: str, **arguments: Any) -> float:
    answer = worker.ask(
        do="task", module="benchmarks.rebuilt", function=function, arguments=arguments
    )
    if "result" not in answer:
        raise SystemExit(f"{function} {json.dumps(arguments)}: {answer.get('error')}")
    return float(answer["result"])


if __name__ == "__main__":
    sys.exit(main())
