from collections.abc import Sequence
from typing import Any

from autodiff.array import Array
from autodiff.op import BoundOp

def isas() -> tuple[str, ...]: ...
def isa() -> str: ...
def use_isa(name: str) -> None: ...
def kernel_names() -> tuple[str, ...]: ...
def forward(op: BoundOp, inputs: Sequence[Array]) -> Array: ...
def backward(
    op: BoundOp,
    gradient: Array,
    output: Array,
    inputs: Sequence[Array],
    needed: Sequence[bool],
) -> list[Array | None]: ...
def _gemm(
    how: str, ta: bool, tb: bool, alpha: float, a: Array, b: Array, beta: float, c: Array
) -> None: ...
def _blas_from(n: float | None = None) -> float: ...

class RowNumberError(IndexError):
    instruction: int
    row: float
    n_rows: int
    step: int | None
    def __init__(
        self, instruction: int, row: float, n_rows: int, step: int | None = None
    ) -> None: ...

class Lock:
    def join(self, other: Lock) -> None: ...

class Program:
    arena_size: int
    lock: Lock
    def __init__(
        self,
        arena_size: int,
        arguments: Sequence[tuple[int, ...]],
        buffers: Sequence[Array],
        instructions: Sequence[tuple[Any, ...]],
        results: Sequence[tuple[tuple[int, int], tuple[int, ...]]],
        lock: Lock | None = None,
    ) -> None: ...
    def __call__(self, *arguments: Array | float) -> tuple[Any, ...]: ...
    def run(self, *arguments: Array | float) -> tuple[Any, ...]: ...
    def scan(
        self,
        n_steps: int,
        *stacked: Array,
        before: Program | None = None,
        after: Program | None = None,
    ) -> tuple[Array, ...]: ...
    def profile(self, repeats: int, *arguments: Array | float) -> list[float]: ...
    @property
    def n_instructions(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def isa(self) -> str: ...
    def listing(self) -> str: ...
