"""A recording touches nothing outside itself, and sees what changes, or refuses."""

from __future__ import annotations

import copy
import pickle
import signal
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Node, Tensor, ops
from autodiff.errors import BackwardTwiceError, GradientError, RecordingError, UnassignedError
from autodiff.graph.state import State, TensorState
from autodiff.optim import SGD
from autodiff.save import save


def state(*nodes: Node) -> list[Any]:
    """All that a node holds, by identity and value."""
    slots = [name for kind in (State, TensorState) for name in kind.__slots__]
    names = [name for name in slots if name != "__weakref__"]
    return [
        [(name, getattr(node, name, None)) for name in names] + [len(node.readers())]
        for node in nodes
    ]


def same(before: list[Any], after: list[Any]) -> bool:
    def equal(a: Any, b: Any) -> bool:
        return a is b or (type(a) is type(b) and not isinstance(a, np.ndarray) and a == b)

    return all(
        a == b if isinstance(a, int) else a[0] == b[0] and equal(a[1], b[1])
        for one, other in zip(before, after, strict=True)
        for a, b in zip(one, other, strict=True)
    )


# ---- nothing outside is touched --------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_outside_changes(fails: bool) -> None:
    w, h, unassigned = Tensor([1.0, 2.0]), Tensor(shape=(2,)), Tensor(shape=(2,))
    y = ops.square(w)
    z = y.sum()
    z.forward()
    before = state(w, h, y, z)

    @autodiff.compile
    def step(x: Any) -> Any:
        h.assign(w.value * x)
        z.forward()
        z.backward()
        w.assign(w.value - w.gradient)
        unassigned.assign(h.value)
        (w * h).sum().backward()
        if fails:
            raise ZeroDivisionError
        return z

    if fails:
        with pytest.raises(ZeroDivisionError):
            step.program(2.0)
    else:
        step.program(2.0)
    after = state(w, h, y, z)
    for one, other in zip(before, after, strict=True):
        for a, b in zip(one, other, strict=True):
            if isinstance(a, tuple) and a[0] in ("lock", "reserved"):
                continue  # what programs need
            assert same([[a]], [[b]]), (a, b)
    assert w.value.tolist() == [1.0, 2.0]
    with pytest.raises(UnassignedError):
        _ = unassigned.value


def test_other_threads_see_tensors_as_they_were() -> None:
    w = Tensor(np.zeros(3))
    seen: list[Any] = []
    inside, looked = threading.Event(), threading.Event()

    def look() -> None:
        inside.wait(10)
        seen.append((w.value.tolist(), w.has_gradient, (w * 2.0).value.tolist()))
        w.assign(np.ones(3))
        looked.set()

    thread = threading.Thread(target=look)
    thread.start()

    @autodiff.compile(check=False)
    def step(x: Any) -> Any:
        w.assign(w.value + x)
        autodiff.backward((w * w).sum())
        inside.set()
        assert looked.wait(10)
        w.assign(w.value - w.gradient)
        return w.value

    step.program(1.0)
    thread.join()
    assert seen == [([0.0] * 3, False, [0.0] * 3)]
    assert w.value.tolist() == [1.0] * 3
    assert step(1.0).tolist() == [-2.0] * 3


def handle(values: list[Any], w: Tensor, path: Path) -> None:
    values.append(w.value.tolist())
    values.append(float((w * w).sum()))
    save(path, {"w": w})
    values.append(pickle.loads(pickle.dumps(w)).value.tolist())


@pytest.mark.parametrize("kind", ["function", "lambda", "method", "any arguments"])
def test_signal_handlers_see_tensors_as_they_were(kind: str, tmp_path: Path) -> None:
    w = Tensor([1.0, 2.0])
    path = tmp_path / "w.npz"
    values: list[Any] = []

    class Handlers:
        def method(self, number: int, frame: Any) -> None:
            handle(values, w, path)

    def function(number: int, frame: Any) -> None:
        handle(values, w, path)

    def anything(*arguments: Any) -> None:
        handle(values, w, path)

    handler: Any = {
        "function": function,
        "lambda": lambda s, f: handle(values, w, path),
        "method": Handlers().method,
        "any arguments": anything,
    }[kind]

    @autodiff.compile
    def step(x: Any) -> Any:
        w.assign(w.value * x)
        y = (w * w).sum()
        signal.raise_signal(signal.SIGUSR1)
        return y + w.value.sum()

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        assert step(2.0) == 26.0
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert values == [[1.0, 2.0], 5.0, [1.0, 2.0]] * 2  # it is recorded twice
    assert np.load(path)["w"].tolist() == [1.0, 2.0]


def test_recordings_of_several_threads_at_once() -> None:
    w = Tensor(np.ones(3))
    results: list[Any] = []
    together = threading.Barrier(4)

    def record() -> None:
        @autodiff.compile
        def step(x: Any) -> Any:
            y = w * x
            for _ in range(30):
                y = ops.tanh(y) + w
            autodiff.backward(y.sum())
            return w.gradient

        together.wait()
        results.append(step(2.0))

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in results:
        np.testing.assert_array_equal(result, results[0])


