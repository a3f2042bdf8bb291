"""Gradients of functions, products with Jacobians and Hessians: values, structures, refusals."""

from __future__ import annotations

import collections
import dataclasses
import sys
import threading
from typing import Any

import numpy as np
import pytest
from numerics import complex_step

import autodiff
from autodiff import Tensor
from autodiff.errors import DTypeError, GradientError, ShapeError, StaleValueError

X = np.array([0.5, -1.25, 2.0])


def polynomial(x: Any) -> Any:
    return (x * x * x - 2.0 * x).sum()


# ---- values ---------------------------------------------------------------------------


def test_gradients_are_arrays_of_the_callers_own() -> None:
    for f in (autodiff.grad(polynomial), lambda x: autodiff.value_and_grad(polynomial)(x)[1]):
        gradient = f(X)
        assert type(gradient) is np.ndarray
        assert gradient.flags.writeable
        np.testing.assert_allclose(gradient, 3.0 * X**2 - 2.0, rtol=1e-15)
    value, _ = autodiff.value_and_grad(polynomial)(X)
    assert type(value) is np.ndarray
    assert value.shape == ()
    value[...] = 0.0
    same = autodiff.vjp(lambda x: x, X)
    assert same[0] is not X
    assert same[1](X)[0] is not X


def test_against_the_complex_step(rng: np.random.Generator) -> None:
    a, x = rng.normal(size=(4, 3)), rng.normal(size=3)

    def f(x: Any, a: Any) -> Any:
        return (autodiff.tanh(a @ x) * autodiff.exp(x[:1])).sum()

    gradients = autodiff.grad(f, argnums=(0, 1))(x, a)
    for i, gradient in enumerate(gradients):
        expected = complex_step(f, [x, a], i, 1.0)
        np.testing.assert_allclose(gradient, expected, rtol=1e-13)


@pytest.mark.parametrize("x", [2, 2.0, np.float64(2.0), np.array(2), np.int32(2)])
def test_numbers_of_any_type_are_float64(x: Any) -> None:
    gradient = autodiff.grad(lambda x: x * x * 0.5)(x)
    assert type(gradient) is np.ndarray
    assert gradient.shape == ()
    assert gradient.dtype == np.float64
    assert gradient == 2.0


def test_lists_and_integers_are_arrays() -> None:
    np.testing.assert_array_equal(autodiff.grad(polynomial)([1, 2]), [1.0, 10.0])
    np.testing.assert_array_equal(autodiff.grad(polynomial)(np.array([1, 2])), [1.0, 10.0])
    transposed = np.arange(6.0).reshape(2, 3).T
    np.testing.assert_array_equal(
        autodiff.grad(lambda x: (x * x).sum())(transposed), 2 * transposed
    )


def test_other_arguments_are_handed_on_as_they_are() -> None:
    seen: list[Any] = []

    def f(x: Any, data: Any, power: Any = 2, *, flag: Any = None) -> Any:
        seen.append((data, power, flag))
        return (x**power).sum()

    data, flag = np.arange(3), {"a": 1}
    gradient = autodiff.grad(f)(X, data, 3, flag=flag)
    np.testing.assert_allclose(gradient, 3.0 * X**2)
    assert seen[0][0] is data
    assert seen[0][1] == 3
    assert seen[0][2] is flag
    np.testing.assert_allclose(autodiff.grad(f)(X, data, power=3), 3.0 * X**2)


def test_what_f_does_not_depend_on_has_gradient_zero() -> None:
    numbers: list[Any] = [3, 3.0, np.float64(3.0), np.array([3.0]), Tensor(3.0)]
    for f in [*[lambda x, y=y: y for y in numbers], lambda x: x[:0].sum()]:
        value, gradient = autodiff.value_and_grad(f)(X)
        np.testing.assert_array_equal(gradient, np.zeros(3))
        assert value in (3.0, 0.0)
    first, second = autodiff.grad(lambda x, y: x * 2.0, argnums=(0, 1))(1.0, 5.0)
    assert (first, second) == (2.0, 0.0)
    np.testing.assert_array_equal(autodiff.hessian(lambda x: 1.0)(X), np.zeros((3, 3)))
    np.testing.assert_array_equal(autodiff.jacobian(lambda x: np.ones(2))(X), np.zeros((2, 3)))
    np.testing.assert_array_equal(autodiff.hessian(lambda x: x.sum())(X), np.zeros((3, 3)))
    y, back = autodiff.vjp(lambda x: np.ones(2), X)
    np.testing.assert_array_equal(back(y)[0], np.zeros(3))
    _, tangent = autodiff.jvp(lambda x: np.ones(2), (X,), (X,))
    np.testing.assert_array_equal(tangent, np.zeros(2))


