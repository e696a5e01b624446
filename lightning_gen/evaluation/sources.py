"""Anybody's images as a stream: a folder, an array file, an array, a TorchScript generator, or any function of (n, seed)."""

from __future__ import annotations

import os
import pathlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_gen.checkpoint import sha256
from lightning_gen.errors import UserError, did_you_mean
from lightning_gen.evaluation.content import hash_of_array
from lightning_gen.evaluation.image_files import array_file_stream, array_stream, folder_stream
from lightning_gen.evaluation.streams import ImageStream
from lightning_gen.metrics.extractors.weight_files import first_line
from lightning_gen.noise import BLOCK, IndexedNoise, stable_hash

Source = str | os.PathLike[str] | Callable[[int, int], Any] | Tensor | np.ndarray
"""A path, an array of images, or a function ``(n, seed) -> n images`` (uint8, channels first)."""

ARRAY_SUFFIXES = (".npy", ".npz")
TORCHSCRIPT_SUFFIXES = (".pt", ".pth", ".ts")
MODEL_SUFFIX = ".ckpt"

WHAT = "a folder of images, an .npz or .npy file, a TorchScript file (.pt, .pth, .ts), a run folder or a checkpoint"


def image_stream(
    source: Source,
    *,
    num_samples: int | None = None,
    seed: int | None = None,
    image_size: int | None = None,
    latent_dim: int | None = None,
    device: torch.device | str = "cpu",
) -> ImageStream:
    """The images of a source by global index, the same on any number of processes.

    Args:
        source: a folder (see :func:`~lightning_gen.evaluation.image_files.folder_stream`); an ``.npz`` or ``.npy`` file, or an array, of
            uint8 images; a TorchScript file whose ``forward`` maps standard normal z ``(B, latent_dim)`` to uint8 images ``(B, C, H, W)``;
            a function ``(n, seed)`` that returns n such images, called once per block of 64 with a seed of its own.
        num_samples: N; generators need it, of images at hand it takes so many, evenly spread.
        seed: keys what a generator draws; 0 by default. Images at hand have none.
        image_size: pixels a side to which the pictures of a folder are cropped and resized.
        latent_dim: length of a TorchScript generator's z.
        device: where a generator will draw; it makes its first images at once.

    Raises:
        UserError: the source is missing, unreadable or of another kind, or an option does not apply to it.
    """
    is_script = _check_options(source, num_samples, seed, image_size, latent_dim)
    if isinstance(source, str | os.PathLike):
        path = pathlib.Path(source)
        if is_script and path.is_file():
            assert num_samples is not None
            return torchscript_stream(path, num_samples, seed or 0, latent_dim, device)
        return _stream_of_path(path, num_samples, image_size)
    if isinstance(source, Tensor | np.ndarray):
        array = _as_array(source) if isinstance(source, Tensor) else source
        # What is refused for its type, such as an array of objects, has no content.
        identity = {"array": hash_of_array(array)} if array.dtype == np.uint8 else {}
        return array_stream(array, "the array", identity, None, num_samples)
    if callable(source):
        assert num_samples is not None
        return callable_stream(source, num_samples, seed or 0, device)
    raise UserError(f"source: expected {WHAT}, an array or a function of (n, seed), got {type(source).__name__}")


def _as_array(tensor: Tensor) -> np.ndarray:
    if tensor.dtype == torch.bfloat16:  # unknown to NumPy, and refused like every other fraction
        tensor = tensor.float()
    return tensor.detach().cpu().numpy()


