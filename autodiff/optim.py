"""Update rules: how parameters follow their gradients.

``optimiser = Adam(model, 1e-3)``, then after each backward pass ``optimiser.step()``. Parameters
are a set by identity: a weight that is given twice steps once.

An update is written with operators and ops on values, and its state (velocities, moments, the
count of steps) is held in constant tensors, read like a parameter and written by ``assign``.
So a step can be recorded like everything else. Nothing here decides by a number.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from autodiff import ops
from autodiff.errors import GradientError
from autodiff.node import Node, Tensor
from autodiff.observer import current_observer, here, missing

__all__ = ["SGD", "Adam", "Momentum", "Optimiser", "RMSprop", "clip_by_global_norm", "global_norm"]


class HasParameters(Protocol):
    """A module, for instance."""

    def parameters(self) -> list[Tensor]:
        """The tensors to step."""
        ...


Parameters: TypeAlias = HasParameters | Tensor | Iterable[Tensor]
Reader: TypeAlias = Callable[[Tensor], Any]

_stored: Reader = operator.attrgetter("_value")  # saves the read-only view that `value` makes
_public: Reader = operator.attrgetter("value")


class Optimiser:
    """What the update rules have in common; a rule is a class with `_update`.

    Parameters
    ----------
    parameters : module, tensor or tensors; each is stepped once, however often it is given.
    rate : number, or a tensor of shape () for a rate that a recorded program reads anew at
        each step. May be set between steps.
    clip : limit for the global norm of the gradients, see :func:`clip_by_global_norm`.
    skip_missing : leave parameters alone that have no new gradient, in place of raising.

    Attributes
    ----------
    parameters : list of Tensor
    state : ``{name: Tensor}``, all that a step changes besides the parameters, named by the
        parameter's position: ``"3.velocity"``.

    Raises
    ------
    GradientError
        If there are no parameters, or one is constant.
    """

    parameters: list[Tensor]
    state: dict[str, Tensor]

    def __init__(
        self,
        parameters: Parameters,
        rate: float | Tensor,
        *,
        clip: float | None = None,
        skip_missing: bool = False,
    ) -> None:
        self.parameters = _unique(type(self).__name__, parameters)
        self.rate = rate
        self.clip = clip
        self.skip_missing = skip_missing
        self.state = {}
        self._used = [0] * len(self.parameters)  # the rounds of the gradients used last

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {len(self.parameters)} parameters, rate {self.rate}>"

    def step(self) -> None:
        """Move each parameter once, by its gradient of the last backward pass.

        Raises
        ------
        GradientError
            If a parameter has no gradient, or still the one that the last step has used;
            no parameter has changed then.
        IncompleteGradientError
            If parents of a parameter have not sent theirs; no parameter has changed then.
        """
        observer = current_observer()
        recording = None if observer is None else observer.home
        used = self._used
        if recording is not None:
            used = recording.scratch.setdefault(self, [0] * len(self.parameters))
        parameters = [here(parameter) for parameter in self.parameters]
        indices = self._ready(parameters, used)
        gradients = [parameters[i]._gradient for i in indices]
        for i in indices:
            parameters[i]._read = used[i] = parameters[i]._round
        read = _stored if recording is None else _public
        rate = read(self.rate) if isinstance(self.rate, Tensor) else self.rate
        with np.errstate(all="ignore"):  # NaN and infinity are results, not warnings
            if self.clip is not None:
                gradients = clip_by_global_norm(gradients, self.clip)
            self._update(indices, gradients, rate, read)

    def _ready(self, parameters: Sequence[Node], rounds: Sequence[int]) -> Sequence[int]:
        """Positions of the parameters to step."""
        indices = []
        for i, (parameter, used) in enumerate(zip(parameters, rounds, strict=True)):
            if parameter._awaited > 0:
                _ = parameter.gradient  # raises, and says who is waiting for whom
            if parameter._gradient is None:
                missing(parameter, "gradient")
            if parameter._gradient is None or parameter._round == used:
                if self.skip_missing:
                    continue
                fault = (
                    "no gradient"
                    if parameter._gradient is None
                    else "no new gradient since the last step"
                )
                raise GradientError(
                    f"{type(self).__name__}: {parameter.describe()} has {fault}; run a backward "
                    "pass that reaches it, or set skip_missing=True"
                )
            indices.append(i)
        return indices

    def _update(
        self, indices: Sequence[int], gradients: Sequence[Any], rate: Any, read: Reader
    ) -> None:
        """Assign the new values; `read` gives the value of a tensor."""
        raise NotImplementedError

    def _zeros(self, what: str) -> list[Tensor]:
        """A state of zeros for each parameter."""
        tensors = [
            Tensor(np.zeros(p.shape), constant=True, name=f"{p.name}.{what}")
            for p in self.parameters
        ]
        self.state.update((f"{i}.{what}", tensor) for i, tensor in enumerate(tensors))
        return tensors


class SGD(Optimiser):
    """Gradient descent: x ← x - rate · g."""

    def _update(
        self, indices: Sequence[int], gradients: Sequence[Any], rate: Any, read: Reader
    ) -> None:
        for i, g in zip(indices, gradients, strict=True):
            x = self.parameters[i]
            x.assign(read(x) - rate * g)


class Momentum(Optimiser):
    """Gradient descent with momentum: v ← momentum · v + g, x ← x - rate · v.

    References
    ----------
    Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep
    learning", ICML 2013, equations 1 and 2, with the rate taken out of the velocity, so that
    a rate that is set anew acts at once.
    """

    def __init__(
        self,
        parameters: Parameters,
        rate: float | Tensor,
        momentum: float = 0.9,
        *,
        clip: float | None = None,
        skip_missing: bool = False,
    ) -> None:
        super().__init__(parameters, rate, clip=clip, skip_missing=skip_missing)
        self.momentum = _fraction("momentum", momentum)
        self.velocity = self._zeros("velocity")

    def _update(
        self, indices: Sequence[int], gradients: Sequence[Any], rate: Any, read: Reader
    ) -> None:
        for i, g in zip(indices, gradients, strict=True):
            x, velocity = self.parameters[i], self.velocity[i]
            v = self.momentum * read(velocity) + g
            velocity.assign(v)
            x.assign(read(x) - rate * v)


class RMSprop(Optimiser):
    """s ← decay · s + (1 - decay) g², x ← x - rate · g / (√s + epsilon).

    References
    ----------
    Tieleman, Hinton, "Lecture 6.5: rmsprop", Neural networks for machine learning, 2012.
    """

    def __init__(
        self,
        parameters: Parameters,
        rate: float | Tensor = 1e-3,
        decay: float = 0.9,
        epsilon: float = 1e-8,
        *,
        clip: float | None = None,
        skip_missing: bool = False,
    ) -> None:
        super().__init__(parameters, rate, clip=clip, skip_missing=skip_missing)
        self.decay = _fraction("decay", decay)
        self.epsilon = epsilon
        self.mean_square = self._zeros("mean_square")

    def _update(
        self, indices: Sequence[int], gradients: Sequence[Any], rate: Any, read: Reader
    ) -> None:
        decay, rest = self.decay, 1.0 - self.decay
        for i, g in zip(indices, gradients, strict=True):
            x, mean_square = self.parameters[i], self.mean_square[i]
            s = decay * read(mean_square) + rest * (g * g)
            mean_square.assign(s)
            x.assign(read(x) - rate * g / (ops.sqrt(s) + self.epsilon))


class Adam(Optimiser):
    """Adam, with bias correction.

    m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², and with the count t of steps
    x ← x - rate · m̂ / (√v̂ + epsilon), where m̂ = m / (1 - β₁ᵗ) and v̂ = v / (1 - β₂ᵗ).

    With `skip_missing`, t counts the steps of the optimiser, not those of each parameter.

    References
    ----------
    Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    """

    def __init__(
        self,
        parameters: Parameters,
        rate: float | Tensor = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        *,
        clip: float | None = None,
        skip_missing: bool = False,
    ) -> None:
        super().__init__(parameters, rate, clip=clip, skip_missing=skip_missing)
        self.beta1 = _fraction("beta1", beta1)
        self.beta2 = _fraction("beta2", beta2)
        self.epsilon = epsilon
        self.n_steps = Tensor(0.0, constant=True, name="n_steps")
        self.state["n_steps"] = self.n_steps
        self.mean = self._zeros("mean")
        self.mean_square = self._zeros("mean_square")

    def _update(
        self, indices: Sequence[int], gradients: Sequence[Any], rate: Any, read: Reader
    ) -> None:
        beta1, beta2, epsilon = self.beta1, self.beta2, self.epsilon
        rest1, rest2 = 1.0 - beta1, 1.0 - beta2
        t = read(self.n_steps) + 1.0
        self.n_steps.assign(t)
        # x -= rate m̂ / (√v̂ + epsilon); 1 - βᵗ without cancellation. All scalars, once a step.
        rate = rate / -ops.expm1(_log(beta1) * t)
        scale = 1.0 / ops.sqrt(-ops.expm1(_log(beta2) * t))
        for i, g in zip(indices, gradients, strict=True):
            x, mean, mean_square = self.parameters[i], self.mean[i], self.mean_square[i]
            m = beta1 * read(mean) + rest1 * g
            v = beta2 * read(mean_square) + rest2 * (g * g)
            mean.assign(m)
            mean_square.assign(v)
            x.assign(read(x) - rate * m / (scale * ops.sqrt(v) + epsilon))


def global_norm(gradients: Iterable[Any]) -> Any:
    """√(Σ g²) over all elements of all gradients: arrays or nodes of any shapes.

    The squares overflow for elements beyond 1e154; the norm is infinite then.
    """
    squares = [ops.sum(ops.square(g)) for g in gradients]
    if not squares:
        raise GradientError("global_norm: there are no gradients")
    total = squares[0]
    for square in squares[1:]:
        total = total + square
    return ops.sqrt(total)


def clip_by_global_norm(gradients: Iterable[Any], limit: float | Any) -> list[Any]:
    """All gradients times min(1, limit / norm), with their :func:`global_norm`.

    They keep their direction, and a norm of up to `limit` remains as it is. NaN is not
    hidden: it spreads to all. The gradients are arrays, or nodes such as
    :func:`autodiff.gradients` returns; new ones are returned.

    References
    ----------
    Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks",
    ICML 2013, algorithm 1.

    Examples
    --------
    >>> clip_by_global_norm([np.array([3.0]), np.array([4.0])], 1.0)
    [array([0.6]), array([0.8])]
    """
    gradients = list(gradients)
    with np.errstate(divide="ignore"):  # a norm of 0: limit / 0 = inf, and the factor is 1
        factor = ops.minimum(1.0, ops.divide(limit, global_norm(gradients)))
    return [g * factor for g in gradients]


def _unique(rule: str, parameters: Parameters) -> list[Tensor]:
    given: Iterable[Tensor]
    if isinstance(parameters, Tensor):
        given = [parameters]
    else:
        find = getattr(parameters, "parameters", None)
        given = parameters if find is None else find()  # type: ignore[assignment]
    unique = list(dict.fromkeys(given))
    if not unique:
        raise GradientError(f"{rule}: there are no parameters")
    for tensor in unique:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{rule}: a parameter is a Tensor, not {tensor!r}")
        if tensor.constant:
            raise GradientError(f"{rule}: {tensor.describe()} is constant, it has no gradient")
    return unique


def _fraction(name: str, value: float) -> float:
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name} is {value}; it must be at least 0 and less than 1")
    return float(value)


def _log(x: float) -> float:
    return math.log(x) if x > 0.0 else -math.inf
