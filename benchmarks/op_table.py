"""Every op of the table, forward and backward, on both back ends, at several sizes.

Inputs are the op's own examples, and the same with all sizes times 8 and times 64. An example that
cannot be scaled so (its attributes name sizes) is run as it is.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from autodiff import get_backend
from autodiff.op import OPS, Example, Op

__all__ = ["FACTORS", "grown", "measure"]

FACTORS = (1, 8, 64)
MAX_NUMBERS = 4_000_000


def grown(op: Op, example: Example, factor: int) -> Example | None:
    """The example with sizes above 1 times `factor`; None if the op cannot take it."""

    def scale(shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(n * factor if n > 1 else n for n in shape)

    samples = tuple(dataclasses.replace(s, shape=scale(s.shape)) for s in example.samples)
    attributes = dict(example.attributes)
    if factor > 1 and isinstance(attributes.get("shape"), tuple):
        attributes["shape"] = scale(attributes["shape"])
    found = Example(samples, attributes)
    if max((int(np.prod(s.shape)) for s in samples), default=0) > MAX_NUMBERS:
        return None
    try:
        shape = op.shape(*[s.shape for s in samples], **attributes)
        value = op.forward(*found.draw(np.random.default_rng(0)), **attributes)
    except Exception:
        return None
    return found if _of_outputs(np.shape, value) == shape else None


def _of_outputs(change: Callable[[Any], Any], value: Any) -> Any:
    """Something of the output, or a tuple of that of each of several."""
    return tuple(map(change, value)) if isinstance(value, tuple) else change(value)


def cases(factors: tuple[int, ...] = FACTORS) -> Iterator[tuple[Op, int, int, Example]]:
    """(op, number of the example, factor, example) for all of the table."""
    for op in OPS.values():
        for number, example in enumerate(op.examples):
            for factor in factors:
                found = grown(op, example, factor)
                if found is not None:
                    yield op, number, factor, found


def _drawn_like(random: np.random.Generator, z: Any) -> Any:
    return random.uniform(-1.0, 1.0, np.shape(z))


def _has_gradient(op: Op, position: int) -> bool:
    """Whether there is a rule, which does not only say that there is none."""
    rule = op.rule(position)
    return rule is not None and not getattr(rule, "missing", False)


def _seconds(call: Callable[[], Any], seconds: float) -> float:
    n_calls, best = 1, float("inf")
    while True:
        start = time.perf_counter()
        for _ in range(n_calls):
            call()
        taken = time.perf_counter() - start
        best = min(best, taken / n_calls)
        if taken >= seconds:
            return best
        n_calls *= 2


def measure(seconds: float, factors: list[int], only_first: bool = False) -> list[dict[str, Any]]:
    """One record a case: seconds of forward and backward on both back ends."""
    records = []
    for op, number, factor, example in cases(tuple(factors)):
        if only_first and number:
            continue
        random = np.random.default_rng(1)
        inputs = example.draw(random)
        bound = op.bind(**example.attributes)
        needed = [_has_gradient(op, k) for k in range(len(inputs))]
        record: dict[str, Any] = {
            "op": op.name,
            "example": number,
            "factor": factor,
            "shapes": [list(x.shape) for x in inputs],
        }
        for name in ("reference", "compiled"):
            backend = get_backend(name)
            output = backend.forward(bound, inputs)
            gradient = _of_outputs(functools.partial(_drawn_like, random), output)
            times = [_seconds(lambda: backend.forward(bound, inputs), seconds)]  # noqa: B023
            if any(needed):
                times.append(
                    _seconds(
                        lambda: backend.backward(bound, gradient, output, inputs, needed),  # noqa: B023
                        seconds,
                    )
                )
            record[name] = times
        records.append(record)
    return records
