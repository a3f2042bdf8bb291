"""Recorded steps of whole models: every optimiser, the recurrent network, the auto-encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compare import EACH_OFF, ON_AND_OFF, check

from autodiff import Tensor, nn, ops
from autodiff.optim import SGD, Adam, Momentum, RMSprop

OPTIMISERS = {
    "sgd": lambda p: SGD(p, 0.1),
    "clip": lambda p: SGD(p, 0.1, clip=0.5),
    "momentum": lambda p: Momentum(p, 0.1),
    "rmsprop": lambda p: RMSprop(p, 0.01),
    "adam": lambda p: Adam(p, 0.01),
    "adam-clip-rate": lambda p: Adam(p, Tensor(0.01, constant=True), clip=0.5),
}
optimisers = pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)


def watched(model: Any, optimiser: Any) -> list[Tensor]:
    return [*model.parameters(), *optimiser.state.values()]


@optimisers
def test_feedforward(make: Callable[..., Any], rng: np.random.Generator) -> None:
    def build() -> Any:
        layers = nn.FeedForward(4, 5, ops.tanh, random=1), nn.FeedForward(5, 3, random=2)
        parameters = [p for layer in layers for p in layer.parameters()]
        optimiser = make(parameters)

        def step(x: Any, labels: Any) -> Any:
            logits = layers[1](layers[0](x))
            loss = nn.softmax_cross_entropy(logits, labels)
            loss.backward()
            optimiser.step()
            return loss, logits

        return step, [*parameters, *optimiser.state.values()]

    check(build, *((rng.normal(size=(6, 4)), rng.integers(0, 3, 6)) for _ in range(3)))


def lstm_builder(n_steps: int, n_batch: int, make: Callable[..., Any], carry: bool) -> Any:
    def build() -> Any:
        lstm = nn.LSTM(2, 5, random=1)
        head = nn.FeedForward(5, 2, random=2)
        parameters = [*lstm.parameters(), *head.parameters()]
        optimiser = make(parameters)
        start = lstm.initial_state(n_batch)

        def step(window: Any, target: Any) -> Any:
            h, c = start
            loss: Any = 0.0
            for x, y in zip(window, target, strict=True):
                h, c = lstm(x, h, c)
                loss = loss + ops.square(head(h) - y).sum()
            loss.backward()
            optimiser.step()
            if carry:
                for tensor, last in zip(start, (h, c), strict=True):
                    tensor.assign(last)
            return loss

        return step, [*parameters, *start, *optimiser.state.values()]

    return build


@pytest.mark.parametrize("n_batch", [1, 3])
@pytest.mark.parametrize("n_steps", range(1, 7))
def test_lstm(n_steps: int, n_batch: int, rng: np.random.Generator) -> None:
    shape = (n_steps, n_batch, 2)
    calls = [(rng.normal(size=shape), rng.normal(size=shape)) for _ in range(2)]
    build = lstm_builder(n_steps, n_batch, OPTIMISERS["sgd"], carry=n_steps % 2 == 0)
    check(build, *calls, variants=EACH_OFF if n_steps == 4 else ON_AND_OFF)


@optimisers
def test_lstm_with_carried_state(make: Callable[..., Any], rng: np.random.Generator) -> None:
    calls = [(rng.normal(size=(3, 2, 2)), rng.normal(size=(3, 2, 2))) for _ in range(3)]
    check(lstm_builder(3, 2, make, carry=True), *calls, variants=ON_AND_OFF, rtol=1e-11)


@pytest.mark.parametrize("n_batch", [1, 4])
def test_vae(n_batch: int, rng: np.random.Generator) -> None:
    def build() -> Any:
        vae = nn.VAE(6, 5, 2, random=1)
        optimiser = Adam(vae.parameters(), 0.01)

        def step(x: Any, noise: Any) -> Any:
            loss = vae.loss(x, noise)
            loss.backward()
            optimiser.step()
            return loss

        return step, watched(vae, optimiser)

    calls = [(rng.random((n_batch, 6)), rng.normal(size=(n_batch, 2))) for _ in range(2)]
    check(build, *calls)
