import numpy as np
import pytest
from numerics import complex_step

import autodiff
from autodiff import Tensor
from autodiff.errors import GradientError, ShapeError
from autodiff.nn import FeedForward, FeedForwardSigmoid, FeedForwardTanH, feedforward
from autodiff.nn.initialisers import truncated_normal


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


POST = [(FeedForwardSigmoid, sigmoid), (FeedForwardTanH, np.tanh)]
ALL = [(None, lambda x: x), (autodiff.sigmoid, sigmoid), (autodiff.tanh, np.tanh)]


@pytest.mark.parametrize("n_batch", [1, 4])
@pytest.mark.parametrize(("activation", "plain"), ALL)
def test_layer_against_numpy_and_complex_step(backend, rng, activation, plain, n_batch):
    layer = FeedForward(3, 2, activation, random=rng, bias=truncated_normal)
    x = Tensor(rng.normal(size=(n_batch, 3)))
    weight = rng.normal(size=(n_batch, 2))
    z = layer(x)
    z.backward(weight)
    inputs = [x.value, layer.W.value, layer.b.value]

    def forward(x, W, b):
        return plain(x @ W + b)

    np.testing.assert_allclose(z.value, forward(*inputs), rtol=1e-14, atol=1e-15)
    for i, tensor in enumerate((x, layer.W, layer.b)):
        expected = complex_step(forward, inputs, i, weight)
        np.testing.assert_allclose(tensor.gradient, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("layer_class", "plain"), POST)
def test_the_posts_layers(backend, rng, layer_class, plain):
    x, W, b = rng.normal(size=(1, 2)), rng.normal(size=(2, 3)), rng.normal(size=(1, 3))
    node, w_node, b_node = Tensor(x), Tensor(W), Tensor(b)
    applied = layer_class(node, w_node, b_node)
    np.testing.assert_allclose(applied.layer.value, plain(x @ W + b), rtol=1e-14)
    assert applied.parameters() == [w_node, b_node]
    applied.layer.backward(np.ones((1, 3)))
    gradient = w_node.gradient.copy()
    applied.update(0.5)
    np.testing.assert_allclose(w_node.value, W - 0.5 * gradient, rtol=1e-15)
    np.testing.assert_array_equal(node.value, x)


def test_the_posts_layers_refuse_a_bias_that_would_broadcast():
    x, W = Tensor(np.ones((4, 2))), Tensor(np.ones((2, 3)))
    for shape in [(4, 3), (1, 1), (1,), ()]:
        with pytest.raises(ShapeError, match="n_out"):
            FeedForwardTanH(x, W, Tensor(np.zeros(shape)))
    assert FeedForwardTanH(x, W, Tensor(np.zeros(3))).layer.shape == (4, 3)


def test_layers_on_given_weights_share_them(backend, rng):
    W, b = Tensor(rng.normal(size=(2, 2))), Tensor(rng.normal(size=(1, 2)))
    x = rng.normal(size=(3, 2))
    y = feedforward(feedforward(x, W, b, autodiff.tanh), W, b)
    weight = rng.normal(size=(3, 2))
    y.backward(weight)

    def forward(W, b):
        return np.tanh(x @ W + b) @ W + b

    for i, tensor in enumerate((W, b)):
        expected = complex_step(forward, [W.value, b.value], i, weight)
        np.testing.assert_allclose(tensor.gradient, expected, rtol=1e-12)


def test_seed_and_generator_give_the_same_weights():
    one = FeedForward(4, 3, random=7)
    two = FeedForward(4, 3, random=np.random.default_rng(7))
    np.testing.assert_array_equal(one.W.value, two.W.value)
    assert not one.b.value.any()
    assert one.b.shape == (1, 3)


def test_names():
    layer = FeedForward(2, 2, random=0, name="head")
    assert (layer.W.name, layer.b.name) == ("head.W", "head.b")


def test_wrong_sample_size_names_the_weight():
    layer = FeedForward(2, 3, random=0, name="narrow")
    with pytest.raises(ShapeError, match=r"narrow\.W"):
        layer(np.ones((1, 5)))


def test_update_needs_a_backward_pass():
    with pytest.raises(GradientError):
        FeedForward(2, 2, random=0).update(0.1)
