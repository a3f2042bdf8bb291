"""Feed-forward layers: z = activation(x W + b)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from autodiff.errors import ShapeError
from autodiff.graph.node import Node, Tensor
from autodiff.nn.initialisers import Initialiser, glorot_uniform, zeros
from autodiff.nn.module import Module
from autodiff.ops import matmul, sigmoid, tanh

__all__ = [
    "Activation",
    "FeedForward",
    "FeedForwardSigmoid",
    "FeedForwardTanH",
    "RandomLike",
    "feedforward",
]

Activation: TypeAlias = Callable[[Any], Any]
RandomLike: TypeAlias = np.random.Generator | int


def feedforward(x: Any, W: Any, b: Any, activation: Activation | None = None) -> Any:
    """z = activation(x W + b).

    x : shape (B, n_in), rows are samples; W : shape (n_in, n_out); b : shape (1, n_out) or
    (n_out,); z : shape (B, n_out). Without activation, z = x W + b.
    """
    z = matmul(x, W) + b
    return z if activation is None else activation(z)


class FeedForward(Module):
    """A layer that owns its weights; calling it on x gives activation(x W + b).

    Called more than once, it shares its weights.

    Parameters
    ----------
    n_in, n_out : sizes of a sample and of its image.
    activation : a function of nodes, such as ``autodiff.tanh``; None: none.
    random : generator, or the seed of one.
    weights, bias : initialisers.
    name : of the layer; the tensors are called ``name.W`` and ``name.b``.

    Attributes
    ----------
    W : Tensor, shape (n_in, n_out)
    b : Tensor, shape (1, n_out)

    Examples
    --------
    >>> import autodiff
    >>> layer = FeedForward(2, 3, autodiff.tanh, random=0)
    >>> layer([[0.0, 0.0]]).value
    array([[0., 0., 0.]])
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        activation: Activation | None = None,
        *,
        random: RandomLike,
        weights: Initialiser = glorot_uniform,
        bias: Initialiser = zeros,
        name: str = "feedforward",
    ) -> None:
        random = np.random.default_rng(random)
        self.W = Tensor(weights((n_in, n_out), random), name=f"{name}.W")
        self.b = Tensor(bias((1, n_out), random), name=f"{name}.b")
        self.activation = activation

    def __call__(self, x: Any) -> Node:
        """x : node or array, shape (B, n_in). Returns shape (B, n_out)."""
        return feedforward(x, self.W, self.b, self.activation)  # type: ignore[no-any-return]

    def _sizes(self) -> str:
        n_in, n_out = self.W.shape
        kind = getattr(self.activation, "__name__", repr(self.activation))
        return f" {n_in} -> {n_out}" + ("" if self.activation is None else f" {kind}")


class _Applied(Module):
    """A layer as the post builds it: on given nodes; the result is ``layer``."""

    _activation: Activation

    def __init__(self, x: Node, W: Tensor, b: Tensor) -> None:
        if len(W.shape) != 2 or b.shape not in ((W.shape[1],), (1, W.shape[1])):
            raise ShapeError(
                f"{type(self).__name__}: W has shape {W.shape}, b has shape {b.shape}; "
                "they must be (n_in, n_out) and (1, n_out)"
            )
        self.W = W
        self.b = b
        self.layer: Node = feedforward(x, W, b, type(self)._activation)


class FeedForwardSigmoid(_Applied):
    """The post's: ``FeedForwardSigmoid(x, W, b).layer`` is the node sigmoid(x W + b).

    For a layer that owns its weights and any activation see :class:`FeedForward`.

    x : node, shape (B, n_in); W : Tensor, shape (n_in, n_out); b : Tensor, shape (1, n_out).
    """

    _activation = staticmethod(sigmoid)


class FeedForwardTanH(_Applied):
    """The post's: ``FeedForwardTanH(x, W, b).layer`` is the node tanh(x W + b).

    x : node, shape (B, n_in); W : Tensor, shape (n_in, n_out); b : Tensor, shape (1, n_out).
    """

    _activation = staticmethod(tanh)
