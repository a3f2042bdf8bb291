"""Arrays without elements: every op of the table, eagerly, recorded, compiled and in scans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from compare import ON_AND_OFF, Builder, check

import autodiff
from autodiff import Tensor, ops
from autodiff.backend import get_backend
from autodiff.errors import ShapeError
from autodiff.graph.node import Node
from autodiff.op import OPS, BoundOp
from autodiff.ops.index import normalise_index

Shape = tuple[int, ...]

ONE = [(0,), (0, 3), (3, 0), (2, 0, 3), (2, 0, 3, 0), (0, 1), (2, 3, 0, 1, 4)]
PAIRS = [
    *((shape, shape) for shape in ONE),
    ((0, 3), (1, 3)), ((0, 3), (3,)), ((0, 3), ()), ((0, 3), (0, 1)), ((2, 0), (2, 1)),
    ((0, 1), (1, 0)), ((1,), (0,)), ((4, 0, 3), (1, 3)), ((2, 1, 0), (5, 1)),
]  # fmt: skip


def index(shape: Shape, at: Any) -> dict[str, Any]:
    return {"index": normalise_index(shape, at)}


REDUCED = [
    ((0,), (0,)), ((0, 3), (0,)), ((0, 3), (1,)), ((3, 0), (0,)), ((3, 0), (1,)),
    ((2, 0, 3), (0,)), ((2, 0, 3), (1,)), ((2, 0, 3), (0, 2)), ((5, 0, 0), (2,)),
    ((5, 0, 0), (0,)), ((5, 0, 0), (1, 2)), ((0, 4, 2, 3), (1, 3)), ((0, 3), (0, 1)), ((0, 3), ()),
]  # fmt: skip


def over_axes(name: str, identity: bool) -> list[tuple[str, list[Shape], dict[str, Any]]]:
    """Reductions; those without an identity only where there is nothing to produce."""
    keeps = [{}] if name.endswith("softmax") else [{"keepdims": False}, {"keepdims": True}]
    return [
        (name, [shape], {"axis": axis, **keep})
        for shape, axis in REDUCED
        for keep in keeps
        if identity or 0 in np.delete(shape, axis)
    ]


CASES: list[tuple[str, list[Shape], dict[str, Any]]] = [
    *over_axes("sum", True),
    *(
        case
        for name in ("mean", "max", "logsumexp", "softmax", "log_softmax")
        for case in over_axes(name, False)
    ),
    ("matmul", [(0, 3), (3, 2)], {}),
    ("matmul", [(2, 0), (0, 3)], {}),
    ("matmul", [(2, 3), (3, 0)], {}),
    ("matmul", [(0, 0), (0, 0)], {}),
    ("matmul", [(0, 2, 3), (3, 2)], {}),
    ("matmul", [(4, 0, 3), (3, 2)], {}),
    ("matmul", [(4, 2, 0), (0, 5)], {}),
    ("matmul", [(4, 1, 2, 0), (3, 0, 5)], {}),
    ("reshape", [(0, 3)], {"shape": (3, 0)}),
    ("reshape", [(0, 3)], {"shape": (0,)}),
    ("reshape", [(2, 0, 3)], {"shape": (5, 1, 0, 7)}),
    ("transpose", [(0, 3)], {"axes": (1, 0)}),
    ("transpose", [(2, 0, 3)], {"axes": (2, 0, 1)}),
    ("broadcast_to", [(0, 1)], {"shape": (2, 0, 3)}),
    ("broadcast_to", [(1, 3)], {"shape": (0, 3)}),
    ("broadcast_to", [()], {"shape": (0,)}),
    ("concat", [(0, 3), (0, 3)], {"axis": 0}),
    ("concat", [(0, 3), (2, 3), (0, 3)], {"axis": 0}),
    ("concat", [(2, 3), (2, 0), (2, 1)], {"axis": 1}),
    ("concat", [(0, 3), (0, 2)], {"axis": 1}),
    ("concat", [(2, 0, 3), (2, 0, 3)], {"axis": 2}),
    *(
        ("getitem", [shape], index(shape, at))
        for shape, at in [
            ((0, 3), np.s_[:, 2:]), ((0, 3), np.s_[:, 1]), ((0, 3), np.s_[:, ::-1]),
            ((3, 0), np.s_[2]), ((3, 0), np.s_[1:]), ((3, 0), np.s_[::-1]), ((3, 0), np.s_[2, :]),
            ((4, 0, 3), np.s_[3, ..., 1:]), ((3, 4), np.s_[3:]), ((3, 4), np.s_[:, 4:]),
            ((3, 4), np.s_[2:1, 3]), ((0, 3), np.s_[None, :, 2:]), ((5,), np.s_[5:]),
            ((0, 4, 2, 3, 5), np.s_[::-1, 1:, ::-1, 1, ::2]),
        ]
    ),
    *(
        ("scatter_slice", [shape], {**index(whole, at), "shape": whole})
        for shape, whole, at in [
            ((0, 4), (3, 4), np.s_[3:]), ((3, 0), (3, 4), np.s_[:, 4:]), ((0,), (5,), np.s_[5:]),
            ((0, 1), (0, 3), np.s_[:, 2:]), ((0,), (3, 0), np.s_[2]), ((0,), (0, 3), np.s_[:, 1]),
            ((2, 0, 3), (2, 5, 4), np.s_[:, 4:2, 1:]), ((0, 3), (0, 3), np.s_[::-1]),
            ((0,), (4,), np.s_[3:1]),
        ]
    ),
    ("take", [(3, 0), (2,)], {}),
    ("take", [(3, 2), (0,)], {}),
    ("take", [(3, 2), (0, 2)], {}),
    ("take", [(0, 2), (0,)], {}),
    ("scatter_rows", [(2, 0), (2,)], {"n_rows": 3}),
    ("scatter_rows", [(0, 2), (0,)], {"n_rows": 3}),
    ("scatter_rows", [(0, 2), (0,)], {"n_rows": 0}),
]  # fmt: skip

ROWS = {"take", "scatter_rows"}  # their last operand is row numbers


def elementwise() -> list[tuple[str, list[Shape], dict[str, Any]]]:
    cases = []
    for name, op in OPS.items():
        if not op.elementwise:
            continue
        attributes = op.examples[0].attributes
        for shapes in PAIRS if len(op.inputs) > 1 else [(shape,) for shape in ONE]:
            more = (shapes[0],) * (len(op.inputs) - len(shapes))
            cases.append((name, [*shapes, *more], attributes))
    return cases


def bound(name: str, attributes: dict[str, Any]) -> BoundOp:
    return OPS[name].bind(**attributes)


def drawn(name: str, shapes: Sequence[Shape]) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    arrays = [rng.uniform(0.5, 1.0, shape) for shape in shapes]
    if name in ROWS:
        arrays[-1] = np.zeros(shapes[-1])
    return arrays


def identifier(case: tuple[str, list[Shape], dict[str, Any]]) -> str:
    name, shapes, attributes = case
    given = "".join(f" {key}={value}" for key, value in attributes.items())
    return f"{name} {shapes}{given}".replace(" ", "_")


EVERYTHING = [*elementwise(), *CASES]


def test_every_op_has_a_case() -> None:
    missing = set(OPS) - {name for name, *_ in EVERYTHING}
    assert not missing, f"CASES must say what {sorted(missing)} do without elements"


def builder(op: BoundOp, shapes: Sequence[Shape]) -> Builder:
    """A step that takes the operands, and returns the op's value and its gradients.

    What it is applied to, and what follows, is computed: views and joins of it are the program's.
    """

    def build() -> Any:
        tensors = [
            Tensor(np.zeros(shape), constant=op.op.rule(i) is None)
            for i, shape in enumerate(shapes)
        ]

        def step(inputs: Any, seed: Any) -> Any:
            for tensor, x in zip(tensors, inputs, strict=True):
                tensor.assign(x)
            z = Node(op, [t if t.constant else t * 1.5 for t in tensors])
            loss = (z * seed).sum()
            if not loss.needs_gradient:
                return z, loss
            loss.backward()
            return z, loss, [t.gradient for t in tensors if not t.constant]

        return step, tensors

    return build


@pytest.mark.parametrize("case", EVERYTHING, ids=identifier)
def test_ops(case: tuple[str, list[Shape], dict[str, Any]]) -> None:
    name, shapes, attributes = case
    op, inputs = bound(name, attributes), drawn(name, shapes)
    z = get_backend("reference").forward(op, inputs)
    assert z.shape == op.shape(*shapes)
    calls = [(inputs, np.full(z.shape, 1.0 + k)) for k in range(2)]
    check(builder(op, shapes), *calls, variants=ON_AND_OFF)


@pytest.mark.parametrize("case", EVERYTHING, ids=identifier)
def test_ops_on_each_back_end(case: tuple[str, list[Shape], dict[str, Any]], backend: Any) -> None:
    name, shapes, attributes = case
    op, inputs = bound(name, attributes), drawn(name, shapes)
    z = backend.forward(op, inputs)
    needed = [op.op.rule(i) is not None for i in range(len(inputs))]
    gradients = backend.backward(op, np.ones(z.shape), z, inputs, needed)
    wanted = get_backend("reference").forward(op, inputs)
    assert z.shape == op.shape(*shapes)
    np.testing.assert_allclose(z, wanted, rtol=1e-14)
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
