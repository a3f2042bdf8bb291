"""Functions of your own with gradients of your own: autodiff.extend."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor, extend
from autodiff.errors import GradientError, RecordingError, ShapeError

X = np.array([0.5, -1.25, 2.0])


@extend.primitive
def cube(x: Any) -> Any:
    """x³, by a loop over numbers."""
    return np.array([float(xi) ** 3 for xi in np.ravel(x)]).reshape(np.shape(x))


extend.defvjp(cube, lambda z, x: lambda g: g * 3.0 * x * x)


@extend.primitive
def scaled(x: Any, n: int, y: Any, *, shift: float = 0.0) -> Any:
    assert type(n) is int
    return x * n * y + shift


extend.defvjp(
    scaled,
    lambda z, x, n, y, shift=0.0: lambda g: g * n * y,
    None,
    lambda z, x, n, y, shift=0.0: lambda g: g * n * x,
)


def test_without_nodes_it_is_the_function() -> None:
    assert type(cube(X)) is np.ndarray
    assert cube.__doc__ == "x³, by a loop over numbers."
    assert scaled(2.0, 3, 4.0, shift=1.0) == 25.0


def test_gradients() -> None:
    np.testing.assert_allclose(autodiff.grad(lambda x: cube(x).sum())(X), 3.0 * X**2)
    np.testing.assert_allclose(autodiff.hessian(lambda x: cube(x).sum())(X), np.diag(6.0 * X))
    np.testing.assert_allclose(autodiff.jacobian(cube)(X), np.diag(3.0 * X**2))
    np.testing.assert_allclose(autodiff.jacobian(cube, mode="forward")(X), np.diag(3.0 * X**2))
    x = Tensor(X)
    y = cube(x)
    assert y.typename == "primitive cube"
    np.testing.assert_allclose(y.value, X**3)
    y.sum().backward()
    np.testing.assert_allclose(x.gradient, 3.0 * X**2)
    x.assign(2.0 * X)
    np.testing.assert_allclose(y.forward(), 8.0 * X**3)


def test_arguments_of_all_kinds() -> None:
    gradients = autodiff.grad(lambda x, y: scaled(x, 3, y, shift=1.0).sum(), argnums=(0, 1))(
        X, 2.0 * X
    )
    np.testing.assert_allclose(gradients[0], 6.0 * X)
    np.testing.assert_allclose(gradients[1], 3.0 * X)
    np.testing.assert_allclose(autodiff.grad(lambda x: scaled(x, 3, X).sum())(X), 3.0 * X)
    with pytest.raises(GradientError, match="shift is given by name"):
        scaled(X, 3, X, shift=Tensor(1.0))


def test_derivatives_along_a_direction_give_gradients() -> None:
    @extend.primitive
    def sine(x: Any) -> Any:
        return np.array([np.sin(float(xi)) for xi in x])

    extend.defjvp(sine, lambda v, z, x: v * autodiff.cos(x))
    f = lambda x: (sine(x) * x[0]).sum()
    expected = lambda x: (autodiff.sin(x) * x[0]).sum()
    for transform in (autodiff.grad, autodiff.hessian, autodiff.jacobian):
        np.testing.assert_allclose(transform(f)(X), transform(expected)(X), rtol=1e-14)
    _, tangent = autodiff.jvp(sine, (X,), (X,))
    np.testing.assert_allclose(tangent, X * np.cos(X))


def test_linear_functions() -> None:
    a = np.arange(6.0).reshape(2, 3)

    @extend.primitive
    def times(x: Any) -> Any:
        return np.array([a[0] @ np.asarray(x), a[1] @ np.asarray(x)])

    extend.defjvp(times, lambda v, z, x: autodiff.numpy.stack([a[0] @ v, a[1] @ v]))
    np.testing.assert_allclose(autodiff.jacobian(times)(X), a)

    @extend.primitive
    def product(x: Any, y: Any) -> Any:
        return x * y

    extend.defjvp(product, "same", None)
    y = product(Tensor(X), Tensor(X))
    assert y.needs_gradient

    @extend.primitive
    def doubled(x: Any) -> Any:
        return 2.0 * x

    extend.defvjp(doubled, lambda z, x: lambda g: doubled(g))
    np.testing.assert_allclose(
        autodiff.hessian(lambda x: (doubled(x) * x).sum())(X), 4.0 * np.eye(3)
    )


def test_all_gradients_at_once() -> None:
    calls: list[Any] = []

    @extend.primitive
    def product(x: Any, y: Any) -> Any:
        return np.asarray(x) * np.asarray(y)

    def vjps(argnums: Any, z: Any, arguments: Any, named: Any) -> Any:
        x, y = arguments

        def back(g: Any) -> Any:
            calls.append(argnums)
            return [g * (y, x)[i] for i in argnums]

        return back

    extend.defvjp_argnums(product, vjps)
    first, second = autodiff.grad(lambda x, y: product(x, y).sum(), argnums=(0, 1))(X, 2.0 * X)
    np.testing.assert_allclose(first, 2.0 * X)
    np.testing.assert_allclose(second, X)
    assert calls == [(0, 1)]

    @extend.primitive
    def difference(x: Any, y: Any) -> Any:
        return x - y

    extend.defvjp_argnum(difference, lambda i, z, arguments, named: lambda g: (g, -g)[i])
    assert autodiff.grad(lambda x, y: difference(x, y), argnums=(0, 1))(1.0, 2.0) == (1.0, -1.0)


def test_several_results() -> None:
    @extend.primitive
    def both(x: Any) -> Any:
        return np.sin(np.asarray(x)), np.asarray(x).sum()

    extend.defvjp(both, lambda z, x: lambda g: g[0] * autodiff.cos(x) + g[1])

    def f(x: Any) -> Any:
        sines, total = both(x)
        return (sines * total).sum()

    def expected(x: Any) -> Any:
        return (autodiff.sin(x) * x.sum()).sum()

    np.testing.assert_allclose(autodiff.grad(f)(X), autodiff.grad(expected)(X), rtol=1e-14)
    np.testing.assert_allclose(autodiff.hessian(f)(X), autodiff.hessian(expected)(X), rtol=1e-13)
    step = autodiff.compile(autodiff.grad(f))
    np.testing.assert_allclose(step(X), autodiff.grad(f)(X), rtol=1e-14)


def test_what_is_not_told_is_refused() -> None:
    @extend.primitive
    def unknown(x: Any, y: Any) -> Any:
        return x * y

    with pytest.raises(
        GradientError, match=r"unknown: no gradient for its argument 0 is told.*argnums"
    ):
        autodiff.grad(lambda x: unknown(x, 1.0))(2.0)
    extend.defvjp(unknown, lambda z, x, y: lambda g: g * x, argnums=(1,))
    assert autodiff.grad(lambda y: unknown(3.0, y))(2.0) == 3.0
    with pytest.raises(GradientError, match="argument 0"):
        autodiff.grad(lambda x: unknown(x, 1.0))(2.0)
    with pytest.raises(TypeError, match="is no primitive"):
        extend.defvjp(np.sin, lambda z, x: lambda g: g)
    with pytest.raises(TypeError, match="is no function"):
        extend.defvjp(unknown, 3.0)  # type: ignore[arg-type]


def test_a_rule_that_gives_numbers_cannot_be_differentiated_again() -> None:
    @extend.primitive
    def square(x: Any) -> Any:
        return np.asarray(x) ** 2.0

    extend.defvjp(
        square, lambda z, x: lambda g: np.array(2.0 * np.asarray(g.tolist()) * x.tolist())
    )
    np.testing.assert_allclose(autodiff.grad(lambda x: square(x).sum())(X), 2.0 * X)
    np.testing.assert_allclose(autodiff.jacobian(square)(X), np.diag(2.0 * X))
    with pytest.raises(GradientError, match=r"square.*cannot be differentiated again"):
        autodiff.hessian(lambda x: square(x).sum())(X)


def test_gradients_of_other_shapes() -> None:
    @extend.primitive
    def add(x: Any, y: Any) -> Any:
        return x + y

    extend.defvjp(add, lambda z, x, y: lambda g: g, lambda z, x, y: lambda g: g)
    first, second = autodiff.grad(lambda x, y: add(x, y).sum(), argnums=(0, 1))(X, 1.0)
    np.testing.assert_array_equal(first, np.ones(3))
    assert second == 3.0  # summed over what was broadcast


def test_functions_without_gradient() -> None:
    @extend.notrace_primitive
    def count(x: Any) -> int:
        return int((np.asarray(x) > 0.0).sum())

    assert count(Tensor(X)) == 2
    assert autodiff.grad(lambda x: (x * count(x)).sum())(X).tolist() == [2.0, 2.0, 2.0]


# ---- in compiled steps ----------------------------------------------------------------


def test_in_compiled_steps() -> None:
    def f(x: Any) -> Any:
        return (cube(x) * x[0] + scaled(x, 2, x, shift=1.0)).sum()

    for function in (autodiff.value_and_grad(f), autodiff.hessian(f), autodiff.jacobian(cube)):
        step = autodiff.compile(function)
        for x in (X, 3.0 * X):
            found, expected = step(x), function(x)
            if isinstance(found, tuple):
                np.testing.assert_allclose(found[0], expected[0], rtol=1e-13)
                found, expected = found[1], expected[1]
            np.testing.assert_allclose(found, expected, rtol=1e-13)
    program = autodiff.compile(autodiff.grad(f)).program(X)
    assert "call_back" in program  # the loop over numbers
    assert program.count("call_back") == 1  # what is written with operators is not called back


def test_shapes_without_numbers() -> None:
    @extend.primitive
    def positive(x: Any) -> Any:
        x = np.asarray(x)
        if (x <= 0.0).any():
            raise ValueError("not positive")
        return np.outer(np.log(x), x[:2])

    extend.defvjp(positive, lambda z, x: lambda g: (g @ x[:2]) / x)
    step = autodiff.compile(positive)
    np.testing.assert_allclose(step(np.array([1.0, 2.0, 3.0])), positive(np.array([1.0, 2.0, 3.0])))
    with pytest.raises(ValueError, match="not positive"):
        step(-X)

    @extend.primitive
    def never(x: Any) -> Any:
        raise ValueError("no such number")

    with pytest.raises(RecordingError, match=r"made-up.*no such number"):
        autodiff.compile(never)(X)

    @extend.primitive
    def by_value(x: Any) -> Any:
        x = np.asarray(x)
        return x[x > 1.0]

    np.testing.assert_array_equal(by_value(Tensor(X)).value, [2.0])
    with pytest.raises(ShapeError):
        autodiff.compile(by_value)(X)


def test_batches_are_computed_element_by_element() -> None:
    xs = np.stack([X, 2.0 * X])
    np.testing.assert_allclose(autodiff.vmap(cube)(xs), xs**3)
    found = autodiff.vmap(autodiff.grad(lambda x: cube(x).sum()))(xs)
    np.testing.assert_allclose(found, 3.0 * xs**2)


def test_primitives_go_away() -> None:
    @extend.primitive
    def short_lived(x: Any) -> Any:
        return x * 1.0

    extend.defvjp(short_lived, lambda z, x: lambda g: g)
    autodiff.grad(short_lived)(1.0)
    gone = weakref.ref(short_lived)
    del short_lived
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("name", ["square", "exp", "sum", "logsumexp", "add", "matmul", "where"])
def test_a_function_may_have_the_name_of_an_op(name: str) -> None:
    """It gets neither the op's kernel nor its instruction."""

    def function(x: Any) -> Any:
        return 7.0 * x

    function.__name__ = name
    ours = extend.primitive(function)
    extend.defvjp(ours, lambda z, x: lambda g: 5.0 * g)
    x = np.array([1.0, 2.0])
    for both in (value_and_grad_of(ours), autodiff.compile(value_and_grad_of(ours))):
        value, gradient = both(x)
        assert value == 21.0
        np.testing.assert_array_equal(gradient, [5.0, 5.0])


def value_and_grad_of(function: Any) -> Any:
    return autodiff.value_and_grad(lambda x: autodiff.sum(function(x)))
