"""What ``anomaly`` does once its options are read."""

from __future__ import annotations

import argparse

from rich.console import Console

from lightning_gen.analysis.anomaly import CAVEAT, anomaly, require_same_kind, require_scores
from lightning_gen.cli.analysis_job import opened, publish, require_at_least
from lightning_gen.cli.scoring import progress_bar
from lightning_gen.data.base import SPLITS, ImageDataModule, constructor_arguments
from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.models.capabilities import SupportsLikelihood
from lightning_gen.registry import build, class_path, resolve

EXPLANATION = "± DeLong's standard error; the lead is over the better of the two distances between pixels"


def run(options: argparse.Namespace) -> None:
    """Score, print, record."""
    require_at_least(2, options, "num_images")
    require_at_least(1, options, "train_images", "likelihood_samples")
    require_at_least(0, options, "seed")
    path, model, data = opened(options)
    require_scores(model)
    name, split = parse_against(options.against)
    classes = parse_classes(options.against_classes)
    against = other_data(name, data, classes)
    require_same_kind(data, against)
    against.prepare_data()
    with progress_bar(Console(stderr=True)) as report:
        results = anomaly(
            model,
            data,
            against,
            split=options.split,
            against_split=split,
            num_images=options.num_images,
            train_images=options.train_images,
            likelihood_samples=options.likelihood_samples,
            seed=options.seed,
            weights=options.weights,
            progress=report,
        )
    sizes = [min(options.num_images, part.split_size(of)) for part, of in ((data, options.split), (against, split))]
    protocol = data.protocol(options.split) | {
        "against": against.protocol(split),
        "num_images": sizes[0],
        "against_images": sizes[1],
        "train_images": min(options.train_images, data.split_size("train")),
        **{key: getattr(options, key) for key in ("likelihood_samples", "seed")},
    }
    has_likelihood = isinstance(model, SupportsLikelihood)
    if has_likelihood:
        protocol["likelihood"] = model.likelihood_kind(options.likelihood_samples)
    rows = [[score, f"{row['auroc']:.3f} ± {row['standard_error']:.3f}", _lead(row)] for score, row in results.items()]
    numbers = [str(number) for number in classes or ()]
    other = f"{against.name} {split}" + (f", classes {','.join(numbers)}" if numbers else "")
    notes = [f"{sizes[0]} images of {data.name} {options.split} against {sizes[1]} of {other}; {EXPLANATION}", *[CAVEAT] * has_likelihood]
    label = "-".join(["anomaly", options.split, "against", against.name, split, *numbers])
    publish(options, path, model, protocol, results, label, (["score", "AUROC", "lead over pixels"], rows), notes)


def _lead(row: dict[str, float]) -> str:
    return f"{row['lead']:+.3f} ± {row['lead_error']:.3f}" if "lead" in row else ""


def parse_against(text: str) -> tuple[str, str]:
    """``MNIST`` or ``MNIST:validation`` as name and split."""
    name, _, split = text.partition(":")
    if split and split not in SPLITS:
        raise UserError(f"--against {text}: unknown split {split!r}; {did_you_mean(split, SPLITS)}")
    return name, split or "test"


def parse_classes(text: str | None) -> list[int] | None:
    """``8`` or ``8,3`` as numbers, each once, growing."""
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"--against_classes {text}: expected labels such as 8 or 3,8")
    return sorted({int(part) for part in parts})


def other_data(name: str, data: ImageDataModule, classes: list[int] | None) -> ImageDataModule:
    """The data set called ``name`` with the arguments of the model's own data wherever it takes them.

    Raises:
        UserError: there is none, it needs other arguments, or its images would be the model's own.
    """
    cls = resolve(name, ImageDataModule, "--against")
    known = data.specification()["init_args"]
    arguments = {key: value for key, value in known.items() if key in constructor_arguments(cls) and key != "only_classes"}
    if classes is not None and not (cls.num_classes and "only_classes" in constructor_arguments(cls)):
        raise UserError(f"--against_classes: {name} has no classes; expected no value")
    if wrong := [number for number in classes or () if number >= cls.num_classes]:
        raise UserError(f"--against_classes: expected labels from 0 to {cls.num_classes - 1}, got {wrong[0]}")
    if cls is type(data) and not data.num_classes:
        raise UserError(f"--against {name}: the model was trained on this data; expected other data")
    if cls is type(data):
        own = set(range(data.num_classes)) if data.only_classes is None else set(data.only_classes)
        if classes is None or own & set(classes):
            left = sorted(set(range(data.num_classes)) - own)
            advice = f"expected --against_classes among {', '.join(map(str, left))}" if left else "expected other data"
            raise UserError(f"--against {name}: the model was trained on images of these classes; {advice}")
    if classes is not None:
        arguments["only_classes"] = classes
    return build({"class_path": class_path(cls), "init_args": arguments}, ImageDataModule, "--against", root=data.root)
