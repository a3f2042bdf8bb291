import numpy as np
import pytest

import autodiff
from autodiff import Tensor
from autodiff.errors import GradientError
from autodiff.nn import VAE, FeedForward, Module


class Model(Module):
    def __init__(self):
        self.shared = Tensor([1.0], name="shared")
        self.blocks = [{"a": Tensor([2.0]), "again": self.shared}, (Tensor([3.0]), 7, None)]
        self.carried = Tensor([0.0], constant=True)
        self._cache = Tensor([9.0])
        self.inner = FeedForward(2, 3, random=0)
        self.rate = 0.5


def test_parameters_are_found_once_in_order():
    model = Model()
    found = model.parameters()
    assert found == [
        model.shared,
        model.blocks[0]["a"],
        model.blocks[1][0],
        model.inner.W,
        model.inner.b,
    ]


def test_names_with_and_without_ties():
    model = Model()
    names = ["shared", "blocks.0.a", "blocks.1.0", "inner.W", "inner.b"]
    assert list(model.named_parameters()) == names
    assert list(model.named_parameters().values()) == model.parameters()
    tied = model.named_parameters(ties=True)
    assert set(tied) == {*names, "blocks.0.again"}
    assert tied["blocks.0.again"] is tied["shared"] is model.shared


def test_a_layer_used_twice_is_one_layer():
    class Twice(Module):
        def __init__(self):
            self.first = FeedForward(2, 2, random=0)
            self.second = self.first

    model = Twice()
    assert list(model.named_parameters()) == ["first.W", "first.b"]
    assert list(model.named_parameters(ties=True)) == [
        "first.W", "first.b", "second.W", "second.b"
    ]  # fmt: skip


def test_a_module_that_refers_to_its_owner():
    model = Model()
    model.inner.owner = model
    model.blocks.append(model.blocks)
    assert len(model.parameters()) == 5


def test_reassigned_attributes_count():
    model = Model()
    model.shared = Tensor([5.0])
    assert model.parameters()[0] is model.shared
    assert model.named_parameters(ties=True)["blocks.0.again"] is not model.shared


def test_update_steps_a_shared_weight_once():
    model = Model()
    loss = model.shared * model.blocks[0]["again"] * model.blocks[0]["a"] * model.blocks[1][0]
    loss = loss + model.inner(np.ones((1, 2))).sum()
    loss.backward()
    gradient = model.shared.gradient.copy()
    model.update(0.1)
    np.testing.assert_array_equal(gradient, [12.0])
    np.testing.assert_allclose(model.shared.value, 1.0 - 0.1 * gradient, rtol=1e-15)


def test_update_without_gradients_changes_nothing():
    model = Model()
    autodiff.backward((model.shared * 2.0).sum())
    with pytest.raises(GradientError, match="no gradient"):
        model.update(0.1)
    assert model.shared.value == 1.0


def test_repr_tells_sizes():
    assert repr(FeedForward(2, 3, autodiff.tanh, random=0)) == (
        "<FeedForward 2 -> 3 tanh, 2 parameters, 9 numbers>"
    )
    assert repr(VAE(7, 5, 2, random=0)).startswith("<VAE 7-5-2-5-7, 10 parameters")
    assert repr(VAE(7, 5, 2, n_decoder=0, random=0)).startswith("<VAE 7-5-2-7, 8 parameters")
