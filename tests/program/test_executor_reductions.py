"""Reductions, maps of rows and rows by number in the executor against NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from programs import elementwise, program_of

from autodiff.errors import InstructionError
from autodiff.op import OPS
from autodiff.program.code.kinds.cumulative import Cumulative
from autodiff.program.code.kinds.reduce import Reduce
from autodiff.program.code.kinds.rows import Rows, RowsGradient
from autodiff.program.code.kinds.scatter_rows import ScatterRows
from autodiff.program.code.kinds.take import Take

core = pytest.importorskip("autodiff._core")


@pytest.mark.parametrize("shape", [(2, 3, 4), (5, 1, 1), (1, 300, 1), (1, 40, 70), (3, 0, 2),
                                   (0, 3, 2)])  # fmt: skip
@pytest.mark.parametrize("kind", ["sum", "prod", "max"])
def test_reductions(kind, shape, isa, rng):
    a, r, b = shape
    if kind == "max" and r == 0:
        return
    x = rng.normal(size=shape)
    program = program_of(
        a * b, [shape], [], [Reduce(kind, a, r, b, (1, 0), (0, 0))], [((0, 0), (a, b))]
    )
    (z,) = program.run(x)
    np.testing.assert_allclose(z, getattr(x, kind)(axis=1), rtol=1e-13, atol=1e-13)


SIZES = [
    (1, 10, 1),
    (7, 3, 1),
    (0, 4, 2),
    (2, 500, 1),
    (1, 500, 3),
    (2, 3, 70),
    (3, 4, 0),
    (1, 2, 300),
]


@pytest.mark.parametrize(("outer", "n", "inner"), SIZES)
@pytest.mark.parametrize("kind", ["logsumexp", "softmax", "log_softmax"])
def test_row_maps(kind, outer, n, inner, isa, rng):
    x = rng.normal(size=(outer, n, inner)) * 10
    shape = (outer, inner) if kind == "logsumexp" else x.shape
    code = [Rows(kind, outer, n, inner, (1, 0), (0, 0))]
    (z,) = program_of(x.size, [x.shape], [], code, [((0, 0), shape)]).run(x)
    log_sum = np.log(np.exp(x).sum(1, keepdims=True))
    expected = {
        "logsumexp": log_sum.reshape(outer, inner),
        "softmax": np.exp(x - log_sum),
        "log_softmax": x - log_sum,
    }[kind]
    np.testing.assert_allclose(z, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("outer", "n", "inner"), SIZES)
@pytest.mark.parametrize("name", ["max", "logsumexp", "softmax", "log_softmax"])
def test_row_gradients(name, outer, n, inner, isa, rng):
    x = np.round(rng.normal(size=(outer, n, inner)), 1)  # ties
    reads_x = name in ("max", "logsumexp")
    options = {"keepdims": True} if reads_x else {}
    y = OPS[name].bind(axis=(1,), **options).forward([x]) if x.size else x[:, : 1 if reads_x else n]
    g = rng.normal(size=y.shape)
    op = OPS[f"_{name}_gradient"].bind(axis=(1,))
    expected = op.forward([g, y, x][: 3 if reads_x else 2])
    made = RowsGradient(
        op.name, outer, n, inner, (1, 0), (2, 0), (3, 0) if reads_x else None, (0, 0)
    )
    (z,) = program_of(x.size, [g.shape, y.shape, x.shape], [], [made], [((0, 0), x.shape)]).run(
        g, y, x
    )
    np.testing.assert_allclose(z, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("outer", "n", "inner"), SIZES)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["cumsum", "cumprod", "_recurrence"])
def test_cumulative(name, reverse, outer, n, inner, rng):
    x, a = rng.normal(size=(2, outer, n, inner))
    operands = [x, a][: 2 if name == "_recurrence" else 1]
    expected = OPS[name].bind(axis=1, reverse=reverse).forward(operands)
    factors = (2, 0) if name == "_recurrence" else None
    made = Cumulative(name, outer, n, inner, reverse, (1, 0), factors, (0, 0))
    (z,) = program_of(x.size, [x.shape, a.shape], [], [made], [((0, 0), x.shape)]).run(x, a)
    np.testing.assert_array_equal(z, expected)


def take_program(n_rows: int, size: int, n: int) -> Any:
    nothing = elementwise((0,), [], [])
    return program_of(
        n * size + n_rows * size,
        [(n_rows, size), (n,), (n, size)],
        [],
        [
            nothing,
            Take(n_rows, size, n, (1, 0), (2, 0), (0, 0)),
            ScatterRows(n_rows, size, n, (3, 0), (2, 0), (0, n * size)),
        ],
        [((0, 0), (n, size)), ((0, n * size), (n_rows, size))],
    )


@pytest.mark.parametrize(("n_rows", "size", "n"), [(4, 3, 6), (1, 1, 1), (5, 0, 2), (3, 2, 0)])
def test_rows_by_number(n_rows, size, n, rng):
    x, y = rng.normal(size=(n_rows, size)), rng.normal(size=(n, size))
    rows = rng.integers(-n_rows, n_rows, n)
    expected = np.zeros((n_rows, size))
    np.add.at(expected, rows, y)
    program = take_program(n_rows, size, n)
    for _ in range(2):
        taken, scattered = program.run(x, rows.astype(float), y)
        np.testing.assert_array_equal(taken, x[rows])
        np.testing.assert_allclose(scattered, expected, rtol=1e-15)


@pytest.mark.parametrize("bad", [4.0, -5.0, 0.5, -0.5, math.nan, math.inf, -math.inf, 1e300])
def test_a_bad_row_number_stops_the_program(bad, rng):
    program = take_program(4, 3, 2)
    x, y = np.ones((4, 3)), np.ones((2, 3))
    with pytest.raises(InstructionError, match="instruction 1: ") as info:
        program.run(x, np.array([1.0, bad]), y)
    assert (info.value.instruction, info.value.step) == (1, None)
    np.testing.assert_equal(info.value.numbers, (bad, 4.0))
    program.run(x, np.array([1.0, 2.0]), y)
    rows = np.array([[0.0, 1.0], [1.0, bad], [0.0, 0.0]])
    with pytest.raises(InstructionError, match="instruction 1, step 1") as info:
        program.scan(3, np.stack([x] * 3), rows, np.stack([y] * 3))
    assert info.value.step == 1
    with pytest.raises(InstructionError):
        program.profile(1, x, rows[1], y)


def test_a_bad_row_number_in_scatter_rows(rng):
    program = program_of(8, [(1, 2), (1,)], [], [ScatterRows(4, 2, 1, (1, 0), (2, 0), (0, 0))], [])
    with pytest.raises(InstructionError, match=r"instruction 0: .*7\.0, 4\.0"):
        program.run(np.ones((1, 2)), np.array([7.0]))
