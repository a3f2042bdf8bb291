"""Generic over the table: whatever runs eagerly also compiles, with the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compare import Builder, check
from table import EXAMPLES, differentiable, of_each, parts

from autodiff import Tensor
from autodiff.backend import get_backend
from autodiff.op import Example, Op


def builder(op: Op, example: Example, inputs: Any) -> Builder:
    """A step that assigns the inputs, and returns the op's value, and its gradients."""

    def build() -> Any:
        tensors = [
            Tensor(shape=x.shape, constant=not differentiable(op, i)) for i, x in enumerate(inputs)
        ]

        def step(inputs: list[Any], weight: Any) -> Any:
            for tensor, x in zip(tensors, inputs, strict=True):
                tensor.assign(x)
            made = tensors[0].__autodiff_apply__(op.bind(**example.attributes), tensors)
            pairs = zip(parts(made), parts(weight), strict=True)
            loss = sum((z * w).sum() for z, w in pairs)
            values = of_each(lambda z: z.value, made)
            if not loss.needs_gradient:
                return values, loss
            loss.backward()
            return values, loss, [t.gradient for t in tensors if not t.constant]

        return step, tensors

    return build


@pytest.mark.parametrize(("op", "example"), EXAMPLES)
def test_values_and_gradients(op: Op, example: Example, rng: np.random.Generator) -> None:
    calls = []
    for _ in range(2):
        inputs = example.draw(rng)
        z = get_backend("reference").forward(op.bind(**example.attributes), inputs)
        weight = of_each(lambda z: np.asarray(rng.normal(size=z.shape)), z)
        calls.append((list(inputs), weight))
    check(builder(op, example, calls[0][0]), *calls)
