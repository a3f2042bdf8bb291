import functools
import math

import numpy as np
import pytest
from scipy import stats

from autodiff.errors import ShapeError
from autodiff.nn import FeedForward, initialisers
from autodiff.nn.initialisers import (
    constant,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    normal,
    orthogonal,
    truncated_normal,
    uniform,
    zeros,
)

SHAPE = (300, 100)  # n_in, n_out
# initialiser, standard deviation, bound
RANDOM = [
    (normal, 1.0, math.inf),
    (functools.partial(normal, std=0.3), 0.3, math.inf),
    (uniform, math.sqrt(1 / 3), 1.0),
    (functools.partial(uniform, limit=0.005), 0.005 * math.sqrt(1 / 3), 0.005),
    (truncated_normal, stats.truncnorm.std(-2, 2), 2.0),
    (functools.partial(truncated_normal, std=0.1), 0.1 * stats.truncnorm.std(-2, 2), 0.2),
    (glorot_uniform, math.sqrt(2 / 400), math.sqrt(6 / 400)),
    (glorot_normal, math.sqrt(2 / 400), math.inf),
    (he_uniform, math.sqrt(2 / 300), math.sqrt(6 / 300)),
    (he_normal, math.sqrt(2 / 300), math.inf),
    (orthogonal, math.sqrt(1 / 300), 1.0),
]


@pytest.mark.parametrize(("initialiser", "std", "bound"), RANDOM)
def test_moments_and_bounds(rng, initialiser, std, bound):
    values = initialiser(SHAPE, rng)
    assert values.shape == SHAPE
    assert values.dtype == np.float64
    assert values.flags.c_contiguous
    assert np.abs(values).max() <= bound
    if math.isfinite(bound) and initialiser is not orthogonal:
        assert np.abs(values).max() > 0.99 * bound
    assert abs(values.mean()) < 5 * std / math.sqrt(values.size)
    np.testing.assert_allclose(values.std(), std, rtol=0.02)


@pytest.mark.parametrize(("initialiser", "std", "bound"), RANDOM)
def test_the_same_seed_gives_the_same_values(initialiser, std, bound):
    one, two, three = (initialiser((4, 5), np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, three)


def test_truncated_normal_is_distributed_so(rng):
    values = truncated_normal((20000,), rng, std=0.5)
    assert stats.kstest(values, stats.truncnorm(-2, 2, scale=0.5).cdf).pvalue > 0.001


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (2, 6, 4), (1, 1)])
def test_orthogonal(rng, shape):
    w = orthogonal(shape, rng, gain=2.0)
    assert w.shape == shape
    assert w.flags.c_contiguous
    wt = np.swapaxes(w, -1, -2)
    product = wt @ w if shape[-2] >= shape[-1] else w @ wt
    eye = np.broadcast_to(np.eye(min(shape[-2:])), product.shape)
    np.testing.assert_allclose(product, 4.0 * eye, atol=1e-13)


def test_orthogonal_is_uniformly_distributed(rng):
    """Without the sign rule Q's trace would be biased: R's diagonal would pick the signs."""
    entries = np.array([orthogonal((2, 2), rng)[0, 0] for _ in range(4000)])
    # The angle is uniform, so the entry has the arcsine distribution.
    assert stats.kstest(entries, stats.arcsine(loc=-1, scale=2).cdf).pvalue > 0.001


def test_orthogonal_needs_a_matrix(rng):
    with pytest.raises(ShapeError, match="two axes"):
        orthogonal((3,), rng)


def test_constants(rng):
    assert not zeros((2, 3), rng).any()
    assert (constant((2, 3), rng, value=0.5) == 0.5).all()


@pytest.mark.parametrize("initialiser", [glorot_uniform, glorot_normal, he_uniform, he_normal])
@pytest.mark.parametrize("shape", [(), (3,), (0, 4), (2, 3, 4)])
def test_any_shape(rng, initialiser, shape):
    assert initialiser(shape, rng).shape == shape


def test_stacks_and_vectors_count_their_last_axes(rng):
    assert np.abs(glorot_uniform((50, 20, 10), rng)).max() == pytest.approx(
        math.sqrt(6 / 30), rel=1e-2
    )
    assert np.abs(he_uniform((10000,), rng)).max() == pytest.approx(math.sqrt(6 / 10000), rel=1e-2)


def test_a_layer_takes_them_all(rng):
    for name in initialisers.__all__:
        if name != "Initialiser":
            layer = FeedForward(3, 2, random=rng, weights=getattr(initialisers, name))
            assert layer.W.shape == (3, 2)
