"""A node graph in NumPy as textbooks and the post write it: the library this one came from.

One class an op; a node keeps its inputs, its parents and a dictionary of the gradients they sent;
when all have come it sums them and pushes down. Every value and gradient is a fresh array. The
graph is built once and computed again for each sample, like ours. Correct (an edge sends, not a
parent's name; nothing recurses) and untuned.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.contestant import Run, turns
from benchmarks.workloads import ADAM, GATES, LSTM, MLP, VAE, Array, Workload

LIBRARY = None
MODES = {"call": "textbook NumPy graph"}


class Node:
    """Something with a value and a gradient."""

    def __init__(self, *inputs: Node) -> None:
        self.inputs = inputs
        self.value: Any = None
        self.gradients: dict[tuple[int, int], Array] = {}
        self.wait_for: set[tuple[int, int]] = set()
        for position, x in enumerate(inputs):
            x.wait_for.add((id(self), position))

    def fwd(self, *inputs: Array) -> Array:
        """The value for these values of the inputs."""
        raise NotImplementedError

    def bwd(self, gradient: Array, *inputs: Array) -> tuple[Array, ...]:
        """The gradient of each input."""
        raise NotImplementedError

    def receive(self, sender: tuple[int, int], gradient: Array) -> bool:
        """Take a gradient; whether it was the last one."""
        self.gradients[sender] = gradient
        return len(self.gradients) == len(self.wait_for)

    def gradient(self) -> Array:
        """The sum of all that came."""
        return sum(self.gradients.values())


class Tensor(Node):
    """A leaf: its value is assigned."""

    def __init__(self, value: Any = None) -> None:
        super().__init__()
        self.value = value


class Add(Node):
    """x + y, where y may be one row."""

    def fwd(self, x, y):
        """x + y."""
        return x + y

    def bwd(self, gradient, x, y):
        """The gradient, for a row summed over rows."""
        row = y.shape != gradient.shape
        return gradient, gradient.sum(axis=0, keepdims=True) if row else gradient


class Sub(Node):
    """x - y."""

    def fwd(self, x, y):
        """x - y."""
        return x - y

    def bwd(self, gradient, x, y):
        """The gradient and its negative."""
        return gradient, -gradient


class Mul(Node):
    """x y, elementwise."""

    def fwd(self, x, y):
        """x y."""
        return x * y

    def bwd(self, gradient, x, y):
        """By the other factor."""
        return gradient * y, gradient * x


class Scale(Node):
    """A number times x."""

    def __init__(self, x: Node, factor: float) -> None:
        super().__init__(x)
        self.factor = factor

    def fwd(self, x):
        """Factor times x."""
        return self.factor * x

    def bwd(self, gradient, x):
        """Factor times the gradient."""
        return (self.factor * gradient,)


class Inner(Node):
    """x W."""

    def fwd(self, x, w):
        """The product."""
        return x @ w

    def bwd(self, gradient, x, w):
        """g Wᵀ and xᵀ g."""
        return gradient @ w.T, x.T @ gradient


class Concat(Node):
    """Side by side (axis 1) or one below the other (axis 0)."""

    def __init__(self, *inputs: Node, axis: int) -> None:
        super().__init__(*inputs)
        self.axis = axis

    def fwd(self, *inputs):
        """All inputs as one array."""
        return np.concatenate(inputs, axis=self.axis)

    def bwd(self, gradient, *inputs):
        """Its pieces."""
        cuts = np.cumsum([x.shape[self.axis] for x in inputs])[:-1]
        return tuple(np.split(gradient, cuts, axis=self.axis))


class Sigmoid(Node):
    """1 / (1 + e^-x)."""

    def fwd(self, x):
        """The value, which bwd needs."""
        self.value = 1.0 / (1.0 + np.exp(-x))
        return self.value

    def bwd(self, gradient, x):
        """g z (1 - z)."""
        return (gradient * self.value * (1.0 - self.value),)


class Tanh(Node):
    """Hyperbolic tangent."""

    def fwd(self, x):
        """The value."""
        return np.tanh(x)

    def bwd(self, gradient, x):
        """g (1 - z²)."""
        return (gradient * (1.0 - self.value**2),)


class Relu(Node):
    """max(x, 0)."""

    def fwd(self, x):
        """The value."""
        return np.maximum(x, 0.0)

    def bwd(self, gradient, x):
        """g where x > 0."""
        return (gradient * (x > 0.0),)


class Exp(Node):
    """e^x."""

    def fwd(self, x):
        """The value."""
        return np.exp(x)

    def bwd(self, gradient, x):
        """g z."""
        return (gradient * self.value,)


class HalfSquares(Node):
    """½ Σ x²."""

    def fwd(self, x):
        """The value."""
        return 0.5 * np.sum(x * x)

    def bwd(self, gradient, x):
        """g x."""
        return (gradient * x,)


class Bernoulli(Node):
    """Σ ln(1 + e^l) - t l."""

    def fwd(self, logits, target):
        """The value."""
        return np.sum(np.logaddexp(0.0, logits) - target * logits)

    def bwd(self, gradient, logits, target):
        """g (sigmoid(l) - t)."""
        return gradient * (1.0 / (1.0 + np.exp(-logits)) - target), -gradient * logits


class KL(Node):
    """½ Σ e^v + m² - 1 - v."""

    def fwd(self, mean, log_variance):
        """The value."""
        return 0.5 * np.sum(np.exp(log_variance) + mean**2 - 1.0 - log_variance)

    def bwd(self, gradient, mean, log_variance):
        """g m and ½ g (e^v - 1)."""
        return gradient * mean, 0.5 * gradient * (np.exp(log_variance) - 1.0)


class CrossEntropy(Node):
    """-Σ t ln softmax(l)."""

    def fwd(self, logits, target):
        """The value; keeps ln softmax."""
        shifted = logits - logits.max(axis=1, keepdims=True)
        self.log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return -np.sum(target * self.log_p)

    def bwd(self, gradient, logits, target):
        """g (softmax(l) - t)."""
        return gradient * (np.exp(self.log_p) - target), -gradient * self.log_p


def order(root: Node) -> list[Node]:
    """All nodes below `root`, inputs first."""
    done: dict[int, Node] = {}
    stack = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if id(node) in done:
            continue
        if ready:
            done[id(node)] = node
        else:
            stack.append((node, True))
            stack.extend((x, False) for x in node.inputs)
    return list(done.values())


def forward(nodes: list[Node]) -> Any:
    """Compute all; returns the last value."""
    for node in nodes:
        node.gradients = {}
        if node.inputs:
            node.value = node.fwd(*[x.value for x in node.inputs])
    return nodes[-1].value


def backward(root: Node) -> None:
    """Push gradients down from `root`, each node when it has all of its own."""
    root.gradients = {(0, 0): np.ones(np.shape(root.value))}
    ready = [root]
    while ready:
        node = ready.pop()
        if not node.inputs:
            continue
        pushed = node.bwd(node.gradient(), *[x.value for x in node.inputs])
        for position, (x, gradient) in enumerate(zip(node.inputs, pushed, strict=True)):
            if x.receive((id(node), position), gradient):
                ready.append(x)


class Model:
    """A graph with its weights and inputs."""

    def __init__(self, workload: Workload) -> None:
        self.weights = {name: Tensor(value) for name, value in workload.weights().items()}
        self.rate = workload.rate
        build = {"LSTM": self._lstm, "VAE": self._vae, "MLP": self._mlp}[workload.kind]
        build(workload)
        self.nodes = order(self.loss)
        self.moments = None
        if workload.method == "adam":
            self.moments = {n: (np.zeros_like(w.value),) * 2 for n, w in self.weights.items()}
            self.n_steps = 0

    def _dense(self, name: str, x: Node) -> Node:
        return Add(Inner(x, self.weights[f"{name}.W"]), self.weights[f"{name}.b"])

    def _lstm(self, w: LSTM) -> None:
        zeros = np.zeros((w.n_batch, w.n_hidden))
        h, c = Tensor(zeros), Tensor(zeros)
        self.xs = [Tensor() for _ in range(w.n_steps)]
        self.target = Tensor()
        outputs = []
        for x in self.xs:
            z = Concat(x, h, axis=1)
            f, i, o = (Sigmoid(self._dense(gate, z)) for gate in GATES[:3])
            g = Tanh(self._dense("g", z))
            c = Add(Mul(f, c), Mul(i, g))
            h = Mul(o, Tanh(c))
            outputs.append(self._dense("out", h))
        self.loss = Scale(HalfSquares(Sub(Concat(*outputs, axis=0), self.target)), 1.0 / w.n_batch)

    def _vae(self, w: VAE) -> None:
        self.xs, self.target = Tensor(), Tensor()
        hidden = Tanh(self._dense("encoder", self.xs))
        mean, log_variance = self._dense("mean", hidden), self._dense("log_variance", hidden)
        latent = Add(mean, Mul(Exp(Scale(log_variance, 0.5)), self.target))
        if w.n_decoder:
            latent = Tanh(self._dense("decoder", latent))
        nll = Bernoulli(self._dense("output", latent), self.xs)
        self.loss = Scale(Add(nll, KL(mean, log_variance)), 1.0 / w.n_batch)

    def _mlp(self, w: MLP) -> None:
        self.xs, self.target = Tensor(), Tensor()
        y: Node = self.xs
        n = len(w.sizes) - 1
        for k in range(n):
            y = self._dense(str(k), y)
            if w.activation == "sigmoid":
                y = Sigmoid(y)
            elif k + 1 < n:
                y = Relu(y)
        if w.activation == "sigmoid":
            error: Node = HalfSquares(Sub(y, self.target))
        else:
            error = CrossEntropy(y, self.target)
        self.loss = Scale(error, 1.0 / w.n_batch)

    def compute(self, x: Array, target: Array) -> float:
        """Forward and backward."""
        if isinstance(self.xs, list):
            for tensor, row in zip(self.xs, x, strict=True):
                tensor.value = row
        else:
            self.xs.value = x
        self.target.value = target
        loss = forward(self.nodes)
        backward(self.loss)
        return float(loss)

    def step(self, x: Array, target: Array) -> float:
        """One training step."""
        loss = self.compute(x, target)
        if self.moments is None:
            for w in self.weights.values():
                w.value = w.value - self.rate * w.gradient()
            return loss
        beta1, beta2, epsilon = ADAM["beta1"], ADAM["beta2"], ADAM["epsilon"]
        self.n_steps += 1
        for name, w in self.weights.items():
            m, v = self.moments[name]
            g = w.gradient()
            m = beta1 * m + (1.0 - beta1) * g
            v = beta2 * v + (1.0 - beta2) * g**2
            self.moments[name] = m, v
            m_hat = m / (1.0 - beta1**self.n_steps)
            v_hat = v / (1.0 - beta2**self.n_steps)
            w.value = w.value - self.rate * m_hat / (np.sqrt(v_hat) + epsilon)
        return loss


def prepare(workload: Workload, mode: str) -> Run:
    """Build the graph."""
    model = Model(workload)
    first = workload.samples()[0]

    def gradients():
        loss = model.compute(*first)
        return loss, {name: np.array(w.gradient()) for name, w in model.weights.items()}

    return Run(
        step=turns(workload, model.step),
        gradients=gradients,
        weights=lambda: {name: np.array(w.value) for name, w in model.weights.items()},
    )