def test_readers_outside_are_waited_for_as_ever() -> None:
    # The post's style waits for all living parents, inside a recording like outside.
    for wrap in (lambda f: f, lambda f: autodiff.compile(f, check=False)):
        w = Tensor([1.0, 2.0])
        other = w * 3.0
        other.forward()

        def step(w: Tensor = w) -> Any:
            (w * w).sum().backward()
            return w.gradient

        with pytest.raises(GradientError, match=other.name):
            wrap(step)()

        def both(w: Tensor = w, other: Node = other) -> Any:
            w.reset()
            loss = (w * w).sum()
            other.forward()
            loss.backward()
            other.backward([1.0, 1.0])
            gradient = w.gradient
            autodiff.reset(loss, other)
            return gradient

        assert wrap(both)().tolist() == [5.0, 7.0]


# ---- what was computed before is refused -------------------------------------------------


def test_gradients_of_before_are_refused_by_name() -> None:
    w = Tensor([2.0], name="w")
    optimiser = SGD([w], 0.1)
    autodiff.backward((w * w).sum())
    for function in (
        lambda: w.gradient,
        lambda: w.has_gradient and None,
        lambda: optimiser.step(),
        lambda: autodiff.backward((w * 2.0).sum(), accumulate=True),
    ):
        with pytest.raises(RecordingError, match=r"gradient of node 'w.*within the step"):
            autodiff.compile(function)()
    assert w.gradient.tolist() == [4.0]


def test_a_gradient_that_comes_later_is_noticed() -> None:
    w = Tensor([2.0], name="w")
    step = autodiff.compile(lambda x: x + (1.0 if w.has_gradient else 0.0))
    assert step(1.0) == 1.0
    autodiff.backward((w * w).sum())
    with pytest.raises(RecordingError, match=r"gradient of node 'w"):
        step(1.0)
    w.reset()
    assert step(1.0) == 1.0


def test_values_of_before_are_refused_by_name() -> None:
    w = Tensor([2.0])
    y = w * 3.0
    y.name = "y"
    y.forward()
    with pytest.raises(RecordingError, match=r"value of node 'y'.*forward\(\)"):
        autodiff.compile(lambda x: y.value * x)(1.0)
    step = autodiff.compile(lambda x: y.forward() * x)
    assert step([1.0]).tolist() == [6.0]
    w.assign([3.0])
    assert step([1.0]).tolist() == [9.0]


def test_an_unread_gradient_is_not_lost_to_a_step() -> None:
    w = Tensor([2.0], name="w")

    @autodiff.compile
    def step() -> Any:
        autodiff.backward((w * w).sum())
        return w.gradient

    assert step().tolist() == [4.0]
    autodiff.backward((3.0 * w).sum())
    for _ in range(2):
        with pytest.raises(BackwardTwiceError, match=r"node 'w.*nobody has read"):
            step()
    assert w.gradient.tolist() == [3.0]
    assert step().tolist() == [4.0]
    with pytest.raises(GradientError, match="returned from it"):
        _ = w.gradient  # of the pass of before: the step has run another


def test_gradients_within_a_step_follow_the_same_rules() -> None:
    def make(style: str) -> Callable[[], Any]:
        w = Tensor([2.0])

        def step() -> Any:
            first = []
            for factor in (1.0, 3.0):
                autodiff.backward((factor * w).sum(), accumulate=style == "accumulate")
                if style == "read":
                    first.append(w.gradient)
                if style == "reset":
                    w.reset()
            return w.gradient if style != "reset" else w.value

        return step

    for style, expected in (("accumulate", 4.0), ("read", 3.0), ("reset", 2.0)):
        assert make(style)().tolist() == autodiff.compile(make(style))().tolist() == [expected]
    for wrap in (lambda f: f, autodiff.compile):
        with pytest.raises(BackwardTwiceError, match="accumulate=True"):
            wrap(make("forgotten"))()


# ---- what escapes --------------------------------------------------------------------------


