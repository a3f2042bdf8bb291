"""Arrays without elements: every op of the table, eagerly, recorded, compiled and in scans."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from compare import ON_AND_OFF, Builder, check
from table import OF_THE_LIBRARY, differentiable, of_each, parts

import autodiff
from autodiff import Tensor, ops
from autodiff.backend import Backend, get_backend
from autodiff.errors import ShapeError
from autodiff.op import OPS, BoundOp, Example, Op

Shape = tuple[int, ...]


@pytest.fixture
def backend(either_backend: Backend) -> Backend:
    """What is asked here does not depend on the instruction set."""
    return either_backend


ONE = [(0,), (0, 3), (3, 0), (2, 0, 3), (2, 0, 3, 0), (0, 1), (2, 3, 0, 1, 4)]
PAIRS = [
    *((shape, shape) for shape in ONE),
    ((0, 3), (1, 3)), ((0, 3), (3,)), ((0, 3), ()), ((0, 3), (0, 1)), ((2, 0), (2, 1)),
    ((0, 1), (1, 0)), ((1,), (0,)), ((4, 0, 3), (1, 3)), ((2, 1, 0), (5, 1)),
]  # fmt: skip


REDUCED = [
    ((0,), (0,)), ((0, 3), (0,)), ((0, 3), (1,)), ((3, 0), (0,)), ((3, 0), (1,)),
    ((2, 0, 3), (0,)), ((2, 0, 3), (1,)), ((2, 0, 3), (0, 2)), ((5, 0, 0), (2,)),
    ((5, 0, 0), (0,)), ((5, 0, 0), (1, 2)), ((0, 4, 2, 3), (1, 3)), ((0, 3), (0, 1)), ((0, 3), ()),
]  # fmt: skip


def elementwise(op: Op) -> list[Example]:
    """An elementwise op with operands of many shapes, else as in its first example."""
    first, examples = op.examples[0], []
    for shapes in PAIRS if len(op.inputs) > 1 else [(shape,) for shape in ONE]:
        all_shapes = [*shapes, *[shapes[0]] * (len(op.inputs) - len(shapes))]
        samples = tuple(
            dataclasses.replace(x, shape=s) for x, s in zip(first.samples, all_shapes, strict=True)
        )
        examples.append(Example(samples, first.attributes))
    return examples


CASES = [
    (op, example)
    for op in OPS.values()
    for example in [*(elementwise(op) if op.elementwise else ()), *op.empty]
]


def identifier(case: Any) -> str:
    if isinstance(case, Op):
        return case.name
    given = "".join(f" {key}={value}" for key, value in case.attributes.items())
    return f"{[s.shape for s in case.samples]}{given}".replace(" ", "_")


def test_every_op_of_the_library_has_a_case() -> None:
    missing = {op.name for op in OF_THE_LIBRARY} - {op.name for op, _ in CASES}
    assert not missing, f"`empty` must say what {sorted(missing)} do without elements"


def builder(op: BoundOp, shapes: Sequence[Shape]) -> Builder:
    """A step that takes the operands, and returns the op's value and its gradients.

    What it is applied to, and what follows, is computed: views and joins of it are the program's.
    """

    def build() -> Any:
        tensors = [
            Tensor(np.zeros(shape), constant=not differentiable(op.op, i))
            for i, shape in enumerate(shapes)
        ]

        def step(inputs: Any, seed: Any) -> Any:
            for tensor, x in zip(tensors, inputs, strict=True):
                tensor.assign(x)
            operands = [t if t.constant else t * 1.5 for t in tensors]
            z = tensors[0].__autodiff_apply__(op, operands)
            loss = sum((x * s).sum() for x, s in zip(parts(z), parts(seed), strict=True))
            if not loss.needs_gradient:
                return z, loss
            loss.backward()
            return z, loss, [t.gradient for t in tensors if not t.constant]

        return step, tensors

    return build


@pytest.mark.parametrize(("op", "example"), CASES, ids=identifier)
def test_ops(op: Op, example: Example, rng: np.random.Generator) -> None:
    bound, inputs = op.bind(**example.attributes), example.draw(rng)
    z = get_backend("reference").forward(bound, inputs)
    shapes = [x.shape for x in inputs]
    assert of_each(lambda x: x.shape, z) == bound.shape(*shapes)
    calls = [(inputs, of_each(lambda x, k=k: np.full(x.shape, 1.0 + k), z)) for k in range(2)]
    check(builder(bound, shapes), *calls, variants=ON_AND_OFF)


@pytest.mark.parametrize(("op", "example"), CASES, ids=identifier)
def test_ops_on_each_back_end(
    op: Op, example: Example, backend: Any, rng: np.random.Generator
) -> None:
    bound, inputs = op.bind(**example.attributes), example.draw(rng)
    z = backend.forward(bound, inputs)
    needed = [differentiable(op, i) for i in range(len(inputs))]
    ones = of_each(lambda x: np.ones(x.shape), z)
    gradients = backend.backward(bound, ones, z, inputs, needed)
    wanted = get_backend("reference").forward(bound, inputs)
    assert of_each(lambda x: x.shape, z) == bound.shape(*[x.shape for x in inputs])
    for found, expected in zip(parts(z), parts(wanted), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)
    for g, x, used in zip(gradients, inputs, needed, strict=True):
        assert g is None if not used else g.shape == x.shape


STEPS: list[tuple[str, Callable[[Any], Any], Shape]] = [
    ("sum of columns beyond", lambda x: ops.sum(x[:, 2:]), (0, 3)),
    ("columns backwards", lambda x: x[:, ::-1] * 2, (0, 3)),
    ("softmax of columns", lambda x: ops.softmax(x[:, 1:]), (0, 3)),
    ("logsumexp of columns", lambda x: ops.logsumexp(x[:, 1:], axis=1), (0, 3)),
    ("product of columns", lambda x: x[:, 1:] @ np.ones((2, 2)), (0, 3)),
    ("product of rows", lambda x: x[:, 1:].T @ x, (0, 3)),
    ("transposed product", lambda x: np.ones((2, 3)) @ x[::-1].T, (0, 3)),
    ("joined columns", lambda x: ops.concat([x[:, 2:], x[:, :1] + 1, x[:, 1:2]], axis=1), (0, 3)),
    ("joined rows", lambda x: ops.concat([x, np.ones((2, 3)), x * 2], axis=0), (0, 3)),
    ("stacked", lambda x: ops.stack([x, x + 1.0]), (0, 3)),
    ("rows of rows", lambda x: [ops.tanh(row[1:]) for row in x[:, ::-1]], (4, 0)),
    ("rows beyond", lambda x: ops.take(x[:, 1:], np.zeros(0)), (2, 3)),
    ("rows without elements", lambda x: ops.take(x[:, 3:], np.array([1.0, 0.0])), (2, 3)),
    ("parts", lambda x: ops.split(x, [0, 2, 3], axis=1), (2, 3)),
    ("the same of all parts", lambda x: [ops.tanh(y) for y in ops.split(x, [0, 1])], (2, 3)),
    ("products of vectors", lambda x: [x[0, 3:] @ x[1, 3:], x[:, 3:] @ x[0, 3:]], (2, 3)),
    ("no product", lambda x: [x[2:] @ x[0], x[:, 0] @ x[:, 3:]], (2, 3)),
    ("sums of products", lambda x: sum(ops.sum(x[t].T @ x[t]) for t in range(3)), (3, 0, 2)),
    ("sums of rows", lambda x: sum(ops.sum(x[t], axis=0) for t in range(3)), (3, 0, 2)),
]


@pytest.mark.parametrize(("function", "shape"), [s[1:] for s in STEPS], ids=[s[0] for s in STEPS])
def test_steps(function: Callable[[Any], Any], shape: Shape) -> None:
    """With gradients, and with the array as argument, as computed, and as a tensor."""

    def build() -> Any:
        w = Tensor(np.ones(shape))

        def step(x: Any) -> Any:
            w.assign(w.value * 0.5)
            results = [function(x), function(ops.tanh(w * 2.0)), function(w)]
            loss: Any = 0.0
            for y in (y for r in results for y in (r if isinstance(r, list) else [r])):
                loss = loss + ops.sum(ops.sin(y))
            autodiff.backward(loss)
            return results, loss, w.gradient

        return step, [w]

    x = np.linspace(0.0, 1.0, int(np.prod(shape))).reshape(shape)
    check(build, (x,), (x + 1.0,))


@pytest.mark.parametrize(
    "function", [ops.max, ops.mean, ops.logsumexp, ops.softmax, ops.log_softmax]
)
def test_nothing_to_reduce_is_refused_only_if_there_is_something_to_produce(
    function: Callable[..., Any],
) -> None:
    for shape, axis in REDUCED:
        if any(shape[a] == 0 for a in axis) and 0 not in np.delete(shape, axis):
            with pytest.raises(ShapeError, match="nothing to reduce"):
                function(Tensor(np.zeros(shape)), axis)
        else:
            z = function(np.zeros(shape), axis)
            assert z.size == 0
            np.testing.assert_equal(function(Tensor(np.zeros(shape)), axis).value, z)
            compiled = autodiff.compile(lambda x, axis=axis: function(x, axis))
            np.testing.assert_equal(compiled(np.zeros(shape)), z)
