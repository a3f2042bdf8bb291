"""NumPy as HIPS autograd has it: :mod:`autodiff.numpy`, and questions answered with numbers.

Comparisons, roundings, ``argsort``, ``isnan`` and others without a derivative give NumPy's arrays
of integers and booleans, not nodes. In a compiled step they give what `autodiff.numpy` gives.
"""

from __future__ import annotations

from autodiff.autograd.numpy.without_gradient import make_diagonal as make_diagonal
from autodiff.autograd.numpy.without_gradient import raw_functions
from autodiff.namespace import fill
from autodiff.numpy.joining import c_ as c_
from autodiff.numpy.joining import r_ as r_

__all__, __getattr__, __dir__ = fill(globals(), "numpy")

globals().update(raw_functions())

from autodiff.autograd.numpy import (  # noqa: E402
    fft,
    linalg,
    numpy_boxes,
    numpy_vjps,
    random,
)

_ = fft, linalg, numpy_boxes, numpy_vjps, random
