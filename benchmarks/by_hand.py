"""Backward passes written by hand in NumPy: no graph, packed gates, buffers that are used again.

What somebody would write who has one model and an afternoon. The yardstick for what a graph costs.
"""

from __future__ import annotations

import numpy as np

from benchmarks.contestant import Run, turns
from benchmarks.numpy_update import update
from benchmarks.workloads import LSTM, MLP, VAE, Array, Workload

LIBRARY = None
MODES = {"call": "NumPy by hand"}


def prepare(workload: Workload, mode: str) -> Run:
    """The model of this workload."""
    model = {"LSTM": LSTMByHand, "VAE": VAEByHand, "MLP": MLPByHand}[workload.kind](workload)
    first = workload.samples()[0]
    return Run(
        step=turns(workload, model.step),
        gradients=lambda: (model.loss_and_gradients(*first), workload.named(model.gradients)),
        weights=lambda: workload.named(model.weights),
    )


class ByHand:
    """Weights, gradients, and the update.

    weights, gradients : arrays by name, packed.
    """

    def __init__(self, workload: Workload) -> None:
        self.weights = weights = workload.packed()
        self.gradients = {name: np.empty_like(w) for name, w in weights.items()}
        self._update = update(workload, weights)

    def loss_and_gradients(self, *sample: Array) -> float:
        """The loss; leaves the gradients in `gradients`."""
        raise NotImplementedError

    def step(self, *sample: Array) -> float:
        """One training step."""
        loss = self.loss_and_gradients(*sample)
        self._update(self.gradients)
        return loss


class LSTMByHand(ByHand):
    """All gates in one product; sigmoid(a) = ½ tanh(½ a) + ½, so that one tanh serves four."""

    def __init__(self, workload: LSTM) -> None:
        super().__init__(workload)
        T, B, H = workload.n_steps, workload.n_batch, workload.n_hidden
        self.n_in, self.n_hidden, self.n_batch = workload.n_in, H, B
        self._z = np.zeros((T + 1, B, workload.n_in + H))  # [x, h] of each step
        self._c = np.zeros((T + 1, B, H))
        self._tanh_c = np.empty((T, B, H))
        self._h = np.empty((T, B, H))
        self._a = np.empty((T, B, 4 * H))  # the gates after their activations
        self._slope = np.empty((T, B, 4 * H))
        self._da = np.empty((T, B, 4 * H))
        self._half = np.repeat([0.5, 1.0], [3 * H, H])
        self._shift = np.repeat([0.5, 0.0], [3 * H, H])
        self._p, self._q = np.empty((B, H)), np.empty((B, H))

    def loss_and_gradients(self, x: Array, target: Array) -> float:
        """x (T, B, n_in), target (T B, n_out)."""
        W, b, V, d = self.weights.values()
        n, H = self.n_in, self.n_hidden
        T = len(x)
        z, c, a, tanh_c, p, q = self._z, self._c, self._a, self._tanh_c, self._p, self._q
        z[:T, :, :n] = x
        for t in range(T):
            gates = a[t]
            np.dot(z[t], W, out=gates)
            gates += b
            gates *= self._half
            np.tanh(gates, out=gates)
            gates *= self._half
            gates += self._shift
            np.multiply(gates[:, :H], c[t], out=c[t + 1])
            np.multiply(gates[:, H : 2 * H], gates[:, 3 * H :], out=p)
            c[t + 1] += p
            np.tanh(c[t + 1], out=tanh_c[t])
            np.multiply(gates[:, 2 * H : 3 * H], tanh_c[t], out=z[t + 1, :, n:])
        self._h[...] = z[1:, :, n:]
        h = self._h.reshape(-1, H)
        error = h @ V
        error += d
        error -= target
        loss = 0.5 * float(np.vdot(error, error)) / self.n_batch
        if self.n_batch > 1:
            error /= self.n_batch

        np.dot(h.T, error, out=self.gradients["V"])
        np.sum(error, axis=0, out=self.gradients["d"])
        dh_all = (error @ V.T).reshape(T, -1, H)
        slope, da = self._slope, self._da
        np.subtract(1.0, a[:, :, : 3 * H], out=slope[:, :, : 3 * H])
        slope[:, :, : 3 * H] *= a[:, :, : 3 * H]
        g = a[:, :, 3 * H :]
        np.multiply(g, g, out=slope[:, :, 3 * H :])
        np.subtract(1.0, slope[:, :, 3 * H :], out=slope[:, :, 3 * H :])
        Wh = W[n:].T
        for t in reversed(range(T)):
            gates, dgates, dh = a[t], da[t], dh_all[t]
            if t + 1 < T:
                dh += da[t + 1] @ Wh
            np.multiply(dh, tanh_c[t], out=dgates[:, 2 * H : 3 * H])
            np.multiply(tanh_c[t], tanh_c[t], out=p)
            np.subtract(1.0, p, out=p)
            p *= dh
            p *= gates[:, 2 * H : 3 * H]  # dc = dh o (1 - tanh² c) + dc' f'
            if t + 1 < T:
                p += q
            np.multiply(p, c[t], out=dgates[:, :H])
            np.multiply(p, gates[:, 3 * H :], out=dgates[:, H : 2 * H])
            np.multiply(p, gates[:, H : 2 * H], out=dgates[:, 3 * H :])
            dgates *= slope[t]
            np.multiply(p, gates[:, :H], out=q)
        flat = da.reshape(-1, 4 * H)
        np.dot(z[:T].reshape(len(flat), -1).T, flat, out=self.gradients["W"])
        np.sum(flat, axis=0, out=self.gradients["b"])
        return loss


