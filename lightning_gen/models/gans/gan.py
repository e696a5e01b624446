r"""The generative adversarial network (Goodfellow et al., 2014, arXiv:1406.2661).

Implemented: Algorithm 1 (k discriminator updates per generator update, here one per batch), the minimax objective and the non-saturating
one of Section 3. Deviations: fully connected networks without maxout and dropout, Adam in place of momentum.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.nn.functional import softplus

from lightning_gen import images as pixels
from lightning_gen.errors import UserError
from lightning_gen.models.base import Batch, GenerativeModel
from lightning_gen.models.hyperparameters import require_at_least, require_positive
from lightning_gen.models.sampling import SamplesFromNoise
from lightning_gen.nn.mlp import MLPDecoder, MLPEncoder
from lightning_gen.noise import Noise


class AdversarialModel(GenerativeModel, SamplesFromNoise):
    r"""The two-step algorithm of every GAN: a generator G(z) against a discriminator that tells its images from real ones.

    .. math:: \min_G \max_D E_x[\log D(x)] + E_z[\log(1 - D(G(z)))], \qquad D = \sigma(\text{logit})

    A subclass builds the two networks; a variant overrides a loss or the prior.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        latent_dim: length of z.
        objective: what the generator minimises: :math:`E[\log(1 - D(G(z)))]` (``minimax``, which saturates while D wins) or
            :math:`-E[\log D(G(z))]` (``non_saturating``).
        n_critic: discriminator updates (batches) per generator update.
        learning_rate: Adam's, of the generator, and of the discriminator unless that has its own.
        discriminator_learning_rate: Adam's, of the discriminator; null for the same.
        betas: Adam's decay rates.
        clip_norm: largest gradient norm of either network; 0 for no clipping.
        decay_images: the learning rates fall linearly to zero over so many images; 0 for constant rates.
        **data: the rest of what describes the data, and ``conditional``, as for every :class:`GenerativeModel`.
    """

    family = "gan"
    density = "implicit"
    averaged_networks = ("generator",)

    def __init__(
        self,
        data_shape: list[int],
        latent_dim: int = 100,
        objective: Literal["minimax", "non_saturating"] = "non_saturating",
        n_critic: int = 1,
        learning_rate: float = 2e-4,
        discriminator_learning_rate: float | None = None,
        betas: list[float] = [0.5, 0.999],
        clip_norm: float = 0.0,
        decay_images: int = 0,
        **data: Any,
    ) -> None:
        super().__init__(data_shape, **data)
        require_at_least(1, latent_dim=latent_dim, n_critic=n_critic)
        require_at_least(0, clip_norm=clip_norm, decay_images=decay_images)
        require_positive(learning_rate=learning_rate, discriminator_learning_rate=discriminator_learning_rate or learning_rate)
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise UserError(f"model.betas: expected two numbers from 0 to below 1, got {betas}")
        self.automatic_optimization = False
        self.latent_dim = latent_dim
        self.generator = self.build_generator()
        self.discriminator = self.build_discriminator()

    def build_generator(self) -> nn.Module:
        """The network G: z ``(B, latent_dim)`` and labels to images in [-1, 1] (vectors: unbounded)."""
        raise NotImplementedError(f"{type(self).__name__} has to implement build_generator")

    def build_discriminator(self) -> nn.Module:
        """The network of D's logit: images and labels to ``(B, 1)``."""
        raise NotImplementedError(f"{type(self).__name__} has to implement build_discriminator")

    def prior(self, noise: Noise, name: str) -> Tensor:
        """Draws of z, ``(B, latent_dim)``."""
        return noise.normal(name, (self.latent_dim,))

    def discriminator_loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        r"""The discriminator's loss, :math:`-E[\log D(x)] - E[\log(1 - D(G(z)))]`, with its parts; G is not differentiated."""
        images, labels = batch[0], self.labels_of(batch)
        with torch.no_grad():
            fake = self.generator(self.prior(noise, "z/discriminator"), labels)
        on_real = softplus(-self.discriminator(self.to_network(images), labels)).mean()
        on_fake = softplus(self.discriminator(fake, labels)).mean()
        return {"discriminator_loss": on_real + on_fake, "discriminator_real": on_real, "discriminator_fake": on_fake}

    def generator_loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The generator's loss under the chosen objective."""
        labels = self.labels_of(batch)
        logits = self.discriminator(self.generator(self.prior(noise, "z/generator"), labels), labels)
        saturating = self.hparams.objective == "minimax"
        return {"generator_loss": -softplus(logits).mean() if saturating else softplus(-logits).mean()}

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        noise = self.step_noise(batch)
        generator_optimizer, discriminator_optimizer = self.optimizers()
        with self.toggled_optimizer(discriminator_optimizer):
            terms = self.discriminator_loss(batch, noise)
            self.log_terms(terms)  # before the update, so that a layer can still be blamed
            self.descend(terms["discriminator_loss"], discriminator_optimizer)
        if self.batches_seen % self.hparams.n_critic == 0:
            with self.toggled_optimizer(generator_optimizer):
                terms = self.generator_loss(batch, noise)
                self.log_terms(terms)
                self.descend(terms["generator_loss"], generator_optimizer)

    def descend(self, loss: Tensor, optimizer: LightningOptimizer) -> None:
        """One update of one network; gradients are synchronised over ranks by ``manual_backward`` only."""
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        schedulers = self.lr_schedulers() or []
        for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
            if scheduler.optimizer is optimizer.optimizer:
                scheduler.step()  # Lightning steps no schedulers under manual optimisation

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip here, where a gradient scaler has already unscaled."""
        if self.hparams.clip_norm > 0:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.hparams.clip_norm)

    def validation_terms(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Both networks' losses."""
        return self.discriminator_loss(batch, noise) | self.generator_loss(batch, noise)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        rate, betas = self.hparams.learning_rate, tuple(self.hparams.betas)
        return [
            torch.optim.Adam(self.generator.parameters(), lr=rate, betas=betas),
            torch.optim.Adam(self.discriminator.parameters(), lr=self.hparams.discriminator_learning_rate or rate, betas=betas),
        ]

    def to_network(self, images: Tensor) -> Tensor:
        """Data in the networks' range."""
        return pixels.to_symmetric(images) if pixels.is_image(self.data_shape) else images

    def to_data(self, x: Tensor) -> Tensor:
        """The networks' range as data."""
        return pixels.from_symmetric(x, self.num_bits) if pixels.is_image(self.data_shape) else x

    def sample_images(self, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """Images of z drawn from the prior."""
        return self.to_data(self.generator(self.draw_latents(noise, labels=labels), labels))

    def draw_latents(self, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """Draws of z, ``(B, latent_dim)``, as samples use them."""
        return self.prior(noise, "z")

    def decode(self, z: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """G(z) as uint8 images."""
        return self.to_data(self.generator(z, self.condition(labels)))


class GAN(AdversarialModel):
    """The fully connected GAN, for images and for vectors.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        hidden: widths of the hidden layers of both networks.
        **options: as for :class:`AdversarialModel`.
    """

    paper = "Goodfellow et al. 2014, arXiv:1406.2661"

    def __init__(self, data_shape: list[int], hidden: list[int] = [256, 256], **options: Any) -> None:
        require_at_least(1, hidden=min(hidden, default=1))
        super().__init__(data_shape, **options)

    def build_generator(self) -> nn.Module:
        network = MLPDecoder(self.latent_dim, self.data_shape, self.label_kind, self.hparams.hidden, "relu")
        return BoundedDecoder(network) if pixels.is_image(self.data_shape) else network

    def build_discriminator(self) -> nn.Module:
        return MLPEncoder(self.data_shape, 1, self.label_kind, self.hparams.hidden, "relu")


class BoundedDecoder(nn.Module):
    """A decoder with its output bounded to [-1, 1] by tanh.

    Args:
        network: a :class:`~lightning_gen.nn.base.Decoder`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.tanh(self.network(z, labels))
