"""Operators and NumPy's protocols: how ordinary expressions build nodes.

``x @ w + b``, ``2.0 * x``, ``np.tanh(x)``, ``array * x`` and ``np.concatenate([x, y])`` all give
nodes. A NumPy function without an op here is refused by name; it is never applied to the
values behind the graph's back. ``np.asarray(node)`` is how to ask for the value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff import ops
from autodiff.array import Array, Shape

if TYPE_CHECKING:
    from autodiff.node import Node

__all__ = ["Operators"]


class Operators:
    """What a node can be written with. Subclasses have ``shape`` and ``value``."""

    __slots__ = ()

    shape: Shape
    value: Any

    # ---- arithmetic -------------------------------------------------------------------

    def __add__(self, other: Any) -> Node:
        return ops.add(self, other)  # type: ignore[no-any-return]

    def __radd__(self, other: Any) -> Node:
        return ops.add(other, self)  # type: ignore[no-any-return]

    def __sub__(self, other: Any) -> Node:
        return ops.subtract(self, other)  # type: ignore[no-any-return]

    def __rsub__(self, other: Any) -> Node:
        return ops.subtract(other, self)  # type: ignore[no-any-return]

    def __mul__(self, other: Any) -> Node:
        return ops.multiply(self, other)  # type: ignore[no-any-return]

    def __rmul__(self, other: Any) -> Node:
        return ops.multiply(other, self)  # type: ignore[no-any-return]

    def __truediv__(self, other: Any) -> Node:
        return ops.divide(self, other)  # type: ignore[no-any-return]

    def __rtruediv__(self, other: Any) -> Node:
        return ops.divide(other, self)  # type: ignore[no-any-return]

    def __matmul__(self, other: Any) -> Node:
        return ops.matmul(self, other)  # type: ignore[no-any-return]

    def __rmatmul__(self, other: Any) -> Node:
        return ops.matmul(other, self)  # type: ignore[no-any-return]

    def __neg__(self) -> Node:
        return ops.negative(self)  # type: ignore[no-any-return]

    def __pos__(self) -> Node:
        return self  # type: ignore[return-value]

    def __abs__(self) -> Node:
        return ops.abs(self)  # type: ignore[no-any-return]

    def __pow__(self, exponent: Any) -> Node:
        return ops.power(self, exponent)  # type: ignore[no-any-return]

    def __rpow__(self, base: Any) -> Node:
        return ops.power(base, self)  # type: ignore[no-any-return]

    # ---- comparisons: nodes of 1.0 and 0.0 --------------------------------------------
    # `==` stays identity: nodes are keys of dictionaries. Use autodiff.equal.

    def __gt__(self, other: Any) -> Node:
        return ops.greater(self, other)  # type: ignore[no-any-return]

    def __ge__(self, other: Any) -> Node:
        return ops.greater_equal(self, other)  # type: ignore[no-any-return]

    def __lt__(self, other: Any) -> Node:
        return ops.greater(other, self)  # type: ignore[no-any-return]

    def __le__(self, other: Any) -> Node:
        return ops.greater_equal(other, self)  # type: ignore[no-any-return]

    # ---- shape ------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> Node:
        return ops.getitem(self, index)  # type: ignore[no-any-return]

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a node of shape () has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Node]:
        return (self[i] for i in range(len(self)))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def T(self) -> Node:
        """The transpose: all axes in reverse order."""
        return ops.transpose(self)  # type: ignore[no-any-return]

    def reshape(self, *shape: Any) -> Node:
        """``reshape(2, 3)`` or ``reshape((2, 3))``; see :func:`autodiff.reshape`."""
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)  # type: ignore[no-any-return]

    def transpose(self, *axes: Any) -> Node:
        """See :func:`autodiff.transpose`."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None
        return ops.transpose(self, order)  # type: ignore[no-any-return]

    def sum(self, axis: Any = None, keepdims: bool = False) -> Node:
        """See :func:`autodiff.sum`."""
        return ops.sum(self, axis, keepdims)  # type: ignore[no-any-return]

    def mean(self, axis: Any = None, keepdims: bool = False) -> Node:
        """See :func:`autodiff.mean`."""
        return ops.mean(self, axis, keepdims)  # type: ignore[no-any-return]

    def max(self, axis: Any = None, keepdims: bool = False) -> Node:
        """See :func:`autodiff.max`."""
        return ops.max(self, axis, keepdims)  # type: ignore[no-any-return]

    # ---- numbers ----------------------------------------------------------------------

    def __float__(self) -> float:
        return float(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def item(self) -> float:
        """The value of a node of a single element, as a Python number."""
        if self.size != 1:
            raise ValueError(f"only a node of one element is a number, this one has {self.shape}")
        return float(self.value.reshape(()))

    # ---- NumPy ------------------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.value, dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        function = _UFUNCS.get(ufunc)
        if function is None or method != "__call__" or options:
            call = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
            raise TypeError(_refusal(call, options))
        return function(*inputs)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, inputs: Sequence[Any], options: Any
    ) -> Any:
        ours = _FUNCTIONS.get(function)
        if ours is None:
            raise TypeError(_refusal(function.__name__, {}))
        return ours(*inputs, **options)


def _refusal(call: str, options: dict[str, Any]) -> str:
    extra = f" with {', '.join(options)}=" if options else ""
    return (
        f"np.{call}{extra} has no op in autodiff and cannot build a node; "
        "use node.value for the plain array"
    )


_UFUNCS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: ops.add,
    np.subtract: ops.subtract,
    np.multiply: ops.multiply,
    np.divide: ops.divide,
    np.negative: ops.negative,
    np.positive: lambda x: x,
    np.power: ops.power,
    np.float_power: ops.power,
    np.square: ops.square,
    np.exp: ops.exp,
    np.log: ops.log,
    np.log1p: ops.log1p,
    np.expm1: ops.expm1,
    np.sqrt: ops.sqrt,
    np.sin: ops.sin,
    np.cos: ops.cos,
    np.tanh: ops.tanh,
    np.absolute: ops.abs,
    np.fabs: ops.abs,
    np.sign: ops.sign,
    np.maximum: ops.maximum,
    np.minimum: ops.minimum,
    np.greater: ops.greater,
    np.greater_equal: ops.greater_equal,
    np.less: lambda x, y: ops.greater(y, x),
    np.less_equal: lambda x, y: ops.greater_equal(y, x),
    np.equal: ops.equal,
    np.matmul: ops.matmul,
    np.reciprocal: lambda x: ops.divide(1.0, x),
}

_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    np.concatenate: lambda parts, axis=0: ops.concat(parts, axis),
    np.stack: ops.stack,
    np.split: lambda x, indices_or_sections, axis=0: ops.split(x, indices_or_sections, axis),
    np.where: ops.where,
    np.reshape: ops.reshape,
    np.transpose: ops.transpose,
    np.swapaxes: ops.swapaxes,
    np.expand_dims: ops.expand_dims,
    np.squeeze: ops.squeeze,
    np.broadcast_to: ops.broadcast_to,
    np.sum: ops.sum,
    np.mean: ops.mean,
    np.max: ops.max,
    np.amax: ops.max,
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.size: lambda x: x.size,
}
