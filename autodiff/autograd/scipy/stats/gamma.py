"""The distribution scipy.stats.gamma, as a module of functions."""

from __future__ import annotations

from autodiff.namespace import fill

__all__, __getattr__, __dir__ = fill(globals(), "scipy.stats.gamma")
