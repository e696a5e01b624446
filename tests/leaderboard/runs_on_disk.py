"""Small run folders for the page: a record, a configuration, metrics and a sheet."""

import os
import pathlib
import struct
import zlib
from dataclasses import replace

import yaml
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lightning_gen.leaderboard.page.build import page_data, write_page
from lightning_gen.leaderboard.record import ResultRecord, write
from lightning_gen.leaderboard.sheet import KEY, SheetNoise
from lightning_gen.leaderboard.store import find_results
from lightning_gen.leaderboard.table import leaderboard

CONFIG = {
    "seed_everything": 0,
    "trainer": {"precision": "32-true", "accumulate_grad_batches": 1},
    "model": {
        "class_path": "lightning_gen.models.VAE",
        "init_args": {
            "latent_dim": 16,
            "encoder": {"class_path": "MLPEncoder", "init_args": {"hidden": [256, 256], "activation": "relu"}},
            "decoder": {"class_path": "MLPDecoder", "init_args": {"hidden": [256, 256], "activation": "relu"}},
            "likelihood": {"class_path": "DiscretizedLogistic", "init_args": {}},
            "learning_rate": 1e-3,
            "posterior": "DiagonalNormal",
            "kl_estimator": "closed_form",
            "kl_warmup_images": 0,
            "free_bits": 0.0,
            "observation_noise": False,
            "adam_epsilon": 1e-8,
            "decay_images": 0,
            "conditional": False,
        },
    },
    "data": {
        "class_path": "lightning_gen.data.Digits",
        "init_args": {"batch_size": 64, "root": "/somewhere", "binarization": "none", "horizontal_flip": False},
    },
    "ema": {"half_life_images": 0},
    "budget": {"images": 100_000},
    "samples": {"seed": 0, "every_images": 20_000},
    "training_noise": "step",
}
"""A run of vae_digits as it is shipped."""

METRICS = """progress/images,train/loss,eval/FD(digits-cnn),full/FD(digits-cnn)
1000,3.0,50.0,
2000,,,40.0
4000,,30.0,20.0
"""


def png(size: int = 8) -> bytes:
    """A grey picture; written here, so that no test of the page needs torchvision."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    lines = zlib.compress(b"".join(b"\0" + b"\x80" * size for _ in range(size)))
    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def noisy_sheet(path: pathlib.Path, **noise: object) -> None:
    """Write a sheet that says what noise it was drawn from: by default ``normal z (16)`` of seed 0, in two columns."""
    told = PngInfo()
    told.add_text(KEY, SheetNoise(**{"seed": 0, "draws": ["normal z (16)"], "columns": 2, "labels": None} | noise).as_text())
    Image.new("RGB", (8, 8)).save(path, format="PNG", pnginfo=told)


def make_run(folder: pathlib.Path, *records: ResultRecord, config: dict | None = CONFIG) -> pathlib.Path:
    """A run's folder with records in it, which may say whatever they like about where they lie."""
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures" / "samples_0000100000.png").write_bytes(png())
    (folder / "metrics.csv").write_text(METRICS)
    if config is not None:
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for record in records:
        write(record, folder / "results")
    return folder


def with_setting(key: str, value: object) -> dict:
    """The configuration with another value at a dotted key."""
    *path, last = key.split(".")
    config = yaml.safe_load(yaml.safe_dump(CONFIG))
    inner = config
    for name in path:
        inner = inner.setdefault(name, {})
    inner[last] = value
    return config


def named(record: ResultRecord, name: str, value: float, **fields: object) -> ResultRecord:
    """The record of a run of that name with another headline score."""
    scores = [replace(record.scores[0], value=value), *record.scores[1:]]
    return replace(record, run_name=name, scores=scores, **fields)


def _found(folder: pathlib.Path):
    found, _ = find_results([folder])
    return leaderboard(record for _, record in found), {id(record): path for path, record in found}


def page_of(folder: pathlib.Path, out: pathlib.Path) -> dict:
    """The data of the page of all runs below a folder; settings are back at their rows."""
    data = page_data(*_found(folder), out)
    for row in data["rows"]:
        row["settings"] = row["settings"] and dict(data["settings"][number] for number in row["settings"])
    return data


def page_file(folder: pathlib.Path, out: pathlib.Path) -> pathlib.Path:
    """The page of all runs below a folder, as a file."""
    return write_page(*_found(folder), pathlib.Path(os.fspath(out)))
