"""How an op is declared: the decorated function *is* the forward rule, written with NumPy.

The decorator adds the shape rule, the backward rules, what those read, and examples on which the
generic tests, the benchmarks and the documentation run.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from autodiff.apply import apply, caller
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
    **facts: Any,
) -> Callable[[Callable[..., Any]], OpFunction]:
    """Turn a forward rule into an op and enter it into the table.

    Positional parameters of the function are inputs, keyword-only ones attributes; a
    leading underscore in its name (of a function that a public one wraps) is dropped.
    Without a `shape` rule the op is elementwise and its operands broadcast.

    facts : the other fields of :class:`autodiff.op.Op`, as its documentation has them. Unless it is
        said, an elementwise op is correctly rounded, and one that moves elements exact.

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
        if shape is None or facts.get("moves"):
            facts.setdefault("ulps", 0.5 if shape is None else 0.0)
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
            **facts,
        )
        OPS[name] = op

        keywords = frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        return _public_function(op, function, keywords)  # type: ignore[no-any-return]

    return decorate


def _public_function(op: Op, function: Callable[..., Any], keywords: frozenset[str]) -> Any:
    """The function that users call for `op`, with the name and docstring of `function`."""
    n_operands = len(op.inputs)

    @functools.wraps(function)
    def call(*operands: Any, **attributes: Any) -> Any:
        if attributes.keys() != keywords or len(operands) != n_operands:
            operands, attributes = _arranged(op, keywords, operands, attributes)
        return apply(op, operands, attributes)

    if not keywords:
        call = functools.wraps(function)(caller(op, call))
    call.op = op  # type: ignore[attr-defined]
    return call


def _arranged(
    op: Op, keywords: frozenset[str], operands: tuple[Any, ...], attributes: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Operands and attributes of a call, some operands given by name; TypeError if they fit not."""
    names = () if op.variadic else op.inputs
    known = keywords.union(names)
    accepts = ", ".join([*(f"*{n}" if op.variadic else n for n in op.inputs), *sorted(keywords)])
    for given in attributes:
        if given not in known:
            raise TypeError(f"{op.name}: there is no argument {given!r}; it takes ({accepts})")
    if len(operands) > len(names) and not op.variadic:
        raise TypeError(f"{op.name}: {len(operands)} operands are given; it takes ({accepts})")
    for name in names[: len(operands)]:
        if name in attributes:
            raise TypeError(f"{op.name}: {name!r} is given twice")
    rest = names[len(operands) :]
    missing = [n for n in (*rest, *sorted(keywords)) if n not in attributes]
    if missing:
        raise TypeError(f"{op.name}: {', '.join(missing)} must be given; it takes ({accepts})")
    found = (*operands, *(attributes[n] for n in rest))
    return found, {k: v for k, v in attributes.items() if k in keywords}
