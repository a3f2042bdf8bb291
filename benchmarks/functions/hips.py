"""HIPS autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd
import autograd.numpy as anp
import autograd.scipy as asp
import autograd.scipy.linalg

from benchmarks.contestant import DoesNotFit
from benchmarks.functions.problems import Names, Problem

MODES = ("eager",)

NAMES = Names(
    np=anp,
    gammaln=asp.special.gammaln,
    log_ndtr=asp.stats.norm.logcdf,
    logsumexp=lambda x, axis: asp.special.logsumexp(x, axis=axis),
    cholesky=anp.linalg.cholesky,
    solve_triangular=lambda L, y: asp.linalg.solve_triangular(L, y, lower=True),
)


def prepare(problem: Problem, want: str, mode: str) -> Callable[[], Any]:
    """What is timed."""
    p, data = problem.drawn()
    if want == "rows":
        raise DoesNotFit("it has no vmap")
    transform = {
        "gradient": autograd.value_and_grad,
        "hessian": autograd.hessian,
        "jacobian": autograd.jacobian,
    }[want]
    step = transform(lambda q: problem.function(NAMES, q, *data))
    return lambda: step(p)
