"""scipy.signal, whose functions take nodes.

What takes nodes, and which arguments, is in docs/numpy.md; the rest is passed through.
"""

from __future__ import annotations

from autodiff.namespace import fill

__all__, __getattr__, __dir__ = fill(globals(), "scipy.signal")
