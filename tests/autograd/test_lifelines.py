"""lifelines runs on this library unchanged: the same coefficients, its likelihoods faster.

Needs lifelines, autograd and autograd-gamma, the extra `dropin-test`; skipped without them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for needed in ("lifelines", "autograd", "autograd_gamma"):
    pytest.importorskip(needed, reason=f"{needed} is not installed (the extra dropin-test)")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    script = str(Path(__file__).with_name("lifelines_fits.py"))
    results = {}
    for library in ("hips", "eager", "compiled"):
        command = [sys.executable, script, library]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        results[library] = json.loads(done.stdout)
    return results


@pytest.mark.parametrize("library", ["eager", "compiled"])
def test_coefficients_are_the_same(found: dict[str, Any], library: str) -> None:
    theirs = found["hips"]["coefficients"]
    ours = found[library]["coefficients"]
    assert ours.keys() == theirs.keys()
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-6, atol=1e-6, err_msg=name)


def test_likelihoods_are_faster(found: dict[str, Any]) -> None:
    for name, theirs in found["hips"]["microseconds"].items():
        assert found["compiled"]["microseconds"][name] < theirs / 2.0, name
