"""Weights from files: read once, hashed, and never by a pickle that could run code; found on this machine, or downloaded once."""

from __future__ import annotations

import hashlib
import io
import os
import pathlib
import tempfile
import urllib.request
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor, nn

from lightning_gen.errors import UserError

CONNECTION_SECONDS = 10.0
CHUNK_BYTES = 1 << 20


def checkpoints_folder() -> pathlib.Path:
    """Where torch hub keeps downloaded weights."""
    return pathlib.Path(torch.hub.get_dir()) / "checkpoints"


def file_sha256(path: pathlib.Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state_sha256(network: nn.Module) -> str:
    """SHA-256 of a network's parameters and buffers: their names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_bytes(path: pathlib.Path, owner: str) -> bytes:
    """A file's content.

    Args:
        path: the file.
        owner: how error messages begin.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{owner}: weights {path} cannot be read ({error.strerror})") from error


def load_state(content: bytes, path: pathlib.Path, owner: str) -> dict[str, Tensor]:
    """The state dict that a file holds; a truncated or foreign file, or a pickle that holds anything but tensors, is refused.

    Args:
        content: the file's bytes.
        path: the file, for messages.
        owner: how error messages begin.
    """
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the damage makes of the format
        raise UserError(f"{owner}: weights {path} cannot be loaded; expected a state dict of tensors ({first_line(error)})") from error
    if not isinstance(state, dict) or not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()):
        raise UserError(f"{owner}: weights {path} hold no state dict; expected one of tensors")
    return state


def as_buffer(state: dict[str, Tensor]) -> io.BytesIO:
    """A state dict as a file of our own making, for constructors that would unpickle whatever they are given."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return buffer


def first_line(error: BaseException) -> str:
    """What an error says, on one line and not too long."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 160 else text[:160] + "..."


def download(url: str, path: pathlib.Path, sha256: str) -> None:
    """Fetch a file once, with a progress bar; other processes wait for it, and it appears only whole and with the right hash.

    Args:
        url: where from.
        path: where to.
        sha256: what its hash has to be.

    Raises:
        OSError: no connection, no space, or another content than expected.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.is_file():
            return
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                found = _copy(url, file)
            if found != sha256:
                raise OSError(f"the download has SHA-256 {found[:8]}, expected {sha256[:8]}")
            os.replace(name, path)
        finally:
            pathlib.Path(name).unlink(missing_ok=True)


def _copy(url: str, file: io.BufferedWriter | Any) -> str:
    from rich.console import Console
    from rich.progress import wrap_file

    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=CONNECTION_SECONDS) as response:
        size = int(response.headers.get("Content-Length") or 0)
        name = url.rpartition("/")[2]
        with wrap_file(response, size, description=name, console=Console(stderr=True)) as source:
            while chunk := source.read(CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
    return digest.hexdigest()
