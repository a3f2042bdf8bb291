"""A variational auto-encoder learns to write digits: the post's last experiment.

The post's (--post): 200 digits of MNIST; 50 tanh units, 25 latent dimensions, logits linear in
them (784-50-25-784); weights from a truncated normal distribution (0.1), biases 0; ½ Σ error²
plus the KL term; noise drawn once for each digit; stochastic gradient descent, one digit at
a time, with rate 0.001 for 250 epochs. (Its KL gradients were wrong; ours are right.)

Ours, small: the post's network and 200 digits, but Glorot's weights, a decoder that begins
with the mean digit, the Bernoulli likelihood in place of the squared error, new noise each
time, batches of 10, Adam with a falling rate. Without MNIST the digits are scikit-learn's, of
8 x 8 pixels.

Ours, with --mnist FOLDER and not --small: all 60,000 digits; 400 relu units on both sides, 20
latent dimensions, batches of 128.
"""

from __future__ import annotations

import functools
import time
from typing import NamedTuple

import numpy as np
import options
from mnist import load

import autodiff
from autodiff import Tensor, data, nn, optim

N_POST = 200
RATE, SMALL_RATE, POST_RATE = 0.002, 0.003, 0.001


class Result(NamedTuple):
    """What was reached."""

    losses: list[float]  # of each epoch, the mean over its digits
    bounds: list[float]  # on the test part, after each epoch: nats a digit
    samples: np.ndarray  # what the decoder makes of noise, shape (100, n_in)
    seconds: float


def main(argv: list[str] | None = None) -> Result:
    """Train, sample; print and return how well."""
    args = options.parse(__doc__, argv, mnist=True, small=True)
    small = args.small or args.post or not args.mnist
    n_epochs = options.epochs(args, ours=200 if small else 10, post=250, quick=2)
    random = np.random.default_rng(args.seed)
    train, test = load(args.mnist)
    digits = train.x[random.permutation(len(train.x))[:N_POST]] if small else train.x
    n_in, n_batch = digits.shape[1], 1 if args.post else 10 if small else 128
    if args.post:
        weights = functools.partial(nn.initialisers.truncated_normal, std=0.1)
        vae = nn.VAE(n_in, 50, 25, n_decoder=0, weights=weights, random=random)
    elif small:
        vae = nn.VAE(n_in, 50, 25, n_decoder=0, random=random)
        mean_pixel = np.clip(digits.mean(axis=0, keepdims=True), 0.005, 0.995)
        vae.output.b.assign(np.log(mean_pixel / (1.0 - mean_pixel)))
        vae.output.W.assign(0.1 * vae.output.W.value)
    else:
        vae = nn.VAE(n_in, 400, 20, activation=autodiff.relu, random=random)

    x = Tensor(shape=(n_batch, n_in), constant=True, name="x")
    noise = Tensor(shape=(n_batch, vae.n_latent), constant=True, name="noise")
    if args.post:
        logits, mean, log_variance = vae(x, noise)
        error = 0.5 * nn.squared_error(autodiff.sigmoid(logits), x)
        loss = error + nn.gaussian_kl(mean, log_variance)
    else:
        loss = vae.loss(x, noise)
    first_rate = POST_RATE if args.post else SMALL_RATE if small else RATE
    rate = Tensor(first_rate, constant=True, name="rate")
    optimiser = (optim.SGD if args.post else optim.Adam)(vae, rate)

    @autodiff.compile
    def step(images, sample):
        x.assign(images)
        noise.assign(sample)
        loss.forward()
        autodiff.backward(loss)
        optimiser.step()
        return loss

    bound = vae.loss(test.x, random.standard_normal((len(test.x), vae.n_latent)))
    fixed = random.standard_normal((len(digits), vae.n_latent))  # the post's noise
    losses, bounds = [], []
    n_steps, n_all = 0, n_epochs * (len(digits) // n_batch)
    start = time.perf_counter()
    for epoch in options.progress(n_epochs, "VAE"):
        total, first = 0.0, n_steps
        for rows in data.batches(len(digits), n_batch, random, drop_last=True):
            if not args.post:
                rate.assign(options.cosine(first_rate, n_steps, n_all))
            fresh = fixed[rows] if args.post else random.standard_normal(noise.shape)
            total += float(step(digits[rows], fresh))
            n_steps += 1
        losses.append(total / (n_steps - first))
        if not small or epoch == n_epochs - 1:
            bounds.append(float(bound.forward()))
    seconds = time.perf_counter() - start

    samples = vae.reconstruct(random.standard_normal((100, vae.n_latent))).value
    print(f"loss of the first epoch {losses[0]:.2f}, of the last {losses[-1]:.2f}")
    print(f"bound on {len(test.x)} test digits: {bounds[-1]:.2f} nats a digit")
    print(f"{seconds:.1f} s, {seconds / n_steps * 1e6:.0f} µs a step of {n_batch}")
    if args.compare:
        options.compare(step, digits[:n_batch], fixed[:n_batch])
    if args.plot:
        import pictures

        again = vae.reconstruct(vae.encode(digits[:20])[0]).value
        pictures.vae(args.plot, samples, digits[:20], again, losses, bounds)
    return Result(losses, bounds, samples, seconds)


if __name__ == "__main__":
    main()
