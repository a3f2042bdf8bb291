"""Functions whose graph does not change; here they are the functions themselves."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

__all__ = ["const_graph"]


def const_graph(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
    """`fun` with these arguments given; :func:`autodiff.compile` is what makes it fast."""
    return functools.partial(fun, *args, **kwargs)
