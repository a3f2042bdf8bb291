"""The global norm, and gradients of limited norm."""

import math

import numpy as np
import pytest

import autodiff
from autodiff import Tensor
from autodiff.clipping import clip_by_global_norm, global_norm
from autodiff.errors import GradientError


def test_global_norm(rng):
    gradients = [rng.normal(size=shape) for shape in [(3, 4), (5,), ()]]
    flat = np.concatenate([np.ravel(g) for g in gradients])
    np.testing.assert_allclose(global_norm(gradients), np.linalg.norm(flat), rtol=1e-14)
    np.testing.assert_allclose(global_norm(iter(gradients)), np.linalg.norm(flat), rtol=1e-14)
    with pytest.raises(GradientError):
        global_norm([])


def test_clipping_keeps_the_direction():
    gradients = [np.array([3.0, 0.0]), np.array(-4.0)]
    clipped = clip_by_global_norm(gradients, 1.0)
    np.testing.assert_allclose(clipped[0], [0.6, 0.0], rtol=1e-15)
    np.testing.assert_allclose(clipped[1], -0.8, rtol=1e-15)
    np.testing.assert_array_equal(gradients[0], [3.0, 0.0])


@pytest.mark.parametrize("limit", [5.0, 6.0, math.inf])
def test_up_to_the_limit_nothing_changes(limit):
    gradients = [np.array([3.0]), np.array([4.0])]
    for clipped, g in zip(clip_by_global_norm(gradients, limit), gradients, strict=True):
        np.testing.assert_array_equal(clipped, g)


def test_clipping_zero_and_nan():
    (zero,) = clip_by_global_norm([np.zeros(3)], 1.0)
    assert not zero.any()
    one, two = clip_by_global_norm([np.array([math.nan]), np.array([1.0])], 1.0)
    assert np.isnan(one).all()
    assert np.isnan(two).all()


SCALES = [5e-324, 1e-310, 1e-200, 1e-160, 1.0, 1e160, 3e200, 1e307]


def in_each_form(function, arrays, limit=None):
    """What a function of gradients gives for arrays, for nodes, and in a program."""
    options = () if limit is None else (limit,)

    def listed(result):
        results = result if isinstance(result, list) else [result]
        return [np.asarray(getattr(r, "value", r)) for r in results]

    yield listed(function(arrays, *options))
    yield listed(function([Tensor(a) for a in arrays], *options))
    yield listed(autodiff.compile(lambda *xs: function(list(xs), *options))(*arrays))


@pytest.mark.parametrize("scale", SCALES)
def test_the_norm_of_any_doubles(backend, scale):
    arrays = [np.array([[3.0], [0.0]]) * scale, np.array(-4.0) * scale, np.zeros((0, 2))]
    for (norm,) in in_each_form(global_norm, arrays):
        np.testing.assert_allclose(norm, 5.0 * scale, rtol=1e-15)


def test_scales_change_no_bit(backend, rng):
    """They are powers of two, whatever the size: here all but 2^-54 of one."""
    for size in [1.0, 1.5, 2.0, 1.0 - 2.0**-53, 2.0 - 2.0**-52, 3e-200, 4e200]:
        x = rng.normal(size=50)
        x *= size / np.sum(np.abs(x))
        y = np.ldexp(x, 5 - math.frexp(size)[1])
        norm = np.ldexp(np.sqrt(autodiff.sum(y * y)), math.frexp(size)[1] - 5)
        np.testing.assert_array_equal(global_norm([x]), norm)


def test_the_norm_of_infinity_nan_and_nothing(backend):
    for element, expected in [(math.inf, math.inf), (-math.inf, math.inf), (math.nan, math.nan),
                              (0.0, 0.0), (-0.0, 0.0)]:  # fmt: skip
        for (norm,) in in_each_form(global_norm, [np.zeros(2), np.array([element, 0.0])]):
            np.testing.assert_array_equal(norm, expected)
    for (norm,) in in_each_form(global_norm, [np.array([math.inf, math.nan])]):
        assert np.isnan(norm)
    for (norm,) in in_each_form(global_norm, [np.zeros((0, 3)), np.zeros(0)]):
        assert norm == 0.0
    for (norm,) in in_each_form(global_norm, [np.full(4, 1.7e308)]):
        assert norm == math.inf  # it is no double


