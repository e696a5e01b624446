"""A model of every family on the same 8-bit MNIST, side by side: sharpness, diversity, likelihood where there is one, sampling time.

Usage: python benchmarks/mnist_families.py RUN [RUN ...] --root FOLDER_OF_MNIST [--num_samples 5000] [--threads 1]

Runs are folders that `lightning-gen fit` made. The first row is of test images. Sharpness is the variance of the discrete Laplacian of an
image (Pech-Pacheco et al., 2000), averaged over images, beside that of the other half of the test images: 1 is as sharp as real, less is
blurred, more is noise. Bits/dim come from the last checkpoint's record, all else is measured here on the same samples.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import time
from typing import Any

import torch
from noise_speed import machine
from torch import Tensor
from torch.nn.functional import conv2d

from lightning_gen.checkpoint import find_checkpoint, load_model
from lightning_gen.data.mnist import MNIST
from lightning_gen.evaluation.api import score

LAPLACIAN = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
METRICS = ("fid", "is", "diversity")


def sharpness(images: Tensor) -> float:
    """Mean over uint8 images ``(N, 1, H, W)`` of the variance of their Laplacian."""
    return float(conv2d(images.float(), LAPLACIAN[None, None]).flatten(1).var(1).mean())


def scores(images: Tensor, root: str) -> list[float]:
    """FD, CS and diversity against the test images."""
    verdict = score(images.numpy(), "MNIST:test", root=root, extractor="mnist-cnn", metrics=METRICS, num_samples=len(images))
    return [each.value for each in verdict.scores]


def likelihood(folder: pathlib.Path) -> str:
    """Bits/dim of the last checkpoint, with a sign where it is a bound."""
    record = json.loads(max((folder / "results").glob("*-last-*.result.json")).read_text())
    return next((f"{bound(found)}{found['value']:.3f}" for found in record["scores"] if found["name"] == "bits/dim"), "-")


def bound(found: dict[str, Any]) -> str:
    """What stands before a bound."""
    return "" if found["kind"] == "exact" else "<= "


def row(folder: pathlib.Path, real: float, options: argparse.Namespace) -> str:
    """What one model reached."""
    model = load_model(find_checkpoint(str(folder), "last"))
    model.sample(1)  # what is built at the first sample is not timed
    start = time.perf_counter()
    images = model.sample(options.num_samples)
    milliseconds = 1e3 * (time.perf_counter() - start) / options.num_samples
    distance, confidence, diversity = scores(images, options.root)
    return (
        f"| {model.family} | {type(model).__name__} | {sharpness(images) / real:.2f} | {diversity:.2f} | {distance:.1f} | {confidence:.2f} "
        f"| {likelihood(folder)} | {milliseconds:.3g} |"
    )


def main() -> None:
    """Print one line per run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=pathlib.Path)
    parser.add_argument("--root", required=True)
    parser.add_argument("--num_samples", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = MNIST(batch_size=100, root=options.root)
    data.prepare_data()
    halves = [data.batch("test", indices)[0] for indices in (range(0, 10_000, 2), range(1, 10_000, 2))]
    real = sharpness(halves[1])
    sharp = sharpness(halves[0]) / real
    distance, confidence, diversity = scores(halves[0], options.root)
    print(f"Machine: {machine(torch.device('cpu'))}; {options.num_samples} samples.\n")
    print("| family | model | sharpness | diversity | FD(mnist-cnn) | CS(mnist-cnn) | bits/dim | ms per sample |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    print(f"| real images | half of the test split | {sharp:.2f} | {diversity:.2f} | {distance:.1f} | {confidence:.2f} | | |")
    for folder in options.runs:
        print(row(folder, real, options), flush=True)


if __name__ == "__main__":
    main()
