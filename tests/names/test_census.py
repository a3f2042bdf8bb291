"""What 19 public libraries on HIPS autograd use of NumPy and SciPy works with nodes or is refused.

A census of their code counted 3,103 uses of differentiable functions. Each of these names is served
here, or stands among those that are refused, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest
import scipy.linalg
import scipy.signal
import scipy.special
import scipy.stats

import autodiff
import autodiff.numpy as np
import autodiff.scipy.linalg as sla
import autodiff.scipy.special as sp
import autodiff.scipy.stats as st
from autodiff import Node, Tensor
from autodiff.declare import NAMES
from autodiff.served import served

# ---- the 71 calls that a node once refused ------------------------------------------------

V = onp.array([0.25, 0.625, 0.375])
W = onp.array([0.5, 0.75, 0.3125])
M = onp.array([[0.5, 0.25, 0.75], [0.125, 0.875, 0.625], [0.375, 0.6875, 0.3125]])
SPD = M @ M.T + onp.eye(3)
MASK = onp.array([True, False, True])

PROBES: dict[str, Callable[..., Any]] = {
    "dot": lambda x, y, m: np.dot(m, m),
    "dot 1d": lambda x, y, m: np.dot(x, y),
    "tile": lambda x, y, m: np.tile(x, (2, 1)),
    "real": lambda x, y, m: np.real(x),
    "hstack": lambda x, y, m: np.hstack([x, y]),
    "vstack": lambda x, y, m: np.vstack([x, y]),
    "diag": lambda x, y, m: np.diag(x),
    "diag of matrix": lambda x, y, m: np.diag(m),
    "roll": lambda x, y, m: np.roll(x, 1),
    "clip": lambda x, y, m: np.clip(x, 0.3, 0.5),
    "tensordot": lambda x, y, m: np.tensordot(m, m, axes=1),
    "linalg.eigh": lambda x, y, m: np.linalg.eigh(m),
    "einsum": lambda x, y, m: np.einsum("ij,jk->ik", m, m),
    "squeeze": lambda x, y, m: np.squeeze(x[None]),
    "linalg.svd": lambda x, y, m: np.linalg.svd(m),
    "linalg.norm": lambda x, y, m: np.linalg.norm(x),
    "atleast_1d": lambda x, y, m: np.atleast_1d(x),
    "atleast_2d": lambda x, y, m: np.atleast_2d(x),
    "min": lambda x, y, m: np.min(x),
    "linalg.qr": lambda x, y, m: np.linalg.qr(m),
    "gradient": lambda x, y, m: np.gradient(x),
    "logaddexp": lambda x, y, m: np.logaddexp(x, y),
    "prod": lambda x, y, m: np.prod(x),
    "cumsum": lambda x, y, m: np.cumsum(x),
    "outer": lambda x, y, m: np.outer(x, y),
    "trace": lambda x, y, m: np.trace(m),
    "linalg.cholesky": lambda x, y, m: np.linalg.cholesky(m),
    "linalg.inv": lambda x, y, m: np.linalg.inv(m),
    "linalg.solve": lambda x, y, m: np.linalg.solve(m, x),
    "linalg.slogdet": lambda x, y, m: np.linalg.slogdet(m)[1],
    "linalg.det": lambda x, y, m: np.linalg.det(m),
    "x[mask]": lambda x, y, m: x[MASK],
    "x[[0,1]]": lambda x, y, m: x[[0, 1]],
    "x[[0,1],[1,0]]": lambda x, y, m: m[[0, 1], [1, 0]],
    "sort": lambda x, y, m: np.sort(x),
    "std": lambda x, y, m: np.std(x),
    "var": lambda x, y, m: np.var(x),
    "kron": lambda x, y, m: np.kron(m, m),
    "diff": lambda x, y, m: np.diff(x),
    "append": lambda x, y, m: np.append(x, y),
    "tan": lambda x, y, m: np.tan(x),
    "arctan": lambda x, y, m: np.arctan(x),
    "arcsin": lambda x, y, m: np.arcsin(x),
    "arccos": lambda x, y, m: np.arccos(x),
    "sinh": lambda x, y, m: np.sinh(x),
    "cosh": lambda x, y, m: np.cosh(x),
    "arctan2": lambda x, y, m: np.arctan2(x, y),
    "log10": lambda x, y, m: np.log10(x),
    "log2": lambda x, y, m: np.log2(x),
    "repeat": lambda x, y, m: np.repeat(x, 2),
    "pad": lambda x, y, m: np.pad(x, 1),
    "triu": lambda x, y, m: np.triu(m),
    "np.array([node,node])": lambda x, y, m: np.array([x, y]),
    "float(node)": lambda x, y, m: float(x[0]),
    "len": lambda x, y, m: len(x),
    "node<5 in if": lambda x, y, m: x if x[0] < 5 else y,
    "scipy.special.gammaln": lambda x, y, m: sp.gammaln(x),
    "scipy.special.betaln": lambda x, y, m: sp.betaln(x, y),
    "scipy.special.beta": lambda x, y, m: sp.beta(x, y),
    "scipy.special.gamma": lambda x, y, m: sp.gamma(x),
    "scipy.special.expit": lambda x, y, m: sp.expit(x),
    "scipy.special.erf": lambda x, y, m: sp.erf(x),
    "scipy.special.erfc": lambda x, y, m: sp.erfc(x),
    "scipy.special.logsumexp": lambda x, y, m: sp.logsumexp(x),
    "scipy.special.digamma": lambda x, y, m: sp.digamma(x),
    "scipy.special.gammainc": lambda x, y, m: sp.gammainc(x, y),
    "scipy.special.logit": lambda x, y, m: sp.logit(x),
    "scipy.special.xlogy": lambda x, y, m: sp.xlogy(x, y),
    "scipy.special.ndtr": lambda x, y, m: sp.ndtr(x),
    "scipy.special.log_ndtr": lambda x, y, m: sp.log_ndtr(x),
    "scipy.stats.norm.logpdf": lambda x, y, m: st.norm.logpdf(x, y, 2.0),
}
NO_NODES = ("float(node)", "len")


def test_there_are_71_of_them() -> None:
    assert len(PROBES) == 71


@pytest.mark.parametrize("name", PROBES)
def test_what_was_refused_is_served(name: str) -> None:
    call = PROBES[name]
    expected = call(V, W, SPD)
    result = call(Tensor(V), Tensor(W), Tensor(SPD))
    several = isinstance(result, tuple)
    for ours, theirs in zip(
        result if several else [result], expected if several else [expected], strict=True
    ):
        assert isinstance(ours, Node) or name in NO_NODES
        onp.testing.assert_allclose(getattr(ours, "value", ours), theirs, rtol=1e-12, atol=1e-15)
        assert name in NO_NODES or ours.needs_gradient


def words(text: str) -> list[str]:
    return text.split()


# ---- the names ----------------------------------------------------------------------------

# All that the census calls a differentiable use, or a question that a node may be asked.
OF_NUMPY = words("""
    log exp sum dot mean concatenate sqrt stack tile real where hstack diag abs reshape conj roll
    clip tensordot power maximum einsum vstack matmul tanh max transpose squeeze divide row_stack
    split minimum atleast_1d min gradient logaddexp square sin prod cumsum outer trace cos
    expand_dims column_stack atleast_2d amax sort std arccos imag cov flipud fliplr pad swapaxes
    kron append var diff cosh sinh arcsin arctan arcsinh arccosh arctanh triu cross tan expm1
    repeat multiply broadcast_to log1p flip median nanmean interp average inner round delete
    conjugate amin broadcast_arrays ravel sign array full nanstd apply_along_axis
    linalg.eigh linalg.svd linalg.norm linalg.qr linalg.cholesky linalg.inv linalg.solve
    linalg.det linalg.eigvalsh linalg.pinv linalg.slogdet linalg.lstsq
    all any isnan isfinite isinf argmax argsort argmin ceil floor logical_not logical_or isclose
    allclose array_equal shape isscalar searchsorted unique argwhere isreal iscomplex ones_like
    zeros_like linspace meshgrid copy array_str
