"""Arrays that the C kernels refuse to read: other dtypes, layouts and shapes."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from against_rules import core
from table import EXAMPLES, differentiable

from autodiff.op import OPS, Example, Op


def unaligned() -> np.ndarray:
    return np.frombuffer(bytearray(8 * 4 + 1), np.uint8)[1:].view(np.float64)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros(4, np.float32),
        np.zeros(4, np.int64),
        np.zeros(4, np.complex128),
        np.zeros(4, object),
        np.zeros(4, ">f8" if sys.byteorder == "little" else "<f8"),
        np.zeros(8)[::2],
        unaligned(),
        [0.0, 0.0, 0.0, 0.0],
        1.0,
        None,
    ],
    ids=lambda bad: str(getattr(bad, "dtype", type(bad).__name__)),
)
def test_only_plain_float64_arrays_are_read(bad: Any) -> None:
    good = np.zeros(4)
    tanh, add = OPS["tanh"].bind(), OPS["add"].bind()
    with pytest.raises(TypeError, match="float64"):
        core.forward(tanh, (bad,))
    with pytest.raises(TypeError, match="input 1"):
        core.forward(add, (good, bad))
    with pytest.raises(TypeError, match="gradient"):
        core.backward(tanh, bad, good, (good,), (True,))
    with pytest.raises(TypeError, match="output"):
        core.backward(tanh, good, bad, (good,), (True,))
    with pytest.raises(TypeError, match="input 0"):
        core.backward(add, good, good, (bad, good), (False, True))


def test_fortran_order_is_refused() -> None:
    with pytest.raises(TypeError, match="contiguous"):
        core.forward(OPS["tanh"].bind(), (np.zeros((3, 4)).T,))


MISFITS: list[tuple[str, dict[str, Any], list[tuple[int, ...]]]] = [
    ("tanh", {}, [(3,), (3,)]),
    ("add", {}, [(3,)]),
    ("add", {}, [(3,), (4,)]),
    ("where", {}, [(3,), (4,), (1,)]),
    ("matmul", {}, [(3, 4), (3, 4)]),
    ("matmul", {}, [(3,), (3, 4)]),
    ("matmul", {}, [(2, 3, 4), (3, 4, 5)]),
    ("reshape", {"shape": (5,)}, [(2, 3)]),
    ("broadcast_to", {"shape": (2, 3)}, [(2,)]),
    ("broadcast_to", {"shape": (3,)}, [(1, 3)]),
    ("transpose", {"axes": (1, 0)}, [(2, 3, 4)]),
    ("concat", {"axis": 1}, [(2, 3), (3, 3)]),
    ("concat", {"axis": 1}, [(2, 3), (2,)]),
    ("concat", {"axis": 2}, [(2, 3)]),
    ("concat", {"axis": 0}, []),
    ("getitem", {"index": (3, (0, 3, 1))}, [(3, 3)]),
    ("getitem", {"index": ((0, 4, 1),)}, [(3,)]),
    ("getitem", {"index": ((2, -2, -1),)}, [(3,)]),
    ("getitem", {"index": (0,)}, [(3, 3)]),
    ("scatter_slice", {"index": ((0, 2, 1),), "shape": (3,)}, [(3,)]),
    ("take", {}, [(), (2,)]),
    ("scatter_rows", {"n_rows": 4}, [(3, 2), (2,)]),
    ("sum", {"axis": (2,), "keepdims": False}, [(2, 3)]),
    ("softmax", {"axis": (2,)}, [(2, 3)]),
]


@pytest.mark.parametrize(("name", "attributes", "shapes"), MISFITS)
def test_shapes_that_do_not_fit_are_not_read(
    name: str, attributes: dict[str, Any], shapes: list[tuple[int, ...]]
) -> None:
    with pytest.raises(TypeError, match="fit"):
        core.forward(OPS[name].bind(**attributes), [np.zeros(s) for s in shapes])


@pytest.mark.parametrize(("op", "example"), EXAMPLES)
def test_gradients_that_do_not_fit_are_not_read(
    op: Op, example: Example, rng: np.random.Generator
) -> None:
    if op.name not in core.kernel_names():
        pytest.skip("it is computed by its rules, which take what broadcasts")
    bound, inputs = op.bind(**example.attributes), example.draw(rng)
    z = core.forward(bound, inputs)
    wrong = np.zeros((z.size + 7,))
    needed = [differentiable(op, i) for i in range(len(inputs))]
    # A scalar's gradient may have any shape: it broadcasts, and is summed.
    if any(needed) and not (op.elementwise and z.ndim == 0):
        with pytest.raises(TypeError, match="fit"):
            core.backward(bound, wrong, z, inputs, needed)
    with pytest.raises(TypeError, match="needed"):
        core.backward(bound, z, z, inputs, [True] * (len(inputs) + 1))
