"""Vector spaces of arguments and results: what they add up to, unit vectors, inner products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from autodiff.array import is_operand
from autodiff.autograd.trees import Tree, flat

__all__ = ["ArrayVSpace", "ContainerVSpace", "VSpace", "vspace"]


class VSpace:
    """The space that a value is an element of. ``VSpace.register`` adds kinds of values."""

    mappings: ClassVar[dict[Any, Callable[[Any], Any]]] = {}
    iscomplex = False

    def __init__(self, value: Any) -> None:
        pass

    def mut_add(self, x_prev: Any, x_new: Any) -> Any:
        """The sum."""
        return self.add(x_prev, x_new) if x_prev is not None else x_new

    def add(self, x: Any, y: Any) -> Any:
        """The sum."""
        return self._add(x, y)

    def scalar_mul(self, x: Any, a: Any) -> Any:
        """The multiple."""
        return self._scalar_mul(x, a)

    def inner_prod(self, x: Any, y: Any) -> Any:
        """The inner product."""
        return self._inner_prod(x, y)

    def covector(self, x: Any) -> Any:
        """The same, of real numbers."""
        return self._covector(x)

    def _add(self, x: Any, y: Any) -> Any:
        return x + y

    def _scalar_mul(self, x: Any, a: Any) -> Any:
        return x * a

    def _inner_prod(self, x: Any, y: Any) -> Any:
        raise NotImplementedError(repr(self))

    def _covector(self, x: Any) -> Any:
        return x

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}_{self.__dict__}"

    @classmethod
    def register(cls, value_type: Any, vspace_maker: Any = None) -> None:
        """Values of this type are elements of this space."""
        VSpace.mappings[value_type] = vspace_maker or cls


class ArrayVSpace(VSpace):
    """Arrays of one shape."""

    def __init__(self, value: Any) -> None:
        self.shape = value.shape if is_operand(value) else np.shape(value)
        self.dtype = np.dtype(np.float64)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def zeros(self) -> Any:
        """The zero vector."""
        return np.zeros(self.shape)[()]

    def ones(self) -> Any:
        """All ones."""
        return np.ones(self.shape)[()]

    def randn(self) -> Any:
        """Normal random numbers."""
        return np.array(np.random.randn(*self.shape))[()]  # noqa: NPY002

    def standard_basis(self) -> Iterator[Any]:
        """The unit vectors."""
        for index in np.ndindex(*self.shape):
            vector = np.zeros(self.shape)
            vector[index] = 1.0
            yield vector[()]

    def _inner_prod(self, x: Any, y: Any) -> Any:
        return (x * y).sum() if is_operand(x) or is_operand(y) else np.sum(np.multiply(x, y))


class ContainerVSpace(VSpace):
    """Values of one nesting."""

    def __init__(self, value: Any) -> None:
        leaves: list[Any] = []
        self.tree: Tree = flat(value, leaves)
        self.spaces = [vspace(x) for x in leaves]
        self.shape = self.tree.rebuilt(iter(self.spaces))

    @property
    def size(self) -> int:
        """Number of elements of all."""
        return sum(space.size for space in self.spaces)

    def _each(self, call: Callable[..., Any], *values: Any) -> Any:
        parts: list[list[Any]] = [[] for _ in values]
        for value, found in zip(values, parts, strict=True):
            flat(value, found)
        return self.tree.rebuilt(map(call, self.spaces, *parts))

    def zeros(self) -> Any:
        """The zero vector."""
        return self._each(lambda space: space.zeros())

    def ones(self) -> Any:
        """All ones."""
        return self._each(lambda space: space.ones())

    def randn(self) -> Any:
        """Normal random numbers."""
        return self._each(lambda space: space.randn())

    def standard_basis(self) -> Iterator[Any]:
        """The unit vectors."""
        for i, space in enumerate(self.spaces):
            for vector in space.standard_basis():
                parts = [vector if i == j else s.zeros() for j, s in enumerate(self.spaces)]
                yield self.tree.rebuilt(iter(parts))

    def _add(self, x: Any, y: Any) -> Any:
        return self._each(lambda space, a, b: space.add(a, b), x, y)

    def _scalar_mul(self, x: Any, a: Any) -> Any:
        return self._each(lambda space, b: space.scalar_mul(b, a), x)

    def _inner_prod(self, x: Any, y: Any) -> Any:
        found: list[Any] = []
        flat(self._each(lambda space, a, b: space.inner_prod(a, b), x, y), found)
        return sum(found)


_NUMBERS = (float, int, np.ndarray, np.floating, np.integer)


def vspace(value: Any) -> Any:
    """The space that a value is an element of; TypeError if it is of none."""
    kind = type(value)
    if kind in VSpace.mappings:
        return VSpace.mappings[kind](value)
    if isinstance(value, (tuple, list, dict)):
        return ContainerVSpace(value)
    if is_operand(value) or (isinstance(value, _NUMBERS) and not isinstance(value, bool)):
        return ArrayVSpace(value)
    raise TypeError(f"Can't find vector space for value {value} of type {kind}.")
