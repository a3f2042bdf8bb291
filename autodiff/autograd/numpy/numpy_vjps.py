"""What gradients of the user's own functions are written with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.array import is_operand
from autodiff.ops.reduce import sum as _sum

__all__ = ["unbroadcast", "unbroadcast_f"]


def unbroadcast(x: Any, target_meta: Any, broadcast_idx: int = 0) -> Any:
    """x summed over the axes that were broadcast from the shape ``target_meta[0]``."""
    shape = target_meta[0]
    total = _sum if is_operand(x) else np.sum
    while np.ndim(x) > len(shape):
        x = total(x, axis=broadcast_idx)
    for axis, size in enumerate(shape):
        if size == 1 and np.shape(x)[axis] != 1:
            x = total(x, axis=axis, keepdims=True)
    return x


def unbroadcast_f(target: Any, f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`f`, its result summed to the shape of `target`."""
    meta = (np.shape(target), np.ndim(target), np.float64, False)
    return lambda g: unbroadcast(f(g), meta)