def _check_options(source: Source, num_samples: int | None, seed: int | None, image_size: int | None, latent_dim: int | None) -> bool:
    """Refuse options that do not apply; whether the source is a TorchScript file."""
    generates, is_folder, is_script = is_generator(source), _is_folder(source), _is_path(source, TORCHSCRIPT_SUFFIXES)
    _refuse("image_size", image_size, is_folder, "a folder of images")
    _refuse("latent_dim", latent_dim, is_script, "a TorchScript file")
    _refuse("seed", seed, generates, "a generator")
    for key, value in (("num_samples", num_samples), ("image_size", image_size), ("latent_dim", latent_dim)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise UserError(f"{key}: expected a whole number of at least 1, got {value!r}")
    if generates and num_samples is None:
        raise UserError("num_samples: a generator has no number of images of its own; expected one, such as 50000")
    return is_script


def is_generator(source: Source) -> bool:
    """Whether the source makes as many images as are asked for."""
    return _is_path(source, TORCHSCRIPT_SUFFIXES) or (callable(source) and not isinstance(source, Tensor))


def is_model(source: Source) -> bool:
    """Whether the source is a checkpoint or a run folder of ours."""
    if not isinstance(source, str | os.PathLike):
        return False
    path = pathlib.Path(source)
    return path.suffix == MODEL_SUFFIX or any((path / "checkpoints").glob(f"*{MODEL_SUFFIX}"))


def _is_path(source: Source, suffixes: tuple[str, ...]) -> bool:
    return isinstance(source, str | os.PathLike) and pathlib.Path(source).suffix.lower() in suffixes and not _is_folder(source)


def _is_folder(source: Source) -> bool:
    return isinstance(source, str | os.PathLike) and pathlib.Path(source).is_dir()


def _refuse(key: str, value: Any, applies: bool, owner: str) -> None:
    """No option is ignored."""
    if value is not None and not applies:
        raise UserError(f"{key}: applies to {owner} only; expected nothing here, got {value!r}")


def _stream_of_path(path: pathlib.Path, num_samples: int | None, image_size: int | None) -> ImageStream:
    if is_model(path):
        raise UserError(f"{path}: a model of ours, which score and evaluate rebuild; expected images or a generator here")
    if path.is_dir():
        return folder_stream(path, num_samples, image_size)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; {_near_miss(path)}")
    if path.suffix.lower() in ARRAY_SUFFIXES:
        return array_file_stream(path, num_samples)
    raise UserError(f"{path}: expected {WHAT}, got a file that ends with {path.suffix or 'nothing'!r}")


def _near_miss(path: pathlib.Path) -> str:
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = did_you_mean(path.name, siblings)
    return near if near.startswith("did you mean") else f"expected {WHAT}"


# Generators.


def callable_stream(function: Callable[[int, int], Any], count: int, seed: int, device: torch.device | str) -> ImageStream:
    """N images of a function ``(n, seed)``: block b is its answer to (size of the block, hash of the seed and b), on any rank.

    Raises:
        UserError: it fails, or does not return n uint8 images ``(n, C, H, W)``.
    """

    name = getattr(function, "__name__", type(function).__name__)

    def answer(block: range) -> Any:
        asked = len(block), stable_hash(seed, "callable", block.start // BLOCK) >> 1
        try:
            images = function(*asked)
            return torch.from_numpy(np.ascontiguousarray(images)) if isinstance(images, np.ndarray) else images
        except UserError:
            raise
        except Exception as error:  # a user's function may raise anything
            where = f"images {block.start} to {block.stop - 1} (n = {asked[0]}, seed = {asked[1]})"
            raise UserError(f"{name}: fails on {where}: {type(error).__name__}: {first_line(error)}") from error

    def draw(block: range, device: torch.device) -> Any:
        images = answer(block)
        return images.to(device) if isinstance(images, Tensor) else images

    return generator_stream(draw, count, name, None, torch.device(device))


def torchscript_stream(path: pathlib.Path, count: int, seed: int, latent_dim: int | None, device: torch.device | str) -> ImageStream:
    """N images of a TorchScript generator in evaluation mode: row i of z is a function of (seed, i) alone.

    Raises:
        UserError: the file is no TorchScript archive, ``latent_dim`` is missing or wrong, or it does not return uint8 images.
    """
    if latent_dim is None:
        raise UserError(f"latent_dim: {path.name} needs the length of its z, such as 128")
    networks: dict[torch.device, Any] = {}

    def draw(block: range, device: torch.device) -> Tensor:
        if device not in networks:
            networks[device] = _load_script(path, device)
        z = IndexedNoise(seed, block, device).normal("z", (latent_dim,)).float()
        try:
            return networks[device](z)
        except RuntimeError as error:
            raise UserError(f"{path}: fails on z of shape {tuple(z.shape)} (latent_dim {latent_dim}): {_last_line(error)}") from error

    device = torch.device(device)
    key = {"torchscript": sha256(path), "latent_dim": latent_dim, "seed": seed, "device": device.type}
    return generator_stream(draw, count, path.name, key, device)


def _load_script(path: pathlib.Path, device: torch.device) -> Any:
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # that TorchScript has a successor
            return torch.jit.load(path, map_location=device).eval()
    except (RuntimeError, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0][:120]
        raise UserError(f"{path}: not a TorchScript file of torch.jit.save ({reason}); weights alone cannot be scored") from error


def _last_line(error: Exception) -> str:
    """TorchScript puts its own traceback in front of the message."""
    return str(error).strip().rpartition("\n")[2][:200]


def generator_stream(
    draw: Callable[[range, torch.device], Any], count: int, name: str, key: dict[str, Any] | None, device: torch.device
) -> ImageStream:
    """What a generator draws, checked; its first block shows the shape of its images, and is kept so that nothing is drawn twice."""
    first = range(min(count, BLOCK))
    images = _drawn(draw, first, device, name)
    kept = {(first, device): images}
    shape = tuple(images.shape[1:])

    def checked(block: range, device: torch.device) -> Tensor:
        images = kept.pop((block, device)) if (block, device) in kept else _drawn(draw, block, device, name)
        if tuple(images.shape[1:]) != shape:
            raise UserError(f"{name}: expected images {shape} as in its first block, got {tuple(images.shape[1:])} at index {block.start}")
        return images

    return ImageStream(name=name, count=count, draw=checked, shape=shape, key=key)


def _drawn(draw: Callable[[range, torch.device], Any], block: range, device: torch.device, name: str) -> Tensor:
    """A generator's block, which is refused unless it is uint8 images, channels first."""
    # It may draw from the global random numbers, which belong to the caller.
    with torch.no_grad(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        images = draw(block, device)
    expected = f"uint8 ({len(block)}, C, H, W)"
    if not isinstance(images, Tensor):
        raise UserError(f"{name}: expected {expected}, got {type(images).__name__}")
    got = f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}"
    if images.dtype != torch.uint8:
        values = f" from {float(images.min()):.4g} to {float(images.max()):.4g}" if images.numel() and not images.is_complex() else ""
        raise UserError(f"{name}: expected {expected}, got {got}{values}; round to 0 ... 255 where the images are made")
    if images.ndim != 4 or len(images) != len(block):
        raise UserError(f"{name}: expected {expected}, got {got}")
    if images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        raise UserError(f"{name}: expected {expected}, got {got}; put the channels first with images.permute(0, 3, 1, 2)")
    return images
