"""autodiff: compiled with the data as arguments, compiled around them, and eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autodiff
from autodiff import numpy as anp
from autodiff.scipy import linalg, special
from benchmarks.functions.problems import Names, Problem

MODES = ("arguments", "captured", "eager")

NAMES = Names(
    np=anp,
    gammaln=special.gammaln,
    log_ndtr=special.log_ndtr,
    logsumexp=lambda x, axis: special.logsumexp(x, axis=axis),
    cholesky=anp.linalg.cholesky,
    solve_triangular=lambda L, y: linalg.solve_triangular(L, y, lower=True),
)


def prepare(problem: Problem, want: str, mode: str) -> Callable[[], Any]:
    """What is timed: the wanted numbers, from arrays to arrays."""
    p, data = problem.drawn()
    if want == "rows":
        one = autodiff.jacobian(lambda q, *row: problem.function(NAMES, q, *row))
        wanted = autodiff.vmap(one)
    else:
        transform = {
            "gradient": autodiff.value_and_grad,
            "hessian": autodiff.hessian,
            "jacobian": autodiff.jacobian,
        }[want]
        wanted = transform(lambda q, *rest: problem.function(NAMES, q, *rest))
    if mode == "eager":
        return lambda: wanted(p, *data)
    # Integer data choose places: they are part of the program.
    places = [x.dtype.kind == "i" for x in data]
    if mode == "captured" or any(places):
        captured = autodiff.compile(lambda q: wanted(q, *data))
        return lambda: captured(p)
    step = autodiff.compile(wanted)
    return lambda: step(p, *data)
