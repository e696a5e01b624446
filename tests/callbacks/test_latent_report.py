"""The report on the latent vector as curves, and training that does not notice it."""

import csv

import pytest
import torch

from lightning_gen.analysis.posterior_report import posterior_report
from lightning_gen.callbacks.latent_report import LatentReport
from lightning_gen.errors import UserError
from lightning_gen.models import GAN, VAE
from lightning_gen.tracking import CSVTracker


def train(fit, tiny, folder, callbacks, model=VAE, batches=4):
    torch.manual_seed(0)
    model = model([1, 8, 8], latent_dim=3)
    fit(model, tiny(), batches=batches, logger=[CSVTracker(folder)], callbacks=callbacks, limit_val_batches=0)
    return model


def rows(folder):
    if not (folder / "metrics.csv").is_file():
        return []
    with (folder / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row.get("latents/elbo")]


def test_every_interval_has_a_row_with_what_the_report_says(fit, tiny, tmp_path):
    model = train(fit, tiny, tmp_path, [LatentReport(32, num_images=70, num_samples=3)])
    found = rows(tmp_path)
    assert [int(row["progress/images"]) for row in found] == [32, 64]
    report = posterior_report(model, tiny(), "validation", 70, 3)
    for name in ("elbo", "rate", "distortion", "variational_gap", "active_units", "mutual_information", "aggregate_kl"):
        assert float(found[-1][f"latents/{name}"]) == getattr(report, name)
    assert [float(found[-1][f"latents/kl/{dimension}"]) for dimension in range(3)] == list(report.kl_per_dimension)


def test_training_does_not_notice(fit, tiny, tmp_path):
    with_report = train(fit, tiny, tmp_path / "a", [LatentReport(16, num_images=70, num_samples=3)])
    without = train(fit, tiny, tmp_path / "b", [])
    assert all(torch.equal(one, other) for one, other in zip(with_report.parameters(), without.parameters(), strict=True))


def test_a_model_without_a_posterior_is_passed_over(fit, tiny, tmp_path):
    train(fit, tiny, tmp_path, [LatentReport(16, num_images=70)], model=GAN)
    assert rows(tmp_path) == []


@pytest.mark.parametrize("options", [{"num_images": 1}, {"num_samples": 0}])
def test_too_few_images_or_samples_are_refused(options):
    with pytest.raises(UserError, match="latents: expected num_images and num_samples of at least 2"):
        LatentReport(16, **options)
