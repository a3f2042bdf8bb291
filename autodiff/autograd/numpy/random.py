"""numpy.random, as :mod:`autodiff.numpy.random` has it."""

from __future__ import annotations

from autodiff.namespace import fill

__all__, __getattr__, __dir__ = fill(globals(), "numpy.random")
