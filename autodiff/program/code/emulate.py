"""Run flat code with NumPy: what the executor in C must do, and what runs where there is none."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from autodiff.array import Array, is_float64
from autodiff.program.code.lower import Code, Operand
from autodiff.program.fused import find_op

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
        if before is not None:
            before.run()
        try:
            steps = [
                self.run(*(a[i] for a in stacked[:n_stacked]), *stacked[n_stacked:])
                for i in range(n_steps)
            ]
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
        with np.errstate(all="ignore"):
            for name, *parameters in self.code.instructions:
                getattr(self, f"_{name}")(spaces, *parameters)
        results = [np.array(_window(spaces, place, shape)) for place, shape in self.code.results]
        return tuple(r if r.ndim else float(r) for r in results)

    def _run(
        self,
        spaces: list[Array],
        shape: tuple[int, ...],
        operands: Sequence[tuple[Any, ...]],
        micro: Sequence[tuple[Any, ...]],
    ) -> None:
        windows = [_window(spaces, place, shape, strides) for place, strides, *_ in operands]
        registers: dict[int, Array] = {}
        for name, a, b, c, target in micro:
            inputs = [registers[~i] if i < 0 else windows[i] for i in (a, b, c) if i is not None]
            options = {}
            if name == "power":
                exponent = inputs.pop()
                options["exponent"] = float(exponent.flat[0]) if exponent.size else 0.0
            value = find_op(name).forward(*inputs, **options)
            if target < 0:
                registers[~target] = np.array(value)
            else:
                windows[target][...] = value

    def _copy(
        self, spaces: list[Array], shape: tuple[int, ...], x: Operand, x_strides: Sequence[int],
        z: Operand, z_strides: Sequence[int],
    ) -> None:  # fmt: skip
        _window(spaces, z, shape, z_strides)[...] = _window(spaces, x, shape, x_strides)

    def _gemm(
        self, spaces: list[Array], ta: int, tb: int, m: int, n: int, k: int, alpha: Any, a: Operand,
        lda: int, b: Operand, ldb: int, beta: float, c: Operand, ldc: int,
        stack: tuple[int, ...], sa: Sequence[int], sb: Sequence[int], sc: Sequence[int],
    ) -> None:  # fmt: skip
        factor, scale = alpha
        if scale is not None:
            factor = factor * float(spaces[scale[0]][scale[1]])
        for index in itertools.product(*map(range, stack)):
            x, y, z = (
                _window(
                    spaces,
                    (place[0], place[1] + sum(i * s for i, s in zip(index, strides, strict=True))),
                    shape,
                    (leading, 1),
                )
                for place, strides, shape, leading in (
                    (a, sa, (k, m) if ta else (m, k), lda),
                    (b, sb, (n, k) if tb else (k, n), ldb),
                    (c, sc, (m, n), ldc),
                )
            )
            product = factor * np.matmul(x.T if ta else x, y.T if tb else y)
            z[...] = product if beta == 0.0 else product + beta * z

    def _reduce(self, name: str, spaces: list[Array], *where: Any) -> None:
        a, r, b, x, z = where
        value = find_op(name).forward(_window(spaces, x, (a, r, b)), axis=(1,), keepdims=False)
        _window(spaces, z, (a, b))[...] = value

    def _sum(self, spaces: list[Array], *where: Any) -> None:
        self._reduce("sum", spaces, *where)

    def _max(self, spaces: list[Array], *where: Any) -> None:
        self._reduce("max", spaces, *where)

    def _rows(self, name: str, spaces: list[Array], *where: Any) -> None:
        rows, n, x, z = where
        options = {"keepdims": False} if name == "logsumexp" else {}
        value = find_op(name).forward(_window(spaces, x, (rows, n)), axis=(1,), **options)
        _window(spaces, z, np.shape(value))[...] = value

    def _softmax(self, spaces: list[Array], *where: Any) -> None:
        self._rows("softmax", spaces, *where)

    def _log_softmax(self, spaces: list[Array], *where: Any) -> None:
        self._rows("log_softmax", spaces, *where)

    def _logsumexp(self, spaces: list[Array], *where: Any) -> None:
        self._rows("logsumexp", spaces, *where)

    def _take(self, spaces: list[Array], *where: Any) -> None:
        n_rows, size, n, x, rows, z = where
        table, numbers = _window(spaces, x, (n_rows, size)), _window(spaces, rows, (n,))
        _window(spaces, z, (n, size))[...] = find_op("take").forward(table, numbers)

    def _scatter_rows(self, spaces: list[Array], *where: Any) -> None:
        n_rows, size, n, x, rows, z = where
        values, numbers = _window(spaces, x, (n, size)), _window(spaces, rows, (n,))
        total = find_op("scatter_rows").forward(values, numbers, n_rows=n_rows)
        _window(spaces, z, (n_rows, size))[...] = total


def _window(
    spaces: Sequence[Array],
    place: Operand,
    shape: Sequence[int],
    strides: Sequence[int] | None = None,
) -> Array:
    space, offset = place
    if strides is None:
        size = int(np.prod(shape, dtype=np.intp))
        return spaces[space][offset : offset + size].reshape(shape)
    return as_strided(spaces[space][offset:], tuple(shape), tuple(8 * s for s in strides))
