r"""The VAE with a variational mixture of posteriors as its prior (Tomczak & Welling, 2017, arXiv:1705.07120).

Implemented: the VampPrior with one layer of latent variables; the gradient reaches encoder and pseudo-inputs through the prior. Deviations:
pseudo-inputs start at training images with noise, since rows that are alike stay alike; they are kept in [0, 1] by projection after each
step, since a clamp inside the model stops the gradient of every pixel that has once left. Not implemented: the two-layer model (HVAE).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from lightning_gen import images as pixels
from lightning_gen.distributed import all_rows, world_size
from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.distributions.mixture import NormalMixture
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.errors import UserError
from lightning_gen.models.autoencoders.vae import VAE
from lightning_gen.models.base import Batch
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.noise import Noise


class VampPriorVAE(VAE):
    r"""A VAE with the prior :math:`p(z) = \frac1K \sum_j q(z|u_j)` of learned pseudo-inputs :math:`u_j`.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        num_pseudo_inputs: K.
        initial_noise: standard deviation of what is added to training images to start from, on the unit range (of vectors: in their units).
        posterior: diagonal, as the mixture's components.
        kl_estimator: the draw; the mixture has no KL in closed form.
        **options: as for :class:`VAE`, without labels.
    """

    paper = "Tomczak & Welling 2017, arXiv:1705.07120"
    data_dependent = ("pseudo_inputs",)
    averaged_networks = (*VAE.averaged_networks, "pseudo_inputs")

    def __init__(
        self,
        data_shape: list[int],
        num_pseudo_inputs: int = 500,
        initial_noise: float = 0.1,
        posterior: Literal["DiagonalNormal"] = "DiagonalNormal",
        kl_estimator: Literal["monte_carlo"] = "monte_carlo",
        **options: Any,
    ) -> None:
        super().__init__(data_shape, posterior=posterior, kl_estimator=kl_estimator, **options)
        require_at_least(1, num_pseudo_inputs=num_pseudo_inputs)
        require_at_least(0, initial_noise=initial_noise)
        if self.conditional:
            raise UserError("model.conditional: pseudo-inputs have no labels; expected false, got true")
        self.pseudo_inputs = PseudoInputs(num_pseudo_inputs, self.data_shape)

    def prior(self, labels: Tensor | None = None) -> LatentDistribution:
        """The mixture of the posteriors of the pseudo-inputs."""
        components = self.infer(self.pseudo_inputs.values)
        assert isinstance(components, DiagonalNormal)
        return NormalMixture(components.mean.new_zeros(len(components.mean)), components)

    def initialize_from_data(self, batch: Batch, noise: Noise) -> None:
        """Start at the images of the first global batch, each as often as it takes, with noise."""
        data = pixels.to_input(batch[0], self.data_shape, self.dtype)
        values = self.pseudo_inputs.values
        copies = -(-len(values) // (len(data) * world_size()))
        shape = (copies, *self.data_shape)
        rows = all_rows(data.unsqueeze(1) + self.hparams.initial_noise * noise.normal("pseudo_inputs", shape))
        values.copy_(rows.transpose(0, 1).flatten(0, 1)[: len(values)])
        self.pseudo_inputs.project()

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:
        """Adam's step, after which pseudo-inputs are brought back into the range of images, before averages and checkpoints see them."""
        super().optimizer_step(*arguments, **options)
        self.pseudo_inputs.project()


class PseudoInputs(nn.Module):
    """Learned inputs of an encoder; those that stand for images lie in [0, 1].

    Args:
        count: K.
        data_shape: of one input.
    """

    def __init__(self, count: int, data_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.are_images = pixels.is_image(data_shape)
        self.values = nn.Parameter(torch.empty(count, *data_shape))
        if self.are_images:
            nn.init.uniform_(self.values)
        else:
            nn.init.normal_(self.values)

    @torch.no_grad()
    def project(self) -> None:
        """Clamp to the unit range."""
        if self.are_images:
            self.values.clamp_(0, 1)
