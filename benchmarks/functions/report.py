"""The table of what was measured: a row for each function, a column for each library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.functions.problems import PROBLEMS

__all__ = ["LABELS", "line", "render"]

LABELS = {
    "ours/arguments": "compiled",
    "ours/captured": "data captured",
    "ours/eager": "eager",
    "jax_jit/jit": "JAX",
    "by_hand/casadi-vm": "CasADi",
    "by_hand/casadi-c": "CasADi, C",
    "by_hand/numba": "Numba, by hand",
    "torch_eager/eager": "PyTorch",
    "hips/eager": "HIPS autograd",
}
"""The columns, ours first."""


def line(key: str, record: Mapping[str, Any], first: float | None) -> str:
    """What is printed of a library; `first`: our time, where there is one."""
    if "us" not in record:
        return f"  {LABELS[key]:16} {record['reason']}"
    over = f"{record['us'] / first:8.2f} x" if first else ""
    return f"  {LABELS[key]:16} {record['us']:12.1f} us {over}"


def render(results: Mapping[str, Any]) -> str:
    """FUNCTIONS.md, from what `functions.json` holds."""
    machine, found = results["machine"], results["found"]
    text = [
        "# Functions of parameters",
        "",
        "Written by `python -m benchmarks --sections functions`. A call from arrays to arrays: "
        "value and gradient, Hessian, Jacobian, or the Jacobians of all rows. Our time in "
        "microseconds, with the data as arguments; then the others' times over ours.",
        "",
        f"{machine['processor']}, {machine['cores']} cores, one used; Python {machine['python']}; "
        f"{machine['when']}.",
        "",
        f"| function | µs | {' | '.join(list(LABELS.values())[1:])} |",
        f"| :--- | {' | '.join(['---:'] * len(LABELS))} |",
    ]
    for key, records in found.items():
        problem, _, want = key.partition("/")
        ours = records.get("ours/arguments", {}).get("us")
        if ours is None:
            continue
        cells = [_ratio(records.get(k, {}).get("us"), ours) for k in list(LABELS)[1:]]
        title = f"{PROBLEMS[problem].title}: {want}"
        text.append(f"| {title} | {ours:.3g} | {' | '.join(cells)} |")
    return "\n".join(text) + "\n"


def _ratio(theirs: float | None, ours: float) -> str:
    return "" if theirs is None else f"{theirs / ours:.3g}"
