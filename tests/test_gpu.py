"""What only a CUDA device can show; the commands that belong to it are listed in benchmarks/gpu.md."""

from __future__ import annotations

import pytest
import torch

from lightning_gen.callbacks.ema import EMA
from lightning_gen.data import Digits
from lightning_gen.evaluation import Plan, evaluate
from lightning_gen.evaluation.arithmetic import exact_arithmetic
from lightning_gen.metrics.accumulators import GroupSums
from lightning_gen.metrics.extractors import build_extractor
from lightning_gen.models import DCGAN, VAE
from lightning_gen.models.base import GenerativeModel
from lightning_gen.noise import IndexedNoise, StepNoise

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

DIGITS = {"data_shape": [1, 8, 8], "num_bits": 4}


def trained(model: GenerativeModel, precision: str) -> GenerativeModel:
    import pytorch_lightning as pl

    trainer = pl.Trainer(
        accelerator="gpu",
        devices=1,
        precision=precision,
        max_epochs=3,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[EMA(half_life_images=500)],
    )
    trainer.fit(model, datamodule=Digits(batch_size=64))
    return model.to("cuda")


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("build", [lambda: VAE(**DIGITS, likelihood="DiscretizedLogistic"), lambda: DCGAN(**DIGITS, width=16)])
def test_training_on_cuda_keeps_every_weight_finite_and_counts_images(build, precision):
    model = trained(build(), precision)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    assert model.images_seen == 3 * (997 // 64) * 64


def test_indexed_noise_is_the_same_on_every_device():
    on_cpu, on_cuda = (IndexedNoise(0, range(100), device).normal("z", (7,)) for device in ("cpu", "cuda"))
    assert on_cuda.device.type == "cuda"
    assert torch.equal(on_cpu, on_cuda.cpu())


def test_step_noise_on_cuda_is_a_function_of_its_key():
    draws = [StepNoise(8, 0, step, rank, "cuda").normal("z", (3,)) for step, rank in ((1, 0), (1, 0), (1, 1), (2, 0))]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[3])


def test_scores_on_cuda_agree_with_scores_on_the_cpu():
    torch.manual_seed(0)
    model, data = VAE(**DIGITS, likelihood="DiscretizedLogistic"), Digits(batch_size=64)
    plan = Plan(num_samples=500, likelihood_samples=4)
    on_cpu = evaluate(model, data, plan)
    on_cuda = evaluate(model.to("cuda"), data, plan)
    for ours, theirs in zip(on_cpu.scores, on_cuda.scores, strict=True):
        assert theirs.value == pytest.approx(ours.value, rel=1e-3)


@pytest.mark.parametrize("arithmetic", ["fast", "reference"])
@pytest.mark.parametrize("dialect", ["tf1", "torchmetrics"])
def test_inception_on_cuda_agrees_with_the_cpu_and_repeats_its_bits(arithmetic, dialect):
    from inception_weights import inception_weights_file, photo_patches

    options = {"weights": inception_weights_file(), "arithmetic": arithmetic, "dialect": dialect}
    on_cpu, on_cuda = (build_extractor("inception-v3-tf", device, **options) for device in ("cpu", "cuda"))
    images = photo_patches(70)
    with exact_arithmetic():
        expected, found, again = on_cpu(images), on_cuda(images), on_cuda(images)
    for ours, theirs, repeated in zip(found, expected, again, strict=True):
        assert (ours.cpu() - theirs).norm() <= 1e-4 * theirs.norm()
        assert torch.equal(ours, repeated)


def test_sums_on_cuda_have_the_bits_of_the_cpu():
    features = torch.randn(3000, 300).numpy()
    on_cpu, on_cuda = (GroupSums(features, device=device).gaussian() for device in ("cpu", "cuda"))
    assert torch.equal(on_cpu.mean, on_cuda.mean)
    assert torch.equal(on_cpu.covariance, on_cuda.covariance)
