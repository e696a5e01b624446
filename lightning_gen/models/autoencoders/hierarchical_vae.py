r"""The VAE with two stochastic layers (Burda, Grosse & Salakhutdinov, 2015, arXiv:1509.00519).

Implemented: :math:`p(h_2)\,p(h_1|h_2)\,p(x|h_1)` with :math:`q(h_1|x)\,q(h_2|h_1)`, trained on the k-sample bound: with one sample the
two-layer VAE of the paper, with more its two-layer IWAE. Not implemented: the doubly reparameterised gradient, which is more than holding
parameters fixed where one layer's distribution depends on the draw of another (Bauer & Mnih, 2021, arXiv:2101.11046).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.distributions.chain import Chain, NetworkNormal
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.errors import UserError
from lightning_gen.models.autoencoders.iwae import IWAE
from lightning_gen.models.autoencoders.vae import Explanation
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.nn.base import Decoder, Encoder
from lightning_gen.registry import ClassSpec, build

UPPER_ENCODER: dict[str, Any] = {"class_path": "MLPEncoder", "init_args": {"hidden": [100, 100]}}
UPPER_DECODER: dict[str, Any] = {"class_path": "MLPDecoder", "init_args": {"hidden": [100, 100]}}


class HierarchicalVAE(IWAE):
    r"""A VAE with z = [h_1, h_2], of which only the first reaches the image.

    .. math:: \log p(x) \ge E_q\Big[\log p(x|h_1) + \log\frac{p(h_1|h_2)}{q(h_1|x)} + \log\frac{p(h_2)}{q(h_2|h_1)}\Big]

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        latent_dim: length of h_1.
        upper_latent_dim: length of h_2.
        upper_encoder: network of q(h_2|h_1), a spec of an :class:`~lightning_gen.nn.base.Encoder`.
        upper_decoder: network of p(h_1|h_2), a spec of a :class:`~lightning_gen.nn.base.Decoder`.
        num_samples: k draws per image.
        posterior: diagonal, in both layers.
        **options: as for :class:`IWAE`, with the standard gradient.
    """

    averaged_networks = (*IWAE.averaged_networks, "upper_encoder", "upper_decoder")

    def __init__(
        self,
        data_shape: list[int],
        latent_dim: int = 100,
        upper_latent_dim: int = 50,
        upper_encoder: ClassSpec | str = ClassSpec(UPPER_ENCODER),
        upper_decoder: ClassSpec | str = ClassSpec(UPPER_DECODER),
        num_samples: int = 1,
        posterior: Literal["DiagonalNormal"] = "DiagonalNormal",
        **options: Any,
    ) -> None:
        super().__init__(data_shape, latent_dim=latent_dim, num_samples=num_samples, posterior=posterior, **options)
        require_at_least(1, upper_latent_dim=upper_latent_dim)
        if self.hparams.gradient != "standard":
            raise UserError(f"model.gradient: expected standard where one layer is drawn given another, got {self.hparams.gradient}")
        self.sizes = (latent_dim, upper_latent_dim)
        self.latent_shapes = {"h_1": (latent_dim,), "h_2": (upper_latent_dim,)}
        self.upper_encoder = self.build_upper_encoder(upper_encoder)
        self.upper_decoder = self.build_upper_decoder(upper_decoder)

    def build_upper_encoder(self, spec: ClassSpec | str) -> Encoder:
        """The network of q(h_2|h_1)."""
        lower, upper = self.sizes
        return build(spec, Encoder, "model.upper_encoder", data_shape=(lower,), out_features=2 * upper, labels=self.label_kind)

    def build_upper_decoder(self, spec: ClassSpec | str) -> Decoder:
        """The network of p(h_1|h_2)."""
        lower, upper = self.sizes
        return build(spec, Decoder, "model.upper_decoder", in_features=upper, out_shape=(2 * lower,), labels=self.label_kind)

    def lower(self, x: Tensor, labels: Tensor | None = None) -> LatentDistribution:
        """What the first network reads off the image: q(h_1|x)."""
        return super().infer(x, labels)

    def infer(self, x: Tensor, labels: Tensor | None = None) -> LatentDistribution:
        """q(h_1|x) q(h_2|h_1)."""
        return Chain(self.lower(x, labels), NetworkNormal(self.upper_encoder, labels), self.sizes)

    def prior(self, labels: Tensor | None = None) -> LatentDistribution:
        """p(h_2) p(h_1|h_2), the latter given labels too."""
        batch = () if labels is None else (len(labels),)
        zeros = torch.zeros(*batch, self.sizes[1], device=self.device)
        return Chain(DiagonalNormal(zeros, zeros), NetworkNormal(self.upper_decoder, labels), self.sizes, root_is_last=True)

    def likelihood_parameters(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """What the decoder says of h_1; h_2 does not reach the image."""
        return super().likelihood_parameters(z[..., : self.sizes[0]], labels)

    def log_ratio(self, z: Tensor, posterior: LatentDistribution, prior: LatentDistribution) -> Tensor:
        """Layer by layer, ``(..., 2)``."""
        assert isinstance(posterior, Chain)
        assert isinstance(prior, Chain)
        return posterior.log_prob_parts(z) - prior.log_prob_parts(z)

    def costs(self, draws: Explanation) -> dict[str, Tensor]:
        """Also each layer's rate; that of a layer that has collapsed is 0."""
        lower, upper = draws.rate_terms.mean((0, 1))
        return super().costs(draws) | {"rate_1": lower, "rate_2": upper}
