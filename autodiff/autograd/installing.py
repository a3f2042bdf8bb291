"""Making ``import autograd`` mean :mod:`autodiff.autograd`."""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

__all__ = ["install", "uninstall"]

_THEIRS, _OURS = "autograd", "autodiff.autograd"


class _Finder:
    """Finds ``autograd.x`` as ``autodiff.autograd.x``, the same module object."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _THEIRS and not fullname.startswith(f"{_THEIRS}."):
            return None
        name = _OURS + fullname[len(_THEIRS) :]
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and name.startswith(error.name):
                return None
            raise
        loader: Any = _Loader(module)
        return importlib.machinery.ModuleSpec(fullname, loader)


class _Loader:
    """Loads what is loaded already, and leaves it as it is."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # which the import system has replaced by its own


_finder = _Finder()


def install(*, force: bool = False, compile: bool = False) -> None:
    """From now on ``import autograd`` is this package, as are ``autograd.numpy`` and the rest.

    Programs and libraries that are written for HIPS autograd then run here unchanged, if they are
    imported after this call. Called again, it changes nothing but `compile`.

    Parameters
    ----------
    force : if HIPS autograd was imported already, put it aside; what has been imported from it
        keeps using it.
    compile : record functions and replay them in C, by the shapes of their arguments. Those that
        do not allow it (that branch on values, say) are called as before. A function is recorded
        anew when what it reads beside its arguments (globals, closures, attributes of its object)
        is another object, number or array; what changes within other objects is not seen.

    Raises
    ------
    RuntimeError
        If HIPS autograd was imported already, unless `force`.
    """
    from autodiff.autograd import compiling

    ours = importlib.import_module(_OURS)
    loaded = sys.modules.get(_THEIRS)
    if loaded is not None and loaded is not ours:
        if not force:
            raise RuntimeError(
                f"{_THEIRS} is imported already, from {getattr(loaded, '__file__', None)}; call "
                "autodiff.autograd.install() before that, or install(force=True) to put it aside"
            )
        _forget()
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    for name in ("", ".numpy", ".numpy.numpy_boxes", ".extend", ".builtins"):
        importlib.import_module(_THEIRS + name)
    compiling.use(compile)


def uninstall() -> None:
    """``import autograd`` is HIPS autograd again, if it is there; nothing if not installed."""
    from autodiff.autograd import compiling

    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)
        _forget()
    compiling.use(False)


def _forget() -> None:
    for name in [n for n in sys.modules if n == _THEIRS or n.startswith(f"{_THEIRS}.")]:
        del sys.modules[name]