class VAEByHand(ByHand):
    """Rows of one matrix are the two heads' gradients; logits' slope is sigmoid - x."""

    def __init__(self, workload: VAE) -> None:
        super().__init__(workload)
        self.n_batch = workload.n_batch

    def loss_and_gradients(self, x: Array, noise: Array) -> float:
        """x (B, n_in), noise (B, n_latent)."""
        w, g = self.weights, self.gradients
        hidden = x @ w["encoder.W"]
        hidden += w["encoder.b"]
        np.tanh(hidden, out=hidden)
        mean = hidden @ w["mean.W"] + w["mean.b"]
        log_variance = hidden @ w["log_variance.W"] + w["log_variance.b"]
        sigma = np.exp(0.5 * log_variance)
        latent = mean + sigma * noise
        decoded = latent
        if "decoder.W" in w:
            decoded = np.tanh(latent @ w["decoder.W"] + w["decoder.b"])
        logits = decoded @ w["output.W"]
        logits += w["output.b"]
        # ln(1 + e^l) = max(l, 0) + ln(1 + e^-|l|)
        e = np.exp(-np.abs(logits))
        variance = sigma * sigma
        nll = np.maximum(logits, 0.0).sum() + np.log1p(e).sum() - np.vdot(x, logits)
        kl = 0.5 * (variance.sum() + np.vdot(mean, mean) - mean.size - log_variance.sum())
        loss = float(nll + kl) / self.n_batch

        dlogits = np.where(logits >= 0.0, 1.0, e)
        e += 1.0
        dlogits /= e
        dlogits -= x
        if self.n_batch > 1:
            dlogits /= self.n_batch
        self._layer("output", decoded, dlogits)
        dlatent = dlogits @ w["output.W"].T
        if "decoder.W" in w:
            dlatent *= 1.0 - decoded * decoded
            self._layer("decoder", latent, dlatent)
            dlatent = dlatent @ w["decoder.W"].T
        dmean = dlatent + mean / self.n_batch
        dlog_variance = 0.5 * (dlatent * sigma * noise + (variance - 1.0) / self.n_batch)
        self._layer("mean", hidden, dmean)
        self._layer("log_variance", hidden, dlog_variance)
        dhidden = dmean @ w["mean.W"].T
        dhidden += dlog_variance @ w["log_variance.W"].T
        dhidden *= 1.0 - hidden * hidden
        self._layer("encoder", x, dhidden)
        assert g["encoder.W"].shape == w["encoder.W"].shape
        return loss

    def _layer(self, name: str, x: Array, dy: Array) -> None:
        np.dot(x.T, dy, out=self.gradients[f"{name}.W"])
        np.sum(dy, axis=0, keepdims=True, out=self.gradients[f"{name}.b"])


class MLPByHand(ByHand):
    """A loop over the layers and back."""

    def __init__(self, workload: MLP) -> None:
        super().__init__(workload)
        self.n_layers = len(workload.sizes) - 1
        self.n_batch = workload.n_batch
        self.relu = workload.activation == "relu"

    def loss_and_gradients(self, x: Array, target: Array) -> float:
        """x (B, n_in), target (B, n_out)."""
        w, g = self.weights, self.gradients
        values = [x]
        for k in range(self.n_layers):
            a = values[-1] @ w[f"{k}.W"]
            a += w[f"{k}.b"]
            if not self.relu:
                np.negative(a, out=a)
                np.exp(a, out=a)
                a += 1.0
                np.divide(1.0, a, out=a)
            elif k + 1 < self.n_layers:
                np.maximum(a, 0.0, out=a)
            values.append(a)
        y = values[-1]
        if self.relu:
            y -= y.max(axis=1, keepdims=True)
            e = np.exp(y)
            total = e.sum(axis=1, keepdims=True)
            loss = (float(np.log(total).sum()) - float(np.vdot(target, y))) / self.n_batch
            e /= total
            e -= target
            dy = e
        else:
            dy = y - target
            loss = 0.5 * float(np.vdot(dy, dy)) / self.n_batch
            dy *= y * (1.0 - y)
        if self.n_batch > 1:
            dy /= self.n_batch
        for k in reversed(range(self.n_layers)):
            np.dot(values[k].T, dy, out=g[f"{k}.W"])
            np.sum(dy, axis=0, keepdims=True, out=g[f"{k}.b"])
            if k:
                dy = dy @ w[f"{k}.W"].T
                z = values[k]
                dy *= (z > 0.0) if self.relu else z * (1.0 - z)
        return loss
