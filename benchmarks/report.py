"""From results.json: RESULTS.md and the pictures. ``python -m benchmarks.report FOLDER``.

Nothing in the tables is typed by hand. What was not measured is left out.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.labels import label
from benchmarks.targets import CALL, columns, judge, timed
from benchmarks.workloads import WORKLOADS

__all__ = ["render", "write"]

UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def time_text(seconds: float | None) -> str:
    """Three digits and a unit."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    scale, unit = next((u for u in UNITS if seconds >= u[0]), UNITS[-1])
    number = seconds / scale
    return f"{number:.3g} {unit}" if number < 1000 else f"{number:.0f} {unit}"


def bytes_text(n: float | None) -> str:
    """In MB, or KB if small."""
    if n is None:
        return ""
    return f"{n / 1e6:.0f} MB" if n >= 1e7 else f"{n / 1e3:.0f} KB"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> list[str]:
    """A table in Markdown; the first `left` columns are text."""
    rule = [":---" if k < left else "---:" for k in range(len(head))]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]


def write(folder: str | Path) -> None:
    """RESULTS.md and pictures beside results.json, if there is one."""
    folder = Path(folder)
    if not (folder / "results.json").exists():
        return
    results = json.loads((folder / "results.json").read_text())
    pictures: list[str] = []
    try:
        from benchmarks.plots import draw
    except ImportError as error:
        print(f"no pictures: {error}")
    else:
        pictures = draw(results, folder)
    (folder / "RESULTS.md").write_text(render(results, pictures))


def render(results: dict[str, Any], pictures: Sequence[str] = ()) -> str:
    """All of RESULTS.md."""
    parts = [
        "# Results",
        "",
        "Written by `python -m benchmarks.report` from `results.json`. What is measured and how, "
        "and where others win: [README.md](README.md).",
        "",
        *machine(results),
        *targets(results),
    ]
    pictured = {Path(name).stem: name for name in pictures}
    if "bars-post" in pictured:
        parts += ["", f"![Times of a step relative to ours]({pictured['bars-post']})"]
    if "bars-large" in pictured:
        parts += ["", f"![Times of a step relative to ours]({pictured['bars-large']})"]
    for section in (contests, libraries, roofline, recording, passes, growth, memory, ops):
        lines = section(results)
        if lines:
            parts += ["", *lines]
            if section.__name__ in pictured:
                parts += ["", f"![{section.__name__}]({pictured[section.__name__]})"]
    return "\n".join(parts) + "\n"


def _found(results: dict[str, Any], section: str) -> dict[str, Any]:
    return results.get(section, {}).get("found", {})


def machine(results: dict[str, Any]) -> list[str]:
    """Processor, system, when, how busy."""
    facts = results.get("machine", {})
    lines = [
        f"{facts.get('processor', '?')}, {facts.get('cores', '?')} cores, "
        f"{facts.get('system', '?')}, Python {facts.get('python', '?')}.",
        "",
    ]
    rows = []
    for name, section in results.items():
        if name not in ("machine", "libraries"):
            busy = ", ".join(map(str, section.get("load", [])))
            quick = "quick" if section.get("quick") else "full"
            rows.append((name, section.get("when", ""), quick, busy))
    return lines + table(("section", "measured", "rounds", "load after it (1, 5, 15 min)"), rows, 3)


def targets(results: dict[str, Any]) -> list[str]:
    """What was promised, and whether it is kept."""
    rows = []
    for verdict in judge(results):
        mark = {True: "pass", False: "**FAIL**", None: "–"}[verdict.passed]
        where = verdict.target.workload if verdict.target.what != "recording" else "lstm-post"
        against = label(verdict.against) if verdict.against else ""
        rows.append((where, verdict.target.text, verdict.needed, verdict.reached, mark, against))
    head = ("workload", "target", "needed", "reached", "", "best of the others")
    return ["", "## Targets", "", *table(head, rows, 2)]


