"""The weights of the Inception network of 2015-12-05, as torch-fidelity converted them from TensorFlow."""

from __future__ import annotations

import hashlib
import os
import pathlib

from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.metrics.extractors.weight_files import checkpoints_folder, download, file_sha256, first_line, load_state, read_bytes

INCEPTION = "inception-v3-tf"
"""The name of the extractor whose scores, with the official weights, are called FID, IS and KID."""

OFFICIAL_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
FILE_NAME = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE_NAME}"
VARIABLE = "LIGHTNING_GEN_INCEPTION_WEIGHTS"
OWNER = f"extractor {INCEPTION!r}"


def find_inception_weights(path: str | os.PathLike[str] | None = None) -> pathlib.Path | None:
    """The file with the weights on this machine, or None; nothing is downloaded and nothing is read.

    Looked for in this order: ``path``, the environment variable ``LIGHTNING_GEN_INCEPTION_WEIGHTS``, torch hub's cache.

    Raises:
        UserError: the path or the variable names a file that does not exist.
    """
    for value, key in ((path, "weights"), (os.environ.get(VARIABLE), VARIABLE)):
        if value:
            found = pathlib.Path(value).expanduser()
            if not found.is_file():
                raise UserError(f"{key}: expected a file with the weights of Inception, got {found}, which does not exist")
            return found
    cached = checkpoints_folder() / FILE_NAME
    return cached if cached.is_file() else None


def inception_weights(path: str | os.PathLike[str] | None = None, allow_download: bool = True) -> pathlib.Path:
    """The file with the weights, downloaded into torch hub's cache when it is nowhere on this machine.

    Args:
        path: the file, when somebody named one.
        allow_download: whether the network may be used.
    """
    found = find_inception_weights(path)
    if found is not None:
        return found
    target = checkpoints_folder() / FILE_NAME
    reason = "downloads are switched off"
    if allow_download:
        try:
            download(URL, target, OFFICIAL_SHA256)
            return target
        except OSError as error:
            reason = f"the download failed: {first_line(error)}"
    raise UserError(
        f"{OWNER}: no weights ({reason}); fetch {URL} and put it at {target}, or set {VARIABLE} to where the file {FILE_NAME} is"
    )


def load_inception(path: pathlib.Path) -> tuple[dict[str, Tensor], str]:
    """The state dict in a file, and the file's SHA-256.

    A file in torch hub's cache has to be the official one; one that somebody named may hold other weights for the same network.
    """
    content = read_bytes(path, OWNER)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != OFFICIAL_SHA256 and path == checkpoints_folder() / FILE_NAME:
        raise UserError(f"{OWNER}: {path} is damaged (SHA-256 {sha256[:8]}, expected {OFFICIAL_SHA256[:8]}); delete it and try again")
    return load_state(content, path, OWNER), sha256


def has_official_weights() -> bool:
    """Whether the official weights are on this machine."""
    found = find_inception_weights()
    return found is not None and file_sha256(found) == OFFICIAL_SHA256
