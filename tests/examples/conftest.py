"""Examples can be imported, and are forgotten afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from example_files import EXAMPLES, NAMES


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder of examples on the path; the modules forgotten afterwards."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.delenv("MNIST", raising=False)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name in NAMES:
            del sys.modules[name]
