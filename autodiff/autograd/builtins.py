"""Python's own names that HIPS autograd replaces; containers of nodes are Python's own here."""

from __future__ import annotations

import builtins
from typing import Any

from autodiff.autograd.tracer import Box, isbox, notrace_primitive
from autodiff.autograd.vspaces import ContainerVSpace

__all__ = [
    "ContainerVSpace", "DictBox", "DictVSpace", "ListVSpace", "NamedTupleVSpace", "SequenceBox",
    "SequenceVSpace", "TupleVSpace", "dict", "isinstance", "list", "tuple", "type",
]  # fmt: skip

isinstance_ = builtins.isinstance
type_ = builtins.type
tuple_, list_, dict_ = builtins.tuple, builtins.list, builtins.dict

tuple, list, dict = builtins.tuple, builtins.list, builtins.dict

isinstance = notrace_primitive(builtins.isinstance)
"""Whether the value of x, and not its node, is of a class."""
type = notrace_primitive(builtins.type)
"""The class of the value of x, and not of its node."""

SequenceVSpace = TupleVSpace = ListVSpace = DictVSpace = NamedTupleVSpace = ContainerVSpace


class _SequenceMeta(builtins.type(Box)):  # type: ignore[misc]
    def __instancecheck__(cls, instance: Any) -> bool:
        return builtins.isinstance(instance, (builtins.tuple, builtins.list)) and isbox(instance)


class SequenceBox(Box, metaclass=_SequenceMeta):
    """``isinstance(x, SequenceBox)``: x is a list or a tuple with nodes in it."""


class _DictMeta(builtins.type(Box)):  # type: ignore[misc]
    def __instancecheck__(cls, instance: Any) -> bool:
        return builtins.isinstance(instance, builtins.dict) and isbox(instance)


class DictBox(Box, metaclass=_DictMeta):
    """``isinstance(x, DictBox)``: x is a dictionary with nodes in it."""
