"""An observer is told of every step of the passes of its own thread."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import autodiff
from autodiff import Node, Tensor
from autodiff.graph.observer import Watching, current_observer, observe


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
