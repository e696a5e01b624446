r"""The VAE whose posterior is an inverse autoregressive flow (Kingma et al., 2016, arXiv:1606.04934).

Implemented: a diagonal normal and T autoregressive steps behind it, each conditioned on a context h that the encoder computes, in the
numerically stable form with a gate (Algorithm 1), the order of the latent variables reversed from step to step. Not implemented: the
paper's deep hierarchies of convolutional layers with bidirectional inference (ResNet VAE). ``encode`` gives what the flow makes of the mean
of its first normal, since the expectation of z has no closed form.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from lightning_gen.bijections.autoregressive import Autoregressive, Gate
from lightning_gen.bijections.base import Bijection, Chain
from lightning_gen.distributions.autoregressive_normal import AutoregressiveNormal
from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.models.autoencoders.vae import VAE
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.nn.base import Encoder
from lightning_gen.nn.masked import MaskedMLP
from lightning_gen.registry import ClassSpec, build


class IAFVAE(VAE):
    r"""A VAE with :math:`z_0 \sim N(\mu(x), \sigma^2(x))` and T steps from there to z.

    .. math:: z_t = \sigma_t \odot z_{t-1} + (1 - \sigma_t) \odot m_t, \qquad
        \log q(z_T|x) = \log q(z_0|x) - \sum_{t,i} \log \sigma_{t,i}

    with :math:`m_t` and the logit of :math:`\sigma_t` computed by a masked network of :math:`z_{t-1}` and h.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        latent_dim: length of z.
        num_steps: T.
        flow_hidden: widths of the hidden layers of each step's masked network.
        context_features: length of h.
        posterior: of z_0, diagonal.
        kl_estimator: by the draw of z; there is no closed form.
        **options: as for :class:`VAE`.
    """

    paper = "Kingma et al. 2016, arXiv:1606.04934"
    averaged_networks = (*VAE.averaged_networks, "flow")

    def __init__(
        self,
        data_shape: list[int],
        latent_dim: int = 50,
        num_steps: int = 4,
        flow_hidden: list[int] = [320],
        context_features: int = 64,
        posterior: Literal["DiagonalNormal"] = "DiagonalNormal",
        kl_estimator: Literal["monte_carlo"] = "monte_carlo",
        **options: Any,
    ) -> None:
        require_at_least(1, num_steps=num_steps, context_features=context_features)
        super().__init__(data_shape, latent_dim=latent_dim, posterior=posterior, kl_estimator=kl_estimator, **options)
        steps = [self.step(reverse=number % 2 == 1) for number in range(num_steps)]
        self.flow = Chain(steps)

    def step(self, reverse: bool) -> Bijection:
        """One step, from the first number to the last or the other way round; it is the faster direction that leads to z."""
        places = torch.arange(self.latent_dim)
        network = MaskedMLP(
            event_size=self.latent_dim,
            num_parameters=Gate.num_parameters,
            hidden=self.hparams.flow_hidden,
            order=places.flip(0) if reverse else places,
            context_features=self.hparams.context_features,
        )
        return Autoregressive(network, Gate((self.latent_dim,)))

    def build_encoder(self, spec: ClassSpec | str, latent_dim: int) -> Encoder:
        """The network of q(z|x): x to mean and log-scale of z_0, and h."""
        width = self.posterior_family.num_parameters(latent_dim) + self.hparams.context_features
        return build(spec, Encoder, "model.encoder", data_shape=self.data_shape, out_features=width, labels=self.label_kind)

    def infer(self, x: Tensor, labels: Tensor | None = None) -> LatentDistribution:
        output = self.encoder(x, labels)
        # Densities in float32 at least, whatever the network ran in.
        output = output.to(torch.promote_types(output.dtype, torch.float32))
        parameters, context = output.split([output.shape[1] - self.hparams.context_features, self.hparams.context_features], dim=1)
        return AutoregressiveNormal(DiagonalNormal.from_parameters(parameters), self.flow, context)
