"""How an op is declared: the decorated function *is* the forward rule, written with NumPy.

The decorator adds the shape rule, the backward rules, what those read, and examples on which the
generic tests, the benchmarks and the documentation run.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from autodiff.apply import public_function
from autodiff.op import OPS, OUTPUT, BackwardRule, Example, Op, ShapeRule, broadcast_shape

__all__ = ["OpFunction", "declare"]


class OpFunction(Protocol):
    """The public function of an op: call it with arrays or nodes; `op` is the record."""

    op: Op

    def __call__(self, *inputs: Any, **attributes: Any) -> Any:
        """Apply the op."""
        ...


def declare(
    *,
    backward: BackwardRule | tuple[BackwardRule | None, ...] | None,
    reads: str = "",
    shape: ShapeRule | None = None,
    examples: Sequence[Example],
) -> Callable[[Callable[..., Any]], OpFunction]:
    """Turn a forward rule into an op and enter it into the table.

    Positional parameters of the function are inputs, keyword-only ones attributes; a
    leading underscore in its name (of a function that a public one wraps) is dropped.
    Without a `shape` rule the op is elementwise and its operands broadcast.

    Raises
    ------
    ValueError
        If the name is taken, or rules and parameters do not match.
    """

    def decorate(function: Callable[..., Any]) -> OpFunction:
        parameters = inspect.signature(function).parameters.values()
        variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        inputs = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        rules = backward if isinstance(backward, tuple) else (backward,)
        name = function.__name__.removeprefix("_")
        read = frozenset(reads.split())
        if name in OPS:
            raise ValueError(f"op {name!r} is declared already")
        if len(rules) != len(inputs) or not read <= {OUTPUT, *inputs}:
            raise ValueError(f"op {name!r}: backward or reads do not match {inputs}")
        formula = (inspect.getdoc(function) or "").partition("\n")[0]
        op = Op(
            name=name,
            inputs=inputs,
            shape=shape or functools.partial(broadcast_shape, name, inputs),
            forward=function,
            backward=rules,
            reads=read,
            elementwise=shape is None,
            variadic=variadic,
            examples=tuple(examples),
            formula=formula,
        )
        OPS[name] = op

        keywords = frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        return public_function(op, function, keywords)  # type: ignore[no-any-return]

    return decorate
