"""The backward pass: who waits for whom, what is summed, and that nobody pushes twice.

The faults of the post's code, listed in the README, are each a test here.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Node, Tensor
from autodiff.backend import Backend, get_backend
from autodiff.errors import (
    BackwardTwiceError,
    GradientError,
    IncompleteGradientError,
    StaleValueError,
)
from autodiff.graph.observer import Watching, current_observer, observe
from autodiff.graph.order import ancestors


class Counting:
    """A back end that counts, and fails where it is told to."""

    name = "counting"

    def __init__(self) -> None:
        self.inner = get_backend("reference")
        self.forwards: list[str] = []
        self.backwards: list[tuple[str, tuple[bool, ...]]] = []
        self.fail_at = -1
        self.error: BaseException = RuntimeError("the kernel failed")

    def _call(self) -> None:
        if len(self.forwards) + len(self.backwards) == self.fail_at:
            self.fail_at = -1
            raise self.error

    def forward(self, op: Any, inputs: Sequence[Any]) -> Any:
        self._call()
        self.forwards.append(op.name)
        return self.inner.forward(op, inputs)

    def backward(self, op: Any, g: Any, z: Any, inputs: Any, needed: Any) -> Any:
        self._call()
        self.backwards.append((op.name, tuple(needed)))
        return self.inner.backward(op, g, z, inputs, needed)


@pytest.fixture
def counting() -> Any:
    with autodiff.use_backend(Counting()) as chosen:  # type: ignore[arg-type]
        yield chosen


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


# ---- nothing recurses, everything is linear ------------------------------------------------


def chain(length: int, x: Node) -> Node:
    for _ in range(length):
        x = -x
    return x


def test_a_chain_of_100_000() -> None:
    x = Tensor(1.0)
    y = chain(100_000, x)
    assert y.forward() == 1.0
    y.backward()
    assert x.gradient == 1.0
    y.reset()
    assert not x.has_gradient
    autodiff.backward({y: 5.0})
    assert x.gradient == 5.0
    assert len(ancestors([y])) == 100_001


def diamonds(n: int, x: Node) -> Node:
    """n diamonds in a row: 2^n ways from top to bottom."""
    for _ in range(n):
        left, right = autodiff.tanh(x), autodiff.sin(x)
        x = left * right
    return x


class Visits:
    """Counts how often nodes are looked at: every walk asks for their inputs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number = 0
        slot = Node.__dict__["inputs"]

        def get(node: Node) -> Any:
            self.number += 1
            return slot.__get__(node)

        monkeypatch.setattr(Node, "inputs", property(get, slot.__set__))


def test_every_walk_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    visits = Visits(monkeypatch)

    def counted(n: int) -> dict[str, int]:
        counts = {}

        def count(name: str, walk: Any) -> Any:
            before = visits.number
            result = walk()
            counts[name] = visits.number - before
            return result

        x = Tensor(0.5)
        y = count("build", lambda: diamonds(n, x))
        count("forward", y.forward)
        count("forward again", y.forward)
        count("push", y.backward)
        count("reset", y.reset)
        count("backward", lambda: autodiff.backward(y))
        x.assign(0.4)
        count("forward anew", y.forward)
        count("gradients", lambda: autodiff.gradients(y, [x]))
        count("repr", lambda: repr(y))
        count("copy", lambda: __import__("copy").deepcopy(y))
        return counts

    small, large = counted(100), counted(200)
    assert small["forward"] > 0
    assert small["forward again"] == large["forward again"] == 0
    for name, number in large.items():
        assert number <= 2.1 * small[name] + 20, name
        assert number <= 20 * 600, name  # 600 nodes


def test_many_roots_share_their_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    visits = Visits(monkeypatch)
    x = Tensor(0.5)
    roots = [x * 1.0]
    for _ in range(200):
        roots.append(autodiff.tanh(roots[-1]))
    for _ in range(2):
        before = visits.number
        for root in roots:
            root.forward()
        assert visits.number - before < 10 * len(roots)
        x.assign(0.1)


