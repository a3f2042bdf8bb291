"""Special functions, with all derivatives that exist: SciPy's values, in the namespaces only.

gamma : the gamma function, its logarithm and derivatives, binomial coefficients
incomplete : incomplete gamma and beta functions, by x and by their shapes
error_functions : the error function, the normal distribution's, exponential integrals
entropy : x ln y and the entropies
bessel : Bessel functions
sums : SciPy's logsumexp and softmax
"""

from __future__ import annotations

from autodiff.ops.special import bessel as _bessel  # noqa: F401
from autodiff.ops.special import entropy as _entropy  # noqa: F401
from autodiff.ops.special import error_functions as _error_functions  # noqa: F401
from autodiff.ops.special import gamma as _gamma  # noqa: F401
from autodiff.ops.special import incomplete as _incomplete  # noqa: F401
from autodiff.ops.special import sums as _sums  # noqa: F401

__all__: list[str] = []
