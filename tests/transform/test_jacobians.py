"""Jacobians and Hessians: one pass for all rows, of every op; compared with a pass a row."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from table import EXAMPLES, OF_THE_LIBRARY

import autodiff
from autodiff import Tensor
from autodiff.apply import apply
from autodiff.declare import declare
from autodiff.errors import AnomalyError, GradientError
from autodiff.op import OPS, Example, Op, Sample
from autodiff.transform import lanes

X = np.array([0.5, -1.25, 2.0])


def joined(z: Any) -> Any:
    """What an op gives; of several outputs all elements along one axis."""
    return autodiff.concat([part.reshape(-1) for part in z], 0) if type(z) is tuple else z


def row_by_row(y: Any, x: Tensor) -> np.ndarray:
    """The Jacobian by a backward pass a row."""
    rows = []
    for row in np.eye(y.size).reshape(y.size, *y.shape):
        autodiff.reset(y)
        autodiff.backward({y: row})
        rows.append(x.gradient if x.has_gradient else np.zeros(x.shape))
    return np.array(rows).reshape(y.shape + x.shape)


@pytest.fixture
def in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rule may fall back on the way that is taken for rules that need numbers."""

    def refused(*_: Any) -> Any:
        raise AssertionError("row by row")

    monkeypatch.setattr(sys.modules["autodiff.transform.jacobian"], "_row_by_row", refused)


# ---- every op -------------------------------------------------------------------------


@pytest.mark.usefixtures("in_one_pass")
@pytest.mark.parametrize(("op", "example"), EXAMPLES)
def test_the_jacobian_of_every_op(op: Op, example: Example, rng: np.random.Generator) -> None:
    inputs = example.draw(rng)
    for i, x in enumerate(inputs):
        if op.rule(i) is None:
            continue

        def f(x: Any, i: int = i) -> Any:
            return joined(apply(op, [*inputs[:i], x, *inputs[i + 1 :]], example.attributes))

        leaf = Tensor(x)
        try:
            expected = row_by_row(f(leaf), leaf)
        except GradientError as error:
            if "there is no" not in str(error):
                raise
            continue
        scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
        for mode in ("reverse", "forward"):
            found = autodiff.jacobian(f, mode=mode)(x)
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14 * scale)


@pytest.mark.usefixtures("in_one_pass")
@pytest.mark.parametrize(("op", "example"), EXAMPLES)
def test_the_hessian_of_every_op(op: Op, example: Example, rng: np.random.Generator) -> None:
    if op not in OF_THE_LIBRARY:
        pytest.skip("may have no second derivative")
    inputs = example.draw(rng)
    for i, x in enumerate(inputs):
        if op.rule(i) is None:
            continue
        weights = rng.normal(size=joined(apply(op, inputs, example.attributes)).shape)

        def f(x: Any, i: int = i, weights: Any = weights) -> Any:
            operands = [*inputs[:i], x, *inputs[i + 1 :]]
            return (weights * joined(apply(op, operands, example.attributes))).sum()

        leaf = Tensor(x)
        try:
            gradient = autodiff.gradients(f(leaf), leaf)
            by_rows = gradient.needs_gradient
            expected = row_by_row(gradient, leaf) if by_rows else np.zeros(x.shape * 2)
        except GradientError as error:
            if "there is no" not in str(error):
                raise
            continue
        scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
        found = autodiff.hessian(f)(x)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14 * scale)
        nodes = autodiff.hessian(f)(leaf)
        assert isinstance(nodes, autodiff.Node)
        np.testing.assert_allclose(nodes.value, expected, rtol=1e-12, atol=1e-13 * scale)


# ---- shapes and modes -----------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
def test_shapes(mode: str, rng: np.random.Generator) -> None:
    for of_x, of_y in [
        ((), ()),
        ((3,), ()),
        ((), (2,)),
        ((2, 3), (3,)),
        ((0,), (2,)),
        ((2,), (0,)),
    ]:
        a = rng.normal(size=(*of_y, *of_x))
        x = rng.normal(size=of_x)

        def f(x: Any, a: Any = a, n: int = len(of_x)) -> Any:
            return (autodiff.sin(x) * a).sum(axis=tuple(range(a.ndim - n, a.ndim)))

        found = autodiff.jacobian(f, mode=mode)(x)
        assert found.shape == of_y + of_x
        np.testing.assert_allclose(found, np.cos(x) * a, rtol=1e-14)


