"""Arguments and results of recorded steps: nests, numbers, words, empty arrays; the cache."""

from __future__ import annotations

import gc
import weakref
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
from compare import ON_AND_OFF, check

import autodiff
from autodiff import Tensor, ops
from autodiff.errors import (
    DTypeError,
)

Point = namedtuple("Point", "x y")


def test_nests_of_arguments_and_results() -> None:
    @autodiff.compile
    def step(a: Any, *, options: Any) -> Any:
        assert type(options["point"]) is Point
        total = a[0] + a[1][0] + options["point"].x
        return {"sum": total, "rest": [Point(a[1][0] * 2, None), ("name", True, 3.0)]}

    arguments = (1, [np.ones(2)])
    found = step(arguments, options={"point": Point(np.arange(2.0), 7.0), "mode": "train"})
    assert list(found) == ["sum", "rest"]
    assert found["sum"].tolist() == [2.0, 3.0]
    point, rest = found["rest"]
    assert type(point) is Point
    assert point.x.tolist() == [2.0, 2.0]
    assert point.y is None
    assert rest == ("name", True, 3.0)
    assert type(rest) is tuple


def test_scalars_are_floats() -> None:
    step = autodiff.compile(lambda x, y: (x * y, x + 1))
    for x in (2, 2.0, np.float64(2.0), np.array(2.0), np.int32(2), np.float32(2.0)):
        found = step(x, 3)
        assert found == (6.0, 3.0)
        assert all(type(r) is float for r in found)


def test_arguments_that_must_be_converted() -> None:
    step = autodiff.compile(lambda x: x * 2)
    x = np.arange(12.0).reshape(3, 4)
    for given in (x, x.astype(np.float32), x.astype(int), np.asfortranarray(x), x.tolist()):
        np.testing.assert_array_equal(step(given), 2 * x)
    np.testing.assert_array_equal(step(np.arange(24.0).reshape(3, 8)[:, ::2]), 4 * x)
    with pytest.raises(DTypeError, match=r"arguments\[0\]\[0\]"):
        step(x + 1j)
    with pytest.raises(DTypeError, match=r"arguments\[0\]\[0\]"):
        step(object())


def test_words_and_flags_are_part_of_the_signature() -> None:
    seen = []

    @autodiff.compile(check=False)
    def step(x: Any, mode: str, flag: Any = None) -> Any:
        seen.append((mode, flag))
        return x + 1 if mode == "up" else x - 1

    assert step(1.0, "up") == 2.0
    assert step(1.0, "down") == 0.0
    assert step(1.0, "up", flag=True) == 2.0
    assert step(1.0, "up") == 2.0
    assert step(5.0, "down") == 4.0
    assert len(seen) == 3


def test_words_by_name_are_part_of_the_signature() -> None:
    @autodiff.compile
    def step(x: Any, mode: str = "down") -> Any:
        return x + 1 if mode == "up" else x - 1

    assert step(1.0, mode="up") == 2.0
    assert step(1.0) == 0.0
    assert step(1.0, mode="up") == 2.0


def test_no_arguments_and_no_results() -> None:
    w = Tensor(1.0)

    @autodiff.compile
    def step() -> None:
        w.assign(w.value * 2)

    assert step() is None
    assert step() is None
    assert w.value == 4.0


def test_empty_arrays() -> None:
    w = Tensor(np.ones((2, 3)))

    @autodiff.compile
    def step(x: Any) -> Any:
        loss = ops.tanh(x @ w).sum()
        loss.backward()
        return loss, w.gradient

    loss, gradient = step(np.ones((0, 2)))
    assert loss == 0.0
    assert gradient.tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("shape", [(), (4,), (1, 4), (2, 4), (1, 1), (2, 1, 4)])
def test_neutral_constants_keep_their_shape(shape: tuple[int, ...]) -> None:
    def build() -> Any:
        zeros, ones = np.zeros(shape), np.ones(shape)

        def step(x: Any) -> Any:
            return x + zeros, zeros + x, x - zeros, zeros - x, x * ones, ones * x, x / ones

        return step, []

    check(build, (np.arange(4.0),), variants=ON_AND_OFF)


@pytest.mark.parametrize("index", [np.s_[:, -9::-1], np.s_[3:3], np.s_[2:0, ::-1], np.s_[-9:-5:-1]])
def test_empty_slices(index: Any) -> None:
    def build() -> Any:
        def step(x: Any) -> Any:
            part = ops.tanh(x[index])
            return part, part.sum(), ops.concat([part, part], axis=0)

        return step, []

    check(build, (np.ones((3, 4)),), variants=ON_AND_OFF)


def test_the_cache_is_bounded() -> None:
    recorded = []

    @autodiff.compile(cache_size=2, check=False)
    def step(x: Any) -> Any:
        recorded.append(x.shape)
        return x + 1

    for n in (1, 2, 1, 3, 1, 2):
        step(np.zeros(n))
    assert recorded == [(1,), (2,), (3,), (2,)]
    assert "2 recordings" in repr(step)


def test_a_dropped_recording_frees_its_constants() -> None:
    class Held(np.ndarray):
        pass

    big = np.zeros(100).view(Held)
    kept = weakref.ref(big)

    @autodiff.compile(cache_size=1)
    def step(x: Any, which: str) -> Any:
        return x + held[0] if which == "a" else x

    held = [big]
    step(1.0, "a")
    step(1.0, "b")
    del big
    held.clear()
    gc.collect()
    assert kept() is None
