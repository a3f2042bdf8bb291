"""What is computed: models with their data and initial weights, from fixed seeds.

Each workload is one training step (forward, backward, update) on one sample after the other,
and the same for all contestants. Needs NumPy only, so that every environment can read it.

Names of the weights are those of the dictionaries that :meth:`weights` returns; contestants may
hold them in any form, and hand back gradients and weights under these names.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray
Arrays: TypeAlias = dict[str, Array]

GATES = ("f", "i", "o", "g")
ADAM = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}


def _weight(random: np.random.Generator, n_in: int, n_out: int) -> Array:
    limit = np.sqrt(6.0 / (n_in + n_out))
    return random.uniform(-limit, limit, (n_in, n_out))


def _layers(sizes: dict[str, tuple[int, int]], seed: int) -> Arrays:
    """Weights W (n_in, n_out), Glorot, and biases b (1, n_out), small, for each layer."""
    random = np.random.default_rng(seed)
    weights: Arrays = {}
    for name, (n_in, n_out) in sizes.items():
        weights[f"{name}.W"] = _weight(random, n_in, n_out)
        weights[f"{name}.b"] = random.uniform(-0.1, 0.1, (1, n_out))
    return weights


@dataclass(frozen=True)
class Workload:
    """What all workloads have: a name, a batch, and how the weights are updated.

    n_samples : how many samples there are; steps take them in turn.
    n_scan : how many steps one call of a scan takes: about a millisecond's.
    method : "sgd" or "adam".
    """

    name: str
    title: str
    n_batch: int = 1
    rate: float = 0.01
    method: str = "sgd"
    n_samples: int = 100
    n_scan: int = 50

    @property
    def kind(self) -> str:
        """Which model: "LSTM", "VAE" or "MLP"."""
        return type(self).__name__

    def weights(self) -> Arrays:
        """The initial weights, fresh arrays."""
        raise NotImplementedError

    def packed(self) -> Arrays:
        """The initial weights in the form that suits libraries of arrays."""
        return self.weights()

    def named(self, packed: Arrays) -> Arrays:
        """Copies under the names of :meth:`weights`; the reverse of :meth:`packed`."""
        return {name: np.array(x) for name, x in packed.items()}

    def samples(self) -> list[tuple[Array, ...]]:
        """The arguments of each step."""
        raise NotImplementedError

    def stacked(self) -> tuple[Array, ...]:
        """The arguments of `n_scan` steps, along a leading axis."""
        samples = self.samples()
        order = [i % len(samples) for i in range(self.n_scan)]
        return tuple(np.stack([samples[i][k] for i in order]) for k in range(len(samples[0])))

    def shrunk(self) -> Workload:
        """The same with small sizes, for quick tests."""
        raise NotImplementedError


@dataclass(frozen=True)
class LSTM(Workload):
    """LSTM, unrolled from a zero state, linear output, ½ Σ error² / batch over all steps.

    Weights: gates f, i, o, g over [x, h], and "out". Sample: inputs (T, B, n_in), targets
    (T B, n_out), rows of one step next to each other.
    """

    n_in: int = 2
    n_hidden: int = 15
    n_out: int = 2
    n_steps: int = 5

    def weights(self) -> Arrays:
        """Gates of shape (n_in + n_hidden, n_hidden), output (n_hidden, n_out)."""
        gate = (self.n_in + self.n_hidden, self.n_hidden)
        return _layers({**dict.fromkeys(GATES, gate), "out": (self.n_hidden, self.n_out)}, 1)

    def packed(self) -> Arrays:
        """The gates side by side, W and b; the output, V and d."""
        weights = self.weights()
        W, b = pack_gates(weights)
        return {"W": W, "b": b, "V": weights["out.W"], "d": weights["out.b"][0]}

    def named(self, packed: Arrays) -> Arrays:
        """The gates apart again."""
        W, b, V, d = (np.array(packed[name]) for name in "WbVd")
        return {**unpack_gates(W, b), "out.W": V, "out.b": d.reshape(1, -1)}

    def samples(self) -> list[tuple[Array, ...]]:
        """Waves: windows of `n_steps`, and each the next point. In the post: cos and sin."""
        random = np.random.default_rng(2)
        n = max(self.n_in, self.n_out)
        frequency = np.resize([1.0, 1.0, 2.0, 3.0, 0.5], n)
        phase = np.where(np.arange(n) % 2, -0.5 * np.pi, 0.0) + np.arange(n) // 2
        samples = []
        for k in range(self.n_samples):
            shift = k + random.uniform(0.0, 20.0, (self.n_batch if self.n_batch > 1 else 1, 1))
            t = np.arange(self.n_steps + 1)[:, None, None] + shift
            waves = np.cos(2.0 * np.pi / 20.0 * frequency * t + phase)
            x = np.ascontiguousarray(waves[:-1, :, : self.n_in])
            y = np.ascontiguousarray(waves[1:, :, : self.n_out])
            samples.append((x, y.reshape(self.n_steps * self.n_batch, self.n_out)))
        return samples

    def shrunk(self) -> Workload:
        """Small sizes."""
        n_batch = 1 if self.n_batch == 1 else 3
        return dataclasses.replace(
            self, n_in=2, n_hidden=5, n_out=2, n_steps=3, n_batch=n_batch, n_samples=4, n_scan=6
        )


@dataclass(frozen=True)
class VAE(Workload):
    """Variational auto-encoder; tanh layers, the hidden layer feeds both heads.

    Loss: Bernoulli negative log likelihood plus KL term, summed over pixels and latent dimensions,
    mean over the batch. Sample: images (B, n_in) in [0, 1], noise (B, n_latent).
    """

    n_in: int = 784
    n_hidden: int = 50
    n_latent: int = 25
    n_decoder: int = 0

    def weights(self) -> Arrays:
        """Layers encoder, mean, log_variance, decoder (unless n_decoder is 0), output."""
        n, h, k = self.n_in, self.n_hidden, self.n_latent
        layers = {"encoder": (n, h), "mean": (h, k), "log_variance": (h, k)}
        if self.n_decoder:
            layers["decoder"] = (k, self.n_decoder)
        layers["output"] = (self.n_decoder or k, n)
        return _layers(layers, 3)

    def samples(self) -> list[tuple[Array, ...]]:
        """Images like digits (four of five pixels are 0) and noise."""
        random = np.random.default_rng(4)
        return [
            (
                _images(random, self.n_batch, self.n_in),
                random.standard_normal((self.n_batch, self.n_latent)),
            )
            for _ in range(self.n_samples)
        ]

    def shrunk(self) -> Workload:
        """Small sizes."""
        n_batch = 1 if self.n_batch == 1 else 4
        n_decoder = 5 if self.n_decoder else 0
        return dataclasses.replace(
            self, n_in=12, n_hidden=6, n_latent=3, n_decoder=n_decoder, n_batch=n_batch,
            n_samples=4, n_scan=6,
        )  # fmt: skip


@dataclass(frozen=True)
class MLP(Workload):
    """Dense layers; sigmoid throughout and ½ Σ error², or relu and softmax cross-entropy.

    The loss is a mean over the batch. Weights: layers "0", "1", ... Sample: images (B, n_in),
    one-hot rows (B, n_out).
    """

    sizes: tuple[int, ...] = (784, 100, 10)
    activation: str = "sigmoid"

    def weights(self) -> Arrays:
        """One layer for each pair of neighbouring sizes."""
        pairs = zip(self.sizes[:-1], self.sizes[1:], strict=True)
        return _layers({str(i): pair for i, pair in enumerate(pairs)}, 5)

    def samples(self) -> list[tuple[Array, ...]]:
        """Images like digits and classes."""
        random = np.random.default_rng(6)
        rows = np.eye(self.sizes[-1])
        return [
            (
                _images(random, self.n_batch, self.sizes[0]),
                rows[random.integers(0, self.sizes[-1], self.n_batch)],
            )
            for _ in range(self.n_samples)
        ]

    def shrunk(self) -> Workload:
        """Small sizes."""
        n_batch = 1 if self.n_batch == 1 else 4
        sizes = (12, *(7 - i for i in range(len(self.sizes) - 2)), 3)
        return dataclasses.replace(self, sizes=sizes, n_batch=n_batch, n_samples=4, n_scan=6)


def _images(random: np.random.Generator, n_batch: int, n_in: int) -> Array:
    ink = random.uniform(0.0, 1.0, (n_batch, n_in))
    return np.where(random.uniform(size=ink.shape) < 0.2, ink, 0.0)


WORKLOADS: dict[str, Workload] = {
    w.name: w
    for w in (
        LSTM("lstm-post", "LSTM 2→15→2, T = 5, batch 1, SGD (the post's)", n_scan=200),
        VAE("vae-post", "VAE 784-50-25-784, batch 1, SGD (the post's)", rate=0.001),
        MLP("mlp-post", "MLP 784-100-10, sigmoid, squared error, batch 1, SGD (the post's)"),
        LSTM("lstm-128", "LSTM 32→128→32, T = 50, batch 32, SGD", n_in=32, n_hidden=128, n_out=32,
             n_steps=50, n_batch=32, n_samples=8, n_scan=8),
        VAE("vae-400", "VAE 784-400-20-400-784, batch 128, Adam", n_hidden=400, n_latent=20,
            n_decoder=400, n_batch=128, method="adam", rate=0.001, n_samples=16, n_scan=16),
        MLP("mlp-512", "MLP 784-512-128-10, relu, cross-entropy, batch 128, Adam",
            sizes=(784, 512, 128, 10), activation="relu", n_batch=128, method="adam", rate=0.001,
            n_samples=16, n_scan=16),
    )
}  # fmt: skip
"""All workloads by name."""


# ---- the LSTM's gates in one matrix ---------------------------------------------------------


def pack_gates(weights: Arrays, order: tuple[str, ...] = GATES) -> tuple[Array, Array]:
    """W (n_in + n_hidden, 4 n_hidden) and b (4 n_hidden,) of all gates side by side."""
    W = np.concatenate([weights[f"{gate}.W"] for gate in order], axis=1)
    b = np.concatenate([weights[f"{gate}.b"][0] for gate in order])
    return W, b


def unpack_gates(W: Array, b: Array, order: tuple[str, ...] = GATES) -> Arrays:
    """The reverse of :func:`pack_gates`, for weights as for gradients."""
    parts: Arrays = {}
    for k, gate in enumerate(order):
        n = W.shape[1] // len(order)
        parts[f"{gate}.W"] = np.array(W[:, k * n : (k + 1) * n])
        parts[f"{gate}.b"] = np.array(b[k * n : (k + 1) * n]).reshape(1, n)
    return parts
