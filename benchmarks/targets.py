"""What the project has promised about speed, checked against a results file.

A target says which contestant must be how many times faster than which others, or at most so many
times slower. Ratios are medians over the rounds of one run, in which all took turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["TARGETS", "Target", "Verdict", "compared", "judge", "timed"]

CALL, SCAN, EAGER = "ours/call", "ours/scan", "ours/eager"
JAX = ("jax_jit/resident", "jax_jit/call", "jax_jit/scan")
TORCH = ("torch_eager/call", "torch_eager/nn.LSTM", "torch_eager/compile")
RIVALS = (*JAX, *TORCH, "pytensor_function/call", "autograd_numpy/call", "mygrad_tensor/call")
RIVALS = (*RIVALS, "sklearn_mlp/call")


@dataclass(frozen=True)
class Target:
    """`ours` against the best of `others` on a workload.

    factor : at least so many times faster ("faster"), or at most so many times slower ("within").
    threads : "1", or "best": the better column of each contestant.
    what : "seconds", or a bound of another kind: "bytes", "products", "recording".
    """

    text: str
    workload: str
    ours: str
    others: tuple[str, ...]
    factor: float
    kind: str = "faster"
    threads: str = "1"
    what: str = "seconds"


# fmt: off
TARGETS: tuple[Target, ...] = (
    Target("eager against the textbook graph", "lstm-post", EAGER, ("textbook/call",), 2.5),
    Target("scan against hand-written C", "lstm-post", SCAN, ("floor/scan",), 2.0, "within"),
    Target("scan against JAX's lax.scan", "lstm-post", SCAN, ("jax_jit/scan",), 2.5),
    Target("call against JAX jit, data resident", "lstm-post", CALL, ("jax_jit/resident",), 4.0),
    Target("call against JAX jit, same terms", "lstm-post", CALL, ("jax_jit/call",), 8.0),
    Target("call against the textbook graph", "lstm-post", CALL, ("textbook/call",), 100.0),
    Target("call against PyTorch eager", "lstm-post", CALL, TORCH[:2], 130.0),
    Target("call against hand-written C", "vae-post", CALL, ("floor/scan",), 1.5, "within"),
    *(Target("call against the best of JAX jit and PyTensor", workload, CALL,
             (*JAX[:2], "pytensor_function/call"), 2.5)
      for workload in ("vae-post", "mlp-post")),
    Target("call against the best of JAX and PyTorch", "lstm-128", CALL, (*JAX, *TORCH), 1.4,
           threads="best"),
    Target("call against all rivals", "vae-400", CALL, RIVALS, 1.0, threads="best"),
    Target("call against all rivals", "mlp-512", CALL, RIVALS, 1.0, threads="best"),
    *(Target("call against its bare products", workload, CALL, (), 1.15, "within", "best",
             "products")
      for workload in ("vae-400", "mlp-512")),
    Target("recording T = 5: at most 50 ms", "5", CALL, (), 0.05, "within", what="recording"),
    Target("recording T = 50: at most 0.3 s", "50", CALL, (), 0.3, "within", what="recording"),
    Target("recording T = 1000: at most 6 s", "1000", CALL, (), 6.0, "within", what="recording"),
    *(Target("peak memory against the best of JAX and PyTorch", workload, CALL, (*JAX, *TORCH), 1.0,
             "within", what="bytes")
      for workload in ("lstm-post", "lstm-128", "vae-400", "mlp-512")),
)
# fmt: on
"""All of them, in the order of the table."""


@dataclass(frozen=True)
class Verdict:
    """How a target was met: passed is None if it was not measured."""

    target: Target
    passed: bool | None
    reached: str
    needed: str
    against: str


def compared(workload: str) -> list[str]:
    """The contestants that tables and targets compare the others with."""
    return list(dict.fromkeys([CALL, *(t.ours for t in TARGETS if t.workload == workload)]))


def columns(results: dict[str, Any], workload: str) -> dict[str, dict[str, Any]]:
    """The contests of a workload: {threads: entries}."""
    found = results.get("contest", {}).get("found", {})
    return {
        key.partition("/")[2]: column["entries"]
        for key, column in found.items()
        if key.partition("/")[0] == workload
    }


def timed(entry: dict[str, Any] | None) -> bool:
    """Whether there are times of this contestant."""
    return bool(entry and "median" in entry)


def _best_ratio(table: dict[str, dict[str, Any]], target: Target) -> tuple[float, str] | None:
    """Smallest ratio against any of the others, and which it was."""
    if target.threads == "1":
        entries = table.get("1", {})
        over = {key: entries.get(key, {}).get("over", {}).get(target.ours) for key in target.others}
        return min(((factor, key) for key, factor in over.items() if factor), default=None)
    # The better column of each: medians, since the columns were not measured in turns.
    ours_best = _best_median(table, target.ours)
    others_best = [(m, key) for key in target.others if (m := _best_median(table, key))]
    if not ours_best or not others_best:
        return None
    best, key = min(others_best)
    return best / ours_best, key


def _best_median(table: dict[str, dict[str, Any]], key: str) -> float | None:
    medians = [e[key]["median"] for e in table.values() if timed(e.get(key))]
    return min(medians, default=None)


def _judge_times(results: dict[str, Any], target: Target) -> Verdict:
    found = _best_ratio(columns(results, target.workload), target)
    needed = f"≥ {target.factor:g} ×" if target.kind == "faster" else f"≤ {target.factor:g} ×"
    if found is None:
        return Verdict(target, None, "not measured", needed, "")
    faster, against = found
    if target.kind == "faster":
        return Verdict(target, faster >= target.factor, f"{faster:.2f} ×", needed, against)
    slower = 1.0 / faster
    return Verdict(target, slower <= target.factor, f"{slower:.2f} ×", needed, against)


def _judge_products(results: dict[str, Any], target: Target) -> Verdict:
    needed = f"≤ {target.factor:g} ×"
    table = columns(results, target.workload)
    roofs = results.get("roofline", {}).get("found", {})
    reached = [
        entries[target.ours]["median"] / roof["products_seconds"]
        for threads, entries in table.items()
        if timed(entries.get(target.ours))
        and (roof := roofs.get(f"{target.workload}/{threads}", {})).get("products_seconds")
    ]
    if not reached:
        return Verdict(target, None, "not measured", needed, "")
    return Verdict(target, min(reached) <= target.factor, f"{min(reached):.2f} ×", needed, "BLAS")


def _judge_recording(results: dict[str, Any], target: Target) -> Verdict:
    needed = f"≤ {target.factor:g} s"
    found = results.get("recording", {}).get("found", {}).get(target.workload, {})
    if "first_seconds" not in found:
        return Verdict(target, None, found.get("reason", "not measured")[:60], needed, "")
    seconds = found["first_seconds"]
    return Verdict(target, seconds <= target.factor, f"{seconds:.3g} s", needed, "")


def _judge_bytes(results: dict[str, Any], target: Target) -> Verdict:
    entries = columns(results, target.workload).get("1", {})
    peaks = {
        key: entries[key]["peak"]
        for key in (target.ours, *target.others)
        if timed(entries.get(key)) and entries[key].get("peak")
    }
    ours = peaks.pop(target.ours, None)
    if ours is None or not peaks:
        return Verdict(target, None, "not measured", "≤ 1 ×", "")
    best, key = min((peak, key) for key, peak in peaks.items())
    return Verdict(target, ours <= best, f"{ours / best:.2f} ×", "≤ 1 ×", key)


def judge(results: dict[str, Any], targets: Sequence[Target] = TARGETS) -> list[Verdict]:
    """A verdict for each target."""
    by_kind = {
        "seconds": _judge_times,
        "products": _judge_products,
        "recording": _judge_recording,
        "bytes": _judge_bytes,
    }
    return [by_kind[target.what](results, target) for target in targets]
