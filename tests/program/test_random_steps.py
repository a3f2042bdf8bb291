"""Random steps: shared nodes, views, joins, products, reductions, assignments in any order.

A step is a list of small numbers; each entry picks what to do and with which of the values so far.
So a failure shrinks to a short list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from compare import EACH_OFF, ON_AND_OFF, Builder, check
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff
from autodiff import Tensor, ops
from autodiff.graph.node import Node
from autodiff.program.passes import PASSES

Entry = tuple[int, int, int, int]

TENSORS = {"a": (3, 4), "b": (3, 4), "w": (4, 4), "bias": (1, 4), "column": (3, 1), "scale": ()}
ARGUMENTS = [(3, 4), (2, 3, 4), (4,), (0, 4), ()]
SMOOTH = ["tanh", "sigmoid", "negative", "square", "softplus", "sin", "cos", "expm1"]
KINKED = ["relu", "abs", "sign"]
BINARY = ["add", "subtract", "multiply", "add", "multiply"]
CHOICES = [ops.greater, ops.maximum, ops.minimum, ops.equal, ops.greater_equal]


class Writer:
    """Carries out the entries of one step."""

    def __init__(self, tensors: Sequence[Tensor], arguments: Sequence[Any], rows: Any) -> None:
        self.tensors = list(tensors)
        self.leaves = [*tensors, *arguments]
        self.values: list[Any] = [*self.leaves, np.linspace(-1.0, 1.0, 12).reshape(3, 4), 0.5]
        self.rows = rows
        self.results: list[Any] = []

    def run(self, entries: Sequence[Entry]) -> list[Any]:
        for what, *numbers in entries:
            made = self.ACTIONS[what % len(self.ACTIONS)](self, *numbers)
            if made is not None:
                self.values.append(made)
        return [*self.results, *self.values[-3:]]

    def pick(self, number: int) -> Any:
        # Mostly of the newest values, so that the steps become deep.
        return self.values[-1 - number % len(self.values)]

    def smooth(self, i: int, j: int, k: int) -> Any:
        return getattr(ops, SMOOTH[j % len(SMOOTH)])(ops.tanh(self.pick(i)))

    def kinked(self, i: int, j: int, k: int) -> Any:
        return getattr(ops, KINKED[j % len(KINKED)])(self.leaves[i % len(self.leaves)])

    def choice(self, i: int, j: int, k: int) -> Any:
        x, y = (self.leaves[n % len(self.leaves)] for n in (i, j))
        if not broadcast(x, y):
            return None
        return CHOICES[k % len(CHOICES)](x, y)

    def binary(self, i: int, j: int, k: int) -> Any:
        x, y = self.pick(i), self.pick(j)
        if not broadcast(x, y):
            return None
        return getattr(ops, BINARY[k % len(BINARY)])(x, y)

    def where(self, i: int, j: int, k: int) -> Any:
        x, y, condition = self.pick(i), self.pick(j), self.leaves[k % len(self.leaves)]
        if not broadcast(x, y) or not broadcast(np.zeros(shape_of(x, y)), condition):
            return None
        return ops.where(ops.greater(condition, 0.1), x, y)

    def matmul(self, i: int, j: int, k: int) -> Any:
        x, y = self.pick(i), self.pick(j)
        if np.ndim(x) == 0 or np.ndim(y) == 0:
            return None
        if k % 2 and np.ndim(y) > 1:
            y = ops.swapaxes(y, -1, -2)
        inner = np.shape(y)[-2 if np.ndim(y) > 1 else 0]
        if np.shape(x)[-1] != inner or not broadcast(
            np.zeros(np.shape(x)[:-2]), np.zeros(np.shape(y)[:-2])
        ):
            return None
        return 0.3 * ops.matmul(x, y)

    def move(self, i: int, j: int, k: int) -> Any:
        x = self.pick(i)
        shape = np.shape(x)
        if j % 5 == 0:
            return ops.reshape(x, (-1,))
        if j % 5 == 1:
            return ops.reshape(x, shape[::-1])
        if j % 5 == 2:
            return ops.transpose(x, np.roll(range(len(shape)), k) if shape else None)
        if j % 5 == 3:
            return ops.expand_dims(x, k % (len(shape) + 1))
        return ops.broadcast_to(x, (2, *shape)) if len(shape) < 4 else None

    def cut(self, i: int, j: int, k: int) -> Any:
        x = self.pick(i)
        if np.ndim(x) == 0:
            return None
        items = [slice(None, None, -1), slice(0, 2), 0, slice(1, None), slice(None, None, 2), -1]
        at, axis, item = [slice(None)] * np.ndim(x), k % np.ndim(x), items[j % len(items)]
        if isinstance(item, int) and np.shape(x)[axis] == 0:
            return None
        at[axis] = item
        return ops.getitem(x, tuple(at))

    def join(self, i: int, j: int, k: int) -> Any:
        x, y = self.pick(i), self.pick(j)
        if np.ndim(x) != np.ndim(y) or np.ndim(x) == 0:
            return None
        axis = k % np.ndim(x)
        if np.delete(np.shape(x), axis).tolist() != np.delete(np.shape(y), axis).tolist():
            return None
        if np.shape(x)[axis] + np.shape(y)[axis] > 30:
            return None
        return ops.concat([x, y, x] if k % 3 == 0 else [x, y], axis)

    def reduce(self, i: int, j: int, k: int) -> Any:
        x = self.pick(i)
        n = np.ndim(x)
        axis: Any = None if n == 0 else [None, 0, n - 1, tuple(range(0, n, 2))][k % 4]
        if 0 in np.shape(x):
            return ops.sum(x, axis, bool(j % 2))
        functions: list[Callable[..., Any]] = [ops.sum, ops.mean, ops.logsumexp]
        if j % 5 < 3:
            return functions[j % 5](ops.tanh(x), axis, bool(k % 3))
        return [ops.softmax, ops.log_softmax][j % 2](x, axis) if n else None

    def take(self, i: int, j: int, k: int) -> Any:
        x = self.pick(i)
        return ops.take(x, self.rows) if np.ndim(x) and np.shape(x)[0] >= 3 else None

    def assign(self, i: int, j: int, k: int) -> None:
        tensor, value = self.tensors[i % len(self.tensors)], self.pick(j)
        if np.shape(value) != tensor.shape:
            value = ops.tanh(ops.sum(value)) * np.ones(tensor.shape)
        tensor.assign(value)

    def swap(self, i: int, j: int, k: int) -> None:
        a, b = self.tensors[:2]
        old = a.value
        a.assign(b)
        b.assign(old)

    def rotate(self, i: int, j: int, k: int) -> None:
        a, b = self.tensors[:2]
        a.assign(ops.getitem(a.value, slice(None, None, -1)))
        b.assign(b.value * 0.5 + a.value)

    def read(self, i: int, j: int, k: int) -> Any:
        return self.tensors[i % len(self.tensors)].value

    def number(self, i: int, j: int, k: int) -> Any:
        x = self.pick(i)
        return x.value if isinstance(x, Node) else None

    def result(self, i: int, j: int, k: int) -> None:
        x = self.pick(i)
        self.results.append(x.value if isinstance(x, Node) else x)

    def backward(self, i: int, j: int, k: int) -> Any:
        x = self.pick(i)
        if not isinstance(x, Node) or not x.needs_gradient:
            return None
        loss = ops.sum(ops.tanh(x) * 0.7)
        loss.forward()
        loss.reset()
        loss.backward()
        self.results.append(loss)
        sent = [t.gradient for t in self.tensors if t.has_gradient]
        if j % 2:
            for t in self.tensors:
                if t.has_gradient:
                    t.assign(t.value - 0.1 * t.gradient)
        loss.reset()
        self.values += sent
        return None

    def second(self, i: int, j: int, k: int) -> Any:
        x = self.pick(i)
        if not isinstance(x, Node) or not x.needs_gradient:
            return None
        tensor = self.tensors[j % len(self.tensors)]
        return autodiff.gradients(ops.sum(ops.tanh(x)), [tensor])[0]

    ACTIONS = (
        smooth, binary, matmul, move, cut, join, reduce, backward, binary, matmul, assign, cut,
        join, take, where, kinked, choice, swap, rotate, read, number, result, second, backward,
        smooth, matmul, join,
    )  # fmt: skip


def broadcast(x: Any, y: Any) -> bool:
    try:
        return int(np.prod(shape_of(x, y))) <= 300
    except ValueError:
        return False


def shape_of(x: Any, y: Any) -> tuple[int, ...]:
    return np.broadcast_shapes(np.shape(x), np.shape(y))


def builder(entries: Sequence[Entry]) -> Builder:
    def build() -> Any:
        rng = np.random.default_rng(5)
        tensors = [Tensor(rng.normal(size=shape), name=name) for name, shape in TENSORS.items()]

        def step(arguments: Any, rows: Any) -> Any:
            return Writer(tensors, arguments, rows).run(entries)

        return step, tensors

    return build


def calls() -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(6)
    return [
        ([rng.normal(size=shape) for shape in ARGUMENTS], rng.integers(0, 3, (2,)))
        for _ in range(2)
    ]


class Cell:
    """One step of a random recurrence: rows (B, n) with weights that all steps share."""

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> None:
        self.weights = weights
        self.biases = biases

    def __call__(self, entries: Sequence[Entry], x: Any, state: Sequence[Any]) -> list[Any]:
        values = [x, *state]
        for what, i, j, k in entries:
            a, b = (values[-1 - n % len(values)] for n in (i, j))
            w, bias = self.weights[k % 3], self.biases[k % 2]
            made: list[Any] = []
            if what % 9 < 3 and a.shape[-1] == w.shape[0]:
                made = [a @ w]
            elif what % 9 == 3 and a.shape[-1] == 4:
                made = [a @ w for w in self.weights]  # gates
            elif what % 9 == 4 and a.shape[-1] == 4:
                made = [ops.tanh(a + bias)]
            elif what % 9 == 5 and a.shape == b.shape:
                made = [[ops.multiply, ops.subtract, ops.add][k % 3](a, b)]
            elif what % 9 == 6:
                made = [ops.concat([a[:, :2], b[:, -2:]], axis=1)]
            elif what % 9 == 7 and a.shape[-1] == 4:
                made = [ops.tanh(a @ self.weights[k % 3].T)]
            elif what % 9 == 8:
                made = [ops.sigmoid(a), a[:, ::-1]][k % 2 :][:1]
            values += made
        wide = [ops.tanh(v) for v in values[::-1] if v.shape == state[0].shape]
        return wide[: len(state)]


def recurrence(entries: Sequence[Entry], n_steps: int, n_batch: int, how: int) -> Builder:
    def build() -> Any:
        rng = np.random.default_rng(5)
        weights = [Tensor(0.4 * rng.normal(size=(4, 4))) for _ in range(3)]
        biases = [Tensor(0.4 * rng.normal(size=(1, 4))) for _ in range(2)]
        start = [Tensor(rng.normal(size=(n_batch, 4)), constant=True) for _ in range(2)]
        parameters = [*weights, *biases]
        cell = Cell(weights, biases)

        def step(xs: Any, targets: Any) -> Any:
            state, outputs = list(start), []
            loss: Any = 0.0
            for x, target in zip(xs, targets, strict=True):
                # Also steps that do not depend on each other: they can be batched.
                state = cell(entries, ops.add(x, 0.0), start if how % 2 else state)
                y = state[0] @ weights[0] + biases[0]
                outputs.append(y)
                loss = loss + ops.square(y - target).sum()
            autodiff.backward(loss)
            for p in parameters:
                if p.has_gradient:
                    p.assign(p.value - 0.05 * p.gradient)
                    p.reset()
            if how % 3 == 0:
                for tensor, last in zip(start, state, strict=True):
                    tensor.assign(last)
            return loss, outputs[-1], ops.concat(outputs, axis=0)

        return step, [*parameters, *start]

    return build


def recurrence_calls(n_steps: int, n_batch: int) -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(6)
    shape = (n_steps, n_batch, 4)
    return [(rng.normal(size=shape), rng.normal(size=shape)) for _ in range(2)]


numbers = st.integers(0, 30)
entries = st.lists(st.tuples(numbers, numbers, numbers, numbers), min_size=3, max_size=25)


@given(entries)
def test_random_steps(entries: list[Entry]) -> None:
    check(builder(entries), *calls(), variants=ON_AND_OFF, rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_long_random_steps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    entries = [tuple(map(int, rng.integers(0, 30, 4))) for _ in range(60)]
    check(builder(entries), *calls(), variants=EACH_OFF, rtol=1e-9)


@given(entries, st.sampled_from(EACH_OFF))
@settings(max_examples=10)
def test_random_steps_with_a_pass_off(entries: list[Entry], without: tuple[str, ...]) -> None:
    check(builder(entries), *calls(), variants=[without], rtol=1e-9)


@given(
    st.lists(st.tuples(numbers, numbers, numbers, numbers), min_size=2, max_size=8),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(0, 5),
    st.sampled_from([(), (), PASSES, *EACH_OFF]),
)
def test_random_recurrences(
    entries: list[Entry], n_steps: int, n_batch: int, how: int, without: tuple[str, ...]
) -> None:
    check(
        recurrence(entries, n_steps, n_batch, how),
        *recurrence_calls(n_steps, n_batch),
        variants=[without],
        rtol=1e-9,
    )
