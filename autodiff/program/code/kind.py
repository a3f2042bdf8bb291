"""What an instruction of flat code is: the base class of all kinds, and the table of kinds.

A *kind* is a class, one file of :mod:`autodiff.program.code.kinds`; an instruction is an instance
of it: a record with named fields. The kind says everything about its instructions that Python has
to know: how ops become them, what they mean (on tags, and on numbers), their text, and how their
operands may lie. The rest of the house asks the table and names no kind.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from autodiff.array import Array
from autodiff.errors import AutodiffError
from autodiff.op import BoundOp, Op
from autodiff.program.code.flat import Meaning, Operand, Places
from autodiff.program.code.lowering import Lowering
from autodiff.program.code.machine import Machine
from autodiff.program.ir import Instruction, Value
from autodiff.program.opaque import Opaque
from autodiff.program.plan.layout import Layout

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform

__all__ = [
    "KINDS",
    "Emitter",
    "Kind",
    "Operand",
    "Places",
    "has_own_kind",
    "instruction_kind",
    "kind_of",
]


class Emitter(Protocol):
    """What a pass offers that builds a program anew."""

    def apply(self, name: str, *inputs: Value, **attributes: Any) -> Value:
        """One more op."""
        ...

    def emit_several(self, op: BoundOp, inputs: Sequence[Value]) -> tuple[Value, ...]:
        """One more op, of several outputs."""
        ...

    def constant(self, value: Any) -> Value:
        """A constant."""
        ...

    def reshape(self, x: Value, shape: tuple[int, ...]) -> Value:
        """The same elements in another shape."""
        ...


class Kind:
    """One instruction of flat code; the subclass is its kind.

    A subclass is decorated with :func:`instruction_kind`. Its fields are ``int``, ``bool``,
    ``float``, ``str``, ``Operand``, ``Operand | None``, tuples of any length of these, and records
    (named tuples) of all of them: :mod:`autodiff.program.code.words` encodes them by annotation.
    A kind that owns code, as a loop owns its body, has it in a field ``regions``, of type
    ``tuple[Region, ...]`` (:class:`autodiff.program.code.flat.Region`).

    name : what it is called in words, in C and in listings.
    ops : names of the ops that it carries out.
    composed : names of ops that :meth:`legal` makes of these, and which have no kind themselves.
    elementwise : carries out all elementwise ops, many at once.
    opaque : carries out all ops that are called back: those that no kind can compute.
    can_fail : an instruction of this kind may report a fault when it runs; see :meth:`error`.
    """

    __slots__ = ()

    name: ClassVar[str]
    ops: ClassVar[tuple[str, ...]] = ()
    composed: ClassVar[tuple[str, ...]] = ()
    elementwise: ClassVar[bool] = False
    opaque: ClassVar[bool] = False
    can_fail: ClassVar[bool] = False

    # ---- from programs to instructions ----

    @classmethod
    def legal(cls, e: Emitter, old: Instruction, inputs: Sequence[Value]) -> Value | None:
        """The same by ops that this kind can carry out; None if `old` is already such an op."""
        return None

    @classmethod
    def takes(cls, instruction: Instruction, position: int, layout: Layout) -> bool:
        """Whether operand number `position` may lie so; if not, it is copied."""
        return layout.contiguous

    @classmethod
    def gives(cls, value: Value, same_shape: bool) -> bool:
        """Whether `value` can be computed in a window of something larger.

        same_shape : whether the window has its shape, perhaps without axes of size 1.
        """
        return False

    @classmethod
    def may_overwrite(cls, instruction: Instruction) -> int:
        """How many operands, the first ones, may lie exactly where the output will lie."""
        return 0

    @classmethod
    def must_overwrite(cls, instruction: Instruction) -> int | None:
        """The number of the operand that must lie where the output will lie, if there is one."""
        return None

    @classmethod
    def lower(cls, members: Sequence[Instruction], lowering: Lowering) -> None:
        """Emit what carries out one instruction of a placed program (or many elementwise ones)."""
        raise NotImplementedError

    # ---- what an instruction means ----

    def check(self, machine: Machine, meaning: Meaning) -> None:
        """Execute it on tags; :meth:`Machine.fail` if it does not do what it is meant to do."""
        raise NotImplementedError

    def emulate(self, spaces: Sequence[Array]) -> None:
        """Execute it with NumPy."""
        raise NotImplementedError

    def error(self, numbers: Sequence[float]) -> AutodiffError:
        """What a fault means, by the numbers that C reports; the caller says where it was."""
        raise NotImplementedError

    # ---- how it is shown ----

    def text(self, place: Places) -> str:
        """Its line in a listing."""
        raise NotImplementedError

    def title(self) -> str:
        """Its title in a picture."""
        return self.name

    colour: ClassVar[str] = "#fff3d6"


KINDS: dict[str, type[Kind]] = {}
"""Every kind by its name."""

_BY_OP: dict[str, type[Kind]] = {}
_ELEMENTWISE: list[type[Kind]] = []
_OPAQUE: list[type[Kind]] = []

KindT = TypeVar("KindT", bound=type[Kind])


if not TYPE_CHECKING:  # (of Python 3.11)

    def dataclass_transform(**_: Any) -> Any:
        """Tell type checkers that a decorator makes dataclasses."""
        return lambda decorator: decorator


@dataclass_transform(frozen_default=True)
def instruction_kind(cls: KindT) -> KindT:
    """Make a kind of a class: a frozen record in the table.

    Raises
    ------
    ValueError
        If its name, or one of its ops, is taken.
    """
    made: KindT = dataclasses.dataclass(frozen=True, slots=True)(cls)  # type: ignore[assignment]
    served = (*made.ops, *made.composed)
    if made.name in KINDS or not _BY_OP.keys().isdisjoint(served):
        raise ValueError(f"there is a kind {made.name!r} already, or one for its ops {served}")
    KINDS[made.name] = made
    _BY_OP.update(dict.fromkeys(served, made))
    if made.elementwise:
        _ELEMENTWISE.append(made)
    if made.opaque:
        _OPAQUE.append(made)
    return made


def has_own_kind(op: Op) -> bool:
    """Whether a kind names this op."""
    return op.name in _BY_OP


def kind_of(op: Op) -> type[Kind] | None:
    """The kind that carries out an op, if there is one."""
    if isinstance(op, Opaque):
        return _OPAQUE[0]
    found = _BY_OP.get(op.name)
    return _ELEMENTWISE[0] if found is None and op.elementwise else found
