"""Train an in-domain feature extractor on a data set's training split and write its weights and card into the package.

Usage: python benchmarks/train_extractor.py digits-cnn
       python benchmarks/train_extractor.py mnist-cnn --root FOLDER_WITH_MNIST
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json

import torch
from torch.nn.functional import cross_entropy

from lightning_gen.data import MNIST, Digits
from lightning_gen.data.base import ImageDataModule
from lightning_gen.images import to_symmetric
from lightning_gen.metrics.extractors import WEIGHTS, SmallClassifier

RECIPES = {
    "digits-cnn": {"data": Digits, "width": 16, "num_features": 32, "epochs": 120, "batch_size": 64},
    "mnist-cnn": {"data": MNIST, "width": 12, "num_features": 32, "epochs": 6, "batch_size": 128},
}


def shift(images: torch.Tensor) -> torch.Tensor:
    """Each batch moved by up to one pixel, so that features do not depend on exact alignment."""
    down, right = torch.randint(-1, 2, (2,)).tolist()
    return torch.roll(images, (down, right), dims=(2, 3))


def train(data: ImageDataModule, width: int, num_features: int, epochs: int, batch_size: int) -> SmallClassifier:
    """A classifier of the training split, by Adam with a cosine schedule."""
    size = data.split_size("train")
    images, labels = data.batch("train", range(size))
    network = SmallClassifier(data.data_shape, data.num_classes, width, num_features)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * (size // batch_size))
    for epoch in range(epochs):
        order = torch.randperm(size)[: size // batch_size * batch_size]
        for chosen in order.view(-1, batch_size):
            loss = cross_entropy(network(shift(to_symmetric(images[chosen])))[1], labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}/{epochs}: loss {loss.item():.4f}", flush=True)
    return network.eval()


@torch.no_grad()
def accuracy(network: SmallClassifier, data: ImageDataModule, split: str) -> float:
    """The share of the split's images that are classified right."""
    images, labels = data.batch(split, range(data.split_size(split)))
    return (network(to_symmetric(images))[1].argmax(1) == labels).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--root", help="folder of the data set")
    arguments = parser.parse_args()
    recipe = dict(RECIPES[arguments.name])
    data = recipe.pop("data")(batch_size=1, num_bits=8, root=arguments.root)
    torch.manual_seed(0)
    network = train(data, **recipe)
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    card = {
        "name": arguments.name,
        "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        "data_shape": list(data.data_shape),
        "num_classes": data.num_classes,
        "num_features": recipe["num_features"],
        "width": recipe["width"],
        "trained_on": f"{data.name}, train split ({data.split_size('train')} images, 8 bits)",
        "accuracy": {split: round(accuracy(network, data, split), 4) for split in ("train", "validation", "test")},
        "script": "benchmarks/train_extractor.py",
    }
    (WEIGHTS / f"{arguments.name}.pt").write_bytes(buffer.getvalue())
    (WEIGHTS / f"{arguments.name}.json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
