"""Speed and memory of scoring against pytorch-fid's, torch-fidelity's and torchmetrics' routes, both sides in the same run.

Usage: python benchmarks/evaluation_speed.py distance     # Fréchet distance at d = 2048
       python benchmarks/evaluation_speed.py extraction   # Inception features, images/s
       python benchmarks/evaluation_speed.py memory       # at N = 50,000, beyond the network
       python benchmarks/evaluation_speed.py training     # the debiased distance of 1000 samples
Prints Markdown tables of medians over repeats and of ratios. Inception has random weights: its speed does not depend on them.
"""

from __future__ import annotations

import argparse
import gc
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

D = 2048
CLASSES = 1008


def machine() -> str:
    """What the numbers belong to."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def medians(sides: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each side; the sides take turns, so that a busy machine slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, work in sides.items():
            gc.collect()
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def print_table(times: dict[str, float], ours: str, unit: str = "s", per: int = 0) -> None:
    """One row per side, with how many times ours is faster."""
    print(f"\n{machine()}\n\n| side | {'images/s' if per else unit} | time / ours |\n|---|---|---|")
    for name, value in times.items():
        print(f"| {name} | {per / value if per else value:.3g} | {value / times[ours]:.2f} |")


# The Fréchet distance.


def statistics_of_features(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features with a spectrum that falls as Inception's does, their mean and covariance."""
    random = np.random.default_rng(seed)
    scales = np.arange(1, D + 1) ** -0.75
    mixing = np.linalg.qr(np.random.default_rng(0).normal(size=(D, D)))[0]
    features = (random.normal(size=(count, D)) * scales) @ mixing + 0.01 * seed
    return features.astype(np.float32), features.mean(0), np.cov(features, rowvar=False)


def by_root_of_the_product(mean: np.ndarray, covariance: np.ndarray, real_mean: np.ndarray, real_covariance: np.ndarray) -> float:
    """As pytorch-fid does."""
    from scipy.linalg import sqrtm

    root = sqrtm(covariance @ real_covariance)
    shift = mean - real_mean
    return float(shift @ shift + np.trace(covariance) + np.trace(real_covariance) - 2 * np.trace(root).real)


def distance(repeats: int) -> None:
    """Against SciPy's root of the product, as pytorch-fid takes it, and against the eigenvalues of the product, as torchmetrics does."""
    from torchmetrics.image.fid import _compute_fid

    from lightning_gen.metrics.frechet import GaussianStatistics, frechet_distance, symmetric_root

    for count in (5000, 1000):
        features, mean, covariance = statistics_of_features(count, 1)
        _, real_mean, real_covariance = statistics_of_features(5000, 2)
        tensors = [torch.from_numpy(array) for array in (mean, covariance, real_mean, real_covariance)]
        real = GaussianStatistics(5000, tensors[2], None, root=symmetric_root(tensors[3]))
        samples = GaussianStatistics(count, tensors[0], tensors[1])
        if count <= D:
            samples = GaussianStatistics.of_rows(torch.from_numpy(features))

        sides: dict[str, Callable[[], object]] = {
            "ours": lambda samples=samples, real=real: frechet_distance(samples, real),
            "torchmetrics (eigvals)": lambda tensors=tensors: _compute_fid(*tensors),
            "pytorch-fid (SciPy sqrtm)": lambda m=mean, c=covariance, n=real_mean, r=real_covariance: by_root_of_the_product(m, c, n, r),
            "ours, exact": lambda samples=samples, real=real: frechet_distance(samples, real, exact=True),
        }
        values = {name: float(work()) for name, work in sides.items()}
        print(f"\nFréchet distance, d = {D}, N = {count} against stored statistics of 5000: " + str(values))
        print_table(medians(sides, repeats), "ours")


# Extraction.


def extraction(repeats: int) -> None:
    """Images per second from uint8 32x32 to features."""
    sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests"))
    from inception_weights import inception_weights_file, photo_patches
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torchmetrics.image.fid import NoTrainInceptionV3

    from lightning_gen.metrics.extractors import build_extractor

    device = "cuda" if torch.cuda.is_available() else "cpu"
    count = 4096 if device == "cuda" else 128
    weights, images = inception_weights_file(), photo_patches(128).repeat(count // 128, 1, 1, 1).to(device)
    ours = {
        arithmetic: build_extractor("inception-v3-tf", device, weights=weights, arithmetic=arithmetic)
        for arithmetic in ("fast", "reference")
    }
    fidelity = FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], weights).to(device)
    metrics = NoTrainInceptionV3("inception-v3-compat", ["2048"], weights).to(device)

    def finished(work: Callable[[torch.Tensor], object], size: int) -> Callable[[], None]:
        def run() -> None:
            with torch.no_grad():
                for batch in images.split(size):
                    work(batch)
            if device == "cuda":
                torch.cuda.synchronize()

        return run

    sides = {
        "ours, fast": finished(ours["fast"], 64),
        "ours, reference": finished(ours["reference"], 64),
        "torch-fidelity, its batch of 64": finished(fidelity, 64),
        "torch-fidelity, batch of 8": finished(fidelity, 8),
        "torchmetrics, batch of 64": finished(metrics, 64),
        "torchmetrics, batch of 8": finished(metrics, 8),
    }
    for work in sides.values():
        work()
    print_table(medians(sides, repeats), "ours, fast", per=count)


# During training.


