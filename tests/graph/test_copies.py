"""Pickle, deepcopy and copy of graphs and of lists that share nodes."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Node, Tensor
from autodiff.errors import StaleValueError
from autodiff.graph.order import ancestors

Copier = Callable[[Any], Any]


def by_pickle(protocol: int) -> Copier:
    return lambda value: pickle.loads(pickle.dumps(value, protocol))


COPIERS = [copy.deepcopy, *(by_pickle(p) for p in range(2, pickle.HIGHEST_PROTOCOL + 1))]
copiers = pytest.mark.parametrize("copier", COPIERS, ids=["deepcopy", *"2345"])


def model() -> tuple[Tensor, Node]:
    w = Tensor([[0.1, 0.2], [0.3, 0.4]], name="weights of the model")
    rows = Tensor([1, 0], constant=True)
    h = autodiff.tanh(autodiff.take(w, rows))
    return w, autodiff.square(autodiff.concat([h, h[:, ::-1], w], axis=1)).mean()


@copiers
def test_a_graph(copier: Copier) -> None:
    w, loss = model()
    loss.backward()
    twin_w, twin = copier((w, loss))
    assert twin is not loss
    assert twin_w.shape == w.shape
    np.testing.assert_array_equal(twin.value, loss.value)
    twin.backward()
    np.testing.assert_array_equal(twin_w.gradient, w.gradient)
    ours, theirs = (ancestors([root]) for root in (loss, twin))
    assert not set(ours) & set(theirs)
    assert [(n.typename, n.shape, n.needed, n.where) for n in ours] == [
        (n.typename, n.shape, n.needed, n.where) for n in theirs
    ]
    assert [n.needs_gradient for n in ours] == [n.needs_gradient for n in theirs]


@copiers
def test_a_copy_shares_no_memory(copier: Copier) -> None:
    w, loss = model()
    before = loss.forward().copy()
    twin_w, twin = copier([w, loss])
    twin_w.assign(np.zeros((2, 2)))
    assert twin.forward() == 0.0
    w_value = w.value.copy()
    np.testing.assert_array_equal(loss.value, before)
    np.testing.assert_array_equal(w.value, w_value)


@copiers
def test_nodes_shared_by_a_list_stay_shared(copier: Copier) -> None:
    x = Tensor([1.0, 2.0])
    first, second = x * 2.0, x * 3.0
    a, b, y = copier([first, second, x])
    assert a.inputs[0] is y
    assert b.inputs[0] is y
    assert {(node, i) for node, i in y.parents} == {(a, 0), (b, 0)}
    autodiff.backward({a: np.ones(2), b: np.ones(2)})
    np.testing.assert_array_equal(y.gradient, [5.0, 5.0])


@copiers
def test_what_reads_it_is_not_copied_along(copier: Copier) -> None:
    x = Tensor([1.0])
    h = x * 2.0
    reader = h + 1.0
    twin = copier(h)
    assert twin.parents == ()
    assert reader.inputs[0] is h


@copiers
def test_a_long_chain(copier: Copier) -> None:
    x = node = Tensor(1.0)
    for _ in range(10_000 if copier in (copy.deepcopy, COPIERS[-1]) else 2000):
        node = autodiff.negative(node)
    twin_x, twin = copier((x, node))
    twin.backward()
    assert twin_x.gradient == 1.0


@copiers
def test_stale_values_are_not_copied_as_fresh(copier: Copier) -> None:
    x = Tensor(1.0)
    h = x * 2.0
    y = h * 3.0
    y.forward()
    x.assign(5.0)
    twin = copier(y)
    with pytest.raises(StaleValueError):
        twin.backward()
    assert twin.forward() == 30.0


@copiers
def test_constants_and_tensors_without_a_value(copier: Copier) -> None:
    c, empty = Tensor(3.0, constant=True), Tensor(shape=(2,), name="empty")
    y = c * empty
    twin = copier(y)
    assert twin.needed == (False, True)
    twin.inputs[1].assign([1.0, 2.0])
    np.testing.assert_array_equal(twin.value, [3.0, 6.0])
    assert empty.stored is None


def test_a_shallow_copy_has_its_own_buffer_and_the_same_inputs() -> None:
    x = Tensor([1.0, 2.0])
    twin = copy.copy(x)
    twin.assign([7.0, 8.0])
    np.testing.assert_array_equal(x.value, [1.0, 2.0])
    h = x * 2.0
    h.forward()
    again = copy.copy(h)
    assert again.inputs == h.inputs
    np.testing.assert_array_equal(again.value, [2.0, 4.0])
    autodiff.backward({h: np.ones(2), again: np.ones(2)})
    np.testing.assert_array_equal(x.gradient, [4.0, 4.0])


class Unpicklable:
    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("not this one")


@pytest.mark.parametrize("how", [copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("fails_at", [1, 1999])
def test_a_copy_that_failed_does_not_spoil_the_next(how: Copier, fails_at: int) -> None:
    x = node = Tensor(1.0)
    for _ in range(2000):
        node = autodiff.negative(node)
    chain = ancestors([node])
    for again in (chain[-1], chain[1998], chain[1500], x):
        chain[fails_at].where = Unpicklable()  # type: ignore[assignment]
        with pytest.raises(TypeError, match="not this one"):
            how(node)
        chain[fails_at].where = ("here.py", 1)
        twin_x, twin = pickle.loads(pickle.dumps((x, again)))
        twin = pickle.loads(pickle.dumps(again))
        twin.backward()
        (twin_x,) = (n for n in ancestors([twin]) if n.op is None)
        assert abs(twin_x.gradient) == 1.0
        assert autodiff.graph.copies._list.places == {}


def test_a_shallow_copy_leaves_no_list_behind() -> None:
    x = Tensor(1.0)
    copy.copy(autodiff.exp(-x))
    assert autodiff.graph.copies._list.places == {}


def test_copies_in_threads() -> None:
    wrong: list[str] = []

    def work(number: int) -> None:
        for _ in range(20):
            x = Tensor(float(number))
            y = x
            for _ in range(50):
                y = y + x
            twin = copy.deepcopy(pickle.loads(pickle.dumps(y)))
            if twin.item() != 51.0 * number:
                wrong.append(f"{twin.item()} in thread {number}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
