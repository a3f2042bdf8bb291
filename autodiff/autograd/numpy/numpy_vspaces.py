"""Vector spaces of arrays."""

from __future__ import annotations

from autodiff.autograd.vspaces import ArrayVSpace

__all__ = ["ArrayVSpace"]
