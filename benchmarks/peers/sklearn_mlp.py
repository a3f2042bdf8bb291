"""scikit-learn's MLPClassifier, one `partial_fit` a batch; for the workload that it can express.

Its Adam adds ε to √v, ours and everybody else's to √v̂; so that the weights agree, its ε is set anew
before each step. The gradients are read from the optimiser's first moment.
"""

from __future__ import annotations

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks.contestant import DoesNotFit, Run, turns
from benchmarks.workloads import ADAM, Workload

LIBRARY = "sklearn"
MODES = {"call": "scikit-learn MLPClassifier"}


def prepare(workload: Workload, mode: str) -> Run:
    """A classifier with the workload's weights."""
    if workload.kind != "MLP" or workload.activation != "relu" or workload.method != "adam":
        raise DoesNotFit("MLPClassifier has relu layers and a softmax, trained by Adam")
    classes = np.arange(workload.sizes[-1])
    samples = [(x, target.argmax(axis=1)) for x, target in workload.samples()]

    def fresh():
        model = MLPClassifier(
            workload.sizes[1:-1],
            alpha=0.0,
            batch_size=workload.n_batch,
            learning_rate_init=workload.rate,
            beta_1=ADAM["beta1"],
            beta_2=ADAM["beta2"],
            epsilon=ADAM["epsilon"],
            shuffle=False,
            max_iter=1,
        )
        return model

    def load(model, weights):
        n = len(workload.sizes) - 1
        for k in range(n):
            model.coefs_[k][...] = weights[f"{k}.W"]
            model.intercepts_[k][...] = weights[f"{k}.b"][0]

    def begun(weights):
        # Weights exist after a first partial_fit; forget what it did.
        model = fresh()
        model.partial_fit(*samples[0], classes=classes)
        load(model, weights)
        optimiser = model._optimizer
        for moment in (*optimiser.ms, *optimiser.vs):
            moment[...] = 0.0
        optimiser.t = 0
        model.t_ = 0
        return model

    def named(model):
        found = {f"{k}.W": np.array(w) for k, w in enumerate(model.coefs_)}
        found.update({f"{k}.b": np.array(b)[None] for k, b in enumerate(model.intercepts_)})
        return found

    model = begun(workload.weights())

    def one(x, labels):
        optimiser = model._optimizer
        optimiser.epsilon = ADAM["epsilon"] * (1.0 - ADAM["beta2"] ** (optimiser.t + 1)) ** 0.5
        model.partial_fit(x, labels, classes=classes)
        return model.loss_

    def gradients():
        probe = begun(named(model))
        probe.partial_fit(*samples[0], classes=classes)
        moments = [m / (1.0 - ADAM["beta1"]) for m in probe._optimizer.ms]
        n = len(moments) // 2
        found = {f"{k}.W": m for k, m in enumerate(moments[:n])}
        found.update({f"{k}.b": m[None] for k, m in enumerate(moments[n:])})
        return float(probe.loss_), found

    return Run(turns(workload, one, samples), gradients, lambda: named(model))
