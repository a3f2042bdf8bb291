"""Fixtures that all tests share: back ends, a fixed random generator, a guard on global state."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest

import autodiff
from autodiff import backend as backends
from autodiff.graph.observer import current_observer

# Tests are imported one by one (importlib mode): what they share lies in this folder.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "graph")]

hypothesis.settings.register_profile("dev", max_examples=25, deadline=None)
hypothesis.settings.register_profile(
    "ci", max_examples=100, deadline=None, derandomize=True, print_blob=True
)
# A shell starts background jobs with Ctrl-C ignored, and Python leaves it so; tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

try:
    from autodiff import _core
except ImportError:
    _core = None


def _targets() -> list[str]:
    """Every back end that works here, the compiled one once for each instruction set."""
    names = []
    for name in autodiff.available_backends():
        if name == "compiled" and _core is not None:
            names += [f"compiled/{isa}" for isa in _core.isas()]
        else:
            names.append(name)
    return names


@pytest.fixture(params=_targets())
def backend(request: pytest.FixtureRequest) -> Iterator[backends.Backend]:
    """Each back end in turn, in force while the test runs."""
    name, _, isa = request.param.partition("/")
    before = _core.isa() if isa else None
    if isa:
        _core.use_isa(isa)
    try:
        with autodiff.use_backend(name) as chosen:
            yield chosen
    finally:
        if isa:
            _core.use_isa(before)


@pytest.fixture(params=autodiff.available_backends())
def either_backend(request: pytest.FixtureRequest) -> Iterator[backends.Backend]:
    """Each back end in turn, for what does not depend on the instruction set."""
    with autodiff.use_backend(request.param) as chosen:
        yield chosen


@pytest.fixture(params=[] if _core is None else _core.isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set of the C kernels in turn, in use while the test runs."""
    before = _core.isa()
    _core.use_isa(request.param)
    yield request.param
    _core.use_isa(before)


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(20170417)


@pytest.fixture(scope="session", autouse=True)
def _default_backend() -> None:
    backends.get_backend()  # the choice of the default is no leak


def _global_state() -> dict[str, object]:
    return {
        "default back end": backends._default,
        "back end in force": backends._current.get(),
        "observer": current_observer(),
        "floating-point errors": np.geterr(),
        "instruction set": _core.isa() if _core is not None else None,
    }


@pytest.fixture(autouse=True)
def _no_leaks(_default_backend: None) -> Iterator[None]:
    """Fail a test that leaves global state changed."""
    before = _global_state()
    yield
    after = _global_state()
    changed = {what: state for what, state in after.items() if state != before[what]}
    assert not changed, f"the test leaks global state: {changed}"
