"""Helpers around HIPS autograd: flattening, optimisers, fixed points."""

from __future__ import annotations

from autodiff.autograd.misc.flatten import flatten
from autodiff.autograd.misc.tracers import const_graph

__all__ = ["const_graph", "flatten"]
