"""What the tests of GANs share: small networks, a batch, and images with a verdict that a test has chosen."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gen.models.gans.adversarial_model import AdversarialModel, Judged
from lightning_gen.noise import IndexedNoise

MLP = {
    "generator": {"class_path": "MLPGenerator", "hidden": [7], "activation": "tanh"},
    "discriminator": {"class_path": "MLPDiscriminator", "hidden": [6], "activation": "tanh"},
}
"""Networks that normalise nothing, and are smooth."""
ENCODING = {
    "generator": MLP["generator"],
    "encoder": {"class_path": "MLPEncoder", "hidden": [6], "activation": "tanh"},
    "discriminator": {"class_path": "BiGANDiscriminator", "width": 6},
}
SHAPE = (1, 4, 4)
REAL, FAKE = [1.0, -2.0, 0.0], [0.5, 3.0, -1.0]
"""Logits."""


def batch(count: int = 3, num_classes: int = 4) -> tuple[Tensor, Tensor]:
    """Random images, with labels in turn."""
    return torch.randint(0, 256, (count, *SHAPE), dtype=torch.uint8), torch.arange(count) % num_classes


def noise(count: int = 3) -> IndexedNoise:
    return IndexedNoise(0, range(count))


def judged(logits: list[float], labels: list[int] | None = None, features: Tensor | None = None, z: Tensor | None = None) -> Judged:
    """Random images of which the discriminator says this."""
    count = len(logits)
    features = torch.zeros(count, 6) if features is None else features
    return Judged(torch.randn(count, *SHAPE), None if labels is None else torch.tensor(labels), torch.tensor(logits)[:, None], features, z)


def discriminator_terms(model: AdversarialModel) -> dict[str, float]:
    """What D minimises at the logits ``REAL`` and ``FAKE``."""
    return {name: float(value) for name, value in model.discriminator_terms(judged(REAL), judged(FAKE), noise()).items()}


def generator_terms(model: AdversarialModel) -> dict[str, float]:
    """What G minimises at the logits ``FAKE``."""
    return {name: float(value) for name, value in model.generator_terms(judged(FAKE), batch(), noise()).items()}


def gradients(model: AdversarialModel, player: str, count: int = 6) -> dict[str, Tensor]:
    """Of one player's loss on a batch worked off in parts as the model does it, for every parameter; zero where there is none."""
    model.zero_grad()
    whole, draws = batch(count, model.num_classes or 4), noise(count)
    for part, part_noise in model.parts(whole, draws):
        losses = model.discriminator_loss if player == "discriminator" else model.generator_loss
        (losses(part, part_noise)[f"{player}_loss"] * len(part[0]) / count).backward()
    return {name: torch.zeros(()) if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
