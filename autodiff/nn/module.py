"""The base of everything that owns parameters: finding them, naming them, stepping them.

A parameter is a :class:`~autodiff.Tensor` that is not constant. Parameters are a set by identity:
a tensor that is reachable along two ways is one parameter, listed once, stepped once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from autodiff.graph.node import Node, Tensor
from autodiff.optim import SGD

__all__ = ["Module", "name_node"]


class Module:
    """Something with parameters: the tensors in its attributes.

    Attributes may be tensors, modules, and lists, tuples and dictionaries of these, nested
    as one likes. Attributes whose name begins with an underscore are passed over, and so are
    constant tensors (inputs, carried state).
    """

    def parameters(self) -> list[Tensor]:
        """Each parameter once, in the order in which the attributes were set."""
        return list(dict.fromkeys(tensor for _, tensor in _walk("", self, ())))

    def named_parameters(self, *, ties: bool = False) -> dict[str, Tensor]:
        """The parameters by dotted name: ``{"lstm.f.W": ..., "heads.0.b": ...}``.

        ties : list a shared parameter under each of its names, in place of the first only.
        """
        names: dict[str, Tensor] = {}
        seen: set[Tensor] = set()
        for name, tensor in _walk("", self, ()):
            if ties or tensor not in seen:
                names[name] = tensor
                seen.add(tensor)
        return names

    def update(self, rate: float | Tensor) -> None:
        """The post's ``update``: one step of gradient descent for each parameter.

        Raises GradientError, before any parameter has changed, if one has no gradient.
        """
        SGD(self, rate).step()

    def __repr__(self) -> str:
        parameters = self.parameters()
        n_numbers = sum(tensor.size for tensor in parameters)
        what = f"{type(self).__name__}{self._sizes()}"
        return f"<{what}, {len(parameters)} parameters, {n_numbers} numbers>"

    def _sizes(self) -> str:
        """What `repr` says after the class's name."""
        return ""


def _walk(name: str, owner: Any, path: tuple[int, ...]) -> Iterator[tuple[str, Tensor]]:
    """All (name, parameter) below `owner`, one for each way; `path` holds what it lies in."""
    if isinstance(owner, Tensor):
        if not owner.constant:
            yield name, owner
        return
    items: Iterable[tuple[Any, Any]]
    if isinstance(owner, Module):
        items = [(key, x) for key, x in vars(owner).items() if not key.startswith("_")]
    elif isinstance(owner, dict):
        items = owner.items()
    elif isinstance(owner, (list, tuple)):
        items = enumerate(owner)
    else:
        return
    if id(owner) in path:  # a module that refers back to what it lies in
        return
    for key, x in items:
        yield from _walk(f"{name}.{key}" if name else str(key), x, (*path, id(owner)))


def name_node(node: Node, name: str) -> Node:
    """Give `node` a telling name, for messages and drawings; returns it."""
    node.name = name
    return node
