"""What a contestant is: a file with three names.

``LIBRARY``   what to import and time, such as "jax"; None for NumPy only
``MODES``     ``{mode: label}``: the ways in which it runs, and what tables call them
``prepare(workload, mode)`` returns a :class:`Run`; raises :class:`DoesNotFit` for workloads that
              it has no form for

A mode ends in "scan" if one call takes many steps. Everything that need not be done at each step
is done by `prepare`. Needs NumPy only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.workloads import Arrays, Workload

__all__ = ["DoesNotFit", "Run", "turns"]


class DoesNotFit(Exception):
    """The library has no form for this workload."""


def _nothing() -> None:
    pass


@dataclass
class Run:
    """A prepared contestant.

    Parameters
    ----------
    step : one call; what is timed.
    gradients : loss and gradients of the first sample at the present weights; changes nothing.
        None: there is nothing to check.
    weights : the present weights.
    finish : waits for work in the background.
    steps_per_call : training steps in a call of `step`.
    """

    step: Callable[[], Any]
    gradients: Callable[[], tuple[float, Arrays]] | None
    weights: Callable[[], Arrays]
    finish: Callable[[], Any] = _nothing
    steps_per_call: int = 1


def turns(workload: Workload, step: Callable[..., Any], samples: Any = None) -> Callable[[], Any]:
    """`step` on the samples in turn, as a function without arguments."""
    take = itertools.cycle(workload.samples() if samples is None else samples).__next__
    return lambda: step(*take())
