"""HIPS autograd's names mean what they mean there: arguments, nesting, kinds of results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import autodiff
import autodiff.autograd as autograd
import autodiff.autograd.numpy as np
from autodiff.autograd import (
    deriv,
    elementwise_grad,
    grad,
    hessian,
    jacobian,
    make_hvp,
    make_jvp,
    make_vjp,
    value_and_grad,
)
from autodiff.autograd.builtins import DictBox, SequenceBox
from autodiff.autograd.extend import Box, defvjp, notrace_primitive, primitive, vspace
from autodiff.autograd.misc import flatten
from autodiff.autograd.misc.fixed_points import fixed_point
from autodiff.autograd.misc.optimizers import adam, rmsprop, sgd
from autodiff.autograd.numpy.numpy_boxes import ArrayBox
from autodiff.autograd.numpy.numpy_vjps import unbroadcast_f
from autodiff.autograd.test_util import check_grads
from autodiff.autograd.tracer import getval, isbox

X = onp.array([0.5, -1.0, 2.0])


def cubes(x: Any) -> Any:
    return np.sum(x**3)


# ---- results ------------------------------------------------------------------------------


def test_numbers_give_numbers_and_arrays_arrays() -> None:
    found = grad(np.tanh)(0.5)
    assert type(found) is onp.float64
    assert found == pytest.approx(1.0 - onp.tanh(0.5) ** 2)
    value, gradient = value_and_grad(cubes)(X)
    assert type(value) is onp.float64
    assert type(gradient) is onp.ndarray
    onp.testing.assert_allclose(gradient, 3.0 * X**2)
    assert grad(cubes)(X.astype(onp.float32)).dtype == onp.float32
    assert type(grad(lambda x: np.sum(x))(onp.array(1.0))) is onp.ndarray


def test_argnum_is_a_number_or_several() -> None:
    def f(x: Any, y: Any, scale: float = 1.0) -> Any:
        return scale * np.sum(x * y**2)

    assert grad(f, 1)(2.0, 3.0) == 12.0
    assert grad(f, argnum=1)(2.0, 3.0, scale=2.0) == 24.0
    assert grad(f, (0, 1))(2.0, 3.0) == (9.0, 12.0)
    assert grad(f, [1, 0])(2.0, 3.0) == (12.0, 9.0)
    assert autograd.grad_named(f, "y")(2.0, 3.0) == 12.0
    assert autograd.multigrad_dict(f)(2.0, 3.0) == {"x": 9.0, "y": 12.0, "scale": 18.0}
    with pytest.raises(AssertionError):
        grad(f, "y")


def test_containers_come_back_as_they_are() -> None:
    def f(p: Any) -> Any:
        return p["a"] * p["b"][0] + np.sum(p["b"][1]) * p["c"][0]

    given = {"a": 2.0, "b": [3.0, X], "c": (4.0,)}
    found = grad(f)(given)
    assert (found["a"], found["b"][0], found["c"]) == (3.0, 2.0, (onp.sum(X),))
    onp.testing.assert_array_equal(found["b"][1], [4.0] * 3)
    assert grad(lambda x: x[0] * x[1])([2.0, 3.0]) == [3.0, 2.0]
    back, value = make_vjp(lambda x: {"y": 2.0 * x, "z": [x[0]]})(X)
    onp.testing.assert_array_equal(back({"y": onp.ones(3), "z": [5.0]}), [7.0, 2.0, 2.0])
    assert type(value["z"][0]) is onp.float64


def test_jacobians_and_hessians() -> None:
    onp.testing.assert_allclose(jacobian(np.exp)(X), onp.diag(onp.exp(X)))
    onp.testing.assert_allclose(hessian(cubes)(X), onp.diag(6.0 * X))
    assert hessian(np.exp)(0.0) == 1.0
    onp.testing.assert_allclose(hessian(lambda x: x**2)(X)[1, 1], [0.0, 2.0, 0.0])
    assert hessian(lambda x: np.reshape(cubes(x), (1,)))(X).shape == (1, 3, 3)
    onp.testing.assert_allclose(elementwise_grad(np.sin)(X), onp.cos(X))
    onp.testing.assert_allclose(deriv(np.sin)(X), onp.cos(X))


def test_products() -> None:
    v = onp.array([1.0, 0.0, -1.0])
    hvp, gradient = make_hvp(cubes)(X)
    onp.testing.assert_allclose(hvp(v), 6.0 * X * v)
    onp.testing.assert_allclose(gradient, 3.0 * X**2)
    onp.testing.assert_allclose(autograd.hessian_vector_product(cubes)(X, v), 6.0 * X * v)
    value, tangent = make_jvp(np.sin)(X)(v)
    onp.testing.assert_allclose(tangent, onp.cos(X) * v)
    onp.testing.assert_allclose(value, onp.sin(X))
    onp.testing.assert_allclose(autograd.tensor_jacobian_product(np.sin)(X, v), onp.cos(X) * v)
    ggn = autograd.make_ggnvp(np.sin)(X)
    onp.testing.assert_allclose(ggn(v), onp.cos(X) ** 2 * v)
    assert autograd.grad_and_aux(lambda x: (x**2, 3.0 * x))(2.0) == (4.0, 6.0)
    assert autograd.checkpoint(cubes)(X) == cubes(X)


def test_derivatives_nest() -> None:
    assert grad(grad(grad(np.sin)))(0.5) == pytest.approx(-onp.cos(0.5))
    assert grad(lambda x: x * grad(lambda y: x * y**2)(x))(3.0) == 6.0 * 9.0
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(2.0) == 1.0
    x = autodiff.Tensor(X)
    assert isinstance(grad(cubes)(x), autodiff.Node)


def test_what_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Grad only applies to real scalar.*Try jacobian"):
        grad(np.exp)(X)
    with pytest.raises(TypeError, match="scalar-output"):
        value_and_grad(lambda x: np.allclose(x, x))(X)
    for function in (grad(lambda x: x), jacobian(lambda x: x)):
        with pytest.raises(TypeError, match="complex"):
            function(1.0 + 2.0j)
    with pytest.raises(TypeError, match="Can't differentiate w"):
        grad(lambda x: x)("a")
    with pytest.raises(TypeError, match="no container"):
        jacobian(lambda x: x[0])([1.0])
    with pytest.raises(NotImplementedError, match="real numbers"):
        autograd.holomorphic_grad(np.exp)
    with pytest.raises(NotImplementedError, match="new_box is an internal"):
        autograd.tracer.new_box(1.0, 0, None)
    with pytest.warns(UserWarning, match="independent"):
        assert grad(lambda x: 3.0)(1.0) == 0.0


# ---- values in Python's hands -------------------------------------------------------------


def test_questions_are_answered_with_numbers() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        order = np.argsort(x)
        seen.extend([order, np.isnan(x), np.any(x > 1.0), np.shape(x), np.sign(x), x > 0.0])
        if np.all(np.isfinite(x)) and x[0] > 0.0:
            return np.sum(x[order] * onp.arange(3.0))
        return np.sum(x)

    onp.testing.assert_array_equal(grad(f)(X), [1.0, 0.0, 2.0])
    assert [type(x) for x in seen[:2]] == [onp.ndarray, onp.ndarray]
    assert seen[0].dtype.kind == "i"
    assert seen[1].dtype == bool
    assert seen[2] is onp.True_
    assert not isbox(seen[4])


def test_boxes_are_nodes() -> None:
    def f(p: Any) -> Any:
        assert isinstance(p, DictBox)
        assert isinstance(p["a"], SequenceBox)
        assert isinstance(p["a"][0], ArrayBox)
        assert isinstance(p["a"][0], Box)
        assert autograd.isinstance(p["a"][0], float)
        assert autograd.isinstance(p, dict)
        assert autograd.type(p["a"][1]) is onp.ndarray
        assert getval(p)["a"][0] == 2.0
        assert vspace(p["a"][1]).shape == (3,)
        return p["a"][0] * np.sum(p["a"][1])

    grad(f)({"a": [2.0, X]})
    for plain in ({"a": 1.0}, [1.0], X, 1.0):
        assert not isinstance(plain, Box | ArrayBox | DictBox | SequenceBox)
        assert not isbox(plain)


def test_where_keeps_what_it_chooses() -> None:
    assert np.where(True, 1, 2) == 1
    assert type(np.where(False, 1, 2.0)) is float
    (found,) = np.where([True, False, True])
    onp.testing.assert_array_equal(found, [0, 2])
    onp.testing.assert_array_equal(np.where(condition=X > 0, x=X, y=0.0), [0.5, 0.0, 2.0])
    onp.testing.assert_array_equal(
        grad(lambda x: np.sum(np.where(x > 0.0, x**2, 0.0)))(X), [1.0, 0.0, 4.0]
    )


# ---- own functions ------------------------------------------------------------------------


def test_primitives() -> None:
    calls: list[Any] = []

    @primitive
    def logsumexp(x: Any, scale: float = 1.0) -> Any:
        assert type(x) is onp.ndarray
        calls.append(x)
        return scale * onp.log(onp.sum(onp.exp(x)))

    defvjp(
        logsumexp,
        lambda ans, x, scale=1.0: lambda g: g * scale * np.exp(x - ans / scale),
    )
    assert logsumexp(X) == onp.log(onp.sum(onp.exp(X)))
    p = onp.exp(X) / onp.sum(onp.exp(X))
    onp.testing.assert_allclose(grad(logsumexp)(X), p)
    assert len(calls) == 2
    onp.testing.assert_allclose(grad(lambda x: logsumexp(x, scale=3.0))(X), 3.0 * p)
    onp.testing.assert_allclose(hessian(logsumexp)(X), onp.diag(p) - onp.outer(p, p), atol=1e-15)
    check_grads(logsumexp)(X)


def test_primitives_of_several_arguments() -> None:
    @primitive
    def scaled(name: str, x: Any, y: Any) -> Any:
        return onp.multiply(x, y["k"][0]) if name == "times" else x

    defvjp(
        scaled,
        lambda ans, name, x, y: unbroadcast_f(x, lambda g: g * y["k"][0]),
        lambda ans, name, x, y: lambda g: {"k": [np.sum(g * x)]},
        argnums=(1, 2),
    )

    def f(x: Any, k: Any) -> Any:
        return np.sum(scaled("times", x, {"k": [k]}) ** 2)

    gx, gk = grad(f, (0, 1))(X, 2.0)
    onp.testing.assert_allclose(gx, 8.0 * X)
    assert gk == pytest.approx(4.0 * onp.sum(X**2))
    check_grads(f, (0, 1))(X, 2.0)

    zero = primitive(lambda x, y: x * y)
    defvjp(zero, None, lambda ans, x, y: lambda g: g * x)
    assert grad(zero, (0, 1))(2.0, 3.0) == (0.0, 2.0)
    with pytest.raises(NotImplementedError, match=r"VJP of .* wrt argnums"):
        grad(primitive(lambda x: x))(1.0)
    with pytest.raises(TypeError, match="Bad VJP"):
        defvjp(zero, 3.0)  # type: ignore[arg-type]
    rounded = notrace_primitive(onp.round)
    assert grad(lambda x: x * rounded(x))(2.25) == 2.0


def test_old_ways_of_giving_gradients() -> None:
    square = autograd.primitive(lambda x: x**2)
    with pytest.warns(UserWarning, match="deprecated"):
        square.defgrad(lambda ans, x: lambda g: 2.0 * x * g)
    assert grad(square)(3.0) == 6.0
    with pytest.warns(UserWarning, match="deprecated"):
        square.defvjp(lambda g, ans, vs, gvs, x: 3.0 * x * g)
    assert grad(square)(3.0) == 9.0
    with pytest.warns(UserWarning, match="deprecated"):
        square.defvjp_is_zero()
    assert grad(square)(3.0) == 0.0


# ---- misc ---------------------------------------------------------------------------------


def test_flatten() -> None:
    value = (1.0, onp.ones((2, 2)), [X, {"b": 2.0, "a": onp.zeros((1, 0))}])
    vector, unflatten = flatten(value)
    assert vector.shape == (9,)
    again = unflatten(vector)
    assert type(again[0]) is onp.float64
    onp.testing.assert_array_equal(again[2][0], X)
    assert again[2][1]["a"].shape == (1, 0)
    assert flatten([])[0].size == 0

    def f(p: Any) -> Any:
        vector, unflatten = flatten(p)
        return np.sum(vector**2) + unflatten(vector)["b"]

    assert grad(f)({"b": 3.0, "a": 2.0}) == {"b": 7.0, "a": 4.0}


@pytest.mark.parametrize(
    ("optimise", "step"),
    [(sgd, 0.1), (rmsprop, 0.05), (adam, 0.05)],
    ids=["sgd", "rmsprop", "adam"],
)
def test_optimisers(optimise: Callable[..., Any], step: float) -> None:
    told: list[int] = []

    def loss(p: Any, i: int) -> Any:
        return (p["a"] - 1.0) ** 2 + np.sum((p["b"] + 2.0) ** 2)

    found = optimise(
        grad(loss), {"a": 0.0, "b": onp.zeros(2)}, lambda x, i, g: told.append(i),
        num_iters=300, step_size=step,
    )  # fmt: skip
    onp.testing.assert_allclose(found["a"], 1.0, atol=0.05)
    onp.testing.assert_allclose(found["b"], [-2.0, -2.0], atol=0.05)
    assert told == list(range(300))


def test_fixed_points() -> None:
    def newton(a: Any) -> Callable[[Any], Any]:
        return lambda x: 0.5 * (x + a / x)

    def root(a: Any) -> Any:
        return fixed_point(newton, a, 1.0, lambda x, y: abs(x - y), 1e-12)

    assert root(2.0) == pytest.approx(2.0**0.5)
    assert grad(root)(2.0) == pytest.approx(0.5 / 2.0**0.5)
