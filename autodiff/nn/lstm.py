"""The long short-term memory: a cell, a layer that owns its weights, unrolling.

Every step of an unrolled network reads the same weights; each therefore gets as many
gradients as there are steps, and waits for all of them.

References
----------
Hochreiter, Schmidhuber, "Long short-term memory", Neural Computation 9 (1997); with the
forget gate of Gers, Schmidhuber, Cummins, Neural Computation 12 (2000), without peepholes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np

from autodiff.graph.node import Node, Tensor
from autodiff.nn.feedforward import FeedForward, RandomLike, feedforward
from autodiff.nn.initialisers import Initialiser, glorot_uniform
from autodiff.nn.module import Module, name_node
from autodiff.ops import concat, sigmoid, tanh

__all__ = ["LSTM", "Cell", "lstm_cell", "unroll"]

Cell: TypeAlias = Callable[[Any, Any, Any], tuple[Any, Any]]
"""A step of a recurrent network: ``cell(x, h, c) -> h, c``."""


def lstm_cell(
    x: Any,
    h: Any,
    c: Any,
    wf: Any,
    bf: Any,
    wi: Any,
    bi: Any,
    wo: Any,
    bo: Any,
    wg: Any,
    bg: Any,
) -> tuple[Any, Any]:
    """One step with given weights, wired as in the post; returns the new (h, c).

    With z = [x, h]: forget gate f = sigmoid(z wf + bf), input gate i and output gate o likewise,
    candidate g = tanh(z wg + bg); then c' = f c + i g and h' = o tanh(c').

    Parameters
    ----------
    x : node, shape (B, n_in)
    h, c : nodes, shape (B, n_hidden): hidden and cell state of the step before.
    wf, wi, wo, wg : nodes, shape (n_in + n_hidden, n_hidden)
    bf, bi, bo, bg : nodes, shape (1, n_hidden)
    """
    z = concat([x, h], axis=-1)
    f = feedforward(z, wf, bf, sigmoid)
    i = feedforward(z, wi, bi, sigmoid)
    o = feedforward(z, wo, bo, sigmoid)
    g = feedforward(z, wg, bg, tanh)
    c = f * c + i * g
    return o * tanh(c), c


class LSTM(Module):
    """A layer that owns the weights of a cell; ``lstm(x, h, c) -> h, c`` is one step.

    Parameters
    ----------
    n_in, n_hidden : sizes of an input row and of the state.
    random : generator, or the seed of one.
    weights : initialiser, called for each gate with shape (n_in + n_hidden, n_hidden).
    forget_bias : what the forget gate's bias begins with; 1, so that the cell remembers until
        it has learned to forget. The post has 0. All other biases begin with 0.
    name : of the layer; the tensors are called ``name.f.W``, ``name.f.b`` and so on.

    Attributes
    ----------
    f, i, o, g : FeedForward; forget, input and output gate, candidate.

    References
    ----------
    Jozefowicz, Zaremba, Sutskever, "An empirical exploration of recurrent network
    architectures", ICML 2015, section 2.2, on the forget gate's bias.

    Examples
    --------
    >>> lstm = LSTM(2, 15, random=0)
    >>> outputs, (h, c) = unroll(lstm, np.zeros((5, 1, 2)), *lstm.initial_state(1))
    >>> len(outputs), h.shape
    (5, (1, 15))
    """

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        *,
        random: RandomLike,
        weights: Initialiser = glorot_uniform,
        forget_bias: float = 1.0,
        name: str = "lstm",
    ) -> None:
        random = np.random.default_rng(random)

        def gate(letter: str, activation: Callable[[Any], Any]) -> FeedForward:
            return FeedForward(
                n_in + n_hidden,
                n_hidden,
                activation,
                random=random,
                weights=weights,
                name=f"{name}.{letter}",
            )

        self.f = gate("f", sigmoid)
        self.i = gate("i", sigmoid)
        self.o = gate("o", sigmoid)
        self.g = gate("g", tanh)
        self.f.b.assign(np.full((1, n_hidden), float(forget_bias)))
        self.n_in = n_in
        self.n_hidden = n_hidden

    def __call__(self, x: Any, h: Any, c: Any) -> tuple[Node, Node]:
        """x : shape (B, n_in); h, c : shape (B, n_hidden). Returns the new (h, c)."""
        f, i, o, g = self.f, self.i, self.o, self.g
        return lstm_cell(x, h, c, f.W, f.b, i.W, i.b, o.W, o.b, g.W, g.b)

    def initial_state(self, n_batch: int = 1) -> tuple[Tensor, Tensor]:
        """(h, c) of zeros, shape (n_batch, n_hidden): constant tensors, to be assigned."""
        shape = (n_batch, self.n_hidden)
        return Tensor(np.zeros(shape), constant=True), Tensor(np.zeros(shape), constant=True)

    def _sizes(self) -> str:
        return f" {self.n_in} -> {self.n_hidden}"


def unroll(cell: Cell, xs: Iterable[Any], h: Any, c: Any) -> tuple[list[Any], tuple[Any, Any]]:
    """Take one step for each x; returns the hidden state after each, and the last (h, c).

    The nodes of step t are called ``h[t]`` and ``c[t]``.

    Parameters
    ----------
    cell : ``cell(x, h, c) -> h, c``, such as an :class:`LSTM`.
    xs : nodes or arrays, each of shape (B, n_in); or one of shape (T, B, n_in).
    h, c : state before the first step, shape (B, n_hidden). To go on where another unrolling
        ended, hand on its (h, c); to go on without gradient, assign their values to constant
        tensors, or hand on ``stop_gradient`` of them.

    Examples
    --------
    >>> outputs, (h, c) = unroll(lambda x, h, c: (x + h, c), [1.0, 2.0, 3.0], 0.0, 0.0)
    >>> outputs, h
    ([1.0, 3.0, 6.0], 6.0)
    """
    outputs = []
    for t, x in enumerate(xs):
        h, c = cell(x, h, c)
        for letter, state in (("h", h), ("c", c)):
            if isinstance(state, Node):
                name_node(state, f"{letter}[{t}]")
        outputs.append(h)
    return outputs, (h, c)
