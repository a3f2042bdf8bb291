"""The backward pass: who waits for whom, what is summed, and that nobody pushes twice.

The faults of the post's code, listed in the README, are each a test of this folder.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from counting import Counting

import autodiff
from autodiff import Tensor
from autodiff.backend import Backend
from autodiff.errors import (
    BackwardTwiceError,
    GradientError,
    IncompleteGradientError,
)

# ---- edges, sums, once -------------------------------------------------------------------


def test_an_edge_sends_a_gradient_not_a_parent(backend: Backend) -> None:
    x = Tensor([3.0, -2.0])
    y = x * x
    assert x.parents == ((y, 0), (y, 1))
    y.backward(np.ones(2))
    np.testing.assert_array_equal(x.gradient, [6.0, -4.0])
    c = autodiff.concat([x, x, x])
    y.reset()
    autodiff.backward({c: np.arange(6.0)})
    np.testing.assert_array_equal(x.gradient, [6.0, 9.0])


def test_the_sum_is_pushed_not_the_last_gradient(backend: Backend) -> None:
    x = Tensor(0.5)
    h = x * 3.0
    parts = [h * float(k) for k in range(1, 6)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    total.backward()
    assert h.gradient == 15.0
    assert x.gradient == 45.0


def test_a_node_pushes_once(counting: Counting) -> None:
    x = Tensor([1.0, 2.0])
    h = autodiff.tanh(x)
    first, second = h.sum(), (h * h).sum()
    (first + second).backward()
    pushed = [name for name, _ in counting.backwards]
    assert sorted(pushed) == ["add", "multiply", "sum", "sum", "tanh"]
    np.testing.assert_allclose(x.gradient, (1 + 2 * h.value) * (1 - h.value**2))


def test_a_gradient_from_outside_is_one_more_edge(counting: Counting) -> None:
    # As the variational auto-encoder puts a loss on its means.
    x = Tensor([1.0, 2.0])
    mean = x * 2.0
    loss = autodiff.square(mean).sum()
    mean.register("divergence")
    loss.backward()
    assert not mean.has_gradient
    assert not x.has_gradient
    assert mean.waiting_for == ()
    with pytest.raises(IncompleteGradientError, match=r"outside sender 'divergence'"):
        _ = mean.gradient
    mean.backward([10.0, 20.0], sender="divergence")
    np.testing.assert_array_equal(mean.gradient, [14.0, 28.0])
    np.testing.assert_array_equal(x.gradient, [28.0, 56.0])
    assert [name for name, _ in counting.backwards].count("multiply") == 1


@pytest.mark.parametrize("first", ["outside", "loss"])
def test_the_order_of_outside_and_inside_does_not_matter(first: str) -> None:
    x = Tensor([1.0, 2.0])
    h = x * 2.0
    loss = h.sum()
    h.register("outside")
    for step in range(3):
        sends = [lambda: h.backward([1.0, 5.0], sender="outside"), loss.backward]
        for send in sends if first == "outside" else sends[::-1]:
            send()
        np.testing.assert_array_equal(x.gradient, [4.0, 12.0], str(step))
        with pytest.raises(BackwardTwiceError):
            h.backward([1.0, 5.0], sender="outside")
        x.assign([float(step), 1.0])
        loss.forward()


def test_an_outside_sender_cannot_send_twice_in_one_pass() -> None:
    x = Tensor([1.0])
    for sender in "abc":
        x.register(sender)
    x.backward([1.0], sender="a")
    x.backward([10.0], sender="b")
    with pytest.raises(BackwardTwiceError, match=r"'a' has sent"):
        x.backward([5.0], sender="a")
    x.backward([100.0], sender="c")
    assert x.gradient == 111.0
    with pytest.raises(BackwardTwiceError):
        x.backward([5.0], sender="a")
    assert x.gradient == 111.0


def test_without_an_announcement_it_adds_to_what_comes() -> None:
    x = Tensor([1.0])
    h = x * 2.0
    loss = h * 3.0
    h.backward([1.0])
    assert not h.has_gradient
    loss.backward()
    assert h.gradient == 4.0
    assert x.gradient == 8.0
    with pytest.raises(BackwardTwiceError):
        h.backward([1.0])


# ---- wait sets ---------------------------------------------------------------------------


def test_piece_by_piece_everybody_waits_for_all_that_read_it() -> None:
    x = Tensor([1.0, 2.0])
    a, b = x * 2.0, x * 3.0
    assert x.waiting_for == ((a, 0), (b, 0))
    a.backward(np.ones(2))
    assert x.waiting_for == ((b, 0),)
    assert not x.has_gradient
    b.backward(np.ones(2))
    assert x.waiting_for == ()
    np.testing.assert_array_equal(x.gradient, [5.0, 5.0])


def test_a_parent_that_will_never_send_does_not_block(backend: Backend) -> None:
    x = Tensor([1.0, 2.0])
    h = autodiff.tanh(x)
    loss, unused = h.sum(), autodiff.exp(h)
    loss.backward()
    for node in (h, x):  # x itself waits only for h, but who holds it up is said
        assert not node.has_gradient
        with pytest.raises(IncompleteGradientError, match=rf"{h.name}.*waits for.*{unused.name}"):
            _ = node.gradient
    autodiff.reset(loss)
    autodiff.backward(loss)
    np.testing.assert_allclose(x.gradient, 1 - np.tanh([1.0, 2.0]) ** 2)


def test_an_old_gradient_is_not_taken_for_the_one_that_is_held_up() -> None:
    w = Tensor([1.0, 2.0], name="w")
    h = w * 3.0
    loss = autodiff.square(h).sum()
    loss.backward()
    w.assign([5.0, 5.0])
    np.testing.assert_array_equal(w.gradient, [18.0, 36.0])  # stays until the next pass
    loss.forward()
    metric = autodiff.exp(h)
    loss.backward()
    assert not w.has_gradient
    with pytest.raises(IncompleteGradientError, match=metric.name):
        _ = w.gradient
    metric.backward([0.0, 0.0])
    np.testing.assert_array_equal(w.gradient, [90.0, 90.0])


def test_one_pass_from_several_outputs(counting: Counting) -> None:
    x = Tensor([1.0, 2.0])
    h = x * 2.0
    first, second, third = h.sum(), autodiff.square(h), h * 7.0
    autodiff.backward({first: 1.0, second: [1.0, 0.0], h: [100.0, 200.0]})
    np.testing.assert_array_equal(h.gradient, [105.0, 201.0])
    np.testing.assert_array_equal(x.gradient, [210.0, 402.0])
    assert not third.has_gradient
    assert sorted(name for name, _ in counting.backwards) == ["multiply", "square", "sum"]


def test_a_seed_below_another_seed() -> None:
    x = Tensor(2.0)
    h = x * 3.0
    y = h * h
    autodiff.backward({h: 1.0, y: 1.0, x: 0.5})
    assert h.gradient == 13.0
    assert x.gradient == 39.5


def test_a_half_finished_pass_is_not_mixed_with_another() -> None:
    x = Tensor([1.0], name="x")
    a, b = x * 2.0, x * 3.0
    a.backward()
    with pytest.raises(IncompleteGradientError, match=r"unfinished.*'x'.*waits for"):
        autodiff.backward(b)
    assert x.waiting_for == ((b, 0),)
    b.backward()
    assert x.gradient == 5.0


def test_register_in_the_middle_is_refused() -> None:
    x = Tensor([1.0])
    a, b = x * 2.0, x * 3.0
    a.backward()
    with pytest.raises(GradientError, match=r"middle of a pass"):
        x.register("late")
    b.backward()
    x.register("next")
    assert x.senders == {"next": -1}
    assert x._awaited == -1


# ---- constants ---------------------------------------------------------------------------


def test_constants_cost_no_gradient_work(counting: Counting) -> None:
    w, data = Tensor(np.ones((3, 2)), name="w"), Tensor(np.ones((4, 3)), constant=True)
    features = autodiff.tanh(autodiff.exp(data) * 2.0)
    loss = autodiff.square(features @ w + 1.0).mean()
    assert not features.needs_gradient
    loss.backward()
    assert counting.backwards == [
        ("mean", (True,)),
        ("square", (True,)),
        ("add", (True, False)),
        ("matmul", (False, True)),
    ]
    for node in (data, features):
        assert not node.has_gradient


def test_stop_gradient(counting: Counting) -> None:
    x = Tensor([0.5, 1.0])
    y = x * autodiff.stop_gradient(autodiff.exp(x))
    autodiff.backward({y: np.ones(2)})
    np.testing.assert_allclose(x.gradient, np.exp([0.5, 1.0]))
    assert [name for name, _ in counting.backwards] == ["multiply"]
    assert (autodiff.stop_gradient(x) * 2.0).needs_gradient is False
    z = (x > 0.0) * x + autodiff.sign(x)
    autodiff.reset(y)
    autodiff.backward({z: np.ones(2)})
    np.testing.assert_array_equal(x.gradient, [1.0, 1.0])


# ---- broadcasting ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 3), [[4.0, 4.0, 4.0]]),
        ((3,), [4.0, 4.0, 4.0]),
        ((4, 1), [[3.0], [3.0], [3.0], [3.0]]),
        ((), 12.0),
        ((1, 1), [[12.0]]),
        ((4, 3), np.ones((4, 3))),
    ],
    ids=str,
)
def test_a_broadcast_bias_gets_the_sum(shape: Any, expected: Any, backend: Backend) -> None:
    b = Tensor(np.zeros(shape))
    (Tensor(np.ones((4, 3))) + b).backward(np.ones((4, 3)))
    assert b.gradient.shape == b.shape
    np.testing.assert_array_equal(b.gradient, expected)


# ---- readers that come, grow old or are renewed while a node waits ---------------------------


def test_old_graphs_are_not_waited_for() -> None:
    # Last step's graph, kept alive by a list of losses, cannot send: its values are old.
    w = Tensor([1.0, 2.0])
    losses = []
    for _ in range(5):
        losses.append(autodiff.square(w).sum())
        losses[-1].backward()
        np.testing.assert_array_equal(w.gradient, 2.0 * w.value)
        w.assign(w.value - 0.1 * w.gradient)
    assert [loss.item() for loss in losses] == sorted(
        (loss.item() for loss in losses), reverse=True
    )


def test_an_old_reader_that_is_computed_in_mid_pass_is_one_more() -> None:
    x = Tensor([1.0])
    first, second, old = x * 2.0, x * 3.0, x * 5.0
    for reader in (first, second, old):
        reader.forward()
    x.assign([2.0])
    first.forward()
    second.forward()
    first.backward()
    assert x.waiting_for == ((second, 0),)
    old.forward()
    old.backward()
    assert x.waiting_for == ((second, 0),)
    assert not x.has_gradient
    second.backward()
    assert x.gradient == 10.0


def test_a_reader_that_is_built_in_mid_pass_is_one_more() -> None:
    x = Tensor([1.0])
    h = x * 1.0
    first, second = h * 2.0, h * 3.0
    first.backward()
    late = h * 7.0
    late.backward()
    assert h.waiting_for == ((second, 0),)
    with pytest.raises(IncompleteGradientError, match=second.name):
        _ = x.gradient
    second.backward()
    with pytest.raises(BackwardTwiceError):
        (h * 9.0).backward()
    assert x.gradient == 12.0


# ---- inputs that get no gradient, but could ---------------------------------------------------


@pytest.mark.parametrize("use", ["where", "take", "stop_gradient", "greater", "two of them"])
def test_what_an_output_sends_nothing_to_is_left_out(use: str, backend: Backend) -> None:
    w, x = Tensor([1.0, 0.0]), Tensor([1.0, 2.0])
    chosen = autodiff.relu(w * 1.0)  # needs a gradient, but here none will come
    z = {
        "where": lambda: autodiff.where(chosen, x, 3.0 * x),
        "take": lambda: autodiff.take(x, chosen) * [1.0, 3.0] * [1.0, 1.0],
        "stop_gradient": lambda: autodiff.stop_gradient(chosen) * x + 3.0 * x,
        "greater": lambda: (chosen > 0.5) * x,
        "two of them": lambda: autodiff.where(chosen, x, 3.0 * x) + autodiff.take(x, chosen),
    }[use]()
    expected = {
        "where": [1.0, 3.0],
        "take": [3.0, 1.0],
        "stop_gradient": [4.0, 3.0],
        "greater": [1.0, 0.0],
        "two of them": [2.0, 4.0],
    }[use]
    for send in (lambda: autodiff.backward({z: np.ones(2)}), lambda: z.backward(np.ones(2))):
        for _ in range(2):
            send()
            np.testing.assert_array_equal(x.gradient, expected)
            assert not w.has_gradient
            assert not chosen.has_gradient
            z.reset()
    autodiff.backward({z: np.ones(2), chosen: np.ones(2)})
    np.testing.assert_array_equal(w.gradient, [1.0, 0.0])


def test_a_reader_that_sends_again_before_the_others_is_refused() -> None:
    x, w = Tensor([1.0], name="x"), Tensor([2.0])
    first, second = x * w, x * 3.0
    first.backward()
    w.assign([5.0])
    first.forward()
    with pytest.raises(IncompleteGradientError, match=rf"unfinished.*'x'.*{second.name}"):
        first.backward()
    assert not x.has_gradient
    autodiff.reset(first, second)
    first.backward()
    second.backward()
    assert x.gradient == 8.0


def test_passes_from_one_output_and_from_several_follow_each_other(backend: Backend) -> None:
    # The first are worked out once and kept; they leave the graph as the others expect it.
    x, w = Tensor([2.0]), Tensor([3.0])  # x is never assigned
    h = x * w
    loss = autodiff.square(h) + h
    for step in range(6):
        loss.forward()
        extra = 10.0 * (step % 2)
        if step % 3 == 2:
            loss.backward()
            extra = 0.0
        elif extra:
            autodiff.backward({loss: [1.0], h: [extra]})
        else:
            autodiff.backward({loss: [1.0]})
        slope = 2 * h.value + 1 + extra
        np.testing.assert_allclose(w.gradient, slope * x.value)
        np.testing.assert_allclose(x.gradient, slope * w.value)
        w.assign(w.value - 0.01 * w.gradient)
