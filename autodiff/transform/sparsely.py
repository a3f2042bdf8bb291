"""Sparse Jacobians and Hessians: rows that share no column are computed as one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from autodiff.errors import GradientError, RecordingError, ShapeError
from autodiff.graph.differentiate import depends_on_older
from autodiff.graph.node import Node
from autodiff.graph.observer import current_observer
from autodiff.refusal import refusal
from autodiff.transform.argument import Call
from autodiff.transform.pattern import coloured, pattern, signature

__all__ = ["Patterns"]

_MOST = 16  # patterns that are kept with a function


class Seeds(NamedTuple):
    """What is to be computed in place of all rows of a Jacobian.

    rows : its pattern. colours : of each row. together : for each colour its rows of the identity,
        added up.
    """

    rows: Any
    colours: Any
    together: Any

    def whole(self, found: Any) -> Any:
        """The sparse matrix, from the rows that were computed, one of each colour."""
        rows = self.rows
        of_entry = np.repeat(self.colours, np.diff(rows.indptr))
        data = found.reshape(len(self.together), rows.shape[1])[of_entry, rows.indices]
        return sparse.csr_array((data, rows.indices, rows.indptr), shape=rows.shape)


class Pattern:
    """A pattern, with the colours of its rows and of its columns once they are asked for."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows
        self._by_rows: Seeds | None = None
        self._by_columns: Seeds | None = None

    @property
    def by_rows(self) -> Seeds:
        """What to compute in place of all rows."""
        if self._by_rows is None:
            self._by_rows = _seeds(self._rows)
        return self._by_rows

    @property
    def by_columns(self) -> Seeds:
        """The same of the transpose: in place of all columns."""
        if self._by_columns is None:
            self._by_columns = _seeds(self._rows.T.tocsr())
        return self._by_columns


def _seeds(rows: Any) -> Seeds:
    rows.sort_indices()
    colours = coloured(rows)
    n = rows.shape[0]
    together = np.zeros((int(colours.max(initial=-1)) + 1, n))
    together[colours, np.arange(n)] = 1.0
    return Seeds(rows, colours, together)


class Patterns:
    """The patterns of a function that were found, by its graph; or the one that was given."""

    def __init__(self, what: str, sparsity: Any) -> None:
        self.what = what
        self._given: Pattern | None = None
        self._found: dict[Any, Pattern] = {}
        if not isinstance(sparsity, str):
            rows = sparse.csr_matrix(sparsity)  # a copy, for what follows
            rows.eliminate_zeros()
            rows.data = np.ones(rows.nnz, np.int8)
            self._shape = rows.shape
            self._given = Pattern(rows)
        elif sparsity != "auto":
            raise ValueError(
                f'{what}: sparsity is "auto", a matrix of its pattern, or None, not {sparsity!r}'
            )

    def of(self, call: Call, y: Any) -> tuple[Pattern, Node]:
        """The pattern of dy/dx, and the one x that there is."""
        x = _only_array(call, y)
        return self._of(y, x), x

    def _of(self, y: Any, x: Node) -> Pattern:
        if self._given is not None:
            if self._shape != (y.size, x.size):
                raise ShapeError(
                    f"{self.what}: the pattern has shape {self._shape}, the derivative "
                    f"{(y.size, x.size)}"
                )
            return self._given
        key = signature(y)
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= _MOST:
                self._found.clear()
            found = self._found[key] = Pattern(pattern(y, x))
        return found


def _only_array(call: Call, y: Any) -> Node:
    """The one array that y is differentiated by; an error that says so if there is none."""
    observer = current_observer()
    if observer is not None and observer.home is not None:
        raise RecordingError(
            f"{call.what}: a compiled step gives arrays, and this would be a sparse matrix; call "
            "it outside of the step"
        )
    if call.gives_nodes or len(call.leaves) != 1:
        raise refusal(
            GradientError,
            f"{call.what}: with sparsity, the derivative is taken by one array, not by nodes or a "
            "nesting of arrays",
        )
    if depends_on_older(y, call.since):
        raise refusal(
            GradientError,
            f"{call.what}: it reads nodes from outside that need gradients, which a sparse matrix "
            "of numbers would lose",
        )
    return call.leaves[0]
