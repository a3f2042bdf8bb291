"""Ops and kinds of instructions that tests declare, and that are gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from autodiff.op import OPS
from autodiff.program import recording as recordings
from autodiff.program.code import kind as kinds
from autodiff.program.code.emulate import Emulator
from autodiff.program.fused import FUSED


@pytest.fixture
def own_kinds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tables are as they were; NumPy takes the place of the executor, which lacks the kernels."""
    tables: list[Any] = [OPS, FUSED, kinds.KINDS, kinds._BY_OP]
    before = [dict(table) for table in tables]
    monkeypatch.setattr(recordings, "load", lambda code, *_, **__: Emulator(code))
    yield
    for table, items in zip(tables, before, strict=True):
        table.clear()
        table.update(items)
