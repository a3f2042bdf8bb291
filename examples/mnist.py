"""A network reads handwritten digits: the post's experiment "MNIST".

With --mnist FOLDER the 60,000 training and 10,000 test images of MNIST; without, the 1,797
small digits of scikit-learn, of which the last 360 are kept for the test.

The post's (--post): 784 inputs, 100 sigmoid units, 10 sigmoid outputs; weights uniform in
±0.0005; ½ Σ error² against one-hot rows; stochastic gradient descent, one image at a
time, with rate 0.01 for 10 epochs.

Ours: 512 and 128 relu units, softmax cross-entropy, batches of 128, Adam with a falling rate.
"""

from __future__ import annotations

import functools
import time
from typing import NamedTuple

import numpy as np
import options
from spiral import Network

import autodiff
from autodiff import Tensor, data, nn, optim

N_CLASSES, N_TEST = 10, 360
RATE, POST_RATE = 0.001, 0.01


class Result(NamedTuple):
    """What was reached."""

    losses: list[float]  # of each epoch, the mean over its images
    accuracies: list[float]  # on the test part, after each epoch
    seconds: float


def load(folder: str | None) -> tuple[data.Labelled, data.Labelled]:
    """Training and test part."""
    if folder:
        return data.mnist(folder)
    x, labels = data.digits()
    cut = len(x) - N_TEST
    return data.Labelled(x[:cut], labels[:cut]), data.Labelled(x[cut:], labels[cut:])


def main(argv: list[str] | None = None) -> Result:
    """Train, test; print and return how well."""
    args = options.parse(__doc__, argv, mnist=True)
    n_epochs = options.epochs(args, ours=10 if args.mnist else 40, post=10, quick=1)
    random = np.random.default_rng(args.seed)
    train, test = load(args.mnist)
    n_in = train.x.shape[1]
    if args.post:
        n_batch = 1
        small = functools.partial(nn.initialisers.uniform, limit=0.0005)
        layer = functools.partial(nn.FeedForward, random=random, weights=small)
        network = Network([layer(n_in, 100, autodiff.sigmoid), layer(100, 10, autodiff.sigmoid)])
    else:
        n_batch = 128
        relu, he = autodiff.relu, nn.initialisers.he_normal
        layer = functools.partial(nn.FeedForward, random=random, weights=he)
        network = Network([layer(n_in, 512, relu), layer(512, 128, relu), layer(128, 10)])

    x = Tensor(shape=(n_batch, n_in), constant=True, name="x")
    target = Tensor(shape=(n_batch, N_CLASSES), constant=True, name="target")
    if args.post:
        loss = 0.5 * nn.squared_error(network(x), target)
    else:
        loss = nn.softmax_cross_entropy(network(x), target, "batch")
    rate = Tensor(POST_RATE, constant=True, name="rate")
    optimiser = (optim.SGD if args.post else optim.Adam)(network, rate)

    @autodiff.compile
    def step(images, classes):
        x.assign(images)
        target.assign(classes)
        loss.forward()
        autodiff.backward(loss)
        optimiser.step()
        return loss

    scores = network(test.x)  # the same weights, in a second graph
    classes = data.one_hot(train.labels, N_CLASSES)
    losses, accuracies = [], []
    n_steps, n_all = 0, n_epochs * (len(train.x) // n_batch)
    start = time.perf_counter()
    for _ in options.progress(n_epochs, "digits"):
        total = 0.0
        first = n_steps
        for rows in data.batches(len(train.x), n_batch, random, drop_last=True):
            if not args.post:
                rate.assign(options.cosine(RATE, n_steps, n_all))
            total += float(step(train.x[rows], classes[rows]))
            n_steps += 1
        losses.append(total / (n_steps - first))
        accuracies.append(float(np.mean(scores.forward().argmax(axis=1) == test.labels)))
    seconds = time.perf_counter() - start

    print(f"loss of the first epoch {losses[0]:.3g}, of the last {losses[-1]:.3g}")
    print(f"{accuracies[-1]:.2%} of {len(test.x)} test images are read right")
    print(f"{seconds:.1f} s, {seconds / n_steps * 1e6:.0f} µs a step of {n_batch}")
    if args.plot:
        import pictures

        pictures.mnist(args.plot, test, scores.value, losses, accuracies)
    return Result(losses, accuracies, seconds)


if __name__ == "__main__":
    main()
