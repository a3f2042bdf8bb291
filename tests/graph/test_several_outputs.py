"""Ops with several outputs: each is a node, and the op waits for those that are used."""

from __future__ import annotations

import copy
import gc
import pickle
import re
import weakref
from typing import Any

import numpy as np
import pytest
import several
from several import own_table  # noqa: F401

import autodiff
from autodiff import Tensor
from autodiff.backend import Backend
from autodiff.check import check_gradients
from autodiff.declare import declare
from autodiff.errors import (
    AnomalyError,
    BackwardTwiceError,
    GradientError,
    IncompleteGradientError,
    ShapeError,
)
from autodiff.op import OPS, OUTPUT_OF, example

pytestmark = pytest.mark.usefixtures("own_table")

X = np.array([0.1, 0.7, -1.2])


# ---- values, shapes, names ---------------------------------------------------------------


def test_each_output_is_a_node(backend: Backend) -> None:
    f = several.polar()
    r, t = Tensor([[1.0, 2.0, 3.0]] * 2), Tensor(X)
    made = f(r, t)
    assert type(made) is tuple
    assert [z.shape for z in made] == [(2, 3), (2, 3)]
    np.testing.assert_array_equal(made[0].value, r.value * np.cos(X))
    np.testing.assert_array_equal(made[1].value, r.value * np.sin(X))
    assert not np.shares_memory(made[0].value, made[1].value)
    hub = made[0].inputs[0]
    assert hub is made[1].inputs[0]
    assert hub.inputs == (r, t)
    for part in hub.value:
        assert not part.flags.writeable


def test_arrays_give_arrays() -> None:
    x, y = several.polar()(np.ones(3), X)
    np.testing.assert_array_equal(x, np.cos(X))
    np.testing.assert_array_equal(y, np.sin(X))


@pytest.mark.parametrize("rule", [lambda x: x, lambda x: 1.0 * x, lambda x: (2.0 * x)[:]])
def test_outputs_that_a_rule_gives_twice_share_no_memory(rule: Any, backend: Backend) -> None:
    @declare(
        outputs=("first", "second"),
        shape=lambda x: (x, x),
        backward=lambda gs, zs, x: gs[0] + gs[1],
        examples=[example((3,))],
    )
    def own_twins(x: Any) -> Any:
        """z = something of x, twice."""
        z = rule(x)
        return z, z

    x = Tensor(X)
    first, second = own_twins(x)
    arrays = [x.value, first.value, second.value]
    stored = [x.stored, first.stored, second.stored]
    for i, one in enumerate(stored):
        np.testing.assert_array_equal(arrays[i], rule(X) if i else X)
        assert not any(np.shares_memory(one, other) for other in stored[:i])


def test_names_say_which_output(backend: Backend) -> None:
    a = Tensor(np.eye(2), name="a")
    sign, logdet = several.slogdet()(a)
    assert re.fullmatch(r"own_slogdet#\d+\.logdet", logdet.name)
    assert sign.name == f"{logdet.inputs[0].name}.sign"
    assert "test_several_outputs.py" in logdet.describe()
    logdet.name = "l"
    assert logdet.name == "l"
    assert repr(logdet).startswith("<own_slogdet.logdet 'l' ()")
    logdet.forward()
    assert "value 1; 0" in repr(logdet.inputs[0])
    text = logdet.graph()
    assert 'label="own_slogdet"' in text
    assert 'label="own_slogdet.logdet' in text
    assert 'label="own_slogdet.sign' not in text
    assert sorted(re.findall(r'-> n\d+ \[label="(.*)"\]', text)) == ["()", "(2, 2)"]


def test_stale_outputs_are_computed_anew(backend: Backend) -> None:
    x = Tensor(X)
    sine, cosine = several.sincos()(x)
    sine.forward()
    x.assign(X + 1.0)
    np.testing.assert_allclose(cosine.forward(), np.cos(X + 1.0), rtol=1e-14)
    np.testing.assert_allclose(sine.value, np.sin(X), rtol=1e-14)  # of the last forward pass
    np.testing.assert_allclose(sine.forward(), np.sin(X + 1.0), rtol=1e-14)


# ---- gradients -----------------------------------------------------------------------------