def test_functions_may_branch_on_values() -> None:
    def f(x: Any) -> Any:
        total = x * 0.0
        while total < 10.0:
            total = total + x
        return total if x > 2.0 else -total

    assert autodiff.grad(f)(3.0) == 4.0
    assert autodiff.grad(f)(2.0) == -5.0


def test_one_element_is_a_number_and_more_are_none() -> None:
    np.testing.assert_array_equal(autodiff.grad(lambda x: x[:1] * 2.0)(X), [2.0, 0.0, 0.0])
    np.testing.assert_array_equal(autodiff.grad(lambda x: x[None, :1])(X), [1.0, 0.0, 0.0])
    for transform in (autodiff.grad, autodiff.value_and_grad, autodiff.hessian):
        with pytest.raises(ShapeError, match=r"returned shape \(3,\).*jacobian"):
            transform(lambda x: x * 2.0)(X)
    with pytest.raises(ShapeError, match=r"shape \(0,\)"):
        autodiff.grad(lambda x: x[:0])(X)


def test_elementwise_grad() -> None:
    np.testing.assert_allclose(autodiff.elementwise_grad(np.tanh)(X), 1.0 - np.tanh(X) ** 2)
    third = autodiff.elementwise_grad(autodiff.elementwise_grad(autodiff.elementwise_grad(np.sin)))
    np.testing.assert_allclose(third(X), -np.cos(X), rtol=1e-14)


# ---- structures -----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Parameters:
    weights: Any
    names: Any = None


Pair = collections.namedtuple("Pair", "first second")


def test_gradients_have_the_structure_of_their_argument() -> None:
    tree = {
        "layers": [(X, np.ones((2, 3))), (2.0, None)],
        "pair": Pair(X, 1),
        "data": Parameters(X, "names"),
        "ordered": collections.OrderedDict(a=1.0),
        "text": "unchanged",
        "nothing": [],
    }

    def f(tree: Any) -> Any:
        (a, b), (c, none) = tree["layers"]
        assert none is None
        assert tree["text"] == "unchanged"
        pair, data = tree["pair"], tree["data"]
        total = (a * b * c).sum() + (pair.first * pair.second).sum() + (data.weights**2.0).sum()
        return total * tree["ordered"]["a"]

    value, gradient = autodiff.value_and_grad(f)(tree)
    assert list(gradient) == list(tree)
    assert type(gradient["layers"]) is list
    assert type(gradient["layers"][0]) is tuple
    assert type(gradient["pair"]) is Pair
    assert type(gradient["data"]) is Parameters
    assert type(gradient["ordered"]) is collections.OrderedDict
    assert gradient["text"] == "unchanged"
    assert gradient["nothing"] == []
    assert gradient["data"].names == "names"
    assert gradient["layers"][1][1] is None
    np.testing.assert_allclose(gradient["layers"][0][1], 2.0 * np.stack([X, X]))
    np.testing.assert_allclose(gradient["pair"].second, X.sum())
    np.testing.assert_allclose(gradient["data"].weights, 2.0 * X)
    np.testing.assert_allclose(gradient["ordered"]["a"], value)


def test_several_arguments_give_a_tuple() -> None:
    def f(x: Any, y: Any, z: Any) -> Any:
        return (x * y).sum() * z

    gradients = autodiff.grad(f, argnums=(2, 0))(X, 2.0 * X, 3.0)
    assert type(gradients) is tuple
    np.testing.assert_allclose(gradients[0], (2.0 * X * X).sum())
    np.testing.assert_allclose(gradients[1], 6.0 * X)
    assert len(autodiff.grad(f, argnums=(0,))(X, X, 1.0)) == 1
    np.testing.assert_allclose(autodiff.grad(f, argnums=-1)(X, X, 1.0), (X * X).sum())


