"""How far off the kernels' own functions are, in units in the last place, against long double.

    python -m benchmarks.ulp [--points 1e7] [--only sin,cos] [--write]

Every function gets so many arguments in each of its ranges, and as many again around the worst of
them; every instruction set must give the same bits. Exits with 1 if an error is above its bound,
or above what docs/numerics.md says is the worst; --write puts it there. The bounds stand in the
records of the ops: tests/backend/test_ulp.py holds the kernels to them, and the document to both.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autodiff import _core
from autodiff.op import OPS, Op

DOCUMENT = Path(__file__).parent.parent / "docs" / "numerics.md"
CHUNK = 1 << 16
Long = np.longdouble

# Draws so many arguments: one array for each operand.
Draw = Callable[[np.random.Generator, int], Sequence[np.ndarray]]


def uniform(low: float, high: float) -> Draw:
    """Evenly between two numbers."""
    return lambda random, n: [random.uniform(low, high, n)]


def all_sizes(low: int = -1074, high: int = 1023, signs: bool = True) -> Draw:
    """Numbers whose exponents are spread evenly, denormal ones among them."""

    def draw(random: np.random.Generator, n: int) -> list[np.ndarray]:
        x = np.ldexp(random.uniform(1.0, 2.0, n), random.integers(low, high, n, endpoint=True))
        return [x * random.choice([-1.0, 1.0], n) if signs else x]

    return draw


def near_zeros(random: np.random.Generator, n: int) -> list[np.ndarray]:
    """Where sine or cosine is nearly 0 and the reduction cancels most."""
    half_pi = np.array(np.pi / 2) + Long("6.123233995736766035868820147291983e-17")
    return [(random.integers(-20_860, 20_861, n) * half_pi).astype(np.float64)]


def powers(random: np.random.Generator, n: int) -> list[np.ndarray]:
    """Bases and exponents whose power is a normal number."""
    x = np.ldexp(random.uniform(1.0, 2.0, n), random.integers(-40, 41, n))
    with np.errstate(divide="ignore"):
        most = 1000.0 / np.abs(np.log2(x))
    return [x, random.uniform(-1.0, 1.0, n) * np.minimum(most, 1e6)]


def pairs(first: Draw, second: Draw) -> Draw:
    """Two operands, each in its own way."""
    return lambda random, n: [*first(random, n), *second(random, n)]


def near_each_other(random: np.random.Generator, n: int) -> list[np.ndarray]:
    """Positive operands that differ by some units, or by less."""
    x = random.uniform(0.0, 50.0, n)
    return [x, np.abs(x + random.normal(size=n) * 10.0 ** random.integers(-16, 2, n))]


@dataclass(frozen=True)
class Claim:
    """What is said of one function.

    row : the first column of its row in the document. exact : the function in long double.
    bound : in ulp. ranges : where it is tried. known : arguments that were the worst once.
    """

    row: str
    op: str
    exact: Callable[..., Any]
    bound: float
    ranges: tuple[Draw, ...]
    known: tuple[float, ...] = ()


NEAR = 32768.0  # AD_NEAR: up to there sin and cos are our own
USUAL: tuple[Draw, ...] = (uniform(-1, 1), uniform(-10, 10), uniform(-746, 710), all_sizes())
PAIRS: tuple[Draw, ...] = (
    pairs(uniform(-10, 10), uniform(-10, 10)),
    pairs(uniform(-1, 1), all_sizes(-4, 4)),
    pairs(all_sizes(), all_sizes()),
)
# Where all operands are positive: else the sum may cancel, and is as exact as its terms are.
SUMS: tuple[Draw, ...] = (near_each_other, pairs(all_sizes(signs=False), all_sizes(signs=False)))
# Where errors are largest, besides the usual places, and what was the worst once.
HARD: dict[str, tuple[tuple[Draw, ...], tuple[float, ...]]] = {
    "exp": ((all_sizes(-1074, 9),), (-261.65093368552874,)),
    "expm1": ((uniform(-1.5, 1.5), all_sizes(-1074, 9)), (0.3485354539969863,)),
    "log": ((uniform(0.5, 2), uniform(0.99, 1.01)), ()),
    "log1p": ((uniform(-1 + 1e-12, 3), uniform(-0.35, 0.5), all_sizes(-1074, -1)), ()),
    "tanh": ((uniform(-22, 22),), ()),
    "sigmoid": ((uniform(-8, 2),), (-4.844208277584402, -3.4439754300370673)),
    "softplus": ((uniform(-5, 5),), ()),
    "sin": ((uniform(-NEAR, NEAR), all_sizes(-1074, 14), near_zeros), ()),
    "cos": ((uniform(-NEAR, NEAR), all_sizes(-1074, 14), near_zeros), ()),
    "sqrt": ((all_sizes(signs=False),), ()),
    "float_power": ((powers,), ()),
    "tan": ((uniform(-NEAR, NEAR), all_sizes(-1074, 14), near_zeros), (-3.9206436850837836,)),
    "arctan": ((uniform(0.3, 3), uniform(0.4, 0.5)), (0.4211082972911691,)),
    "arcsin": ((uniform(0.4, 0.6),), (-0.5223761812612268,)),
    "arccos": ((uniform(0.4, 1),), (0.5620214032229616,)),
    "arctan2": (PAIRS, ()),
    "hypot": (PAIRS, ()),
    "sinh": ((uniform(0.5, 3),), (1.4291451445822845,)),
    "cosh": ((uniform(0.5, 3),), (12.136604674742562,)),
    "arcsinh": ((uniform(-1, 1),), (-0.5161281998879117,)),
    "arccosh": ((uniform(1, 1.1), uniform(1, 4)), (1.0001218331592294,)),
    "arctanh": ((uniform(0.05, 0.6),), (0.12289254991643023,)),
    "sinc": ((uniform(-3, 3),), (-335582.1675418841,)),
    "exp2": ((uniform(-2, 2), uniform(-1080, 1025)), (-219.49420219295706,)),
    "log2": ((uniform(0.5, 2), uniform(0.99, 1.01)), (1.4004512007313263,)),
    "log10": ((uniform(0.5, 2), uniform(0.99, 1.01), uniform(1, 1000)), (1.32839221897269,)),
    "cbrt": ((uniform(0.3, 3),), (63.999970486302935,)),
    "logaddexp": (SUMS, ()),
    "logaddexp2": (SUMS, ()),
}


def claim_of(op: Op) -> Claim:
    """That the kernel is within the bound of the record, wherever the op is defined."""
    hard, known = HARD.get(op.name, ((), ()))

    def within(draw: Draw) -> Draw:
        return lambda random, n: [op.into_domain(0, x) for x in draw(random, n)]

    usual = tuple(map(within, USUAL)) if len(op.inputs) == 1 else ()
    return Claim(f"`{op.name}`", op.name, op.forward, op.ulps, (*hard, *usual), known)


CLAIMS = tuple(
    claim_of(op)
    for op in OPS.values()
    if op.elementwise
    and not op.attributes
    and (0.5 < op.ulps < np.inf or op.name in HARD)
    and (len(op.inputs) == 1 or op.name in HARD)
    and op.name in _core.kernel_names()
)
"""What is said of the ops that are more than correctly rounded operations."""


def values(op: str, arguments: Sequence[np.ndarray]) -> np.ndarray:
    """What the kernel gives; AssertionError if instruction sets differ."""
    before = _core.isa()
    found = []
    try:
        for isa in _core.isas():
            _core.use_isa(isa)
            found.append(_core.forward(OPS[op].bind(), tuple(arguments)))
    finally:
        _core.use_isa(before)
    for isa, z in zip(_core.isas(), found, strict=True):
        assert z.tobytes() == found[0].tobytes(), f"{op}: {isa} gives other bits"
    return found[0]


def errors(claim: Claim, arguments: Sequence[np.ndarray]) -> np.ndarray:
    """In ulp of the exact result, rounded to double. Those below the normal range are rounded to
    multiples of 5e-324, which ulps count too."""
    z = values(claim.op, arguments)
    with np.errstate(all="ignore"):
        exact = claim.exact(*(x.astype(Long) for x in arguments))
        nearest = exact.astype(np.float64)
        finite = np.isfinite(nearest)
        np.testing.assert_array_equal(z[~finite], nearest[~finite])
        error = np.abs(z.astype(Long) - exact) / np.spacing(np.abs(nearest))
    return np.where(finite, error, 0.0).astype(np.float64)


def around(
    arguments: Sequence[np.ndarray], random: np.random.Generator, n: int
) -> list[np.ndarray]:
    """Neighbours of the first operands given, some close, some less."""
    near = 2.0 ** random.integers(-50, -12, n) * random.uniform(-1.0, 1.0, n)
    which = random.integers(0, len(arguments[0]), n)
    return [x[which] * (1.0 + near) if k == 0 else x[which] for k, x in enumerate(arguments)]


def worst_in(
    claim: Claim, draw: Draw, points: int, random: np.random.Generator, tell: Callable[[int], Any]
) -> tuple[float, tuple[float, ...]]:
    """The worst error and its arguments: of so many drawn, and of as many around the worst."""
    worst: list[tuple[float, tuple[float, ...]]] = []
    for near in (False, True):
        for start in range(0, points, CHUNK):
            n = min(CHUNK, points - start)
            if near:
                operands = zip(*(x for _, x in worst), strict=True)
                arguments: Sequence[np.ndarray] = around([np.array(x) for x in operands], random, n)
            else:
                arguments = draw(random, n)
            error = errors(claim, arguments)
            worst += [
                (float(error[i]), tuple(float(x[i]) for x in arguments))
                for i in np.argsort(error)[-4:]
            ]
            worst = sorted(set(worst), reverse=True)[:32]
            tell(n)
    return worst[0]


def measure(
    claim: Claim, points: int, tell: Callable[[int], Any] = lambda n: None
) -> tuple[float, tuple[float, ...]]:
    """The worst error in all ranges, and the arguments that give it; the same on every run."""
    random = np.random.default_rng(7)
    known = [(float(errors(claim, [np.full(9, x)])[0]), (x,)) for x in claim.known]
    return max(known + [worst_in(claim, draw, points, random, tell) for draw in claim.ranges])


def documented(text: str) -> dict[str, tuple[str, str]]:
    """The rows of its section "Functions": worst seen and bound, as they are written."""
    section = text.partition("## Functions\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| ([\d.]+) \| ([\d.]+) \|", section, re.MULTILINE)
    return {row: (worst, bound) for row, worst, bound in rows}


def rewritten(text: str, row: str, worst: str) -> str:
    """The document with another number as the worst seen."""
    return re.sub(rf"^(\| {re.escape(row)} \|) [\d.]+", rf"\1 {worst}", text, flags=re.MULTILINE)


class Bar:
    """A bar of progress on standard error."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0

    def __call__(self, n: int) -> None:
        """So many more."""
        self.done += n
        parts = min(40, 40 * self.done // self.total)
        if sys.stderr.isatty() or self.done >= self.total:
            print(f"\r[{'#' * parts:40}] {self.done:,} arguments", end="", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Measure all claims; 1 if one of them, or the document, is false."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--points", type=float, default=1e7, help="in each range, twice")
    parser.add_argument("--only", default="", help="ops, joined by commas")
    parser.add_argument("--write", action="store_true", help="put the numbers into the document")
    options = parser.parse_args(arguments)
    if np.finfo(Long).nmant < 63:
        print("long double is no better than double here: there is nothing to measure against")
        return 0
    chosen = [c for c in CLAIMS if not options.only or c.op in options.only.split(",")]
    points = int(options.points)
    bar = Bar(sum(2 * points * len(c.ranges) for c in chosen))
    false, text = 0, DOCUMENT.read_text()
    for claim in chosen:
        worst, where = measure(claim, points, bar)
        shown = f"{np.ceil(100 * worst) / 100:.2f}" if worst > 0.5001 else "0.5"
        said = documented(text).get(claim.row, ("0", ""))[0]
        verdict = "ABOVE ITS BOUND" if worst > claim.bound + 1e-3 else ""
        if float(said) < float(shown) and not options.write:
            verdict += f" the document says {said}"
        false += bool(verdict)
        text = rewritten(text, claim.row, shown)
        where_text = ", ".join(map(repr, where))
        print(
            f"\r{claim.row:24} {worst:8.4f} of {claim.bound} at {where_text} {verdict}", flush=True
        )
    if options.write:
        DOCUMENT.write_text(text)
    return 1 if false else 0


if __name__ == "__main__":
    sys.exit(main())
