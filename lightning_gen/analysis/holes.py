"""What lies in the holes of a latent space: scores of decoded draws and midpoints beside those of reconstructions.

An autoencoder's decoder knows the latents of images and nothing between them; a prior that the latents are held to closes the holes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_gen.analysis.exploration import Exploration, Explorer, Request
from lightning_gen.analysis.latent_space import Codes, LatentSpace
from lightning_gen.analysis.sheets import sheet, stacked
from lightning_gen.evaluation.arithmetic import exact_arithmetic
from lightning_gen.evaluation.defaults import choose
from lightning_gen.evaluation.judge import Judge, Progress
from lightning_gen.evaluation.plan import Scoring
from lightning_gen.evaluation.streams import ImageStream, split_stream
from lightning_gen.noise import IndexedNoise, blocks, stable_hash

SHOWN, COLUMNS = 32, 16

Decoded = dict[str, Callable[[Sequence[int]], Tensor]]
"""Name of each place in the latent space, and the images that are decoded there, by number."""


class Holes(Explorer):
    """Decoded draws of the prior (of a Gaussian with the moments of the encoded training images where there is none) and midpoints between
    pairs of encoded images, beside reconstructions: as pictures, and by their Frechet distances to the split and to the reconstructions.
    A flow's reconstructions are the images themselves, and are left out.
    """

    name = "holes"
    options = ("num_images",)

    def obstacle(self, space: LatentSpace, request: Request) -> str | None:
        return space.cannot_encode() or space.cannot_decode()

    def draw(self, space: LatentSpace, request: Request) -> Exploration:
        count = min(space.data.split_size(space.split), space.data.evaluation_samples)
        places = decoded_places(space, count)
        shown = min(request.num_images or SHOWN, count)
        blocks_of_images = [image_block(name, draw(range(shown))) for name, draw in places.items()]
        scores, protocol = frechet_distances(space, places, count, request.progress)
        found = {"images": count, "split": space.split, "scores": scores, "scores_protocol": protocol}
        words = [f"{score}: " + ", ".join(f"{name} {value:.4g}" for name, value in of.items()) for score, of in scores.items()]
        summary = "; ".join(words) if words else f"no scores: {choose(space.data, Scoring()).note or 'the data set has no extractor'}"
        return Exploration(stacked(blocks_of_images), found, summary)


def image_block(name: str, images: Tensor) -> Tensor:
    """Images in rows under their name."""
    full = [*images.split(COLUMNS)]
    return sheet(full, [""] * len(full), title=name)


def decoded_places(space: LatentSpace, count: int) -> Decoded:
    """The places; number i of midpoints and of reconstructions belongs to image i of a mixed order."""
    order = space.mixed(count)
    codes = [space.encode(space.images(order[block.start : block.stop])) for block in blocks(count)]
    encoded = Codes(torch.cat([part.z for part in codes]), torch.cat([part.labels for part in codes]))
    middle = (encoded.z + encoded.z[partners(encoded.labels, space.model.conditional)]) / 2
    # Drawn with the labels of the images, so that the places differ in nothing else.
    if space.has_prior:
        name, draw = "draws of the prior", lambda numbers: space.draw(numbers, encoded.labels[list(numbers)]).z
    else:
        name, draw = "draws of a Gaussian with the moments of the encoded images", gaussian_draws(space)
    places: Decoded = {
        name: lambda numbers: space.decode(Codes(draw(numbers), encoded.labels[list(numbers)])),
        "midpoints of pairs": lambda numbers: space.decode(Codes(middle[list(numbers)], encoded.labels[list(numbers)])),
    }
    if space.is_invertible:
        return places
    return places | {"reconstructions": lambda numbers: space.decode(Codes(encoded.z[list(numbers)], encoded.labels[list(numbers)]))}


def gaussian_draws(space: LatentSpace) -> Callable[[Sequence[int]], Tensor]:
    """Draws, by number, of the Gaussian with the mean and the covariance of encoded training images."""
    z = space.encoded_training.z.double()
    centred = z - z.mean(0)
    variances, directions = torch.linalg.eigh(centred.T @ centred / max(1, len(z) - 1))
    root = (directions * variances.clamp(min=0).sqrt()) @ directions.T

    def draw(numbers: Sequence[int]) -> Tensor:
        noise = IndexedNoise(stable_hash(space.seed, "holes"), numbers, space.model.device)
        return (z.mean(0) + noise.normal("z", (z.shape[1],)).double() @ root).to(space.encoded_training.z)

    return draw


def partners(labels: Tensor, same_label: bool) -> Tensor:
    """For each number another one ``(N,)``: the next, or the next of the same label (itself where there is no other)."""
    groups = torch.unique(labels, dim=0, return_inverse=True)[1] if same_label else torch.zeros(len(labels), dtype=torch.int64)
    partner = torch.arange(len(labels), device=labels.device)
    for group in range(int(groups.max()) + 1):
        members = (groups == group).nonzero().flatten().to(partner)
        partner[members] = members.roll(-1)
    return partner


def on_device(draw: Callable[[Sequence[int]], Tensor]) -> Callable[[range, torch.device], Tensor]:
    """Images by number where the extractor wants them."""
    return lambda block, device: draw(block).to(device)


def frechet_distances(
    space: LatentSpace, places: Decoded, count: int, progress: Progress
) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """Frechet distances of the places' images in the data set's extractor, to the split and to the reconstructions where there are any,
    none where it has none; and their protocol: data, extractor with the hash of its weights, dialect.

    Those to the reconstructions leave out what the decoder does to every image, such as blur.
    """
    scoring = Scoring(("fid",), choose(space.data, Scoring()).extractor)
    if scoring.extractor is None:
        return {}, {}
    shape, protocol = tuple(space.model.data_shape), space.data.protocol(space.split)
    streams = [ImageStream(name, count, on_device(draw), shape) for name, draw in places.items()]
    scores: dict[str, dict[str, float]] = {}
    # Building the extractor's network draws its weights, before the stored ones replace them.
    with torch.random.fork_rng(devices=[]), exact_arithmetic():
        judge = Judge.build(scoring, scoring.dialects[0], space.model.device, progress)
        targets = [(split_stream(space.data, space.split), streams)]
        if not space.is_invertible:
            targets.append((streams[-1], streams[:-1]))
        for target, others in targets:
            reference = judge.reference(target)
            for stream in others:
                for score in judge.scores(stream, reference, ("fid",), protocol):
                    scores.setdefault(f"{score.name} to {target.name}", {})[stream.name] = float(f"{score.value:.6g}")
    return scores, dict(judge.setting(shape, protocol).protocol)
