"""NumPy's functions, as :mod:`autodiff.autograd.numpy` has them."""

from __future__ import annotations

from autodiff.namespace import fill

__all__, __getattr__, __dir__ = fill(globals(), "numpy")
