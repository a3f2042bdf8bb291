"""Error bounds of the kernels' own functions, a quick version of `make ulp`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autodiff.ops  # noqa: F401
from autodiff.op import OPS

core = pytest.importorskip("autodiff._core")
sys.path.append(str(Path(__file__).resolve().parents[2]))

from benchmarks import ulp  # noqa: E402
from benchmarks.ulp import CLAIMS, Claim  # noqa: E402

needs_long_double = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="long double is no better than double here"
)
claims = pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.row.replace("`", ""))

N = 20_000


@needs_long_double
@claims
def test_errors_are_below_their_bounds(claim: Claim, rng: np.random.Generator) -> None:
    for draw in claim.ranges:
        arguments = draw(rng, N)
        error = ulp.errors(claim, arguments)  # and the same bits on every instruction set
        at = error.argmax()
        assert error[at] <= claim.bound + 1e-3, (
            f"{claim.op}({[float(x[at]) for x in arguments]}) is {error[at]} ulp off"
        )


@needs_long_double
@claims
def test_what_was_the_worst_once_is_below_the_bound(claim: Claim) -> None:
    for x in claim.known:
        assert ulp.errors(claim, [np.full(3, x)])[0] <= claim.bound


def test_the_document_says_what_is_tested() -> None:
    said = ulp.documented(ulp.DOCUMENT.read_text())
    bounds = {c.row: c.bound for c in CLAIMS}
    assert {row: float(b) for row, (_, b) in said.items()} == {row: bounds[row] for row in said}
    for worst, bound in said.values():
        assert float(worst) <= float(bound)


def test_every_function_is_measured() -> None:
    functions = [op for op in OPS.values() if op.elementwise and 0.5 < op.ulps < np.inf]
    assert {c.op for c in CLAIMS} >= {op.name for op in functions if not op.attributes}


@needs_long_double
def test_a_document_that_says_too_little_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    document = tmp_path / "numerics.md"
    document.write_text("## Functions\n| `exp` | 0.51 | 1.0 | how |\n")
    monkeypatch.setattr(ulp, "DOCUMENT", document)
    quick = ["--points", "2000", "--only", "exp"]
    assert ulp.main(quick) == 1
    assert "the document says 0.51" in capsys.readouterr().out
    assert ulp.main([*quick, "--write"]) == 0
    assert ulp.main(quick) == 0
    assert "0.51" not in document.read_text()


@needs_long_double
def test_an_error_above_its_bound_is_found_out(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    tight = Claim("`tanh`", "tanh", np.tanh, 1.0, (ulp.uniform(-1, 1),))
    monkeypatch.setattr(ulp, "CLAIMS", (tight,))
    assert ulp.main(["--points", "2000"]) == 1
    assert "ABOVE ITS BOUND" in capsys.readouterr().out


def test_exp_of_log_and_back() -> None:
    """Exact where it can be seen without an oracle."""
    k = np.arange(-1022.0, 1024.0)
    np.testing.assert_array_equal(ulp.values("exp", [np.zeros(3)]), 1.0)
    np.testing.assert_array_equal(ulp.values("log", [np.ones(3)]), 0.0)
    if np.finfo(np.longdouble).nmant >= 63:
        expected = (np.log(np.longdouble(2)) * k).astype(np.float64)
        np.testing.assert_array_equal(core.forward(OPS["log"].bind(), (np.exp2(k),)), expected)
