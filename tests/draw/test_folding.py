"""Pictures of repeated steps: each repetition is drawn once, and only what was repeated is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import arrows, boxes, frames, labels, lstm, tensor, the_arrow

import autodiff
from autodiff import draw
from autodiff.draw import dot
from autodiff.fold import repeats
from autodiff.graph.order import ancestors


def test_an_unrolled_lstm_is_one_step():
    h = lstm(5)
    text = dot(autodiff.square(h).sum(), fold=True)
    assert frames(text) == [5]
    assert len(boxes(text)) == 18 + 1 + 2 + 8 + 2  # a step, its input, h and c, weights, loss
    assert r"multiply\nh[0] … [4]" in labels(text)
    assert "to the next step" in the_arrow(text, r"multiply\nh[0]", "concat")
    assert "last step" in the_arrow(text, r"multiply\nh[0]", "square")
    assert "first step" in next(o for a, b, o in arrows(text) if "concat" in b and "(1, 3)" in o)
    assert the_arrow(text, "layer0.f.W", "matmul") == 'label="(5, 3)"'
    assert frames(dot(lstm(2), fold=True)) == [2]
    assert not frames(dot(lstm(1), fold=True))
    assert not frames(dot(h))


def test_two_layers_are_two_frames():
    text = dot(lstm(6, 2), fold=True)
    assert frames(text) == [6, 6]
    between = [o for a, b, o in arrows(text) if "h[0]" in a and "concat" in b]
    assert len(between) == 3
    assert sum("to the next step" in options for options in between) == 2
    assert 'label="(1, 3)"' in between  # from layer to layer, in all steps


def rnn(n_steps, tensors_of_steps=False):
    u, w, v = (tensor(3, 3, name=name) for name in "UWV")
    xs = tensor(n_steps, 1, 3, name="xs", constant=True)
    h, states = tensor(1, 3, name="start"), []
    for t in range(n_steps):
        x = tensor(1, 3, name=f"x[{t}]") if tensors_of_steps else xs[t]
        h = autodiff.tanh(x @ u + h @ w)
        states.append(h)
    return states, v


def test_slices_of_one_tensor():
    text = dot(rnn(7)[0][-1], fold=True)
    assert frames(text) == [7]
    assert "getitem(…)" in labels(text)
    assert "first step" in the_arrow(text, "start", "matmul")


def test_tensors_of_their_own():
    text = dot(rnn(7, True)[0][-1], fold=True)
    assert frames(text) == [7]
    assert "x[0] … [6]" in labels(text)
    assert len([a for a, _, _ in arrows(text) if a.startswith("x[0]")]) == 1


@pytest.mark.parametrize("reverse", [False, True])
def test_losses_in_a_loop_of_their_own(reverse):
    states, v = rnn(6)
    total = autodiff.Tensor(0.0, constant=True)
    for h in reversed(states) if reverse else states:
        total = total + autodiff.square(h @ v).sum()
    text = dot(total, fold=True)
    assert frames(text) == [6, 6]
    crossing = [o for a, b, o in arrows(text) if a == "tanh" and b == "matmul"]
    assert len(crossing) == 2
    assert ("in reverse" in "".join(crossing)) == reverse


def test_wait_sets_of_folded_steps():
    states, v = rnn(6)
    total = sum(autodiff.square(h @ v).sum() for h in states)
    total.forward()
    extra = states[2].sum()
    total.backward()
    text = dot(total, fold=True)
    assert r"tanh\n3 of 6 gradients complete" in labels(text)
    assert r"W\n3 sent, 3 awaited" in labels(text)
    assert "3 awaited, 3 sent" in the_arrow(text, "W", "matmul")
    assert "2 awaited, 3 sent" in next(o for a, b, o in arrows(text) if "to the next" in o)
    assert any(b == rf"sum(axis=(0, 1))\n{extra.name}" for _, b, _ in arrows(text))


def test_layers_are_not_steps():
    h = tensor(1, 3, constant=True)
    for i in range(5):
        h = autodiff.tanh(h @ tensor(3, 3, name=f"W{i}") + tensor(1, 3))
    assert not frames(dot(h, fold=True))


def test_different_ops_are_not_steps():
    x = tensor(3)
    y = x
    for function in (autodiff.sin, autodiff.cos, autodiff.exp, autodiff.tanh, autodiff.sqrt):
        y = function(y) * x
    assert not frames(dot(y, fold=True))
    for exponent in (3.0, 4.0, 5.0, 6.0):
        y = autodiff.power(y, exponent)
    assert not frames(dot(y, fold=True))


def test_wiring_is_compared():
    x, w = tensor(1, 3), tensor(3, 3, name="w")
    a = b = x
    for t in range(6):  # every second step crosses over: no two neighbours are alike
        a, b = autodiff.tanh(a @ w), autodiff.tanh(b @ w)
        if t % 2:
            a, b = b, a
    a = a + b
    check_soundness([a])


def check_soundness(roots):
    """Steps next to each other read corresponding nodes: said again, in another way."""
    order = ancestors(roots)
    places, counts = repeats(order)
    at = {(p.repeat, p.role, p.step): node for node, p in places.items()}
    assert len(at) == len(places)
    for (repeat, role, step), node in at.items():
        after = at.get((repeat, role, step + 1))
        if node.op is None:
            continue
        assert (after is None) == (step + 1 == counts[repeat])
        if after is None:
            continue
        assert (node.op.name, node.shape) == (after.op.name, after.shape)
        if node.op.name != "getitem":
            assert node.op.key() == after.op.key()
        for u, v in zip(node.inputs, after.inputs, strict=True):
            pu, pv = places.get(u), places.get(v)
            if u is v:
                assert pu is None or pu.repeat != repeat or u.op is None
            elif pu is not None and pv is not None and (pu.repeat, pu.role) == (pv.repeat, pv.role):
                assert abs(pu.step - pv.step) == 1
            else:  # the first reads what began the repetition
                assert pv is not None
                assert pv.repeat == repeat
                assert pv.step <= step
                assert pu is None or u.op is None or pu.repeat != repeat
    return counts


def random_loops(draw_from):
    """Roots of a graph that a few loops built, some steps of which are not like the others."""
    weights = [tensor(2, 2), tensor(2, 2, constant=True)]
    made = []  # for each loop, what its steps left
    own = [[tensor(2, 2, constant=c) for _ in range(7)] for c in (False, True)]
    for _ in range(draw_from(st.integers(1, 2))):
        sources = [*own, *made]
        reads = st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 8))
        body = draw_from(st.lists(reads, min_size=1, max_size=5))
        shift, sign = draw_from(st.integers(0, 2)), draw_from(st.sampled_from([1, 1, -1]))
        carried = [draw_from(st.sampled_from([*weights, *(x[0] for x in sources)]))]
        for t in range(draw_from(st.integers(1, 6))):
            local = list(weights)
            for k, source in enumerate(sources):
                local.append(source[sign * (t + shift * (k % 2)) % len(source)])
            local.append(carried[max(0, len(carried) - 1 - draw_from(st.integers(0, 11)) // 10)])
            for op, i, j in body:
                odd = draw_from(st.integers(0, 29))
                a, b = local[-1 - i % len(local)], local[-1 - (j + (odd == 0)) % len(local)]
                local.append((a + b, a @ b, autodiff.exp(a))[op if odd != 1 else 2 - op])
            carried.append(local[-1])
        made.append(carried)
    left = [node for carried in made for node in carried]
    chosen = draw_from(st.lists(st.sampled_from(left), min_size=1, max_size=2))
    return [*chosen, made[-1][-1]]


@given(data=st.data())
def test_what_is_folded_was_repeated(data):
    roots = random_loops(data.draw)
    check_soundness(roots)
    dot(*roots, fold=True)


def test_slices_must_have_the_same_shape():
    x = tensor(5, 2)
    assert frames(dot(x[0:2], x[2:4], fold=True)) == [2]
    assert not frames(dot(x[0:2], x[0:3], fold=True))


def test_a_first_step_without_gradient():
    u = tensor(1, 3, name="u")
    c = tensor(1, 3, constant=True)
    for _ in range(5):
        c = c * 0.5 + u
    total = c.sum()
    total.backward()
    text = dot(total, fold=True, gradients=True)
    assert frames(text) == [5]
    assert not [label for label in labels(text) if "of 5" in label or "of 4" in label]


def test_after_a_reset_nothing_is_sent():
    x = tensor(1, 2, name="x")
    total = autodiff.exp(x).sum()
    total.backward()
    total.reset()
    text = dot(total, gradients=True)
    assert draw.SENT not in text
    assert draw.AWAITED not in text


def test_soundness_of_the_usual_graphs():
    assert check_soundness([lstm(5)]) == [5]
    states, v = rnn(6)
    assert check_soundness([sum(autodiff.square(h @ v).sum() for h in states[::-1])])
    lag = [tensor(1, 3), tensor(1, 3)]
    for _ in range(6):
        lag.append(autodiff.tanh(lag[-2] @ v))
    assert check_soundness([lag[-1] + lag[-2]])
    fixed = tensor(1, 3)
    first = h = autodiff.tanh(fixed @ v)
    for _ in range(6):  # all steps read what the first made
        h = autodiff.tanh(h @ v + first)
    assert check_soundness([h]) == [6]