def test_a_mode_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="no mode 'fast'"):
        autodiff.jacobian(np.sin, mode="fast")


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_the_result_may_be_the_argument(mode: str) -> None:
    np.testing.assert_array_equal(autodiff.jacobian(lambda x: x, mode=mode)(X), np.eye(3))
    np.testing.assert_array_equal(
        autodiff.jacobian(lambda x: -x[::-1], mode=mode)(X), -np.eye(3)[::-1]
    )


def test_structures(rng: np.random.Generator) -> None:
    tree = {"a": rng.normal(size=2), "b": rng.normal(size=(2, 2))}

    def f(t: Any) -> Any:
        return t["b"] @ autodiff.exp(t["a"])

    found = autodiff.jacobian(f)(tree)
    np.testing.assert_allclose(found["a"], tree["b"] * np.exp(tree["a"]), rtol=1e-14)
    assert found["b"].shape == (2, 2, 2)
    second = autodiff.hessian(lambda t: f(t).sum())(tree)
    np.testing.assert_allclose(
        second["a"]["a"], np.diag(tree["b"].sum(axis=0) * np.exp(tree["a"])), rtol=1e-14
    )
    assert second["a"]["b"].shape == (2, 2, 2)
    np.testing.assert_allclose(second["b"]["a"], np.moveaxis(second["a"]["b"], 0, 2))
    np.testing.assert_array_equal(second["b"]["b"], np.zeros((2, 2, 2, 2)))
    by_two = autodiff.hessian(lambda x, y: (x * x * y).sum(), argnums=(0, 1))(X, X)
    np.testing.assert_allclose(by_two[0][1], np.diag(2.0 * X))
    np.testing.assert_allclose(by_two[1][1], np.zeros((3, 3)))


def test_nested(rng: np.random.Generator) -> None:
    x = rng.normal(size=3)

    def f(x: Any) -> Any:
        return autodiff.exp(x[0] * x[1]) * x[2] + (x**4.0).sum()

    hessian = autodiff.hessian(f)(x)
    for outer in ("forward", "reverse"):
        for inner in (autodiff.grad(f), autodiff.jacobian(f, mode="forward"), autodiff.jacobian(f)):
            found = autodiff.jacobian(inner, mode=outer)(x)
            np.testing.assert_allclose(found, hessian, rtol=1e-12, atol=1e-13)
    third = autodiff.jacobian(autodiff.hessian(f))(x)
    for i in range(3):
        step = 1e-5 * np.eye(3)[i]
        difference = (autodiff.hessian(f)(x + step) - autodiff.hessian(f)(x - step)) / 2e-5
        np.testing.assert_allclose(third[..., i], difference, rtol=1e-6, atol=1e-7)
    trace = autodiff.grad(lambda x: (autodiff.hessian(f)(x) * np.eye(3)).sum())(x)
    np.testing.assert_allclose(trace, np.trace(third), rtol=1e-12)


def test_a_weibull_likelihood(rng: np.random.Generator) -> None:
    design, t = rng.normal(size=(40, 3)), rng.weibull(1.5, 40) + 0.1
    event = (rng.random(40) < 0.7).astype(float)

    def likelihood(p: Any) -> Any:
        eta, k = design @ p[:3], autodiff.exp(p[3])
        hazard = autodiff.log(k) + (k - 1.0) * np.log(t) - k * eta
        return (event * hazard - (t / autodiff.exp(eta)) ** k).sum()

    p = 0.1 * rng.normal(size=4)
    found = autodiff.hessian(likelihood)(p)
    np.testing.assert_allclose(found, found.T, rtol=1e-12)
    gradient = autodiff.grad(likelihood)
    for i in range(4):
        step = 1e-5 * np.eye(4)[i]
        difference = (gradient(p + step) - gradient(p - step)) / 2e-5
        np.testing.assert_allclose(found[i], difference, rtol=1e-7, atol=1e-6)
    compiled = autodiff.compile(autodiff.hessian(likelihood))
    np.testing.assert_allclose(compiled(p), found, rtol=1e-12)


