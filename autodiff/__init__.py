"""Reverse-mode automatic differentiation for float64 on the CPU.

With this library one can build an explicit graph of nodes, compute it forward, and send
gradients backward through it::

    x = Tensor([[0.5, -1.0]])
    w = Tensor([[0.1], [0.2]])
    loss = square(tanh(x @ w)).sum()
    loss.backward()
    w.gradient

Entry points: :class:`Tensor`; the ops, which work on nodes and arrays alike; :func:`backward`,
:func:`gradients`, :func:`reset`; :func:`compile`, which records a step and replays it in C;
:func:`use_backend`. Layers are in :mod:`autodiff.nn`, update rules in :mod:`autodiff.optim`,
pictures in :mod:`autodiff.draw`; :mod:`autodiff.save` keeps parameters;
:func:`check_gradients` and :func:`detect_anomaly` look for mistakes.
"""

from __future__ import annotations

from autodiff.anomaly import detect_anomaly
from autodiff.backend import available_backends, get_backend, set_default_backend, use_backend
from autodiff.check import check_gradients
from autodiff.differentiate import gradients
from autodiff.graph import backward, reset
from autodiff.node import Node, Tensor
from autodiff.ops import *  # noqa: F403
from autodiff.ops import __all__ as _ops
from autodiff.program import CompiledStep, compile
from autodiff.threads import get_threads, set_threads

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
    "reset",
    "set_default_backend",
    "set_threads",
    "use_backend",
    *_ops,
]
