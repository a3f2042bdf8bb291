"""Pictures: every node once, every edge checked, wait sets shown."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from pictures import BOX, arrows, boxes, frames, labels, lstm, tensor, the_arrow

import autodiff
from autodiff import draw, nn
from autodiff.draw import dot, svg
from autodiff.errors import GradientError

# ---- what is drawn --------------------------------------------------------------------


def test_shared_nodes_are_drawn_once():
    w = tensor(2, 2, name="shared.w")
    x = tensor(1, 2, name="x one", constant=True)
    y = (x @ w) @ w
    text = dot(y * y)
    assert labels(text) == ["matmul", "matmul", r"multiply\n(1, 2)", "shared.w", "x one"]
    assert len(arrows(text)) == 6
    assert sum(a == "shared.w" for a, _, _ in arrows(text)) == 2
    assert text.startswith("digraph autodiff {\n")
    assert text.endswith("}\n")
    assert the_arrow(text, "x one", "matmul") == 'label="(1, 2)"'
    assert f'fillcolor="{draw.PARAMETER}"' in next(o for _, n, o in BOX.findall(text) if "w" in n)
    assert f'fillcolor="{draw.CONSTANT}"' in next(o for _, n, o in BOX.findall(text) if "one" in n)


def test_several_roots_and_options():
    x = tensor(3, name="x")
    a, b = autodiff.exp(x), autodiff.tanh(x)
    text = dot(a, b, shapes=False, direction="LR")
    assert labels(text) == ["exp", "tanh", "x"]
    assert "rankdir=LR" in text
    assert "(3,)" not in text
    assert a.graph() == dot(a)
    with pytest.raises(ValueError, match="direction 'up'"):
        dot(a, direction="up")


def test_attributes_and_names():
    x = tensor(2, 3, name="x")
    total = autodiff.sum(x, axis=(0,), keepdims=True)
    total = nn.module.name_node(total, "column sums")
    assert labels(dot(total)) == [r"sum(axis=(0,), keepdims=True)\ncolumn sums\n(1, 3)", "x"]
    long = x[0:1, None, 0:3:2, None, None, None]
    assert any("…" in label and len(label) < 70 for label in labels(dot(long)))


AWKWARD = [
    'a "b" c', "back\\slash \\N", "a\nb", "a&lt;b", "<b>x</b>", "{x|y}", "\x00\x1b", "Größe µ",
    'end\\"]; n0 -> n0 [', "\ud800", "a -> b; //", "",
]  # fmt: skip


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_names(name):
    x = autodiff.Tensor(1.0, name=name)
    text = dot(autodiff.exp(x))
    assert len(boxes(text)) == 2
    assert len(arrows(text)) == 1
    text.encode()
    if shutil.which("dot"):
        done = subprocess.run(
            ["dot", "-Tsvg"], input=text.encode(), capture_output=True, check=True
        )
        assert done.stderr == b""
        shown = [t.text for t in ElementTree.fromstring(done.stdout).iter() if "text" in t.tag]
        name = name.encode("utf-8", "replace").decode() if name else x.name
        expected = re.sub(r"[\x00-\x09\x0b-\x1f]", "\ufffd", name).split("\n")
        words = " ".join(" ".join(shown).split())
        assert " ".join(" ".join(expected).split()) in words


def test_long_chains_need_no_recursion():
    y = autodiff.Tensor(1.0)
    for _ in range(20_000):
        y = autodiff.sin(y)
    assert dot(y).count("->") == 20_000
    assert frames(dot(y, fold=True)) == [20_000]


# ---- every connection is checked ------------------------------------------------------


def small():
    x, c = tensor(2, name="weights"), tensor(2, constant=True)
    return x, c, x * c


def test_sound_graphs_pass():
    x, _, y = small()
    dot(y + y, autodiff.stop_gradient(x) + 1.0)
    del y
    dot(x)


@pytest.mark.parametrize("which", [0, 1])
def test_an_edge_lost_at_the_node_read(which):
    *leaves, y = small()
    leaves[which]._parents.clear()
    leaves[which]._readers.clear()
    with pytest.raises(GradientError, match=rf"to input {which} of node .* does not list it"):
        dot(y)


def test_an_edge_lost_at_the_reader():
    _, _, y = small()
    y._edges = (None, None)
    with pytest.raises(GradientError, match=r"'weights.* to input 0 .* the reader does not"):
        dot(y)


def test_an_edge_that_nobody_reads_along():
    x, c, y = small()
    z = y + y
    z._edges[0].position = 1
    with pytest.raises(GradientError, match="is broken"):
        dot(z)
    other = autodiff.exp(x)
    c._readers.add(other._edges[0])
    with pytest.raises(GradientError, match="to input 0 of node 'exp"):
        dot(y)


def test_an_edge_twice():
    _, c, y = small()
    c._readers.add(graph_edge(y, 1))
    with pytest.raises(GradientError, match="is broken"):
        dot(y)


def graph_edge(reader, position):
    from autodiff.graph.node import Edge

    return Edge(reader, lambda _: None, position)


# ---- wait sets ------------------------------------------------------------------------


def half_finished():
    x = tensor(1, 2, name="x")
    h = autodiff.tanh(x)
    first, second = h.sum(), (h * h).sum()
    return x, h, first, second


def test_no_state_without_a_pass():
    _, _, first, second = half_finished()
    assert "gradient" not in dot(first, second)
    assert "green" in dot(first, second, gradients=True)


def test_a_half_finished_pass():
    _, h, first, second = half_finished()
    h.register("KL term")
    first.forward()
    first.backward()
    text = dot(first, second)
    assert r"tanh\n1 sent, 3 awaited" in labels(text)
    assert r"sum(axis=(0, 1))\n()\ngradient complete" in labels(text)
    assert draw.SENT in the_arrow(text, "tanh", "sum")
    awaited = [o for a, b, o in arrows(text) if a.startswith("tanh") and b.startswith("multiply")]
    assert len(awaited) == 2
    assert all(draw.AWAITED in o and "dashed" in o for o in awaited)
    outside = the_arrow(text, "tanh", r"from outside\nKL term")
    assert "awaited" in outside
    assert draw.AWAITED not in the_arrow(text, "x", "tanh")
    assert "gradients: green is" in text
    assert "gradient" not in dot(first, second, gradients=False)

    h.backward(np.ones((1, 2)), sender="KL term")
    text = dot(first, second)
    assert r"tanh\n2 sent, 2 awaited" in labels(text)
    assert "sent" in the_arrow(text, "tanh", r"from outside\nKL term")

    second.forward()
    second.backward()
    assert "gradient" not in dot(first, second)
    text = dot(first, second, gradients=True)
    assert r"tanh\ngradient complete" in labels(text)
    assert r"x\ngradient complete" in labels(text)
    assert draw.AWAITED not in text


def test_who_is_awaited_is_drawn_even_outside():
    _, _, first, second = half_finished()
    h2 = second.inputs[0]
    first.backward()
    text = dot(first)
    assert [label for label in labels(text) if label.startswith("multiply")] == [
        rf"multiply\n{h2.name}"
    ]
    assert sum(b.startswith("multiply") for _, b, _ in arrows(text)) == 2


def test_constants_in_a_pass():
    x, c = tensor(2, name="x"), tensor(2, constant=True, name="fixed")
    y = x * c
    y.sum().backward()
    text = dot(y, gradients=True)
    assert "fixed" in labels(text)
    assert draw.NO_GRADIENT in the_arrow(text, "fixed", "multiply")
    assert draw.SENT in the_arrow(text, "x", "multiply")


# ---- SVG ------------------------------------------------------------------------------


needs_graphviz = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")


@needs_graphviz
def test_svg():
    pytest.importorskip("graphviz")
    h = lstm(3)
    picture = svg(h, fold=True)
    root = ElementTree.fromstring(picture)
    assert root.tag.endswith("svg")
    assert "× 3" in picture
    assert h._repr_svg_() == svg(h)
    assert "× 3" not in svg(h)
    assert "× 3" in svg(h, limit=80)
    assert svg(h, limit=10) is None


def test_no_svg_without_graphviz(monkeypatch):
    x = tensor(2)

    class NotFound(Exception):
        pass

    class Graphviz:
        ExecutableNotFound = NotFound

        class Source:
            def __init__(self, text):
                assert text.startswith("digraph")

            def pipe(self, **options):
                raise NotFound

    monkeypatch.setattr(draw.importlib, "import_module", lambda name: Graphviz)
    assert svg(x) is None

    def refuse(name):
        raise ImportError(name)

    monkeypatch.setattr(draw.importlib, "import_module", refuse)
    assert svg(x) is None
    assert x._repr_svg_() is None
