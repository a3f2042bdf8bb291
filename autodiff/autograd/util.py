"""Small helpers that programs on HIPS autograd import from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["func", "quick_grad_check", "subval", "subvals"]


def subvals(x: Iterable[Any], pairs: Iterable[tuple[int, Any]]) -> tuple[Any, ...]:
    """x as a tuple, with the values of `pairs` in place of those at their positions."""
    items = list(x)
    for i, value in pairs:
        items[i] = value
    return tuple(items)


def subval(x: Iterable[Any], i: int, value: Any) -> tuple[Any, ...]:
    """x as a tuple, with `value` in place of item i."""
    return subvals(x, [(i, value)])


def func(f: Any) -> Any:
    """The function itself."""
    return f


def quick_grad_check(
    fun: Callable[..., Any],
    arg0: Any,
    extra_args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    **_: Any,
) -> None:
    """Check the gradient of `fun` with respect to its first argument, once, backward."""
    from autodiff.autograd.test_util import check_grads

    check_grads(lambda x: fun(x, *extra_args, **(kwargs or {})), modes=["rev"], order=1)(arg0)
