"""scipy.linalg, whose functions take nodes where :mod:`autodiff.scipy.linalg` has them do so."""

from __future__ import annotations

from autodiff.namespace import fill

__all__, __getattr__, __dir__ = fill(globals(), "scipy.linalg")
