"""Recurrent training steps, drawn at random: none is refused, and all agree with the reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from compare import EACH_OFF, check, leaves, restore, run_eagerly, stacked, values_of
from hypothesis import settings
from recurrent import Recipe, builder, calls, draw

import autodiff

# The profile of continuous integration draws 2,000 programs, the everyday one 200.
N_PROGRAMS = 2000 if settings.default.max_examples >= 100 else 200
CHUNK = 20

# Sums are added in another order where products are stacked: an ulp or two of each, which two
# derivatives and three updates make larger. A wrong program is wrong in the first digits. So the
# tolerance is far from both (the largest difference was 6e-12): a part of the largest number.
TOLERANCE = 1e-9


@pytest.mark.parametrize("first", range(0, N_PROGRAMS, CHUNK))
def test_random_recurrent_steps(first: int) -> None:
    for seed in range(first, first + CHUNK):
        recipe = draw(seed)
        try:
            agrees(recipe)
        except Exception as error:
            raise AssertionError(f"{recipe}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("without", EACH_OFF, ids="-".join)
def test_random_recurrent_steps_with_passes_off(without: Sequence[str]) -> None:
    first = 10_000 + 100 * EACH_OFF.index(tuple(without))
    for seed in range(first, first + N_PROGRAMS // 100):
        agrees(draw(seed), without)


@pytest.mark.parametrize("seed", range(20_000, 20_002))
def test_random_recurrent_steps_in_every_way(seed: int) -> None:
    recipe = draw(seed)
    check(builder(recipe), *calls(recipe), rtol=TOLERANCE)


def agrees(recipe: Recipe, without: Sequence[str] = ()) -> None:
    """Replays and a scan give what the eager step gives on the reference back end."""
    build, arguments = builder(recipe), calls(recipe)
    wanted = run_eagerly(build, arguments)
    function, tensors = build()
    start = values_of(tensors)
    step = autodiff.compile(function, without=without)
    found, n_results = [], 0
    for call in arguments:
        results = leaves(step(*call))
        n_results = len(results)
        found += results + values_of(tensors)
    compare(found, wanted)

    restore(tensors, start)
    results = leaves(step.scan(*stacked(arguments)))
    each = len(wanted) // len(arguments)
    steps = [wanted[i : i + each] for i in range(0, len(wanted), each)]
    expected = [np.stack(arrays) for arrays in zip(*steps, strict=True)]
    compare(results, expected[:n_results])
    compare(values_of(tensors), steps[-1][n_results:])


def compare(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> None:
    assert len(found) == len(wanted)
    for f, w in zip(found, wanted, strict=True):
        assert f.shape == w.shape
        assert np.isfinite(w).all()  # or nothing is compared
        largest = np.abs(w).max(initial=1.0)
        np.testing.assert_allclose(f, w, rtol=0.0, atol=TOLERANCE * largest)
