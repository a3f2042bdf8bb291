"""Update rules: how parameters follow their gradients.

``optimiser = Adam(model, 1e-3)``, then after each backward pass ``optimiser.step()``. Parameters
are a set by identity: a weight that is given twice steps once.

An update is written with operators and ops on values, and its state (velocities, moments, the
count of steps) is held in constant tensors, read and written like a parameter. So a step can
be recorded like everything else. Nothing here decides by a number.

The numbers of a rule (``rate``, ``momentum``, ``beta1``, ``clip`` ...) are state too, though not
listed there: set one, and the next step goes by it, eager or compiled. Two rates, or weight
decay for some parameters only, take two optimisers.
"""

from __future__ import annotations

import math
import operator
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from autodiff import ops
from autodiff.clipping import clip_by_global_norm, global_norm
from autodiff.errors import GradientError
from autodiff.graph import clock
from autodiff.graph.memory import assign_together
from autodiff.graph.node import Node, Tensor
from autodiff.graph.observer import current_observer, here, missing
from autodiff.graph.unfinished import note_read
from autodiff.hyperparameter import AMOUNT, FRACTION, LIMIT, Derived, Hyperparameter

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Momentum",
    "Optimiser",
    "RMSprop",
    "clip_by_global_norm",
    "global_norm",
]


class HasParameters(Protocol):
    """A module, for instance."""

    def parameters(self) -> list[Tensor]:
        """The tensors to step."""
        ...


Parameters: TypeAlias = HasParameters | Tensor | Iterable[Tensor]
Reader: TypeAlias = Callable[[Tensor], Any]
Changes: TypeAlias = list[tuple[Tensor, Any]]

_stored: Reader = operator.attrgetter("stored")  # saves the read-only view that `value` makes
_public: Reader = operator.attrgetter("value")


class Optimiser:
    """What the update rules have in common; a rule is a class with `_update`.

    Parameters
    ----------
    parameters : module, tensor or tensors; each is stepped once, however often it is given.
    rate : finite number of at least 0, or a tensor of shape (), which is then read at each step.
    clip : limit for the global norm of the gradients, see :func:`clip_by_global_norm`; None: none.
    weight_decay : adds weight_decay · x to the gradient of x, after clipping: the slope of
        ½ weight_decay ‖x‖² in the loss. :class:`AdamW` decays otherwise.
    skip_missing : leave parameters alone that have no new gradient, in place of raising.

    All numbers may be set between steps, and within a recorded one.

    Attributes
    ----------
    parameters : list of Tensor
    state : ``{name: Tensor}``, all that a step changes besides the parameters, named by the
        parameter's position: ``"3.velocity"``.

    Raises
    ------
    GradientError
        If there are no parameters, or one is constant.
    ValueError, TypeError
        If a number is out of range, or none; when it is set, too.
    """

    rate = Hyperparameter(AMOUNT, by_tensor=True)
    clip = Hyperparameter(LIMIT, unused=None)
    weight_decay = Hyperparameter(AMOUNT, unused=0.0)

    parameters: list[Tensor]
    state: dict[str, Tensor]

    def __init__(
        self,
        parameters: Parameters,
        rate: float | Tensor,
        *,
        clip: float | None = None,
        weight_decay: float = 0.0,
        skip_missing: bool = False,
    ) -> None:
        self.parameters = _unique(type(self).__name__, parameters)
        self._numbers: dict[str, Tensor] = {}  # of hyperparameters and what follows from them
        self._unused: set[str] = set()  # hyperparameters that the step leaves out
        self._of_user: set[str] = set()  # those that are a tensor of the user's
        self.rate = rate
        self.clip = clip
        self.weight_decay = weight_decay
        self.skip_missing = skip_missing
        self.state = {}
        self._used = [0] * len(self.parameters)  # the rounds of the gradients used last

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {len(self.parameters)} parameters, rate {self.rate}>"

    def __getstate__(self) -> dict[str, Any]:
        # Copies of the parameters have no gradients, and rounds of their own.
        return {**self.__dict__, "_used": [0] * len(self.parameters)}

    @property
    def skip_missing(self) -> bool:
        """Whether parameters without a new gradient are left alone."""
        return self._skip_missing

    @skip_missing.setter
    def skip_missing(self, skip: bool) -> None:
        self._skip_missing = bool(skip)
        clock.note_pass()

    def structure(self) -> tuple[Any, ...]:
        """What decides which instructions a step is made of, besides the parameters.

        Equal, unless a number has come into use or gone out of it, or `rate` is another tensor
        than it was. All else that may be set is read anew by each step.
        """
        return frozenset(self._unused), self.skip_missing, id(self._numbers["rate"])

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
        if observer is not None and recording is not None:
            used = recording.scratch.setdefault(self, [0] * len(self.parameters))
            observer.conditions.append(_SameStructure(self))
        parameters: Sequence[Node] = self.parameters
        if recording is not None:
            parameters = [here(parameter) for parameter in parameters]
        indices = self._ready(parameters, used)
        gradients = [parameters[i].summed for i in indices]
        note_read([parameters[i] for i in indices])
        read = _stored if recording is None else _public
        rate = self.rate
        if isinstance(rate, Tensor):
            rate = read(rate)
        with np.errstate(all="ignore"):  # NaN and infinity are results, not warnings
            if "clip" not in self._unused:
                gradients = clip_by_global_norm(gradients, self.clip)
            if self._decays_by_gradient():
                gradients = self._decayed(indices, gradients, read)
            changes = self._update(indices, gradients, rate, read)
        for i in indices:
            used[i] = parameters[i].begun
        assign_together(*zip(*changes, strict=True)) if changes else None

    def _ready(self, parameters: Sequence[Node], rounds: Sequence[int]) -> Sequence[int]:
        """Positions of the parameters to step."""
        indices = []
        for i, (parameter, used) in enumerate(zip(parameters, rounds, strict=True)):
            if parameter.awaited > 0:
                _ = parameter.gradient  # raises, and says who is waiting for whom
            if parameter.summed is None:
                missing(parameter, "gradient")
            if parameter.summed is None or parameter.begun == used:
                if self.skip_missing:
                    continue
                fault = (
                    "no gradient"
                    if parameter.summed is None
                    else "no new gradient since the last step"
                )
                raise GradientError(
                    f"{type(self).__name__}: {parameter.describe()} has {fault}; run a backward "
                    "pass that reaches it, or set skip_missing=True"
                )
            indices.append(i)
        return indices

    def _decays_by_gradient(self) -> bool:
        return "weight_decay" not in self._unused

    def _decayed(self, indices: Sequence[int], gradients: Sequence[Any], read: Reader) -> list[Any]:
        decay = self.weight_decay
        return [
            g + decay * read(self.parameters[i]) for i, g in zip(indices, gradients, strict=True)
        ]

    def _update(
        self, indices: Sequence[int], gradients: Sequence[Any], rate: Any, read: Reader
    ) -> Changes:
        """The tensors that change, each with its new value; nothing is assigned here.

        `read` gives the value of a tensor: an array that must not be written, and that changes
        as soon as the tensor is assigned.
        """
        raise NotImplementedError

    def _zeros(self, what: str) -> list[Tensor]:
        """A state of zeros for each parameter."""
        tensors = [
            Tensor(np.zeros(p.shape), constant=True, name=f"{p.name}.{what}")
            for p in self.parameters
        ]
        self.state.update((f"{i}.{what}", tensor) for i, tensor in enumerate(tensors))
        return tensors


