"""Pictures of a graph: :func:`dot` writes DOT text, :func:`svg` renders it where it can.

Every node is drawn once, so a shared weight is one box with many arrows. Arrows are the edges
of the graph, in the direction of the forward pass, and carry the shape of what goes
along. In a backward pass, colours show the wait sets: what has been sent and who is
awaited. Writing DOT needs nothing; rendering needs Graphviz.

Folding (``fold=True``) finds steps that a loop of the program repeated, as ``unroll`` does, and
draws them once, in a frame labelled "× 5"; how is told in :mod:`autodiff.fold`.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from autodiff.errors import GradientError
from autodiff.fold import Place, repeats
from autodiff.graph.node import Node
from autodiff.graph.order import ancestors
from autodiff.graph.several import is_hub
from autodiff.graph.state import State
from autodiff.op import OUTPUT_OF

__all__ = ["dot", "svg"]

# Colours that stay apart for most colour-blind readers; state is also written out.
PARAMETER, CONSTANT, COMPUTED = "#d6e6f5", "#eeeeee", "#ffffff"
COMPLETE, WAITING = "#c9e8c4", "#ffd9a0"
SENT, AWAITED, IDLE, NO_GRADIENT = "#1f7a1f", "#d96b00", "#555555", "#aaaaaa"

_HEAD = """\
digraph autodiff {
  graph [fontname="Helvetica", fontsize=11, rankdir=%s, ranksep=0.35, nodesep=0.25];
  node [fontname="Helvetica", fontsize=11, shape=box, style="rounded,filled", \
color="#555555", margin="0.1,0.04", height=0.3];
  edge [fontname="Helvetica", fontsize=9, color="#555555", fontcolor="#555555", arrowsize=0.6];
"""
_LEGEND = "gradients: green is complete or sent, orange is incomplete or awaited"


def dot(
    *nodes: Node,
    fold: bool = False,
    gradients: bool | None = None,
    shapes: bool = True,
    direction: str = "TB",
) -> str:
    """The graph below `nodes` as DOT text; every connection is checked on the way.

    Parameters
    ----------
    nodes : what to draw, with all that it is computed from.
    fold : draw repeated steps once, in a frame that says how often; see :mod:`autodiff.fold`.
    gradients : draw the state of the backward pass: which gradients are complete, which were
        sent along which edge, which nodes are awaited (also those that are not below
        `nodes`, dashed) and which outside senders. By default if a pass is half finished.
    shapes : write shapes on the arrows.
    direction : where arrows point: "TB" down, "BT" up, "LR" right.

    Raises
    ------
    GradientError
        If an edge is not known on both sides, so that gradients would be lost.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.Tensor([[1.0, 2.0]], name="x")
    >>> text = dot(autodiff.tanh(x * x))
    >>> print("\\n".join(line for line in text.splitlines() if "->" in line))
      n0 -> n1 [label="(1, 2)"];
      n0 -> n1 [label="(1, 2)"];
      n1 -> n2 [label="(1, 2)"];
    """
    if direction not in ("TB", "BT", "LR", "RL"):
        raise ValueError(f"dot: direction {direction!r} is not TB, BT, LR or RL")
    order = ancestors(nodes)
    _check_connections(order)
    if gradients is None:
        gradients = any(node.awaited > 0 for node in order)
    places, counts = repeats(order) if fold else ({}, [])
    return _Picture(order, places, counts, gradients, shapes).text(direction)


def svg(*nodes: Node, limit: int = 1000, **options: Any) -> str | None:
    """The picture as SVG, or None if it cannot be made here.

    It needs the Python package `graphviz` (``pip install autodiff[graphviz]``) and Graphviz itself
    (its program ``dot``), whose layout takes long for large graphs: a graph with more than
    `limit` boxes and arrows is folded, and if that does not help, there is no picture.
    Notebooks call this to show a node.

    Parameters
    ----------
    nodes, options : as for :func:`dot`.
    """
    try:
        graphviz = importlib.import_module("graphviz")
    except ImportError:
        return None
    text = dot(*nodes, **options)
    if text.count("\n") > limit:
        text = dot(*nodes, **{**options, "fold": True})
        if text.count("\n") > limit:
            return None
    try:
        return str(graphviz.Source(text).pipe(format="svg", encoding="utf-8"))
    except graphviz.ExecutableNotFound:
        return None


# ---- connections ----------------------------------------------------------------------


def _check_connections(order: Sequence[Node]) -> None:
    """Every reader is known to the node that it reads, and reads it."""
    listed: set[tuple[int, int]] = set()
    reads: dict[State, set[int]] = {}
    for x in order:
        for reader in x.readers():
            if reader not in reads:
                reads[reader] = set(map(id, reader.inputs))
            if id(x) not in reads[reader]:
                raise _broken(reader, x, "the node read lists it, the reader does not")
            listed.add((id(x), id(reader)))
    for reader in order:
        for x in reader.inputs:
            if (id(x), id(reader)) not in listed:
                raise _broken(reader, x, "the reader has it, the node read does not list it")


def _broken(reader: State, x: State, why: str) -> GradientError:
    return GradientError(
        f"the edge from {x.describe()} to {reader.describe()} is broken: {why}; gradients would be "
        "lost"
    )


# ---- the picture ----------------------------------------------------------------------


@dataclass
class _Box:
    """A node, or the nodes that play one role in all steps of a repetition."""

    number: int
    frame: int | None
    nodes: list[Node] = field(default_factory=list)


@dataclass
class _Arrow:
    """The edges between two boxes that go to the same input, `lag` steps on."""

    source: _Box
    target: _Box
    lag: int
    uses: list[tuple[Node, Node, int]] = field(default_factory=list)  # node, reader, input


class _Picture:
    def __init__(
        self,
        order: Sequence[Node],
        places: dict[Node, Place],
        counts: list[int],
        gradients: bool,
        shapes: bool,
    ) -> None:
        self.order = order
        self.drawn = set(order)
        self.places = places
        self.counts = counts  # how often each repetition repeats
        self.gradients = gradients
        self.shapes = shapes
        self.boxes: dict[Any, _Box] = {}
        self.arrows: dict[Any, _Arrow] = {}
        self.ghosts: dict[Node | str, str] = {}
        for node in order:
            self._box(node).nodes.append(node)
        for box in self.boxes.values():
            if box.frame is not None:
                box.nodes.sort(key=lambda node: places[node].step)
        for reader in order:
            for i, x in enumerate(reader.inputs):
                self._arrow(x, reader, i).uses.append((x, reader, i))

    def _box(self, node: Node) -> _Box:
        place = self.places.get(node)
        key = node if place is None else (place.repeat, place.role)
        if key not in self.boxes:
            self.boxes[key] = _Box(len(self.boxes), None if place is None else place.repeat)
        return self.boxes[key]

    def _arrow(self, x: Node, reader: Node, i: int) -> _Arrow:
        source, target = self._box(x), self._box(reader)
        lag = 0
        if source.frame is not None and source.frame == target.frame and x.op is not None:
            lag = self.places[reader].step - self.places[x].step
        key = (source.number, target.number, i)
        if key not in self.arrows:
            self.arrows[key] = _Arrow(source, target, lag)
        return self.arrows[key]

    def text(self, direction: str) -> str:
        lines = [_HEAD % direction]
        frames: dict[int, list[str]] = {}
        read = {arrow.source.number for arrow in self.arrows.values()}
        for box in self.boxes.values():
            line = self._box_line(box, box.number in read)
            if box.frame is None:
                lines.append(line)
            else:
                frames.setdefault(box.frame, []).append("  " + line)
        for frame, members in frames.items():
            lines.append(
                f"  subgraph cluster_{frame} {{\n"
                f'    label="× {self.counts[frame]}"; labeljust=r; fontsize=14; style="rounded"; '
                f'color="#555555"; bgcolor="#fafafa";\n'
            )
            lines += [*members, "  }\n"]
        lines += [self._arrow_line(arrow) for arrow in self.arrows.values()]
        if self.gradients:
            for node in self.order:
                lines += self._outside(node)
            lines.append(f"  label={_quoted(_LEGEND)};\n")
        return "".join([*lines, "}\n"])

    # ---- boxes ------------------------------------------------------------------------

    def _box_line(self, box: _Box, is_read: bool) -> str:
        first = box.nodes[0]
        label = [_title(box.nodes)]
        names = list(dict.fromkeys(n.name for n in box.nodes if first.op is None or n.given_name))
        if names:
            several = f" … {_number_of(names[-1])}" if len(names) > 1 else ""
            label = [names[0] + several] if first.op is None else [*label, names[0] + several]
        if box.frame is not None and len(box.nodes) != self.counts[box.frame]:
            label[0] += f"  × {len(box.nodes)}"
        if not is_read and self.shapes:
            label.append(str(first.shape))
        colour = COMPUTED if first.op else PARAMETER if first.needs_gradient else CONSTANT
        if self.gradients:
            state, colour = self._state(box.nodes, colour)
            label += state
        options = f"label={_quoted(*label)}, fillcolor={_quoted(colour)}"
        if first.op is None:
            options += ', style="filled"'
        file, line = first.where
        return f"  n{box.number} [{options}, tooltip={_quoted(f'{first.name} ({file}:{line})')}];\n"

    def _state(self, nodes: Sequence[Node], colour: str) -> tuple[list[str], str]:
        """What is written on a box about its gradient, and its colour."""
        nodes = [n for n in nodes if n.needs_gradient]
        if not nodes:
            return [], colour
        complete = sum(n.awaited == 0 for n in nodes)
        if complete == len(nodes):
            return ["gradient complete"], COMPLETE
        if len(nodes) > 1:
            started = any(n.awaited >= 0 for n in nodes)
            state = f"{complete} of {len(nodes)} gradients complete"
            return ([state], WAITING) if started else ([], colour)
        if nodes[0].awaited < 0:
            return [], colour
        sent = sum(reader.has_sent_to(nodes[0]) for reader, _ in nodes[0].uses(wanted=True))
        sent += sum(last == nodes[0].begun for last in nodes[0].senders.values())
        return [f"{sent} sent, {nodes[0].awaited} awaited"], WAITING

    # ---- arrows -----------------------------------------------------------------------

    def _arrow_line(self, arrow: _Arrow) -> str:
        x = arrow.uses[0][0]
        shape = arrow.uses[0][1].shape if is_hub(x) else x.shape
        label = [str(shape)] if self.shapes else []
        options = []
        if arrow.lag:
            steps = "step" if arrow.lag == 1 else f"{arrow.lag} steps"
            label.append(f"to the next {steps}")
            options.append("constraint=false, penwidth=1.6")
        else:
            label += self._which_steps(arrow)
        states = Counter(_state_of_edge(*use) for use in arrow.uses)
        if self.gradients:
            if len(states) > 1:
                label.append(", ".join(f"{n} {what}" for what, n in sorted(states.items())))
            what = "awaited" if states["awaited"] else max(states, key=lambda s: states[s])
            colour = {"awaited": AWAITED, "sent": SENT, "constant": NO_GRADIENT}.get(what, IDLE)
            options.append(f'color="{colour}", fontcolor="{colour}"')
            if what == "awaited":
                options.append("style=dashed")
            if what in ("awaited", "sent"):
                options.append("penwidth=1.6")
        text = [f"label={_quoted(*label)}"] if label else []
        return (
            f"  n{arrow.source.number} -> n{arrow.target.number} [{', '.join(text + options)}];\n"
        )

    def _which_steps(self, arrow: _Arrow) -> list[str]:
        """Which steps an arrow into or out of a frame belongs to, if not to all."""
        into = arrow.target.frame is not None
        box = arrow.target if into else arrow.source
        if box.frame is None:
            return []
        ends = {reader if into else x for x, reader, _ in arrow.uses}
        numbers = sorted({self.places[end].step + 1 for end in ends})
        if len(numbers) == len(box.nodes):
            return ["in reverse"] if self._is_reverse(arrow) else []
        low, high = numbers[0], numbers[-1]
        if low == high:
            last = low == len(box.nodes)
            return ["first step" if low == 1 else "last step" if last else f"step {low}"]
        whole = high - low + 1 == len(numbers)
        return [f"steps {low} … {high}" if whole else f"{len(numbers)} of the steps"]

    def _is_reverse(self, arrow: _Arrow) -> bool:
        """Whether later steps of one frame read earlier steps of another."""
        if arrow.source.frame is None or arrow.target.frame is None or len(arrow.uses) < 2:
            return False
        pairs = sorted((self.places[r].step, self.places[x].step) for x, r, _ in arrow.uses)
        return pairs[0][1] > pairs[-1][1]

    # ---- who is awaited, but not drawn ------------------------------------------------

    def _outside(self, node: Node) -> list[str]:
        lines: list[str] = []
        box = self._box(node)
        if node.awaited > 0:
            for reader, _ in node.waiting_for:
                if reader not in self.drawn:
                    ghost = self._ghost(reader, lines, f"{_title([reader])}", reader.name)
                    lines.append(f"  n{box.number} -> {ghost} [{_outside_style(False)}];\n")
        for sender, sent in node.senders.items():
            ghost = self._ghost(f"{node.name}\0{sender}", lines, "from outside", sender)
            done = node.awaited >= 0 and sent == node.begun
            lines.append(f"  n{box.number} -> {ghost} [{_outside_style(done)}];\n")
        return lines

    def _ghost(self, key: Node | str, lines: list[str], *label: str) -> str:
        if key not in self.ghosts:
            self.ghosts[key] = f"outside{len(self.ghosts)}"
            lines.append(
                f'  {self.ghosts[key]} [label={_quoted(*label)}, style="rounded,dashed"];\n'
            )
        return self.ghosts[key]


def _outside_style(sent: bool) -> str:
    what, colour = ("sent", SENT) if sent else ("awaited", AWAITED)
    line = "solid" if sent else "dashed"
    return f'label="{what}", color="{colour}", fontcolor="{colour}", style={line}, penwidth=1.6'


def _state_of_edge(x: Node, reader: Node, i: int) -> str:
    if not reader.needed[i]:
        return "constant"
    if x.awaited >= 0 and reader.has_sent_to(x):
        return "sent"
    return "awaited" if x.awaited > 0 else "not begun"


def _title(nodes: Sequence[Node]) -> str:
    """Op and attributes; attributes that are not the same for all nodes are left out."""
    first = nodes[0].op
    if first is None:
        return "tensor"
    if first.op is OUTPUT_OF:
        return nodes[0].typename
    same = {
        k: v
        for k, v in first.attributes.items()
        if all(n.op is not None and n.op.attributes.get(k) == v for n in nodes)
    }
    shown = [f"{k}={v}" for k, v in same.items() if v is not False]
    text = ", ".join(shown if len(same) == len(first.attributes) else [*shown, "…"])
    return f"{first.name}({_shortened(text)})" if text else first.name


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else text[:38] + " …"


def _number_of(name: str) -> str:
    """The end of a name that tells it from its siblings: [4] of h[4]."""
    found = re.search(r"[\[#.]\d+\]?$", name)
    return found.group() if found else name


def _quoted(*lines: str) -> str:
    """Lines of text as one DOT string."""
    text = "\n".join(lines).encode("utf-8", "replace").decode("utf-8")
    text = text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    text = text.replace("\n", "\\n")
    return '"' + "".join(c if c >= " " else "\ufffd" for c in text) + '"'
