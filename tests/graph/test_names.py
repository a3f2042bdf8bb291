"""Names of nodes, and the lines that built them."""

from __future__ import annotations

import numpy as np

import autodiff
from autodiff import Tensor


def test_names_are_unique_among_the_living() -> None:
    first, second = Tensor(1.0, name="w"), Tensor(1.0, name="w")
    assert first.name == "w"
    assert second.name.startswith("w#")
    assert Tensor(1.0, name="a#b").name == "a_b"
    names = [Tensor(1.0).name for _ in range(5)] + [(first * second).name for _ in range(5)]
    assert len(set(names)) == 10
    del first
    assert Tensor(1.0, name="w").name == "w"


def test_where_is_the_line_that_built_it() -> None:
    import inspect

    frame = inspect.currentframe()
    assert frame is not None
    x = Tensor(1.0)
    y = autodiff.tanh(x + 2.0)
    z = np.exp(y)
    assert [n.where[1] - x.where[1] for n in (x, y.inputs[0], y, z)] == [0, 1, 1, 2]
    assert {n.where[0] for n in (x, y, z)} == {frame.f_code.co_filename}
