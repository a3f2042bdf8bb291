"""The benchmarks of functions: what is timed is right, and what is printed is what was measured."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import scipy.special

sys.path[:0] = [str(Path(__file__).parents[1])]

from benchmarks.functions import measure, ours  # noqa: E402
from benchmarks.functions.problems import PROBLEMS, Names  # noqa: E402
from benchmarks.functions.report import line, render  # noqa: E402

NUMPY = Names(
    np=np,
    gammaln=scipy.special.gammaln,
    log_ndtr=scipy.special.log_ndtr,
    logsumexp=lambda x, axis: scipy.special.logsumexp(x, axis=axis),
    cholesky=np.linalg.cholesky,
    solve_triangular=lambda L, y: scipy.linalg.solve_triangular(L, y, lower=True),
)

CASES = [(p.name, want) for p in PROBLEMS.values() for want in p.wants if p.name != "gmm-20-50"]


@pytest.mark.parametrize(("name", "want"), CASES)
def test_what_is_timed_is_right(name: str, want: str, rng: np.random.Generator) -> None:
    problem = PROBLEMS[name]
    p, data = problem.drawn()
    if want == "rows":  # of a few
        p, data = p[:7], tuple(x[:7] for x in data)
        problem = problem.__class__(name, name, problem.function, lambda _: (p, data), (want,))
    found = [ours.prepare(problem, want, mode)() for mode in ours.MODES]
    v, h = rng.normal(size=p.shape), 1e-5

    def along(q: np.ndarray) -> np.ndarray:
        """What the wanted derivative is the derivative of."""
        if want == "hessian":
            return ours.prepare(
                problem.__class__(name, name, problem.function, lambda _: (q, data)),
                "gradient",
                "eager",
            )()[1]
        if want == "rows":
            return np.stack([problem.function(NUMPY, *row) for row in zip(q, *data, strict=True)])
        return np.asarray(problem.function(NUMPY, q, *data))

    slope = (along(p + h * v) - along(p - h * v)) / (2.0 * h)
    for result in found:
        derivative = result[1] if want == "gradient" else result
        got = np.einsum("rij,rj->ri", derivative, v) if want == "rows" else derivative @ v
        np.testing.assert_allclose(got, slope, rtol=1e-5, atol=1e-5 * np.abs(slope).max())
        if want == "gradient":
            np.testing.assert_allclose(result[0], along(p), rtol=1e-12)


def test_a_contest_without_rivals() -> None:
    records = measure.compare("eight-schools", "gradient", None, rounds=1, seconds=0.001)
    assert list(records) == ["ours/arguments", "ours/captured", "ours/eager"]
    assert all(record["us"] > 0.0 for record in records.values())
    first = records["ours/arguments"]["us"]
    for key, record in records.items():
        assert f"{record['us']:.1f} us" in line(key, record, first)
    assert "no numbers" in line("jax_jit/jit", {"reason": "no numbers"}, first)
    machine = {"processor": "p", "cores": 1, "python": "3", "when": "today"}
    text = render({"machine": machine, "found": {"eight-schools/gradient": records}})
    assert f"| {first:.3g} |" in text


def test_what_disagrees_is_not_timed() -> None:
    assert measure._gap([[1.0, 2.0], [3.0]], [[1.0, 2.0], [3.0]]) == 0.0
    assert measure._gap([[1e9], [1.0]], [[1e9], [1.1]]) == pytest.approx(0.1)
    assert measure._gap([[1.0]], [[1.0, 2.0]]) == np.inf
    assert not measure._gap([[1.0]], [[np.nan]]) <= measure.TOLERANCE
