"""Jacobians and Hessians, in one pass over the graph for all rows.

The backward rules are applied to all rows of the identity at once, as a batch: what is the same for
all rows is computed once (:mod:`autodiff.transform.lanes`). If f has more elements than x, the
derivative along v is computed for all v instead: the gradient g of s' f(x) is linear in s, and is
pulled back to s with all rows of the identity in place of v.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from autodiff.graph.differentiate import depends_on_older, gradient_nodes
from autodiff.graph.node import Hub, Node, lift
from autodiff.graph.order import ancestors
from autodiff.ops.shape import broadcast_to, reshape, transpose
from autodiff.transform.argument import Call, fresh, name_of, numbered
from autodiff.transform.batching import identity_batch
from autodiff.transform.gradient import applied, pulled_back, transformed
from autodiff.transform.lanes import Computer, Lane, carried, computer_of
from autodiff.transform.tangent import gradient_in

__all__ = ["hessian", "jacobian"]

Function = Callable[..., Any]

_MODES = ("auto", "forward", "reverse")
_FEW = 16  # rows that are always computed together
_MOST = 1 << 18  # numbers that a gradient may have for all rows of a block


def jacobian(
    f: Function, argnums: int | Sequence[int] = 0, mode: str = "auto", sparsity: Any = None
) -> Function:
    """The Jacobian of f: a function of the same arguments that returns df/dx.

    Parameters
    ----------
    f : returns one array or node y. It may branch on values.
    argnums : the number of the argument x, or a tuple of numbers, as for :func:`grad`; of a nesting
        of arrays there is a Jacobian for each array in it.
    mode : "reverse": a row for each element of y, all in one pass; "forward": a column for each
        element of x, all in one pass of about twice the work; "auto": forward if x has fewer
        elements than y.
    sparsity : "auto": find out from the graph which elements depend on which, and compute rows (or
        columns) that have nothing in common as one; a matrix, also of scipy.sparse, whose entries
        that are not 0 say it. It is found once, and again if f builds another graph.

    Returns
    -------
    A function. Its result has the shape of y followed by that of x; it is an array if x is, a
    recorded value in a compiled step, and a node if x is a node. With `sparsity`, a
    ``scipy.sparse.csr_array`` of shape (y.size, x.size); x is then one array.

    Raises
    ------
    ValueError
        If there is no such mode.
    RecordingError
        When called with `sparsity` in a compiled step, which gives arrays only.
    GradientError, DTypeError
        When called, if f returns no array or node, or x is no array of real numbers.

    Examples
    --------
    >>> import autodiff
    >>> import numpy as np
    >>> autodiff.jacobian(lambda x: x * x[0])(np.array([1.0, 2.0]))
    array([[2., 0.],
           [2., 1.]])
    """
    what = f"jacobian of {name_of(f)}"
    numbers, alone = numbered("jacobian", argnums)
    if mode not in _MODES:
        raise ValueError(f"jacobian: there is no mode {mode!r}; there are {', '.join(_MODES)}")

    patterns = None if sparsity is None else _patterns(what, sparsity)

    def derivative(*arguments: Any, **named: Any) -> Any:
        call = Call(what, arguments, numbers, alone)
        y, _ = applied(call, f, named, False)
        if patterns is not None:
            return _sparse(call, patterns, y, mode)
        return call.shaped([call.leave(j) for j in _jacobians(call, y, mode)])

    return transformed("jacobian", f, derivative)


def hessian(f: Function, argnums: int | Sequence[int] = 0, sparsity: Any = None) -> Function:
    """The Hessian of f: a function of the same arguments that returns d²f/dx².

    Parameters are those of :func:`grad`; f returns one number. The result has the shape of x twice.
    Of a tuple of arguments it is a tuple of tuples, and of a nesting of arrays a nesting of
    nestings: what stands at [i][j] is the derivative by x[i], and then by x[j].

    With `sparsity`, as for :func:`jacobian`, it is a ``scipy.sparse.csr_array`` of shape
    (x.size, x.size): of one with n diagonals, n rows are computed.

    Examples
    --------
    >>> import autodiff
    >>> import numpy as np
    >>> autodiff.hessian(lambda x: x[0] * x[0] * x[1])(np.array([3.0, 5.0]))
    array([[10.,  6.],
           [ 6.,  0.]])
    >>> autodiff.hessian(lambda x, y: x * y * y, argnums=(0, 1))(3.0, 5.0)
    ((array(0.), array(10.)), (array(10.), array(6.)))
    """
    what = f"hessian of {name_of(f)}"
    numbers, alone = numbered("hessian", argnums)

    patterns = None if sparsity is None else _patterns(what, sparsity)

    def derivative(*arguments: Any, **named: Any) -> Any:
        call = Call(what, arguments, numbers, alone)
        gradients = gradient_in(call, f, named)
        if patterns is not None:
            return _sparse(call, patterns, gradients[0], "reverse")
        rows = [_jacobians(call, g, "reverse") for g in gradients]
        return call.shaped([call.shaped([call.leave(h) for h in row]) for row in rows])

    return transformed("hessian", f, derivative)


def _jacobians(call: Call, y: Any, mode: str) -> list[Any]:
    """dy/dx for each leaf x of `call`: nodes, or if the call gives arrays, those."""
    if not isinstance(y, Node) or not y.needs_gradient:
        return [np.zeros(y.shape + x.shape) for x in call.leaves]
    if mode == "auto":
        mode = "forward" if sum(x.size for x in call.leaves) < y.size else "reverse"
    computer = computer_of(nodes=call.gives_nodes or depends_on_older(y, call.since))
    try:
        return (_by_columns if mode == "forward" else _by_rows)(computer, call.leaves, y)
    except Exception:
        if computer.builds:
            raise
    finally:
        computer.forget()
    # A rule that needs numbers: it is given them, row by row.
    return _row_by_row(call, y)


def _by_rows(computer: Computer, leaves: Sequence[Node], y: Node) -> list[Any]:
    blocks = [_rows(computer, leaves, y, seeds) for seeds in _blocks(computer, y.shape, y)]
    return [
        _reshaped(computer, _stacked([rows[i] for rows in blocks]), y.shape + x.shape)
        for i, x in enumerate(leaves)
    ]


def _blocks(computer: Computer, shape: tuple[int, ...], root: Node) -> Iterator[Any]:
    """All arrays of a shape that are 1 in one place, in blocks that the memory is not filled with.

    What is not computed at once, and so lies in no memory yet, is not cut.
    """
    n = math.prod(shape)
    size = n
    if n > _FEW and computer.at_once:
        widest = max(x.size for x in ancestors([root]) if not isinstance(x, Hub))
        size = max(1, _MOST // max(widest, 1))
    if size >= n:
        yield identity_batch(shape)
        return
    for start in range(0, n, size):
        count = min(size, n - start)
        rows = np.zeros((count, n))
        rows[np.arange(count), np.arange(start, start + count)] = 1.0
        yield rows.reshape(count, *shape)


def _stacked(blocks: Sequence[Any]) -> Any:
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _rows(computer: Computer, leaves: Sequence[Node], y: Node, seeds: Any) -> list[Any]:
    """For each leaf x the products s' dy/dx, for each s of a batch of seeds."""
    pairs = gradient_nodes({y: carried(computer, seeds)}, leaves, computer.read)
    return [_joined(computer, g, x.shape, len(seeds)) for x, g in pairs]


