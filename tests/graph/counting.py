"""A back end that counts what it is asked, and fails where it is told to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autodiff.backend import get_backend


class Counting:
    """A back end that counts, and fails where it is told to."""

    name = "counting"

    def __init__(self) -> None:
        self.inner = get_backend("reference")
        self.forwards: list[str] = []
        self.backwards: list[tuple[str, tuple[bool, ...]]] = []
        self.fail_at = -1
        self.error: BaseException = RuntimeError("the kernel failed")

    def _call(self) -> None:
        if len(self.forwards) + len(self.backwards) == self.fail_at:
            self.fail_at = -1
            raise self.error

    def forward(self, op: Any, inputs: Sequence[Any]) -> Any:
        self._call()
        self.forwards.append(op.name)
        return self.inner.forward(op, inputs)

    def backward(self, op: Any, g: Any, z: Any, inputs: Any, needed: Any) -> Any:
        self._call()
        self.backwards.append((op.name, tuple(needed)))
        return self.inner.backward(op, g, z, inputs, needed)