def test_auxiliary_results() -> None:
    kept: list[Any] = [1]

    def f(x: Any) -> Any:
        return (x * x).sum(), {"twice": 2.0 * x, "kept": kept, "name": "a"}

    gradient, aux = autodiff.grad(f, has_aux=True)(X)
    np.testing.assert_allclose(gradient, 2.0 * X)
    assert type(aux["twice"]) is np.ndarray
    np.testing.assert_allclose(aux["twice"], 2.0 * X)
    assert aux["name"] == "a"
    (value, aux), gradient = autodiff.value_and_grad(f, has_aux=True)(X)
    assert value == (X * X).sum()
    _, same = autodiff.grad(lambda x: (x.sum(), kept), has_aux=True)(X)
    assert same is kept  # nothing in it is a node, so it is the same object
    with pytest.raises(GradientError, match="must return a pair"):
        autodiff.grad(lambda x: x.sum(), has_aux=True)(X)


# ---- nodes in, nodes out --------------------------------------------------------------


def test_nodes_give_nodes() -> None:
    x = Tensor(X)
    value, gradient = autodiff.value_and_grad(polynomial)(x)
    assert isinstance(gradient, autodiff.Node)
    assert isinstance(value, autodiff.Node)
    second = autodiff.gradients(gradient, x)
    np.testing.assert_allclose(second.value, 6.0 * X)
    autodiff.backward(value * gradient.sum())
    expected = polynomial(X) * 6.0 * X + (3 * X**2 - 2).sum() * (3 * X**2 - 2)
    np.testing.assert_allclose(x.gradient, expected)


def test_a_constant_node_is_differentiated_by_too() -> None:
    x = Tensor(X, constant=True)
    np.testing.assert_allclose(autodiff.grad(polynomial)(x).value, 3.0 * X**2 - 2.0)
    np.testing.assert_allclose(autodiff.hessian(polynomial)(x).value, np.diag(6.0 * X))


def test_nested_derivatives() -> None:
    f = lambda x: autodiff.exp(2.0 * x)
    for n in range(1, 6):
        f = autodiff.grad(f)
        np.testing.assert_allclose(f(0.3), 2.0**n * np.exp(0.6), rtol=1e-14)


def test_perturbations_are_not_confused() -> None:
    grad = autodiff.grad
    for found, expected in (
        (grad(lambda x: x * grad(lambda y: x + y)(1.0))(2.0), 1.0),
        (grad(lambda x: x * grad(lambda y: x * y)(1.0))(2.0), 4.0),
        (grad(lambda x: x * grad(lambda y: x + y)(x))(2.0), 1.0),
        (grad(lambda x: x * grad(lambda y: x * y)(x))(3.0), 6.0),
        (grad(lambda x: x * autodiff.vjp(lambda y: x * y, 1.0)[1](x)[0])(2.0), 12.0),
        (grad(lambda x: x * autodiff.hessian(lambda y: x * y * y)(1.0))(3.0), 12.0),
    ):
        assert type(found) is np.ndarray
        assert found == expected
    x = Tensor(3.0)
    # f reads x as an argument and as a closure; only the argument counts.
    assert grad(lambda y: x * y)(x).value == 3.0
    assert autodiff.jacobian(lambda y: x * y)(x).value == 3.0
    assert autodiff.jvp(lambda y: x * y, (x,), (1.0,))[1].value == 3.0
    assert autodiff.gradients(grad(lambda y: x * y)(x), x).value == 1.0


def test_a_node_from_outside_that_needs_a_gradient_is_not_cut_off() -> None:
    w = Tensor(X, name="w")
    gradient = autodiff.grad(lambda x: (w * x * x).sum())(X)
    assert isinstance(gradient, autodiff.Node)
    np.testing.assert_allclose(gradient.value, 2.0 * X * X)
    np.testing.assert_allclose(autodiff.gradients(gradient, w).value, 2.0 * X)
    constant = Tensor(X, constant=True)
    assert type(autodiff.grad(lambda x: (constant * x * x).sum())(X)) is np.ndarray
    assert type(autodiff.jacobian(lambda x: constant * x)(X)) is np.ndarray


def test_what_a_function_makes_for_itself_is_not_from_outside() -> None:
    found = autodiff.grad(lambda x: (Tensor(X) * x * x).sum())(X)
    assert type(found) is np.ndarray
    np.testing.assert_allclose(found, 2.0 * X * X)
    outside = Tensor(X)
    step = autodiff.compile(
        lambda a: autodiff.grad(lambda x: (outside * Tensor(X) * x * x).sum())(a)
    )
    np.testing.assert_allclose(step(X), 2.0 * X**3)

    @autodiff.compile
    def of_tensor(a: Any) -> Any:
        gradient = autodiff.grad(lambda x: (outside * x * x).sum())(a)
        return autodiff.gradients(gradient, outside)  # it is a node: nothing was cut off

    np.testing.assert_allclose(of_tensor(X), 2.0 * X)


