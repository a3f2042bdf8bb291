"""The pictures: bars relative to ours, curves of growth, what each pass brings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from benchmarks.labels import label, side
from benchmarks.targets import CALL, columns, timed
from benchmarks.workloads import WORKLOADS

__all__ = ["draw"]

# Okabe and Ito, "Color universal design", 2008.
COLOURS = {"ours": "#0072B2", "yardstick": "#999999", "rival": "#E69F00"}
LINES = ("#0072B2", "#56B4E9", "#999999", "#000000", "#D55E00")
POST, LARGE = ("lstm-post", "vae-post", "mlp-post"), ("lstm-128", "vae-400", "mlp-512")


def figure(width: float, height: float) -> Figure:
    """An empty figure, drawn without a display."""
    mpl.rcParams.update(
        {
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "svg.hashsalt": "benchmarks",
        }
    )
    return Figure(figsize=(width, height), layout="constrained", dpi=150)


def draw(results: dict[str, Any], folder: Path) -> list[str]:
    """All pictures that there are numbers for; their file names."""
    drawn = []
    for name, make in (
        ("bars-post", lambda: bars(results, POST, "1")),
        ("bars-large", lambda: bars(results, LARGE, "best")),
        ("growth", lambda: curves(results)),
        ("passes", lambda: pass_bars(results)),
    ):
        picture = make()
        if picture is not None:
            picture.savefig(folder / f"{name}.png")
            drawn.append(f"{name}.png")
    return drawn


# ---- bars relative to ours ----------------------------------------------------------------


def relative(by_threads: dict[str, dict[str, Any]], threads: str) -> dict[str, float]:
    """Times over that of our call: by rounds, or of the better column of each."""
    if threads != "best":
        return {
            key: entry["over"][CALL]
            for key, entry in by_threads.get(threads, {}).items()
            if CALL in entry.get("over", {}) and not key.startswith("control")
        }
    best: dict[str, float] = {}
    for entries in by_threads.values():
        for key, entry in entries.items():
            if timed(entry) and not key.startswith("control"):
                best[key] = min(best.get(key, float("inf")), entry["median"])
    ours_best = best.get(CALL)
    return {key: m / ours_best for key, m in best.items()} if ours_best else {}


def bars(results: dict[str, Any], names: Sequence[str], threads: str) -> Figure | None:
    """A panel a workload."""
    panels = {}
    for name in names:
        found = relative(columns(results, name), threads)
        if len(found) > 1:
            panels[name] = dict(sorted(found.items(), key=lambda item: -item[1]))
    if not panels:
        return None
    heights = [len(found) + 1.5 for found in panels.values()]
    picture = figure(8.5, 0.22 * sum(heights) + 1.0)
    axes = picture.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for ax, (name, found) in zip(axes, panels.items(), strict=True):
        colours = [COLOURS[side(key)] for key in found]
        # A bar begins at 1, ours: to the right slower, to the left faster.
        ax.barh(range(len(found)), [v - 1.0 for v in found.values()], left=1.0, color=colours)
        ax.set_yticks(range(len(found)), [label(key) for key in found])
        ax.set_ylim(-0.7, len(found) - 0.3)
        ax.tick_params(axis="y", length=0)
        ax.axvline(1.0, color="black", linewidth=0.8)
        for y, (key, value) in enumerate(found.items()):
            text, right = f"{value:.3g} ×", value >= 1.0
            if key == CALL:
                ax.plot(1.0, y, "o", color=COLOURS["ours"], markersize=6)
                text = "  1: what the others are compared with"
            ax.annotate(
                text,
                (value, y),
                xytext=(3 if right else -3, 0),
                textcoords="offset points",
                va="center",
                ha="left" if right else "right",
                fontsize=8,
                fontweight="bold" if key == CALL else "normal",
            )
        ax.set_title(WORKLOADS[name].title, loc="left")
        ax.spines["left"].set_visible(False)
        ax.grid(axis="x", alpha=0.3)
        ax.set_axisbelow(True)
    values = [v for found in panels.values() for v in found.values()]
    _ratio_axis(axes[0], min(values) / 2.5, max(values) * 2.0)
    what = "one thread" if threads == "1" else "one thread or all, whichever is faster"
    picture.suptitle(f"Time of a training step, relative to autodiff, a call a step ({what})")
    names_of = {"ours": "autodiff", "yardstick": "written by hand, textbook", "rival": "rivals"}
    shown = {side(key) for found in panels.values() for key in found}
    handles = [Patch(color=COLOURS[k], label=t) for k, t in names_of.items() if k in shown]
    picture.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return picture


def _ratio_axis(ax: Axes, low: float, high: float) -> None:
    """A logarithmic axis with ticks at 1, 2, 5, or at powers of ten if there are many."""
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    steps = (1, 2, 5) if high / low < 300.0 else (1,)
    ticks = [s * 10.0**k for k in range(-4, 6) for s in steps if low <= s * 10.0**k <= high]
    ax.set_xticks(ticks, [f"{t:g} ×" for t in ticks])
    ax.xaxis.set_minor_formatter(lambda x, _: "")


# ---- growth --------------------------------------------------------------------------------


def curves(results: dict[str, Any]) -> Figure | None:
    """Seconds over T, units and batch; both axes logarithmic."""
    found = results.get("growth", {}).get("found", {})
    axes_found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for key, point in found.items():
        axis, mode, size = key.split("/")
        if "seconds" in point:
            line = axes_found.setdefault(axis, {}).setdefault(mode, [])
            line.append((int(size), point["seconds"]))
    if not axes_found:
        return None
    texts = {
        "n_steps": "time steps T (post's LSTM, batch 1)",
        "n_hidden": "units (10 steps, batch 1)",
        "n_batch": "batch (10 steps, 32 units)",
    }
    picture = figure(10.5, 3.6)
    panels = picture.subplots(1, len(axes_found), squeeze=False)[0]
    for ax, (axis, lines) in zip(panels, axes_found.items(), strict=True):
        for colour, marker, (mode, points) in zip(LINES, "osd^v", lines.items(), strict=False):
            points.sort()
            x, y = zip(*points, strict=True)
            ax.loglog(x, y, color=colour, marker=marker, markersize=3.5, label=mode)
        ax.set_xlabel(texts[axis])
        ax.yaxis.set_major_formatter(lambda y, _: _seconds(y))
        ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        ax.grid(alpha=0.3)
    panels[0].set_ylabel("time of a training step")
    handles, labels = panels[0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return picture


def _seconds(y: float) -> str:
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if y >= scale * 0.999:
            return f"{y / scale:g} {unit}"
    return f"{y / 1e-9:g} ns"


# ---- passes --------------------------------------------------------------------------------


def pass_bars(results: dict[str, Any]) -> Figure | None:
    """How many times slower a step is without each pass; a panel a workload."""
    found = results.get("passes", {}).get("found", {})
    panels = {}
    for workload, runs in found.items():
        values = {n: run["over"][""] for n, run in runs.items() if n and run.get("over")}
        if values:
            panels[workload] = values
    if not panels:
        return None
    n_columns = 3
    n_rows = -(-len(panels) // n_columns)
    picture = figure(10.5, 2.9 * n_rows)
    picture.suptitle("Time of a compiled step without each pass, relative to all passes")
    grid = picture.subplots(n_rows, n_columns, squeeze=False, sharey=True)
    for ax in grid.flat[len(panels) :]:
        ax.set_visible(False)
    for ax, (workload, values) in zip(grid.flat, panels.items(), strict=False):
        _pass_panel(ax, workload, values)
    return picture


def _pass_panel(ax: Axes, workload: str, values: dict[str, float]) -> None:
    names = list(values)[::-1]
    colours = [COLOURS["rival"] if name == "all" else COLOURS["ours"] for name in names]
    ax.barh(range(len(names)), [values[n] - 1.0 for n in names], left=1.0, color=colours)
    ax.set_yticks(range(len(names)), ["no pass" if n == "all" else f"without {n}" for n in names])
    ax.axvline(1.0, color="black", linewidth=0.8)
    _ratio_axis(ax, min(0.8, *values.values()) * 0.9, max(*values.values(), 2.0) * 1.6)
    ax.tick_params(axis="y", length=0)
    for y, name in enumerate(names):
        ax.annotate(
            f"{values[name]:.2f}",
            (max(values[name], 1.0), y),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    ax.set_title(workload, loc="left")
    ax.grid(axis="x", alpha=0.3)
    ax.set_axisbelow(True)
