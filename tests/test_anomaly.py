"""Anomaly mode: the first NaN or infinity is named, and the graph survives it."""

from __future__ import annotations

import inspect
import re
import weakref

import numpy as np
import pytest

import autodiff
from autodiff.anomaly import detect_anomaly
from autodiff.errors import AnomalyError, BackendError, DTypeError, StaleValueError
from autodiff.graph import naming
from autodiff.graph.observer import Watching, current_observer, observe
from autodiff.graph.order import ancestors


@pytest.fixture(autouse=True)
def names_are_free(monkeypatch):
    """Nodes of other tests that still live must not take the names that are looked for."""
    monkeypatch.setattr(naming, "_named", weakref.WeakValueDictionary())


def line():
    return inspect.currentframe().f_back.f_lineno


def test_forward_names_node_line_and_ranges():
    x = autodiff.Tensor([[1.0, 2.0], [0.0, -3.0]], name="rates")
    y = autodiff.exp(x)
    z, here = autodiff.log(x), line()
    total = autodiff.sum(y + z)
    with detect_anomaly(), pytest.raises(AnomalyError) as caught:
        total.forward()
    message = str(caught.value)
    assert re.search(rf"^forward: 2 of 4 elements .*\(1, 0\), is -inf.*{z.name!r}", message)
    assert f"test_anomaly.py:{here}" in message
    assert "`z, here = autodiff.log(x), line()`" in message
    assert "input x, node 'rates'" in message
    assert "shape (2, 2), -3 ... 2" in message
    assert isinstance(caught.value, FloatingPointError)


def test_the_failed_node_keeps_no_value():
    x = autodiff.Tensor([1.0])
    z = autodiff.log(x)
    total = autodiff.sum(z * z)
    assert total.value == 0.0
    x.assign([0.0])
    with detect_anomaly():
        with pytest.raises(AnomalyError):
            total.forward()
        assert "no value" in repr(z)
        with pytest.raises(AnomalyError):  # it is not taken for computed
            total.forward()
        with pytest.raises(StaleValueError):
            total.backward()
    x.assign([np.e])
    with detect_anomaly():
        np.testing.assert_allclose(total.forward(), 1.0)
        total.backward()
    np.testing.assert_allclose(x.gradient, [2.0 / np.e])


def test_what_is_below_the_failed_node_keeps_its_value():
    x = autodiff.Tensor([0.0])
    y = x + x
    with detect_anomaly(), pytest.raises(AnomalyError):
        (1.0 / y).forward()
    assert "value 0" in repr(y)


def test_assign_is_refused():
    w = autodiff.Tensor([1.0, 2.0], name="w")
    with detect_anomaly():
        with pytest.raises(AnomalyError, match=r"assign: 1 of 2 elements .*\(1,\), is nan.*'w'"):
            w.assign([0.0, np.nan])
        np.testing.assert_array_equal(w.value, [1.0, 2.0])
        with pytest.raises(AnomalyError):
            w.assign(autodiff.Tensor([np.inf, 0.0]))
        with pytest.raises(DTypeError):
            w.assign(["three", "four"])
        w.assign([3, 4])
        w.assign(autodiff.Tensor([5.0, 6.0]))
    np.testing.assert_array_equal(w.value, [5.0, 6.0])


def test_backward_names_the_input_and_the_ranges():
    x = autodiff.Tensor([4.0, 0.0], name="area")
    root, here = autodiff.sqrt(x), line()
    loss = autodiff.sum(root)
    with detect_anomaly():
        loss.forward()
        with pytest.raises(AnomalyError) as caught:
            loss.backward()
    message = str(caught.value)
    assert re.search(r"^backward: 1 of 2 .*\(1,\), is inf.* to its input x, node 'area'", message)
    assert f"{root.name!r} (test_anomaly.py:{here})" in message
    assert "its gradient: shape (2,), 1 ... 1" in message
    assert "its value: shape (2,), 0 ... 2" in message
    assert "input x, node 'area'" in message


def test_after_a_failed_backward_pass_the_graph_works():
    x = autodiff.Tensor([0.0], name="x")
    loss = autodiff.sum(autodiff.sqrt(x) + x)
    with detect_anomaly():
        with pytest.raises(AnomalyError):
            loss.backward()
        for node in ancestors([loss]):
            assert not node.has_gradient
        x.assign([4.0])
        loss.forward()
        loss.backward()
    assert x.gradient == 1.25


def test_a_bad_gradient_from_outside():
    x = autodiff.Tensor([1.0])
    y = x + x
    with detect_anomaly(), pytest.raises(AnomalyError, match="of the gradient given to"):
        y.backward([np.nan])


@pytest.mark.parametrize("same_node", [True, False])
def test_a_sum_that_overflows(same_node):
    x = autodiff.Tensor([1.0], name=f"shared {same_node}")
    big = autodiff.Tensor([1e308], constant=True)
    if same_node:
        y = x + x
        loss = autodiff.sum(y * big)
    else:
        loss = autodiff.sum(x * big) + autodiff.sum(x * big)
    loss.forward()
    with detect_anomaly(), pytest.raises(AnomalyError) as caught:
        loss.backward()
    message = str(caught.value)
    assert f"the sum of the gradients sent to node 'shared {same_node}'" in message
    assert "the sum before: shape (1,), 1e+308 ... 1e+308" in message


def test_a_complete_old_sum_is_not_added_to():
    x = autodiff.Tensor([1.0])
    big = autodiff.Tensor([1e308], constant=True)
    loss = autodiff.sum(x * big)
    with detect_anomaly():
        for _ in range(3):
            loss.backward()
            x.assign([1.0])
            loss.forward()


def test_values_from_before_are_described():
    x = autodiff.Tensor([1.0, np.nan, np.inf, 3.0])
    y = x * x
    y.forward()
    with detect_anomaly(), pytest.raises(AnomalyError) as caught:
        autodiff.sum(y).forward()
    assert "shape (4,), 1 ... 9, 1 of 4 NaN, 1 of 4 infinite" in str(caught.value)
    with detect_anomaly(), pytest.raises(AnomalyError) as caught:
        y.backward(np.ones(4))
    assert "sends to its input x" in str(caught.value)


def test_nothing_is_watched_outside():
    x = autodiff.Tensor([0.0])
    with detect_anomaly(), detect_anomaly():
        pass
    assert autodiff.log(x).value == -np.inf
    assert current_observer() is None


def test_all_finite_is_silent_and_the_same():
    x = autodiff.Tensor(np.linspace(-1, 1, 6).reshape(2, 3))
    w = autodiff.Tensor(np.linspace(0, 1, 3).reshape(3, 1))

    def run():
        loss = autodiff.sum(autodiff.tanh(x @ w) ** 2)
        autodiff.reset(loss)
        loss.backward()
        return loss.value.tobytes(), x.gradient.tobytes(), w.gradient.tobytes()

    plain = run()
    with detect_anomaly():
        assert run() == plain


def test_constants_get_no_gradient_and_are_passed_over():
    x = autodiff.Tensor([0.0], constant=True)
    w = autodiff.Tensor([1.0])
    with detect_anomaly():
        autodiff.sum(autodiff.sqrt(x) * w).backward()
    assert w.gradient == 0.0


def test_a_recording_cannot_be_watched():
    class Recorder(Watching):
        def forward(self, node, value): ...
        def backward(self, node, gradients, sums): ...
        def assign(self, tensor, value): ...

    with (
        observe(Recorder()),
        pytest.raises(BackendError, match="undecorated"),
        detect_anomaly(),
    ):
        pass
