"""Ops of a user's own whose rules need numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from autodiff.declare import declare
from autodiff.op import OPS, Example, Sample
from autodiff.program.code.emulate import Emulator
from autodiff.program.fused import FUSED

EXAMPLES = [Example((Sample((3,)),))]


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """The tables are as they were."""
    before = [(table, dict(table)) for table in (OPS, FUSED)]
    yield
    for table, items in before:
        for name in set(table) - set(items):
            del table[name]


def called(forward: Callable[..., Any], backward: Any = None, reads: str = "x") -> Any:
    """An elementwise op `own` of x, by functions of arrays."""

    def own(x: Any) -> Any:
        """z = something of x."""
        return forward(np.asarray(x))

    def rule(g: Any, z: Any, x: Any) -> Any:
        return backward(np.asarray(g), z, x)

    return declare(backward=rule if backward else lambda g, z, x: g, reads=reads,
                   examples=EXAMPLES)(own)  # fmt: skip


def cube() -> Any:
    """An op of which both rules need numbers."""
    return called(lambda x: x**3, lambda g, z, x: g * 3.0 * np.asarray(x) ** 2)


def both(step: Any, *arguments: Any) -> list[Callable[[], Any]]:
    """What runs the step: in C, and emulated."""
    recording = step.recording(*arguments)

    def emulated() -> Any:
        loaded, recording.executor = recording.executor, Emulator(recording.code)
        try:
            return step(*arguments)
        finally:
            recording.executor = loaded

    return [lambda: step(*arguments), emulated]
