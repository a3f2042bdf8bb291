"""An op with a kind of instruction of its own is two records in one module, and nothing else."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import ops
from autodiff.errors import IndexRangeError, VerificationError
from autodiff.op import OPS
from autodiff.program import recording as recordings
from autodiff.program.code import kind as kinds
from autodiff.program.code.emulate import Emulator
from autodiff.program.code.verify import verify_code
from autodiff.program.code.words import from_words, to_words

SOURCE = '''
from typing import ClassVar

import numpy as np

from autodiff.declare import declare
from autodiff.errors import IndexRangeError
from autodiff.op import example
from autodiff.program.code.kind import Kind, Operand, instruction_kind
from autodiff.program.code.numbers import window


@declare(backward=None, shape=lambda x: x, examples=[example((2, 3))])
def running_total(x):
    """z[..., i] = x[..., 0] + ... + x[..., i]."""
    return np.cumsum(x, axis=-1)


@instruction_kind
class RunningTotal(Kind):
    """Running totals along rows."""

    name: ClassVar = "running_total"
    ops: ClassVar = ("running_total",)
    can_fail: ClassVar = True

    n_rows: int
    n: int
    x: Operand
    z: Operand

    @classmethod
    def lower(cls, members, lowering):
        (instruction,) = members
        (x,) = instruction.inputs
        n = x.shape[-1]
        made = cls(x.size // n, n, lowering.place(x), lowering.place(instruction.output))
        lowering.emit_one(made, instruction)

    def check(self, machine, meaning):
        source = machine.source(meaning.sources, "running_total")
        (x,) = source.inputs
        if self.n != x.shape[-1] or self.n_rows * self.n != x.size:
            machine.fail("its sizes do not fit")
        machine.from_to(source, [(self.x, "its operand")], self.z)

    def emulate(self, spaces):
        shape = self.n_rows, self.n
        window(spaces, self.z, shape)[...] = np.cumsum(window(spaces, self.x, shape), axis=-1)

    def error(self, numbers):
        return IndexRangeError(f"row {numbers[0]:g} overflows")

    def text(self, place):
        return f"running_total {self.n_rows}×{self.n}: {place(self.z)} = totals({place(self.x)})"
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module; what it enters into tables is taken out afterwards."""
    tables: list[Any] = [OPS, kinds.KINDS, kinds._BY_OP]
    before = [dict(table) for table in tables]
    path = tmp_path / "own.py"
    path.write_text(SOURCE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("own", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "own", module)
    spec.loader.exec_module(module)
    # Its kernel would be one file of C; here NumPy takes the place of the executor.
    monkeypatch.setattr(recordings, "load", lambda code, *_, **__: Emulator(code))
    yield module
    for table, items in zip(tables, before, strict=True):
        table.clear()
        table.update(items)


def recorded(own: ModuleType) -> tuple[Any, Any, np.ndarray]:
    def step(x: Any) -> Any:
        return ops.exp(own.running_total(ops.tanh(x).T)) * 2.0

    x = np.linspace(-1.0, 1.0, 12).reshape(3, 4)
    return autodiff.compile(step), step, x


def test_an_own_kind_is_lowered_emulated_and_listed(own: ModuleType) -> None:
    step, eager, x = recorded(own)
    np.testing.assert_allclose(step(x), eager(x), rtol=1e-15)
    code = step.recording(x).code
    (made,) = [i for i in code.instructions if i.name == "running_total"]
    assert (made.n_rows, made.n) == (4, 3)
    assert "running_total 4×3: @" in step.program(x)
    assert "running_total" in step.graph(x)
    assert str(made.error([3.0])) == "row 3 overflows"
    assert isinstance(made.error([3.0]), IndexRangeError)


def test_an_own_kind_has_words(own: ModuleType) -> None:
    step, _, x = recorded(own)
    code = step.recording(x).code
    assert from_words(to_words(code))[2] == code.instructions


def test_an_own_kind_is_verified(own: ModuleType) -> None:
    step, _, x = recorded(own)
    recording = step.recording(x)
    code = recording.code
    (number,) = [n for n, i in enumerate(code.instructions) if i.name == "running_total"]
    for fields in ({"n": 4}, {"x": code.instructions[number].z}, {"n_rows": 3, "n": 4}):
        instructions = list(code.instructions)
        instructions[number] = dataclasses.replace(instructions[number], **fields)
        with pytest.raises(VerificationError, match=rf"instruction {number} \(running_total\)"):
            verify_code(dataclasses.replace(code, instructions=instructions), recording.improved)


def test_a_name_is_taken_once(own: ModuleType) -> None:
    with pytest.raises(ValueError, match="already"):
        kinds.instruction_kind(type("Again", (kinds.Kind,), {"name": "running_total"}))
    with pytest.raises(ValueError, match="already"):
        kinds.instruction_kind(type("Again", (kinds.Kind,), {"name": "new", "ops": ("matmul",)}))
