"""Generic over the table: whatever runs eagerly also compiles, with the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compare import Builder, check
from table import EXAMPLES

from autodiff import Tensor
from autodiff.backend import get_backend
from autodiff.graph.node import Node
from autodiff.op import Example, Op


def builder(op: Op, example: Example, inputs: Any) -> Builder:
    """A step that assigns the inputs, and returns the op's value, and its gradients."""

    def build() -> Any:
        tensors = [Tensor(shape=x.shape, constant=op.rule(i) is None) for i, x in enumerate(inputs)]

        def step(inputs: list[Any], weight: Any) -> Any:
            for tensor, x in zip(tensors, inputs, strict=True):
                tensor.assign(x)
            z = Node(op.bind(**example.attributes), tensors)
            loss = (z * weight).sum()
            if not loss.needs_gradient:
                return z.value, loss
            loss.backward()
            return z.value, loss, [t.gradient for t in tensors if not t.constant]

        return step, tensors

    return build


@pytest.mark.parametrize(("op", "example"), EXAMPLES)
def test_values_and_gradients(op: Op, example: Example, rng: np.random.Generator) -> None:
    calls = []
    for _ in range(2):
        inputs = example.draw(rng)
        z = get_backend("reference").forward(op.bind(**example.attributes), inputs)
        calls.append((list(inputs), rng.normal(size=z.shape)))
    check(builder(op, example, calls[0][0]), *calls)
