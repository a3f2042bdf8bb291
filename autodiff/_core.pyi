from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from autodiff.array import Array
from autodiff.op import BoundOp

_T = TypeVar("_T")

def isas() -> tuple[str, ...]: ...
def isa() -> str: ...
def use_isa(name: str) -> None: ...
def threads() -> int: ...
def set_threads(n: int) -> None: ...
def _quota(folder: str = ...) -> int | None: ...
def kernel_names() -> tuple[str, ...]: ...
def forward(op: BoundOp, inputs: Sequence[Array]) -> Array: ...
def backward(
    op: BoundOp,
    gradient: Array,
    output: Array,
    inputs: Sequence[Array],
    needed: Sequence[bool],
) -> list[Array | None]: ...
def add_gradient(
    op: BoundOp,
    position: int,
    gradient: Array,
    output: Array,
    inputs: Sequence[Array],
    total: Array,
) -> Array: ...
def _gemm(
    how: str, ta: bool, tb: bool, alpha: float, a: Array, b: Array, beta: float, c: Array
) -> None: ...
def _blas_from(n: float | None = None) -> float: ...

class InstructionError(IndexError):
    instruction: int
    numbers: tuple[float, ...]
    step: int | None
    def __init__(
        self, instruction: int, numbers: tuple[float, ...], step: int | None = None
    ) -> None: ...

class LoadError(ValueError):
    code: int
    place: int
    instruction: int | None
    def __init__(
        self, code: int, reason: str, place: int, instruction: int | None = None
    ) -> None: ...

def holding(lock: Any, function: Callable[[], _T]) -> _T: ...
def without_collection(function: Callable[[], _T]) -> _T: ...

class Lock:
    def join(self, other: Lock) -> None: ...

def sealed(array: Array) -> Array: ...
def read_together(arrays: Iterable[Array], locks: Iterable[Lock | None]) -> list[Array]: ...
def write_together(
    buffers: Iterable[Array],
    values: Iterable[Array | float],
    locks: Iterable[Lock | None],
    attributes: Iterable[tuple[object, str, object]] = (),
) -> None: ...

class Program:
    lock: Lock
    def __init__(
        self,
        words: NDArray[np.int64],
        buffers: Sequence[Array],
        functions: Sequence[Callable[[list[Array]], list[Array]]] = (),
        lock: Lock | None = None,
    ) -> None: ...
    def __call__(self, *arguments: Array | float) -> tuple[Any, ...]: ...
    def run(self, *arguments: Array | float) -> tuple[Any, ...]: ...
    def scan(
        self,
        n_steps: int,
        *stacked: Array,
        n_fixed: int = 0,
        before: Program | None = None,
        after: Program | None = None,
    ) -> tuple[Array, ...]: ...
    def profile(self, repeats: int, *arguments: Array | float) -> list[float]: ...
    @property
    def n_instructions(self) -> int: ...
    @property
    def arena_size(self) -> int: ...
    @property
    def n_in_parts(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def isa(self) -> str: ...
