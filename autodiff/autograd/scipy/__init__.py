"""SciPy as HIPS autograd has it: :mod:`autodiff.scipy`."""

from __future__ import annotations

from autodiff.namespace import fill

__all__ = ["integrate", "linalg", "signal", "special", "stats"]

_, __getattr__, __dir__ = fill(globals(), "scipy")
