"""autodiff itself, in all the ways in which it can run the same step.

The model is written once, with `autodiff.nn`; the modes differ in who executes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import autodiff
from autodiff import Tensor, nn, optim
from benchmarks.contestant import Run, turns
from benchmarks.workloads import GATES, LSTM, MLP, VAE, Arrays, Workload

LIBRARY = "autodiff"
MODES = {
    "call": "autodiff, compiled, a call a step",
    "scan": "autodiff, compiled, scan",
    "eager": "autodiff, eager",
    "rebuilt": "autodiff, eager, graph built anew each step",
    "reference": "autodiff, eager, reference back end",
}


class Model:
    """The workload's model.

    Attributes
    ----------
    loss : function of a sample, returns the node.
    parameters : tensors by the workload's names.
    """

    loss: Callable[..., Any]

    def __init__(self, workload: Workload) -> None:
        self.parameters: dict[str, Tensor] = {}
        {"LSTM": self._lstm, "VAE": self._vae, "MLP": self._mlp}[workload.kind](workload)
        for name, value in workload.weights().items():
            self.parameters[name].assign(value)
        self.rate = workload.rate
        methods = {"sgd": optim.SGD, "adam": optim.Adam}
        self.optimiser = methods[workload.method](list(self.parameters.values()), workload.rate)

    def _own(self, name: str, layer: nn.FeedForward) -> None:
        self.parameters[f"{name}.W"] = layer.W
        self.parameters[f"{name}.b"] = layer.b

    def _lstm(self, w: LSTM) -> None:
        lstm = nn.LSTM(w.n_in, w.n_hidden, random=0)
        out = nn.FeedForward(w.n_hidden, w.n_out, random=0)
        for gate in GATES:
            self._own(gate, getattr(lstm, gate))
        self._own("out", out)
        h, c = lstm.initial_state(w.n_batch)

        def loss(xs, target):
            hidden, _ = nn.unroll(lstm, xs, h, c)
            y = autodiff.concat([out(h_t) for h_t in hidden], axis=0)
            return (0.5 / w.n_batch) * nn.squared_error(y, target)

        self.loss = loss

    def _vae(self, w: VAE) -> None:
        vae = nn.VAE(w.n_in, w.n_hidden, w.n_latent, n_decoder=w.n_decoder, random=0)
        for name in ("encoder", "mean", "log_variance", "decoder", "output"):
            if getattr(vae, name) is not None:
                self._own(name, getattr(vae, name))
        self.loss = vae.loss

    def _mlp(self, w: MLP) -> None:
        relu = w.activation == "relu"
        activation = autodiff.relu if relu else autodiff.sigmoid
        n = len(w.sizes) - 1
        layers = []
        for k in range(n):
            last = relu and k + 1 == n
            sizes = w.sizes[k], w.sizes[k + 1]
            layers.append(nn.FeedForward(*sizes, None if last else activation, random=0))
            self._own(str(k), layers[-1])

        def loss(x, target):
            for layer in layers:
                x = layer(x)
            if relu:
                return nn.softmax_cross_entropy(x, target, "batch")
            return (0.5 / w.n_batch) * nn.squared_error(x, target)

        self.loss = loss

    def step(self, *sample: Any) -> Any:
        """A training step that builds its graph; returns the loss."""
        loss = self.loss(*sample)
        loss.backward()
        self.optimiser.step()
        return loss

    def loss_and_gradients(self, *sample: Any) -> Any:
        """The loss and the gradient of each parameter."""
        loss = self.loss(*sample)
        autodiff.backward(loss)
        return loss, [p.gradient for p in self.parameters.values()]


def eager_step(model: Model, sample: tuple[Any, ...], unrolled: bool) -> Callable[..., float]:
    """A step on one graph that is built here and computed again for each sample."""
    tensors: list[Any] = [
        [Tensor(row, constant=True) for row in x]
        if unrolled and k == 0
        else Tensor(x, constant=True)
        for k, x in enumerate(sample)
    ]
    loss = model.loss(*tensors)

    def step(*sample):
        for tensor, x in zip(tensors, sample, strict=True):
            if isinstance(tensor, list):
                for part, row in zip(tensor, x, strict=True):
                    part.assign(row)
            else:
                tensor.assign(x)
        value = float(loss.forward())
        autodiff.backward(loss)
        model.optimiser.step()
        return value

    return step


def prepare(workload: Workload, mode: str, without: tuple[str, ...] = ()) -> Run:
    """One of MODES; `without` names passes to leave out."""
    model = Model(workload)
    samples = workload.samples()
    per_call = 1
    if mode in ("eager", "reference"):
        run = eager_step(model, samples[0], workload.kind == "LSTM")
        if mode == "reference":
            inner = run

            def run(*sample):
                with autodiff.use_backend("reference"):
                    return inner(*sample)

        step = turns(workload, run)
    elif mode == "rebuilt":
        step = turns(workload, lambda *sample: float(model.step(*sample).value))
    else:
        compiled = autodiff.compile(model.step, without=without)
        if mode == "scan":
            stacked = workload.stacked()
            per_call = workload.n_scan
            step = lambda: compiled.scan(*stacked)  # noqa: E731
        else:
            step = turns(workload, compiled)

    gradients_of = autodiff.compile(model.loss_and_gradients)

    def gradients() -> tuple[float, Arrays]:
        loss, arrays = gradients_of(*samples[0])
        return float(loss), dict(zip(model.parameters, arrays, strict=True))

    def weights() -> Arrays:
        return {name: np.array(p.value) for name, p in model.parameters.items()}

    return Run(step, gradients, weights, steps_per_call=per_call)
