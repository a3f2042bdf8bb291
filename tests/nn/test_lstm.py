import numpy as np
import pytest
from numerics import complex_step

import autodiff
from autodiff import Tensor, concat
from autodiff.graph.order import ancestors
from autodiff.nn import LSTM, lstm_cell, unroll
from autodiff.nn.initialisers import truncated_normal

N_IN, N_HIDDEN = 2, 3


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def plain_step(x, h, c, wf, bf, wi, bi, wo, bo, wg, bg):
    z = np.concatenate([x, h], axis=1)
    f, i, o = sigmoid(z @ wf + bf), sigmoid(z @ wi + bi), sigmoid(z @ wo + bo)
    c = f * c + i * np.tanh(z @ wg + bg)
    return o * np.tanh(c), c


def plain_unroll(xs, h, c, *weights):
    """All hidden states, then the last cell state, stacked: shape (T + 1, B, H)."""
    outputs = []
    for x in xs:
        h, c = plain_step(x, h, c, *weights)
        outputs.append(h)
    return np.stack([*outputs, c])


def draw(rng, n_steps, n_batch):
    xs = rng.normal(size=(n_steps, n_batch, N_IN))
    h, c = rng.normal(size=(2, n_batch, N_HIDDEN))
    weights = []
    for _ in range(4):
        weights += [rng.normal(size=(N_IN + N_HIDDEN, N_HIDDEN)), rng.normal(size=(1, N_HIDDEN))]
    return [xs, h, c, *weights]


@pytest.mark.parametrize("n_batch", [1, 3])
@pytest.mark.parametrize("n_steps", [1, 2, 5])
def test_unrolled_cell_against_numpy_and_complex_step(backend, rng, n_steps, n_batch):
    arrays = draw(rng, n_steps, n_batch)
    xs = [Tensor(x) for x in arrays[0]]
    h, c, *weights = (Tensor(a) for a in arrays[1:])
    outputs, (last_h, last_c) = unroll(lambda *state: lstm_cell(*state, *weights), xs, h, c)
    assert len(outputs) == n_steps
    assert outputs[-1] is last_h

    expected = plain_unroll(*arrays)
    for node, plain in zip([*outputs, last_c], expected, strict=True):
        np.testing.assert_allclose(node.value, plain, rtol=1e-12)

    weight = rng.normal(size=expected.shape)
    autodiff.backward(dict(zip([*outputs, last_c], weight, strict=True)))
    actual = [np.stack([x.gradient for x in xs]), *(t.gradient for t in (h, c, *weights))]
    for i, gradient in enumerate(actual):
        by_step = complex_step(plain_unroll, arrays, i, weight)
        np.testing.assert_allclose(gradient, by_step, rtol=1e-12, atol=1e-14)


def layer_and_arrays(rng, **options):
    lstm = LSTM(N_IN, N_HIDDEN, random=rng, weights=truncated_normal, **options)
    gates = (lstm.f, lstm.i, lstm.o, lstm.g)
    return lstm, [t for gate in gates for t in (gate.W, gate.b)]


def test_layer_is_the_cell_with_its_weights(backend, rng):
    lstm, weights = layer_and_arrays(rng)
    xs, h, c, *_ = draw(rng, 4, 2)
    outputs, (_, last_c) = unroll(lstm, xs, h, c)
    expected = plain_unroll(xs, h, c, *(w.value for w in weights))
    for node, plain in zip([*outputs, last_c], expected, strict=True):
        np.testing.assert_allclose(node.value, plain, rtol=1e-12)


def test_unrolling_shares_the_weights(rng):
    lstm, weights = layer_and_arrays(rng)
    outputs, _ = unroll(lstm, np.ones((5, 1, N_IN)), *lstm.initial_state())
    assert set(lstm.parameters()) == set(weights)
    for weight in weights:
        assert len(weight.parents) == 5
    for x in ancestors(outputs):
        assert x.op is not None or x.constant or x in set(weights)


