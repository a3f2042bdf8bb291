"""JAX: jit of the transform, fresh NumPy parameters in, NumPy numbers out, data resident."""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy as jsp
import numpy as np

from benchmarks.functions.problems import Names, Problem

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_cpu_enable_async_dispatch", False)

MODES = ("jit",)

NAMES = Names(
    np=jnp,
    gammaln=jsp.special.gammaln,
    log_ndtr=jsp.special.log_ndtr,
    logsumexp=lambda x, axis: jsp.special.logsumexp(x, axis=axis),
    cholesky=jnp.linalg.cholesky,
    solve_triangular=lambda L, y: jsp.linalg.solve_triangular(L, y, lower=True),
)


def prepare(problem: Problem, want: str, mode: str) -> Callable[[], Any]:
    """What is timed."""
    p, data = problem.drawn()
    resident = [jax.device_put(x) if x.dtype.kind == "f" else x for x in data]

    def function(q: Any, *rest: Any) -> Any:
        rest = [r if x.dtype.kind == "f" else x for r, x in zip(rest, data, strict=True)]
        return problem.function(NAMES, q, *rest)

    transform = {
        "gradient": jax.value_and_grad,
        "hessian": jax.hessian,
        "jacobian": jax.jacfwd,
        "rows": lambda f: jax.vmap(jax.jacfwd(f)),
    }[want]
    step = jax.jit(transform(function))
    return lambda: jax.tree.map(np.asarray, step(p, *resident))
