"""MyGrad: tensors, with its guard against mutation off (faster, as its documentation says)."""

from __future__ import annotations

import mygrad as mg
from mygrad.nnet.activations import relu, sigmoid
from mygrad.nnet.losses import softmax_crossentropy

from benchmarks.contestant import Run
from benchmarks.models import Framework, loss_of
from benchmarks.numpy_update import trained
from benchmarks.workloads import Workload

mg.turn_memory_guarding_off()

LIBRARY = "mygrad"
MODES = {"call": "MyGrad"}


class MyGrad(Framework):
    """Its own activations and cross-entropy."""

    sigmoid, relu = staticmethod(sigmoid), staticmethod(relu)

    def dense(self, x, W, b):
        """x W + b."""
        return mg.matmul(x, W) + b

    def cross_entropy(self, logits, target, n_batch):
        """A mean over the rows, whose classes it takes by number."""
        return softmax_crossentropy(logits, target.argmax(axis=1))


def prepare(workload: Workload, mode: str) -> Run:
    """Make the parameters."""
    p = {name: mg.tensor(x) for name, x in workload.packed().items()}
    loss = loss_of(workload, MyGrad(mg))

    def compute(*sample):
        value = loss(p, *sample)
        value.backward()
        g = {name: x.grad for name, x in p.items()}
        for x in p.values():
            x.null_grad()
        return value.item(), g

    return trained(workload, {name: x.data for name, x in p.items()}, compute)
