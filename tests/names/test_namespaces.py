"""The namespaces `autodiff.numpy` and `autodiff.scipy`: ours for nodes, NumPy's for the rest."""

from __future__ import annotations

import importlib
import inspect
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.special
import scipy.stats

import autodiff
import autodiff.numpy as anp
import autodiff.scipy.special
from autodiff import Node, Tensor
from autodiff.declare import NAMES, numpy_name
from autodiff.errors import DTypeError, GradientError, ShapeError
from autodiff.served import named, theirs_named

ROOT = Path(__file__).resolve().parents[2]


def python(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


# ---- which function it is ---------------------------------------------------------------


def test_they_are_there_after_import_autodiff() -> None:
    code = "import autodiff; print(autodiff.numpy.linalg.norm([3.0, 4.0]), {})"
    assert python(code.format("autodiff.scipy.special.expit(0.0)")) == "5.0 0.5"
    assert {"numpy", "scipy"} <= set(dir(autodiff))


def test_without_nodes_results_are_numpys() -> None:
    assert anp.exp is not np.exp
    assert anp.sum(np.arange(4)).dtype == np.arange(4).dtype
    assert anp.sqrt(np.array([-1.0 + 0.0j]))[0] == 1j
    assert anp.greater(2, 1) is np.True_
    assert anp.array([1, 2]).dtype == np.array([1, 2]).dtype
    out = np.zeros(2)
    assert anp.add([1.0, 2.0], 1.0, out=out) is out
    assert anp.add.reduce([1, 2]) == 3
    assert anp.multiply.outer([1, 2], [3]).shape == (2, 1)
    assert (anp.exp.nin, anp.power.nin, anp.exp.nout) == (1, 2, 1)


def test_what_takes_no_nodes_is_numpys_own() -> None:
    for name in ("pi", "inf", "newaxis", "zeros", "arange", "float64", "errstate", "ndarray"):
        assert getattr(anp, name) is getattr(np, name)
    assert anp.testing is np.testing
    assert anp.random.default_rng is np.random.default_rng
    assert autodiff.scipy.optimize is scipy.optimize
    with pytest.raises(AttributeError, match=r"autodiff\.numpy.*'expp'"):
        _ = anp.expp


def test_the_path_of_a_package_is_not_passed_through() -> None:
    """Or SciPy's files would be loaded again, under another name."""
    for room in (autodiff.scipy.special, anp.fft, anp.random):
        assert not hasattr(room, "__path__")
    assert anp.__version__ == np.__version__
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("autodiff.scipy.stats.contingency")
    assert importlib.import_module("autodiff.scipy.stats").contingency.__name__.startswith("scipy.")


def test_another_name_of_the_same_function_is_served_too() -> None:
    x = Tensor([0.25, 0.5])
    for name in ("absolute", "pow", "concat", "true_divide"):
        if hasattr(np, name):
            assert getattr(anp, name) is not getattr(np, name)
    assert isinstance(anp.absolute(x), Node)


@pytest.mark.parametrize("module", ["numpy", "numpy.linalg", "scipy.special", "scipy.linalg"])
def test_names_are_listed(module: str) -> None:
    room = importlib.import_module(f"autodiff.{module}")
    served = {n.rpartition(".")[2] for n in NAMES if n.rpartition(".")[0] == module}
    theirs = importlib.import_module(module)
    assert served <= set(room.__all__) & set(dir(room))
    assert set(theirs.__all__) <= set(room.__all__)
    for name in served:
        function = getattr(room, name)
        assert function.__name__ == name or function is NAMES[f"{module}.{name}"]
        assert function.__doc__ or not hasattr(theirs, name)


def test_star_imports_and_pickles() -> None:
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec("from autodiff.numpy import *", names)
    assert names["exp"] is anp.exp
    assert names["linalg"].norm is anp.linalg.norm
    assert pickle.loads(pickle.dumps(anp.exp)) is anp.exp
    assert list(inspect.signature(anp.sum).parameters)[:2] == ["a", "axis"]


def test_what_is_served_later_is_found_later() -> None:
    assert anp.spacing is np.spacing
    try:
        numpy_name("numpy.spacing")(lambda x: 2.0 * x)
        assert anp.spacing(Tensor(3.0)).item() == 6.0
        assert anp.spacing(1.0) == np.spacing(1.0)
    finally:
        del NAMES["numpy.spacing"]
        vars(anp).pop("spacing")
        importlib.import_module("autodiff.served")._BY_NAME.pop("numpy.spacing", None)
        importlib.import_module("autodiff.served")._BY_FUNCTION.pop(np.spacing, None)


# ---- arguments --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda x: anp.sum(x, 0),
        lambda x: anp.sum(a=x, axis=-1, keepdims=True),
        lambda x: anp.sum(x, None, None, None),
        lambda x: anp.mean(x, dtype=float, out=None),
        lambda x: anp.max(x, axis=(0, 1), where=True),
        lambda x: anp.exp(x, dtype=np.float64, where=True, casting="same_kind"),
        lambda x: anp.reshape(x, (-1,), order="C"),
        lambda x: anp.stack([x, x[::-1]], axis=1),
        lambda x: anp.concatenate((x, x), axis=None),
        lambda x: anp.add(x, [1.0, 2.0, 3.0]),
        lambda x: anp.zeros_like(x, dtype=int),
    ],
)
def test_arguments_are_numpys(call: Callable[[Any], Any]) -> None:
    x = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.5]])
    z = call(Tensor(x))
    np.testing.assert_allclose(getattr(z, "value", z), call(x), rtol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: anp.sum(x, initial=1.0), r"np\.sum with initial="),
        (lambda x: anp.sum(x, where=[True, False]), r"np\.sum with where="),
        (lambda x: anp.exp(x, out=np.zeros(2)), r"np\.exp with out="),
        (lambda x: anp.exp(x, np.zeros(2)), r"np\.exp with out="),
        (lambda x: anp.exp(x, dtype=np.float32), r"np\.exp with dtype="),
        (lambda x: anp.reshape(x, (2, 1), order="F"), r"np\.reshape with order="),
        (lambda x: anp.array([x, x], dtype=int), r"np\.array with dtype="),
        (lambda x: anp.sum(x, axes=0), r"np\.sum\(\) got an unexpected .*'axes'; it takes \(a, "),
        (lambda x: anp.sum(x, a=x), r"np\.sum\(\) got several values for argument 'a'"),
        (lambda x: anp.fft.fft(x), r"np\.fft\.fft has no op"),
        (lambda x: anp.fft.irfft(x), r"np\.fft\.irfft has no op"),
        (lambda x: anp.histogram(x), r"np\.histogram has no op"),
        (lambda x: anp.add.reduce(x), r"np\.add\.reduce has no op"),
        (lambda x: anp.swapaxes(x, 0, 1, 2), r"np\.swapaxes\(\) takes 3 arguments, 4 are given"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(Tensor([1.0, 2.0]))


# NumPy's defaults, where ours are written in another way.
SAME_DEFAULTS: list[tuple[Any, Any]] = [(np._NoValue, None), (np._NoValue, False)]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_parameters_and_their_defaults_are_numpys(name: str) -> None:
    """Of each parameter that both have. What NumPy demands, ours may not leave to chance."""
    theirs = theirs_named(name)
    if theirs is None or isinstance(theirs, np.ufunc):
        return
    found = named(name)
    assert found is not None
    ours = inspect.signature(NAMES[name]).parameters
    for parameter, default in found.defaults.items():
        own = ours.get(found.parameters.get(parameter) or "")
        if own is None or own.kind in (own.VAR_POSITIONAL, own.VAR_KEYWORD):
            continue
        if default is inspect.Parameter.empty or own.default is inspect.Parameter.empty:
            assert default is own.default or default is not inspect.Parameter.empty, parameter
            continue
        numbers = {type(own.default), type(default)} <= {int, float}
        same = (numbers or type(own.default) is type(default)) and own.default == default
        assert same or any(a is default and b is own.default for a, b in SAME_DEFAULTS), (
            f"{name}: {parameter} is {default!r} in NumPy, {own.default!r} here"
        )


# ---- lists with nodes in them -----------------------------------------------------------

JOINED: list[Callable[..., Any]] = [
    lambda np, x, s: np.array([x, x]),
    lambda np, x, s: np.array([x, [s, 4.0]]),
    lambda np, x, s: np.array([[s, 0.0], [1, s]]),
    lambda np, x, s: np.array((s, 1, 2.5)),
    lambda np, x, s: np.array([[x], [x]]),
    lambda np, x, s: np.array([x, np.ones(2)], dtype=float),
    lambda np, x, s: np.array(x, ndmin=3),
    lambda np, x, s: np.asarray([s, s]),
    lambda np, x, s: np.sum([s, 2.0, s]),
    lambda np, x, s: np.exp([[s, 1.0]]),
    lambda np, x, s: np.stack([[s, 1.0], x]),
    lambda np, x, s: np.concatenate([x, [s]]),
    lambda np, x, s: np.block([[x], [x]]),
    lambda np, x, s: np.block([s, x, np.zeros(2)]),
    lambda np, x, s: np.full((3, 2), x),
    lambda np, x, s: np.full_like([1.0, 2.0], s),
    lambda np, x, s: np.linspace(s, 5.0, 4),
    lambda np, x, s: np.linspace(0.0, x, 3, endpoint=False, axis=1),
    lambda np, x, s: np.where([True, False], [s, s], x),
]


@pytest.mark.parametrize("call", JOINED)
def test_lists_of_nodes_are_joined(call: Callable[..., Any]) -> None:
    x, s = np.array([1.0, -2.0]), np.array(3.0)
    nodes = Tensor(x), Tensor(s)
    z = call(anp, *nodes)
    assert isinstance(z, Node)
    expected = np.asarray(call(np, x, s), float)
    np.testing.assert_allclose(z.value, expected, rtol=1e-15)
    weights = np.cos(np.arange(expected.size)).reshape(expected.shape)
    autodiff.check_gradients(
        lambda *given: (call(anp, *given) * weights).sum(), list(nodes), raises=True
    )
    step = autodiff.compile(lambda a, b: call(anp, a, b))
    np.testing.assert_array_equal(step(x, s), z.value)


def test_what_cannot_be_joined_is_refused() -> None:
    x, s = Tensor([1.0, 2.0]), Tensor(3.0)
    with pytest.raises(ShapeError, match=r"parts\[0\] has shape \(2,\), but parts\[1\]"):
        anp.array([x, [s]])
    with pytest.raises(ShapeError, match="lists of"):
        anp.array([[s, s], [s]])
    with pytest.raises(DTypeError, match="complex"):
        anp.array([s, 1j])
    with pytest.raises(GradientError, match=r"autodiff\.stack"):
        np.array([s, s])
    holds_itself: list[Any] = [s]
    holds_itself.append(holds_itself)
    with pytest.raises((ShapeError, DTypeError, RecursionError)):
        anp.array(holds_itself)


def test_one_node_as_an_array_is_itself() -> None:
    x = Tensor([1.0, 2.0])
    for call in (anp.array, anp.asarray, anp.copy, anp.ascontiguousarray):
        assert call(x) is x
    assert anp.isscalar(x[0])
    assert not anp.isscalar(x)
    assert anp.result_type(x, np.float32) == np.float64
    assert anp.array_str(x) == "[1. 2.]"
    assert anp.array_repr(x) == "array([1., 2.])"


@pytest.mark.parametrize(
    "call",
    [
        lambda np, x, s: np.r_[x],
        lambda np, x, s: np.r_[x, s, 2.0],
        lambda np, x, s: np.r_[0:3, x, [1.0, 4.0]],
        lambda np, x, s: np.r_[s, [s, 2.0]],
        lambda np, x, s: np.r_[np.ones((1, 2)), np.reshape(x, (1, 2))],
        lambda np, x, s: np.c_[x, x],
        lambda np, x, s: np.c_[x],
        lambda np, x, s: np.c_[np.ones((2, 2)), x, [5.0, 6.0]],
    ],
)
def test_brackets_join(call: Callable[..., Any]) -> None:
    x, s = np.array([1.0, -2.0]), np.array(3.0)
    z = call(anp, Tensor(x), Tensor(s))
    assert isinstance(z, Node)
    np.testing.assert_array_equal(z.value, call(np, x, s))
    np.testing.assert_array_equal(call(anp, x, s), call(np, x, s))
    assert len(anp.r_) == 0
    with pytest.raises(ShapeError, match="directives"):
        anp.r_["1,2", Tensor(x)]


def test_parts_may_come_from_a_generator() -> None:
    x, s = Tensor([1.0, -2.0]), Tensor(3.0)
    named = {"a": x, "b": 2.0 * x}
    assert anp.stack(x * k for k in (1.0, 2.0)).shape == (2, 2)
    assert anp.concatenate(named.values()).shape == (4,)
    assert anp.hstack(map(anp.atleast_1d, (x, s))).shape == (3,)
    assert anp.stack(np.ones(2) for _ in range(3)).shape == (3, 2)
