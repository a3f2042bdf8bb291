"""Layers, losses and initialisers.

feedforward : `FeedForward`, and the post's `FeedForwardSigmoid` and `FeedForwardTanH`
lstm : `lstm_cell`, `LSTM`, `unroll`
vae : `VAE`
losses : squared error, Bernoulli and Gaussian likelihoods, softmax cross-entropy, Gaussian KL
initialisers : truncated normal, Glorot, He, orthogonal
module : `Module`, which finds the parameters
"""

from autodiff.nn import initialisers
from autodiff.nn.feedforward import (
    FeedForward,
    FeedForwardSigmoid,
    FeedForwardTanH,
    feedforward,
)
from autodiff.nn.losses import (
    bernoulli_nll,
    gaussian_kl,
    gaussian_nll,
    softmax_cross_entropy,
    squared_error,
)
from autodiff.nn.lstm import LSTM, lstm_cell, unroll
from autodiff.nn.module import Module
from autodiff.nn.vae import VAE, VAEPass

__all__ = [
    "LSTM",
    "VAE",
    "FeedForward",
    "FeedForwardSigmoid",
    "FeedForwardTanH",
    "Module",
    "VAEPass",
    "bernoulli_nll",
    "feedforward",
    "gaussian_kl",
    "gaussian_nll",
    "initialisers",
    "lstm_cell",
    "softmax_cross_entropy",
    "squared_error",
    "unroll",
]
