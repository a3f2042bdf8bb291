"""Einstein's summation, said with transposes, reshapes, products and sums.

What is to be done follows from subscripts and shapes. It is found once for each of these and kept:
operands are joined two at a time, each pair as one stacked matrix product where something is
summed, else as a product element by element.
"""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from autodiff.array import Shape
from autodiff.declare import numpy_name
from autodiff.errors import ShapeError
from autodiff.ops.arguments import brief, operand, several, whole_number
from autodiff.ops.arithmetic import multiply
from autodiff.ops.linear import matmul
from autodiff.ops.parts import getitem
from autodiff.ops.reduce import sum as sum_over
from autodiff.ops.shape import reshape, transpose
from autodiff.refusal import refusal

__all__: list[str] = []

Labels: TypeAlias = tuple[Any, ...]  # a letter or number for each axis; Ellipsis for several

_MOST_PATH_LABELS = len(string.ascii_letters)  # NumPy's search for an order takes letters


@numpy_name("numpy.einsum")
def einsum(*operands: Any, optimize: Any = False) -> Any:
    """z = Σ of products of the operands, by subscripts, as NumPy has it.

    All forms are taken: ``einsum("ij,jk->ik", x, y)``, an output that is left out, ``...``,
    repeated subscripts (diagonals), and lists of numbers, ``einsum(x, [0, 1], y, [1, 2], [0, 2])``.

    optimize : in which order more than two operands are joined: a path, or how NumPy is to look for
        one (``numpy.einsum_path``). Without, the greedy order.
    """
    arrays, terms, output = _parsed(operands)
    arrays = [operand("einsum", x, f"operands[{i}]") for i, x in enumerate(arrays)]
    if not isinstance(optimize, (bool, str, type(None))):
        optimize = tuple(tuple(x) if isinstance(x, list) else x for x in optimize)
    try:
        plan = _planned(tuple(terms), output, tuple([x.shape for x in arrays]), optimize)
    except _UnfitError as error:
        raise refusal(
            ShapeError,
            f"einsum: {error}",
            **{f"operands[{i}]": x for i, x in enumerate(arrays)},
        ) from None
    slots = list(arrays)
    for step in plan.steps:
        slots.append(step.function(*[slots[i] for i in step.inputs], **step.attributes))
    return slots[plan.result]


class _UnfitError(Exception):
    """Subscripts that do not fit each other, or the operands."""


# ---- subscripts -----------------------------------------------------------------------


def _parsed(operands: Sequence[Any]) -> tuple[list[Any], list[Labels], Labels | None]:
    """The operands, their labels, and the output's labels if they are given."""
    if operands and isinstance(operands[0], str):
        return _of_text(operands[0], list(operands[1:]))
    if len(operands) < 2:
        raise refusal(ShapeError, "einsum: it takes subscripts and operands: 'ij,jk->ik', x, y")
    arrays, lists = list(operands[0::2]), list(operands[1::2])
    output = None
    if len(arrays) > len(lists):
        output = _of_list(arrays.pop())
    return arrays, [_of_list(x) for x in lists], output


def _of_list(labels: Any) -> Labels:
    items = several(labels)
    if items is None:
        raise refusal(ShapeError, f"einsum: {brief(labels)} is no list of subscripts")
    found = tuple([Ellipsis if x is Ellipsis else whole_number(x) for x in items])
    if any(x is None or (x is not Ellipsis and x < 0) for x in found):
        raise refusal(
            ShapeError, f"einsum: subscripts are whole numbers from 0, or ...: {brief(labels)}"
        )
    return found


def _of_text(text: str, arrays: list[Any]) -> tuple[list[Any], list[Labels], Labels | None]:
    given, arrow, output = text.replace(" ", "").partition("->")
    terms = [_of_term(text, term) for term in given.split(",")]
    if len(terms) != len(arrays):
        raise refusal(
            ShapeError,
            f"einsum: {text!r} has subscripts of {len(terms)} operands; {len(arrays)} are given",
        )
    return arrays, terms, _of_term(text, output) if arrow else None


def _of_term(text: str, term: str) -> Labels:
    before, dots, after = term.partition("...")
    letters = before + after
    if not all(x in string.ascii_letters for x in letters):
        raise refusal(ShapeError, f"einsum: subscripts are letters, ',', '...' and '->': {text!r}")
    return (*before, *((Ellipsis,) if dots else ()), *after)


def _spelled_out(terms: Sequence[Labels], shapes: Sequence[Shape]) -> tuple[list[Labels], Labels]:
    """The terms with a label for each axis, those of `...` numbered from the last; and those."""
    found, most = [], 0
    for i, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        missing = len(shape) - (len(term) - term.count(Ellipsis))
        if missing < 0 or (missing > 0 and Ellipsis not in term) or term.count(Ellipsis) > 1:
            raise _UnfitError(
                f"operand {i} has shape {shape}; its subscripts {_shown(term)} do not fit"
            )
        most = max(most, missing)
        dots = _dots(missing)
        found.append(tuple([y for x in term for y in (dots if x is Ellipsis else (x,))]))
    return found, _dots(most)