class _SameStructure:
    """A condition of a recording: that an optimiser still takes the same instructions."""

    def __init__(self, optimiser: Optimiser) -> None:
        self.optimiser = weakref.ref(optimiser)
        self.structure = optimiser.structure()

    def __call__(self) -> bool:
        optimiser = self.optimiser()
        return optimiser is None or optimiser.structure() == self.structure


class SGD(Optimiser):
    """Gradient descent: x ← x - rate · g."""

    def _update(
        self, indices: Sequence[int], gradients: Sequence[Any], rate: Any, read: Reader
    ) -> Changes:
        pairs = zip((self.parameters[i] for i in indices), gradients, strict=True)
        return [(x, read(x) - rate * g) for x, g in pairs]


class Momentum(Optimiser):
    """Gradient descent with momentum: v ← momentum · v + g, x ← x - rate · v.

    References
    ----------
    Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep
    learning", ICML 2013, equations 1 and 2, with the rate taken out of the velocity, so that
    a rate that is set anew acts at once.
    """

    momentum = Hyperparameter(FRACTION)

    def __init__(
        self,
        parameters: Parameters,
        rate: float | Tensor,
        momentum: float = 0.9,
        *,
        clip: float | None = None,
        weight_decay: float = 0.0,
        skip_missing: bool = False,
    ) -> None:
        super().__init__(
            parameters, rate, clip=clip, weight_decay=weight_decay, skip_missing=skip_missing
        )
        self.momentum = momentum
        self.velocity = self._zeros("velocity")

    def _update(
        self, indices: Sequence[int], gradients: Sequence[Any], rate: Any, read: Reader
    ) -> Changes:
        momentum = self.momentum
        changes: Changes = []
        for i, g in zip(indices, gradients, strict=True):
            x, velocity = self.parameters[i], self.velocity[i]
            v = momentum * read(velocity) + g
            changes += [(velocity, v), (x, read(x) - rate * v)]
        return changes


def _rest(x: Any) -> Any:
    return 1.0 - x


def _log(x: Any) -> Any:
    if not isinstance(x, float):
        return ops.log(x)
    return math.log(x) if x > 0.0 else -math.inf