# ---- values ------------------------------------------------------------------------------


def test_what_is_handed_out_is_read_only() -> None:
    x = Tensor([1.0, 2.0])
    y = x * 2.0
    y.backward(np.ones(2))
    for array in (x.value, y.value, y.forward(), x.gradient, y.gradient):
        with pytest.raises(ValueError, match=r"read-only"):
            array[0] = 7.0
        with pytest.raises(ValueError, match=r"read-only"):
            array += 1.0
    assert np.shares_memory(x.value, x.value)


def test_a_value_that_was_handed_out_never_changes() -> None:
    x = Tensor([1.0, 2.0])
    seen = x.value
    assert x.value is seen  # until it is written
    x.assign([3.0, 4.0])
    np.testing.assert_array_equal(seen, [1.0, 2.0])
    x.assign(x.value[::-1])
    np.testing.assert_array_equal(x.value, [4.0, 3.0])
    x.assign(x * 2.0)
    np.testing.assert_array_equal(x.value, [8.0, 6.0])
    x.assign(seen)
    np.testing.assert_array_equal(x.value, [1.0, 2.0])
    square = Tensor([[1.0, 2.0], [3.0, 4.0]])
    square.assign(square.value.T)
    np.testing.assert_array_equal(square.value, [[1.0, 3.0], [2.0, 4.0]])


def test_gradients_that_were_handed_out_do_not_change() -> None:
    x = Tensor([1.0, 2.0])
    y = autodiff.square(x)
    y.backward(np.ones(2))
    kept = x.gradient
    y.reset()
    y.backward([5.0, 5.0])
    np.testing.assert_array_equal(kept, [2.0, 4.0])


def test_only_what_is_stale_is_computed(counting: Counting) -> None:
    x, w = Tensor([1.0]), Tensor([2.0])
    fixed = autodiff.exp(x)
    y = autodiff.tanh(fixed * w)
    y.forward()
    assert counting.forwards == ["exp", "multiply", "tanh"]
    y.forward()
    assert len(counting.forwards) == 3
    w.assign([3.0])
    y.forward()
    assert counting.forwards[3:] == ["multiply", "tanh"]
    fixed.forward()
    assert len(counting.forwards) == 5


def test_a_value_stays_until_it_is_computed_anew() -> None:
    x = Tensor(3.0)
    y = x * x
    assert y.value == 9.0
    x.assign(1.0)
    assert y.value == 9.0
    assert y.forward() == 1.0


@pytest.mark.parametrize("partly", [False, True])
def test_stale_values_are_not_mixed_with_fresh_ones(partly: bool) -> None:
    x, w = Tensor([1.0]), Tensor([2.0])
    h = x * w
    y = autodiff.square(h)
    y.forward()
    x.assign([5.0])
    if partly:
        h.forward()
    with pytest.raises(StaleValueError):
        y.backward()
    with pytest.raises(StaleValueError):
        autodiff.backward({h * 1.0: [1.0], y: [1.0]})
    for node in (x, w, h, y):
        assert not node.has_gradient
    y.forward()
    y.backward()
    assert w.gradient == 2 * 10.0 * 5.0


def test_forward_drops_gradients_of_old_values() -> None:
    x = Tensor([1.0])
    y = x * 2.0
    y.backward()
    x.assign([3.0])
    assert x.gradient == 2.0
    y.forward()
    assert not y.has_gradient
    y.backward()
    assert x.gradient == 2.0


# ---- patterns of training loops, many times ------------------------------------------------