def test_against_hips_autograd(rng: np.random.Generator) -> None:
    anp = pytest.importorskip("autograd.numpy")
    theirs = pytest.importorskip("autograd")

    a, x = rng.normal(size=(5, 3)), rng.normal(size=3)

    def f(np: Any) -> Any:
        return lambda x: np.sum(np.tanh(np.dot(a, x)) ** 2.0) + x[0] * np.exp(x[1])

    for ours, hips in [(autodiff.hessian, theirs.hessian), (autodiff.grad, theirs.grad)]:
        np.testing.assert_allclose(ours(f(np))(x), hips(f(anp))(x), rtol=1e-12)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_large_ones_come_in_blocks(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["autodiff.transform.jacobian"], "_MOST", 300)
    x = np.linspace(0.5, 1.5, 40)
    found = autodiff.jacobian(lambda x: autodiff.sin(x) * x[0], mode=mode)(x)
    expected = np.diag(np.cos(x) * x[0])
    expected[:, 0] += np.sin(x)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    square = autodiff.jacobian(lambda x: x.reshape(8, 5) @ np.ones((5, 5)), mode=mode)(x)
    assert square.shape == (8, 5, 40)
    np.testing.assert_allclose(square.reshape(40, 40), np.kron(np.eye(8), np.ones((5, 5))))


# ---- what the rows share --------------------------------------------------------------


def test_what_all_rows_share_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    applied: list[Any] = []
    apply = lanes.Computer.apply

    def counted(self: Any, bound: Any, inputs: Any) -> Any:
        made = apply(self, bound, inputs)
        applied.append((bound.name, made.carried, None if not made.carried else made.factor))
        return made

    monkeypatch.setattr(lanes.Computer, "apply", counted)
    a = np.ones((20, 4))
    autodiff.jacobian(lambda x: autodiff.exp(autodiff.sin(a @ x)), mode="reverse")(np.ones(4))
    of_all = [name for name, carried, factor in applied if carried and factor is None]
    assert sorted(set(of_all)) == ["matmul", "reshape"]  # the slopes are multiplied up before


def test_infinite_slopes_stay_where_they_are() -> None:
    found = autodiff.jacobian(lambda x: autodiff.sqrt(x[:2]))(np.array([4.0, 1.0, 0.0]))
    np.testing.assert_array_equal(found, [[0.25, 0.0, 0.0], [0.0, 0.5, 0.0]])
    hidden = autodiff.hessian(lambda x: autodiff.where(x > 0.0, autodiff.log(x), 0.0).sum())
    assert np.isnan(hidden(np.array([1.0, 0.0]))[1, 1])  # 0 · inf, as in the gradient


# ---- rules that need numbers ----------------------------------------------------------


def _needing_numbers() -> Any:
    name = "cubed_by_numbers"
    if name in OPS:
        raise AssertionError(name)

    def rule(g: Any, z: Any, x: Any) -> Any:
        return np.array([gi * 3.0 * xi**2 for gi, xi in zip(g.tolist(), x.tolist(), strict=True)])

    def cubed_by_numbers(x: Any) -> Any:
        """z = x³."""
        return x**3

    made = declare(backward=rule, reads="x", examples=[Example((Sample((3,)),))])(cubed_by_numbers)
    del OPS[name]
    return made


def test_rules_that_need_numbers_get_them_row_by_row() -> None:
    cubed = _needing_numbers()
    found = autodiff.jacobian(lambda x: cubed(x) * x[0])(X)
    expected = np.diag(3.0 * X**2 * X[0])
    expected[:, 0] += X**3
    np.testing.assert_allclose(found, expected)
    with pytest.raises((GradientError, TypeError)):
        autodiff.hessian(lambda x: cubed(x).sum())(X)


# ---- in compiled steps ----------------------------------------------------------------


def test_they_compile() -> None:
    def f(x: Any, a: Any) -> Any:
        return autodiff.tanh(a @ x) * x[0]

    def loss(x: Any, a: Any) -> Any:
        return (f(x, a) ** 2.0).sum()

    a = np.arange(15.0).reshape(5, 3) / 10.0
    for function in (
        autodiff.jacobian(f),
        autodiff.jacobian(f, argnums=1, mode="forward"),
        autodiff.jacobian(f, argnums=(0, 1), mode="reverse"),
        autodiff.hessian(loss),
        autodiff.grad(loss),
        autodiff.value_and_grad(loss, argnums=(1, 0)),
        autodiff.elementwise_grad(f),
        lambda x, a: autodiff.hvp(loss)(x, a, x),
        lambda x, a: autodiff.jvp(f, (x, a), (x, a)),
        lambda x, a: autodiff.vjp(f, x, a)[1](np.ones(5)),
        lambda x, a: autodiff.make_hvp(loss)(x, a)[0](x),
        lambda x, a: autodiff.jacobian(autodiff.hessian(loss))(x, a),
        lambda x, a: autodiff.grad(lambda x: autodiff.hessian(loss)(x, a).sum())(x),
    ):
        step = autodiff.compile(function)
        eager, replayed = function(X, a), step(X, a)
        _same(eager, replayed)
        _same(function(2.0 * X, a), step(2.0 * X, a))


