"""The Weibull likelihood as CasADi has it, and as C for LLVM by Numba, derived by hand."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.contestant import DoesNotFit
from benchmarks.functions.problems import Problem

MODES = ("casadi-vm", "casadi-c", "numba")


def prepare(problem: Problem, want: str, mode: str) -> Callable[[], Any]:
    """What is timed."""
    if mode == "numba" and (problem.name, want) == ("weibull", "gradient"):
        return _numba(problem)
    if mode != "numba" and problem.name in _EXPRESSIONS and want in ("gradient", "hessian"):
        return _casadi(problem, want, compiled=mode == "casadi-c")
    raise DoesNotFit(f"nobody has written {problem.name} for {mode}")


# ---- CasADi ---------------------------------------------------------------------------------


def _weibull(ca: Any, p: Any, X: Any, log_t: Any, event: Any) -> Any:
    k = ca.exp(p[4])
    z = k * (log_t - X @ p[:4])
    return -ca.sum1(event * (p[4] + z - log_t) - ca.exp(z))


def _eight_schools(ca: Any, p: Any, y: Any, sigma: Any) -> Any:
    theta = p[0] + ca.exp(p[1]) * p[2:]
    prior = 0.5 * ca.sumsqr(p[2:]) + 0.5 * (p[0] / 5.0) ** 2
    half_cauchy = ca.log(1.0 + ca.exp(2.0 * p[1]) / 25.0) - p[1]
    return 0.5 * ca.sumsqr((y - theta) / sigma) + prior + half_cauchy


_EXPRESSIONS = {"weibull": _weibull, "eight-schools": _eight_schools}


def _casadi(problem: Problem, want: str, compiled: bool) -> Callable[[], Any]:
    import casadi as ca

    start, data = problem.drawn()
    p = ca.MX.sym("p", start.size)
    value = _EXPRESSIONS[problem.name](ca, p, *[ca.DM(x) for x in data])
    if want == "hessian":
        H, _ = ca.hessian(value, p)
        outputs = [ca.densify(H)]
    else:
        outputs = [value, ca.densify(ca.gradient(value, p))]
    function = ca.Function("f", [p], outputs).expand()
    if compiled:
        with tempfile.TemporaryDirectory() as folder:
            function = _compiled(function, folder)
    buffer, run = function.buffer()
    results = [np.zeros(x.numel()) for x in outputs]
    buffer.set_arg(0, memoryview(start))
    for i, result in enumerate(results):
        buffer.set_res(i, memoryview(result))

    def step(keep: Any = (buffer, function)) -> Any:
        run()
        if want == "hessian":
            return results[0].reshape(start.size, -1)
        return float(results[0][0]), results[1]

    return step


def _compiled(function: Any, folder: str) -> Any:
    import casadi as ca

    at = os.getcwd()
    os.chdir(folder)
    try:
        source = function.generate("f.c")
        flags = "-O3 -march=native -fno-math-errno -shared -fPIC"
        if os.system(f"{os.environ.get('CC', 'cc')} {flags} {source} -o f.so -lm"):
            raise RuntimeError("the C compiler failed")
        return ca.external("f", "./f.so")
    finally:
        os.chdir(at)


# ---- Numba ----------------------------------------------------------------------------------


def _numba(problem: Problem) -> Callable[[], Any]:
    import numba

    p, (X, log_t, event) = problem.drawn()

    @numba.njit(fastmath=False)
    def value_and_gradient(p, X, log_t, event):  # type: ignore[no-untyped-def]
        n, m = X.shape
        g = np.zeros(m + 1)
        k, total = np.exp(p[m]), 0.0
        for i in range(n):
            eta = 0.0
            for j in range(m):
                eta += X[i, j] * p[j]
            z = k * (log_t[i] - eta)
            e = np.exp(z)
            total -= event[i] * (p[m] + z - log_t[i]) - e
            d = e - event[i]  # of the total by z
            for j in range(m):
                g[j] -= d * k * X[i, j]
            g[m] += d * z - event[i]
        return total, g

    return lambda: value_and_gradient(p, X, log_t, event)