class RMSprop(Optimiser):
    """s ← decay · s + (1 - decay) g², x ← x - rate · g / (√s + epsilon).

    References
    ----------
    Tieleman, Hinton, "Lecture 6.5: rmsprop", Neural networks for machine learning, 2012.
    """

    _rest = Derived(_rest)
    decay = Hyperparameter(FRACTION, _rest)
    epsilon = Hyperparameter(AMOUNT)

    def __init__(
        self,
        parameters: Parameters,
        rate: float | Tensor = 1e-3,
        decay: float = 0.9,
        epsilon: float = 1e-8,
        *,
        clip: float | None = None,
        weight_decay: float = 0.0,
        skip_missing: bool = False,
    ) -> None:
        super().__init__(
            parameters, rate, clip=clip, weight_decay=weight_decay, skip_missing=skip_missing
        )
        self.decay = decay
        self.epsilon = epsilon
        self.mean_square = self._zeros("mean_square")

    def _update(
        self, indices: Sequence[int], gradients: Sequence[Any], rate: Any, read: Reader
    ) -> Changes:
        decay, rest, epsilon = self.decay, self._rest, self.epsilon
        changes: Changes = []
        for i, g in zip(indices, gradients, strict=True):
            x, mean_square = self.parameters[i], self.mean_square[i]
            s = decay * read(mean_square) + rest * (g * g)
            changes += [(mean_square, s), (x, read(x) - rate * g / (ops.sqrt(s) + epsilon))]
        return changes


class Adam(Optimiser):
    """Adam, with bias correction.

    m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², and with the count t of steps
    x ← x - rate · m̂ / (√v̂ + epsilon), where m̂ = m / (1 - β₁ᵗ) and v̂ = v / (1 - β₂ᵗ).

    With `skip_missing`, t counts the steps of the optimiser, not those of each parameter.

    References
    ----------
    Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    """

    _rest1, _log1 = Derived(_rest), Derived(_log)
    _rest2, _log2 = Derived(_rest), Derived(_log)
    beta1 = Hyperparameter(FRACTION, _rest1, _log1)
    beta2 = Hyperparameter(FRACTION, _rest2, _log2)
    epsilon = Hyperparameter(AMOUNT)

    def __init__(
        self,
        parameters: Parameters,
        rate: float | Tensor = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        *,
        clip: float | None = None,
        weight_decay: float = 0.0,
        skip_missing: bool = False,
    ) -> None:
        super().__init__(
            parameters, rate, clip=clip, weight_decay=weight_decay, skip_missing=skip_missing
        )
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.n_steps = Tensor(0.0, constant=True, name="n_steps")
        self.state["n_steps"] = self.n_steps
        self.mean = self._zeros("mean")
        self.mean_square = self._zeros("mean_square")

    def _update(
        self, indices: Sequence[int], gradients: Sequence[Any], rate: Any, read: Reader
    ) -> Changes:
        beta1, rest1, beta2, rest2 = self.beta1, self._rest1, self.beta2, self._rest2
        epsilon = self.epsilon
        old = self._shrunk(rate, read)
        t = read(self.n_steps) + 1.0
        changes: Changes = [(self.n_steps, t)]
        # x -= rate m̂ / (√v̂ + epsilon); 1 - βᵗ without cancellation. All scalars, once a step.
        rate = rate / -ops.expm1(self._log1 * t)
        scale = 1.0 / ops.sqrt(-ops.expm1(self._log2 * t))
        for i, g in zip(indices, gradients, strict=True):
            x, mean, mean_square = self.parameters[i], self.mean[i], self.mean_square[i]
            m = beta1 * read(mean) + rest1 * g
            v = beta2 * read(mean_square) + rest2 * (g * g)
            new = old(x) - rate * m / (scale * ops.sqrt(v) + epsilon)
            changes += [(mean, m), (mean_square, v), (x, new)]
        return changes

    def _shrunk(self, rate: Any, read: Reader) -> Reader:
        """What gives the value of a parameter, before the step is taken from it."""
        return read


class AdamW(Adam):
    """Adam with decoupled weight decay: x ← x - rate · (m̂ / (√v̂ + epsilon) + weight_decay · x).

    The decay takes no part in the moments: all weights shrink at one rate, however large
    their gradients have been.

    References
    ----------
    Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2, with
    the decay times the rate, as PyTorch has it.
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
        weight_decay: float = 0.01,
        skip_missing: bool = False,
    ) -> None:
        super().__init__(
            parameters,
            rate,
            beta1,
            beta2,
            epsilon,
            clip=clip,
            weight_decay=weight_decay,
            skip_missing=skip_missing,
        )

    def _decays_by_gradient(self) -> bool:
        return False

    def _shrunk(self, rate: Any, read: Reader) -> Reader:
        if "weight_decay" in self._unused:
            return read
        kept = 1.0 - rate * self.weight_decay
        return lambda x: kept * read(x)


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
