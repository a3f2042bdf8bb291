"""Every function that nodes are served with is called with nodes; docs/numpy.md tells of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import autodiff
from autodiff import Tensor
from autodiff.array import is_operand
from benchmarks.names.calls import Call
from benchmarks.names.document import DOCUMENT, document, versions
from benchmarks.names.probe import all_names, function_of, numbers, probe, theirs_of

NAMES = all_names()
pytestmark = pytest.mark.filterwarnings("ignore:.*row_stack:DeprecationWarning")  # NumPy's own


def nodes_of(result: Any) -> list[Any]:
    if isinstance(result, (tuple, list)):
        return [x for item in result for x in nodes_of(item)]
    return [result] if is_operand(result) else []


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_without_nodes(name: str) -> None:
    call, result = probe(name)
    expected = numbers(call.call(theirs_of(name), *call.operands))
    found = numbers(result)
    assert found is not None
    assert expected is not None
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-14)
    without = call.call(function_of(name), *call.operands)
    if not name.endswith(".empty_like"):
        for ours, theirs in zip(numbers(without) or (), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def total(call: Call, name: str, *operands: Any) -> Any:
    """One number of all results, each element with a weight of its own."""
    parts = nodes_of(call.call(function_of(name), *operands))
    weights = [1.5 + np.sin(np.arange(x.size) + i).reshape(x.shape) for i, x in enumerate(parts)]
    return sum(((x * w).sum() for x, w in zip(parts, weights, strict=True)), 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_right_and_steps_compile(name: str) -> None:
    call, result = probe(name)
    if not nodes_of(result):
        return
    tensors = [Tensor(x) for x in call.operands]
    value = total(call, name, *tensors)
    if getattr(value, "needs_gradient", False):
        autodiff.check_gradients(
            lambda *given: total(call, name, *given), tensors, raises=True, tolerance=1e-6
        )
    step = autodiff.compile(lambda *given: total(call, name, *given))
    try:
        compiled = step(*call.operands)
    except autodiff.errors.RecordingError:
        return  # which docs/numpy.md says
    np.testing.assert_allclose(compiled, value.value, rtol=1e-12)


def test_the_document_is_true() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    told = versions()
    if f"NumPy {told['numpy']} and SciPy {told['scipy']}." not in text:
        pytest.skip(f"docs/numpy.md is of another NumPy or SciPy than {told}")
    assert document() == text, "python -m benchmarks.names writes it"
