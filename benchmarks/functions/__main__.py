"""``python -m benchmarks.functions``: values, gradients, Hessians, Jacobians beside the rivals'.

Prints as it measures; ``python -m benchmarks --sections functions`` also writes a table.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.functions.measure import compare
from benchmarks.functions.problems import PROBLEMS
from benchmarks.functions.report import line

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.functions", description=__doc__)
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter that has the rivals")
    parser.add_argument("--only", default="", help="problems with this in their name")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.1, help="of a turn")
    args = parser.parse_args(arguments)
    for problem in PROBLEMS.values():
        for want in problem.wants if args.only in problem.name else ():
            print(f"{problem.title}: {want}", flush=True)
            records = compare(
                problem.name, want, args.peers, rounds=args.rounds, seconds=args.seconds
            )
            first = records.get("ours/arguments", {}).get("us")
            for key, record in records.items():
                print(line(key, record, first), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
