"""The variational auto-encoder with a Gaussian latent space.

References
----------
Kingma, Welling, "Auto-encoding variational Bayes", ICLR 2014; section 2.4 for the
reparameterisation, appendix B for the KL term, appendix C for the networks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from autodiff.errors import ShapeError
from autodiff.graph.node import Node
from autodiff.nn.feedforward import Activation, FeedForward, RandomLike
from autodiff.nn.initialisers import Initialiser, glorot_uniform
from autodiff.nn.losses import bernoulli_nll, gaussian_kl
from autodiff.nn.module import Module
from autodiff.ops import exp, sigmoid, tanh

__all__ = ["VAE", "VAEPass"]


class VAEPass(NamedTuple):
    """The nodes of one pass through a :class:`VAE`, for losses and gradients of one's own."""

    logits: Node
    mean: Node
    log_variance: Node


class VAE(Module):
    """Encoder, two heads that share its hidden layer, sample, decoder.

    With e = activation(encoder(x)): mean and log-variance are linear in e; the latent vector
    is mean + exp(log_variance / 2) · noise; logits = output(activation(decoder(latent))). The
    noise is an input: standard normal for training, zeros for the most likely code.

    Parameters
    ----------
    n_in, n_hidden, n_latent : sizes of a sample, of the hidden layers, of the latent vector.
    n_decoder : size of the decoder's hidden layer; by default n_hidden. 0: the logits are
        linear in the latent vector, as in the post.
    activation : of the hidden layers.
    random : generator, or the seed of one.
    weights : initialiser.
    name : of the model; tensors are called ``name.encoder.W`` and so on.

    Attributes
    ----------
    encoder, mean, log_variance, output : FeedForward
    decoder : FeedForward, or None if n_decoder is 0.
    """

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        n_latent: int,
        *,
        random: RandomLike,
        n_decoder: int | None = None,
        activation: Activation = tanh,
        weights: Initialiser = glorot_uniform,
        name: str = "vae",
    ) -> None:
        random = np.random.default_rng(random)
        n_decoder = n_hidden if n_decoder is None else n_decoder

        def layer(part: str, n: int, m: int, activation: Activation | None = None) -> FeedForward:
            return FeedForward(
                n, m, activation, random=random, weights=weights, name=f"{name}.{part}"
            )

        self.encoder = layer("encoder", n_in, n_hidden, activation)
        self.mean = layer("mean", n_hidden, n_latent)
        self.log_variance = layer("log_variance", n_hidden, n_latent)
        self.decoder = layer("decoder", n_latent, n_decoder, activation) if n_decoder else None
        self.output = layer("output", n_decoder or n_latent, n_in)
        self.n_latent = n_latent

    def encode(self, x: Any) -> tuple[Node, Node]:
        """Mean and log-variance of the latent vector, each of shape (B, n_latent).

        x : node or array, shape (B, n_in).
        """
        hidden = self.encoder(x)
        return self.mean(hidden), self.log_variance(hidden)

    def sample(self, mean: Any, log_variance: Any, noise: Any) -> Any:
        """mean + σ · noise, all of shape (B, n_latent); ShapeError if the noise has another.

        (One row of noise for a whole batch would broadcast.)
        """
        if np.shape(noise) != np.shape(mean):
            raise ShapeError(
                f"VAE: noise has shape {np.shape(noise)}, mean has shape {np.shape(mean)}; "
                "every sample needs its own"
            )
        return mean + exp(0.5 * log_variance) * noise

    def decode(self, latent: Any) -> Node:
        """Logits of shape (B, n_in), for latent of shape (B, n_latent)."""
        return self.output(latent if self.decoder is None else self.decoder(latent))

    def reconstruct(self, latent: Any) -> Any:
        """Probabilities of shape (B, n_in), for latent of shape (B, n_latent)."""
        return sigmoid(self.decode(latent))

    def __call__(self, x: Any, noise: Any) -> VAEPass:
        """One pass. x : shape (B, n_in); noise : shape (B, n_latent)."""
        mean, log_variance = self.encode(x)
        return VAEPass(self.decode(self.sample(mean, log_variance, noise)), mean, log_variance)

    def loss(self, x: Any, noise: Any) -> Node:
        """The negative evidence lower bound, in nats a sample: a node of shape ().

        Bernoulli negative log likelihood of x plus KL term, summed over pixels and latent
        dimensions, mean over the batch. x in [0, 1].
        """
        logits, mean, log_variance = self(x, noise)
        return bernoulli_nll(logits, x, "batch") + gaussian_kl(mean, log_variance, "batch")  # type: ignore[no-any-return]

    def _sizes(self) -> str:
        sizes = [self.encoder.W.shape[0], self.encoder.W.shape[1], self.n_latent]
        if self.decoder is not None:
            sizes.append(self.decoder.W.shape[1])
        return f" {'-'.join(map(str, [*sizes, self.output.W.shape[1]]))}"
