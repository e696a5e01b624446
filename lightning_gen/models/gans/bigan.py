r"""BiGAN (Donahue et al., 2016, arXiv:1605.09782): a GAN that learns to infer z too, and its paper's latent regressor.

Implemented: the joint game of Eq. 3, generator and encoder on one loss with flipped labels; z uniform in [-1, 1), and an encoder whose
output is squashed into that; the fully connected networks for MNIST and convolutional ones; Adam at 0.0002 with beta_1 = 0.5, weight decay
0.000025 on weights, a constant learning rate that then falls exponentially; the latent regressor, alone and joint. Deviations: the
discriminator moves first, then generator and encoder on its new state, where the authors' code moves all at once; ImageNet's AlexNet is
left to an encoder of one's own, which may see a larger image than the generator makes (``shown_image``).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, binary_cross_entropy_with_logits, interpolate

from lightning_gen.errors import UserError
from lightning_gen.models.base import Batch
from lightning_gen.models.gans.adversarial_model import AdversarialModel, Judged
from lightning_gen.models.gans.losses import cross_entropy_fake, cross_entropy_real
from lightning_gen.models.hyperparameters import require_at_least, require_default, require_positive
from lightning_gen.nn.adversarial.base import Generator, JointDiscriminator, Judgement
from lightning_gen.nn.base import Encoder, last_hidden_layer
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec, build


class EncodingGAN(AdversarialModel):
    r"""A GAN with an encoder E, whose output is squashed into the support of z, :math:`\tanh(E(x) / 2) \in (-1, 1)`.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        latent_dim: length of z.
        generator: the network G, a spec of a :class:`~lightning_gen.nn.adversarial.base.Generator`.
        encoder: the network E, a spec of an :class:`~lightning_gen.nn.base.Encoder`.
        discriminator: the network D.
        generated_size: sides of the images that the generator makes, where they are smaller than the encoder's; 0 for the same.
        betas: Adam's decay rates.
        weight_decay: of weights, not of biases and gains.
        constant_images: the learning rate stays for so many images,
        decay_images: and falls exponentially, to a hundredth over so many; 0 for never.
        **options: as for :class:`AdversarialModel`.
    """

    averaged_networks = ("generator", "encoder")
    rate_ends_at_zero = False

    def __init__(
        self,
        data_shape: list[int],
        latent_dim: int = 50,
        generator: ClassSpec | str = "BiGANGenerator",
        encoder: ClassSpec | str = "BiGANEncoder",
        discriminator: ClassSpec | str = "BiGANDiscriminator",
        generated_size: int = 0,
        weight_decay: float = 2.5e-5,
        constant_images: int = 0,
        decay_images: int = 0,
        **options: Any,
    ) -> None:
        require_at_least(0, weight_decay=weight_decay, constant_images=constant_images, generated_size=generated_size)
        require_smaller(data_shape, generated_size)
        if not decay_images:
            require_default("the rate never falls (decay_images is 0)", constant_images=(constant_images, 0))
        super().__init__(data_shape, latent_dim=latent_dim, decay_images=decay_images, **options)
        self.latent_shapes = {"z": (latent_dim,)}
        own = {"data_shape": self.data_shape, "out_features": latent_dim, "labels": self.label_kind}
        self.encoder = build(encoder, Encoder, "model.encoder", **own)

    @property
    def generated_shape(self) -> tuple[int, ...]:
        """Shape of what the generator makes."""
        size = self.hparams.generated_size
        return (self.data_shape[0], size, size) if size else self.data_shape

    def build_generator(self) -> Generator:
        own = {"latent_dim": self.latent_dim, "data_shape": self.generated_shape, "labels": self.label_kind}
        return build(self.hparams.generator, Generator, "model.generator", **own)

    def build_discriminator(self) -> JointDiscriminator:
        own = {"latent_dim": self.latent_dim, "data_shape": self.generated_shape, "labels": self.label_kind}
        return build(self.hparams.discriminator, JointDiscriminator, "model.discriminator", **own)

    def prior(self, noise: Noise, name: str) -> Tensor:
        """Uniform in [-1, 1)."""
        return noise.uniform(name, (self.latent_dim,)) * 2 - 1

    def infer(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """E of images in [-1, 1], ``(B, latent_dim)``."""
        return torch.tanh(self.encoder(x, labels) / 2)

    def shown_image(self, x: Tensor) -> Tensor:
        """g_X: what the discriminator is shown of a real image; at the generator's size."""
        return adaptive_avg_pool2d(x, self.generated_shape[1:]) if self.hparams.generated_size else x

    def whole_image(self, x: Tensor) -> Tensor:
        """What the generator makes, at the size of the data."""
        return interpolate(x, self.data_shape[1:], mode="bilinear") if self.hparams.generated_size else x

    def generator_parameters(self) -> list[nn.Parameter]:
        return [*self.generator.parameters(), *self.encoder.parameters()]

    def optimizer_of(self, parameters: list[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
        weights = [parameter for parameter in parameters if parameter.ndim > 1]
        others = [parameter for parameter in parameters if parameter.ndim <= 1]
        groups = [{"params": weights, "weight_decay": self.hparams.weight_decay}, {"params": others}]
        return torch.optim.Adam([group for group in groups if group["params"]], lr=learning_rate, betas=tuple(self.hparams.betas))

    def learning_rate_factor(self) -> float:
        """1, and from ``constant_images`` on a hundredth per ``decay_images``."""
        decay = self.hparams.decay_images
        return 0.01 ** (max(0, self.images_seen - self.hparams.constant_images) / decay) if decay else 1.0

    def to_data(self, x: Tensor) -> Tensor:
        return super().to_data(self.whole_image(x))

    def encode(self, images: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """E(x) in (-1, 1), ``(B, latent_dim)``."""
        return self.infer(self.to_network(images), self.condition(labels))

    def hidden_layer(self, images: Tensor) -> Tensor:
        """The encoder's last hidden layer, ``(B, F)``, which the paper classifies by."""
        return last_hidden_layer(self.encoder, self.to_network(images))

    def reconstruct(self, images: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """G(E(x)) as uint8 images."""
        return self.decode(self.encode(images, labels=labels), labels=labels)


class BiGAN(EncodingGAN):
    r"""The discriminator sees pairs: an image and what the encoder makes of it, or what the generator makes of z and z.

    .. math:: \min_{G, E} \max_D E_x[\log D(x, E(x))] + E_z[\log(1 - D(G(z), z))]

    Each loss is the mean of both terms; generator and encoder minimise them with the labels flipped.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        discriminator: the network D, a spec of a :class:`~lightning_gen.nn.adversarial.base.JointDiscriminator`.
        **options: as for :class:`EncodingGAN`.
    """

    paper = "Donahue et al. 2016, arXiv:1605.09782"

    def verdict(self, x: Tensor, labels: Tensor | None, z: Tensor | None) -> Judgement:
        return self.discriminator(x, z, labels)

    def real_pair(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        x = self.to_network(batch[0])
        return self.shown_image(x), self.infer(x, self.labels_of(batch))

    def discriminator_terms(self, real: Judged, fake: Judged, noise: Noise) -> dict[str, Tensor]:
        return {name: term / 2 for name, term in super().discriminator_terms(real, fake, noise).items()}

    def generator_terms(self, fake: Judged, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        x, z = self.real_pair(batch)
        real = self.judge(x, self.labels_of(batch), noise, "generator/real", z)
        return {"generator_fake": cross_entropy_real(fake.logits) / 2, "encoder_real": cross_entropy_fake(real.logits) / 2}


class LatentRegressorGAN(EncodingGAN):
    r"""The paper's baseline: a GAN of images alone, whose encoder learns to recover z from G(z) and never sees a real image.

    .. math:: -E_z[\log \sigma(D(G(z)))] + \lambda E_z[\mathrm{CE}(\tfrac{z + 1}{2}, \sigma(E(G(z))))]

    The second term is a cross-entropy of numbers in [0, 1], averaged over z.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        discriminator: the network D, a spec of a :class:`~lightning_gen.nn.adversarial.base.JointDiscriminator`, which is given no z.
        joint: whether the generator too learns to make images from which z can be recovered.
        regression_weight: lambda.
        **options: as for :class:`EncodingGAN`.
    """

    paper = "Donahue et al. 2016, arXiv:1605.09782"

    def __init__(self, data_shape: list[int], joint: bool = False, regression_weight: float = 1.0, **options: Any) -> None:
        require_positive(regression_weight=regression_weight)  # else the encoder learns nothing
        super().__init__(data_shape, **options)
        require_default("z is recovered from images as they are", augmentation=(self.hparams.augmentation, []))

    def build_discriminator(self) -> JointDiscriminator:
        own = {"latent_dim": 0, "data_shape": self.generated_shape, "labels": self.label_kind}
        return build(self.hparams.discriminator, JointDiscriminator, "model.discriminator", **own)

    def verdict(self, x: Tensor, labels: Tensor | None, z: Tensor | None) -> Judgement:
        return self.discriminator(x, x.new_zeros(len(x), 0), labels)

    def real_pair(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        return self.shown_image(self.to_network(batch[0])), None

    def generator_terms(self, fake: Judged, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        assert fake.z is not None
        x = fake.x if self.hparams.joint else fake.x.detach()
        guess = self.encoder(self.whole_image(x), fake.labels)
        regression = binary_cross_entropy_with_logits(guess, (fake.z + 1) / 2)
        return super().generator_terms(fake, batch, noise) | {"regression": self.hparams.regression_weight * regression}


def require_smaller(data_shape: list[int], generated_size: int) -> None:
    """Refuse a size of generated images that is none, or larger than the data's."""
    if generated_size and (len(data_shape) != 3 or generated_size > min(data_shape[1:])):
        raise UserError(f"model.generated_size: expected 0, or at most the sides of the data's {data_shape}, got {generated_size}")