def test_functions_that_use_gradients_themselves() -> None:
    def penalty(x: Any) -> Any:
        y = (x**4.0).sum()
        (g,) = autodiff.gradients(y, [x])
        return (g * g).sum()

    np.testing.assert_allclose(autodiff.grad(penalty)(X), 96.0 * X**5, rtol=1e-14)
    np.testing.assert_allclose(autodiff.hessian(penalty)(X), np.diag(480.0 * X**4), rtol=1e-14)

    def outer(x: Any) -> Any:
        return autodiff.jacobian(lambda y: y * y * x.sum())(x).sum()

    np.testing.assert_allclose(autodiff.grad(outer)(X), 2.0 * (X.sum() + X.sum()) + 0.0 * X)


# ---- vjp and jvp ----------------------------------------------------------------------


def test_vjp_may_be_called_again_and_again() -> None:
    y, back = autodiff.vjp(lambda x, a: {"x": x}["x"] * a, X, 2.0)
    np.testing.assert_array_equal(y, 2.0 * X)
    for g in (np.ones(3), X, [1, 0, 0]):
        by_x, by_a = back(g)
        np.testing.assert_allclose(by_x, 2.0 * np.asarray(g))
        np.testing.assert_allclose(by_a, np.sum(g * X))
        by_x[...] = np.nan
    with pytest.raises(ShapeError, match=r"result has shape \(3,\), its gradient has shape \(2,\)"):
        back(np.ones(2))
    node = back(Tensor(X))
    assert isinstance(node[0], autodiff.Node)
    value, _, aux = autodiff.vjp(lambda x: (x, [x * 3.0]), X, has_aux=True)
    np.testing.assert_allclose(aux[0], 3.0 * value)


def test_vjp_refuses_values_that_are_older_than_a_tensor() -> None:
    scale = Tensor(2.0, constant=True)
    _, back = autodiff.vjp(lambda x: x * x * scale, X)
    scale.assign(3.0)
    with pytest.raises(StaleValueError):
        back(X)


def test_jvp_is_a_column_of_the_jacobian(rng: np.random.Generator) -> None:
    a, x, v = rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=3)

    def f(x: Any) -> Any:
        return autodiff.softmax(a @ x) * x[0]

    y, tangent = autodiff.jvp(f, (x,), (v,))
    np.testing.assert_allclose(y, f(x))
    np.testing.assert_allclose(tangent, autodiff.jacobian(f)(x) @ v, rtol=1e-13)
    tree = {"x": x, "a": 2.0}
    y, tangent = autodiff.jvp(lambda t: f(t["x"]) * t["a"], (tree,), ({"x": v, "a": 1.0},))
    np.testing.assert_allclose(tangent, 2.0 * autodiff.jacobian(f)(x) @ v + f(x), rtol=1e-13)
    with pytest.raises(ShapeError, match="must be like the argument"):
        autodiff.jvp(f, (x,), (v[:2],))
    with pytest.raises(TypeError, match="primals is a tuple"):
        autodiff.jvp(f, x, (v,))
    with pytest.raises(TypeError, match="tuple of 1"):
        autodiff.jvp(f, (x,), (v, v))


def test_products_with_hessians(rng: np.random.Generator) -> None:
    x, v = rng.normal(size=4), rng.normal(size=4)

    def f(x: Any) -> Any:
        return autodiff.exp(x[0] * x[1]) * (x * x).sum()

    expected = autodiff.hessian(f)(x) @ v
    np.testing.assert_allclose(autodiff.hvp(f)(x, v), expected, rtol=1e-12)
    times, gradient = autodiff.make_hvp(f)(x)
    np.testing.assert_allclose(gradient, autodiff.grad(f)(x), rtol=1e-14)
    for _ in range(2):
        np.testing.assert_allclose(times(v), expected, rtol=1e-12)
    by_two = autodiff.hvp(lambda x, y: (x * y).sum(), argnums=(0, 1))(x, x, (v, 2.0 * v))
    np.testing.assert_allclose(by_two[0], 2.0 * v)
    np.testing.assert_allclose(by_two[1], v)
    with pytest.raises(TypeError, match="the vector"):
        autodiff.hvp(f)(x)
    with pytest.raises(ShapeError, match="must be like the argument"):
        autodiff.hvp(f)(x, v[:2])