def test_state_handed_on_is_one_long_unrolling(backend, rng):
    lstm, weights = layer_and_arrays(rng)
    xs, h, c, *_ = draw(rng, 5, 2)
    whole, (whole_h, whole_c) = unroll(lstm, xs, h, c)
    first, state = unroll(lstm, xs[:3], h, c)
    second, (part_h, part_c) = unroll(lstm, xs[3:], *state)
    for one, two in zip([*whole, whole_c], [*first, *second, part_c], strict=True):
        np.testing.assert_array_equal(one.value, two.value)
    autodiff.backward({whole_h: np.ones((2, N_HIDDEN))})
    gradients = [w.gradient.copy() for w in weights]
    autodiff.reset(*weights)
    autodiff.backward({part_h: np.ones((2, N_HIDDEN))})
    for w, gradient in zip(weights, gradients, strict=True):
        np.testing.assert_array_equal(w.gradient, gradient)


def test_truncation_changes_gradients_only(backend, rng):
    lstm, weights = layer_and_arrays(rng)
    xs, h, c, *_ = draw(rng, 5, 2)
    _, (whole_h, _) = unroll(lstm, xs, h, c)
    _, (mid_h, mid_c) = unroll(lstm, xs[:3], h, c)
    carried_h, carried_c = lstm.initial_state(2)
    carried_h.assign(mid_h)
    carried_c.assign(mid_c)
    _, (cut_h, _) = unroll(lstm, xs[3:], carried_h, carried_c)
    stopped = [autodiff.stop_gradient(state) for state in (mid_h, mid_c)]
    _, (stop_h, _) = unroll(lstm, xs[3:], *stopped)
    np.testing.assert_array_equal(cut_h.value, whole_h.value)

    def gradients(node):
        autodiff.reset(node)
        autodiff.backward({node: np.ones((2, N_HIDDEN))})
        return [w.gradient.copy() for w in weights]

    for full, cut, stop in zip(
        gradients(whole_h), gradients(cut_h), gradients(stop_h), strict=True
    ):
        np.testing.assert_array_equal(cut, stop)
        assert np.abs(full - cut).max() > 1e-3

    def tail(*values):
        return plain_unroll(xs[3:], mid_h.value, mid_c.value, *values)[-2]

    values = [w.value for w in weights]
    for i, cut in enumerate(gradients(cut_h)):
        by_step = complex_step(tail, values, i, 1.0)
        np.testing.assert_allclose(cut, by_step, rtol=1e-12, atol=1e-14)


def test_the_graph_is_reused_for_another_window(backend, rng):
    lstm, weights = layer_and_arrays(rng)
    xs = [Tensor(np.zeros((1, N_IN)), constant=True) for _ in range(3)]
    h, c = lstm.initial_state()
    outputs, (last_h, last_c) = unroll(lstm, xs, h, c)
    for _ in range(2):
        windows, start_h, start_c, *_ = draw(rng, 3, 1)
        for x, row in zip(xs, windows, strict=True):
            x.assign(row)
        h.assign(start_h)
        c.assign(start_c)
        expected = plain_unroll(windows, start_h, start_c, *(w.value for w in weights))
        for node, plain in zip([*outputs, last_c], expected, strict=True):
            np.testing.assert_allclose(node.forward(), plain, rtol=1e-12)
        autodiff.backward(last_h.sum())
        autodiff.reset(last_h)