def uses(f: Any, x: Tensor) -> dict[str, Any]:
    s, c = f(x)
    s2, c2 = f(x * s)
    return {
        "both": (s * c).sum(),
        "one": c.sum(),
        "the other": s.sum(),
        "twice": (s * s * s).sum(),
        "both twice": (s * c + c / (2.0 + s)).sum(),
        "shared inputs": (s2 * c + x * c2).sum(),
        "the output itself": s[1],
    }


USES = ("both", "one", "the other", "twice", "both twice", "shared inputs", "the output itself")


@pytest.mark.parametrize("which", USES)
def test_gradients(which: str, backend: Backend) -> None:
    x = Tensor(X)
    y = uses(several.sincos(), x)[which]
    assert check_gradients(y, [x]).worst < 1e-6
    plain = Tensor(X)
    expected = uses(lambda x: (autodiff.sin(x), autodiff.cos(x)), plain)[which]
    for run in (lambda z: autodiff.backward(z), lambda z: z.backward()):
        x.reset()
        plain.reset()
        autodiff.reset(y, expected)
        run(y)
        run(expected)
        np.testing.assert_allclose(x.gradient, plain.gradient, rtol=1e-13)
    first, first_expected = autodiff.gradients(y, x), autodiff.gradients(expected, plain)
    np.testing.assert_allclose(first.value, first_expected.value, rtol=1e-13)
    second = autodiff.gradients((first * first).sum(), x)
    second_expected = autodiff.gradients((first_expected * first_expected).sum(), plain)
    np.testing.assert_allclose(second.value, second_expected.value, rtol=1e-12, atol=1e-14)


def test_gradients_are_those_of_the_complex_step(backend: Backend) -> None:
    r, t = Tensor(np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]])), Tensor(X)
    x, y = several.polar()(r, t)
    report = check_gradients((x * x * y + y).sum(), [r, t])
    assert report.method == "complex"
    assert report.worst < 1e-14
    a = Tensor(np.array([[2.0, 1.0, 0.3], [-1.0, 3.0, 0.1], [0.2, 0.4, -1.0]]))
    sign, logdet = several.slogdet()(a)
    report = check_gradients(sign * logdet + logdet * logdet, [a])
    assert report.method == "complex"
    assert report.worst < 1e-13
    first = autodiff.gradients(logdet, a)
    assert check_gradients((first * first * first).sum(), [a]).worst < 1e-12
    np.testing.assert_allclose(first.value, np.linalg.inv(a.value).T, rtol=1e-14)


def test_a_wrong_gradient_of_one_output_is_found() -> None:
    @declare(
        outputs=("square", "cube"),
        backward=lambda gs, zs, x: 2.0 * x * gs[0] + 2.0 * x * x * gs[1],
        reads="x",
        examples=[example((3,))],
    )
    def own_powers(x: Any) -> Any:
        """z = x², and x³."""
        return x * x, x * x * x

    x = Tensor(X)
    square, cube = own_powers(x)
    assert check_gradients(square.sum(), [x])
    assert not check_gradients(cube.sum(), [x])


def test_what_nobody_has_sent_is_zeros(backend: Backend) -> None:
    seen = []

    def rule(gs: Any, zs: Any, x: Any) -> Any:
        seen.append([np.array(g) for g in gs])
        return gs[0] + autodiff.sum(gs[1])

    @declare(outputs=("same", "total"), shape=lambda x: (x, ()), backward=rule, examples=[])
    def own_total(x: Any) -> Any:
        """z = x, and Σ x."""
        return x, np.sum(x)

    x = Tensor(X)
    same, total = own_total(x)
    autodiff.backward(total)
    np.testing.assert_array_equal(seen[0][0], np.zeros(3))
    np.testing.assert_array_equal(x.gradient, np.ones(3))
    autodiff.backward({same: X})
    np.testing.assert_array_equal(seen[1][1], np.zeros(()))
    np.testing.assert_array_equal(x.gradient, X)
    autodiff.reset(same, total)
    autodiff.backward({same: X, total: 2.0})
    np.testing.assert_array_equal(x.gradient, X + 2.0)
    assert len(seen) == 3


def test_a_constant_gets_none() -> None:
    x = Tensor(X, constant=True)
    sine, _ = several.sincos()(x)
    assert not sine.needs_gradient
    with pytest.raises(GradientError, match="constant"):
        sine.backward(X)


