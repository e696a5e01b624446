"""Arithmetic on latents: the mean of group A minus the mean of group B, added to group C (Radford et al., 2015, arXiv:1511.06434)."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor

from lightning_gen.analysis.exploration import Exploration, Explorer, Request, rounded
from lightning_gen.analysis.latent_space import MANY, Codes, LatentSpace
from lightning_gen.analysis.sheets import GREY, sheet
from lightning_gen.errors import UserError

SHOWN = 8


class Arithmetic(Explorer):
    """Groups of images by label where there is an encoder (the first classes that occur, where nobody names any), groups of samples by
    number where somebody names them.

    The last column shows what the mean of each group decodes to.
    """

    name = "arithmetic"
    options = ("num_images", "labels", "samples")

    def obstacle(self, space: LatentSpace, request: Request) -> str | None:
        if request.samples is not None:
            return space.cannot_decode() or (None if space.has_prior else f"{space.name} has no prior to draw samples from")
        if obstacle := space.cannot_decode():
            return obstacle
        if obstacle := space.cannot_encode():
            return obstacle + ("; expected samples by number, such as 1,2,3:4,5,6:7,8,9" if space.has_prior else "")
        if not (space.data.num_classes or space.data.num_attributes):
            return f"{space.data.name} has no labels to group its images by"
        if request.labels is None and not space.data.num_classes:
            return "attributes do not name groups by themselves; expected labels, such as 15-31,31-15,20"
        if request.labels is None and len(found := classes(space)) < 2:
            return f"all images of the {space.split} split are of class {found[0]}; expected two classes at least, or labels"
        return None

    def check(self, space: LatentSpace, request: Request) -> None:
        for label in request.labels or ():
            members(space, label)

    def draw(self, space: LatentSpace, request: Request) -> Exploration:
        if request.samples is not None:
            names = [f"samples {' '.join(map(str, group))}" for group in request.samples]
            codes = [space.draw(group) for group in request.samples]
            images = [space.decode(group) for group in codes]
        else:
            labels = request.labels or tuple(str(label) for label in (2 * classes(space))[:3])
            names = [f"label {label}" for label in labels]
            batches = [space.images(members(space, label)) for label in labels]
            codes, images = [space.encode(batch) for batch in batches], [batch[0] for batch in batches]
        means = [Codes(group.z.mean(0, keepdim=True), group.labels[:1]) for group in codes]
        difference = means[0].z - means[1].z
        of_samples = request.samples is not None
        picture = self.picture(space, names, codes, images, means, request.num_images or SHOWN, of_samples)
        found = {"groups": names, "sizes": [len(group.z) for group in codes], "difference": rounded(difference[0])}
        moved = rounded(difference.norm().view(1))[0]
        return Exploration(picture, found | {"difference_norm": moved}, f"C + A - B with {', '.join(names)}; |A - B| = {moved:.3g}")

    def picture(
        self,
        space: LatentSpace,
        names: list[str],
        codes: list[Codes],
        images: list[Tensor],
        means: list[Codes],
        shown: int,
        of_samples: bool,
    ) -> Tensor:
        """Members of each group with what their mean decodes to; below them the third group, moved."""
        width = min(shown, max(map(len, images)))
        rows = [self.row(group[:width], space.decode(mean), width) for group, mean in zip(images, means, strict=True)]
        named = [f"{letter}: {name}" for letter, name in zip("ABC", names, strict=True)]
        third = Codes(codes[2].z[:width], codes[2].labels[:width])
        if not of_samples:  # whose row shows what they decode to
            rows.append(self.row(space.decode(third), space.decode(means[2]), width))
            named.append("C decoded")
        difference = means[0].z - means[1].z
        moved, moved_mean = (space.decode(Codes(group.z + difference, group.labels)) for group in (third, means[2]))
        return sheet([*rows, self.row(moved, moved_mean, width)], [*named, "C + A - B"], [*[""] * width, "mean"])

    def row(self, images: Tensor, mean: Tensor, width: int) -> Tensor:
        """A row of a fixed width with the mean at its end."""
        free = images.new_full((width - len(images), *images.shape[1:]), GREY)
        return torch.cat([images, free, mean])


def classes(space: LatentSpace) -> list[int]:
    """The classes that occur in the split, growing."""
    return np.unique(space.data.arrays(space.split)[1]).tolist()


def members(space: LatentSpace, text: str) -> list[int]:
    """The numbers of up to 2048 images of the split that a label's name fits."""
    labels = space.data.arrays(space.split)[1]
    found = np.flatnonzero(matches(text, labels, space.data.num_classes or space.data.num_attributes))[:MANY].tolist()
    if not found:
        raise UserError(f"labels: no image of the {space.split} split fits {text!r}")
    return found


def matches(text: str, labels: np.ndarray, count: int) -> np.ndarray:
    """Which labels ``(N,)`` are the class ``3``, or which ``(N, A)`` have attribute 15 and lack 31 (``15-31``): booleans ``(N,)``.

    Args:
        text: what somebody wrote.
        labels: of the images.
        count: how many classes or attributes there are.
    """
    is_class = labels.ndim == 1
    terms = re.findall(r"[+-]?\d+", text)
    valid = "".join(terms) == text and terms and all(abs(int(term)) < count for term in terms)
    if not valid or (is_class and not text.isdecimal()):
        expected = f"a class from 0 to {count - 1}" if is_class else f"attributes from 0 to {count - 1} such as 15, -31 or 15-31"
        raise UserError(f"labels: expected {expected}, got {text!r}")
    if is_class:
        return labels == int(text)
    return np.all([labels[:, abs(int(term))] == (not term.startswith("-")) for term in terms], axis=0)
