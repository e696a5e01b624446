"""Pictures of the latent space during training, drawn by the same functions as ``lightning-gen explore``."""

from __future__ import annotations

import pytorch_lightning as pl
from torch import Tensor

from lightning_gen.analysis.exploration import Request
from lightning_gen.analysis.kinds import find_kinds, obstacles
from lightning_gen.analysis.latent_space import LatentSpace
from lightning_gen.callbacks.pictures import PictureCallback
from lightning_gen.distributed import say
from lightning_gen.errors import UserError
from lightning_gen.models.base import GenerativeModel

AFTERWARDS = ("posterior", "holes")
"""The kinds that measure many images, for which one process should not keep the others waiting; their place is after training."""

DRAWN = ["traversal", "manifold", "scatter", "interpolation", "density"]
"""What is drawn when nobody says."""


class LatentPictures(PictureCallback):
    """Explores the latent space of the averaged weights by images of the validation split; ``explore_<kind>`` is each picture's name.

    Args:
        every_images: the interval in images seen; 0 draws nothing at all.
        kinds: of traversal, manifold, scatter, interpolation, arithmetic, reconstruction, density, path, temperature and completion; those
            that the model is not capable of are named once and left out.
        seed: keys drawn latents.
    """

    capability = "decoding"
    picture_name = "explore"

    def __init__(self, every_images: int = 0, kinds: list[str] = DRAWN, seed: int = 0) -> None:
        super().__init__(every_images, num_images=1)
        for kind in kinds:
            if kind in AFTERWARDS:
                raise UserError(f"explore.kinds: {kind} measures many images; expected it after training, by 'lightning-gen explore'")
        self.kinds = kinds
        self.explorers = find_kinds("explore.kinds", kinds)
        self.seed = seed

    def space(self, trainer: pl.Trainer, model: GenerativeModel) -> LatentSpace:
        """The latent space as it is now."""
        return LatentSpace(model, trainer.datamodule, "validation", self.seed)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: GenerativeModel) -> None:
        """Say once which kinds there will be no pictures of, and why."""
        if not self.every_images:
            return
        self.obstacle = None if hasattr(trainer.datamodule, "batch") else "the trainer has no datamodule with validation images"
        with pl_module.inference("ema"):
            found = {} if self.obstacle else obstacles(self.space(trainer, pl_module), self.explorers, Request())
        for name, obstacle in found.items():
            say(f"{type(self).__name__}: no {name}, {obstacle}")
        if self.obstacle:
            say(f"{type(self).__name__}: no pictures, {self.obstacle}")
        self.explorers = [explorer for explorer in self.explorers if explorer.name not in found]

    def pictures(self, trainer: pl.Trainer, model: GenerativeModel) -> dict[str, Tensor]:
        """All kinds, from one look at the latent space; none where it is not finite, since no picture is worth a training."""
        space = self.space(trainer, model)
        try:
            return {f"explore_{explorer.name}": explorer.draw(space, Request()).picture for explorer in self.explorers}
        except UserError as error:
            say(f"{type(self).__name__}: no pictures now, {error}")
            return {}
