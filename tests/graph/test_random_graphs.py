"""A machine that builds random graphs next to the naive scalar engine, and compares."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import autodiff
from autodiff import Node, Tensor
from autodiff.errors import BackwardTwiceError, GradientError, StaleValueError
from autodiff.graph.order import ancestors, reached

UNARY: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "negative": (autodiff.negative, lambda x: -x),
    "square": (autodiff.square, lambda x: x * x),
    "tanh": (autodiff.tanh, np.tanh),
    "exp": (lambda x: autodiff.exp(autodiff.tanh(x)), lambda x: np.exp(np.tanh(x))),
    "sin": (autodiff.sin, np.sin),
    "twice": (lambda x: x + x, lambda x: x + x),
    "scaled": (lambda x: 1.0 - 0.5 * x, lambda x: 1.0 - 0.5 * x),
    "sum": (lambda x: x.sum(), np.sum),
    "column sums": (lambda x: x.sum(axis=0, keepdims=True), lambda x: x.sum(0, keepdims=True)),
    "mean": (lambda x: x.mean(axis=-1), lambda x: x.mean(-1)),
    "flat": (lambda x: x.reshape(-1), lambda x: x.reshape(-1)),
    "transposed": (lambda x: x.T, lambda x: x.T),
    "last first": (lambda x: x[..., ::-1], lambda x: x[..., ::-1]),
    "first": (lambda x: x[0], lambda x: x[0]),
    "doubled": (lambda x: autodiff.concat([x, x * 2.0]), lambda x: np.concatenate([x, x * 2], -1)),
    "rows": (lambda x: autodiff.take(x, [0, 0, -1]), lambda x: x[[0, 0, -1]]),
}
BINARY: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "add": (lambda x, y: x + y, lambda x, y: x + y),
    "subtract": (lambda x, y: x - y, lambda x, y: x - y),
    "multiply": (lambda x, y: x * y, lambda x, y: x * y),
    "divide": (
        lambda x, y: x / autodiff.exp(autodiff.tanh(y)),
        lambda x, y: x / np.exp(np.tanh(y)),
    ),
    "matmul": (lambda x, y: x @ y, lambda x, y: x @ y),
    "outer": (lambda x, y: x.reshape(-1, 1) * y, lambda x, y: x.reshape(-1, 1) * y),
    "joined": (lambda x, y: autodiff.concat([x, y], 0), lambda x, y: np.concatenate([x, y], 0)),
}
SHAPES = [(), (1,), (3,), (1, 3), (2, 1), (2, 3), (3, 2)]
MAX_SIZE, MAX_NODES = 12, 12


class Pair:
    """A node, and how the naive engine computes the same."""

    def __init__(self, node: Node, recipe: Callable[..., Any], inputs: list[Pair]) -> None:
        self.node, self.recipe, self.inputs = node, recipe, inputs


class RandomGraphs(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.pairs: list[Pair] = []
        self.add_tensor((2, 3), False)
        self.add_tensor((3,), False)

    def draw(self, shape: Any) -> np.ndarray:
        return np.array(self.random.uniform(-1.0, 1.0, shape))

    def pick(self, number: int) -> Pair:
        return self.pairs[number % len(self.pairs)]

    # ---- building -----------------------------------------------------------------------

    @precondition(lambda self: len(self.pairs) < MAX_NODES)
    @rule(shape=st.sampled_from(SHAPES), constant=st.booleans())
    def add_tensor(self, shape: Any, constant: bool) -> None:
        node = Tensor(self.draw(shape), constant=constant)
        self.pairs.append(Pair(node, lambda: naive.scalars(node.value), []))

    def add(self, ours: Any, theirs: Any, inputs: list[Pair]) -> None:
        try:
            plain = theirs(*[np.ones(p.node.shape) for p in inputs])
            node = ours(*[p.node for p in inputs])
        except (ValueError, IndexError):  # shapes that do not fit
            assume(False)
        assume(0 < np.size(plain) <= MAX_SIZE)
        if any(p.node is node for p in self.pairs):
            return  # e.g. reshaped to the shape it has
        self.pairs.append(Pair(node, theirs, inputs))
        if np.max(np.abs(self.naive_values()[-1])) > 100.0:
            self.pairs.pop()

    @precondition(lambda self: len(self.pairs) < MAX_NODES)
    @rule(name=st.sampled_from(sorted(UNARY)), x=st.integers(0, 99))
    def apply_one(self, name: str, x: int) -> None:
        self.add(*UNARY[name], [self.pick(x)])

    @precondition(lambda self: len(self.pairs) < MAX_NODES)
    @rule(name=st.sampled_from(sorted(BINARY)), x=st.integers(0, 99), y=st.integers(0, 99))
    def apply_two(self, name: str, x: int, y: int) -> None:
        self.add(*BINARY[name], [self.pick(x), self.pick(y)])

    @precondition(lambda self: len(self.pairs) > 3)
    @rule()
    def drop(self) -> None:
        self.pairs.pop()  # nothing reads the last one

    # ---- the naive engine ---------------------------------------------------------------

    def naive_arrays(self) -> list[np.ndarray]:
        made: dict[Pair, np.ndarray] = {}
        for pair in self.pairs:
            array = np.asarray(pair.recipe(*[made[p] for p in pair.inputs]), object)
            made[pair] = naive.own(array)  # a slice would else share its Scalars with the whole
        return list(made.values())

    def naive_values(self) -> list[np.ndarray]:
        return [naive.values(a) for a in self.naive_arrays()]

    def check_gradients(self, seeds: dict[int, np.ndarray]) -> None:
        arrays = self.naive_arrays()
        start: dict[Any, float] = {}
        for i, g in seeds.items():
            for z, n in zip(arrays[i].flat, g.flat, strict=True):
                start[z] = start.get(z, 0.0) + n
        total = naive.gradients(start)
        for pair, array in zip(self.pairs, arrays, strict=True):
            if not pair.node.has_gradient:
                continue
            expected = np.vectorize(lambda s: total.get(s, 0.0), otypes=[float])(array)
            scale = max(1.0, float(np.max(np.abs(expected))))
            actual = pair.node.gradient
            np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12 * scale)

    # ---- values -------------------------------------------------------------------------

    @rule(x=st.integers(0, 99))
    def forward(self, x: int) -> None:
        pair = self.pick(x)
        expected = self.naive_values()[self.pairs.index(pair)]
        np.testing.assert_allclose(pair.node.forward(), expected, rtol=1e-12, atol=1e-12)
        assert pair.node.shape == expected.shape

    @rule(x=st.integers(0, 99))
    def assign(self, x: int) -> None:
        node = self.pick(x).node
        if isinstance(node, Tensor):
            node.assign(self.draw(node.shape))

    def forward_all(self) -> None:
        for pair in self.pairs:
            pair.node.forward()

    # ---- passes -------------------------------------------------------------------------

    def seeds(self, chosen: set[int]) -> dict[int, np.ndarray]:
        indices = {i % len(self.pairs) for i in chosen}
        return {
            i: self.draw(self.pairs[i].node.shape)
            for i in indices
            if self.pairs[i].node.needs_gradient
        }

    def reached(self, seeds: Any) -> set[int]:
        nodes = [self.pairs[i].node for i in seeds]
        below = set(ancestors(nodes, lambda n: n.needs_gradient))
        return {i for i, p in enumerate(self.pairs) if p.node in below}

    @rule(chosen=st.sets(st.integers(0, 99), min_size=1, max_size=3), fresh=st.booleans())
    def one_pass(self, chosen: set[int], fresh: bool) -> None:
        """autodiff.backward from several outputs; from stale values it must refuse."""
        seeds = self.seeds(chosen)
        nodes = [p.node for p in self.pairs]
        autodiff.reset(*nodes)
        if fresh:
            self.forward_all()
        arguments = {nodes[i]: g for i, g in seeds.items()}
        try:
            autodiff.backward(arguments)
        except StaleValueError:
            assert not fresh
            assert not any(node.has_gradient for node in nodes)
            return
        reached = self.reached(seeds)
        for i, node in enumerate(nodes):
            assert node.has_gradient == (i in reached and not self.stopped(seeds, i))
        self.check_gradients(seeds)
        if arguments:
            before = [n.gradient.copy() if n.has_gradient else None for n in nodes]
            with pytest.raises(BackwardTwiceError):
                autodiff.backward(arguments)
            for node, g in zip(nodes, before, strict=True):
                assert (g is None) == (not node.has_gradient)
                if g is not None:
                    np.testing.assert_array_equal(node.gradient, g)

    def stopped(self, seeds: Any, i: int) -> bool:
        """Whether no way of wanted edges leads from the seeds to node i."""
        _, counts = reached([self.pairs[k].node for k in seeds])
        return self.pairs[i].node not in counts

    @rule(chosen=st.sets(st.integers(0, 99), min_size=1, max_size=3), steps=st.integers(1, 3))
    def training(self, chosen: set[int], steps: int) -> None:
        """Steps that assign every tensor need no reset."""
        nodes = [p.node for p in self.pairs]
        for _ in range(steps):
            for node in nodes:
                if isinstance(node, Tensor):
                    node.assign(self.draw(node.shape))
            seeds = self.seeds(chosen)
            self.forward_all()
            assert not any(node.has_gradient for node in nodes if node.op is not None)
            for node in nodes:
                if isinstance(node, Tensor):
                    node.reset()  # only so that old gradients are not compared
            autodiff.backward({nodes[i]: g for i, g in seeds.items()})
            self.check_gradients(seeds)

    @rule(order=st.randoms(use_true_random=False), extra=st.integers(0, 99))
    def piece_by_piece(self, order: Any, extra: int) -> None:
        """node.backward: everybody waits for all that read it, and for announced senders."""
        nodes = [p.node for p in self.pairs]
        autodiff.reset(*nodes)
        self.forward_all()
        # Inner nodes that no pair names are read by others only; the ends are the pairs'.
        ends = [i for i, n in enumerate(nodes) if n.needs_gradient and not n.uses(wanted=True)]
        inner = [i for i, n in enumerate(nodes) if n.needs_gradient and n.uses(wanted=True)]
        sends: list[tuple[int, str | None]] = [(i, None) for i in ends]
        if inner:
            outside = inner[extra % len(inner)]
            nodes[outside].register("loss")
            sends.append((outside, "loss"))
        order.shuffle(sends)
        seeds: dict[int, np.ndarray] = {}
        sources = [self.above(node, [s for s, _ in sends]) for node in nodes]
        for i, sender in sends:
            g = self.draw(nodes[i].shape)
            nodes[i].backward(g, sender=sender)
            seeds[i] = g
            for node, needed in zip(nodes, sources, strict=True):
                if node.needs_gradient:
                    assert node.has_gradient == (bool(needed) and needed <= set(seeds))
                    assert node.has_gradient == (node.awaited == 0)
            self.check_gradients(seeds)
        for i, sender in sends:
            with pytest.raises(BackwardTwiceError):
                nodes[i].backward(self.draw(nodes[i].shape), sender=sender)
        self.check_gradients(seeds)
        if inner:
            del nodes[outside].announced["loss"]
            nodes[outside].reset()

    def above(self, node: Node, sending: list[int]) -> set[int]:
        """Those of `sending` whose gradient comes to `node`."""
        return {i for i in sending if node in reached([self.pairs[i].node])[1]}

    @rule(x=st.integers(0, 99))
    def gradients_as_nodes(self, x: int) -> None:
        pair = self.pick(x)
        tensors = [
            p.node for p in self.pairs if isinstance(p.node, Tensor) and p.node.needs_gradient
        ]
        as_nodes = autodiff.gradients(pair.node, tensors)
        nodes = [p.node for p in self.pairs]
        autodiff.reset(*nodes)
        pair.node.forward()
        try:
            autodiff.backward({pair.node: np.ones(pair.node.shape)})
        except GradientError:
            assert not pair.node.needs_gradient
        for tensor, g in zip(tensors, as_nodes, strict=True):
            expected = tensor.gradient if tensor.has_gradient else np.zeros(tensor.shape)
            np.testing.assert_allclose(g.forward(), expected, rtol=1e-12, atol=1e-12)
        del as_nodes, g

    @invariant()
    def names_are_unique(self) -> None:
        nodes = ancestors(p.node for p in self.pairs)
        assert len({node.name for node in nodes}) == len(nodes)


TestRandomGraphs = RandomGraphs.TestCase
TestRandomGraphs.settings = settings(stateful_step_count=25)


def test_the_naive_engine_by_its_own_example() -> None:
    assert doctest.testmod(naive).failed == 0


def test_the_naive_engine_against_hand_computed_slopes() -> None:
    x, y = naive.Scalar(0.5), naive.Scalar(2.0)
    z = np.tanh(x * y) / y - np.exp(x)  # type: ignore[call-overload]
    gradient = naive.gradients({z: 1.0})
    slope = 1 - np.tanh(1.0) ** 2
    assert gradient[x] == pytest.approx(slope - np.exp(0.5), rel=1e-14)
    assert gradient[y] == pytest.approx(slope * 0.25 - np.tanh(1.0) / 4, rel=1e-14)