@pytest.mark.parametrize("limit", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("scale", SCALES)
def test_clipping_gradients_of_any_size(backend, scale, limit):
    arrays = [np.array([3.0, 0.0]) * scale, np.array(-4.0) * scale]
    factor = 1.0 if 5.0 * scale <= limit else limit / scale / 5.0
    expected = [arrays[0] * factor, arrays[1] * factor]
    if factor < 1.0:  # where the factor itself is no double
        expected = [np.array([0.6, 0.0]) * limit, np.array(-0.8) * limit]
    for clipped in in_each_form(clip_by_global_norm, arrays, limit):
        for actual, wanted in zip(clipped, expected, strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=1e-15)


def test_clipping_where_the_norm_is_no_double(backend):
    for (clipped,) in in_each_form(clip_by_global_norm, [np.full(4, -1.7e308)], 2.0):
        np.testing.assert_allclose(clipped, -1.0, rtol=1e-15)
    for (clipped,) in in_each_form(clip_by_global_norm, [np.full(4, -1.7e308)], math.inf):
        np.testing.assert_array_equal(clipped, -1.7e308)


@pytest.mark.parametrize("bad", [-1.0, math.nan, -math.inf])
def test_a_limit_that_is_none(bad):
    with pytest.raises(ValueError, match=r"clip_by_global_norm: limit is .*must be at least 0"):
        clip_by_global_norm([np.ones(2)], bad)
    with pytest.raises(TypeError, match="must be a number"):
        clip_by_global_norm([np.ones(2)], "1")
    with pytest.raises(GradientError, match="clip_by_global_norm: there are no gradients"):
        clip_by_global_norm([], 1.0)


def test_a_limit_of_zero_leaves_nothing():
    one, two = clip_by_global_norm([np.array([3.0, -4.0]), np.zeros(2)], 0.0)
    assert not one.any()
    assert not two.any()
    np.testing.assert_array_equal(clip_by_global_norm([np.zeros(2)], 0.0), [np.zeros(2)])


@pytest.mark.parametrize("scale", [0.0, 1e-200, 1.0, 1e160])
def test_the_norms_own_gradients(backend, scale):
    """Of first and second order; at 0 the first is 0."""
    x = Tensor(np.array([3.0, 0.0, -4.0]) * scale)
    (slope,) = autodiff.gradients(global_norm([x]), [x])
    expected = [0.6 * (scale > 0), 0.0, -0.8 * (scale > 0)]
    np.testing.assert_allclose(slope.value, expected, rtol=1e-15)
    y = Tensor(x.value)
    global_norm([y]).backward()  # waits for all readers that will send
    np.testing.assert_allclose(y.gradient, expected, rtol=1e-15)
    (clipped,) = clip_by_global_norm([x], 2.0)
    (second,) = autodiff.gradients(clipped, [x], seed=np.array([1.0, 0.0, 0.0]))
    if scale in (1.0, 1e160):
        expected = 2.0 / (5.0 * scale) * np.array([1.0 - 0.36, 0.0, 0.48])
    else:
        expected = [1.0, 0.0, 0.0]
    np.testing.assert_allclose(second.value, expected, rtol=1e-14, atol=1e-300)


def test_clipping_nodes_can_be_differentiated(backend):
    x = Tensor([3.0, 4.0])
    gradients = autodiff.gradients((x * x).sum() * 0.5, [x])
    (clipped,) = clip_by_global_norm(gradients, 1.0)
    np.testing.assert_allclose(clipped.value, [0.6, 0.8], rtol=1e-15)
    (g,) = autodiff.gradients(clipped, [x], seed=np.array([1.0, 0.0]))
    np.testing.assert_allclose(g.value, [16 / 125, -12 / 125], rtol=1e-13)
