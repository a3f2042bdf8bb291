"""Random recurrent training steps, drawn from a seed: cells, losses, penalties, updates.

A *recipe* says what a step is made of. All that people write is in it: gates that read the input,
the state, both, or both side by side; PyTorch's GRU and the paper's; LSTMs; layers, of which two
may share their weights; one or two sequences through one cell; a loss at each step or at the last;
several losses; penalties on gradients; up to three updates in one step, by any optimiser; states
that are carried from call to call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from compare import Builder

import autodiff
from autodiff import Tensor, ops, optim

__all__ = ["Recipe", "builder", "calls", "draw"]

SOURCES = ("x", "h", "both", "joined")
CELLS = ("rnn", "gru", "torch_gru", "lstm", "random")
GATES = {"rnn": 1, "gru": 3, "torch_gru": 3, "lstm": 4, "random": 3}
UPDATES = ("by hand", "SGD", "Momentum", "Adam", "RMSprop", "clipped")


@dataclass
class Recipe:
    """What a step is made of; every word is explained where it is used."""

    seed: int
    n_batch: int = 1
    n_steps: int = 2
    n_in: int = 2
    n_hidden: int = 3
    cell: str = "rnn"
    sources: Sequence[str] = ("both",)
    biases: Sequence[bool] = (True,)
    layers: int = 1
    tied: bool = False
    sequences: int = 1
    head: bool = True
    losses: Sequence[str] = ("each",)
    penalty: str = ""
    updates: Sequence[str] = ("SGD",)
    turns: bool = False
    carries: bool = False
    entries: Sequence[tuple[int, int, int]] = field(default=())


def draw(seed: int) -> Recipe:
    """The recipe of a number."""
    rng = np.random.default_rng(seed)

    def one_of(*choices: Any) -> Any:
        return choices[rng.integers(len(choices))]

    cell = one_of(*CELLS)
    n_hidden = one_of(2, 3)
    tied = bool(rng.random() < 0.2)
    return Recipe(
        seed=seed,
        n_batch=one_of(1, 1, 2, 3, 5),
        n_steps=one_of(1, 2, 2, 2, 3),
        n_in=n_hidden if tied else one_of(1, 2, 3),
        n_hidden=n_hidden,
        cell=cell,
        sources=[one_of(*SOURCES, "both") for _ in range(GATES[cell])],
        biases=[bool(rng.random() < 0.6) for _ in range(GATES[cell])],
        layers=one_of(1, 1, 1, 1, 2),
        tied=tied,
        sequences=one_of(1, 1, 2),
        head=bool(rng.random() < 0.7),
        losses=[one_of("each", "last", "bounded") for _ in range(one_of(1, 1, 1, 2, 3))],
        penalty=one_of("", "", "", "", "", "weights", "weights", "state", "state", "twice"),
        updates=[one_of(*UPDATES) for _ in range(one_of(1, 1, 1, 1, 2, 2, 3))],
        turns=bool(rng.random() < 0.5),
        carries=bool(rng.random() < 0.4),
        entries=[tuple(map(int, rng.integers(0, 30, 3))) for _ in range(rng.integers(2, 7))],
    )


class _Gate:
    """A pre-activation: of the input, the state, both, or both side by side in one product."""

    def __init__(self, weight: Callable[..., Tensor], recipe: Recipe, n_in: int, k: int) -> None:
        self.source, n = recipe.sources[k], recipe.n_hidden
        self.W = weight(n_in, n) if self.source in ("x", "both") else None
        self.U = weight(n, n) if self.source in ("h", "both") else None
        self.V = weight(n_in + n, n) if self.source == "joined" else None
        self.b = weight(1, n) if recipe.biases[k] else None

    def __call__(self, x: Any, h: Any, reset: Any = None) -> Any:
        """`reset` scales what comes of the state, as PyTorch's GRU does."""
        terms = []
        if self.W is not None:
            terms.append(x @ self.W)
        if self.U is not None:
            terms.append(h @ self.U if reset is None else reset * (h @ self.U))
        if self.V is not None:
            terms.append(ops.concat([x, h if reset is None else reset * h], axis=1) @ self.V)
        if self.b is not None:
            terms.append(self.b)
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


