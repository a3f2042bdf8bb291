"""``python -m benchmarks``: measure, write results.json, RESULTS.md and pictures.

Sections are measured one after the other, and each is stored when it is done; a section that is
measured again replaces only itself.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import kept
from benchmarks.contest import OURS, PEERS, Worker, contest
from benchmarks.workloads import WORKLOADS

SECTIONS = ("contest", "roofline", "recording", "passes", "memory", "growth", "ops", "functions")


def processor() -> str:
    """The processor's name."""
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def load() -> list[float]:
    """Load averages of the last 1, 5 and 15 minutes."""
    return [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else []


def n_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """What it is measured on."""
    return {
        "processor": processor(),
        "cores": n_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


class Session:
    """The command line, and the file that results are kept in."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder = Path(args.results)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / "results.json"
        self.results: dict[str, Any] = {}
        if self.file.exists():
            self.results = json.loads(self.file.read_text())
        self.threads = [n_cores() if t == "all" else int(t) for t in args.threads.split(",")]
        self.threads = list(dict.fromkeys(self.threads))
        self.workloads = [w for w in WORKLOADS if not args.only or args.only in w]

    def task(self, module: str, function: str, n_threads: int = 1, **arguments: Any) -> Any:
        """The result of a function in a fresh process; {"reason": ...} if it failed."""
        worker = Worker(sys.executable, n_threads)
        answer = worker.ask(
            do="task", module=f"benchmarks.{module}", function=function, arguments=arguments
        )
        worker.quit()
        return answer.get("result", {"reason": answer.get("error", "?")})

    def save(self, section: str, found: dict[str, Any]) -> None:
        """Store a section; parts of it that were not measured now stay as they are."""
        before = self.results.get(section, {}).get("found", {})
        self.results[section] = {
            "when": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "quick": self.args.quick,
            "load": load(),
            "found": {**before, **kept.shown(section, found)},
        }
        self.results["machine"] = machine()
        self.file.write_text(kept.as_text(self.results) + "\n")

    # ---- sections -------------------------------------------------------------------------

    def contest(self) -> None:
        """All contestants on all workloads."""
        quick = self.args.quick
        entries = [*OURS, *(PEERS if self.args.peers else [])]
        if self.args.contestants:
            wanted = self.args.contestants.split(",")
            entries = [e for e in entries if e is OURS[0] or any(n in e.key for n in wanted)]
        for workload in self.workloads:
            for n_threads in self.threads:
                print(f"\n{WORKLOADS[workload].title}, threads: {n_threads}", flush=True)
                records = contest(
                    workload,
                    entries,
                    n_threads=n_threads,
                    pythons={False: sys.executable, True: self.args.peers},
                    rounds=self.args.rounds or (5 if quick else 15),
                    seconds=0.02 if quick else 0.1,
                )
                met = self.results.get("libraries", {})
                self.results["libraries"] = {**met, **kept.libraries(records)}
                self.save("contest", {f"{workload}/{n_threads}": {"entries": records}})

    def roofline(self) -> None:
        """Bare products and functions."""
        for workload in self.workloads:
            for n_threads in self.threads:
                found = self.task("roofline", "measure", n_threads, workload=workload)
                print(f"roofline {workload}, threads {n_threads}: {_brief(found)}", flush=True)
                self.save("roofline", {f"{workload}/{n_threads}": found})

    def recording(self) -> None:
        """What a recording costs."""
        for n_steps in (5, 50) if self.args.quick else (5, 50, 1000):
            found = self.task("growth", "recording", n_steps=n_steps)
            print(f"recording T = {n_steps}: {_brief(found)}", flush=True)
            self.save("recording", {str(n_steps): found})

    def passes(self) -> None:
        """What each pass brings."""
        quick = self.args.quick
        seconds, rounds = (0.01, 5) if quick else (0.05, 11)
        for workload in self.workloads:
            found = self.task("growth", "passes", workload=workload, seconds=seconds, rounds=rounds)
            print(f"passes {workload}", flush=True)
            self.save("passes", {workload: found})

    def memory(self) -> None:
        """No growth over 10,000 steps."""
        n_steps = 2000 if self.args.quick else 10000
        for mode in ("call", "scan", "eager", "rebuilt"):
            found = self.task("growth", "memory_over", n_steps=n_steps, mode=mode)
            print(f"memory, {mode}, {n_steps} steps: {_brief(found)}", flush=True)
            self.save("memory", {mode: found})

    def growth(self) -> None:
        """Cost over T, hidden and batch."""
        quick = self.args.quick
        seconds, rounds = (0.01, 3) if quick else (0.05, 5)
        for axis, mode, size in _points(quick):
            found = self.task(
                "growth", "cost", axis=axis, size=size, mode=mode, seconds=seconds, rounds=rounds
            )
            print(f"{axis} = {size}, {mode}: {_brief(found)}", flush=True)
            self.save("growth", {f"{axis}/{mode}/{size}": found})

    def ops(self) -> None:
        """Every op of the table."""
        quick = self.args.quick
        records = self.task(
            "op_table",
            "measure",
            seconds=0.0005 if quick else 0.005,
            factors=[1, 64] if quick else [1, 8, 64],
            only_first=quick,
        )
        print(f"ops: {len(records)} cases", flush=True)
        self.save("ops", {"cases": records})

    def functions(self) -> None:
        """Functions of parameters; kept in a file of their own, with the machine."""
        from benchmarks.functions.measure import compare
        from benchmarks.functions.problems import PROBLEMS
        from benchmarks.functions.report import line, render

        quick, file = self.args.quick, self.folder / "functions.json"
        rounds, seconds = self.args.rounds or (3 if quick else 9), 0.02 if quick else 0.1
        kept_before = json.loads(file.read_text())["found"] if file.exists() else {}
        found: dict[str, Any] = {}
        for problem in PROBLEMS.values():
            for want in problem.wants if (self.args.only or "") in problem.name else ():
                print(f"{problem.title}: {want}", flush=True)
                records = compare(
                    problem.name, want, self.args.peers, rounds=rounds, seconds=seconds
                )
                first = records.get("ours/arguments", {}).get("us")
                print(*(line(k, r, first) for k, r in records.items()), sep="\n", flush=True)
                found[f"{problem.name}/{want}"] = records
        when = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
        results = {"machine": {**machine(), "when": when}, "found": {**kept_before, **found}}
        file.write_text(kept.as_text(kept.rounded(results)) + "\n")
        (self.folder / "FUNCTIONS.md").write_text(render(results))


def _points(quick: bool) -> Iterator[tuple[str, str, int]]:
    from benchmarks.growth import AXES, LIMITS, MODES

    for axis, sizes in AXES.items():
        largest = {"n_steps": 200, "n_hidden": 128, "n_batch": 64}[axis] if quick else sizes[-1]
        for mode in MODES:
            limit = LIMITS.get(mode, largest) if axis == "n_steps" else largest
            for size in sizes:
                if size <= min(limit, largest):
                    yield axis, mode, size


def _brief(found: Any) -> str:
    if not isinstance(found, dict):
        return str(found)
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in found.items()
        if not isinstance(value, (dict, list))
    )


def main(argv: list[str] | None = None) -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few and short rounds, small sizes")
    parser.add_argument("--only", metavar="NAME", help=f"workloads: {', '.join(WORKLOADS)}")
    parser.add_argument("--sections", default="all", help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--contestants", help="only those whose key has one of these in it")
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter that has the rivals")
    parser.add_argument("--threads", default="1,all", help="a column each")
    parser.add_argument("--rounds", type=int, help="turns of each contestant")
    parser.add_argument("--results", default="out/benchmarks", metavar="FOLDER")
    args = parser.parse_args(argv)
    if args.peers:
        args.peers = os.path.abspath(args.peers)
    session = Session(args)
    chosen = SECTIONS if args.sections == "all" else args.sections.split(",")
    for section in chosen:
        if section not in SECTIONS:
            parser.error(f"there is no section {section!r}; there are {', '.join(SECTIONS)}")
        getattr(session, section)()

    from benchmarks.report import write

    write(session.folder)
    print(f"\n{session.folder / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
