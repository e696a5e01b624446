"""Distances of an inverse beside strangers: at a perfect inverse, at one that knows nothing, and against a plain loop."""

import pytest
import torch
from torch import nn

from lightning_gen.analysis.inversion import has_inversion, inversion
from lightning_gen.data import Digits
from lightning_gen.models import GAN, VAE, BiGAN
from lightning_gen.models.capabilities import HasHiddenLayer
from lightning_gen.nn.base import last_hidden_layer
from lightning_gen.noise import IndexedNoise, stable_hash

NETWORKS = {part: {"class_path": f"BiGAN{part.title()}", "width": 16} for part in ("generator", "encoder", "discriminator")}


def bigan(**options):
    torch.manual_seed(0)
    return BiGAN([1, 8, 8], latent_dim=64, num_bits=8, **NETWORKS, **options).eval()


def digits():
    return Digits(batch_size=64)


class Painter(nn.Module):
    """z, as an image."""

    def forward(self, z, labels=None):
        return z.unflatten(1, (1, 8, 8))


class Reader(nn.Module):
    """The z that :class:`Painter` painted, before it is squashed."""

    def forward(self, x, labels=None):
        return 2 * torch.atanh(x.flatten(1).clamp(-1 + 1e-6, 1 - 1e-6))


def test_a_perfect_inverse_has_no_error_and_strangers_have():
    model = bigan()
    model.generator, model.encoder = Painter(), Reader()
    found = inversion(model, digits(), num_images=100)
    assert found["image_error"] < 1e-3 < 1 < found["image_error_shuffled"]
    assert found["latent_error"] < 0.03 < 1 < found["latent_error_shuffled"], "but for the rounding to bytes"


def test_an_encoder_that_knows_nothing_is_as_far_off_as_strangers_are():
    found = inversion(bigan(), digits(), num_images=400)
    assert found["image_ratio"] == pytest.approx(1, abs=0.03)
    assert found["latent_ratio"] == pytest.approx(1, abs=0.03)


def test_the_distances_are_those_of_a_loop():
    model, data = bigan().double(), digits()
    found = inversion(model, data, "validation", num_images=70, seed=3)
    with model.inference():
        z = torch.cat([model.draw_latents(IndexedNoise(stable_hash("inversion", 3), range(a, b))) for a, b in ((0, 64), (64, 70))])
        again = model.encode(model.decode(z))
    own = [float((z[i] - again[i]).square().sum().sqrt()) for i in range(70)]
    strangers = [float((z[i] - again[i - 1]).square().sum().sqrt()) for i in range(70)]
    assert found["latent_error"] == pytest.approx(sum(own) / 70, rel=1e-9)
    assert found["latent_error_shuffled"] == pytest.approx(sum(strangers) / 70, rel=1e-9)
    assert found["latent_ratio"] == pytest.approx(sum(own) / sum(strangers), rel=1e-9)


def test_only_a_model_with_encoder_prior_and_reconstructions_has_an_inversion():
    assert has_inversion(bigan())
    assert has_inversion(VAE([1, 8, 8], latent_dim=2))
    assert not has_inversion(GAN([1, 8, 8], latent_dim=2))


def test_the_last_hidden_layer_is_what_the_last_linear_layer_maps_to_the_code():
    model, (images, _) = bigan(), digits().batch("test", range(5))
    assert isinstance(model, HasHiddenLayer)
    with model.inference():
        hidden = model.hidden_layer(images)
        assert hidden.shape == (5, 16)
        torch.testing.assert_close(torch.tanh(model.encoder.last(hidden) / 2), model.encode(images))
        assert not model.encoder.last._forward_pre_hooks
        assert torch.equal(last_hidden_layer(model.encoder, model.to_network(images)), hidden)
