"""Gradients, Jacobians and products with them, under HIPS autograd's names and with its arguments.

Each takes a function and ``argnum``, the number of the argument or a tuple of numbers.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from autodiff import transform
from autodiff.array import is_operand
from autodiff.autograd.core import Applied, require_real, value_and_pull
from autodiff.autograd.core import make_jvp as _make_jvp
from autodiff.autograd.core import make_vjp as _make_vjp
from autodiff.autograd.vspaces import vspace
from autodiff.autograd.wrap_util import get_name, unary_to_nary
from autodiff.errors import AutodiffError
from autodiff.numpy import tensordot

__all__ = [
    "checkpoint",
    "deriv",
    "elementwise_grad",
    "grad",
    "grad_and_aux",
    "grad_named",
    "hessian",
    "hessian_tensor_product",
    "hessian_vector_product",
    "holomorphic_grad",
    "jacobian",
    "make_ggnvp",
    "make_hvp",
    "make_jvp",
    "make_jvp_reversemode",
    "make_vjp",
    "multigrad_dict",
    "tensor_jacobian_product",
    "value_and_grad",
    "vector_jacobian_product",
]

Function = Callable[..., Any]

_recorded = functools.partial(unary_to_nary, recorded=True)

make_vjp = unary_to_nary(_make_vjp)
make_jvp = unary_to_nary(_make_jvp)


@_recorded
def grad(fun: Function, x: Any) -> Any:
    """The gradient of a function of one number."""
    return value_and_pull(f"Grad of {get_name(fun)}", fun, x)[1]


@_recorded
def value_and_grad(fun: Function, x: Any) -> tuple[Any, Any]:
    """The value of a function of one number, and its gradient."""
    return value_and_pull(f"value_and_grad of {get_name(fun)}", fun, x)


@_recorded
def elementwise_grad(fun: Function, x: Any) -> Any:
    """The sum of the columns of the Jacobian; its diagonal, if there is nothing else in it."""
    vjp, ans = _make_vjp(fun, x)
    return vjp(vspace(ans).ones())


@unary_to_nary
def deriv(fun: Function, x: Any) -> Any:
    """The derivative along the direction of ones."""
    return _make_jvp(fun, x)(vspace(x).ones())[1]


@_recorded
def jacobian(fun: Function, x: Any) -> Any:
    """The Jacobian with respect to one number or array: the axes of the result, then those of x.

    All rows, or all columns, are computed in one pass.
    """
    require_real(x)
    if isinstance(x, (tuple, list, dict)):
        raise TypeError("jacobian: the argument is one number or array, no container")
    found = transform.jacobian(fun)(x)
    return found[()] if isinstance(found, np.ndarray) else found


@_recorded
def hessian(fun: Function, x: Any) -> Any:
    """The exact Hessian, in one pass over the graph of the gradient."""
    require_real(x)
    shape: list[Any] = []

    def noted(x: Any) -> Any:
        y = fun(x)
        shape[:] = [y.shape if is_operand(y) else np.shape(y)]
        return y

    try:
        found = transform.hessian(noted)(x)
    except AutodiffError:
        if shape in ([()], []):
            raise
        return jacobian(jacobian(fun))(x)  # of a function of several elements
    if shape[0]:
        found = found.reshape((*shape[0], *found.shape))
    return found[()] if isinstance(found, np.ndarray) else found


def holomorphic_grad(*_: Any, **__: Any) -> NoReturn:
    """Refused: numbers are real here."""
    raise NotImplementedError(
        "holomorphic_grad: autodiff computes with real numbers; write the function in real and "
        "imaginary parts"
    )


def grad_named(fun: Function, argname: str) -> Function:
    """The gradient with respect to an argument of this name, given by position."""
    return grad(fun, list(inspect.signature(fun).parameters).index(argname))  # type: ignore[no-any-return]


@unary_to_nary
def make_hvp(fun: Function, x: Any) -> tuple[Function, Any]:
    """The function from v to the product of the Hessian and v at x, and the gradient."""
    return _make_vjp(grad(fun), x)


def hessian_tensor_product(fun: Function, argnum: Any = 0) -> Function:
    """The product of the Hessian and a tensor, which is given after the arguments."""
    fun_grad = grad(fun, argnum)

    def tensor_dot_grad(*args: Any, **kwargs: Any) -> Any:
        *arguments, tensor = args
        return tensordot(fun_grad(*arguments, **kwargs), tensor, np.ndim(tensor))

    return grad(tensor_dot_grad, argnum)  # type: ignore[no-any-return]


hessian_vector_product = hessian_tensor_product


def tensor_jacobian_product(fun: Function, argnum: Any = 0) -> Function:
    """The product of a tensor, which is given after the arguments, and the Jacobian."""

    def tensor_dot_fun(*args: Any, **kwargs: Any) -> Any:
        *arguments, tensor = args
        return tensordot(tensor, fun(*arguments, **kwargs), axes=np.ndim(tensor))

    return jacobian(tensor_dot_fun, argnum)  # type: ignore[no-any-return]


vector_jacobian_product = tensor_jacobian_product


@unary_to_nary
def make_jvp_reversemode(fun: Function, x: Any) -> Function:
    """The function from v to (dy/dx) v at x, computed once."""
    return Applied(f"make_jvp_reversemode of {get_name(fun)}", fun, x).push


def _half_sum_of_squares(x: Any) -> Any:
    return 0.5 * (x**2).sum(-1)


def make_ggnvp(f: Function, g: Function = _half_sum_of_squares, f_argnum: Any = 0) -> Function:
    """Products of vectors with the generalised Gauss-Newton matrix of g(f(x))."""

    @unary_to_nary
    def made(f: Function, x: Any) -> Function:
        f_vjp, f_x = _make_vjp(f, x)
        g_hvp, _ = _make_vjp(grad(g), f_x)
        f_jvp = make_jvp_reversemode(f)(x)
        return lambda v: f_vjp(g_hvp(f_jvp(v)))

    return made(f, f_argnum)  # type: ignore[no-any-return]


@unary_to_nary
def grad_and_aux(fun: Function, x: Any) -> tuple[Any, Any]:
    """The gradient of the first of two results, and the second."""
    vjp, (ans, aux) = _make_vjp(lambda x: tuple(fun(x)), x)
    return vjp((vspace(ans).ones(), vspace(aux).zeros())), aux


def multigrad_dict(fun: Function) -> Function:
    """The gradients with respect to all arguments, in a dictionary by their names."""
    signature = inspect.signature(fun)
    parameters = signature.parameters.values()
    several = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    rest = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)

    def called(arguments: dict[str, Any]) -> Any:
        own = [value for name, value in arguments.items() if name not in (several, rest)]
        more = tuple(arguments[several]) if several else ()
        return fun(*own, *more, **(dict(arguments[rest]) if rest else {}))

    def gradients(*args: Any, **kwargs: Any) -> dict[str, Any]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        found: dict[str, Any] = grad(called)(dict(bound.arguments))
        return found

    return gradients


def checkpoint(fun: Function) -> Function:
    """The function itself: programs keep what they need, and nothing is computed twice."""

    @functools.wraps(fun)
    def same(*args: Any, **kwargs: Any) -> Any:
        return fun(*args, **kwargs)

    return same
