"""Kernels that move data: axes, slices, joins, rows by number."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from against_rules import compare, core, reference

from autodiff.errors import IndexRangeError
from autodiff.op import OPS


@pytest.mark.parametrize("shape", [(3, 4), (1, 5), (2, 3, 4), (2, 3, 1, 5), (33, 40), (0, 3)])
def test_all_orders_of_axes(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.normal(size=shape)
    for axes in itertools.permutations(range(len(shape))):
        compare(OPS["transpose"].bind(axes=axes), (x,), rng)


ROW = slice(None)
INDICES = [
    (0,), (-1,), (ROW,), (slice(1, None),), (slice(None, None, -1),), (slice(4, 0, -2),), (..., 1),
    (None, 2), (ROW, None, slice(2, 0, -1)), (slice(3, 3),), (slice(0, 3, -1), 2), (1, 2, 3),
    (slice(None, None, 2), ..., slice(None, None, 3)), (None, ..., None),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_slices(index: tuple[Any, ...], rng: np.random.Generator) -> None:
    from autodiff.ops.index import normalise_index

    x = rng.normal(size=(5, 3, 4))
    normal = normalise_index(x.shape, index)
    compare(OPS["getitem"].bind(index=normal), (x,), rng)
    part = np.array(x[index])
    compare(OPS["scatter_slice"].bind(index=normal, shape=x.shape), (part,), rng)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_joins(axis: int, rng: np.random.Generator) -> None:
    for sizes in ([1], [2, 3], [0, 2], [1, 1, 1, 1], [0]):
        shape = [2, 3, 4]
        parts = []
        for size in sizes:
            shape[axis] = size
            parts.append(rng.normal(size=shape))
        compare(OPS["concat"].bind(axis=axis), parts, rng)


def test_rows_by_number(rng: np.random.Generator) -> None:
    for x_shape, rows_shape in [((4, 3), (6,)), ((4,), ()), ((4, 2, 3), (2, 0)), ((4, 0), (3,))]:
        rows = rng.integers(-4, 4, rows_shape).astype(np.float64)
        compare(OPS["take"].bind(), (rng.normal(size=x_shape), rows), rng)
        g = rng.normal(size=rows_shape + x_shape[1:])
        compare(OPS["scatter_rows"].bind(n_rows=4), (g, rows), rng)
    compare(OPS["take"].bind(), (np.zeros((0, 3)), np.zeros(0)), rng)


@pytest.mark.parametrize("bad", [4.0, -5.0, 0.5, np.nan, np.inf, -np.inf, 1e300, -1e19])
def test_rows_that_do_not_exist(bad: float) -> None:
    x, rows = np.ones((4, 3)), np.array([0.0, bad, 9.0])
    g = np.ones((3, 3))
    calls = [
        lambda b: b.forward(OPS["take"].bind(), (x, rows)),
        lambda b: b.forward(OPS["scatter_rows"].bind(n_rows=4), (g, rows)),
        lambda b: b.backward(OPS["take"].bind(), g, g, (x, rows), (True, False)),
        lambda b: b.backward(OPS["scatter_rows"].bind(n_rows=4), x, x, (g, rows), (True, False)),
    ]
    for call in calls:
        messages = []
        for b in (core, reference):
            with pytest.raises(IndexRangeError) as caught, np.errstate(all="ignore"):
                call(b)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]
