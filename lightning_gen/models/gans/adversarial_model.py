r"""What every GAN shares: two networks, the two-step algorithm, and what is worth watching while they play."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from lightning_gen import images as pixels
from lightning_gen.errors import UserError
from lightning_gen.models.base import Batch, GenerativeModel
from lightning_gen.models.gans.losses import cross_entropy_fake, cross_entropy_real
from lightning_gen.models.hyperparameters import require_at_least, require_positive
from lightning_gen.models.sampling import SamplesFromNoise
from lightning_gen.nn.adversarial.base import Discriminator, Generator, JointDiscriminator, Judgement, spectral_vectors
from lightning_gen.nn.diff_augment import augment, require_policies
from lightning_gen.noise import Noise, PartOfNoise

Policy = Literal["color", "translation", "cutout"]


class Judged(NamedTuple):
    """Images, and what the discriminator says of them.

    Attributes:
        x: what it saw, ``(B, *data_shape)``: images in [-1, 1], augmented where the model augments.
        labels: of x; None for an unconditional model.
        logits: ``(B, 1)``, float32 at least.
        features: its last hidden layer, ``(B, F)``.
        z: what a generated x was made from.
    """

    x: Tensor
    labels: Tensor | None
    logits: Tensor
    features: Tensor
    z: Tensor | None = None


class AdversarialModel(GenerativeModel, SamplesFromNoise):
    r"""The two-step algorithm of every GAN: a generator G(z) against a discriminator D that tells its images from real ones.

    Every batch of real images is one update of D; every ``n_critic``-th also one of G. A subclass builds the two networks and says what
    each minimises (:meth:`discriminator_terms`, :meth:`generator_terms`); unless it does, that is the non-saturating game:

    .. math:: -E_x[\log \sigma(D(x))] - E_z[\log(1 - \sigma(D(G(z))))], \qquad -E_z[\log \sigma(D(G(z)))]

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        latent_dim: length of z.
        n_critic: discriminator updates (batches) per generator update.
        generator_batches: size of a generator's batch, in batches.
        micro_batches: parts in which a batch is worked off, for less memory; gradients are those of the whole batch, but for what
            networks normalise over it.
        learning_rate: the generator's, and the discriminator's unless that has its own.
        discriminator_learning_rate: the discriminator's; null for the same.
        betas: Adam's decay rates.
        clip_norm: largest gradient norm of either network; 0 for no clipping.
        decay_images: the learning rates fall linearly to zero over so many images; 0 for constant rates.
        augmentation: DiffAugment's policies, of color, translation, cutout: what D sees of real and of generated images is changed by them
            (Zhao et al., 2020, arXiv:2006.10738).
        **data: the rest of what describes the data, and ``conditional``, as for every :class:`GenerativeModel`.
    """

    family = "gan"
    density = "implicit"
    averaged_networks = ("generator",)
    held_out_terms = ("accuracy_real", "accuracy_fake", "discriminator_loss")

    def __init__(
        self,
        data_shape: list[int],
        latent_dim: int = 100,
        n_critic: int = 1,
        generator_batches: int = 1,
        micro_batches: int = 1,
        learning_rate: float = 2e-4,
        discriminator_learning_rate: float | None = None,
        betas: list[float] = [0.5, 0.999],
        clip_norm: float = 0.0,
        decay_images: int = 0,
        augmentation: list[Policy] = [],
        **data: Any,
    ) -> None:
        super().__init__(data_shape, **data)
        require_at_least(1, latent_dim=latent_dim, n_critic=n_critic, generator_batches=generator_batches, micro_batches=micro_batches)
        require_at_least(0, clip_norm=clip_norm, decay_images=decay_images)
        require_positive(learning_rate=learning_rate)
        if discriminator_learning_rate is not None:
            require_positive(discriminator_learning_rate=discriminator_learning_rate)
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise UserError(f"model.betas: expected two numbers from 0 to below 1, got {betas}")
        require_policies(augmentation, pixels.is_image(data_shape))
        self.automatic_optimization = False
        self.last_boundary: Tensor | float | None = None
        self.latent_dim = latent_dim
        self.generator = self.build_generator()
        self.discriminator = self.build_discriminator()

    # What a paper brings.

    def build_generator(self) -> Generator:
        """The network G."""
        raise NotImplementedError(f"{type(self).__name__} has to implement build_generator")

    def build_discriminator(self) -> Discriminator | JointDiscriminator:
        """The network D."""
        raise NotImplementedError(f"{type(self).__name__} has to implement build_discriminator")

    def prior(self, noise: Noise, name: str) -> Tensor:
        """Draws of z, ``(B, latent_dim)``."""
        return noise.normal(name, (self.latent_dim,))

    def discriminator_terms(self, real: Judged, fake: Judged, noise: Noise) -> dict[str, Tensor]:
        """What D minimises, as named terms to be added; G is not differentiated."""
        return {"discriminator_real": cross_entropy_real(real.logits), "discriminator_fake": cross_entropy_fake(fake.logits)}

    def generator_terms(self, fake: Judged, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """What G minimises, as named terms to be added; D stays as it is."""
        return {"generator_fake": cross_entropy_real(fake.logits)}

    def boundary(self, on_real: Tensor, on_fake: Tensor) -> Tensor | float:
        """The logit above which D takes an image for real."""
        return 0.0

    def after_discriminator_update(self) -> None:
        """Called when D has moved."""

    def penalizes_gradients(self) -> bool:
        """Whether D's loss holds gradients of D."""
        return False

    def compile_networks(self) -> None:
        if self.penalizes_gradients():
            name = type(self).__name__
            raise UserError(f"compile: {name} differentiates its gradient penalty twice, torch.compile once; expected compile: false")
        super().compile_networks()

    def budget_warnings(self, images: int, batch_size: int) -> list[str]:
        """That the generator would never move, besides what holds for every model."""
        lines, batches = super().budget_warnings(images, batch_size), images // batch_size
        if batches < self.hparams.n_critic:
            never = (
                f"model.n_critic {self.hparams.n_critic}: budget.images {images} are {batches} batches, so the generator is never updated"
            )
            lines.append(never)
        return lines

    def recipe_warnings(self) -> list[str]:
        """That an iteration is not one thing, where both networks do not see as many images."""
        of_generator, of_discriminator = self.hparams.generator_batches, self.hparams.n_critic
        if of_generator == of_discriminator == 1:
            return []
        return [
            f"model.n_critic {of_discriminator}, model.generator_batches {of_generator}: one generator update per {of_discriminator} of the"
            f" discriminator, on {of_generator} times as many images; papers count generator updates, budgets here real images"
        ]

    # One batch.

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        noise = self.step_noise(batch)
        generator_optimizer, discriminator_optimizer = self.optimizers()
        with self.toggled_optimizer(discriminator_optimizer):
            self.descend("discriminator", self.discriminator_loss, batch, noise, discriminator_optimizer)
        self.after_discriminator_update()
        if self.batches_seen % self.hparams.n_critic == 0:
            with self.toggled_optimizer(generator_optimizer):
                self.descend("generator", self.generator_loss, batch, noise, generator_optimizer)

    def discriminator_loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """D's loss with its terms, and how often it is right."""
        labels = self.labels_of(batch)
        with torch.no_grad():
            z = self.prior(noise, "z/discriminator")
            x = self.generator(z, labels)
            real_x, real_z = self.real_pair(batch)
        real = self.judge(real_x, labels, noise, "discriminator/real", real_z)
        fake = self.judge(x, labels, noise, "discriminator/fake", z)
        terms = self.discriminator_terms(real, fake, noise)
        return {"discriminator_loss": sum(terms.values(), start=x.new_zeros(()))} | terms | self.accuracy(real.logits, fake.logits)

    def generator_loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """G's loss with its terms."""
        fake = self.generated(self.labels_of(batch), noise, "generator")
        terms = self.generator_terms(fake, batch, noise)
        return {"generator_loss": sum(terms.values(), start=fake.logits.new_zeros(()))} | terms

    def generated(self, labels: Tensor | None, noise: Noise, name: str) -> Judged:
        """New images, judged: as many batches as the generator's batch has."""
        count = self.hparams.generator_batches
        z = torch.cat([self.prior(noise, f"z/{name}" if part == 0 else f"z/{name}/{part}") for part in range(count)])
        labels = None if labels is None else torch.cat([labels] * count)
        return self.judge(self.generator(z, labels), labels, noise, name, z)

    def judge(self, x: Tensor, labels: Tensor | None, noise: Noise, name: str, z: Tensor | None = None) -> Judged:
        """What D says of x, augmented where the model augments."""
        if policies := self.hparams.augmentation:
            parts = enumerate(x.split(len(noise)))
            x = torch.cat([augment(part, policies, noise, f"augmentation/{name}/{number}") for number, part in parts])
        logits, features = self.verdict(x, labels, z)
        return Judged(x, labels, logits.to(torch.promote_types(logits.dtype, torch.float32)), features, z)

    def verdict(self, x: Tensor, labels: Tensor | None, z: Tensor | None) -> Judgement:
        """What D says of x as it stands; z is what x was made from, or None."""
        return self.discriminator(x, labels)

    def real_pair(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """What D is shown of real images: x, and a z where D sees pairs."""
        return self.to_network(batch[0]), None

    @torch.no_grad()
    def accuracy(self, on_real: Tensor, on_fake: Tensor) -> dict[str, Tensor]:
        """How many real and how many generated images D takes for what they are."""
        boundary = self.boundary(on_real, on_fake)
        if self.training:
            self.last_boundary = boundary
        elif self.last_boundary is not None:
            # A critic that knows its images by heart lifts them above what it has not seen: of those alone it would be right again.
            boundary = self.last_boundary
        right = {"accuracy_real": on_real > boundary, "accuracy_fake": on_fake < boundary}
        return {name: each.to(on_real.dtype).mean() for name, each in right.items()}

    def descend(
        self,
        player: str,
        losses: Callable[[Batch, Noise], dict[str, Tensor]],
        batch: Batch,
        noise: Noise,
        optimizer: LightningOptimizer,
    ) -> None:
        """One update of one network; gradients are synchronised over ranks by ``manual_backward`` only."""
        optimizer.zero_grad()
        total: dict[str, Tensor] = {}
        for part, part_noise in self.parts(batch, noise):
            share = len(part[0]) / len(batch[0])
            terms = losses(part, part_noise)
            self.manual_backward(terms[f"{player}_loss"] * share)
            total = {name: total.get(name, 0) + value.detach() * share for name, value in terms.items()}
        self.log_terms(total)  # before the update, so that a layer can still be blamed
        optimizer.step()
        schedulers = self.lr_schedulers() or []
        for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
            if scheduler.optimizer is optimizer.optimizer:
                scheduler.step()  # Lightning steps no schedulers under manual optimisation

    def parts(self, batch: Batch, noise: Noise) -> Iterator[tuple[Batch, Noise]]:
        """The micro-batches of a batch, each with its own part of the noise."""
        count = min(self.hparams.micro_batches, len(batch[0]))
        if count == 1:
            yield batch, noise
            return
        start, vectors = 0, spectral_vectors(self.generator) + spectral_vectors(self.discriminator)
        before = [vector.clone() for vector in vectors]
        for images, labels in zip(*(tensor.tensor_split(count) for tensor in batch), strict=True):
            # Every part meets the weights that the first one met, and together they move the estimates as the whole batch would.
            for vector, value in zip(vectors, before, strict=True):
                vector.copy_(value)
            yield (images, labels), PartOfNoise(noise, start, start + len(images))
            start += len(images)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Log the gradient's norm, and clip it; here, where a gradient scaler has already unscaled."""
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        owns = any(p is next(self.generator.parameters()) for group in optimizer.param_groups for p in group["params"])
        self.log(f"train/gradient_norm_{'generator' if owns else 'discriminator'}", norm)
        if self.hparams.clip_norm > 0:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grads_with_norm_(parameters, self.hparams.clip_norm, norm)

    def validation_terms(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Both networks' losses."""
        return self.discriminator_loss(batch, noise) | self.generator_loss(batch, noise)

    # Optimisers.

    def generator_parameters(self) -> list[nn.Parameter]:
        """What moves with the generator."""
        return [*self.generator.parameters()]

    def discriminator_parameters(self) -> list[nn.Parameter]:
        """What moves with the discriminator."""
        return [*self.discriminator.parameters()]

    def optimizer_of(self, parameters: list[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
        """The optimiser of either network."""
        return torch.optim.Adam(parameters, lr=learning_rate, betas=tuple(self.hparams.betas))

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        rate, discriminator_rate = self.hparams.learning_rate, self.hparams.discriminator_learning_rate
        return [
            self.optimizer_of(self.generator_parameters(), rate),
            self.optimizer_of(self.discriminator_parameters(), rate if discriminator_rate is None else discriminator_rate),
        ]

    # Images.

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

    def answer_options(self) -> dict[str, Any]:
        """With the augmentation that D was trained under, where there is one."""
        return {"augmentation": "+".join(self.hparams.augmentation)} if self.hparams.augmentation else {}
