"""A training step (loss, gradient, Adam) of each autoencoder beside pythae's, on the same networks and batch: medians of interleaved steps.

Usage: python -m pip install -e '.[benchmarks]' && python benchmarks/vae_speed.py [--device cuda] [--repeats 100] [--threads 1]

Networks: 784-200-200 encoder, 50 latent dimensions, mirrored decoder, tanh; batches of 100 binary images. Both libraries get the batch
in the form that they train on: ours uint8, pythae's floats. The target is a ratio of at most 1.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from noise_speed import machine
from pythae.models import (
    AE,
    IWAE,
    VAE,
    VAMP,
    VQVAE,
    AEConfig,
    BetaTCVAE,
    BetaTCVAEConfig,
    BetaVAE,
    BetaVAEConfig,
    IWAEConfig,
    VAEConfig,
    VAMPConfig,
    VQVAEConfig,
)
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from torch import Tensor, nn

from lightning_gen import models as ours
from lightning_gen.models.base import GenerativeModel
from lightning_gen.noise import StepNoise

SHAPE, LATENT_DIM, HIDDEN, BATCH = (1, 28, 28), 50, 200, 100

Step = Callable[[], None]


def hidden_layers(in_features: int) -> nn.Sequential:
    """Two tanh layers."""
    return nn.Sequential(nn.Linear(in_features, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh())


class TheirEncoder(BaseEncoder):
    """pythae's form of the encoder.

    Args:
        variational: whether there is a covariance beside the mean.
    """

    def __init__(self, variational: bool) -> None:
        super().__init__()
        self.layers = hidden_layers(784)
        self.mean = nn.Linear(HIDDEN, LATENT_DIM)
        self.log_covariance = nn.Linear(HIDDEN, LATENT_DIM) if variational else None

    def forward(self, x: Tensor) -> ModelOutput:
        hidden = self.layers(x.flatten(1))
        output = ModelOutput(embedding=self.mean(hidden))
        if self.log_covariance is not None:
            output["log_covariance"] = self.log_covariance(hidden)
        return output


class TheirDecoder(BaseDecoder):
    """pythae's form of the decoder: probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(hidden_layers(LATENT_DIM), nn.Linear(HIDDEN, 784), nn.Sigmoid())

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.layers(z).unflatten(1, SHAPE))


def pairs() -> dict[str, tuple[GenerativeModel, nn.Module]]:
    """Our model and theirs, by the name of the paper's model."""
    mlp = {"encoder": {"class_path": "MLPEncoder", "hidden": [200, 200]}, "decoder": {"class_path": "MLPDecoder", "hidden": [200, 200]}}
    binary = {"data_shape": list(SHAPE), "num_bits": 1, **mlp}
    vae = {**binary, "latent_dim": LATENT_DIM, "likelihood": "Bernoulli"}
    theirs = {"input_dim": SHAPE, "latent_dim": LATENT_DIM}
    bernoulli = {**theirs, "reconstruction_loss": "bce"}

    def networks(variational: bool = True) -> tuple[BaseEncoder, BaseDecoder]:
        return TheirEncoder(variational), TheirDecoder()

    return {
        "AE": (ours.Autoencoder(latent_dim=LATENT_DIM, **binary), AE(AEConfig(**theirs), *networks(False))),
        "VAE": (ours.VAE(**vae), VAE(VAEConfig(**bernoulli), *networks())),
        "BetaVAE": (ours.BetaVAE(**vae), BetaVAE(BetaVAEConfig(**bernoulli), *networks())),
        "BetaTCVAE": (ours.BetaTCVAE(**vae), BetaTCVAE(BetaTCVAEConfig(**bernoulli, dataset_size=50_000), *networks())),
        "IWAE, k = 5": (ours.IWAE(num_samples=5, **vae), IWAE(IWAEConfig(**bernoulli, number_samples=5), *networks())),
        "VampPrior, K = 500": (
            ours.VampPriorVAE(num_pseudo_inputs=500, **vae),
            VAMP(VAMPConfig(**bernoulli, number_components=500), *networks()),
        ),
        "VQ-VAE, K = 512": (
            ours.VQVAE(code_shape=[1], code_dim=LATENT_DIM, num_codes=512, likelihood="Bernoulli", **binary),
            VQVAE(VQVAEConfig(**theirs, num_embeddings=512, use_ema=True), *networks(False)),
        ),
    }


def our_step(model: GenerativeModel, images: Tensor) -> Step:
    """One step of ours; the noise is made anew, as in training."""
    optimizer = torch.optim.Adam(model.trained_parameters(), lr=1e-3)

    def step() -> None:
        model.batches_seen += 1
        terms = model.validation_terms((images, None), StepNoise(BATCH, 0, model.batches_seen, 0, images.device))
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()

    model.train()
    return step


def their_step(model: nn.Module, images: Tensor) -> Step:
    """One step of theirs."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    batch = {"data": images.float() / 255}

    def step() -> None:
        loss = model(batch, epoch=1, dataset_size=50_000).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    model.train()
    return step


def medians(steps: tuple[Step, Step], repeats: int, device: torch.device) -> list[float]:
    """Median seconds of each; they take turns, so that a busy moment of the machine hits both."""
    seconds: list[list[float]] = [[], []]
    for repeat in range(-max(3, repeats // 10), repeats):
        for own, step in zip(seconds, steps, strict=True):
            start = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if repeat >= 0:  # the first ones warm up
                own.append(time.perf_counter() - start)
    return [statistics.median(own) for own in seconds]


def main() -> None:
    """Print one line per model, as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    images = (255 * torch.randint(0, 2, (BATCH, *SHAPE), dtype=torch.uint8)).to(device)
    print(f"Machine: {machine(device)}; {options.repeats} repeats.\n")
    print("| model | ours, ms | pythae, ms | ratio |\n|---|---:|---:|---:|")
    for name, (own, their) in pairs().items():
        mine, theirs = medians((our_step(own.to(device), images), their_step(their.to(device), images)), options.repeats, device)
        print(f"| {name} | {1e3 * mine:.2f} | {1e3 * theirs:.2f} | {mine / theirs:.2f} |")


if __name__ == "__main__":
    main()
