"""NumPy, whose functions take nodes: ``import autodiff.numpy as np``.

What takes nodes, and which arguments, is in docs/numpy.md; the rest is passed through.
"""

from __future__ import annotations

from autodiff.namespace import fill
from autodiff.numpy.joining import c_ as c_
from autodiff.numpy.joining import r_ as r_

__all__, __getattr__, __dir__ = fill(globals(), "numpy")