def test_as_hips_autograd_has_them() -> None:
    back, y = autodiff.make_vjp(lambda x, a: a * x, 1)(X, 2.0)
    np.testing.assert_allclose(y, 2.0 * X)
    np.testing.assert_allclose(back(X), (X * X).sum())
    y, tangent = autodiff.make_jvp(lambda x: x * x)(X)(X)
    np.testing.assert_allclose(tangent, 2.0 * X * X)


# ---- refusals -------------------------------------------------------------------------


def test_what_is_no_argument_is_refused_by_name() -> None:
    def loss(x: Any) -> Any:
        return x.sum()

    with pytest.raises(TypeError, match="argument 1 to differentiate by"):
        autodiff.grad(loss, argnums=1)(X)
    with pytest.raises(TypeError, match="by name are held constant"):
        autodiff.grad(loss)(x=X)
    for argnums in (1.5, "x", None, (), (0, "a"), True):
        with pytest.raises(TypeError, match="argnums is a number"):
            autodiff.grad(loss, argnums=argnums)
    for bad in (None, "text", True):
        with pytest.raises(DTypeError, match="no array of numbers to differentiate by"):
            autodiff.grad(loss)(bad)
    for bad in (np.array(["a"]), np.array([1j]), {1, 2}, object()):
        with pytest.raises(DTypeError, match="loss: argument 0"):
            autodiff.grad(loss)(bad)


def test_what_f_returns_is_checked() -> None:
    with pytest.raises(GradientError, match=r"returned None.*return"):
        autodiff.grad(lambda x: None)(X)
    for bad in ("text", {"loss": 1.0}):
        with pytest.raises(GradientError, match="must return one array or node"):
            autodiff.grad(lambda x, bad=bad: bad)(X)
    with pytest.raises(DTypeError, match="return one array"):
        autodiff.jacobian(lambda x: (x, x))(X)


def test_an_exception_leaves_nothing_behind() -> None:
    w = Tensor(X)

    class OwnError(Exception):
        pass

    def broken(x: Any) -> Any:
        (w * x).sum()
        raise OwnError

    for transform in (
        autodiff.grad,
        autodiff.jacobian,
        autodiff.hessian,
        autodiff.elementwise_grad,
    ):
        with pytest.raises(OwnError):
            transform(broken)(X)
    assert w.parents == ()
    (w * w).sum().backward()
    np.testing.assert_allclose(w.gradient, 2.0 * X)
    assert not w.waiting_for


def test_graphs_go_away_with_the_call() -> None:
    w = Tensor(X, constant=True)
    autodiff.value_and_grad(lambda x: (w * x * x).sum())(X)
    autodiff.hessian(lambda x: (w * x * x).sum())(X)
    autodiff.jvp(lambda x: w * x, (X,), (X,))
    assert w.parents == ()


def test_names_and_documentation() -> None:
    def loss(x: Any) -> Any:
        """What is lost."""
        return x.sum()

    for name in ("grad", "value_and_grad", "jacobian", "hessian", "hvp", "elementwise_grad"):
        made = getattr(autodiff, name)(loss)
        assert made.__name__ == f"{name}_of_loss"
        assert made.__doc__ == "What is lost."
    assert not hasattr(autodiff.grad(autodiff.sin), "op")
    assert autodiff.compile(autodiff.hvp(loss), static=())(X, X).shape == (3,)
    assert autodiff.grad(np.sin)(0.0) == 1.0  # what has no signature to copy


def test_in_threads() -> None:
    found: dict[int, Any] = {}

    def work(i: int) -> None:
        found[i] = [autodiff.hessian(polynomial)(X * i), autodiff.grad(polynomial)(X * i)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, (second, first) in found.items():
        np.testing.assert_allclose(second, np.diag(6.0 * X * i))
        np.testing.assert_allclose(first, 3.0 * (X * i) ** 2 - 2.0)


def test_a_transform_costs_no_more_than_a_graph_by_hand() -> None:
    def by_hand(x: Any) -> Any:
        leaf = Tensor(x)
        y = polynomial(leaf)
        y.backward()
        return y.value, leaf.gradient

    def calls(work: Any) -> int:
        number = 0

        def count(frame: Any, event: str, argument: Any) -> None:
            nonlocal number
            number += event in ("call", "c_call")

        work(X)
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            work(X)
        finally:
            sys.setprofile(before)
        return number

    assert calls(autodiff.value_and_grad(polynomial)) <= calls(by_hand)
    assert calls(autodiff.grad(polynomial)) <= calls(by_hand)
