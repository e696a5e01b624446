"""The autoencoders on identical networks: train each MNIST configuration with the same budget, and put what they reach into one table.

Usage: python benchmarks/autoencoder_table.py train --images 2000000 [--seeds 0 1 2] [--models vae iwae] [--runs runs/table]
       python benchmarks/autoencoder_table.py table [--runs runs/table]

All have the 784-200-200 encoder, 50 latent dimensions, the mirrored decoder, and dynamically binarized images; the hierarchies have further
networks, the VQ-VAE 16 codes. The KL is warmed up over a fifth of the budget. Scores are of the last checkpoint on the test split;
likelihoods by 5000 importance samples of the first 1000 images.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
from typing import Any

from lightning_gen.analysis.posterior_report import posterior_report
from lightning_gen.analysis.probe import probe
from lightning_gen.checkpoint import find_checkpoint, load_model
from lightning_gen.cli.evaluation_job import rebuild_data
from lightning_gen.data.base import ImageDataModule
from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel

MODELS = ("autoencoder", "denoising_autoencoder", "contractive_autoencoder", "vae", "beta_vae", "iwae", "vamp_prior_vae", "vq_vae")
"""In the order of the table; any other ``<model>_mnist`` may be named too."""

WITHOUT_KL = ("autoencoder", "denoising_autoencoder", "contractive_autoencoder", "prior_sampling_lvm", "enumeration_lvm")

HEADER = (
    "| model | seeds | nats (5000 samples) | FD(mnist-cnn) | reconstruction MSE | rate | active units | 1-NN | linear probe | parameters |"
)


def train(options: argparse.Namespace) -> None:
    """Train every model with every seed, one after the other."""
    for seed in options.seeds:
        for model in options.models:
            subprocess.run([*command(model, seed, options), *options.extra], check=True)


def command(model: str, seed: int, options: argparse.Namespace) -> list[str]:
    """The run of one model: its own configuration with the common budget."""
    settings = {
        "config": f"{model}_mnist",
        "seed_everything": seed,
        "budget.images": options.images,
        "model.decay_images": options.images,
        "checkpoints.every_images": options.images,
        "evaluation.every_images": 0,
        "latents.every_images": 0,
        "samples.every_images": options.images,
        "reconstructions.every_images": 0,
        "final.num_samples": 10_000,
        "final.likelihood_samples": 5000,
        "final.likelihood_images": 1000,
        "runs": options.runs,
        "wandb": "off",
    }
    if model == "vq_vae":
        settings["model.prior_from_images"] = options.images * 4 // 5
    elif model not in WITHOUT_KL:
        settings["model.kl_warmup_images"] = options.images // 5
    return [sys.executable, "-m", "lightning_gen", "fit", *(f"--{name}={value}" for name, value in settings.items())]


def table(options: argparse.Namespace) -> None:
    """Print the table: means over seeds, with the standard deviation where there are several."""
    print(HEADER + "\n|---|" + "---:|" * (HEADER.count("|") - 2))
    for model in options.models:
        found = [row(folder) for folder in sorted(pathlib.Path(options.runs, f"{model}_mnist").glob("*")) if (folder / "results").is_dir()]
        if found:
            names = list(found[0])[1:]
            cells = [summary([values[name] for values in found]) for name in names]
            print(f"| {found[0]['model']} | {len(found)} | {' | '.join(cells)} |")


def row(folder: pathlib.Path) -> dict[str, Any]:
    """What one run reached."""
    record = json.loads(max((folder / "results").glob("*-last-*.result.json")).read_text())
    scores = {score["name"]: score["value"] for score in record["scores"]}
    path = find_checkpoint(str(folder / "checkpoints" / "last.ckpt"))
    model = load_model(path)
    data = rebuild_data(model, path)
    data.prepare_data()
    try:
        report = posterior_report(model, data, "test", 1000, num_samples=2)
        rate, active = report.rate, report.active_units
    except UserError:
        rate = active = None
    return {
        "model": record["model"]["name"],
        "nats": scores.get("nats"),
        "fd": scores.get("FD(mnist-cnn)"),
        "mse": scores.get("reconstruction MSE"),
        "rate": rate,
        "active": active,
        **probes(model, data),
        "parameters": record["cost"]["parameters"],
    }


def probes(model: GenerativeModel, data: ImageDataModule) -> dict[str, Any]:
    """Accuracies of the nearest neighbour and of a linear probe on the encoder's codes; none for a model without."""
    try:
        accuracies = probe(model, data)["encoder"]
    except UserError:
        return {"nearest": None, "linear": None}
    return {name: accuracies[name] for name in ("nearest", "linear")}


def summary(values: list[Any]) -> str:
    """A mean with the standard deviation over seeds; a dash where there is no number."""
    if any(value is None for value in values):
        return "-"
    spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 and statistics.stdev(values) else ""
    return f"{statistics.mean(values):.4g}{spread}" if isinstance(values[0], float) else f"{statistics.mean(values):,.0f}{spread}"


def main() -> None:
    """Train, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("train", "table"))
    parser.add_argument("--images", type=int, default=2_000_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--runs", default="runs/table")
    options, options_of_fit = parser.parse_known_args()
    options.extra = options_of_fit
    {"train": train, "table": table}[options.what](options)


if __name__ == "__main__":
    main()
