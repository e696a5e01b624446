"""The denoising autoencoder: it is scored against the clean image, evaluated without corruption, and its chain has the data's distribution
where the denoiser is exact."""

import math

import pytest
import torch
from distributed_pool import shared_pool
from torch import nn

from lightning_gen.models import DenoisingAutoencoder
from lightning_gen.noise import IndexedNoise, StepNoise


@pytest.fixture
def batch(tiny):
    return tiny().batch("test", range(6))


@pytest.mark.parametrize("corruption", ["GaussianCorruption", "MaskingCorruption", "SaltAndPepperCorruption"])
def test_the_corrupted_image_goes_in_and_the_clean_one_is_the_target(corruption, batch):
    model = DenoisingAutoencoder([1, 8, 8], latent_dim=3, corruption=corruption)
    images, noise = batch[0], StepNoise(6, 0, 1)
    x = images / 255
    shown = model.corruption.corrupt(x, noise)
    assert not torch.equal(shown, x)
    expected = (model.decoder(model.encoder(shown)) - x).square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(model.objective(images, None, noise)["loss"], expected)


def test_codes_and_reconstructions_are_of_the_clean_image(batch):
    model = DenoisingAutoencoder([1, 8, 8], latent_dim=3)
    with model.inference():
        assert torch.equal(model.encode(batch[0]), model.encoder(batch[0] / 255))
        assert torch.equal(model.reconstruct(batch[0]), model.to_data(model.decoder(model.encoder(batch[0] / 255))))


# The chain.

VARIANCE, SCALE = 2.0, 0.8


def exact_denoiser(chain_steps):
    """Of x ~ N(0, s) and x~ = x + N(0, c): P(x | x~) = N(s x~ / (s + c), s c / (s + c))."""
    corruption = {"class_path": "GaussianCorruption", "scale": SCALE}
    model = DenoisingAutoencoder([1], latent_dim=1, corruption=corruption, chain_steps=chain_steps, observation_noise=True).double()
    total = VARIANCE + SCALE**2
    model.encoder, model.decoder = Denoiser(VARIANCE / total), Denoiser(1.0)
    model.variance.fill_(VARIANCE * SCALE**2 / total)
    return model


class Denoiser(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x, labels=None):
        return self.factor * x


def test_the_chain_of_the_exact_denoiser_has_the_distribution_of_the_data():
    """Within 5 standard errors of the mean and of the variance, from a start of half that variance."""
    count = 8000
    samples = exact_denoiser(20).sample(count)[:, 0].double()
    assert abs(samples.mean().item()) < 5 * math.sqrt(VARIANCE / count)
    assert abs(samples.var().item() - VARIANCE) < 5 * VARIANCE * math.sqrt(2 / count)


def test_a_step_of_the_chain_changes_the_variance_as_it_must():
    """v -> f^2 (v + c) + s c / (s + c) with f = s / (s + c), from the standard normal start."""
    count, factor = 16_000, VARIANCE / (VARIANCE + SCALE**2)
    expected = factor**2 * (1 + SCALE**2) + VARIANCE * SCALE**2 / (VARIANCE + SCALE**2)
    variance = exact_denoiser(1).sample(count).double().var().item()
    assert abs(variance - expected) < 5 * expected * math.sqrt(2 / count)


def test_every_step_has_noise_of_its_own():
    names = []

    class Recording(IndexedNoise):
        def _draw(self, name, *rest):
            names.append(name)
            return super()._draw(name, *rest)

    DenoisingAutoencoder([1, 8, 8], latent_dim=2, chain_steps=3).sample_images(Recording(0, range(4)))
    assert len(names) == len(set(names)) == 7


def test_binary_images_are_drawn_from_bernoulli_pixels():
    model = DenoisingAutoencoder([1, 8, 8], latent_dim=2, num_bits=1, chain_steps=2, observation_noise=True)
    mean = torch.full((500, 1, 8, 8), 0.3)
    drawn = model.draw(mean, IndexedNoise(0, range(500)), "output")
    assert drawn.unique().tolist() == [0, 1]
    assert abs(drawn.mean().item() - 0.3) < 5 * math.sqrt(0.21 / drawn.numel())
    assert model.sample(3).unique().tolist() == [0, 255]
    assert model.answer_options()["output_distribution"] == "Bernoulli"


# The variance of P(x | x~).


def test_the_variance_is_the_mean_squared_error_per_value_of_the_batches(tiny, fit):
    model = DenoisingAutoencoder([1, 8, 8], latent_dim=2)
    losses = []
    model.log_terms = lambda terms: losses.append(terms["loss"].item() / 64)
    fit(model, tiny(), batches=5)
    assert len(losses) == 5
    assert model.variance.item() == pytest.approx(sum(losses) / 5, rel=1e-5)


def variance_of_processes(rank, world_size):
    """After a step on this rank's part of a batch of 8."""
    torch.manual_seed(0)
    model = DenoisingAutoencoder([3], latent_dim=2).double()
    x, part = torch.randn(8, 3, dtype=torch.float64), 8 // world_size
    rows = range(rank * part, (rank + 1) * part)
    model.batches_seen, model.log_terms = 1, lambda terms: None
    model.step_noise = lambda batch: IndexedNoise(0, rows)
    model.training_step((x[rows.start : rows.stop], torch.zeros(part, dtype=torch.int64)), 0)
    return model.variance.item()


def test_two_processes_estimate_the_variance_of_one():
    pool = shared_pool()
    (alone,) = pool(variance_of_processes, world_size=1)
    assert pool(variance_of_processes, world_size=2) == pytest.approx([alone, alone], rel=1e-12)
