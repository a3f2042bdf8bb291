"""Gradients of an array of which parts were read: put together, not added as wholes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor

SHAPE = (4, 6)

READS: dict[str, list[Any]] = {
    "columns": [np.s_[:, t] for t in range(6)],
    "columns, some": [np.s_[:, 4], np.s_[:, 1]],
    "rows": [np.s_[t] for t in (2, 0, 3, 1)],
    "elements": [np.s_[i, j] for i in range(4) for j in range(6)],
    "elements, some": [np.s_[3, 1], np.s_[0, 5], np.s_[3, 2]],
    "blocks": [np.s_[:2, :3], np.s_[:2, 3:], np.s_[2:, 1:]],
    "windmill": [np.s_[:2, :4], np.s_[0:3, 4:], np.s_[3:, 2:], np.s_[2:, :2], np.s_[2, 2:4]],
    "wide columns": [np.s_[:, :2], np.s_[:, 2:5], np.s_[:, 5:]],
    "twice": [np.s_[:, 0], np.s_[:, 1], np.s_[:, 0], np.s_[:, 1], np.s_[:, 0]],
    "windows": [np.s_[:, t : t + 3] for t in range(4)],
    "every other": [np.s_[:, ::2], np.s_[:, 1::2], np.s_[0]],
    "backwards": [np.s_[::-1, 0], np.s_[:, 1], np.s_[:, 2]],
    "new axes": [np.s_[None, :, 0], np.s_[:, None, 1], np.s_[..., 2:, None]],
    "nothing at all": [np.s_[:, 3:3], np.s_[4:], np.s_[:, :0]],
    "twice, and a part": [np.s_[:, 0], np.s_[:, 0], np.s_[:2, 0], np.s_[:, 3], np.s_[:, 3]],
    "nothing": [np.s_[:, 3:3], np.s_[:, 1], np.s_[:, 2]],
    "whole": [np.s_[:, 0], np.s_[...], np.s_[:, 1], np.s_[:, 2]],
}


def step_of(reads: list[Any], x: Tensor) -> Any:
    def step(scale: Any) -> Any:
        loss: Any = 0.0
        for k, index in enumerate(reads):
            loss = loss + (x[index] ** 2.0).sum() * (scale + 0.1 * k)
        loss.backward()
        return x.gradient

    return step


@pytest.mark.parametrize("name", READS)
def test_gradients_of_parts(name: str, rng: np.random.Generator) -> None:
    x = Tensor(rng.normal(size=SHAPE))
    step = step_of(READS[name], x)
    expected = np.array(step(0.3))
    x.reset()
    for without in ((), ("assemble",)):
        compiled = autodiff.compile(step, without=without)
        np.testing.assert_array_equal(compiled(0.3), expected)
        x.reset()


def whole_sums(recording: Any) -> int:
    """How many sums of arrays of the shape of x there are."""
    return sum(
        i.op.name == "add" and i.output.shape == SHAPE for i in recording.improved.instructions
    )


@pytest.mark.parametrize("name", ["columns", "elements", "blocks", "rows", "columns, some"])
def test_parts_that_lie_apart_are_not_added(name: str) -> None:
    x = Tensor(np.ones(SHAPE))

    def step() -> Any:
        sums = [autodiff.tanh(x[index]).sum() for index in READS[name]]
        autodiff.backward(dict.fromkeys(sums, 1.0))
        return x.gradient

    expected = np.array(step())
    x.reset()
    np.testing.assert_array_equal(autodiff.compile(step)(), expected)
    assert whole_sums(autodiff.compile(step).recording()) == 0
    kept = autodiff.compile(step, without=["assemble"]).recording()
    assert whole_sums(kept) == len(READS[name]) - 1


def test_parts_that_were_read_twice_are_added_by_themselves(rng: np.random.Generator) -> None:
    x = Tensor(rng.normal(size=SHAPE))
    step = step_of(READS["twice"], x)
    expected = np.array(step(0.3))
    x.reset()
    compiled = autodiff.compile(step)
    np.testing.assert_array_equal(compiled(0.3), expected)
    assert whole_sums(compiled.recording(0.3)) == 0


def test_what_is_added_keeps_its_order() -> None:
    """Sums of numbers of very different sizes: another order would round otherwise."""
    x = Tensor(np.zeros(3))
    sizes = [1e16, 1.0, -1e16, 1.0]

    def step() -> Any:
        loss: Any = 0.0
        for k, size in enumerate(sizes * 3):
            loss = loss + x[k % 2 : k % 2 + 2].sum() * size
        loss.backward()
        return x.gradient

    expected = step()
    x.reset()
    np.testing.assert_array_equal(autodiff.compile(step)(), expected)


def test_of_a_sum_that_something_else_reads() -> None:
    x = Tensor(np.arange(6.0))

    def step() -> Any:
        parts = [x[:2], x[2:4], x[4:]]
        first = autodiff.gradients(sum((p * p).sum() for p in parts), [x])[0]
        (first * first * x).sum().backward()
        return first, x.gradient

    expected = [np.array(np.asarray(getattr(z, "value", z))) for z in step()]
    x.reset()
    for ours, theirs in zip(autodiff.compile(step)(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
