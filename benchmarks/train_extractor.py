"""Train an in-domain feature extractor on a data set's training split and write its weights and card into the package.

Usage: python benchmarks/train_extractor.py digits-cnn
       python benchmarks/train_extractor.py mnist-cnn --root FOLDER_WITH_MNIST
       python benchmarks/train_extractor.py cifar-cnn --root FOLDER_WITH_TRAIN_AND_TEST_OF_CIFAR10

cifar-cnn trains in bfloat16, about 10 minutes on one core with AMX.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from lightning_gen.data import MNIST, Digits, ImageFolder
from lightning_gen.data.base import ImageDataModule
from lightning_gen.images import to_symmetric
from lightning_gen.metrics.extractors.in_domain import WEIGHTS, build_network


def shift(images: Tensor) -> Tensor:
    """Each batch moved by up to one pixel, so that features do not depend on exact alignment."""
    down, right = torch.randint(-1, 2, (2,)).tolist()
    return torch.roll(images, (down, right), dims=(2, 3))


def crop_and_flip(images: Tensor) -> Tensor:
    """Each image moved by up to four pixels, the border reflected, and mirrored with probability 1/2."""
    count, channels, height, width = images.shape
    padded = pad(images, (4, 4, 4, 4), mode="reflect")
    top, left = torch.randint(0, 9, (2, count, 1))
    columns = left + torch.arange(width)
    columns = torch.where(torch.rand(count, 1) < 0.5, columns.flip(1), columns)
    rows = top + torch.arange(height)
    index = (
        torch.arange(count)[:, None, None, None],
        torch.arange(channels)[:, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    )
    return padded[index]


Recipe = dict[str, Any]

GREY: Recipe = {
    **{"network": "SmallClassifier", "augment": shift, "lr": 4e-3, "weight_decay": 1e-5, "smoothing": 0.0},
    **{"dtype": torch.float32, "stored_as": torch.float32, "memory_format": torch.contiguous_format},
}
RECIPES: dict[str, Recipe] = {
    "digits-cnn": GREY | {"data": Digits, "width": 16, "num_features": 32, "epochs": 120, "batch_size": 64},
    "mnist-cnn": GREY | {"data": MNIST, "width": 12, "num_features": 32, "epochs": 6, "batch_size": 128},
    "cifar-cnn": {
        **{"network": "PhotoClassifier", "augment": crop_and_flip, "lr": 6e-3, "weight_decay": 5e-2, "smoothing": 0.1},
        **{"data": ImageFolder, "width": 32, "num_features": 128, "epochs": 24, "batch_size": 128},
        **{"dtype": torch.bfloat16, "stored_as": torch.float16, "memory_format": torch.channels_last},
    },
}


def optimizer_of(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam; with BatchNorm the weight decay is decoupled (AdamW), since it then only sets the step size."""
    kind = torch.optim.AdamW if recipe["network"] == "PhotoClassifier" else torch.optim.Adam
    return kind(network.parameters(), lr=recipe["lr"] / 2, weight_decay=recipe["weight_decay"])


def train(network: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe) -> None:
    """Fit a classifier to the images, by Adam with a one-cycle schedule."""
    epochs, batch_size, augment = recipe["epochs"], recipe["batch_size"], recipe["augment"]
    size = len(images)
    optimizer = optimizer_of(network, recipe)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe["lr"], total_steps=epochs * (size // batch_size))
    for epoch in range(epochs):
        order = torch.randperm(size)[: size // batch_size * batch_size]
        for chosen in order.view(-1, batch_size):
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe["dtype"] == torch.bfloat16):
                logits = network(augment(to_symmetric(images[chosen])).contiguous(memory_format=recipe["memory_format"]))[1].float()
            loss = cross_entropy(logits, labels[chosen], label_smoothing=recipe["smoothing"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}/{epochs}: loss {loss.item():.4f}", flush=True)
    network.eval()


@torch.no_grad()
def accuracy(network: nn.Module, data: ImageDataModule, split: str) -> float:
    """The share of the split's images that are classified right."""
    images, labels = data.batch(split, range(data.split_size(split)))
    right = [network(to_symmetric(x))[1].argmax(1) == y for x, y in zip(images.split(500), labels.split(500), strict=True)]
    return torch.cat(right).float().mean().item()


def load_data(kind: Callable[..., ImageDataModule], root: str | None) -> ImageDataModule:
    """The data set, at eight bits."""
    size = {"image_size": 32} if kind is ImageFolder else {}
    return kind(batch_size=1, num_bits=8, root=root, **size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--root", help="folder of the data set")
    arguments = parser.parse_args()
    recipe = RECIPES[arguments.name]
    data = load_data(recipe["data"], arguments.root)
    sizes = {"num_classes": data.num_classes, "num_features": recipe["num_features"], "width": recipe["width"]}
    architecture = {"network": recipe["network"], "data_shape": list(data.data_shape), **sizes}
    torch.manual_seed(0)
    network = build_network(architecture).to(memory_format=recipe["memory_format"])
    train(network, *data.batch("train", range(data.split_size("train"))), recipe)
    network.to(recipe["stored_as"], memory_format=torch.contiguous_format)
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    network.float()  # the stored weights, as they will be used
    card = {
        **{"name": arguments.name, "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(), **architecture},
        "trained_on": f"{data.name}, train split ({data.split_size('train')} images, 8 bits)",
        "accuracy": {split: round(accuracy(network, data, split), 4) for split in ("train", "validation", "test")},
        "script": "benchmarks/train_extractor.py",
    }
    (WEIGHTS / f"{arguments.name}.pt").write_bytes(buffer.getvalue())
    (WEIGHTS / f"{arguments.name}.json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