def test_what_escapes_says_what_it_is() -> None:
    kept: dict[str, Any] = {}
    w = Tensor([1.0, 2.0])

    @autodiff.compile(check=False)
    def step(x: Any) -> Any:
        kept["node"] = w * x
        kept["value"] = kept["node"].value
        kept["tensor"] = Tensor(kept["value"])
        return x

    step(2.0)
    node, value, tensor = kept["node"], kept["value"], kept["tensor"]
    assert "node" in repr(node) or "multiply" in repr(node)
    repr(value), repr(tensor)
    uses: list[Callable[[], Any]] = [
        lambda: node.value,
        lambda: node.forward(),
        lambda: node.gradient,
        lambda: node + 1.0,
        lambda: w * node,
        lambda: tensor.value,
        lambda: tensor.assign([1.0, 2.0]),
        lambda: value + 1.0,
        lambda: value.shape and value * w,
        lambda: np.asarray(value),
        lambda: Tensor(value),
        lambda: w.assign(value),
        lambda: autodiff.backward(node, backend="reference"),
        lambda: pickle.dumps(node),
        lambda: copy.deepcopy(value) + 1.0,
        lambda: autodiff.compile(lambda x: x + value)(1.0),
        lambda: autodiff.compile(lambda x: x + node)(1.0),
        lambda: save("never.npz", {"w": tensor}),
    ]
    for number, use in enumerate(uses):
        with pytest.raises(RecordingError, match=r"no numbers|another recording") as caught:
            use()
        assert "step" in str(caught.value), number
    assert w.value.tolist() == [1.0, 2.0]
    assert (w * 2.0).value.tolist() == [2.0, 4.0]


@pytest.mark.parametrize("copied", [copy.deepcopy, pickle.dumps])
def test_copies_within_a_step_are_refused(copied: Callable[[Any], Any]) -> None:
    w = Tensor([1.0, 2.0])
    with pytest.raises(RecordingError, match="copied"):
        autodiff.compile(lambda x: copied(w) and x)(1.0)


def test_saving_within_a_step_is_refused(tmp_path: Path) -> None:
    w = Tensor([1.0, 2.0], name="w")
    with pytest.raises(RecordingError, match=r"'w.* has no numbers"):
        autodiff.compile(lambda x: save(tmp_path / "w.npz", {"w": w}) or x)(1.0)
    assert not list(tmp_path.iterdir())


# ---- a step within a step ------------------------------------------------------------------


def test_gradients_go_through_an_inner_step() -> None:
    for compiled in (False, True):
        w = Tensor(2.0)
        inner = autodiff.compile(lambda x: x * x)
        assert inner(1.0) == 1.0

        def outer(w: Tensor = w, inner: Any = inner) -> Any:
            autodiff.backward(autodiff.sum(inner(w) * w))
            return w.gradient

        assert (autodiff.compile(outer) if compiled else outer)() == 12.0


def test_an_inner_step_converts_its_arguments() -> None:
    inner = autodiff.compile(lambda x, k: {"r": ops.sum(x - 5) * k, "word": "w"})
    for arguments in (([1.0, 2.0], 2), (np.array([1, 2], np.uint8), 2.0), ((1, 2), np.float32(2))):
        if isinstance(arguments[0], tuple):
            arguments = (np.asarray(arguments[0]), arguments[1])
        wanted = inner(*arguments)
        found = autodiff.compile(lambda y, a=arguments: (y, inner(*a)))(0.0)[1]
        assert found == wanted == {"r": -14.0, "word": "w"}
        with autodiff.detect_anomaly():
            assert inner(*arguments) == wanted


# ---- values ----------------------------------------------------------------------------------


def test_replays_do_not_change_what_was_handed_out() -> None:
    w = Tensor(np.zeros(3))
    step = autodiff.compile(lambda x: w.assign(w.value + x) or w.value)
    seen = [w.value]
    for _ in range(3):
        seen += [step(1.0), w.value]
        assert w.value is seen[-1]
    assert [float(v[0]) for v in seen] == [0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    step.scan(np.ones(5))
    assert w.value.tolist() == [8.0] * 3
    assert seen[-1].tolist() == [3.0] * 3


def test_arguments_that_are_values_of_tensors() -> None:
    w, v = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])

    def step(a: Any, b: Any) -> Any:
        w.assign(b)
        v.assign(a * 2.0)
        return a + b, w.value - a

    compiled = autodiff.compile(step)
    for run in (compiled, step):
        w.assign([1.0, 2.0])
        v.assign([3.0, 4.0])
        total, moved = run(w.value, v.value)
        assert (total.tolist(), moved.tolist()) == ([4.0, 6.0], [2.0, 2.0])
        assert (w.value.tolist(), v.value.tolist()) == ([3.0, 4.0], [2.0, 4.0])


def test_values_are_whole_while_another_thread_replays() -> None:
    tensors = [Tensor(np.zeros(n)) for n in (100_000, 50, 1)]

    @autodiff.compile
    def step(x: Any) -> Any:
        for w in tensors:
            w.assign(w.value + x)
        return x

    step(1.0)
    stop = threading.Event()

    def replay() -> None:
        while not stop.is_set():
            step(1.0)

    thread = threading.Thread(target=replay)
    thread.start()
    try:
        last = [0.0] * 3
        for _ in range(200):
            for i, w in enumerate(tensors):
                value = w.value
                assert value.min() == value.max()
                assert value[0] >= last[i]
                last[i] = float(value[0])
    finally:
        stop.set()
        thread.join()


def test_no_warning_of_ours_in_any_of_this() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step = autodiff.compile(lambda x: x + 1.0)
        for n in range(10):
            step(np.ones(n))
