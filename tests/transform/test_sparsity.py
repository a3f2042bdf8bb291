"""Sparse Jacobians and Hessians: patterns by the graph, colours, and what comes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from table import EXAMPLES

import autodiff
from autodiff import Tensor
from autodiff.apply import apply
from autodiff.errors import GradientError, RecordingError, ShapeError
from autodiff.op import Example, Op
from autodiff.transform.pattern import coloured, pattern
from autodiff.transform.sparsely import Patterns


def valley(x: Any) -> Any:
    """Rosenbrock's function: its Hessian has three diagonals."""
    return (100.0 * (x[1:] - x[:-1] ** 2.0) ** 2.0 + (1.0 - x[:-1]) ** 2.0).sum()


# ---- patterns -------------------------------------------------------------------------


@pytest.mark.parametrize(("op", "example"), EXAMPLES)
def test_patterns_miss_nothing(op: Op, example: Example, rng: np.random.Generator) -> None:
    inputs = example.draw(rng)
    for i, x in enumerate(inputs):
        if op.rule(i) is None or op.several:
            continue

        def f(x: Any, i: int = i) -> Any:
            return apply(op, [*inputs[:i], x, *inputs[i + 1 :]], example.attributes)

        leaf = Tensor(x)
        y = f(leaf)
        found = pattern(y, leaf).toarray()
        assert found.shape == (y.size, x.size)
        try:
            dense = autodiff.jacobian(f)(x).reshape(y.size, x.size)
        except GradientError as error:
            if "there is no" not in str(error):
                raise
            continue
        assert not np.any((dense != 0.0) & (found == 0))
        if op.elementwise:
            assert found.sum(axis=1).max(initial=0) <= 1
        if op.moves and not op.variadic:
            assert found.sum() <= y.size


def test_colours_share_no_column(rng: np.random.Generator) -> None:
    for density in (0.0, 0.05, 0.3, 1.0):
        rows = sparse.random(40, 30, density, format="csr", random_state=rng)
        rows.data[:] = 1.0
        colours = coloured(rows)
        for colour in range(colours.max() + 1):
            assert rows[colours == colour].sum(axis=0).max() <= 1.0
    diagonals = sparse.diags([1.0, 1.0, 1.0], [-1, 0, 1], shape=(1000, 1000), format="csr")
    assert coloured(diagonals).max() + 1 == 3


# ---- Hessians -------------------------------------------------------------------------


def test_a_hessian_with_three_diagonals_takes_three_rows(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    of = Patterns.of

    def watched(self: Any, call: Any, y: Any) -> Any:
        found = of(self, call, y)
        taken.append(len(found[0].by_rows.together))
        return found

    monkeypatch.setattr(Patterns, "of", watched)
    x = rng.normal(size=1000)
    found = autodiff.hessian(valley, sparsity="auto")(x)
    assert isinstance(found, sparse.csr_array)
    assert found.shape == (1000, 1000)
    assert found.nnz == 2998
    assert taken == [3]
    few = autodiff.hessian(valley, sparsity="auto")(x[:30]).toarray()
    np.testing.assert_allclose(few, autodiff.hessian(valley)(x[:30]), rtol=1e-12)
    direction = rng.normal(size=1000)
    np.testing.assert_allclose(found @ direction, autodiff.hvp(valley)(x, direction), rtol=1e-10)


def test_patterns_are_found_again_when_the_graph_changes(rng: np.random.Generator) -> None:
    def f(x: Any, rows: Any, wide: bool) -> Any:
        y = autodiff.take(x, rows)
        return (y[1:] * y[:-1]).sum() + (x.sum() ** 2.0 if wide else 0.0)

    second = autodiff.hessian(f, sparsity="auto")
    dense = autodiff.hessian(f)
    x = rng.normal(size=6)
    for rows in ([0, 1, 2], [5, 0, 3], [1, 1, 4]):
        for wide in (False, True):
            found = second(x, np.array(rows), wide).toarray()
            np.testing.assert_allclose(found, dense(x, np.array(rows), wide), atol=1e-15)
    assert second(x, np.array([0, 1, 2]), False).nnz == 4


def test_of_any_shape_and_of_nothing() -> None:
    x = np.arange(6.0).reshape(2, 3)
    found = autodiff.hessian(lambda x: (x**3.0).sum(), sparsity="auto")(x)
    np.testing.assert_allclose(found.toarray(), np.diag(6.0 * x.ravel()))
    for f in (lambda x: x.sum(), lambda x: 3.0):
        found = autodiff.hessian(f, sparsity="auto")(x)
        assert found.shape == (6, 6)
        assert found.nnz == 0
    assert autodiff.hessian(lambda x: x * x, sparsity="auto")(3.0).toarray() == 2.0
    assert autodiff.jacobian(lambda x: x[:0], sparsity="auto")(x[0]).shape == (0, 3)


# ---- Jacobians ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
def test_jacobians(mode: str, rng: np.random.Generator) -> None:
    a = rng.normal(size=(5, 3))

    def f(x: Any) -> Any:
        blocks = autodiff.tanh(x[:-2].reshape(5, 3) * a).sum(axis=1)
        return autodiff.concat([blocks, x[-2:] * x[1], autodiff.exp(x[3:5])], axis=0)

    x = rng.normal(size=17)
    found = autodiff.jacobian(f, mode=mode, sparsity="auto")(x)
    np.testing.assert_allclose(found.toarray(), autodiff.jacobian(f)(x), rtol=1e-13)
    assert found.nnz == 15 + 4 + 2


def test_products_keep_their_rows_apart(rng: np.random.Generator) -> None:
    w, x = rng.normal(size=(3, 2)), rng.normal(size=(4, 3))
    found = autodiff.jacobian(lambda x: x @ w, sparsity="auto")(x)
    np.testing.assert_allclose(
        found.toarray(), autodiff.jacobian(lambda x: x @ w)(x).reshape(8, 12)
    )
    assert found.nnz == 8 * 3
    stacks = autodiff.jacobian(lambda x: x.reshape(2, 2, 3) @ w, sparsity="auto")(x)
    assert stacks.nnz == 8 * 3


def test_a_pattern_that_is_given() -> None:
    x = np.array([1.0, 2.0, 3.0])
    for given in (
        np.eye(3),
        sparse.identity(3),
        sparse.csr_array(np.eye(3)),
        np.eye(3, dtype=bool),
    ):
        found = autodiff.jacobian(np.sin, sparsity=given)(x)
        np.testing.assert_allclose(found.toarray(), np.diag(np.cos(x)))
    with pytest.raises(ShapeError, match=r"pattern has shape \(3, 3\), the derivative \(2, 2\)"):
        autodiff.jacobian(np.sin, sparsity=np.eye(3))(x[:2])
    with pytest.raises(ValueError, match='sparsity is "auto"'):
        autodiff.jacobian(np.sin, sparsity="yes")


def test_refusals() -> None:
    x = np.ones(3)
    second = autodiff.hessian(valley, sparsity="auto")
    with pytest.raises(RecordingError, match="sparse matrix"):
        autodiff.compile(second)(x)
    with pytest.raises(GradientError, match="by one array"):
        second(Tensor(x))
    with pytest.raises(GradientError, match="by one array"):
        autodiff.jacobian(lambda t: t["a"], sparsity="auto")({"a": x, "b": x})
    outside = Tensor(x)
    with pytest.raises(GradientError, match="nodes from outside"):
        autodiff.hessian(lambda x: (outside * x * x).sum(), sparsity="auto")(x)
