"""Operators and methods: how ordinary expressions build nodes.

``x @ w + b``, ``2.0 * x``, ``x == y`` and ``x.sum(axis=0)`` all give nodes; so do NumPy's
functions, see :mod:`autodiff.protocols`. Nodes and recorded values share what is here, so that
a step does with ``x.value`` what it does with an array.
"""

from __future__ import annotations

import copy
import math
import opcode
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import numpy as np

from autodiff import ops
from autodiff.array import Shape
from autodiff.errors import DTypeError, GradientError, ShapeError
from autodiff.methods import Methods
from autodiff.ops import truth
from autodiff.ops.arguments import brief, several
from autodiff.ops.rounding import quotient_and_remainder, rounded
from autodiff.ops.updates import At
from autodiff.protocols import Protocols
from autodiff.refusal import refusal

__all__ = ["Operators"]


class Operators(Methods, Protocols):
    """What a node can be written with. Subclasses have ``shape`` and ``value``."""

    __slots__ = ()

    shape: Shape
    value: Any

    # ---- arithmetic -------------------------------------------------------------------

    __add__ = ops.add

    def __radd__(self, other: Any) -> Any:
        return ops.add(other, self)

    __sub__ = ops.subtract

    def __rsub__(self, other: Any) -> Any:
        return ops.subtract(other, self)

    __mul__ = ops.multiply

    def __rmul__(self, other: Any) -> Any:
        return ops.multiply(other, self)

    __truediv__ = ops.divide

    def __rtruediv__(self, other: Any) -> Any:
        return ops.divide(other, self)

    __matmul__ = ops.matmul

    def __rmatmul__(self, other: Any) -> Any:
        return ops.matmul(other, self)

    __neg__ = ops.negative

    def __pos__(self) -> Any:
        return self

    __abs__ = ops.abs

    __pow__ = ops.power

    def __rpow__(self, base: Any) -> Any:
        return ops.power(base, self)

    __mod__ = ops.remainder

    def __rmod__(self, other: Any) -> Any:
        return ops.remainder(other, self)

    __floordiv__ = ops.floor_divide

    def __rfloordiv__(self, other: Any) -> Any:
        return ops.floor_divide(other, self)

    __divmod__ = quotient_and_remainder

    def __rdivmod__(self, other: Any) -> Any:
        return quotient_and_remainder(other, self)

    def __round__(self, ndigits: Any = None) -> Any:
        return rounded(self, 0 if ndigits is None else ndigits)

    # ---- comparisons: nodes of 1.0 and 0.0 --------------------------------------------
    # `==` compares elements, but nodes are keys of dictionaries by identity: a set finds a node
    # without asking whether it equals another, as their hashes differ.

    def __eq__(self, other: Any) -> Any:
        if getattr(type(other), "__array_ufunc__", self) is None:
            return NotImplemented  # it compares in its own way, as pytest.approx does
        return ops.equal(self, other)

    def __ne__(self, other: Any) -> Any:
        if getattr(type(other), "__array_ufunc__", self) is None:
            return NotImplemented
        return ops.not_equal(self, other)

    __hash__ = object.__hash__

    __gt__ = ops.greater

    __ge__ = ops.greater_equal

    def __lt__(self, other: Any) -> Any:
        return ops.greater(other, self)

    def __le__(self, other: Any) -> Any:
        return ops.greater_equal(other, self)

    # ---- of what is true or false -----------------------------------------------------

    __and__ = truth.both

    def __rand__(self, other: Any) -> Any:
        return truth.both(other, self)

    __or__ = truth.either

    def __ror__(self, other: Any) -> Any:
        return truth.either(other, self)

    __xor__ = truth.one_of

    def __rxor__(self, other: Any) -> Any:
        return truth.one_of(other, self)

    __invert__ = truth.negated

    # ---- shape ------------------------------------------------------------------------

    __getitem__ = ops.getitem

    @property
    def at(self) -> At:
        """``x.at[index].set(v)`` is x with v in the place of x[index]; also add, multiply, ..."""
        return At(self)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a node of shape () has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (ops.getitem(self, i) for i in range(len(self)))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype[np.float64]:
        """The type of the numbers: float64, always."""
        return _FLOAT64

    @property
    def T(self) -> Any:
        """The transpose: all axes in reverse order."""
        return ops.transpose(self)

    def reshape(self, *shape: Any) -> Any:
        """``reshape(2, 3)`` or ``reshape((2, 3))``; see :func:`autodiff.reshape`."""
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    def ravel(self) -> Any:
        """All elements along one axis, row by row."""
        return ops.reshape(self, -1)

    def flatten(self) -> Any:
        """All elements along one axis, row by row."""
        return ops.reshape(self, -1)

    def squeeze(self, axis: Any = None) -> Any:
        """See :func:`autodiff.squeeze`."""
        return ops.squeeze(self, axis)

    def swapaxes(self, first: int, second: int) -> Any:
        """See :func:`autodiff.swapaxes`."""
        return ops.swapaxes(self, first, second)

    def transpose(self, *axes: Any) -> Any:
        """``transpose(1, 0)`` or ``transpose((1, 0))``; see :func:`autodiff.transpose`."""
        one = len(axes) == 1 and (axes[0] is None or several(axes[0]) is not None)
        return ops.transpose(self, axes[0] if one else axes or None)

    # ---- reductions -------------------------------------------------------------------

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """See :func:`autodiff.sum`."""
        return ops.sum(self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Any:
        """See :func:`autodiff.mean`."""
        return ops.mean(self, axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Any:
        """See :func:`autodiff.max`."""
        return ops.max(self, axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Any:
        """See :func:`autodiff.min`."""
        return ops.min(self, axis, keepdims)

    # ---- numbers ----------------------------------------------------------------------

    def __float__(self) -> float:
        if self.needs_gradient and _is_stored(sys._getframe(1)):
            raise refusal(
                GradientError,
                "array[...] = node would store its number alone, and the gradient would be lost; "
                "keep nodes in a list and join them with autodiff.stack, or store node.value",
                node=self,
            )
        return float(self.item())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise refusal(
                ShapeError,
                f"only a node of one element is true or false, this one has {self.shape}; "
                "`x is y` tells whether two nodes are the same, (x == y).value.all() whether their "
                "numbers are; a list of nodes is searched with any(x is y for y in nodes)",
                x=self,
            )
        return bool(self.item())

    def __format__(self, spec: str) -> str:
        """Without a format what `repr` gives; with one, the number of a single element."""
        return format(self.item(), spec) if spec else repr(self)

    def item(self) -> float:
        """The value of a node of a single element, as a Python number."""
        if self.size != 1:
            raise refusal(
                ShapeError,
                f"only a node of one element is a number, this one has {self.shape}",
                x=self,
            )
        return float(np.asarray(self.value).reshape(()))

    def tolist(self) -> Any:
        """The value as nested lists of Python numbers."""
        return np.asarray(self.value).tolist()

    def copy(self) -> Any:
        """A twin that reads the same inputs; of a tensor, one with a buffer of its own."""
        return copy.copy(self)

    def astype(self, dtype: Any) -> Any:
        """Itself as float64, which it is; DTypeError for anything else."""
        try:
            same = np.dtype(dtype) == _FLOAT64
        except (TypeError, ValueError):
            same = False
        if not same:
            raise refusal(
                DTypeError,
                f"astype: a node holds float64, there is no op to {brief(dtype)}; "
                "use node.value.astype for an array",
                x=self,
            )
        return self


_FLOAT64 = np.dtype(np.float64)
_STORE = opcode.opmap["STORE_SUBSCR"]


def _is_stored(frame: FrameType) -> bool:
    """Whether the caller's line is ``x[i] = node``; NumPy then asks for a float in silence."""
    return frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] == _STORE
