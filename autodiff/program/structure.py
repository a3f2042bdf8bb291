"""Arguments and results of a step: any nesting of containers, flattened.

A structure is a hashable description of the nesting in which every leaf that is an array or
a number is its shape, and every other leaf is itself, and its type: None, strings, bools, members
of an enum, and what the step was told is static. A list of numbers is an array.
Containers come back as what they were: tuples, named tuples, lists, dictionaries (also
OrderedDict and defaultdict), data classes.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from autodiff.array import Array, as_float64, is_operand
from autodiff.errors import DTypeError, GradientError

__all__ = [
    "Group",
    "Leaf",
    "Static",
    "Structure",
    "argument",
    "flatten",
    "rebuild",
    "shapes_of",
    "without_leading",
]


@dataclasses.dataclass(frozen=True)
class Leaf:
    """Stands for an array in a structure."""

    shape: tuple[int, ...]

    def __repr__(self) -> str:
        return f"array{list(self.shape)}"


class Static:
    """A leaf that is itself; told apart from what is equal to it and of another type."""

    __slots__ = ("_key", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self._key = _typed(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return repr(self.value)


def _typed(value: Any) -> Any:
    """A key that is equal only for values that a function cannot tell apart."""
    if isinstance(value, (tuple, frozenset)):
        return type(value), *map(_typed, value)
    if isinstance(value, (float, complex)):
        return type(value), repr(value)  # -0.0 is not 0.0, and NaN is itself
    return type(value), value


@dataclasses.dataclass(frozen=True)
class Group:
    """A container: its kind, the names of its parts (None: they have none), and the parts."""

    kind: Any
    names: tuple[Static, ...] | None
    parts: tuple[Structure, ...]

    def joined(self, other: Group) -> Group:
        """One dictionary of both."""
        assert self.names is not None
        assert other.names is not None
        return Group(self.kind, self.names + other.names, self.parts + other.parts)

    def __repr__(self) -> str:
        if self.names is None:
            return f"{self.kind.__name__}{list(self.parts)}"
        named = (f"{n}: {p!r}" for n, p in zip(self.names, self.parts, strict=True))
        return f"{getattr(self.kind, '__name__', 'defaultdict')}{{{', '.join(named)}}}"


Structure: TypeAlias = Leaf | Static | Group
Convert: TypeAlias = Callable[[Any, str], Any]


def flatten(
    tree: Any, what: str, convert: Convert, leaves: list[Any], *, lists: bool = False
) -> Structure:
    """The structure of `tree`; what `convert` makes of its leaves is appended to `leaves`.

    convert : is given a leaf and what to call it; it returns an array or a number, or raises.
    lists : whether a list of numbers is a list; else it is an array.

    Raises
    ------
    DTypeError
        For a container of another kind.
    """

    def parts(named: Sequence[tuple[str, Any]]) -> tuple[Structure, ...]:
        return tuple(flatten(x, what + name, convert, leaves, lists=lists) for name, x in named)

    if isinstance(tree, Static):
        return tree
    if tree is None or isinstance(tree, (str, bytes, bool, enum.Enum)):
        return Static(tree)
    if isinstance(tree, (tuple, list)) and (lists or not _is_numbers(tree)):
        kind = type(tree)
        if kind not in (tuple, list) and not hasattr(tree, "_fields"):
            raise _unknown(tree, what, "a tuple or a list")
        return Group(kind, None, parts([(f"[{i}]", x) for i, x in enumerate(tree)]))
    if isinstance(tree, dict):
        names = tuple(map(Static, tree))
        return Group(
            _kind_of_dict(tree, what), names, parts([(f"[{k!r}]", x) for k, x in tree.items()])
        )
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        fields = [f.name for f in dataclasses.fields(tree)]
        return Group(
            type(tree),
            tuple(map(Static, fields)),
            parts([(f".{name}", getattr(tree, name)) for name in fields]),
        )
    leaf = convert(tree, what)
    leaves.append(leaf)
    return Leaf(getattr(leaf, "shape", ()))


def _kind_of_dict(tree: dict[Any, Any], what: str) -> Any:
    kind = type(tree)
    if kind is collections.defaultdict:
        return kind, tree.default_factory  # type: ignore[attr-defined]
    if kind not in (dict, collections.OrderedDict):
        raise _unknown(tree, what, "a dict")
    return kind


def _unknown(tree: Any, what: str, instead: str) -> DTypeError:
    return DTypeError(
        f"{what}: a {type(tree).__qualname__} would not come back as what it is; give {instead}, "
        "a named tuple or a data class"
    )


def _is_numbers(tree: Any) -> bool:
    """Whether `tree` is a list of numbers, or of such lists: an array for NumPy, and here."""
    if type(tree) is list:
        return bool(tree) and all(map(_is_numbers, tree))
    return isinstance(tree, (int, float)) and not isinstance(tree, (bool, enum.Enum))


def argument(leaf: Any, what: str) -> Array:
    """A leaf of the arguments of a step, as float64.

    Raises
    ------
    DTypeError
        If it is neither an array of real numbers nor a number.
    GradientError
        If it is a node that needs a gradient: arrays go into a compiled step, and come out.
    """
    if is_operand(leaf) and hasattr(leaf, "needs_gradient"):
        if leaf.needs_gradient:
            raise GradientError(
                f"{what}: {leaf.describe()} needs a gradient, which would be cut off: arrays go "
                "into a compiled step and come out; hand in its value"
            )
        leaf = leaf.value
    if callable(leaf) or not _may_be_array(leaf):
        raise DTypeError(
            f"{what}: {leaf!r} is no array; an argument that is the same for many calls can be "
            'named static when the step is compiled: autodiff.compile(static=("name",))'
        )
    return as_float64(leaf, what)


def _may_be_array(leaf: Any) -> bool:
    return (
        isinstance(leaf, (int, float, complex))
        or any(hasattr(leaf, name) for name in ("__array__", "__array_interface__", "__len__"))
        or hasattr(type(leaf), "__float__")
    )


def rebuild(structure: Structure, leaves: Iterator[Any]) -> Any:
    """The tree of `structure`, its arrays taken from `leaves` in order."""
    if isinstance(structure, Leaf):
        return next(leaves)
    if isinstance(structure, Static):
        return structure.value
    kind, items = structure.kind, [rebuild(x, leaves) for x in structure.parts]
    if kind is list:
        return items
    if structure.names is None:
        return kind(*items) if hasattr(kind, "_fields") else tuple(items)
    pairs = zip((name.value for name in structure.names), items, strict=True)
    if kind is dict:
        return dict(pairs)
    if isinstance(kind, tuple):
        return collections.defaultdict(kind[1], pairs)
    if kind is collections.OrderedDict:
        return kind(pairs)
    made = object.__new__(kind)
    for name, item in pairs:
        object.__setattr__(made, name, item)  # frozen ones, too
    return made


def without_leading(structure: Structure) -> Structure:
    """The structure of one step of stacked arguments."""
    if isinstance(structure, Leaf):
        return Leaf(structure.shape[1:])
    if isinstance(structure, Static):
        return structure
    parts = tuple(without_leading(x) for x in structure.parts)
    return Group(structure.kind, structure.names, parts)


def shapes_of(structure: Structure) -> Iterator[tuple[int, ...]]:
    """The shapes of the leaves, in order."""
    if isinstance(structure, Leaf):
        yield structure.shape
    elif isinstance(structure, Group):
        for part in structure.parts:
            yield from shapes_of(part)