def plain_gradient(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    h = np.tanh(x @ w)
    return x.T @ (2 * h * (1 - h * h))


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("reassigned", [True, False])
@pytest.mark.parametrize("style", ["push", "seeds"])
def test_a_static_graph(
    constant: bool, reassigned: bool, style: str, rng: np.random.Generator
) -> None:
    x = Tensor(rng.normal(size=(2, 3)), constant=constant)
    w = Tensor(rng.normal(size=(3, 2)))
    loss = autodiff.square(autodiff.tanh(x @ w)).sum()
    for step in range(30):
        if reassigned:
            x.assign(rng.normal(size=(2, 3)))
        loss.forward()
        if style == "push":
            loss.backward()
        else:
            autodiff.backward(loss)
        np.testing.assert_allclose(
            w.gradient, plain_gradient(x.value, w.value), rtol=1e-12, err_msg=str(step)
        )
        w.assign(w.value - 0.1 * w.gradient)
        if not (constant or reassigned):
            loss.forward()
            with pytest.raises(BackwardTwiceError, match="nobody has read"):
                autodiff.backward(loss)
            assert x.gradient.shape == x.shape


@pytest.mark.parametrize("style", ["push", "seeds"])
@pytest.mark.parametrize("old", ["dead", "alive"])
def test_a_graph_rebuilt_each_step(style: str, old: str, rng: np.random.Generator) -> None:
    w = Tensor(rng.normal(size=(3, 2)), name="w")
    kept = []
    for step in range(30):
        x = rng.normal(size=(2, 3))
        loss = autodiff.square(autodiff.tanh(x @ w)).sum()
        if style == "seeds":
            autodiff.backward(loss)
        else:
            loss.backward()
            if old == "alive" and step:
                # The post's style waits for everybody that reads w, old graphs too.
                with pytest.raises(IncompleteGradientError, match=kept[0].inputs[0].inputs[0].name):
                    _ = w.gradient
                break
        np.testing.assert_allclose(w.gradient, plain_gradient(x, w.value), rtol=1e-12)
        w.assign(w.value - 0.1 * w.gradient)
        if old == "alive":
            kept.append(autodiff.square(autodiff.tanh(x @ w)))


@pytest.mark.parametrize("style", ["push", "seeds"])
@pytest.mark.parametrize("way", ["read", "reset", "accumulate"])
def test_a_gradient_that_nobody_has_read_is_not_lost(style: str, way: str) -> None:
    x, w = Tensor([[2.0]], name="x"), Tensor([[3.0]])

    def backward(loss: Node, **options: Any) -> None:
        if style == "push":
            loss.backward(**options)
        else:
            autodiff.backward(loss, **options)

    expected = 0.0
    for step in range(5):
        loss = autodiff.square(x @ w).sum()
        if step:
            # x keeps the complete gradient of the last pass: nobody assigned it.
            with pytest.raises(BackwardTwiceError, match=r"'x'.*accumulate=True.*reset"):
                backward(loss)
            assert x._gradient == expected
            if way == "read":
                assert x.gradient == expected
            if way == "reset":
                x.reset()
        backward(loss, accumulate=way == "accumulate")
        new = 4.0 * w.value**2
        expected = expected + new if way == "accumulate" else new
        np.testing.assert_allclose(w.gradient, 8.0 * w.value)
        np.testing.assert_allclose(x._gradient, expected)
        w.assign(w.value - 0.1 * w.gradient)


def test_micro_batches(backend: Backend, rng: np.random.Generator) -> None:
    w, bias = Tensor(rng.normal(size=(3, 2))), Tensor(np.zeros(2))
    data = rng.normal(size=(4, 5, 3))
    for _ in range(3):
        for batch in data:
            loss = autodiff.square(batch @ w + bias).sum()
            autodiff.backward(loss, accumulate=True)
        found = w.gradient, bias.gradient
        whole = autodiff.square(data @ w + bias).sum()
        autodiff.backward(whole)
        np.testing.assert_allclose(found[0], w.gradient, rtol=1e-12)
        np.testing.assert_allclose(found[1], bias.gradient, rtol=1e-12)
        for tensor in (w, bias):  # a sum begins anew once its tensor was assigned
            tensor.assign(tensor.value - 0.01 * tensor.gradient)


def test_a_second_pass_begins_a_new_sum() -> None:
    w = Tensor([1.0, 2.0])
    h = w * 3.0
    for factor in (1.0, 5.0, 7.0):
        autodiff.backward((h * factor).sum())
        np.testing.assert_array_equal(w.gradient, [3.0 * factor] * 2)


def test_two_losses_in_one_pass_many_times(rng: np.random.Generator) -> None:
    x, w = Tensor(rng.normal(size=(2, 3))), Tensor(rng.normal(size=(3, 2)))
    h = autodiff.tanh(x @ w)
    first, second, unused = autodiff.square(h).sum(), h.mean(), autodiff.exp(h)
    for _ in range(20):
        for loss in (first, second, unused):
            loss.forward()
        x.reset()  # nobody reads its gradient
        autodiff.backward({first: 1.0, second: 3.0})
        slope = 2 * h.value + 0.75
        expected = x.value.T @ (slope * (1 - h.value**2))
        np.testing.assert_allclose(w.gradient, expected, rtol=1e-12)
        w.assign(w.value - 0.1 * w.gradient)


def test_losses_in_turn_on_shared_weights(rng: np.random.Generator) -> None:
    x, w = Tensor(rng.normal(size=(2, 3)), constant=True), Tensor(rng.normal(size=(3, 2)))
    h = autodiff.tanh(x @ w)
    losses = [autodiff.square(h).sum(), (3.0 * h).sum()]
    slopes = [lambda h: 2 * h, lambda h: 3.0]
    for step in range(20):
        loss, slope = losses[step % 2], slopes[step % 2]
        loss.forward()
        autodiff.backward(loss)
        expected = x.value.T @ (slope(h.value) * (1 - h.value**2))
        np.testing.assert_allclose(w.gradient, expected, rtol=1e-12)
        w.assign(w.value - 0.1 * w.gradient)


def test_shared_weights_unrolled(rng: np.random.Generator, backend: Backend) -> None:
    # T steps send T gradients to the weight.
    w, state = Tensor(rng.normal(size=(3, 3)) * 0.5), Tensor(rng.normal(size=(1, 3)))
    h: Node = state
    for _ in range(8):
        h = autodiff.tanh(h @ w)
    assert len(w.parents) == 8
    seed = rng.normal(size=(1, 3))
    h.backward(seed)
    values, gw = [state.value], np.zeros((3, 3))
    for _ in range(8):
        values.append(np.tanh(values[-1] @ w.value))
    g = seed
    for before, after in zip(values[-2::-1], values[:0:-1], strict=True):
        g = g * (1 - after * after)
        gw += before.T @ g
        g = g @ w.value.T
    np.testing.assert_allclose(w.gradient, gw, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(state.gradient, g, rtol=1e-12, atol=1e-14)


# ---- errors within a pass ------------------------------------------------------------------


@pytest.mark.parametrize("style", ["push", "seeds"])
@pytest.mark.parametrize("error", [RuntimeError("kernel"), KeyboardInterrupt(), MemoryError()])
def test_after_an_error_anywhere_the_next_pass_is_right(
    style: str, error: BaseException, rng: np.random.Generator
) -> None:
    x, w = Tensor(rng.normal(size=(2, 3))), Tensor(rng.normal(size=(3, 2)))
    h = autodiff.tanh(x @ w)
    loss = (autodiff.square(h) + h * h * 2.0).sum()
    slope = 6 * np.tanh(x.value @ w.value) * (1 - np.tanh(x.value @ w.value) ** 2)
    expected = x.value.T @ slope

    def attempt() -> None:
        loss.forward()
        if style == "push":
            loss.backward()
        else:
            autodiff.backward(loss)

    with autodiff.use_backend(Counting()) as backend:  # type: ignore[arg-type]
        assert isinstance(backend, Counting)
        attempt()
        calls = len(backend.forwards) + len(backend.backwards)
        assert calls > 12
        for fail_at in range(calls):
            x.assign(x.value)
            w.assign(w.value)
            backend.forwards, backend.backwards = [], []
            backend.fail_at, backend.error = fail_at, error
            with pytest.raises(type(error)):
                attempt()
            attempt()
            np.testing.assert_allclose(w.gradient, expected, rtol=1e-12)
            np.testing.assert_allclose(x.gradient, slope @ w.value.T, rtol=1e-12)


def test_an_error_in_one_loss_leaves_the_other_and_says_so() -> None:
    x = Tensor([1.0])
    h = x * 2.0
    first, second = h * 3.0, h * 5.0
    with autodiff.use_backend(Counting()) as backend:  # type: ignore[arg-type]
        assert isinstance(backend, Counting)
        for loss in (first, second):
            loss.forward()
        first.backward()
        backend.fail_at = len(backend.forwards) + len(backend.backwards) + 1
        with pytest.raises(RuntimeError, match=r"kernel failed"):
            second.backward()
        # No half-made sum is left: what the first loss sent is gone, and that shows.
        second.backward()
        with pytest.raises(IncompleteGradientError, match=first.name):
            _ = h.gradient
        autodiff.reset(first, second)
        autodiff.backward({first: 1.0, second: 1.0})
        assert x.gradient == 16.0


# ---- observers -----------------------------------------------------------------------------


class Recorder(Watching):
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def forward(self, node: Node, value: Any) -> None:
        self.seen.append(("forward", node.typename))

    def backward(self, node: Node, gradients: Sequence[Any]) -> None:
        assert len(gradients) == len(node.inputs)
        self.seen.append(("backward", node.typename))

    def assign(self, tensor: Node, value: Any) -> Any:
        self.seen.append(("assign", tensor.name))


def test_an_observer_is_told_of_every_step() -> None:
    x = Tensor([1.0], name="x")
    y = autodiff.tanh(x * x).sum()
    observer = Recorder()
    with observe(observer):  # type: ignore[arg-type]
        y.backward()
        x.assign([2.0])
    y.forward()
    assert observer.seen == [
        ("forward", "multiply"),
        ("forward", "tanh"),
        ("forward", "sum"),
        ("backward", "sum"),
        ("backward", "tanh"),
        ("backward", "multiply"),
        ("assign", "x"),
    ]


def test_an_observer_holds_in_its_thread_only() -> None:
    observer = Recorder()
    with observe(observer):  # type: ignore[arg-type]
        thread = threading.Thread(target=lambda: (Tensor(1.0) * 2.0).forward())
        thread.start()
        thread.join()
    assert observer.seen == []
    assert current_observer() is None


# ---- threads and names -----------------------------------------------------------------------


def test_threads_with_graphs_of_their_own_on_shared_weights(rng: np.random.Generator) -> None:
    shared = Tensor(rng.normal(size=(3, 2)), constant=True)
    wrong: list[str] = []

    def work(number: int) -> None:
        try:
            random = np.random.default_rng(number)
            x = Tensor(random.normal(size=(2, 3)), name="x")
            for _ in range(60):
                loss = autodiff.square(autodiff.tanh(x @ shared)).sum()
                loss.backward()
                h = np.tanh(x.value @ shared.value)
                expected = (2 * h * (1 - h * h)) @ shared.value.T
                np.testing.assert_allclose(x.gradient, expected, rtol=1e-12)
                x.assign(x.value - 0.01 * x.gradient)
        except BaseException as error:
            wrong.append(f"thread {number}: {error!r}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert shared.parents == ()


def test_names_are_unique_among_the_living() -> None:
    first, second = Tensor(1.0, name="w"), Tensor(1.0, name="w")
    assert first.name == "w"
    assert second.name.startswith("w#")
    assert Tensor(1.0, name="a#b").name == "a_b"
    names = [Tensor(1.0).name for _ in range(5)] + [(first * second).name for _ in range(5)]
    assert len(set(names)) == 10
    del first
    assert Tensor(1.0, name="w").name == "w"


def test_where_is_the_line_that_built_it() -> None:
    import inspect

    frame = inspect.currentframe()
    assert frame is not None
    x = Tensor(1.0)
    y = autodiff.tanh(x + 2.0)
    z = np.exp(y)
    assert [n.where[1] - x.where[1] for n in (x, y.inputs[0], y, z)] == [0, 1, 1, 2]
    assert {n.where[0] for n in (x, y, z)} == {frame.f_code.co_filename}


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
