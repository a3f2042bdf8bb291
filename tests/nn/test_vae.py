import numpy as np
import pytest
from numerics import complex_step

import autodiff
from autodiff import Tensor
from autodiff.errors import ShapeError
from autodiff.nn import VAE
from autodiff.nn.initialisers import truncated_normal

N_IN, N_HIDDEN, N_LATENT, N_BATCH = 4, 3, 2, 3


def plain_parts(x, noise, weights):
    """Logits, mean, log-variance; weights in the order of VAE.parameters()."""
    we, be, wm, bm, wv, bv, *decoder = weights
    hidden = np.tanh(x @ we + be)
    mean, log_variance = hidden @ wm + bm, hidden @ wv + bv
    latent = mean + np.exp(0.5 * log_variance) * noise
    if len(decoder) == 4:
        latent = np.tanh(latent @ decoder[0] + decoder[1])
    return latent @ decoder[-2] + decoder[-1], mean, log_variance


def plain_loss(x, noise, *weights):
    logits, mean, log_variance = plain_parts(x, noise, weights)
    p = 1.0 / (1.0 + np.exp(-logits))
    nll = -np.sum(x.real * np.log(p) + (1.0 - x.real) * np.log(1.0 - p))
    kl = 0.5 * np.sum(np.exp(log_variance) + mean * mean - 1.0 - log_variance)
    return (nll + kl) / len(x)


def draw(rng, n_decoder):
    vae = VAE(N_IN, N_HIDDEN, N_LATENT, n_decoder=n_decoder, random=rng, weights=truncated_normal)
    for tensor in vae.parameters():
        tensor.assign(rng.normal(size=tensor.shape))
    x = rng.integers(0, 2, (N_BATCH, N_IN)).astype(np.float64)
    return vae, x, rng.normal(size=(N_BATCH, N_LATENT))


@pytest.mark.parametrize("n_decoder", [None, 0, 5])
def test_loss_and_gradients_with_fixed_noise(backend, rng, n_decoder):
    vae, x, noise = draw(rng, n_decoder)
    parameters = vae.parameters()
    assert len(parameters) == (8 if n_decoder == 0 else 10)
    loss = vae.loss(x, noise)
    assert loss.shape == ()
    values = [x, noise, *(p.value for p in parameters)]
    np.testing.assert_allclose(loss.value, plain_loss(*values), rtol=1e-13)
    loss.backward()
    for i, parameter in enumerate(parameters):
        expected = complex_step(plain_loss, values, 2 + i, 1.0)
        np.testing.assert_allclose(parameter.gradient, expected, rtol=1e-12, atol=1e-14)


def test_gradient_through_the_noise(backend, rng):
    vae, x, noise = draw(rng, None)
    node = Tensor(noise)
    vae.loss(x, node).backward()
    values = [x, noise, *(p.value for p in vae.parameters())]
    np.testing.assert_allclose(node.gradient, complex_step(plain_loss, values, 1, 1.0), rtol=1e-12)


def test_seeding_mean_and_log_variance_equals_the_loss(backend, rng):
    """The post's way: the KL term's gradients are sent to the inner nodes from outside."""
    vae, x, noise = draw(rng, None)
    vae.loss(x, noise).backward()
    expected = [p.gradient.copy() for p in vae.parameters()]
    logits, mean, log_variance = vae(x, noise)
    seeds = {
        logits: (1.0 / (1.0 + np.exp(-logits.value)) - x) / N_BATCH,
        mean: mean.value / N_BATCH,
        log_variance: 0.5 * (np.exp(log_variance.value) - 1.0) / N_BATCH,
    }
    autodiff.reset(*vae.parameters())
    autodiff.backward(seeds)
    for parameter, gradient in zip(vae.parameters(), expected, strict=True):
        np.testing.assert_allclose(parameter.gradient, gradient, rtol=1e-12, atol=1e-15)


def test_the_posts_incremental_style_equals_the_loss(backend, rng):
    vae, x, noise = draw(rng, 0)
    vae.loss(x, noise).backward()
    expected = [p.gradient.copy() for p in vae.parameters()]
    autodiff.reset(*vae.parameters())
    logits, mean, log_variance = vae(x, noise)
    for node in (mean, log_variance):
        node.register("err")
    logits.backward((1.0 / (1.0 + np.exp(-logits.value)) - x) / N_BATCH)
    assert not vae.encoder.W.has_gradient
    mean.backward(mean.value / N_BATCH, sender="err")
    log_variance.backward(0.5 * (np.exp(log_variance.value) - 1.0) / N_BATCH, sender="err")
    for parameter, gradient in zip(vae.parameters(), expected, strict=True):
        np.testing.assert_allclose(parameter.gradient, gradient, rtol=1e-12, atol=1e-15)


def test_the_heads_share_the_hidden_layer(rng):
    vae, x, noise = draw(rng, None)
    logits, mean, log_variance = vae(x, noise)
    (hidden,) = set(mean.inputs[0].inputs[:1]) & set(log_variance.inputs[0].inputs[:1])
    assert len(hidden.parents) == 2
    assert logits.shape == (N_BATCH, N_IN)


def test_zero_noise_decodes_the_mean(backend, rng):
    vae, x, _ = draw(rng, None)
    logits, mean, _ = vae(x, np.zeros((N_BATCH, N_LATENT)))
    np.testing.assert_array_equal(logits.value, vae.decode(mean).value)
    np.testing.assert_allclose(
        vae.reconstruct(mean).value, 1.0 / (1.0 + np.exp(-logits.value)), rtol=1e-14
    )


@pytest.mark.parametrize("shape", [(1, N_LATENT), (N_LATENT,), (N_BATCH, 1), ()])
def test_every_sample_needs_its_own_noise(rng, shape):
    vae, x, _ = draw(rng, None)
    with pytest.raises(ShapeError, match="its own"):
        vae.loss(x, np.zeros(shape))


def test_names():
    vae = VAE(4, 3, 2, random=0, name="faces")
    assert vae.log_variance.W.name == "faces.log_variance.W"
    assert list(vae.named_parameters()) == [
        f"{part}.{tensor}"
        for part in ("encoder", "mean", "log_variance", "decoder", "output")
        for tensor in "Wb"
    ]
