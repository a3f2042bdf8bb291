"""Flat code: instructions over operands, and what the program meant by each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from autodiff.array import Array, Shape
from autodiff.errors import AutodiffError
from autodiff.program.ir import Instruction

__all__ = ["Code", "FailedCall", "FlatInstruction", "Meaning", "Operand", "Places"]


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
    """

    sources: Sequence[Instruction | None]
    start: int = 0


class FailedCall(IndexError):
    """A function that the code has called has raised what caused this: in the emulator.

    (In C it is ``_core.InstructionError``.)
    """

    instruction: int
    step: int | None = None
    numbers: tuple[float, ...] = ()


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

    def emulate_calling(self, spaces: Sequence[Array], functions: Sequence[Any]) -> None:
        """The same; functions : of the code, for kinds that call them."""

    def error(self, numbers: Sequence[float]) -> AutodiffError:
        """What a fault means."""

    def text(self, place: Places) -> str:
        """Its line in a listing."""

    def title(self) -> str:
        """Its title in a picture."""


@dataclass
class Code:
    """What the executor loads.

    arguments : shapes. buffers : arrays that the code refers to, in the order of their spaces.
    labels : for each instruction, what it computes, for listings and profiles. results : pairs of
    operand and shape. names : of the buffers that are tensors, by number. meanings : for each
    instruction, what :mod:`autodiff.program.code.verify` holds it to. functions : what instructions
    call, by number; each takes a list of arrays and gives one.
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
