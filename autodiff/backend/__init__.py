"""Who executes an op: the back ends, and the choice between them.

`reference` runs the rules with NumPy and is the oracle of the tests; `compiled` runs C kernels.
A back end is chosen, in this order, by the ``backend=`` argument of a call, by ``with
autodiff.use_backend(name)`` (this thread or task only), by :func:`set_default_backend`, by
the environment variable ``AUTODIFF_BACKEND``, and else is `compiled` if the extension
was built.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from autodiff.errors import BackendError
from autodiff.op import BoundOp

__all__ = ["Backend", "available_backends", "get_backend", "set_default_backend", "use_backend"]


class Backend(Protocol):
    """Executes ops on values. The three methods are the whole interface.

    A value is whatever the back end makes of its own: for `reference` and `compiled` a
    C-contiguous float64 array. A result shares memory with no other value, so whoever
    holds it may keep it. An op with several outputs has a tuple of values, and a tuple of
    gradients, None where nobody has sent one; only `output`, which is one of them, is the
    same array.
    """

    name: str

    def forward(self, op: BoundOp, inputs: Sequence[Any]) -> Any:
        """The value of `op` for these values of its inputs."""
        ...

    def backward(
        self,
        op: BoundOp,
        gradient: Any,
        output: Any,
        inputs: Sequence[Any],
        needed: Sequence[bool],
    ) -> Sequence[Any]:
        """Gradients of the inputs, one for each; None where `needed` is false."""
        ...

    def add_gradient(
        self,
        op: BoundOp,
        position: int,
        gradient: Any,
        output: Any,
        inputs: Sequence[Any],
        total: Any,
    ) -> Any:
        """`total` + the gradient of input `position`: what a pass asks of ops that are `sparse`.

        The caller owns `total`, and must hand over what nobody else holds: the back end may
        add in place, so that what a slice sends costs its own size and not that of `total`. The
        caller goes on with what is returned. Numbers outside of what the op has read stay as they
        are; so a -0.0 there stays -0.0, which + 0.0 would make 0.0. Elsewhere the bits are those
        of adding the gradient that :meth:`backward` gives.
        """
        ...


def _reference() -> Backend:
    from autodiff.backend.reference import Reference

    return Reference()


def _compiled() -> Backend:
    try:
        from autodiff.backend.compiled import Compiled
    except ImportError as error:
        raise BackendError(f"The compiled back end was not built ({error}).") from error
    return Compiled()


_FACTORIES = {"compiled": _compiled, "reference": _reference}
_made: dict[str, Backend] = {}
_current: contextvars.ContextVar[Backend | None] = contextvars.ContextVar("backend", default=None)
_default: Backend | None = None


def available_backends() -> tuple[str, ...]:
    """Names of the back ends that work here, the fastest first."""
    names = []
    for name in _FACTORIES:
        with contextlib.suppress(BackendError):
            _by_name(name)
            names.append(name)
    return tuple(names)


def _by_name(name: str) -> Backend:
    if name not in _made:
        if name not in _FACTORIES:
            known = ", ".join(_FACTORIES)
            raise BackendError(f"there is no back end {name!r}; there are: {known}")
        _made[name] = _FACTORIES[name]()
    return _made[name]


def get_backend(backend: str | Backend | None = None) -> Backend:
    """The back end of that name, or without one the current back end.

    Raises BackendError if the name is unknown, or the extension was not built.
    """
    if isinstance(backend, str):
        return _by_name(backend)
    return backend or _current.get() or _default or _choose_default()


def _choose_default() -> Backend:
    name = os.environ.get("AUTODIFF_BACKEND")
    if name:
        set_default_backend(name)
    else:
        try:
            set_default_backend("compiled")
        except BackendError as error:
            warnings.warn(f"{error} Using the slower reference back end.", stacklevel=2)
            set_default_backend("reference")
    assert _default is not None
    return _default


def set_default_backend(backend: str | Backend) -> None:
    """Make `backend` the one that is used where nothing else is said."""
    global _default
    _default = get_backend(backend)


@contextlib.contextmanager
def use_backend(backend: str | Backend) -> Iterator[Backend]:
    """Use `backend` within a ``with`` block, in this thread or asyncio task only."""
    chosen = get_backend(backend)
    token = _current.set(chosen)
    try:
        yield chosen
    finally:
        _current.reset(token)
