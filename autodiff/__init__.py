"""Reverse-mode automatic differentiation for float64 on the CPU.

With this library one can build an explicit graph of nodes, compute it forward, and send
gradients backward through it::

    x = Tensor([[0.5, -1.0]])
    w = Tensor([[0.1], [0.2]])
    loss = square(tanh(x @ w)).sum()
    loss.backward()
    w.gradient

Entry points: :class:`Tensor`; the ops, which work on nodes and arrays alike; :func:`backward`,
:func:`gradients`, :func:`reset`; :func:`grad`, :func:`jacobian`, :func:`hessian` and the other
transforms of functions; :func:`minimize`, :func:`least_squares`, :func:`root`, SciPy's solvers with
exact derivatives; :func:`compile`, which records a step and replays it in C;
:func:`use_backend`. Layers are in :mod:`autodiff.nn`, update rules in :mod:`autodiff.optim`,
pictures in :mod:`autodiff.draw`, small data sets and batches in :mod:`autodiff.data`;
:mod:`autodiff.save` keeps parameters; :func:`check_gradients` and :func:`detect_anomaly` look for
mistakes. The modules need no import of their own: after ``import autodiff``, ``autodiff.nn`` is
loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autodiff.anomaly import detect_anomaly
from autodiff.backend import available_backends, get_backend, set_default_backend, use_backend
from autodiff.check import check_gradients
from autodiff.graph.backward import backward, reset
from autodiff.graph.differentiate import gradients
from autodiff.graph.node import Node, Tensor
from autodiff.ops import *  # noqa: F403
from autodiff.ops import __all__ as _ops
from autodiff.program import CompiledStep, compile
from autodiff.threads import get_threads, set_threads
from autodiff.transform import *  # noqa: F403
from autodiff.transform import __all__ as _transforms

if TYPE_CHECKING:
    from typing import NoReturn

    from autodiff import autograd as autograd
    from autodiff import check as check
    from autodiff import data as data
    from autodiff import draw as draw
    from autodiff import errors as errors
    from autodiff import extend as extend
    from autodiff import fold as fold
    from autodiff import nn as nn
    from autodiff import numpy as numpy
    from autodiff import optim as optim
    from autodiff import save as save
    from autodiff import scipy as scipy
    from autodiff.solvers import least_squares, minimize, root

__version__ = "0.1.0"

__all__ = [
    "CompiledStep",
    "Node",
    "Tensor",
    "available_backends",
    "backward",
    "check_gradients",
    "compile",
    "detect_anomaly",
    "get_backend",
    "get_threads",
    "gradients",
    "least_squares",
    "minimize",
    "reset",
    "root",
    "set_default_backend",
    "set_threads",
    "use_backend",
    *_ops,
    *_transforms,
]

_PUBLIC = ("data", "draw", "extend", "fold", "nn", "optim", "save")
_NAMESPACES = ("autograd", "numpy", "scipy")
_LATE = (
    *_PUBLIC, *_NAMESPACES, "clipping", "files", "hyperparameter", "namespace", "solvers", "zipped"
)  # fmt: skip
"""Modules that `import autodiff` can spare, the public ones first."""
_SOLVERS = ("least_squares", "minimize", "root")
"""Functions of such a module: SciPy's solvers take longer to import than all of this."""


def _refuse(name: str) -> NoReturn:
    """Raise an AttributeError that says where the name is, or which one is like it."""
    message = f"autodiff has no attribute {name!r}"
    if not name.startswith("_"):
        from difflib import get_close_matches
        from importlib import import_module

        from autodiff.declare import NAMES

        places = {public: f"autodiff.{public}" for public in (*__all__, *_PUBLIC, *_NAMESPACES)}
        for module in (*_PUBLIC, "errors"):
            for public in import_module(f"autodiff.{module}").__all__:
                places.setdefault(public, f"autodiff.{module}.{public}")
        for dotted in sorted(NAMES):
            places.setdefault(dotted.rpartition(".")[2], f"autodiff.{dotted}")
        if name in places:
            message += f"; it is {places[name]}"
            if meant := get_close_matches(name, __all__, n=1, cutoff=0.9):
                message += f"; or did you mean autodiff.{meant[0]}?"
        elif alike := get_close_matches(name, places, n=1):
            message += f"; did you mean {places[alike[0]]}?"
    raise AttributeError(message, name=name)  # with a name, Python adds no guess of its own


# To a type checker every name would be one of this module, if it saw the function.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in (*_LATE, *_SOLVERS):
            _refuse(name)
        from importlib import import_module

        if name in _SOLVERS:
            return getattr(import_module("autodiff.solvers"), name)
        return import_module(f"autodiff.{name}")  # which also makes it an attribute


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE, *_SOLVERS})
