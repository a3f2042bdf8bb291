"""How exactness is measured: the complex step, and distances in units of the last place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff import apply

STEP = 1e-30  # squares of it vanish, so that the derivative is exact to rounding


def complex_step(
    function: Callable[..., Any], inputs: Sequence[np.ndarray], position: int, weight: Any
) -> np.ndarray:
    """Gradient of sum(weight * function(*inputs)) with respect to input `position`.

    weight : of each output, a tuple, if there are several.

    It is ``imag f(x + ih) / h`` in every element in turn; `function` runs on complex128.
    """
    lifted = [np.array(x, np.complex128) for x in inputs]
    x = lifted[position]
    gradient = np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        kept = x[at]
        x[at] = kept + STEP * 1j
        with apply.complex_step():
            found = function(*lifted)
        pairs = zip(weight, found, strict=True) if type(weight) is tuple else [(weight, found)]
        gradient[at] = sum(np.sum(w * np.imag(z)) for w, z in pairs) / STEP
        x[at] = kept
    return gradient


def assert_ulps(actual: Any, expected: Any, ulps: float, tiny: float = 0.0) -> None:
    """`actual` is within so many units in the last place; infinities and NaN are in place.

    tiny : absolute difference that is allowed as well (where results cancel or underflow).
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    a, e = actual[finite], expected[finite]
    ulp = np.maximum(np.abs(e) - np.nextafter(np.abs(e), 0.0), 5e-324)  # finite at the largest
    with np.errstate(over="ignore"):
        bad = ~(np.abs(a - e) <= np.maximum(ulps * ulp, tiny))
    assert not bad.any(), (
        f"{int(bad.sum())} of {bad.size} differ by more than {ulps} ulp, e.g. "
        f"{a[bad][0]!r} instead of {e[bad][0]!r}"
    )
