"""Distributions of vectors: Dirichlet's, and the normal one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.declare import NAMES, numpy_name
from autodiff.errors import ShapeError
from autodiff.ops.arguments import operand
from autodiff.ops.elementwise import exp, log
from autodiff.ops.reduce import sum
from autodiff.ops.shape import reshape
from autodiff.ops.special.entropy import xlogy
from autodiff.ops.special.gamma import gammaln
from autodiff.refusal import refusal

__all__: list[str] = []


@numpy_name("scipy.stats.dirichlet.logpdf")
def _dirichlet_logpdf(x: Any, alpha: Any) -> Any:
    """z = the logarithm of Dirichlet's density; x has a row for each of alpha."""
    x, alpha = operand("dirichlet.logpdf", x), operand("dirichlet.logpdf", alpha, "alpha")
    n = alpha.shape[0] if len(alpha.shape) == 1 else None
    if n is None or not x.shape or x.shape[0] != n or len(x.shape) > 2:
        raise refusal(
            ShapeError,
            f"dirichlet: x must have {n} rows, one for each of alpha, which has shape "
            f"{alpha.shape}, not the shape {x.shape}",
            x=x,
            alpha=alpha,
        )
    shapes = alpha if len(x.shape) == 1 else reshape(alpha, (n, 1))
    front = gammaln(sum(alpha)) - sum(gammaln(alpha))
    return sum(xlogy(shapes - 1.0, x), axis=0) + front


@numpy_name("scipy.stats.dirichlet.pdf")
def _dirichlet_pdf(x: Any, alpha: Any) -> Any:
    """z = Dirichlet's density."""
    return exp(_dirichlet_logpdf(x, alpha))


def _matrix(cov: Any, n: int) -> Any:
    """A covariance from one variance, a diagonal or a matrix."""
    if len(cov.shape) == 2:
        return cov
    return cov * np.eye(n) if not cov.shape else reshape(cov, (n, 1)) * np.eye(n)


@numpy_name("scipy.stats.multivariate_normal.logpdf")
def _normal_logpdf(x: Any, mean: Any = None, cov: Any = 1) -> Any:
    """z = the logarithm of the normal density of each row of x; cov is positive definite."""
    name = "multivariate_normal.logpdf"
    x, cov = operand(name, x), operand(name, cov, "cov")
    mean = operand(name, 0.0 if mean is None else mean, "mean")
    n = (*cov.shape, *mean.shape, *(x.shape[-1:] if not cov.shape else ()), 1)[0]
    if n == 1 and (not x.shape or x.shape[-1] != 1):
        x = reshape(x, (*x.shape, 1))
    if x.shape[-1:] != (n,):
        raise refusal(
            ShapeError, f"{name}: rows of x must have {n} numbers, and x has shape {x.shape}", x=x
        )
    rows = reshape(x - mean, (-1, n))
    factor = NAMES["numpy.linalg.cholesky"](_matrix(cov, n))
    white = NAMES["scipy.linalg.solve_triangular"](factor, rows.T, lower=True)
    half = sum(log(sum(factor * np.eye(n), axis=0)))
    value = -0.5 * sum(white * white, axis=0) - (half + 0.5 * n * math.log(2.0 * math.pi))
    return reshape(value, () if math.prod(x.shape[:-1]) == 1 else x.shape[:-1])


@numpy_name("scipy.stats.multivariate_normal.pdf")
def _normal_pdf(x: Any, mean: Any = None, cov: Any = 1) -> Any:
    """z = the normal density of each row of x."""
    return exp(_normal_logpdf(x, mean, cov))
