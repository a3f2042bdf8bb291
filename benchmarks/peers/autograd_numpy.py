"""HIPS autograd: `value_and_grad` of a NumPy function, the update in NumPy."""

from __future__ import annotations

import autograd.numpy as anp
from autograd import value_and_grad

from benchmarks.contestant import Run
from benchmarks.models import Framework, loss_of
from benchmarks.numpy_update import trained
from benchmarks.workloads import Workload

LIBRARY = "autograd"
MODES = {"call": "HIPS autograd"}


class Autograd(Framework):
    """NumPy, but for products: `dot` is faster than `@`."""

    def dense(self, x, W, b):
        """x W + b."""
        return anp.dot(x, W) + b


def prepare(workload: Workload, mode: str) -> Run:
    """Define the function."""
    p = workload.packed()
    both = value_and_grad(loss_of(workload, Autograd(anp)))
    return trained(workload, p, lambda *sample: both(p, *sample))