def _same(expected: Any, found: Any) -> None:
    if isinstance(expected, tuple):
        assert len(expected) == len(found)
        for pair in zip(expected, found, strict=True):
            _same(*pair)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


def test_within_a_step_they_give_what_the_step_can_use() -> None:
    w = Tensor(X)

    @autodiff.compile
    def step(x: Any) -> Any:
        value, gradient = autodiff.value_and_grad(lambda w: ((w - x) ** 2.0).sum())(w.value)
        w.assign(w.value - 0.25 * gradient)
        return value, autodiff.hessian(lambda v: (v * v * v).sum())(w.value)

    value, second = step(np.zeros(3))
    assert value == pytest.approx((X * X).sum())
    np.testing.assert_allclose(w.value, 0.5 * X)
    np.testing.assert_allclose(second, np.diag(3.0 * X))


def test_arrays_of_a_step_are_constants_that_it_may_differentiate_by() -> None:
    @autodiff.compile
    def step(a: Any) -> Any:
        return autodiff.grad(lambda x: (x * x * a).sum())(X), autodiff.hessian(np.sin)(0.5)

    gradient, second = step(np.ones(3))
    np.testing.assert_allclose(gradient, 2.0 * X)
    assert second == -np.sin(0.5)


def test_a_tensor_of_a_step_is_differentiated_by_as_a_node() -> None:
    w = Tensor(X)

    @autodiff.compile
    def step() -> Any:
        gradient = autodiff.grad(lambda v: (v * v * w).sum())(w)
        return gradient, autodiff.gradients(gradient, w)

    gradient, second = step()
    np.testing.assert_allclose(gradient, 2.0 * X * X)
    np.testing.assert_allclose(second, 4.0 * X)


def test_least_squares_is_a_product() -> None:
    a, b = np.random.default_rng(0).normal(size=(50, 6)), np.ones(50)
    step = autodiff.compile(autodiff.jacobian(lambda x: a @ x - b))
    np.testing.assert_array_equal(step(np.ones(6)), a)
    assert len(step.recording(np.ones(6)).code.instructions) <= 2


def test_in_a_scan() -> None:
    state = Tensor(X)

    @autodiff.compile
    def newton(target: Any) -> Any:
        def loss(x: Any) -> Any:
            return ((x - target) ** 4.0 + (x - target) ** 2.0).sum()

        x = state.value
        second = (autodiff.hessian(loss)(x) * np.eye(3)).sum(axis=0)
        state.assign(x - autodiff.grad(loss)(x) / second)
        return loss(state.value)

    losses = newton.scan(np.zeros((8, 3)))
    assert losses[-1] < 1e-12
    assert (np.diff(losses) <= 0.0).all()


# ---- back ends and observers ----------------------------------------------------------


def test_on_the_reference_back_end() -> None:
    def loss(x: Any) -> Any:
        return autodiff.exp(x[0] * x).sum() + autodiff.logsumexp(x)

    expected = autodiff.hessian(loss)(X), autodiff.jacobian(autodiff.grad(loss), mode="forward")(X)
    with autodiff.use_backend("reference"):
        found = autodiff.hessian(loss)(X), autodiff.jacobian(autodiff.grad(loss), mode="forward")(X)
        gradient = autodiff.grad(loss)(X)
    for have, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-13)
    np.testing.assert_allclose(gradient, autodiff.grad(loss)(X), rtol=1e-13)


def test_anomalies_are_seen() -> None:
    with autodiff.detect_anomaly():
        np.testing.assert_allclose(autodiff.hessian(lambda x: (x**3.0).sum())(X), np.diag(6.0 * X))
        with pytest.raises(AnomalyError, match="sqrt"):
            autodiff.grad(lambda x: autodiff.sqrt(x).sum())(np.array([1.0, -1.0]))
