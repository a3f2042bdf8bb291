"""SciPy, whose functions take nodes; modules without any are SciPy's own.

What takes nodes, and which arguments, is in docs/numpy.md; the rest is passed through.
"""

from __future__ import annotations

from autodiff.namespace import fill

__all__ = ["linalg", "signal", "special", "stats"]

_, __getattr__, __dir__ = fill(globals(), "scipy")