def _by_columns(computer: Computer, leaves: Sequence[Node], y: Node) -> list[Any]:
    seed = fresh(np.zeros(y.shape))
    found = []
    for x, g in gradient_nodes({y: seed}, leaves):
        blocks = _blocks(computer, x.shape, y)
        columns = _stacked([_columns(computer, y, seed, g, vs) for vs in blocks])
        order = (*range(1, 1 + len(y.shape)), 0)
        turned = computer.run(transpose.op.bind(axes=order), [columns])
        found.append(_reshaped(computer, turned, y.shape + x.shape))
    return found


def _columns(computer: Computer, y: Node, seed: Node, g: Any, directions: Any) -> Any:
    """The products (dy/dx) v for each v of a batch, from the gradient g of seed' y by x."""
    found = None
    if g is not None and g.needs_gradient:
        vs = carried(computer, directions)
        ((_, found),) = gradient_nodes({g: vs}, [seed], computer.read)
    return _joined(computer, found, y.shape, len(directions))


def _patterns(what: str, sparsity: Any) -> Any:
    from autodiff.transform.sparsely import Patterns  # SciPy's, which takes time to import

    return Patterns(what, sparsity)


def _sparse(call: Call, patterns: Any, y: Any, mode: str) -> Any:
    """dy/dx as a sparse matrix."""
    y = y if isinstance(y, Node) else lift(y)
    found, x = patterns.of(call, y)
    if mode == "auto":
        by_columns = 2 * len(found.by_columns.together) < len(found.by_rows.together)
        mode = "forward" if by_columns else "reverse"
    computer = computer_of(nodes=False)
    try:
        if mode == "reverse":
            seeds = found.by_rows
            (rows,) = _rows(computer, [x], y, _seeds_of(seeds, y))
            return seeds.whole(rows)
        seed, seeds = fresh(np.zeros(y.shape)), found.by_columns
        ((_, g),) = gradient_nodes({y: seed}, [x])
        columns = _columns(computer, y, seed, g, _seeds_of(seeds, x))
        return seeds.whole(columns).T.tocsr()
    finally:
        computer.forget()


def _seeds_of(seeds: Any, y: Node) -> Any:
    return seeds.together.reshape(len(seeds.together), *y.shape)


def _joined(computer: Computer, found: Any, shape: tuple[int, ...], n: int) -> Any:
    """What a lane of a shape holds for n elements, as one value; zeros if there is no lane."""
    if found is None:
        return np.zeros((n, *shape))
    lane = found if isinstance(found, Lane) else computer.constant(found)
    value = lane.whole().base if lane.carried else lane.value
    if value.shape == (n, *shape):
        return value
    return computer.run(broadcast_to.op.bind(shape=(n, *shape)), [value])


def _reshaped(computer: Computer, x: Any, shape: tuple[int, ...]) -> Any:
    return x if x.shape == shape else computer.run(reshape.op.bind(shape=shape), [x])


def _row_by_row(call: Call, y: Node) -> list[Any]:
    rows = [pulled_back(call, {y: row}) for row in identity_batch(y.shape)]
    return [
        np.array([row[i] for row in rows]).reshape(y.shape + x.shape)
        for i, x in enumerate(call.leaves)
    ]
