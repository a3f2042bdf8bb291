"""What generic tests take from the table of ops: whoever declares an op is tested by them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import autodiff.ops  # noqa: F401
from autodiff.op import OPS, BoundOp, Op

__all__ = [
    "ELEMENTWISE",
    "EXAMPLES",
    "OF_THE_LIBRARY",
    "REDUCTIONS",
    "apart",
    "at_most",
    "compiles",
    "differentiable",
    "drawn",
    "is_exact",
    "of_each",
    "over",
    "parts",
    "refused",
    "slack",
    "variants",
]

OF_THE_LIBRARY = [op for op in OPS.values() if op.forward.__module__.startswith("autodiff.")]
ELEMENTWISE = [op for op in OPS.values() if op.elementwise]
REDUCTIONS = [
    op
    for op in OPS.values()
    if len(op.inputs) == 1
    and not op.moves
    and any(type(e.attributes.get("axis")) is tuple for e in op.examples)
]
"""What works along any axes: sums and their like, and those that keep the shape, as softmax."""

EXAMPLES = [
    pytest.param(op, example, id=f"{name}-{i}")
    for name, op in OPS.items()
    for i, example in enumerate(op.examples)
]


def compiles(op: Op) -> bool:
    """Whether a compiled step can have the op: there is a kernel for it."""
    from autodiff.program.recorder import has_kernel

    return has_kernel(op)


def refused(op: Op, position: int) -> bool:
    """Whether the rule of an input only says that there is no derivative."""
    return getattr(op.rule(position), "missing", False)


def differentiable(op: Op, position: int) -> bool:
    """Whether an input has a derivative."""
    return op.rule(position) is not None and not refused(op, position)


def at_most(op: Op, n: int) -> int:
    """A size, less where the rules compute number by number and take long."""
    return min(n, 40) if len(op.inputs) == 3 and op.cost >= 50.0 else n


def variants(op: Op) -> list[BoundOp]:
    """The op with the attributes of each of its examples."""
    bound = [op.bind(**example.attributes) for example in op.examples]
    return list({b.key(): b for b in bound}.values())


def over(op: Op, axis: tuple[int, ...], keepdims: bool = False) -> BoundOp:
    """A reduction over these axes."""
    return op.bind(axis=axis, **({"keepdims": keepdims} if "keepdims" in op.attributes else {}))


def drawn(op: Op, shapes: Sequence[tuple[int, ...]], rng: np.random.Generator) -> list[np.ndarray]:
    """Inputs of these shapes, from all of the op's domain; choices and numbers as in its examples.

    The last shapes may be left out: they are the first one.
    """
    arrays = []
    for i, sample in enumerate(op.examples[0].samples):
        shape = shapes[i] if i < len(shapes) else shapes[0]
        if sample.kind in ("boolean", "integer"):
            arrays.append(dataclasses.replace(sample, shape=shape).draw(rng))
            continue
        arrays.append(op.into_domain(i, np.asarray(rng.normal(size=shape) * 3.0)))
    return arrays


def parts(value: Any) -> list[Any]:
    """The outputs of an op, one or several."""
    return list(value) if isinstance(value, tuple) else [value]


def of_each(change: Callable[[Any], Any], value: Any) -> Any:
    """Something of the output, or a tuple of that of each of several."""
    return tuple(map(change, value)) if isinstance(value, tuple) else change(value)


def is_exact(op: Op) -> bool:
    """Whether all back ends give the same bits."""
    return op.ulps <= 0.5


def slack(op: Op) -> float:
    """What back ends may differ by where results cancel, of numbers about 1."""
    return 1e-14 if op.name in ("logaddexp", "logaddexp2", "sinc") else 0.0


def apart(op: Op) -> float:
    """How far two back ends may be apart in an elementwise op, forward or backward, in ulp."""
    return 0.0 if is_exact(op) else max(4.0, 2.0 * op.ulps)