def _dots(n: int) -> Labels:
    """Labels of n axes that `...` stands for; they are counted from the last."""
    return tuple([(n - i,) for i in range(n)])


def _shown(labels: Iterable[Any]) -> str:
    return "".join("..." if x is Ellipsis or type(x) is tuple else str(x) for x in labels) or "''"


def _output_of(terms: Sequence[Labels], dots: Labels, output: Labels | None) -> Labels:
    """The labels of the output, one an axis."""
    flat = [x for term in terms for x in term]
    if output is None:  # those that are there once, in order
        once = [x for x in set(flat) if type(x) is not tuple and flat.count(x) == 1]
        return (*dots, *sorted(once))
    if dots and Ellipsis not in output:
        raise _UnfitError("the output has no '...', but the operands have axes for it")
    found = tuple([y for x in output for y in (dots if x is Ellipsis else (x,))])
    for x in found:
        if x not in flat:
            raise _UnfitError(f"the output's subscript {x!r} is in no operand")
        if found.count(x) > 1:
            raise _UnfitError(f"the output has the subscript {_shown([x])!r} twice")
    return found


def _sizes(terms: Sequence[Labels], shapes: Sequence[Shape]) -> dict[Any, int]:
    """The size of each label; axes of size 1 are repeated."""
    sizes: dict[Any, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, n in zip(term, shape, strict=True):
            known = sizes.setdefault(label, n)
            if known == 1:
                sizes[label] = n
            elif n not in (1, known):
                raise _UnfitError(f"subscript {_shown([label])!r} has sizes {known} and {n}")
    return sizes


# ---- plans ----------------------------------------------------------------------------


class _Step(NamedTuple):
    """One op, of values by their numbers."""

    function: Callable[..., Any]
    inputs: tuple[int, ...]
    attributes: dict[str, Any]


class _Plan:
    """The ops that make an output of operands.

    steps : operands have the first numbers, then each step's value has one. result : the output's.
    """

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self.shapes = list(shapes)
        self.steps: list[_Step] = []
        self.result = 0

    def add(self, op: Any, *inputs: int, **attributes: Any) -> int:
        """One more op; the number of its value."""
        self.shapes.append(op.op.shape(*[self.shapes[i] for i in inputs], **attributes))
        self.steps.append(_Step(op.normal, inputs, attributes))
        return len(self.shapes) - 1

    def reshape(self, x: int, shape: Shape) -> int:
        """The same elements in another shape."""
        return x if self.shapes[x] == shape else self.add(reshape, x, shape=shape)

    def transpose(self, x: int, have: Labels, want: Labels) -> int:
        """Axes that are labelled `have` in the order `want`."""
        order = tuple([have.index(label) for label in want])
        return x if have == want else self.add(transpose, x, axes=order)


@functools.lru_cache(maxsize=512)
def _planned(
    terms: tuple[Labels, ...], output: Labels | None, shapes: tuple[Shape, ...], optimize: Any
) -> _Plan:
    plan = _Plan(shapes)
    spelled, dots = _spelled_out(terms, shapes)
    out = _output_of(spelled, dots, output)
    sizes = _sizes(spelled, shapes)
    values = [_alone(plan, i, labels) for i, labels in enumerate(spelled)]
    known = [labels for _, labels in values]
    values = [_summed(plan, *v, {*out, *_others(known, i)}) for i, v in enumerate(values)]
    for group in _path([labels for _, labels in values], out, sizes, optimize):
        taken = [values[i] for i in group]
        values = [v for i, v in enumerate(values) if i not in group]
        first, *rest = taken
        for k, second in enumerate(rest):
            later = [labels for _, labels in (*values, *rest[k + 1 :])]
            first = _pair(plan, first, second, {*out, *_flat(later)}, out, sizes)
        values.append(first)
    ((x, labels),) = values
    present = tuple([label for label in out if label in labels])
    plan.result = plan.transpose(x, labels, present)  # all labels are, but those of size 1
    plan.result = plan.reshape(plan.result, tuple([sizes[label] for label in out]))
    return plan


def _flat(terms: Iterable[Labels]) -> set[Any]:
    return {label for term in terms for label in term}


def _others(terms: Sequence[Labels], i: int) -> set[Any]:
    return _flat([*terms[:i], *terms[i + 1 :]])


def _alone(plan: _Plan, x: int, labels: Labels) -> tuple[int, Labels]:
    """One operand, with diagonals taken of repeated labels.

    Axes of size 1 are left out; they are put back at the end.
    """
    for label in dict.fromkeys(labels):
        if labels.count(label) > 1:
            x, labels = _diagonal_of(plan, x, labels, label)
    shape = plan.shapes[x]
    kept = [i for i, n in enumerate(shape) if n != 1]
    x = plan.reshape(x, tuple([shape[i] for i in kept]))
    return x, tuple([labels[i] for i in kept])


def _summed(plan: _Plan, x: int, labels: Labels, wanted: set[Any]) -> tuple[int, Labels]:
    """One operand, summed over labels that nobody wants."""
    axes = tuple([i for i, label in enumerate(labels) if label not in wanted])
    if axes:
        x = plan.add(sum_over, x, axis=axes, keepdims=False)
    return x, tuple([label for label in labels if label in wanted])


def _diagonal_of(plan: _Plan, x: int, labels: Labels, label: Any) -> tuple[int, Labels]:
    """The diagonal of all axes that have one label; it becomes the last axis."""
    axes = [i for i, other in enumerate(labels) if other == label]
    shape = plan.shapes[x]
    n = shape[axes[0]]
    if any(shape[i] != n for i in axes):
        raise _UnfitError(
            f"subscript {label!r} is there twice in one operand, of sizes "
            f"{' and '.join(str(shape[i]) for i in axes)}"
        )
    others = [i for i in range(len(shape)) if i not in axes]
    order = (*others, *axes)
    if order != tuple(range(len(shape))):
        x = plan.add(transpose, x, axes=order)
    kept = tuple([shape[i] for i in others])
    size = n ** len(axes)
    x = plan.reshape(x, (*kept, size))
    step = sum([n**k for k in range(len(axes))])
    items = (*[(0, m, 1) for m in kept], (0, size, max(step, 1)))
    return plan.add(getitem, x, index=items), (*[labels[i] for i in others], label)


def _pair(
    plan: _Plan,
    first: tuple[int, Labels],
    second: tuple[int, Labels],
    wanted: set[Any],
    out: Labels,
    sizes: dict[Any, int],
) -> tuple[int, Labels]:
    """The product of two values, summed over what nobody wants any more."""
    shared = [label for label in first[1] if label in second[1]]
    summed = [label for label in shared if label not in wanted]
    stacks = [label for label in shared if label in wanted]
    if out:  # stacks in the order of the output, and its first row is of the first operand
        stacks.sort(key=lambda label: out.index(label) if label in out else len(out))
        rest = [label for label in out if label not in stacks]
        if rest and rest[0] in second[1]:
            first, second = second, first
    rows = [label for label in first[1] if label not in shared]
    columns = [label for label in second[1] if label not in shared]
    labels = (*stacks, *rows, *columns)
    x = plan.transpose(*first, (*stacks, *rows, *summed))
    y = plan.transpose(*second, (*stacks, *summed, *columns))
    stack, m, k, n = ([sizes[label] for label in some] for some in (stacks, rows, summed, columns))
    if summed:
        x = plan.reshape(x, (*stack, math.prod(m), math.prod(k)))
        y = plan.reshape(y, (*stack, math.prod(k), math.prod(n)))
        z = plan.add(matmul, x, y)
    else:
        x = plan.reshape(x, (*stack, *m, *[1] * len(n)))
        y = plan.reshape(y, (*stack, *[1] * len(m), *n))
        z = plan.add(multiply, x, y)
    return plan.reshape(z, (*stack, *m, *n)), labels


# ---- the order of operands ------------------------------------------------------------


def _path(
    terms: Sequence[Labels], out: Labels, sizes: dict[Any, int], optimize: Any
) -> list[tuple[int, ...]]:
    """Which values are joined, step after step; what a step gives is the last value then."""
    names = _flat([*terms, out])
    if isinstance(optimize, tuple) and optimize[:1] == ("einsum_path",):
        return _checked_path(optimize[1:], len(terms))
    if len(terms) <= 2 or len(names) > _MOST_PATH_LABELS:
        return [tuple(range(len(terms)))]
    letters = dict(zip(names, string.ascii_letters, strict=False))
    present = _flat(terms)
    spelled = ",".join("".join(letters[x] for x in term) for term in terms)
    wanted = "".join(letters[x] for x in out if x in present)
    dummies = [np.broadcast_to(0.0, tuple([sizes[x] for x in term])) for term in terms]
    how = "greedy" if isinstance(optimize, (bool, type(None))) else optimize
    path, _ = np.einsum_path(f"{spelled}->{wanted}", *dummies, optimize=how)
    return list(path[1:])


def _checked_path(path: Sequence[Any], n: int) -> list[tuple[int, ...]]:
    """A path that was given, if it joins all operands."""
    left = n
    for group in path:
        if not group or len(set(group)) < len(group) or not all(0 <= i < left for i in group):
            raise _UnfitError(f"optimize: {brief(list(path))} is no path for {n} operands")
        left -= len(group) - 1
    rest = [] if left == 1 else [tuple(range(left))]
    return [*path, *rest]