@pytest.mark.parametrize("n_steps", [1, 2])
def test_second_derivatives(rng, n_steps):
    """Hessian times vector, by `gradients` of `gradients`, against the complex step.

    The complex step differentiates the first gradient, which runs on complex numbers as the
    reverse of the plain step written by hand below.
    """
    arrays = draw(rng, n_steps, 2)
    xs = arrays[0]
    h, c, *weights = (Tensor(a) for a in arrays[1:])
    leaves = [h, c, *weights]
    _, (last_h, _) = unroll(lambda *state: lstm_cell(*state, *weights), xs, h, c)
    first = autodiff.gradients(last_h.sum(), leaves)
    directions = [rng.normal(size=leaf.shape) for leaf in leaves]
    product = sum((g * d).sum() for g, d in zip(first, directions, strict=True))
    second = autodiff.gradients(product, leaves)

    def reverse(h, c, *weights):
        """Σ direction · gradient, by hand."""
        states = [(h, c)]
        for x in xs:
            states.append(plain_step(x, *states[-1], *weights))
        dW = [0.0 * w for w in weights]
        dh, dc = np.ones_like(states[-1][0]), np.zeros_like(states[-1][1])
        for t in reversed(range(n_steps)):
            (h0, c0), (_, c1) = states[t], states[t + 1]
            z = np.concatenate([xs[t], h0], axis=1)
            f, i, o = (sigmoid(z @ weights[k] + weights[k + 1]) for k in (0, 2, 4))
            g = np.tanh(z @ weights[6] + weights[7])
            tc = np.tanh(c1)
            dc = dc + dh * o * (1.0 - tc * tc)
            before = [
                dc * c0 * f * (1.0 - f),
                dc * g * i * (1.0 - i),
                dh * tc * o * (1.0 - o),
                dc * i * (1.0 - g * g),
            ]
            dc = dc * f
            dz = 0.0
            for k, d in enumerate(before):
                dW[2 * k] = dW[2 * k] + z.T @ d
                dW[2 * k + 1] = dW[2 * k + 1] + d.sum(axis=0, keepdims=True)
                dz = dz + d @ weights[2 * k].T
            dh = dz[:, N_IN:]
        return sum((d * u).sum() for d, u in zip([dh, dc, *dW], directions, strict=True))

    values = arrays[1:]
    np.testing.assert_allclose(product.value, reverse(*values), rtol=1e-12)
    for i, node in enumerate(second):
        by_step = complex_step(reverse, values, i, 1.0)
        np.testing.assert_allclose(node.value, by_step, rtol=1e-11, atol=1e-13)


def test_forget_bias():
    assert (LSTM(2, 3, random=0).f.b.value == 1.0).all()
    post = LSTM(2, 3, random=0, forget_bias=0.0)
    for gate in (post.f, post.i, post.o, post.g):
        assert not gate.b.value.any()
        assert gate.W.shape == (5, 3)
    for gate in (LSTM(2, 3, random=0).i, LSTM(2, 3, random=0).o, LSTM(2, 3, random=0).g):
        assert not gate.b.value.any()


def test_the_four_gates_differ():
    lstm = LSTM(2, 3, random=0)
    values = [gate.W.value.tobytes() for gate in (lstm.f, lstm.i, lstm.o, lstm.g)]
    assert len(set(values)) == 4


def test_names():
    lstm = LSTM(2, 3, random=0, name="memory")
    assert [t.name for t in lstm.parameters()] == [
        f"memory.{gate}.{tensor}" for gate in "fiog" for tensor in "Wb"
    ]
    assert list(lstm.named_parameters())[:2] == ["f.W", "f.b"]
    outputs, (h, c) = unroll(lstm, np.zeros((3, 1, 2)), *lstm.initial_state())
    names = [node.name.partition("#")[0] for node in (*outputs, h, c)]  # "#": names taken
    assert names == ["h[0]", "h[1]", "h[2]", "h[2]", "c[2]"]


def test_no_steps():
    lstm = LSTM(2, 3, random=0)
    h, c = lstm.initial_state(4)
    assert h.shape == c.shape == (4, 3)
    outputs, state = unroll(lstm, [], h, c)
    assert outputs == []
    assert state == (h, c)


def test_a_sequence_as_one_node(backend, rng):
    lstm, weights = layer_and_arrays(rng)
    arrays = draw(rng, 3, 2)
    xs = Tensor(arrays[0])
    outputs, _ = unroll(lstm, xs, *arrays[1:3])
    concat(outputs, 0).sum().backward()
    values = [w.value for w in weights]

    def hidden(xs):
        return plain_unroll(xs, *arrays[1:3], *values)[:-1]

    by_step = complex_step(hidden, [arrays[0]], 0, 1.0)
    np.testing.assert_allclose(xs.gradient, by_step, rtol=1e-12, atol=1e-14)


def test_a_thousand_steps(rng):
    lstm, _ = layer_and_arrays(rng)
    outputs, (h, _) = unroll(lstm, rng.normal(size=(1000, 1, N_IN)), *lstm.initial_state())
    autodiff.backward(h.sum())
    assert np.isfinite(lstm.f.W.gradient).all()
    assert len(outputs) == 1000
