"""Which elements of a node depend on which of another, by the graph alone; and colours of rows.

The pattern of dy/dx is a sparse matrix with a row for each element of y, carried from x upwards, op
by op. What an op does to it follows from its record: elementwise ops, ops that move elements, and
reductions along axes; others say it themselves (`flow` in the record), or else every element of
their output depends on all of the input. So it may have too many entries, never too few.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from autodiff.graph.node import Hub, Node
from autodiff.graph.order import ancestors
from autodiff.op import OUTPUT_OF, BoundOp

__all__ = ["coloured", "pattern", "signature"]


def pattern(y: Node, x: Node) -> Any:
    """The pattern of dy/dx, as a sparse matrix of ones in rows (csr), of sizes y.size × x.size."""
    known: dict[Node, Any] = {x: sparse.identity(x.size, np.int8, "csr")}
    for node in ancestors([y]):
        if node in known or node.op is None:
            continue
        parts = [
            _carried(node, i, known[z])
            for i, z in enumerate(node.inputs)
            if z in known and node.needed[i]
        ]
        if parts:
            known[node] = _any_of(parts)
    found = known.get(y)
    return sparse.csr_matrix((y.size, x.size), dtype=np.int8) if found is None else found


def signature(y: Node) -> Any:
    """A key that is equal for graphs whose patterns are: ops, how they are joined, row numbers."""
    order = ancestors([y])
    places = {node: i for i, node in enumerate(order)}
    parts: list[Any] = []
    for node in order:
        if node.op is None:
            parts.append(node.shape)
            continue
        parts.append((node.op, *[places[x] for x in node.inputs]))
        if node.op.op.flow is not None:
            numbers = [x for i, x in enumerate(node.inputs) if node.op.op.rule(i) is None]
            parts += [x.value.tobytes() for x in numbers]
    return tuple(parts)


def _carried(node: Node, position: int, of_input: Any) -> Any:
    """The pattern of a node as far as it comes by way of one input."""
    assert node.op is not None
    size = _size(node)
    bound, inputs = node.op, node.inputs
    pairs = _flow(bound, position, inputs, node)
    if pairs is None:  # all of the output depends on all of the input
        once = _any_of([sparse.csr_matrix(of_input.sum(axis=0, dtype=np.int64))])
        return sparse.csr_matrix(np.ones((size, 1), np.int8)) @ once
    outs, ins = pairs
    entries = np.ones(len(outs), np.int8)
    moved = sparse.csr_matrix((entries, (outs, ins)), shape=(size, of_input.shape[0]))
    return moved.astype(np.int32) @ of_input.astype(np.int32)


def _size(node: Node) -> int:
    return sum(int(np.prod(s)) for s in node.shape) if isinstance(node, Hub) else node.size


def _flow(bound: BoundOp, position: int, inputs: Sequence[Node], node: Node) -> Any:
    """Pairs (elements of the output, elements of the input) that depend on each other."""
    op = bound.op
    if op is OUTPUT_OF:
        return _of_output(bound, inputs[0])
    if op.several:
        return None
    x = inputs[position]
    if op.flow is not None:
        return op.flow(bound, position, inputs)
    if op.elementwise:
        return np.arange(node.size), _numbers(x.shape, node.shape)
    if op.moves:
        return _moved(bound, position, inputs)
    if "axis" in bound.attributes and len(inputs) == 1:
        return _along(bound.attributes["axis"], x, node)
    return None


def _of_output(bound: BoundOp, hub: Any) -> Any:
    sizes = [int(np.prod(shape)) for shape in hub.shape]
    number = bound.attributes["number"]
    start = sum(sizes[:number])
    return np.arange(sizes[number]), np.arange(start, start + sizes[number])


def _numbers(shape: Any, broadcast: Any) -> Any:
    """The numbers of the elements of a shape, where they come when that is broadcast."""
    numbers = np.arange(int(np.prod(shape))).reshape(shape)
    return np.broadcast_to(numbers, broadcast).ravel()


def _moved(bound: BoundOp, position: int, inputs: Sequence[Node]) -> Any:
    """By the forward rule itself, of numbers in place of elements; 0 stands for no element."""
    x = inputs[position]
    marked = [np.zeros(z.shape) for z in inputs]
    marked[position] = np.arange(1.0, x.size + 1.0).reshape(x.shape)
    found = np.ravel(bound.forward(marked)).astype(np.intp)
    outs = np.flatnonzero(found)
    return outs, found[outs] - 1


def _along(axis: Any, x: Node, node: Node) -> Any:
    """All elements along the axes depend on each other, or come to one."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    kept = [1 if i in axes else n for i, n in enumerate(x.shape)]
    groups = _numbers(kept, x.shape)
    if node.size == int(np.prod(kept)):
        return groups, np.arange(x.size)
    if node.shape != x.shape:
        return None
    ones = np.ones(x.size, np.int32)
    of_group = sparse.csr_matrix((ones, (np.arange(x.size), groups)))
    return (of_group @ of_group.T).nonzero()


def _any_of(parts: Sequence[Any]) -> Any:
    """The union of patterns."""
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    whole = sparse.csr_matrix(whole)
    whole.data = np.ones(whole.nnz, np.int8)
    whole.sort_indices()
    return whole


def coloured(rows: Any) -> Any:
    """A colour for each row of a pattern, so that no two of one colour share a column."""
    by_column = rows.tocsc()
    colours = np.full(rows.shape[0], -1, np.intp)
    for i in range(rows.shape[0]):
        columns = rows.indices[rows.indptr[i] : rows.indptr[i + 1]]
        starts, stops = by_column.indptr[columns], by_column.indptr[columns + 1]
        taken = {
            int(c)
            for start, stop in zip(starts, stops, strict=True)
            for c in colours[by_column.indices[start:stop]]
        }
        colour = 0
        while colour in taken:
            colour += 1
        colours[i] = colour
    return colours
