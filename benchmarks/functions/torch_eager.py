"""PyTorch, eager; `torch.func` for what is more than a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.functions.problems import Names, Problem

MODES = ("eager",)


def _where(condition: Any, x: Any, y: Any) -> Any:
    x, y = (torch.as_tensor(v, dtype=torch.float64) for v in (x, y))
    return torch.where(condition, x, y)


def _of_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a list with arrays in it."""

    def call(parts: Any, axis: int = 0) -> Any:
        return function([torch.as_tensor(x) for x in parts], axis)

    return call


NAMES = Names(
    np=Names(
        exp=torch.exp, log=torch.log, sqrt=torch.sqrt, tanh=torch.tanh, cos=torch.cos,
        sin=torch.sin, eye=lambda n: torch.eye(n, dtype=torch.float64),
        where=_where, diag=torch.diag, swapaxes=torch.swapaxes,
        sum=lambda x, axis=None: x.sum() if axis is None else x.sum(axis),
        stack=_of_tensors(torch.stack), concatenate=_of_tensors(torch.cat),
    ),
    gammaln=torch.special.gammaln,
    log_ndtr=torch.special.log_ndtr,
    logsumexp=torch.logsumexp,
    cholesky=torch.linalg.cholesky,
    solve_triangular=lambda L, y: torch.linalg.solve_triangular(L, y[:, None], upper=False)[:, 0],
)  # fmt: skip


def prepare(problem: Problem, want: str, mode: str) -> Callable[[], Any]:
    """What is timed."""
    p, arrays = problem.drawn()
    data = [torch.from_numpy(np.ascontiguousarray(x)) for x in arrays]
    if want == "gradient":

        def step() -> Any:
            q = torch.tensor(p, requires_grad=True)
            value = problem.function(NAMES, q, *data)
            value.backward()
            assert q.grad is not None
            return value.item(), q.grad.numpy()

        return step
    transform = {
        "hessian": torch.func.hessian,
        "jacobian": torch.func.jacfwd,
        "rows": lambda f: torch.func.vmap(torch.func.jacfwd(f)),
    }[want]
    wanted = transform(lambda q, *rest: problem.function(NAMES, q, *rest))
    return lambda: wanted(torch.from_numpy(p), *data).numpy()
