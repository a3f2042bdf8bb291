"""Flat code: instructions over operands, and what the program meant by each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from autodiff.array import Array, Shape
from autodiff.errors import AutodiffError, VerificationError
from autodiff.program.ir import Instruction

__all__ = [
    "Code",
    "FlatInstruction",
    "Meaning",
    "Operand",
    "Places",
    "Region",
    "region_code",
    "regions_of",
]


class Operand(NamedTuple):
    """Where an operand begins.

    Space 0 is the arena, then come the arguments, then the fixed buffers: one that holds all
    scalar constants, tensors, large constants.
    """

    space: int
    offset: int


class Places(Protocol):
    """How operands are called in texts."""

    def __call__(self, operand: Operand) -> str:
        """A name."""
        ...


@dataclass(slots=True)
class Meaning:
    """The instructions of the program that one instruction of the code carries out.

    sources : one for each application of a map, else a single one; None for a copy.
    start : the element of their outputs, row by row, with which a map begins.
    regions : of an instruction that owns code, each of its regions as it was lowered.
    """

    sources: Sequence[Instruction | None]
    start: int = 0
    regions: Sequence[Code] = ()


class FlatInstruction(Protocol):
    """What is done with an instruction of flat code: see :mod:`autodiff.program.code.kind`."""

    @property
    def name(self) -> str:
        """The name of its kind."""

    @property
    def can_fail(self) -> bool:
        """Whether it may report a fault when it runs."""

    @property
    def colour(self) -> str:
        """In pictures."""

    def check(self, machine: Any, meaning: Meaning) -> None:
        """Execute it on tags."""

    def emulate(self, spaces: Sequence[Array]) -> None:
        """Execute it with NumPy."""

    def error(self, numbers: Sequence[float]) -> AutodiffError:
        """What a fault means."""

    def text(self, place: Places) -> str:
        """Its line in a listing."""

    def title(self) -> str:
        """Its title in a picture."""


@dataclass(frozen=True, slots=True)
class Region:
    """Code that an instruction owns, as a loop owns its body: a field of a kind.

    It has spaces of its own: its arena, its arguments, and its buffers, which are buffers of the
    code around it. Which numbers its arguments are, and where its results go, the kind says.

    buffers : the spaces of the code around it that are its buffers.
    """

    arena_size: int
    arguments: tuple[Shape, ...]
    buffers: tuple[int, ...]
    instructions: tuple[FlatInstruction, ...]
    results: tuple[tuple[Operand, Shape], ...]


@dataclass
class Code:
    """What the executor loads.

    arguments : shapes. buffers : arrays that the code refers to, in the order of their spaces.
    labels : for each instruction, what it computes, for listings and profiles. results : pairs of
    operand and shape. names : of the buffers that are tensors, by number. meanings : for each
    instruction, what :mod:`autodiff.program.code.verify` holds it to. functions : what instructions
    call, by number; each takes a list of arrays and gives another. Regions call those of the whole.
    """

    arena_size: int = 0
    arguments: list[Shape] = field(default_factory=list)
    buffers: list[Array] = field(default_factory=list)
    instructions: list[FlatInstruction] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    results: list[tuple[Operand, Shape]] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    meanings: list[Meaning] = field(default_factory=list)
    functions: list[Any] = field(default_factory=list)


def regions_of(instruction: FlatInstruction) -> tuple[Region, ...]:
    """The code that an instruction owns: its field `regions`, if it has one."""
    return getattr(instruction, "regions", ())


def region_code(region: Region, lowered: Code, around: Code) -> Code:
    """A region as code, by its fields; labels, names and meanings are those that it was lowered to.

    around : the code whose instruction owns it.

    Raises
    ------
    VerificationError
        If it refers to anything around it but buffers.
    """
    first = 1 + len(around.arguments)
    if any(space < first for space in region.buffers):
        raise VerificationError(f"a region sees spaces {region.buffers}, not all of them buffers")
    return Code(
        region.arena_size,
        list(region.arguments),
        [around.buffers[space - first] for space in region.buffers],
        list(region.instructions),
        lowered.labels,
        list(region.results),
        lowered.names,
        lowered.meanings,
        around.functions,
    )
