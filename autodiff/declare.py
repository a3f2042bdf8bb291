"""How an op is declared: the decorated function *is* the forward rule, written with NumPy.

The decorator adds the shape rule, the backward rules, what those read, how public arguments become
operands and attributes, and examples on which the generic tests, the benchmarks and the
documentation run. What it hands back is the public function.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, overload

from autodiff.apply import apply, caller
from autodiff.op import (
    OPS,
    OUTPUT,
    OUTPUT_OF,
    ArgumentRule,
    BackwardRule,
    Example,
    Op,
    ShapeRule,
    broadcast_shape,
)
from autodiff.remembered import remembering

__all__ = ["NAMES", "WATCHERS", "OpFunction", "declare", "numpy_name"]

P = ParamSpec("P")

NAMES: dict[str, Callable[..., Any]] = {}
"""What serves a function of NumPy's when it is given a node, by its dotted name."""
WATCHERS: list[Callable[[str], None]] = []
"""Who is told of each name that comes into the table."""


class OpFunction(Protocol[P]):
    """The public function of an op: call it with arrays or nodes; `op` is the record.

    normal : the same for operands and attributes in normal form, which are not looked at again.
    """

    op: Op
    normal: Callable[..., Any]

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> Any:
        """Apply the op."""
        ...


@overload
def declare(
    *,
    backward: BackwardRule | tuple[BackwardRule | None, ...] | None,
    reads: str = "",
    shape: ShapeRule | None = None,
    examples: Sequence[Example],
    arguments: Callable[Concatenate[str, P], Any],
    **facts: Any,
) -> Callable[[Callable[..., Any]], OpFunction[P]]: ...


@overload
def declare(
    *,
    backward: BackwardRule | tuple[BackwardRule | None, ...] | None,
    reads: str = "",
    shape: ShapeRule | None = None,
    examples: Sequence[Example],
    arguments: None = None,
    **facts: Any,
) -> Callable[[Callable[P, Any]], OpFunction[P]]: ...


def declare(
    *,
    backward: BackwardRule | tuple[BackwardRule | None, ...] | None,
    reads: str = "",
    shape: ShapeRule | None = None,
    examples: Sequence[Example],
    **facts: Any,
) -> Callable[[Callable[..., Any]], OpFunction[...]]:
    """Turn a forward rule into an op and enter it into the table.

    Positional parameters of the function are inputs, keyword-only ones attributes. Without a
    `shape` rule the op is elementwise and its operands broadcast.

    With `outputs`, several names, the function returns a tuple; so does the `shape` rule, and
    without one each output has the shape to which the operands broadcast.

    facts : the other fields of :class:`autodiff.op.Op`, as its documentation has them. Unless it is
        said, an elementwise op is correctly rounded, and one that moves elements exact.

    Raises
    ------
    ValueError
        If the name is taken, or rules and parameters do not match.
    """

    def decorate(function: Callable[..., Any]) -> OpFunction[...]:
        parameters = inspect.signature(function).parameters.values()
        variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        inputs = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        rules = backward if isinstance(backward, tuple) else (backward,)
        name = function.__name__
        read = frozenset(reads.split())
        outputs = facts.get("outputs", (OUTPUT,))
        if name in OPS or name == OUTPUT_OF.name:
            raise ValueError(f"op {name!r} is declared already")
        if len(rules) != len(inputs) or not read <= {*outputs, *inputs}:
            raise ValueError(f"op {name!r}: backward or reads do not match {inputs}")
        if len({*outputs, *inputs}) < len(outputs) + len(inputs) or not outputs:
            raise ValueError(f"op {name!r}: outputs {outputs} and inputs {inputs} need names")
        formula = (inspect.getdoc(function) or "").partition("\n")[0]
        known = {"ulps": 0.5} if shape is None else {"ulps": 0.0} if facts.get("moves") else {}
        op = Op(
            name=name,
            inputs=inputs,
            shape=shape or _broadcasting(name, inputs, len(outputs)),
            forward=function,
            backward=rules,
            reads=read,
            elementwise=shape is None and len(outputs) == 1,
            variadic=variadic,
            examples=tuple(examples),
            formula=formula,
            attributes=tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY),
            **{**known, **facts},
        )
        if op.arguments is None:
            public = _plain_function(op, function)
        else:
            public = _normalising_function(op, op.arguments, function)
        public.op = op
        public.normal = functools.partial(_apply_normal, op)
        numpy_name(*op.numpy)(public)
        OPS[name] = op
        return public  # type: ignore[no-any-return]

    return decorate


def _broadcasting(name: str, inputs: tuple[str, ...], n_outputs: int) -> ShapeRule:
    """The shape rule of an op that works element by element."""
    broadcast = functools.partial(broadcast_shape, name, inputs)
    if n_outputs == 1:
        return broadcast
    return lambda *shapes, **attributes: (broadcast(*shapes, **attributes),) * n_outputs


def numpy_name(*names: str) -> Callable[[Any], Any]:
    """Let the decorated function serve NumPy's functions of these dotted names.

    Its parameters are NumPy's by name, or by position where neither has the other's name. What it
    has no parameter for is refused, unless it says what is so anyway. An op says its names in its
    record; this is for functions that are said with ops.

    Raises
    ------
    ValueError
        If the name is taken.
    """

    def decorate(function: Any) -> Any:
        for name in names:
            if name in NAMES:
                raise ValueError(f"{name} is served already")
            NAMES[name] = function
            for watch in WATCHERS:
                watch(name)
        return function

    return decorate


def _apply_normal(op: Op, *operands: Any, **attributes: Any) -> Any:
    return apply(op, operands, attributes)


def _plain_function(op: Op, function: Callable[..., Any]) -> Any:
    """The function that users call for `op`, with the name and docstring of `function`."""
    n_operands = len(op.inputs)
    keywords = frozenset(op.attributes)

    @functools.wraps(function)
    def call(*operands: Any, **attributes: Any) -> Any:
        if attributes.keys() != keywords or len(operands) != n_operands:
            operands, attributes = _arranged(op, keywords, operands, attributes)
        return apply(op, operands, attributes)

    return functools.wraps(function)((remembering if keywords else caller)(op, call))


def _normalising_function(op: Op, arguments: ArgumentRule, function: Callable[..., Any]) -> Any:
    """As :func:`_plain_function`, for an op that says what arguments it takes."""
    name = op.name
    signature = inspect.signature(arguments)
    signature = signature.replace(
        parameters=list(signature.parameters.values())[1:],
        return_annotation=inspect.signature(function).return_annotation,
    )

    @functools.wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        try:
            operands, attributes = arguments(name, *given, **named)
        except TypeError:
            _check_fit(name, signature, given, named)
            raise
        return operands if attributes is None else apply(op, operands, attributes)

    # Without attributes what fits the shape rule is left as it is.
    call = functools.wraps(function)((remembering if op.attributes else caller)(op, call))
    call.__signature__ = signature  # type: ignore[attr-defined]
    return call


def _check_fit(
    name: str, signature: inspect.Signature, given: tuple[Any, ...], named: Mapping[str, Any]
) -> None:
    """Raise TypeError, as Python would, if the arguments do not fit the signature."""
    try:
        signature.bind(*given, **named)
    except TypeError as error:
        accepts = ", ".join(signature.parameters)
        raise TypeError(f"{name}() {error}; it takes ({accepts})") from None


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