def test_a_long_chain(backend: Backend) -> None:
    f = several.polar()
    r, t = Tensor(1.0), Tensor(0.001)
    x, y = r, t * 1.0
    for _ in range(2000):
        x, y = f(x, y)
        y = y * 0.5 + 0.001
    x.forward()
    (x + y).backward()
    gradients = r.gradient, t.gradient
    assert np.isfinite(gradients).all()
    nodes = autodiff.gradients(x + y, [r, t])
    np.testing.assert_allclose([g.value for g in nodes], gradients, rtol=1e-13)


# ---- who waits for whom ----------------------------------------------------------------------


def test_an_output_that_nobody_uses_holds_nobody_up(backend: Backend) -> None:
    a = Tensor(np.diag([2.0, 4.0]))
    sign, logdet = several.slogdet()(a)
    for _ in range(3):  # the second and third by a plan that is kept
        logdet.forward()
        (logdet * 3.0).backward()
        np.testing.assert_allclose(a.gradient, 3.0 * np.diag([0.5, 0.25]), rtol=1e-15)
        a.assign(a.value)
    assert not sign.has_gradient


def test_one_that_is_used_is_waited_for(backend: Backend) -> None:
    x = Tensor(X)
    sine, cosine = several.sincos()(x)
    double = 2.0 * cosine
    sine.sum().backward()
    assert not x.has_gradient
    with pytest.raises(IncompleteGradientError, match=r"own_sincos#\d+\.cosine"):
        x.gradient  # noqa: B018
    double.sum().backward()
    np.testing.assert_allclose(x.gradient, np.cos(X) - 2.0 * np.sin(X), rtol=1e-14)
    x.reset()
    autodiff.reset(sine, double)
    del double
    gc.collect()
    again = sine.sum()
    again.backward()
    np.testing.assert_allclose(x.gradient, np.cos(X), rtol=1e-14)


def test_a_use_that_comes_later_is_noticed(backend: Backend) -> None:
    x = Tensor(X)
    sine, cosine = several.sincos()(x)
    total = sine.sum()
    for _ in range(2):
        x.assign(X)
        total.forward()
        total.backward()
        assert x.gradient.shape == X.shape
    x.assign(X)
    late = (cosine * 2.0).sum()
    late.forward()
    total.forward()
    total.backward()
    assert not x.has_gradient  # it waits for what reads the other output now
    late.backward()
    np.testing.assert_allclose(x.gradient, np.cos(X) - 2.0 * np.sin(X), rtol=1e-14)


def test_an_output_after_the_other_is_refused_and_nothing_is_lost(backend: Backend) -> None:
    x = Tensor(X)
    sine, cosine = several.sincos()(x)
    sine.backward(np.ones(3))
    with pytest.raises(BackwardTwiceError, match="own_sincos"):
        cosine.backward(np.ones(3))
    np.testing.assert_allclose(x.gradient, np.cos(X), rtol=1e-14)
    x.reset()
    autodiff.reset(sine, cosine)
    cosine.register("outside")
    sine.backward(np.ones(3))
    assert not x.has_gradient
    cosine.backward(np.ones(3), sender="outside")
    np.testing.assert_allclose(x.gradient, np.cos(X) - np.sin(X), rtol=1e-14)


def test_gradients_in_parts_are_added_once(backend: Backend) -> None:
    x = Tensor(X)
    sine, cosine = several.sincos()(x)
    twin = copy.copy(sine)  # another node for the same output
    autodiff.backward({(sine + twin + cosine).sum(): 1.0})
    np.testing.assert_allclose(x.gradient, 2.0 * np.cos(X) - np.sin(X), rtol=1e-14)
    np.testing.assert_array_equal(sine.gradient, np.ones(3))
    np.testing.assert_array_equal(twin.gradient, np.ones(3))
    for part in sine.inputs[0].gradient:
        assert not part.flags.writeable
    autodiff.backward({(3.0 * sine).sum(): 1.0}, accumulate=True)
    np.testing.assert_allclose(x.gradient, 5.0 * np.cos(X) - np.sin(X), rtol=1e-14)


def test_what_nobody_holds_goes_away() -> None:
    x = Tensor(X)
    sine, cosine = several.sincos()(x)
    hub = weakref.ref(sine.inputs[0])
    (sine * cosine).sum().backward()
    del sine, cosine
    gc.collect()
    assert hub() is None
    assert x.parents == ()