class _Cell:
    def __init__(self, weight: Callable[..., Tensor], recipe: Recipe, n_in: int) -> None:
        self.recipe = recipe
        self.gates = [_Gate(weight, recipe, n_in, k) for k in range(GATES[recipe.cell])]

    def __call__(self, x: Any, h: Any, c: Any) -> tuple[Any, Any]:
        return getattr(self, f"_{self.recipe.cell}")(x, h, c)  # type: ignore[no-any-return]

    def _rnn(self, x: Any, h: Any, c: Any) -> tuple[Any, Any]:
        return ops.tanh(self.gates[0](x, h)), c

    def _gru(self, x: Any, h: Any, c: Any) -> tuple[Any, Any]:
        z, r = (ops.sigmoid(gate(x, h)) for gate in self.gates[:2])
        return (1.0 - z) * ops.tanh(self.gates[2](x, r * h)) + z * h, c

    def _torch_gru(self, x: Any, h: Any, c: Any) -> tuple[Any, Any]:
        z, r = (ops.sigmoid(gate(x, h)) for gate in self.gates[:2])
        return (1.0 - z) * ops.tanh(self.gates[2](x, h, r)) + z * h, c

    def _lstm(self, x: Any, h: Any, c: Any) -> tuple[Any, Any]:
        i, f, o = (ops.sigmoid(gate(x, h)) for gate in self.gates[:3])
        c = f * c + i * ops.tanh(self.gates[3](x, h))
        return o * ops.tanh(c), c

    def _random(self, x: Any, h: Any, c: Any) -> tuple[Any, Any]:
        values = [h, c, *(gate(x, h) for gate in self.gates)]
        for what, i, j in self.recipe.entries:
            a, b = (values[-1 - n % len(values)] for n in (i, j))
            made = (
                lambda a, b: a * b,
                lambda a, b: a + b,
                lambda a, b: a - b,
                lambda a, b: ops.tanh(a) * ops.sigmoid(b),
                lambda a, b: self.gates[0](x, ops.tanh(a)),
                lambda a, b: ops.concat([a[:, :1], b[:, 1:]], axis=1),
            )[what % 6](a, b)
            values.append(made)
        return ops.tanh(values[-1] + values[2]), ops.tanh(values[-2])


