"""Run flat code with NumPy: what the executor in C must do, and what runs where there is none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.array import Array, is_float64
from autodiff.errors import InstructionError
from autodiff.program.code.flat import Code
from autodiff.program.code.numbers import Spaces, window

__all__ = ["Emulator"]


class Emulator:
    """The executor's methods, by NumPy; slow, and for one thread at a time."""

    def __init__(self, code: Code) -> None:
        self.code = code
        self.arena = np.full(code.arena_size, np.nan)

    def __call__(self, *arguments: Array) -> tuple[Any, ...]:
        """The same as :meth:`run`."""
        shapes = [np.shape(a) for a in arguments]
        if shapes != self.code.arguments or not all(map(is_float64, arguments)):
            raise TypeError("arguments do not fit the program")
        return self.run(*arguments)

    def scan(
        self,
        n_steps: int,
        *stacked: Array,
        n_fixed: int = 0,
        before: Emulator | None = None,
        after: Emulator | None = None,
    ) -> tuple[Any, ...]:
        """Run for each index of the leading axis; results are stacked."""
        n_stacked = len(stacked) - n_fixed
        steps: list[tuple[Any, ...]] = []
        if before is not None:
            before.run()
        try:
            for i in range(n_steps):
                arguments = (*(a[i] for a in stacked[:n_stacked]), *stacked[n_stacked:])
                steps.append(self.run(*arguments))
        except InstructionError as error:
            error.step = len(steps)
            raise
        finally:
            if after is not None:
                after.run()
        return tuple(
            np.array([step[k] for step in steps]).reshape(n_steps, *shape)
            for k, (_, shape) in enumerate(self.code.results)
        )

    def profile(self, repeats: int, *arguments: Array) -> list[float]:
        """The emulator has nothing to tell about times."""
        for _ in range(repeats):
            self.run(*arguments)
        return [math.nan] * len(self.code.instructions)

    def run(self, *arguments: Array) -> tuple[Any, ...]:
        """Run the code once; the results are fresh."""
        spaces = [self.arena, *(np.asarray(a).reshape(-1) for a in arguments)]
        spaces += [b.reshape(-1) for b in self.code.buffers]
        spaces = Spaces(spaces, self.code.functions)
        with np.errstate(all="ignore"):
            for number, instruction in enumerate(self.code.instructions):
                try:
                    instruction.emulate(spaces)
                except InstructionError as error:
                    error.instruction = number
                    raise
        results = [np.array(window(spaces, place, shape)) for place, shape in self.code.results]
        return tuple(r if r.ndim else float(r) for r in results)
