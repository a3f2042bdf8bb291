"""Repeated steps: what is called a repetition is one, rule by rule.

The search proposes and `holds` decides, so its rules are tested here alone. Whole graphs
are folded in draw/test_folding.py.
"""

from __future__ import annotations

import numpy as np
import pytest

import autodiff
from autodiff.fold import Place, _Finder, _Match, repeats
from autodiff.graph.order import ancestors


def leaf(constant=True):
    return autodiff.Tensor(np.full((2, 2), 0.5), constant=constant)


def holds(nodes, p, count, first=0, places=None):
    """Whether `nodes`, in the order in which they were made, are `count` steps of p nodes."""
    finder = _Finder(ancestors(nodes))
    start = finder.position[nodes[0]]
    finder.places.update(places or {})
    return _Match(finder, p, start + first, count).holds()


def f(*inputs):
    return inputs[0] + inputs[-1]


def test_two_steps_at_least():
    n0 = f(leaf())
    assert not holds([n0], 1, 1)


def test_the_step_before():
    n0 = f(leaf())
    n1 = f(n0)
    n2 = f(n1)
    assert holds([n0, n1, n2], 1, 3)


def test_what_was_made_before_may_be_read_by_all():
    n0 = f(leaf())
    n1, n2 = f(n0), f(n0)
    assert holds([n0, n1, n2], 1, 2, first=1)
    assert not holds([n0, n1, n2], 1, 3)  # n0 is a step itself


def test_what_begins_is_read_by_the_first_step_only():
    a, b = leaf(), leaf()
    n0 = f(a)
    n1 = f(b)
    n2 = f(n1)
    assert holds([n0, n1], 1, 2)
    assert not holds([n0, n1, n2], 1, 3)


def test_what_begins_is_one_for_each():
    def steps(a, b):
        n0, n1 = f(a), f(b)
        n2, n3 = f(n1), f(n1)
        return [n0, n1, n2, n3]

    a, b = leaf(), leaf()
    assert holds(steps(a, a), 2, 2)
    assert not holds(steps(a, b), 2, 2)


def test_corresponding_nodes_of_the_steps_are_read():
    a = leaf()

    def steps(crossed):
        n0 = f(a)
        n1 = f(n0)
        n2 = f(a)
        n3 = f(n1 if crossed else n2)
        return [n0, n1, n2, n3]

    assert holds(steps(False), 2, 2)
    assert not holds(steps(True), 2, 2)


def test_what_begins_is_not_made_by_the_steps():
    a = leaf()
    n0 = f(a)
    n1 = f(n0)
    n2 = f(a)
    n3 = f(n1)  # reads the step before, where n1 reads its own
    assert not holds([n0, n1, n2, n3], 2, 2)


@pytest.mark.parametrize(
    ("later", "expected"),
    [((0, 0, 1), True), ((0, 0, 2), False), ((0, 1, 1), False), ((1, 0, 1), False), (None, False)],
)
@pytest.mark.parametrize("computed", [False, True])
def test_steps_of_another_repetition(later, expected, computed):
    u, v = leaf(), leaf()
    if computed:
        u, v = f(u), f(v)
    n0, n1 = f(u), f(v)
    places = {u: Place(0, 0, 0)}
    if later is not None:
        places[v] = Place(*later)
    assert holds([n0, n1], 1, 2, places=places) == expected


def test_computed_nodes_made_before_do_not_correspond():
    u, v = f(leaf()), f(leaf())
    assert not holds([f(u), f(v)], 1, 2)


def test_a_tensor_and_a_node_do_not_correspond():
    u, v = f(leaf()), leaf()
    assert not holds([f(u), f(v)], 1, 2)
    assert not holds([f(v), f(u)], 1, 2)


def test_tensors_of_the_steps_are_one_to_one():
    a, b, c, d = (leaf() for _ in range(4))
    assert holds([f(a), f(b), f(c), f(d)], 2, 2)
    assert not holds([f(a), f(a), f(c), f(d)], 2, 2)
    assert not holds([f(a), f(b), f(c), f(c)], 2, 2)
    assert holds([f(a), f(b), f(c)], 1, 3)
    assert not holds([f(a), f(b), f(a)], 1, 3)
    assert not holds([f(a), f(b), f(c), f(b)], 1, 4)  # a -> b -> c -> b


def test_a_tensor_is_either_shared_or_a_steps_own():
    a, w = leaf(), leaf()
    assert holds([f(w, w), f(w, w)], 1, 2)
    assert not holds([f(w, w), f(w, a)], 1, 2)


def test_constants_and_parameters_do_not_correspond():
    w = leaf(constant=False)
    assert not holds([f(leaf(), w), f(leaf(constant=False), w)], 1, 2)


def test_layers_are_not_steps():
    def own():
        return leaf(constant=False)

    w, c = leaf(constant=False), leaf()
    assert not holds([f(own()), f(own())], 1, 2)
    assert holds([f(own(), w), f(own(), w)], 1, 2)
    assert not holds([f(own(), c), f(own(), c)], 1, 2)


# ---- the search -----------------------------------------------------------------------


def test_steps_of_like_parts_are_told_apart_by_their_weights():
    a, b = leaf(constant=False), leaf(constant=False)
    h = leaf()
    for _ in range(6):
        h = autodiff.tanh(autodiff.tanh(h @ a) @ b)
    places, counts = repeats(ancestors([h]))
    assert counts == [6]
    assert len({place.role for place in places.values()}) == 4


def test_steps_of_like_parts_are_told_apart_by_their_order():
    h = leaf()
    sin, cos, exp = autodiff.sin, autodiff.cos, autodiff.exp
    for _ in range(6):
        for function in (sin, cos, sin, exp, exp, cos):
            h = function(h)
    places, counts = repeats(ancestors([h]))
    assert counts == [6]
    assert len({place.role for place in places.values()}) == 6


@pytest.mark.parametrize("n_steps", [2, 3, 6])
def test_what_began_may_look_like_a_part_of_a_step(n_steps):
    v, x = leaf(constant=False), leaf()
    first = h = autodiff.tanh(x @ v)
    for _ in range(n_steps):
        h = autodiff.tanh(h @ v + first)
    places, counts = repeats(ancestors([h]))
    assert counts == [n_steps]
    assert first not in places


def test_nodes_like_a_step_just_before_the_first():
    v, x, y, h = leaf(constant=False), leaf(), leaf(), leaf()
    before = [x @ v, autodiff.tanh(y)]
    for _ in range(6):
        h = autodiff.tanh(h @ v)
    places, counts = repeats(ancestors([h, *before]))
    assert counts == [6]
    assert places.keys().isdisjoint(before)


def test_no_nodes():
    assert repeats([]) == ({}, [])
    assert repeats(ancestors([leaf()])) == ({}, [])
