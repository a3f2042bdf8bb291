"""What a function does with nodes: its values, its derivative, how it is compiled."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

import autodiff
import autodiff.numpy
import autodiff.scipy
from autodiff import Tensor
from autodiff.array import is_operand
from autodiff.declare import NAMES
from autodiff.program.opaque import Opaque
from autodiff.program.recorder import has_kernel
from autodiff.served import named
from benchmarks.names.calls import Call, calls_of

__all__ = ["Finding", "all_names", "finding", "function_of", "numbers", "probe", "theirs_of"]

ROOMS = ("numpy", "numpy.linalg", "scipy.special", "scipy.linalg", "scipy.stats", "scipy.signal")


@dataclass(frozen=True)
class Finding:
    """A row of the document.

    takes, refuses : parameters as NumPy calls them.
    derivative : "yes", "no", or "–" of what gives no node.
    compiled : "kernel", "composed", "called back", or "refused".
    bound : of the values, as the record has it.
    """

    name: str
    takes: tuple[str, ...]
    refuses: tuple[str, ...]
    derivative: str
    compiled: str
    bound: str


def all_names() -> list[str]:
    """Every name that is served and that this NumPy and SciPy have."""
    for room in ROOMS:
        importlib.import_module(room)
    return sorted(name for name in NAMES if theirs_of(name) is not None)


def theirs_of(name: str) -> Any:
    """NumPy's own function of a dotted name."""
    return _within(importlib.import_module(name.partition(".")[0]), name)


def function_of(name: str) -> Any:
    """The function of the namespace."""
    return _within(getattr(autodiff, name.partition(".")[0]), name)


def _within(module: Any, name: str) -> Any:
    for part in name.split(".")[1:]:
        module = getattr(module, part, None)
    return module


def numbers(result: Any) -> list[np.ndarray] | None:
    """The arrays in a result, which may be several; None if they are no finite real numbers."""
    if isinstance(result, (tuple, list)):
        found = [numbers(x) for x in result]
        return None if any(f is None for f in found) else [x for f in found for x in f or ()]
    if isinstance(result, (str, np.dtype)):
        return []
    value = result.value if hasattr(result, "needs_gradient") else result
    try:
        array = np.asarray(value)
    except Exception:
        return None
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        return None
    return [array.astype(np.float64)]


def probe(name: str) -> tuple[Call, Any]:
    """A call of the function that works with arrays, and what it gives with nodes."""
    theirs, ours = theirs_of(name), function_of(name)
    refused: Exception | None = None
    for call in calls_of(name):
        with np.errstate(all="ignore"):
            try:
                expected = numbers(call.call(theirs, *[x.copy() for x in call.operands]))
            except Exception:
                continue
        if expected is None:
            continue
        try:
            return call, call.call(ours, *map(Tensor, call.operands))
        except Exception as error:
            refused = refused or error
    raise AssertionError(f"{name}: no call of it works with nodes: {refused!r}")


def finding(name: str) -> Finding:
    """The row of one function."""
    found = named(name)
    assert found is not None
    takes = tuple(k for k, own in found.parameters.items() if own is not None)
    refuses = tuple(k for k, own in found.parameters.items() if own is None)
    call, result = probe(name)
    nodes = [x for x in _flat(result) if is_operand(x)]
    derivative = "–"
    if nodes:
        derivative = "yes" if any(x.needs_gradient for x in nodes) else "no"
    compiled = _compiled(name, call) if nodes else "–"
    return Finding(name, takes, refuses, derivative, compiled, _bound(NAMES[name]))


def _flat(result: Any) -> list[Any]:
    if isinstance(result, (tuple, list)):
        return [x for item in result for x in _flat(item)]
    return [result]


def _compiled(name: str, call: Call) -> str:
    ours = function_of(name)

    def step(*operands: Any) -> Any:
        found = call.call(ours, *operands)
        return [x for x in _flat(found) if is_operand(x)]

    try:
        recording = autodiff.compile(step).recording(*call.operands)
    except Exception:
        return "refused"
    ops = [i.op.op for i in recording.improved.instructions]
    if any(isinstance(op, Opaque) for op in ops):
        return "called back"
    op = getattr(NAMES[name], "op", None)
    return "kernel" if op is not None and has_kernel(op) else "composed"


def _bound(function: Any) -> str:
    op = getattr(function, "op", None)
    if op is None:
        return ""
    return "by size" if math.isinf(op.ulps) else f"{op.ulps:g}"
