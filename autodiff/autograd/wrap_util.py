"""From functions of one argument to functions of several, as HIPS autograd spells it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

from autodiff.autograd.compiling import Recorded, wanted
from autodiff.autograd.util import subvals

__all__ = ["get_doc", "get_name", "unary_to_nary", "wrap_nary_f", "wraps"]

Function = Callable[..., Any]


def get_name(function: Any) -> str:
    """What a function is called."""
    return getattr(function, "__name__", "[unknown name]")


def get_doc(function: Any) -> str:
    """Its docstring."""
    return getattr(function, "__doc__", "") or ""


def wraps(
    function: Any, namestr: str = "{fun}", docstr: str = "{doc}", **named: Any
) -> Callable[[Function], Function]:
    """Name and docstring for a function that stands for another."""

    def decorate(wrapper: Function) -> Function:
        with contextlib.suppress(AttributeError, KeyError, ValueError):
            wrapper.__name__ = namestr.format(fun=get_name(function), **named)
            wrapper.__doc__ = docstr.format(fun=get_name(function), doc=get_doc(function), **named)
        return wrapper

    return decorate


def wrap_nary_f(function: Any, operator: Any, argnum: Any) -> Callable[[Function], Function]:
    """Name and docstring for what an operator makes of a function."""
    docstr = (
        "{op} of function {fun} with respect to argument number {argnum}. Takes the\n"
        "same arguments as {fun} but returns the {op}."
    )
    name = "{op}_of_{fun}_wrt_argnum_{argnum}"
    return wraps(function, name, docstr, op=get_name(operator), argnum=argnum)


def unary_to_nary(unary_operator: Function, recorded: bool = False) -> Function:
    """An operator on functions of one argument, for functions of several.

    ``argnum`` is the number of the argument, or a tuple of numbers. With `recorded`, what the
    operator gives may be recorded and replayed, see :mod:`autodiff.autograd.compiling`.
    """

    @functools.wraps(unary_operator)
    def nary_operator(fun: Function, argnum: Any = 0, *more: Any, **named: Any) -> Function:
        if type(argnum) not in (int, tuple, list):
            raise AssertionError(f"argnum is a number or a tuple of numbers, not {argnum!r}")

        name = get_name(fun)

        def nary_f(*args: Any, **kwargs: Any) -> Any:
            one = isinstance(argnum, int)
            x = args[argnum] if one else tuple(args[i] for i in argnum)

            def unary_f(x: Any) -> Any:
                given = [(argnum, x)] if one else zip(argnum, x, strict=True)
                return fun(*subvals(args, given), **kwargs)

            unary_f.__name__ = name
            return unary_operator(unary_f, x, *more, **named)

        if not recorded or more or named:
            return wrap_nary_f(fun, unary_operator, argnum)(nary_f)
        replayed = Recorded(nary_f, argnum, fun)

        @wrap_nary_f(fun, unary_operator, argnum)
        def choose(*args: Any, **kwargs: Any) -> Any:
            return replayed(args, kwargs) if wanted() else nary_f(*args, **kwargs)

        return choose

    return nary_operator
