"""A small network tells three spiral arms apart: the post's experiment "Spiral".

The post's (--post): 2 inputs, 100 sigmoid units, 3 sigmoid outputs; weights uniform in
±0.005; ½ Σ error² against one-hot rows; stochastic gradient descent, one point at a time,
with rate 1 for 2,500 epochs. (Its test part overlapped its training part; ours does not.)

Ours: two layers of 50 tanh units, softmax cross-entropy, batches of 32, Adam with a
falling rate.
"""

from __future__ import annotations

import functools
import time
from typing import Any, NamedTuple

import numpy as np
import options

import autodiff
from autodiff import Tensor, data, nn, optim

N_CLASSES = 3
RATE, POST_RATE = 0.01, 1.0


class Network(nn.Module):
    """Layers one after the other."""

    def __init__(self, layers: list[nn.FeedForward]) -> None:
        self.layers = layers

    def __call__(self, x: Any) -> Any:
        """x : shape (B, n_in). Returns scores, shape (B, n_out)."""
        for layer in self.layers:
            x = layer(x)
        return x


class Result(NamedTuple):
    """What was reached."""

    losses: list[float]  # of each epoch, the mean over its points
    accuracy: float  # on the test part
    seconds: float


def main(argv: list[str] | None = None) -> Result:
    """Train, test; print and return how well."""
    args = options.parse(__doc__, argv)
    n_epochs = options.epochs(args, ours=100, post=2500, quick=5)
    random = np.random.default_rng(args.seed)
    train, test = data.spiral(random=random)
    if args.post:
        n_batch = 1
        small = functools.partial(nn.initialisers.uniform, limit=0.005)
        layer = functools.partial(nn.FeedForward, random=random, weights=small)
        network = Network([layer(2, 100, autodiff.sigmoid), layer(100, 3, autodiff.sigmoid)])
    else:
        n_batch = 32
        layer = functools.partial(nn.FeedForward, random=random)
        network = Network([layer(2, 50, autodiff.tanh), layer(50, 50, autodiff.tanh), layer(50, 3)])

    x = Tensor(shape=(n_batch, 2), constant=True, name="x")
    target = Tensor(shape=(n_batch, N_CLASSES), constant=True, name="target")
    if args.post:
        loss = 0.5 * nn.squared_error(network(x), target)
    else:
        loss = nn.softmax_cross_entropy(network(x), target, "batch")
    rate = Tensor(POST_RATE, constant=True, name="rate")
    optimiser = (optim.SGD if args.post else optim.Adam)(network, rate)

    @autodiff.compile
    def step(points, classes):
        x.assign(points)
        target.assign(classes)
        loss.forward()
        autodiff.backward(loss)
        optimiser.step()
        return loss

    classes = data.one_hot(train.labels, N_CLASSES)
    losses = []
    n_steps = 0
    start = time.perf_counter()
    for epoch in options.progress(n_epochs, "spiral"):
        if not args.post:
            rate.assign(options.cosine(RATE, epoch, n_epochs))
        batches = list(data.batches(len(train.x), n_batch, random, drop_last=True))
        errors = [float(step(train.x[rows], classes[rows])) for rows in batches]
        losses.append(sum(errors) / len(errors))
        n_steps += len(batches)
    seconds = time.perf_counter() - start

    guess = network(test.x).value.argmax(axis=1)
    accuracy = float(np.mean(guess == test.labels))
    print(f"loss of the first epoch {losses[0]:.3g}, of the last {losses[-1]:.3g}")
    print(f"{accuracy:.1%} of {len(test.x)} test points are told apart")
    print(f"{seconds:.1f} s, {seconds / n_steps * 1e6:.0f} µs a step of {n_batch}")
    if args.plot:
        import pictures

        pictures.spiral(
            args.plot, train, test, lambda plane: network(plane).value, losses, accuracy
        )
    return Result(losses, accuracy, seconds)


if __name__ == "__main__":
    main()