class _Model:
    """The tensors of a recipe, and its passes."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.parameters = recipe, []
        self.rng = np.random.default_rng(recipe.seed + 1)
        first = _Cell(self._weight, recipe, recipe.n_in)
        self.cells = [first]
        if recipe.layers == 2:
            second = first if recipe.tied else _Cell(self._weight, recipe, recipe.n_hidden)
            self.cells.append(second)
        n = recipe.n_hidden
        self.head = (self._weight(n, 2), self._weight(1, 2)) if recipe.head else None
        shape = (recipe.n_batch, n)
        self.states = [
            [Tensor(0.3 * self.rng.normal(size=shape), constant=not recipe.penalty, name=name)
             for name in ("h", "c")]
            for _ in self.cells
        ]  # fmt: skip
        self.optimisers = [_optimiser(name, self.parameters) for name in recipe.updates]

    def _weight(self, *shape: int) -> Tensor:
        weight = Tensor(0.5 * self.rng.normal(size=shape), name=f"w{len(self.parameters)}")
        self.parameters.append(weight)
        return weight

    @property
    def tensors(self) -> list[Tensor]:
        states = [t for o in self.optimisers if o is not None for t in o.state.values()]
        return [*self.parameters, *(s for pair in self.states for s in pair), *states]

    def run(self, xs: Any) -> tuple[list[Any], list[list[Any]]]:
        """The outputs of all steps, and the states after the last."""
        now: list[list[Any]] = [list(pair) for pair in self.states]
        outputs = []
        for x in xs:
            for k, cell in enumerate(self.cells):
                now[k] = list(cell(x, *now[k]))
                x = now[k][0]
            outputs.append(x if self.head is None else x @ self.head[0] + self.head[1])
        return outputs, now

    def loss(self, what: str, outputs: Sequence[Any], targets: Any) -> Any:
        if what == "last":
            return ops.square(outputs[-1] - targets[-1][:, :1]).sum()
        total: Any = 0.0
        for y, target in zip(outputs, targets, strict=True):
            miss = y - target[:, :1]
            total = total + (ops.square(miss).mean() if what == "each" else ops.tanh(miss).sum())
        return total

    def penalised(self, loss: Any) -> Any:
        """The loss and the squares of some of its gradients; or of gradients of those."""
        penalty = self.recipe.penalty
        if not penalty:
            return loss
        states = [pair[0] for pair in self.states]
        about = states if penalty == "state" else self.parameters[:2]
        squares = _squares(autodiff.gradients(loss, about))
        if penalty == "twice":
            squares = squares + 0.01 * _squares(autodiff.gradients(squares, about))
        return loss + 0.1 * squares

    def step(self, sequences: Any, targets: Any) -> Any:
        recipe, results = self.recipe, []
        now: Any = None
        for number, (name, optimiser) in enumerate(
            zip(recipe.updates, self.optimisers, strict=True)
        ):
            total: Any = 0.0
            for k, xs in enumerate(sequences):
                outputs, now = self.run(xs)
                kinds = recipe.losses
                if recipe.turns:  # each update follows a loss of its own
                    kinds = [kinds[number % len(kinds)]]
                for kind in kinds:
                    total = total + self.loss(kind, outputs, targets) * (1.0 - 0.3 * k)
            loss = self.penalised(total)
            autodiff.backward(loss)
            results.append(loss)
            self.update(name, optimiser)
        if recipe.carries:
            for pair, last in zip(self.states, now, strict=True):
                for state, value in zip(pair, last, strict=True):
                    state.assign(value)
        return [*results, now[-1][0]]

    def update(self, name: str, optimiser: Any) -> None:
        if optimiser is not None:
            optimiser.step()
        else:
            for p in self.parameters:
                if p.has_gradient:
                    p.assign(p.value - 0.05 * p.gradient)
        for tensor in (*self.parameters, *(s for pair in self.states for s in pair)):
            tensor.reset()


def _squares(gradients: Sequence[Any]) -> Any:
    total: Any = 0.0
    for g in gradients:
        total = total + ops.square(g).sum()
    return total


def _optimiser(name: str, parameters: Sequence[Tensor]) -> Any:
    if name == "by hand":
        return None
    if name == "clipped":
        return optim.SGD(parameters, 0.05, clip=1.0, skip_missing=True)
    # A gradient that cancels is noise, which a small epsilon would make a step of.
    more = {"epsilon": 1e-3} if name in ("Adam", "RMSprop") else {}
    return getattr(optim, name)(parameters, 0.01, skip_missing=True, **more)


def builder(recipe: Recipe) -> Builder:
    """Makes the step anew, with the same numbers."""

    def build() -> Any:
        model = _Model(recipe)
        return model.step, model.tensors

    return build


def calls(recipe: Recipe) -> list[tuple[Any, ...]]:
    """The arguments of two calls."""
    rng = np.random.default_rng(recipe.seed + 2)
    shape = (recipe.n_steps, recipe.n_batch)
    return [
        (
            [rng.normal(size=(*shape, recipe.n_in)) for _ in range(recipe.sequences)],
            rng.normal(size=(*shape, 1)),
        )
        for _ in range(2)
    ]
