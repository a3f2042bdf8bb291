"""The passes that improve a program, and the order in which they run.

Each is a function from program to program in a file of its own, which may change the instructions
that it is given. ``carry`` makes of the improved
program one for scans. ``fuse``, ``in_place`` and ``reuse`` are decisions of the lowering that can
be switched off in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from autodiff.program.ir import Program, forget
from autodiff.program.passes.accumulate import accumulate
from autodiff.program.passes.assemble import assemble
from autodiff.program.passes.carry import Carried, carry
from autodiff.program.passes.combine import combine
from autodiff.program.passes.legalise import legalise
from autodiff.program.passes.products import batch, pack, stack
from autodiff.program.passes.rows import rows
from autodiff.program.passes.simplify import simplify

__all__ = ["LOWERING_OPTIONS", "PASSES", "Carried", "carry", "improve"]

_ORDER: tuple[Callable[[Program], Program], ...] = (
    assemble,
    simplify,
    stack,
    pack,
    batch,
    rows,
    stack,  # again: sums over the rows that are one value now
    simplify,
    accumulate,
    combine,
)

LOWERING_OPTIONS = ("fuse", "in_place", "reuse")

PASSES: tuple[str, ...] = (
    *dict.fromkeys(p.__name__ for p in (*_ORDER, carry)),
    *LOWERING_OPTIONS,
)
"""Names of all that can be switched off."""


def improve(
    program: Program, without: Collection[str] = (), *, own: bool = False
) -> Iterator[tuple[str, Program]]:
    """The program after each pass, with the pass's name; the last one can be lowered.

    Passes change what they are given: look at one before the next. `program` stays as it is.

    own : `program` may be changed, too, and is of no use afterwards.
    """
    if not own:
        program = program.copy()
    begun = program.instructions
    for change in _ORDER:
        if change.__name__ not in without:
            program = change(program)
            yield change.__name__, program
    program = legalise(program)
    kept = set(program.instructions)
    forget(instruction for instruction in begun if instruction not in kept)
    yield "legalise", program