def contests(results: dict[str, Any]) -> list[str]:
    """A table for each workload."""
    lines = ["## A training step", ""]
    lines += [
        "Median of the rounds and, in brackets, quartiles. *× ours* is how many times the time of "
        "`autodiff`, a call a step, in the same rounds. *difference*: largest deviation of loss, "
        "gradients and weights from ours, relative, before timing. *begin*: preparation and first "
        "step, compilation included. *memory*: peak resident memory after the first steps."
    ]
    some = False
    for name, workload in WORKLOADS.items():
        by_threads = columns(results, name)
        if not by_threads:
            continue
        some = True
        lines += ["", f"### {workload.title}", "", *contest_table(by_threads)]
    return lines if some else []


def contest_table(by_threads: dict[str, dict[str, Any]]) -> list[str]:
    """One workload; two columns for each number of threads, and what is not timed below."""
    first = next(iter(by_threads.values()))
    keys = list(dict.fromkeys(key for entries in by_threads.values() for key in entries))

    def order(key: str) -> float:
        medians = [e[key]["median"] for e in by_threads.values() if timed(e.get(key))]
        return min(medians, default=math.inf)

    rows, absent = [], []
    for key in sorted(keys, key=order):
        row = [label(key)]
        for entries in by_threads.values():
            entry = entries.get(key, {})
            if not timed(entry):
                row += ["", ""]
                continue
            spread = f" [{time_text(entry['low'])} – {time_text(entry['high'])}]"
            times = None if key.startswith("control") else entry["over"].get(CALL)
            row.append(time_text(entry["median"]) + spread)
            row.append(f"{times:.2f}" if times else "")
        entry = first.get(key, {})
        if not any(row[1:]):
            absent.append(f"- {label(key)}: {entry.get('reason', '?')}")
            continue
        row += [
            f"{entry['difference']:.0e}" if "difference" in entry else "",
            time_text(entry.get("begin")),
            bytes_text(entry.get("peak")),
        ]
        rows.append(row)
    head = ["", *[t for n in by_threads for t in (f"{n} thread{'s' * (n != '1')}", "× ours")]]
    lines = table([*head, "difference", "begin", "memory"], rows)
    return [*lines, "", "Not timed:", "", *absent] if absent else lines


def libraries(results: dict[str, Any]) -> list[str]:
    """Import time, installed size, version, BLAS."""
    rows = [
        (
            name,
            facts["version"],
            time_text(facts["import_seconds"]),
            bytes_text(facts["installed_bytes"]),
            bytes_text(facts["imported_bytes"]),
            ", ".join(facts["pools"]),
        )
        for name, facts in sorted(results.get("libraries", {}).items())
    ]
    head = (
        "",
        "version",
        "import",
        "installed, with what it needs",
        "memory after import",
        "pools",
    )
    return ["## Libraries", "", *table(head, rows)] if rows else []


def roofline(results: dict[str, Any]) -> list[str]:
    """Operations, bytes, bare products, ours as a multiple."""
    rows = []
    for key, roof in _found(results, "roofline").items():
        name, _, threads = key.partition("/")
        if "flops" not in roof:
            continue
        bare = roof["products_seconds"] + roof["functions_seconds"]
        ours = columns(results, name).get(threads, {}).get(CALL, {}).get("median")
        rows.append(
            (
                name,
                threads,
                f"{roof['flops'] / 1e6:.3g} M",
                bytes_text(roof["bytes"]),
                time_text(roof["products_seconds"]),
                f"{roof['gflops']:.1f}",
                time_text(roof["functions_seconds"]),
                time_text(ours),
                f"{ours / bare:.2f}" if ours else "",
            )
        )
    head = ("workload", "threads", "operations", "bytes", "bare products", "Gflop/s")
    head = (*head, "functions", "our call", "× bare")
    note = (
        "Floating-point operations of the matrix products and bytes that must move; the products "
        "alone in the BLAS that we use, looped in C; the transcendental functions at the measured "
        "rate of vectorised C; our step as a multiple of their sum. (Our own kernels for small "
        "products are faster than BLAS: hence values below 1.)"
    )
    return ["## Roofline", "", note, "", *table(head, rows)] if rows else []


