"""All kinds of instructions: every module of this folder is imported, and enters its own."""

from __future__ import annotations

import importlib
import pkgutil

from autodiff.program.code.kind import KINDS, has_own_kind, kind_of

__all__ = ["KINDS", "has_own_kind", "kind_of"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
