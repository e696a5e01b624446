"""What the scores say of real images that were damaged on purpose: noise, blur, classes left out, images that belong to no class.

Usage: python benchmarks/damage.py mnist [--root FOLDER_WITH_MNIST]
       python benchmarks/damage.py cifar10 --root FOLDER_WITH_TRAIN_AND_TEST_OF_CIFAR10

Test images, damaged, against training images. Prints a Markdown table, and fails when a score does not follow a growing damage.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from lightning_gen import score
from lightning_gen.data import MNIST, ImageFolder
from lightning_gen.data.base import ImageDataModule
from lightning_gen.leaderboard.record import Score

KINDS = ("FD", "CS", "KD", "precision", "recall", "density", "coverage")

Scores = dict[str, tuple[float, float]]
"""Kind of score -> value and standard error."""

Damage = Callable[[Tensor, Tensor, np.random.Generator], Tensor]
"""Images and their labels to damaged images."""


def noise(strength: float) -> Damage:
    """Gaussian noise, clipped to the pixel range."""
    return lambda x, y, random: (x + strength * torch.from_numpy(random.normal(size=x.shape))).round().clamp(0, 255).to(torch.uint8)


def blur(sigma: float) -> Damage:
    """A Gaussian blur of so many pixels."""
    return lambda x, y, random: gaussian_blur(x, 2 * int(3 * sigma + 1) + 1, sigma)


def without(classes: int) -> Damage:
    """The first classes are replaced by as many images of the others: modes are dropped, every image is still real."""

    def drop(x: Tensor, y: Tensor, random: np.random.Generator) -> Tensor:
        kept = np.flatnonzero((y >= classes).numpy())
        return x[random.choice(kept, len(x), replace=True)]

    return drop


def with_blends(share: float) -> Damage:
    """A share of the images is replaced by means of two images of different classes: modes are invented."""

    def invent(x: Tensor, y: Tensor, random: np.random.Generator) -> Tensor:
        result = x.clone()
        for index in random.permutation(len(x))[: int(share * len(x))]:
            other = random.choice(np.flatnonzero((y != y[index]).numpy()))
            result[index] = ((x[index].int() + x[other].int()) // 2).to(torch.uint8)
        return result

    return invent


SERIES: dict[str, list[tuple[str, Damage]]] = {
    "noise": [(f"noise, std {s} of 255", noise(s)) for s in (8, 24, 64)],
    "blur": [(f"blur, sigma {s} pixels", blur(s)) for s in (0.5, 0.8, 1.5)],
    "dropped": [(f"{n} of 10 classes left out", without(n)) for n in (1, 3, 6)],
    "invented": [(f"{share:.0%} blends of two classes", with_blends(share)) for share in (0.1, 0.3, 0.8)],
}

MUST_GROW = {name: ("FD", "KD") for name in SERIES}
MUST_FALL = {
    "noise": ("CS", "recall"),
    "blur": ("CS", "recall"),
    "dropped": ("CS", "recall", "coverage"),
    "invented": ("CS", "precision", "density"),
}


def open_data(name: str, root: str | None) -> ImageDataModule:
    """MNIST, or CIFAR-10 as a folder of PNG files."""
    if name == "mnist":
        return MNIST(batch_size=64, root=root)
    if root is None:
        raise SystemExit("cifar10: expected --root, a folder with train and test")
    return ImageFolder(root=root, image_size=32, batch_size=64)


def error_of(one: Score, count: int) -> float:
    """The standard error that a score carries; for a share of the images, the binomial one."""
    return math.sqrt(max(one.value * (1 - one.value), 0) / count) if one.uncertainty is None else one.uncertainty


def rows(data: ImageDataModule, extractor: str, count: int) -> Iterator[tuple[str, str, Scores]]:
    """Series, name and scores of the undamaged images and of every damage."""
    real = data.batch("train", np.random.default_rng(1).permutation(data.split_size("train"))[: 2 * count].tolist())[0]
    x, y = data.batch("test", np.random.default_rng(2).permutation(data.split_size("test"))[:count].tolist())
    cases = [("floor", "test images as they are", lambda x, y, random: x)]
    cases += [(series, name, damage) for series, damages in SERIES.items() for name, damage in damages]
    for series, name, damage in cases:
        damaged = damage(x, y, np.random.default_rng(3))
        found = score(damaged, real, extractor=extractor, metrics=("fid", "is", "kid", "prdc"))
        yield series, name, {one.name.partition("(")[0]: (one.value, error_of(one, count)) for one in found.scores}
        print(f"{name}: {len(damaged)} images", file=sys.stderr)


def check(table: list[tuple[str, str, Scores]]) -> list[str]:
    """The series in which a score does not follow the damage by more than two standard errors of the difference."""
    floor = table[0][2]
    wrong = []
    for series in SERIES:
        values = [floor, *(scores for name, _, scores in table if name == series)]
        for sign, kinds in ((1, MUST_GROW[series]), (-1, MUST_FALL[series])):
            for kind in kinds:
                path = [(sign * scores[kind][0], scores[kind][1]) for scores in values]
                if any(b < a - 2 * math.hypot(da, db) for (a, da), (b, db) in zip(path, path[1:], strict=False)):
                    wrong.append(f"{series}: {kind} does not follow the damage: {[scores[kind] for scores in values]}")
    return wrong


def cell(kind: str, value: float, error: float) -> str:
    """A value with its standard error; of shares the value alone."""
    return f"{value:.4g} ± {error:.2g}" if kind in ("FD", "CS", "KD") else f"{value:.4g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=("mnist", "cifar10"))
    parser.add_argument("--root")
    parser.add_argument("--num_images", type=int, default=5000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    extractor = {"mnist": "mnist-cnn", "cifar10": "cifar-cnn"}[options.data]
    table = list(rows(open_data(options.data, options.root), extractor, options.num_images))
    print(f"| images | {' | '.join(f'{kind}({extractor})' if kind in ('FD', 'CS', 'KD') else kind for kind in KINDS)} |")
    print("|" + "---|" * (len(KINDS) + 1))
    for _, name, scores in table:
        print(f"| {name} | {' | '.join(cell(kind, *scores[kind]) for kind in KINDS)} |")
    wrong = check(table)
    print("\n".join(wrong) or "Every series is monotone.", file=sys.stderr)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
