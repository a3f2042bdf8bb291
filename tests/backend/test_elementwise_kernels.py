"""Elementwise kernels: sizes, special values, powers, broadcasting."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from against_rules import compare, core, expected_gradients, reference
from table import ELEMENTWISE, at_most, drawn, is_exact, refused, variants

from autodiff.op import OPS, BoundOp, Op

SIZES = [0, 1, 3, 7, 8, 9, 31, 1000]
TINY = 5e-324
SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, TINY, -TINY, 2.2e-308, -3e-310, 1e308, -1e308,
     1.5e-8, -1.5e-8, 709.7, 710.0, -745.0, -746.0, 1e5, -1e5, 36.7, np.pi, -np.pi / 2]
)  # fmt: skip


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_sizes(op: Op, n: int, isa: str, rng: np.random.Generator) -> None:
    # Of all numbers of a size: a mistake at the seam of two blocks shows.
    for bound in variants(op):
        compare(bound, drawn(op, [(at_most(op, n),)], rng), rng)


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_special_values(op: Op, isa: str) -> None:
    many = len(op.inputs) == 3 and op.cost >= 50.0  # of which every one takes long by the rule
    grid = np.meshgrid(*[SPECIAL[::3] if many else SPECIAL] * len(op.inputs), indexing="ij")
    inputs = [np.ascontiguousarray(x).reshape(-1) for x in grid]
    for bound in variants(op):
        compare_special(bound, inputs)


def compare_special(bound: BoundOp, inputs: list[np.ndarray]) -> None:
    exact = is_exact(bound.op)
    z = core.forward(bound, inputs)
    with np.errstate(all="ignore"):
        expected = reference.forward(bound, inputs)
    tolerance = {} if exact else {"rtol": 2e-15}
    np.testing.assert_allclose(z, expected, atol=0 if exact else TINY, **(tolerance or {"rtol": 0}))
    zero = (expected == 0.0) & (z == 0.0)
    np.testing.assert_array_equal(np.signbit(z[zero]), np.signbit(expected[zero]))
    for g in (np.full_like(z, -1.5), np.resize(SPECIAL, z.shape)):
        needed = [not refused(bound.op, i) for i in range(len(inputs))]
        found = core.backward(bound, g, expected, inputs, needed)
        for actual, gradient in zip(
            found, expected_gradients(bound, g, expected, inputs), strict=True
        ):
            if gradient is None:
                assert actual is None
            else:
                np.testing.assert_allclose(actual, gradient, rtol=0 if exact else 2e-15, atol=TINY)


@pytest.mark.parametrize(
    "exponent", [0.0, 1.0, 2.0, 3.0, 7.0, 0.5, 0.1, -0.5, -1.0, -2.0, 1.5, 2.5, 1e3]
)
def test_powers(exponent: float, isa: str, rng: np.random.Generator) -> None:
    bound = OPS["power"].bind(exponent=exponent)
    x = np.concatenate([SPECIAL, rng.uniform(-2.0, 2.0, 40)])
    z = core.forward(bound, (x,))
    expected = reference.forward(bound, (x,))
    np.testing.assert_allclose(z, expected, rtol=1e-15, atol=TINY)
    (gx,) = core.backward(bound, x[::-1].copy(), z, (x,), (True,))
    (gradient,) = expected_gradients(bound, x[::-1].copy(), z, (x,))
    np.testing.assert_allclose(gx, gradient, rtol=1e-15, atol=TINY)


SHAPES = [
    ((), ()), ((1,), ()), ((5,), (1,)), ((1, 15), (15,)), ((4, 15), (1, 15)), ((4, 1), (4, 15)),
    ((2, 3, 4), (3, 1)), ((2, 1, 4), (1, 3, 1)), ((0, 3), (3,)), ((3, 0), (1, 1)), ((9, 1), (1, 9)),
    ((2, 1, 2, 1), (1, 3, 1, 17)), ((1, 1), (2, 3)), ((64, 1, 65), (1, 3, 65)),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), SHAPES)
@pytest.mark.parametrize("name", ["add", "multiply", "divide", "maximum"])
def test_broadcasting(
    name: str, first: tuple[int, ...], second: tuple[int, ...], isa: str, rng: np.random.Generator
) -> None:
    bound = OPS[name].bind()
    for shapes in ((first, second), (second, first)):
        inputs = [rng.uniform(0.5, 2.0, s) for s in shapes]
        z = core.forward(bound, inputs)
        np.testing.assert_array_equal(z, reference.forward(bound, inputs))
        g = rng.uniform(-1.0, 1.0, z.shape)
        found = core.backward(bound, g, z, inputs, (True, True))
        for actual, gradient in zip(found, expected_gradients(bound, g, z, inputs), strict=True):
            assert actual.shape == gradient.shape
            np.testing.assert_allclose(actual, gradient, rtol=1e-13, atol=1e-13)


def test_three_operands_broadcast(isa: str, rng: np.random.Generator) -> None:
    for shapes in itertools.permutations([(3, 1), (4,), (2, 1, 1)]):
        c = rng.integers(0, 2, shapes[0]).astype(np.float64)
        compare(
            OPS["where"].bind(), (c, rng.normal(size=shapes[1]), rng.normal(size=shapes[2])), rng
        )


def test_the_same_array_twice(isa: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=31)
    for name in ("add", "multiply", "divide", "maximum"):
        compare(OPS[name].bind(), (x, x), rng)
    compare(OPS["matmul"].bind(), (x[:25].reshape(5, 5).copy(),) * 2, rng)
    g = core.forward(OPS["multiply"].bind(), (x, x))
    first, second = core.backward(OPS["multiply"].bind(), x, g, (x, x), (True, True))
    np.testing.assert_array_equal(first, second)  # gradient, inputs: all one array


def test_read_only_inputs(isa: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 4))
    x.flags.writeable = False
    for name in ("tanh", "matmul"):
        bound = OPS[name].bind()
        inputs = (x,) * len(OPS[name].inputs)
        z = core.forward(bound, inputs)
        z.flags.writeable = False
        core.backward(bound, z, z, inputs, [True] * len(inputs))