def recording(results: dict[str, Any]) -> list[str]:
    """What a recording costs."""
    rows = []
    for n_steps, found in _found(results, "recording").items():
        if "first_seconds" not in found:
            rows.append((n_steps, found.get("reason", "?")[:80], *[""] * 5))
            continue
        rows.append(
            (
                n_steps,
                time_text(found["first_seconds"]),
                str(found["recorded"]),
                str(found["instructions"]),
                bytes_text(found["values_bytes"]),
                bytes_text(found["arena_bytes"]),
                bytes_text(found["peak_bytes"]),
            )
        )
    head = ("T", "record, improve, load", "recorded", "instructions", "all values", "arena", "peak")
    title = ["## Recording the post's LSTM over T steps", ""]
    return [*title, *table(head, rows)] if rows else []


def passes(results: dict[str, Any]) -> list[str]:
    """Times without each pass, relative to all passes."""
    found = _found(results, "passes")
    names = list(dict.fromkeys(n for w in found.values() for n in w if isinstance(w.get(n), dict)))
    rows = []
    for name in names:
        row = [{"": "all passes", "all": "no pass"}.get(name, f"without {name}")]
        for workload in found.values():
            entry = workload.get(name, {})
            if not entry.get("over"):
                row.append(entry.get("reason", "")[:40])
            elif name == "":
                row.append(time_text(entry["median"]))
            else:
                row.append(f"× {entry['over']['']:.2f}")
        rows.append(row)
    if not rows:
        return []
    return ["## What each pass brings", "", *table(("", *found), rows)]


def growth(results: dict[str, Any]) -> list[str]:
    """How cost grows, as a table of seconds."""
    found = _found(results, "growth")
    lines: list[str] = []
    for axis, text in (("n_steps", "time steps"), ("n_hidden", "units"), ("n_batch", "batch")):
        points = {tuple(k.split("/")[1:]): v for k, v in found.items() if k.startswith(axis + "/")}
        modes = list(dict.fromkeys(mode for mode, _ in points))
        sizes = sorted({int(size) for _, size in points})
        rows = [
            (str(size), *[time_text(points.get((m, str(size)), {}).get("seconds")) for m in modes])
            for size in sizes
        ]
        if rows:
            lines += ["", *table((text, *modes), rows, 0)]
        if axis == "n_steps" and rows:
            rows = [
                (
                    str(size),
                    *[bytes_text(points.get((m, str(size)), {}).get("bytes")) for m in modes],
                )
                for size in sizes
            ]
            lines += ["", "Memory above what the imports take:"]
            lines += ["", *table((text, *modes), rows, 0)]
    return ["## How cost grows", *lines] if lines else []


def memory(results: dict[str, Any]) -> list[str]:
    """Resident memory over a training."""
    rows = []
    for mode, found in _found(results, "memory").items():
        if "begun" in found:
            grown = found["ended"] - found["begun"]
            ends = bytes_text(found["begun"]), bytes_text(found["ended"])
            rows.append((mode, f"{found['n_steps']:,}", *ends, f"{grown / 1e3:.0f} KB"))
    head = ("mode", "steps", "resident after a tenth of them", "after all", "growth")
    return ["## Memory over many steps", "", *table(head, rows)] if rows else []


def ops(results: dict[str, Any]) -> list[str]:
    """The op table, folded away."""
    cases = _found(results, "ops").get("cases", [])
    if not isinstance(cases, list) or not cases:
        return []
    rows, gains = [], []
    for case in cases:
        reference, compiled = case["reference"], case["compiled"]
        row = [case["op"], " ".join("×".join(map(str, s)) or "()" for s in case["shapes"])]
        for k in (0, 1):
            if k < len(compiled):
                gains.append(case["gains"][k])
                row += [time_text(reference[k]), time_text(compiled[k]), f"{gains[-1]:.1f}"]
            else:
                row += ["", "", ""]
        rows.append(row)
    middle = math.exp(sum(map(math.log, gains)) / len(gains))
    head = ("op", "inputs", "forward, NumPy", "compiled", "gain")
    head = (*head, "backward, NumPy", "compiled", "gain")
    return [
        "## Every op, called one at a time",
        "",
        f"{len(cases)} cases; the compiled back end is {middle:.1f} times faster in the geometric "
        f"mean, slower in {sum(g < 1 for g in gains)} of {len(gains)} measurements.",
        "",
        "<details><summary>All cases</summary>",
        "",
        *table(head, rows, 2),
        "",
        "</details>",
    ]


if __name__ == "__main__":
    write(sys.argv[1] if len(sys.argv) > 1 else "out/benchmarks")
