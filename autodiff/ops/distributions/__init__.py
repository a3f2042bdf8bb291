"""Distributions of scipy.stats, said with ops, by SciPy's names: scipy.stats.norm.logpdf.

registry : location, scale, supports and parameters, the same for all
continuous, discrete, multivariate : the distributions
"""

from __future__ import annotations

from autodiff.ops.distributions import continuous as _continuous  # noqa: F401
from autodiff.ops.distributions import discrete as _discrete  # noqa: F401
from autodiff.ops.distributions import multivariate as _multivariate  # noqa: F401

__all__: list[str] = []