""")
OF_SCIPY = words("""
    special.gammaln special.betaln special.beta special.gamma special.expit special.erf special.erfc
    special.j1 special.i0 special.logsumexp special.digamma special.gammainc special.gammaincc
    stats.norm.logpdf stats.norm.logcdf stats.norm.logsf stats.norm.pdf stats.norm.cdf stats.norm.sf
    linalg.expm linalg.sqrtm linalg.solve_sylvester linalg.block_diag linalg.solveh_banded
    linalg.solve_banded linalg.cholesky_banded
""")

COMPLEX = "its results are complex numbers; nodes are real"
INTEGERS = "it is about integers, which nodes are not"
IN_PLACE = "it writes into its argument; nodes do not change"
REFUSED: dict[str, str] = {
    "numpy.fft.fft": COMPLEX,
    "numpy.fft.ifft": COMPLEX,
    "numpy.fft.fft2": COMPLEX,
    "numpy.fft.ifft2": COMPLEX,
    "numpy.fft.rfft": COMPLEX,
    "numpy.fft.irfft": COMPLEX,
    "numpy.fft.rfftn": COMPLEX,
    "numpy.fft.irfftn": COMPLEX,
    "numpy.linalg.eig": COMPLEX,
    "numpy.ravel_multi_index": INTEGERS,
    "numpy.polyfit": "numpy.linalg.lstsq of a Vandermonde matrix says it",
    "scipy.linalg.logm": COMPLEX,
    "scipy.linalg.fractional_matrix_power": COMPLEX,
    "scipy.linalg.polar": "numpy.linalg.svd says it",
}


def serves(name: str) -> bool:
    """Whether nodes are served under this dotted name, or another of the same function."""
    theirs: Any = {"numpy": onp, "scipy": scipy}[name.partition(".")[0]]
    for part in name.split(".")[1:]:
        theirs = getattr(theirs, part, None)
    return name in NAMES or (theirs is not None and served(theirs) is not None)


@pytest.mark.parametrize(
    "name", [*(f"numpy.{name}" for name in OF_NUMPY), *(f"scipy.{name}" for name in OF_SCIPY)]
)
def test_what_the_libraries_use_is_served_or_refused_with_a_reason(name: str) -> None:
    assert serves(name) or name in REFUSED


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_by_name(name: str) -> None:
    if serves(name):
        pytest.fail(f"{name} is served by now; it no longer belongs among the refused")
    function: Any = autodiff
    for part in name.split("."):
        function = getattr(function, part)
    operands = [Tensor(SPD)] * (2 if name in ("numpy.ravel_multi_index",) else 1)
    if name in ("numpy.polyfit", "scipy.linalg.fractional_matrix_power"):
        operands.append(2)  # type: ignore[arg-type]
    with pytest.raises((TypeError, autodiff.errors.GradientError)):
        function(*operands)


def test_linear_algebra_of_scipys_is_reached() -> None:
    assert sla.LinAlgError is scipy.linalg.LinAlgError
