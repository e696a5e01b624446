"""What a classifier sees in a model's samples: mean confidence and the share of every class (mode collapse shows as an empty class).

Of a conditional model also the share of samples that are of the class that was asked for.

Usage: python benchmarks/sample_classes.py RUN_OR_CKPT [--extractor mnist-cnn] [--num_samples 10000] [--weights ema|live]
"""

from __future__ import annotations

import argparse
import json

import torch

from lightning_gen.checkpoint import find_checkpoint, load_model
from lightning_gen.metrics.extractors import build_extractor, extractor_names
from lightning_gen.noise import blocks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--extractor", default="mnist-cnn", choices=extractor_names())
    parser.add_argument("--num_samples", type=int, default=10_000)
    parser.add_argument("--weights", default="ema", choices=("ema", "live"))
    options = parser.parse_args()
    path = find_checkpoint(options.checkpoint)
    model, extractor = load_model(path), build_extractor(options.extractor)
    probabilities, asked = [], []
    with model.inference(options.weights):
        for block in blocks(options.num_samples):
            labels = model.default_labels(block) if model.conditional and model.num_classes else None
            probabilities.append(extractor(model.sample_block(0, block, labels)).logits.softmax(1))
            asked.append(torch.full((len(block),), -1) if labels is None else labels)
    confidence, classes = torch.cat(probabilities).max(1)
    shares = torch.bincount(classes, minlength=extractor.num_classes) / options.num_samples
    report = {
        "checkpoint": path.name,
        "images_seen": model.images_seen,
        "weights": options.weights,
        "num_samples": options.num_samples,
        "extractor": extractor.name,
        "mean_confidence": round(confidence.mean().item(), 4),
        "class_shares": [round(share, 4) for share in shares.tolist()],
    }
    if model.conditional and model.num_classes:
        report["classified_as_asked"] = round((classes == torch.cat(asked)).double().mean().item(), 4)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
