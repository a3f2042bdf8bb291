"""Ops that a user declares, without kernels: recorded as the ops that their rules apply."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from compare import check

import autodiff
from autodiff import Tensor
from autodiff.declare import declare
from autodiff.errors import RecordingError, ShapeError
from autodiff.op import OPS, Example, Sample

EXAMPLES = [Example((Sample((3,)),))]


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """The table is as it was."""
    before = set(OPS)
    yield
    for name in set(OPS) - before:
        del OPS[name]


def swish() -> Any:
    """An elementwise op of two operands that broadcast, by autodiff's and by NumPy's functions."""

    def gate(x: Any, b: Any) -> Any:
        return autodiff.sigmoid(b * x)

    @declare(
        backward=(
            lambda g, z, x, b: g * (gate(x, b) + b * z * (1.0 - gate(x, b))),
            lambda g, z, x, b: g * x * z * (1.0 - gate(x, b)),
        ),
        reads="z x b",
        examples=[Example((Sample((3,)), Sample((3,))))],
    )
    def own_swish(x: Any, b: Any) -> Any:
        """z = x / (1 + exp(-b x))."""
        return x / (1.0 + np.exp(-b * x))

    return own_swish


def centred() -> Any:
    """An op with an attribute and a shape rule."""
    ones = np.ones

    def shape(x: tuple[int, ...], *, scale: float) -> tuple[int, ...]:
        return x

    @declare(
        shape=shape,
        backward=lambda g, z, x, scale: scale * (g - autodiff.mean(g, axis=-1, keepdims=True)),
        examples=EXAMPLES,
    )
    def own_centred(x: Any, *, scale: float) -> Any:
        """z = scale (x - mean of x) over the last axis."""
        return scale * (x - autodiff.mean(x, axis=-1, keepdims=True)) * ones(1)

    return own_centred


def test_values_gradients_and_second_derivatives(rng: np.random.Generator) -> None:
    f, h = swish(), centred()

    def build() -> tuple[Callable[..., Any], list[Tensor]]:
        w, b = Tensor(np.linspace(-1.0, 2.0, 4)), Tensor(0.7)

        def step(x: Any) -> Any:
            y = h(f(w * x, b), scale=3.0)
            loss = (y * y).sum()
            slope = autodiff.gradients(loss, w)
            (loss + (slope * slope).sum()).backward()
            w.assign(w.value - 0.01 * w.gradient)
            b.assign(b.value - 0.01 * b.gradient)
            return loss, slope

        return step, [w, b]

    check(build, *[(rng.normal(size=(5, 4)),) for _ in range(2)])


def test_in_a_scan(rng: np.random.Generator) -> None:
    f = swish()
    found = []
    xs = rng.normal(size=(6, 3))
    for compiled in (False, True):
        w = Tensor(np.ones(3))

        def step(x: Any, w: Tensor = w) -> Any:
            loss = f(w * x, 0.5).sum()
            loss.backward()
            w.assign(w.value - 0.1 * w.gradient)
            return loss.value

        losses = autodiff.compile(step).scan(xs) if compiled else [step(x) for x in xs]
        found.append((np.array(losses, dtype=float), w.value))
    for eager, scanned in zip(*found, strict=True):
        np.testing.assert_allclose(scanned, eager, rtol=1e-12)


def test_a_rule_that_gives_back_its_operand_or_a_constant() -> None:
    @declare(backward=lambda g, z, x: np.full(x.shape, 2.0), examples=EXAMPLES)
    def own_straight(x: Any) -> Any:
        """z = x, with a gradient of 2."""
        return x

    def build() -> tuple[Callable[..., Any], list[Tensor]]:
        w = Tensor(np.ones(3))

        def step(x: Any) -> Any:
            loss = (own_straight(w) * x).sum()
            loss.backward()
            return loss, w.gradient

        return step, [w]

    check(build, (np.arange(3.0),))


@pytest.mark.parametrize("error", [TypeError, ValueError, AttributeError, ZeroDivisionError])
def test_an_error_of_the_rule_itself_stays_what_it_is(error: type[Exception]) -> None:
    @declare(backward=lambda g, z, x: g, examples=EXAMPLES)
    def own_broken(x: Any) -> Any:
        """z = nothing."""
        raise error("of the user's own")

    with pytest.raises(error, match="of the user's own") as caught:
        autodiff.compile(lambda x: own_broken(x))(np.ones(3))  # when it is called back
    assert not isinstance(caught.value, RecordingError)


def test_a_result_of_another_shape_than_said_is_refused() -> None:
    @declare(backward=lambda g, z, x: g, examples=EXAMPLES)
    def own_shrinking(x: Any) -> Any:
        """z = a part of x, which is not element by element."""
        return x[1:]

    with pytest.raises(ShapeError, match=r"own_shrinking: the rule gives \(2,\).*says \(3,\)"):
        autodiff.compile(lambda x: own_shrinking(x))(np.ones(3))


def test_a_backward_rule_that_does_not_do_the_same_twice_is_refused() -> None:
    calls = []

    def rule(g: Any, z: Any, x: Any) -> Any:
        calls.append(1)
        return g * float(len(calls))

    @declare(backward=rule, examples=EXAMPLES)
    def own_counting(x: Any) -> Any:
        """z = x."""
        return x + 0.0

    w = Tensor([1.0, 2.0])

    def step(x: Any) -> Any:
        loss = (own_counting(w) * x).sum()
        autodiff.backward(loss)
        return w.gradient

    with pytest.raises(RecordingError, match=r"test_own_ops\.py:\d+.*the constant 1 first"):
        autodiff.compile(step)([1.0, 1.0])
    calls.clear()
    np.testing.assert_array_equal(autodiff.compile(step, check=False)([1.0, 1.0]), [1.0, 1.0])
