"""scipy.stats, whose distributions take nodes; each is a module, too, as in HIPS autograd."""

from __future__ import annotations

from autodiff.namespace import fill

__all__, __getattr__, __dir__ = fill(globals(), "scipy.stats")
