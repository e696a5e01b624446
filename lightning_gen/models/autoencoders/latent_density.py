r"""A density of an encoder's codes, fitted after training (Ghosh et al., 2019, arXiv:1903.12436, ex-post density estimation).

Implemented: a normal with full covariance, or a mixture of such, fitted by scikit-learn's expectation maximisation to the codes of the
training images. What can encode and decode can then be sampled; it gains no likelihood.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from lightning_gen.distributed import say
from lightning_gen.distributions.full_mixture import FullNormalMixture
from lightning_gen.distributions.normal import FullNormal
from lightning_gen.errors import UserError
from lightning_gen.models.base import CHECKPOINT_KEY, Batch, GenerativeModel, Weights
from lightning_gen.models.capabilities import SupportsLatents, SupportsReconstruction
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.models.sampling import SamplesFromNoise
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec, build, class_path

SMALLEST_VARIANCE = 1e-6
"""Added to the diagonal of every covariance, relative to the mean variance of the codes' dimensions."""


class LatentDensityModel(GenerativeModel, SamplesFromNoise):
    r"""A trained model whose samples are decoded draws of a density of its codes.

    .. math:: z \sim \sum_j \pi_j N(\mu_j, \Sigma_j), \quad x = g(z)

    Made by :meth:`fitted`; the checkpoint holds the trained model and the density, and is rebuilt without the run that it came from.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        base: the model that encodes and decodes, a spec.
        num_components: number of normals.
        num_images: how many training images it was fitted to.
        base_weights: whose codes: of the averaged (``ema``) or the ``live`` networks, which are all that is kept.
        fit_seed: of the mixture's starting point.
        **data: the rest of what describes the data, as for every :class:`GenerativeModel`.
    """

    family = "autoencoder"
    density = "implicit"
    paper = "Ghosh et al. 2019, arXiv:1903.12436"

    def __init__(
        self,
        data_shape: list[int],
        base: ClassSpec | str,
        num_components: int = 1,
        num_images: int = 0,
        base_weights: Literal["ema", "live"] = "live",
        fit_seed: int = 0,
        **data: Any,
    ) -> None:
        super().__init__(data_shape, **data)
        require_at_least(1, num_components=num_components)
        self.base = build(base, GenerativeModel, "model.base")
        self.require_codes(self.base)
        self.latent_shapes = self.base.latent_shapes
        dim = sum(torch.Size(shape).numel() for shape in self.latent_shapes.values())
        self.register_buffer("log_weights", torch.zeros(num_components))
        self.register_buffer("means", torch.zeros(num_components, dim))
        self.register_buffer("scale_trils", torch.eye(dim).repeat(num_components, 1, 1))

    @staticmethod
    def require_codes(base: GenerativeModel) -> None:
        """Refuse a model without codes, one that has a density of them, and one whose codes mean something together with a label only."""
        name = type(base).__name__
        if isinstance(base, LatentDensityModel):
            raise UserError(
                f"model.base: {name} has a density of its codes already; expected the model within it, by the run that it was fitted to"
            )
        if not isinstance(base, SupportsLatents):
            raise UserError(f"model.base: {name} has no latent vectors to fit a density to; expected a model that encodes and decodes")
        if base.conditional:
            raise UserError(f"model.base: {name} was trained with labels, of which the density knows nothing; expected conditional: false")

    @classmethod
    def fitted(
        cls, base: GenerativeModel, codes: np.ndarray, num_components: int = 1, seed: int = 0, weights: Weights = "ema"
    ) -> LatentDensityModel:
        """``base`` with a density of its codes.

        Args:
            base: the trained model.
            codes: of training images, by the networks that ``weights`` names, ``(N, D)``.
            num_components: 1 for a normal, more for a mixture.
            seed: of the mixture's starting point.
            weights: ``ema`` (where there are any) or ``live``.
        """
        kept: Weights = weights if base.ema is not None else "live"
        model = cls(
            [*base.data_shape],
            {"class_path": class_path(type(base)), "init_args": base.hyperparameters},
            num_components,
            len(codes),
            kept,
            seed,
            num_bits=base.num_bits,
            num_classes=base.num_classes,
            num_attributes=base.num_attributes,
        )
        with base.inference(kept):
            model.base.load_state_dict({name: value for name, value in base.state_dict().items() if not name.startswith("ema.")})
        model.take_progress(base)
        for name, value in fit_mixture(codes, num_components, seed).items():
            getattr(model, name).copy_(value)
        return model.eval()

    def take_progress(self, base: GenerativeModel) -> None:
        """What it took to train ``base`` is what it took to train this."""
        for name in ("images_seen", "batches_seen", "device_seconds", "warm_start_images", "training_world_size"):
            setattr(self, name, getattr(base, name))
        self.training_seed, self.data_spec, self.data_initialized = base.training_seed, base.data_spec, base.data_initialized

    # It is not trained.

    def configure_optimizers(self) -> None:
        """Refuse."""
        raise UserError("model: a LatentDensityModel is not trained; 'lightning-gen fit_latents RUN' makes one of a finished run")

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Never taken: there is no optimiser."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As every model, with the number of processes that trained the model within."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[CHECKPOINT_KEY]["world_size"] = self.training_world_size

    # Samples.

    def prior(self, labels: Tensor | None = None) -> FullNormalMixture:
        """The fitted density, without a batch."""
        return FullNormalMixture(self.log_weights, FullNormal(self.means, self.scale_trils))

    def draw_latents(self, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """Draws of z from the density, ``(B, D)``."""
        return self.prior().sample(noise, "z", self.means.shape[1:])

    def sample_images(self, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """Decoded draws of the density."""
        return self.decode(self.draw_latents(noise))

    # The trained model's.

    def encode(self, images: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """The trained model's code, ``(B, D)``."""
        return cast(SupportsLatents, self.base).encode(images, labels=self.condition(labels))

    def decode(self, z: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """What the trained model's decoder makes of codes ``(B, D)``."""
        return cast(SupportsLatents, self.base).decode(z, labels=self.condition(labels))

    def reconstruct(self, images: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """The trained model's reconstruction; ``decode(encode(images))`` where it has none of its own."""
        if isinstance(self.base, SupportsReconstruction):
            return self.base.reconstruct(images, labels=self.condition(labels))
        return self.decode(self.encode(images, labels=labels))

    def answer_options(self) -> dict[str, Any]:
        count = self.hparams.num_components
        kind = "normal" if count == 1 else f"mixture of {count} normals"
        fitted = f"{kind}, full covariance, fitted to the codes of {self.hparams.num_images} training images"
        fitted += f", seed {self.hparams.fit_seed}" if count > 1 else ""  # a normal has no starting point
        return {"latent_density": fitted, "base": type(self.base).__name__, "base_weights": self.hparams.base_weights}


def fit_mixture(codes: np.ndarray, num_components: int, seed: int) -> dict[str, Tensor]:
    """Log-weights ``(K,)``, means ``(K, D)`` and Cholesky factors ``(K, D, D)`` of the normals, float64.

    Raises:
        UserError: there are too few codes, or some are not finite.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    codes = codes.astype(np.float64)
    if len(codes) < max(2, num_components):
        raise UserError(f"components: expected at most one for each of the {len(codes)} images, and two images, got {num_components}")
    if not np.isfinite(codes).all():
        raise UserError("model.base: some of its codes are NaN or infinite; expected a model that has been trained")
    floor = SMALLEST_VARIANCE * max(float(codes.var(axis=0).mean()), np.finfo(np.float32).tiny)
    mixture = GaussianMixture(num_components, covariance_type="full", reg_covar=floor, random_state=seed % 2**32, max_iter=500)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # said below, in one line
        mixture.fit(codes)
    if not mixture.converged_:
        say(f"latent density: not converged after {mixture.n_iter_} iterations")
    return {
        "log_weights": torch.from_numpy(np.log(mixture.weights_)),
        "means": torch.from_numpy(mixture.means_),
        "scale_trils": torch.linalg.cholesky(torch.from_numpy(mixture.covariances_)),
    }
