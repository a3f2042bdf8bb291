"""What the tests of pictures share: modules beside them, and names that nobody else has."""

from __future__ import annotations

import sys
import weakref
from pathlib import Path

import pytest

from autodiff.graph import naming

sys.path[:0] = [str(Path(__file__).parent)]


@pytest.fixture(autouse=True)
def names_are_free(monkeypatch):
    """Nodes of other tests that still live must not take the names that are looked for."""
    monkeypatch.setattr(naming, "_named", weakref.WeakValueDictionary())
