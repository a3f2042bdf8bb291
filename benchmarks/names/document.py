"""The text of docs/numpy.md."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import scipy

from benchmarks.names.probe import Finding, all_names, finding, theirs_of

__all__ = ["DOCUMENT", "document", "versions"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "numpy.md"
TITLES = {
    "numpy": "`autodiff.numpy`",
    "numpy.linalg": "`autodiff.numpy.linalg`",
    "scipy.special": "`autodiff.scipy.special`",
    "scipy.linalg": "`autodiff.scipy.linalg`",
    "scipy.signal": "`autodiff.scipy.signal`",
    "scipy.stats": "`autodiff.scipy.stats`",
}
EVERYWHERE = {"out", "dtype", "order", "subok", "casting", "like", "device", "copy", "signature"}
OF_UFUNCS = (*EVERYWHERE, "where")

HEAD = """\
# NumPy's and SciPy's names

<!-- Written by python -m benchmarks.names, which calls every function. Do not edit. -->

`autodiff.numpy` and `autodiff.scipy` are NumPy and SciPy, but for the functions below: as soon as
an operand is a node (or, while a step is compiled, a recorded value), also within lists and tuples,
ours is called. Without one it is NumPy's own function, and so is its result. Everything else
(constants, `zeros`, `random`, `errstate`, …) is passed through. Functions that are not listed
refuse nodes by name; so do those of `fft`, whose results are complex.

```python
import autodiff.numpy as np
from autodiff.scipy.special import gammaln
from autodiff.scipy.stats import norm
```

The same functions serve NumPy's own names where NumPy asks its operands (`numpy.exp(node)`,
`numpy.linalg.norm(node)`; most of SciPy's functions do not ask), and the methods of nodes
(`node.cumsum(axis=0)`).

*Refused*: parameters that raise a TypeError if they would change anything; `None` and the default
are accepted. Not listed is what is refused everywhere, but for values that make no difference
(`dtype=float`, `order="C"`, `casting="same_kind"`):
{everywhere};
and `where` of ufuncs, but for `True`. `overwrite_a` and the like, and `check_finite`, do nothing.
*Derivative*: "no" is a node without gradient (comparisons, roundings), "–" no node at all (shapes,
Python's booleans). *Compiled*: "kernel", an instruction of its own; "composed" of such; "called
back", by Python; "refused" in a compiled step. *Error*: of the kernel's values in units in the last
place (see [numerics.md](numerics.md)); "by size", it grows with the operands; empty, as its parts.

Parameters are those of NumPy {numpy} and SciPy {scipy}.
"""


def document() -> str:
    """The whole text."""
    rooms: dict[str, list[Finding]] = {room: [] for room in TITLES}
    for name in all_names():
        rooms[_room(name)].append(finding(name))
    everywhere = ", ".join(f"`{name}`" for name in sorted(EVERYWHERE))
    parts = [HEAD.format(everywhere=everywhere, **versions())]
    for room, found in rooms.items():
        if found:
            parts.append(f"\n## {TITLES[room]}\n\n")
            parts.extend(_table(room, found))
    return "".join(parts)


def _room(name: str) -> str:
    """The longest room that the name is in."""
    return max((room for room in TITLES if name.startswith(f"{room}.")), key=len)


def _table(room: str, found: Iterable[Finding]) -> Iterable[str]:
    yield "| function | refused | derivative | compiled | error |\n"
    yield "| --- | --- | --- | --- | ---: |\n"
    for row in found:
        name = row.name[len(room) + 1 :]
        usual = OF_UFUNCS if isinstance(theirs_of(row.name), np.ufunc) else EVERYWHERE
        refuses = ", ".join(f"`{p}`" for p in row.refuses if p not in usual)
        takes = ", ".join(row.takes)
        facts = f"{refuses} | {row.derivative} | {row.compiled} | {row.bound}"
        yield f"| `{name}({takes})` | {facts} |\n"


def versions() -> dict[str, str]:
    """Of what the parameters are: NumPy and SciPy without the last number of their versions."""
    return {
        "numpy": np.__version__.rpartition(".")[0],
        "scipy": scipy.__version__.rpartition(".")[0],
    }
