"""The C kernels against the rules they stand for: forward, and backward for any needed inputs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from autodiff.backend.reference import Reference
from autodiff.op import BoundOp

core = pytest.importorskip("autodiff._core")
import numerics  # noqa: E402
from table import differentiable, is_exact, of_each, parts, refused  # noqa: E402

reference = Reference()


def expected_gradients(
    bound: BoundOp, g: np.ndarray, z: np.ndarray, inputs: Sequence[np.ndarray]
) -> list[np.ndarray | None]:
    """Those of the rules; asked only where there is one."""
    needed = [differentiable(bound.op, i) for i in range(len(inputs))]
    return list(reference.backward(bound, g, z, inputs, needed))


def assert_close(actual: Any, expected: Any, exact: bool = False) -> None:
    if expected is None:
        assert actual is None
    elif exact:
        assert actual.shape == expected.shape
        np.testing.assert_array_equal(actual, expected)
    else:
        numerics.assert_ulps(actual, expected, 8, tiny=1e-14)


def assert_fresh(array: np.ndarray, others: Sequence[np.ndarray]) -> None:
    assert type(array) is np.ndarray
    assert array.dtype == np.float64
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert not any(np.shares_memory(array, other) for other in others)


def compare(bound: BoundOp, inputs: Sequence[np.ndarray], rng: np.random.Generator) -> None:
    """Forward, and backward for every choice of needed inputs."""
    exact = is_exact(bound.op)
    kept = [x.copy() for x in inputs]
    z = core.forward(bound, inputs)
    expected = reference.forward(bound, inputs)
    for k, (part, wanted) in enumerate(zip(parts(z), parts(expected), strict=True)):
        assert_close(part, wanted, exact)
        assert_fresh(part, [*inputs, *parts(z)[:k]])
    g = of_each(lambda z: np.asarray(rng.uniform(-2.0, 2.0, z.shape)), expected)
    given = [*parts(g), *parts(expected)]
    given_kept = [x.copy() for x in given]
    gradients = expected_gradients(bound, g, expected, inputs)
    # Else gradients are summed.
    exact = exact and all(x.shape == s.shape for x in inputs for s in parts(g))
    choices = [[False] if refused(bound.op, i) else [True, False] for i in range(len(inputs))]
    for needed in itertools.product(*choices):
        found = core.backward(bound, g, expected, list(inputs), needed)
        assert len(found) == len(inputs)
        for wanted, actual, gradient in zip(needed, found, gradients, strict=True):
            assert_close(actual, gradient if wanted else None, exact)
        arrays = [a for a in found if a is not None]
        for k, array in enumerate(arrays):
            assert_fresh(array, [*given, *inputs, *arrays[:k]])
    for now, before in zip([*inputs, *given], [*kept, *given_kept], strict=True):
        np.testing.assert_array_equal(now, before)
