"""Anomaly mode: stop at the first NaN or infinity and say where it came from.

Within ``with detect_anomaly():`` every value that is assigned or computed and every gradient that
is sent or summed is looked at. The first that is not finite raises AnomalyError, which
names the node, the user's line that built it and the ranges of what it was computed from.
The graph stays usable: a failed assignment leaves the tensor as it was, a node whose value
failed has none, and after a failed backward pass the gradients below its seeds are
forgotten, as after :func:`autodiff.reset`.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from autodiff.errors import AnomalyError, BackendError
from autodiff.graph.observer import Watching, current_observer, observe
from autodiff.graph.several import parts_of
from autodiff.graph.state import State

__all__ = ["detect_anomaly"]


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Raise at the first NaN or infinity, forward or backward, within a ``with`` block.

    It watches this thread only, and what runs through the graph: a step that was compiled
    is replayed without it, so run the undecorated function. Values that were computed
    before are not computed again, hence not looked at, until a gradient meets them.

    Raises
    ------
    AnomalyError
        From the ``assign``, ``forward`` or ``backward`` that met it.
    BackendError
        If entered while a step is being recorded: a recording has no numbers.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.Tensor([1.0, 0.0], name="x")
    >>> with detect_anomaly():
    ...     autodiff.log(x).value  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    AnomalyError: forward: 1 of 2 elements of the value of node 'log#2' ... are not finite
    """
    outer = current_observer()
    if outer is not None and not isinstance(outer, _Watch):
        raise BackendError(
            "detect_anomaly cannot watch a step that is being recorded, which has no numbers yet; "
            "call the undecorated function within detect_anomaly instead"
        )
    with observe(_Watch()):
        yield


class _Watch(Watching):
    """Looks at everything that the passes tell it of."""

    def assign(self, tensor: State, value: Any) -> None:
        try:
            new = np.asarray(getattr(value, "value", value))  # of a node
        except ValueError:
            return  # ragged, which is said when it is stored
        if new.dtype.kind == "f" and not np.isfinite(new).all():
            raise AnomalyError(
                f"assign: {_bad(new)} of the new value of {_place(tensor)} are not finite; it "
                "keeps its old value"
            )

    def forward(self, node: State, value: Any) -> None:
        for which, part in parts_of(node, value):
            if np.isfinite(part).all():
                continue
            node.stored = None
            raise AnomalyError(
                f"forward: {_bad(part)} of the value{which} of {_place(node)} are not finite\n"
                + _table(_inputs_of(node))
            )

    def backward(self, node: State, gradients: Sequence[Any], sums: Mapping[State, Any]) -> None:
        gradients_of_parts, values = parts_of(node, sums[node]), parts_of(node, node.stored)
        given = [(f"its gradient{which}", part) for which, part in gradients_of_parts]
        given += [(f"its value{which}", part) for which, part in values]
        for which, part in gradients_of_parts:
            if not np.isfinite(part).all():  # it came from outside
                raise AnomalyError(
                    f"backward: {_bad(part)} of the gradient{which} given to {_place(node)} are "
                    "not finite"
                )
        own: dict[State, Any] = {}
        for position, (x, g) in enumerate(zip(node.inputs, gradients, strict=True)):
            if g is None or type(g) is tuple:  # that of one output, which has been looked at
                continue
            if not np.isfinite(g).all():
                assert node.op is not None
                name = node.op.op.input_name(position)
                raise AnomalyError(
                    f"backward: {_bad(g)} of the gradient that {_place(node)} sends to its input "
                    f"{name}, {x.describe()}, are not finite\n"
                    + _table([*given, *_inputs_of(node)])
                )
            before = own.get(x, sums.get(x))
            with np.errstate(over="ignore"):
                own[x] = g if before is None else before + g
            if not np.isfinite(own[x]).all():
                raise AnomalyError(
                    f"backward: {_bad(own[x])} of the sum of the gradients sent to {_place(x)} "
                    f"are not finite, when {node.describe()} adds its own\n"
                    + _table([("the sum before", before), ("what is added", g)])
                )


def _place(node: State) -> str:
    """Name, line and the text of the line."""
    text = linecache.getline(*node.where).strip()
    return f"{node.describe()}{f', built by `{text}`,' if text else ''}"


def _bad(array: Any) -> str:
    """How many elements are not finite, and where the first is."""
    array = np.asarray(array)
    bad = ~np.isfinite(array)
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    return f"{int(bad.sum())} of {array.size} elements (the first, at {first}, is {array[first]})"


def _inputs_of(node: State) -> list[tuple[str, Any]]:
    assert node.op is not None
    return [
        (f"input {node.op.op.input_name(i)}, {x.describe()}{which}", part)
        for i, x in enumerate(node.inputs)
        for which, part in parts_of(x, x.stored)
    ]


def _table(rows: Sequence[tuple[str, Any]]) -> str:
    return "\n".join(f"  {what}: {_range(value)}" for what, value in rows)


def _range(value: Any) -> str:
    array = np.asarray(value)
    finite = array[np.isfinite(array)]
    parts = [f"shape {array.shape}"]
    if finite.size:
        parts.append(f"{finite.min():.6g} ... {finite.max():.6g}")
    for name, n in (("NaN", np.isnan(array).sum()), ("infinite", np.isinf(array).sum())):
        if n:
            parts.append(f"{n} of {array.size} {name}")
    return ", ".join(parts)
