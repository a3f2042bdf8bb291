"""One contestant in a process of its own, told by its parent what to do.

Speaks JSON, a line a message, over the standard input and output it was started with::

    {"do": "start", "module": ..., "mode": ..., "workload": ..., "check": [3], "file": "x.npz"}
    {"do": "run", "seconds": 0.1}   → {"seconds": per training step}
    {"do": "task", "module": ..., "function": ..., "arguments": {...}}
    {"do": "quit"}

At "start" it imports the library, prepares the workload, takes the first steps, and writes
loss, gradients and weights to the file; the parent compares before anything is timed.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any

SLICE = 0.001  # seconds


def rss(field: str = "VmHWM") -> int:
    """Peak (VmHWM) or present (VmRSS) resident memory of this process in bytes."""
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return 1024 * int(line.split()[1])
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def time_calls(run: Any, n_calls: int) -> float:
    """Seconds that `n_calls` calls take."""
    step, finish = run.step, run.finish
    start = time.perf_counter()
    for _ in range(n_calls):
        step()
    finish()
    return time.perf_counter() - start


def enough_calls(run: Any, seconds: float) -> int:
    """Calls that take at least `seconds`, found by doubling."""
    n_calls = 1
    while time_calls(run, n_calls) < seconds:
        n_calls *= 2
    return n_calls


def take_turn(run: Any, n_calls: int, seconds: float) -> float:
    """Seconds of a call, in a turn of `n_calls` that take about `seconds`.

    The turn is cut into slices of a millisecond (or one call), and counts with their median.
    On a machine that others use, too, a slice is seldom interrupted, a turn always.
    """
    per_slice = max(1, int(n_calls * SLICE / seconds))
    slices = [time_calls(run, per_slice) for _ in range(max(1, n_calls // per_slice))]
    slices.sort()
    return slices[len(slices) // 2] / per_slice


def versions(library: str | None) -> dict[str, str]:
    """Versions of Python, NumPy and the library."""
    from importlib import metadata

    found = {"python": sys.version.split()[0]}
    for name in ("numpy", library):
        if name:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = getattr(importlib.import_module(name), "__version__", "?")
    return found


def installed_bytes(library: str | None) -> int | None:
    """Size of a distribution and all that it requires, as installed; None if unknown."""
    import re
    from importlib import metadata

    if library is None:
        library = "numpy"
    waiting, seen, total = [{"sklearn": "scikit-learn"}.get(library, library)], set(), 0
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if name != "autodiff":
                continue
            waiting += ["numpy", "scipy"]
            distribution = None
        files = (
            [distribution.locate_file(f) for f in distribution.files or ()] if distribution else []
        )
        if name == "autodiff":  # perhaps installed in place: what is imported
            folder = os.path.dirname(importlib.import_module(name).__file__ or "")
            files = [
                os.path.join(at, f)
                for at, _, names in os.walk(folder)
                for f in names
                if not f.endswith(".pyc")
            ]
        total += sum(os.path.getsize(f) for f in set(map(str, files)) if os.path.isfile(f))
        for line in (distribution.requires if distribution else None) or ():
            if "extra ==" not in line and (match := re.match(r"[A-Za-z0-9._-]+", line)):
                waiting.append(match.group())
    return total or None


def blas() -> list[dict[str, Any]]:
    """The thread pools in this process: library, version, kernel, threads."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    keys = ("internal_api", "version", "architecture", "num_threads")
    return [{k: pool[k] for k in keys if k in pool} for pool in threadpool_info()]


def start(message: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Import, prepare, take the first steps; the run, and what to answer."""
    before = rss()
    module_name = message["module"]
    started = time.perf_counter()
    library = message.get("library")
    if library:
        importlib.import_module(library)
    else:
        import numpy  # noqa: F401
    import_seconds = time.perf_counter() - started
    imported = rss()

    import numpy as np

    from benchmarks.workloads import WORKLOADS

    module = importlib.import_module(module_name)
    workload = WORKLOADS[message["workload"]]
    if message.get("shrunk"):
        workload = workload.shrunk()
    started = time.perf_counter()
    run = module.prepare(workload, message["mode"], **message.get("options", {}))
    run.step()
    run.finish()
    compile_seconds = time.perf_counter() - started
    arrays: dict[str, Any] = {}
    peak = None
    taken = run.steps_per_call
    for n_steps in sorted(message["check"]):
        while taken < n_steps:
            run.step()
            taken += run.steps_per_call
        run.finish()
        if taken == n_steps and run.gradients:
            peak = peak or rss()
            loss, gradients = run.gradients()
            arrays[f"{n_steps}/loss"] = loss
            arrays.update({f"{n_steps}/g/{name}": g for name, g in gradients.items()})
            arrays.update({f"{n_steps}/w/{name}": w for name, w in run.weights().items()})
    np.savez(message["file"], **arrays)
    return run, {
        "import_seconds": import_seconds,
        "compile_seconds": compile_seconds,
        "bytes": {"start": before, "imported": imported, "peak": peak},
        "versions": versions(library),
        "installed_bytes": installed_bytes(library),
        "blas": blas(),
    }


def main() -> None:
    """Answer messages until told to quit."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with answers
    run: Any = None
    n_calls = 0
    for line in sys.stdin:
        message = json.loads(line)
        try:
            if message["do"] == "start":
                run, answer = start(message)
                n_calls = 0
            elif message["do"] == "run":
                n_calls = n_calls or enough_calls(run, message["seconds"])
                taken = take_turn(run, n_calls, message["seconds"])
                answer = {"seconds": taken / run.steps_per_call}
            elif message["do"] == "task":
                function = getattr(importlib.import_module(message["module"]), message["function"])
                answer = {"result": function(**message["arguments"])}
            else:
                break
        except Exception as error:
            text = " ".join(str(error).split())
            answer = {"error": f"{type(error).__name__}: {text}"[:300]}
            answer["does_not_fit"] = type(error).__name__ == "DoesNotFit"
            if os.environ.get("BENCHMARKS_DEBUG"):
                import traceback

                traceback.print_exc()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
