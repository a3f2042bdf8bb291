"""What of a measurement is stored: what a table, a picture or a target shows, in five digits.
Times are in seconds, memory in bytes.

Of all rounds remain median and quartiles, and how many times the time of ours each took: the median
of the ratios *within* the rounds, which cannot be had from medians.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.targets import compared

__all__ = ["as_text", "libraries", "median_and_spread", "ratio", "rounded", "shown"]

FIELDS = {
    "contest": ("median", "low", "high", "over", "reason"),
    "roofline": ("flops", "bytes", "products_seconds", "functions_seconds", "gflops"),
    "recording": ("first_seconds", "recorded", "instructions", "values_bytes", "arena_bytes",
                  "peak_bytes", "reason"),
    "passes": ("median", "over", "reason"),
    "memory": ("begun", "ended", "n_steps"),
    "growth": ("seconds", "bytes"),
    "ops": ("op", "shapes", "reference", "compiled", "gains"),
}  # fmt: skip
"""What is shown of a record of each section."""


def median_and_spread(times: Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(times, n=4) if len(times) > 1 else [times[0]] * 3
    return {"median": middle, "low": low, "high": high}


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """Their time over ours: the median of the rounds, so that slow minutes cancel."""
    return statistics.median(t / o for t, o in zip(theirs, ours, strict=False))


def shown(section: str, found: dict[str, Any]) -> dict[str, Any]:
    """The part of a section's records that is stored; `found` as it was measured."""
    if section == "contest":
        return {key: {"entries": _entries(key, c["entries"])} for key, c in found.items()}
    if section == "passes":
        return {k: _summed(r, [""], section) if "" in r else {} for k, r in found.items()}
    if section == "ops" and isinstance(found["cases"], list):
        return {"cases": [_fields({**c, "gains": _gains(c)}, section) for c in found["cases"]]}
    return {key: _fields(record, section) for key, record in found.items()}


def libraries(entries: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Version, import time, sizes and thread pools of each library that a contest met."""
    seen: dict[str, dict[str, Any]] = {}
    for entry in entries.values():
        versions = entry.get("versions", {})
        name = next((n for n in versions if n not in ("python", "numpy")), "numpy")
        if name not in seen and versions:
            pools = (
                f"{p.get('internal_api')} {p.get('version') or ''} {p.get('architecture', '')}"
                for p in entry.get("blas", [])
            )
            seen[name] = rounded({
                "version": versions.get(name, ""),
                "import_seconds": entry["import_seconds"],
                "installed_bytes": entry.get("installed_bytes"),
                "imported_bytes": entry["bytes"]["imported"],
                "pools": sorted({" ".join(pool.split()) for pool in pools}),
            })  # fmt: skip
    return seen


def _entries(key: str, measured: dict[str, Any]) -> dict[str, Any]:
    entries = {k: e for k, e in measured.items() if not e.get("does_not_fit")}
    kept = _summed(entries, compared(key.partition("/")[0]), "contest")
    for name, entry in entries.items():
        if name in kept and "difference" in entry:
            kept[name]["difference"] = float(f"{entry['difference']:.0e}")
            kept[name]["begin"] = rounded(entry["compile_seconds"])
            kept[name]["peak"] = entry["bytes"]["peak"]
    return kept


def _summed(runs: dict[str, Any], bases: Sequence[str], section: str) -> dict[str, Any]:
    """The runs without their rounds, but with their ratios to each of `bases`."""
    rounds = {name: run["times"] for name, run in runs.items() if run.get("times")}
    kept = {}
    for name, run in runs.items():
        if name in rounds:
            over = {base: ratio(rounds[name], rounds[base]) for base in bases if base in rounds}
            run = {**run, **median_and_spread(rounds[name]), "over": over}
        kept[name] = _fields(run, section)
    return kept


def _gains(case: dict[str, Any]) -> list[float]:
    return [r / c for r, c in zip(case["reference"], case["compiled"], strict=True)]


def _fields(record: dict[str, Any], section: str) -> dict[str, Any]:
    return rounded({key: record[key] for key in FIELDS[section] if key in record})


def rounded(value: Any) -> Any:
    """Floats with five digits, anywhere within; more if the last would be 5, and which way it is
    to be rounded when it is shown not known any more."""
    if isinstance(value, float):
        texts = (f"{value:.{digits}g}" for digits in range(5, 17))
        return next((float(t) for t in texts if t.partition("e")[0][-1] != "5"), value)
    if isinstance(value, list):
        return [rounded(v) for v in value]
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    return value


def as_text(value: Any) -> str:
    """JSON with a line for each record, so that a change can be read."""
    line = json.dumps(value, separators=(",", ":"))
    if len(line) < 240 or not isinstance(value, dict | list):
        return line
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(as_text, value)) + "\n]"
    return "{\n" + ",\n".join(f"{json.dumps(k)}:{as_text(v)}" for k, v in value.items()) + "\n}"
