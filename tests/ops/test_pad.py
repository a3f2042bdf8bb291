"""Padding in each of NumPy's modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from as_numpy import both, check, numbered

import autodiff
from autodiff import Tensor
from autodiff.errors import AutodiffError

M, V, C, ONE = numbered(3, 4), numbered(5), numbered(2, 3, 2), numbered(1, 3)
WIDTHS: list[tuple[Any, Any]] = [
    (V, 2), (V, (1, 3)), (V, [[0, 2]]), (M, 1), (M, ((1, 2), (0, 3))), (M, (2, 1)),
    (M, {1: (0, 2)}),
    (V, 11), (M, ((7, 2), (1, 9))), (C, ((0, 0), (1, 1), (3, 0))), (ONE, ((2, 1), (4, 5))), (M, 0),
    (np.array(3.0), 2), (M, {-1: 1}), (V[:2], (5, 4)),
]  # fmt: skip
MODES: list[tuple[str, dict[str, Any]]] = [
    ("constant", {}), ("constant", {"constant_values": 2.5}),
    ("constant", {"constant_values": (1.0, -1.0)}), ("edge", {}), ("linear_ramp", {}),
    ("linear_ramp", {"end_values": (1.5, -3.0)}), ("maximum", {}), ("maximum", {"stat_length": 2}),
    ("mean", {}), ("mean", {"stat_length": (1, 2)}), ("median", {}), ("median", {"stat_length": 2}),
    ("minimum", {}), ("minimum", {"stat_length": (2, 1)}), ("reflect", {}),
    ("reflect", {"reflect_type": "odd"}), ("symmetric", {}), ("symmetric", {"reflect_type": "odd"}),
    ("wrap", {}),
]  # fmt: skip
pad = both("numpy.pad")


@pytest.mark.parametrize("case", range(len(WIDTHS)))
@pytest.mark.parametrize("mode", range(len(MODES)))
def test_as_numpy_pads(mode: int, case: int) -> None:
    (name, named), (x, width) = MODES[mode], WIDTHS[case]
    rounded = name in ("mean", "linear_ramp")
    check(lambda x: pad(x, width, name, **named), x, exact=not rounded)


def test_values_that_are_nodes(backend: Any) -> None:
    v = Tensor(2.5)
    z = pad(M, 1, constant_values=v)
    np.testing.assert_array_equal(z.value, np.pad(M, 1, constant_values=2.5))
    z.sum().backward()
    assert v.gradient == 30 - 12
    ends = Tensor([1.0, -2.0])
    check(lambda e: pad(V, (2, 3), "linear_ramp", end_values=e), ends.value, exact=False)
    check(lambda e: pad(V, (2, 3), "constant", constant_values=(e, 1.0)), np.array(3.0))


def test_arrays_without_elements() -> None:
    for mode in ("constant", "empty", "edge", "wrap"):
        width = ((0, 0), (1, 2)) if mode in ("edge", "wrap") else 1
        x = Tensor(np.zeros((0, 3)))
        assert pad(x, width, mode).shape == np.pad(x.value, width, mode).shape
    assert np.pad(Tensor(M), 1, "empty").shape == (5, 6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: pad(x, -1), "whole numbers, 0 or more, not -1"),
        (lambda x: pad(x, 0.5), r"0\.5"),
        (lambda x: pad(x, ((1, 2), (3, 4), (5, 6))), r"neither a number.*\(3, 4\)"),
        (lambda x: pad(x, 1, "round"), "mode 'round' is none of constant"),
        (lambda x: pad(x, 1, "edge", constant_values=1.0), "mode 'edge' has no constant_values"),
        (lambda x: pad(x, 1, "maximum", stat_length=0), "stat_length 0 yields no value"),
        (lambda x: pad(x, 1, "reflect", reflect_type="up"), "must be 'even' or 'odd', not 'up'"),
        (lambda x: pad(x[:0], 1, "edge"), r"shape \(0, 4\).*'edge' cannot extend its empty axis 0"),
        (lambda x: pad(x, {5: 1}), "no axis 5"),
    ],
)
def test_what_is_refused(call: Any, message: str) -> None:
    with pytest.raises(AutodiffError, match=f"pad: .*{message}"):
        call(Tensor(M))
    assert autodiff.numpy.pad(M, 1).shape == (5, 6)
