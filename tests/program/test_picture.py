"""The picture of a program, and profiles by node."""

from __future__ import annotations

import re

import numpy as np
import pytest

import autodiff
from autodiff import Tensor, nn, optim


def _step():
    net = nn.FeedForward(3, 2, autodiff.tanh, random=0)
    optimiser = optim.SGD(net, 0.1)

    @autodiff.compile
    def step(x, y):
        loss = nn.squared_error(net(x), y)
        autodiff.backward(loss)
        optimiser.step()
        return loss

    return step, net


def test_every_instruction_is_a_box_and_every_tensor_an_ellipse() -> None:
    x, y = np.ones((4, 3)), np.zeros((4, 2))
    step, net = _step()
    code = step.recording(x, y).code
    text = step.graph(x, y)
    boxes = re.findall(r"^  i(\d+) \[label", text, re.MULTILINE)
    assert boxes == [str(i) for i in range(len(code.instructions))]
    given = re.findall(r"^  g\d+ \[label=\"(\S+?)\\n", text, re.MULTILINE)
    assert {"argument0", "argument1", net.W.name, net.b.name} <= set(given)
    arrows = set(re.findall(r"^  (\w+) -> (\w+);", text, re.MULTILINE))
    assert all(a.startswith("g") or int(a[1:]) < int(b[1:]) for a, b in arrows)
    assert text.count("penwidth") == 2  # the two parameters are written


def test_quotes_and_backslashes_in_names_do_not_break_the_text() -> None:
    w = Tensor([1.0], name='a "quoted" \\ name')
    step = autodiff.compile(lambda x: w * x)
    assert '\\"quoted\\" \\\\ name' in step.graph([2.0])


def test_profiles_by_instruction_and_by_node_count_the_same_time() -> None:
    x, y = np.ones((64, 3)), np.zeros((64, 2))
    step, net = _step()
    lines = step.profile(x, y, repeats=3)
    listed = step.program(x, y).splitlines()[4:]
    assert [text for _, text in lines] == [line.lstrip(" 0123456789") for line in listed]
    nodes = step.profile(x, y, repeats=3, by="node")
    assert net.W.name in {name for _, name in nodes}
    assert [t for t, _ in nodes] == sorted((t for t, _ in nodes), reverse=True)
    with pytest.raises(ValueError, match="by must be"):
        step.profile(x, y, by="colour")
