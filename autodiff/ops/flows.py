"""Which elements depend on which, for ops along axes: `flow` in :class:`autodiff.op.Op`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from autodiff.array import Shape

__all__ = ["along_rows", "one_a_row"]


def _row_numbers(shape: Shape, axes: Sequence[int]) -> Any:
    """For each element the number of its row: of those that differ along the axes only."""
    kept = [1 if i in axes else n for i, n in enumerate(shape)]
    numbers = np.arange(math.prod(kept)).reshape(kept)
    return np.broadcast_to(numbers, shape).ravel()


def one_a_row(shape: Shape, axes: Sequence[int]) -> tuple[Any, Any]:
    """Each element depends on what its row has in common."""
    return np.arange(math.prod(shape)), _row_numbers(shape, axes)


def along_rows(shape: Shape, axes: Sequence[int]) -> tuple[Any, Any]:
    """Each element depends on all of its row."""
    n = math.prod(shape[i] for i in axes)
    rows = np.argsort(_row_numbers(shape, axes), kind="stable").reshape(-1, max(n, 1))
    pairs = (*rows.shape, rows.shape[1])
    return (
        np.broadcast_to(rows[:, :, None], pairs).ravel(),
        np.broadcast_to(rows[:, None, :], pairs).ravel(),
    )
