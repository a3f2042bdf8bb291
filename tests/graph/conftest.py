"""What the tests of the graph share lies beside them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from counting import Counting

import autodiff


@pytest.fixture
def counting() -> Iterator[Counting]:
    """The back end that counts, in force while the test runs."""
    with autodiff.use_backend(Counting()) as chosen:  # type: ignore[arg-type]
        assert isinstance(chosen, Counting)
        yield chosen
