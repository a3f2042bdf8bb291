"""What all examples have in common: their command line, a progress bar, a falling rate."""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

from tqdm import tqdm

import autodiff

__all__ = ["compare", "cosine", "epochs", "parse", "progress"]


def parse(
    text: str, argv: Sequence[str] | None, *, mnist: bool = False, small: bool = False
) -> argparse.Namespace:
    """The command line; `text` explains the example, `mnist` and `small` add their options."""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--post", action="store_true", help="the post's settings")
    parser.add_argument("--quick", action="store_true", help="a few epochs only")
    parser.add_argument("--epochs", type=_positive, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--compare", action="store_true", help="also time the step eagerly")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the result into this file")
    if mnist:
        parser.add_argument(
            "--mnist",
            metavar="FOLDER",
            default=os.environ.get("MNIST") or None,
            help="with MNIST's four files, gzipped or not; by default the variable MNIST",
        )
    if small:
        parser.add_argument(
            "--small", action="store_true", help="the post's network and 200 digits"
        )
    return parser.parse_args(argv)


def epochs(args: argparse.Namespace, *, ours: int, post: int, quick: int) -> int:
    """What --epochs says, or else one of the three."""
    return args.epochs or (quick if args.quick else post if args.post else ours)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number


def progress(n_epochs: int, text: str) -> Iterator[int]:
    """0 ... n_epochs - 1, with a progress bar if somebody is watching."""
    return iter(tqdm(range(n_epochs), text, unit="epoch", disable=None))


def cosine(rate: float, done: int, total: int) -> float:
    """A rate that falls from `rate` to 0 along half a cosine."""
    return rate * 0.5 * (1.0 + math.cos(math.pi * done / total))


def compare(step: autodiff.CompiledStep, *arguments: object) -> None:
    """Print what the same step takes eagerly and replayed. It moves the weights."""
    times = {}
    for name in ("reference", "compiled"):
        if name in autodiff.available_backends():
            with autodiff.use_backend(name):
                times[f"eager, back end {name}"] = _seconds(step.function, *arguments)
    times["replayed"] = _seconds(step, *arguments)
    print("a step: " + "; ".join(f"{name} {t * 1e6:,.0f} µs" for name, t in times.items()))


def _seconds(step: Callable[..., object], *arguments: object) -> float:
    """The median of 50 calls."""
    times = []
    for _ in range(50):
        start = time.perf_counter()
        step(*arguments)
        times.append(time.perf_counter() - start)
    return statistics.median(times)
