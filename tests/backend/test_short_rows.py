"""Reductions over short rows, which run many rows at once: each row's bits are its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import table

import autodiff
from autodiff import Tensor
from autodiff.backend.reference import Reference
from autodiff.op import OPS, BoundOp

core = pytest.importorskip("autodiff._core")
reference = Reference()

REDUCTIONS = [op.name for op in table.REDUCTIONS]
LENGTHS = [*range(1, 20), 23, 31, 32, 33, 40, 127, 128, 129, 130, 200]
COUNTS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 40, 67, 100]


def over_rows(name: str) -> BoundOp:
    return table.over(OPS[name], (1,), keepdims=True)


def values_and_gradients(bound: BoundOp, x: np.ndarray, g: np.ndarray) -> list[np.ndarray]:
    z = core.forward(bound, (x,))
    (gx,) = core.backward(bound, g, z, (x,), (True,))
    return [z, gx]


def some_rows(rng: np.random.Generator, count: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows with ties, zeros of both signs, infinities; and a gradient."""
    x = np.round(rng.normal(size=(count, n)) * 4.0) / 4.0
    x[rng.uniform(size=x.shape) < 0.1] = -0.0
    x[rng.uniform(size=x.shape) < 0.02] = np.inf
    x[rng.uniform(size=x.shape) < 0.02] = -np.inf
    x[::5] = np.where(rng.uniform(size=x[::5].shape) < 0.5, 0.0, -0.0)
    return x, rng.normal(size=(count, n))


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("n", LENGTHS)
def test_a_row_has_the_same_bits_wherever_it_stands(
    name: str, n: int, isa: str, rng: np.random.Generator
) -> None:
    bound = over_rows(name)
    x, g = some_rows(rng, COUNTS[-1], n)
    g = g[:, : core.forward(bound, (x,)).shape[1]].copy()
    alone = [
        values_and_gradients(bound, x[i : i + 1].copy(), g[i : i + 1].copy()) for i in range(len(x))
    ]
    for count in COUNTS:
        for start in {0, len(x) - count}:
            part = slice(start, start + count)
            together = values_and_gradients(bound, x[part].copy(), g[part].copy())
            for k, made in enumerate(together):
                expected = np.concatenate([a[k] for a in alone[part]])
                nan = np.isnan(expected)  # whose sign means nothing
                np.testing.assert_array_equal(np.isnan(made), nan)
                np.testing.assert_array_equal(
                    made.view(np.int64)[~nan], expected.view(np.int64)[~nan]
                )


@pytest.mark.parametrize("name", REDUCTIONS)
def test_short_rows_have_the_same_bits_on_every_instruction_set(
    name: str, rng: np.random.Generator
) -> None:
    before = core.isa()
    try:
        for n in LENGTHS:
            x, g = some_rows(rng, 21, n)
            found = set()
            for isa in core.isas():
                core.use_isa(isa)
                bound = over_rows(name)
                made = values_and_gradients(
                    bound, x, g[:, : core.forward(bound, (x,)).shape[1]].copy()
                )
                found.add(tuple(np.where(np.isnan(a), 7.0, a).tobytes() for a in made))
            assert len(found) == 1, n
    finally:
        core.use_isa(before)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("n", LENGTHS)
def test_short_rows_give_the_rules_numbers(
    name: str, n: int, isa: str, rng: np.random.Generator
) -> None:
    bound = over_rows(name)
    for count in (1, 5, 8, 43):
        x = rng.normal(size=(count, n))
        z = core.forward(bound, (x,))
        expected = reference.forward(bound, (x,))
        np.testing.assert_allclose(z, expected, rtol=1e-14, atol=1e-14)
        g = rng.normal(size=z.shape)
        (gx,) = core.backward(bound, g, expected, (x,), (True,))
        (wanted,) = reference.backward(bound, g, expected, (x,), (True,))
        np.testing.assert_allclose(gx, wanted, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("where", range(7))
def test_nan_and_infinity_in_a_short_row_stay_there(where: int, isa: str) -> None:
    for n in (2, 3, 7, 12, 17, 20, 40):
        for special in (np.nan, np.inf, -np.inf):
            x = np.arange(11.0 * n).reshape(11, n) % 7.0
            plain = {name: core.forward(over_rows(name), (x,)) for name in REDUCTIONS}
            x[where, where % n] = special
            others = np.arange(11) != where
            for name in REDUCTIONS:
                z = core.forward(over_rows(name), (x,))
                np.testing.assert_array_equal(z[others], plain[name][others])
                with np.errstate(all="ignore"):
                    expected = reference.forward(over_rows(name), (x,))
                np.testing.assert_allclose(z[where], expected[where], rtol=1e-14)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 7, 8, 10, 16, 17, 63, 64, 65])
def test_programs_spread_a_number_over_each_row(width: int, rng: np.random.Generator) -> None:
    def step(x: Any, y: Any, w: Any) -> Any:
        a = Tensor(x)
        z = autodiff.softmax(a * y, axis=1) * w + autodiff.max(a, axis=1, keepdims=True)
        autodiff.backward(autodiff.sum(z * z))
        return z, a.gradient

    for count in (1, 2, 3, 8, 50, 600):
        arguments = (
            rng.normal(size=(count, width)),
            rng.normal(size=(count, 1)),
            rng.normal(size=width),
        )
        compiled = autodiff.compile(step)(*arguments)
        for made, wanted in zip(compiled, step(*arguments), strict=True):
            np.testing.assert_allclose(
                made, getattr(wanted, "value", wanted), rtol=1e-12, atol=1e-13
            )