def training(repeats: int) -> None:
    """What a score between checkpoints costs beside sampling and extraction."""
    from lightning_gen.metrics.frechet import GaussianStatistics, debiased_distance, symmetric_root

    features, _, _ = statistics_of_features(1000, 1)
    _, mean, covariance = statistics_of_features(5000, 2)
    real = GaussianStatistics(5000, torch.from_numpy(mean), None, root=symmetric_root(torch.from_numpy(covariance)))
    rows = torch.from_numpy(features)
    print_table(medians({"debiased distance, N = 1000": lambda: debiased_distance(rows, real)}, repeats), "debiased distance, N = 1000")


# Memory.

SIDES = {
    "ours, FID + IS": "fid,is",
    "ours, FID + IS + KID + PRDC": "fid,is,kid,prdc",
    "torchmetrics, FID + IS + KID": "torchmetrics",
}


def memory(count: int) -> None:
    """Peak memory of each side in a process of its own, beyond what it had before the first image."""
    with tempfile.TemporaryDirectory() as folder:
        shared = [sys.executable, __file__, "memory", "--num_images", str(count), "--folder", folder, "--side"]
        subprocess.run([*shared, "reference"], check=True)
        print(f"\n{machine()}\n\n| N = {count}, d = {D} | peak beyond the start, MB | seconds |\n|---|---|---|")
        for name, what in SIDES.items():
            print(
                f"| {name} | {subprocess.run([*shared, what], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()} |", flush=True
            )


def features_and_logits(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """What a network would give: a function of the index."""
    random = np.random.default_rng(start)
    features = np.abs(random.normal(size=(stop - start, D)) * 0.4)
    return features.astype(np.float32), random.normal(size=(stop - start, CLASSES)).astype(np.float32)


def peak() -> float:
    """The process's largest resident memory so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def warm_up() -> None:
    """Let the libraries allocate the buffers that they keep whatever is computed, on either side."""
    square = torch.eye(512, dtype=torch.float64)
    for work in (torch.linalg.eigvalsh, torch.linalg.eigvals, lambda x: x @ x, lambda x: x.float() @ x.float()):
        work(square)


def filled(folder: pathlib.Path, count: int, shift: int) -> Any:
    """A workspace with the features and logits of so many images."""
    from lightning_gen.metrics.tables import Workspace
    from lightning_gen.noise import blocks

    workspace = Workspace(folder, count, {"features": D, "logits": CLASSES})
    workspace.create()
    for number, block in enumerate(blocks(count)):
        features, logits = features_and_logits(shift + block.start, shift + block.stop)
        workspace.put(number, {"features": features, "logits": logits})
    return workspace


def make_reference(folder: pathlib.Path, count: int) -> None:
    """The real side, as another evaluation would have left it on the disk."""
    from lightning_gen.evaluation.extraction import FeatureSet
    from lightning_gen.evaluation.references import _from_features, save

    workspace = filled(folder / "work", count, 10**6)
    features = FeatureSet("real", workspace.tables["features"], None)
    save(_from_features(features, {}, "fast", torch.device("cpu")), folder / "work", folder / "reference")


def of_ours(metrics: list[str], folder: pathlib.Path, count: int) -> tuple[float, float]:
    """Peak memory before and after."""
    from lightning_gen.evaluation.arithmetic import one_thread
    from lightning_gen.evaluation.extraction import FeatureSet
    from lightning_gen.evaluation.references import load
    from lightning_gen.evaluation.scores import scores_of
    from lightning_gen.evaluation.setting import Setting
    from lightning_gen.metrics.dialects import dialect

    warm_up()
    before = peak()
    workspace = filled(folder / "samples", count, 0)
    samples = FeatureSet("samples", workspace.tables["features"], workspace.tables["logits"])
    setting = Setting("inception-v3-tf", True, dialect("tf1"), protocol={"dataset": "random", "split": "none"})
    with one_thread():
        scores_of(samples, load(folder / "reference"), metrics, setting)
    return before, peak()


class Identity(torch.nn.Module):
    """Hands features through as if it had computed them."""

    num_features = D

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def of_torchmetrics(count: int) -> tuple[float, float]:
    """Peak memory before and after."""
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.inception import InceptionScore
    from torchmetrics.image.kid import KernelInceptionDistance

    from lightning_gen.noise import blocks

    frechet, kernel, inception = FrechetInceptionDistance(Identity()), KernelInceptionDistance(Identity()), InceptionScore(Identity())
    warm_up()
    before = peak()
    for shift, real in ((0, False), (10**6, True)):
        for block in blocks(count):
            features, logits = (torch.from_numpy(x) for x in features_and_logits(shift + block.start, shift + block.stop))
            frechet.update(features, real=real)
            kernel.update(features, real=real)
            if not real:
                inception.update(logits)
    for metric in (frechet, kernel, inception):
        metric.compute()
    return before, peak()


def measure(what: str, folder: pathlib.Path, count: int) -> None:
    """One side, in this process."""
    if what == "reference":
        make_reference(folder, count)
        return
    start = time.perf_counter()
    before, after = of_torchmetrics(count) if what == "torchmetrics" else of_ours(what.split(","), folder, count)
    print(f"{after - before:.0f} | {time.perf_counter() - start:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("distance", "extraction", "memory", "training"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--num_images", type=int, default=50_000, help="N of the memory part")
    parser.add_argument("--side", help=argparse.SUPPRESS)  # what a process of the memory part does, and its folder
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        measure(options.side, options.folder, options.num_images)
    elif options.part == "memory":
        memory(options.num_images)
    else:
        {"distance": distance, "extraction": extraction, "training": training}[options.part](options.repeats)


if __name__ == "__main__":
    main()
