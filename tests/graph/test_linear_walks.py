"""Nothing recurses, and every walk of a graph is linear in its size."""

from __future__ import annotations

from typing import Any

import pytest

import autodiff
from autodiff import Node, Tensor
from autodiff.graph.order import ancestors
from autodiff.graph.state import State


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
        slot = State.__dict__["inputs"]

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


def test_losses_that_push_one_by_one_walk_what_they_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visits = Visits(monkeypatch)

    def counted(n: int) -> int:
        x = Tensor(0.5)
        h = diamonds(20, x)
        losses = [h * float(k) for k in range(n)]
        for loss in losses:
            loss.forward()
        for loss in losses:
            loss.register("outside")  # so that it waits
        before = visits.number
        for loss in losses:
            loss.backward(sender="outside")
        assert x.has_gradient
        return visits.number - before

    assert counted(200) - counted(100) < 100 * 5


def test_a_long_chain_that_waits() -> None:
    x = Tensor(1.0)
    y = chain(20_000, x)
    x.register("outside")
    y.backward()
    x.backward(1.0, sender="outside")
    assert x.gradient == 2.0