# ---- the hub is nobody's operand --------------------------------------------------------------


def test_the_hub_is_refused_everywhere() -> None:
    x = Tensor(X)
    sine, _ = several.sincos()(x)
    hub = sine.inputs[0]
    for use in (
        lambda: hub + 1.0,
        lambda: x * hub,
        lambda: autodiff.exp(hub),
        lambda: autodiff.concat([x, hub], axis=0),
        lambda: autodiff.where(x, x, hub),
        lambda: np.exp(hub),
    ):
        with pytest.raises(ShapeError, match=r"computes several values \(sine, cosine\)"):
            use()
    with pytest.raises(GradientError, match="computes several values"):
        autodiff.backward(hub)
    with pytest.raises(GradientError, match="computes several values"):
        autodiff.gradients(hub, x)
    with pytest.raises(GradientError, match="computes several values"):
        autodiff.gradients(sine, hub)
    with pytest.raises(TypeError, match="several outputs"):
        autodiff.Node(hub.op, [x])


# ---- copies, anomalies ------------------------------------------------------------------------


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies(twin_of: Any) -> None:
    x = Tensor(X, name="copied")
    f = several.sincos()
    sine, cosine = f(x)
    y = (sine * cosine).sum()
    y.forward()
    twin, twin_sine, twin_x = twin_of((y, sine, x))
    assert twin.value == y.value
    assert twin_sine.inputs[0].op.op is f.op
    assert twin_sine.op.op is OUTPUT_OF
    twin.backward()
    np.testing.assert_allclose(twin_x.gradient, np.cos(2.0 * X), rtol=1e-13)
    assert not x.has_gradient


def test_a_copy_has_values_of_its_own() -> None:
    sine, cosine = several.sincos()(Tensor(X))
    (sine + cosine).forward()
    hub = sine.inputs[0]
    twin = copy.copy(hub)
    for mine, theirs in zip(twin.stored, hub.stored, strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert not np.shares_memory(mine, theirs)


def test_an_anomaly_names_the_output() -> None:
    a = Tensor(np.zeros((2, 2)), name="flat")
    with np.errstate(all="ignore"):
        _, logdet = several.slogdet()(a)
        with (
            autodiff.detect_anomaly(),
            pytest.raises(AnomalyError, match="of the value for its output logdet of"),
        ):
            logdet.forward()
        x = Tensor(X)
        sine, cosine = several.sincos()(x)
        with (
            autodiff.detect_anomaly(),
            pytest.raises(AnomalyError, match=r"given to node 'own_sincos#\d+\.cosine'"),
        ):
            cosine.backward(np.full(3, np.inf))
        with autodiff.detect_anomaly():
            (sine + cosine).sum().backward()
    np.testing.assert_allclose(x.gradient, np.cos(X) - np.sin(X), rtol=1e-14)


# ---- declaring --------------------------------------------------------------------------------


def test_declare_refuses_names_that_do_not_fit() -> None:
    def own_pair(x: Any) -> Any:
        """z = x, x."""
        return x, x

    for outputs, reads in ((("x", "y"), ""), (("a", "a"), ""), (("a", "b"), "z"), ((), "")):
        with pytest.raises(ValueError, match="own_pair"):
            declare(outputs=outputs, reads=reads, backward=None, examples=[])(own_pair)
    assert "own_pair" not in OPS

    def output(x: Any) -> Any:
        """z = x."""
        return x

    with pytest.raises(ValueError, match="already"):
        declare(backward=None, examples=[])(output)


def test_a_rule_that_gives_one_too_few_is_refused(backend: Backend) -> None:
    @declare(outputs=("a", "b"), backward=None, examples=[])
    def own_short(x: Any) -> Any:
        """z = x, and nothing."""
        return (x,)

    with pytest.raises(TypeError, match=r"own_short.*tuple of a, b"):
        own_short(Tensor(X))[0].forward()


def test_shapes_that_do_not_fit_name_the_operands() -> None:
    r, t = Tensor(np.ones(2), name="radius"), Tensor(X)
    with pytest.raises(ShapeError, match=r"own_polar.*radius"):
        several.polar()(r, t)
