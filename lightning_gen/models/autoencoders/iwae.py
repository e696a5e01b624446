r"""The importance weighted autoencoder (Burda, Grosse & Salakhutdinov, 2015, arXiv:1509.00519).

Implemented: training on the k-sample bound, with the plain gradient (autograd through the log-mean-exp, which equals weighting by the
normalised importance weights) or the doubly reparameterised one (Tucker et al., 2018, arXiv:1810.04152) for the encoder.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.models.autoencoders.latent_variable_model import log_mean_exp
from lightning_gen.models.autoencoders.vae import VAE, Explanation
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.noise import Noise


class IWAE(VAE):
    r"""A VAE that maximises the k-sample bound in place of the ELBO.

    .. math:: L_k(x) = E_{z_1 \dots z_k \sim q(z|x)}\Big[\log \frac1k \sum_i w_i\Big], \qquad w_i = \frac{p(x, z_i)}{q(z_i|x)}

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        num_samples: k draws per image.
        gradient: of the encoder: ``standard``, or ``doubly_reparameterized``, the same in expectation with less variance.
        kl_estimator: the draws; the bound has no KL in closed form.
        **options: as for :class:`VAE`, without free bits.
    """

    paper = "Burda, Grosse & Salakhutdinov 2015, arXiv:1509.00519"

    def __init__(
        self,
        data_shape: list[int],
        num_samples: int = 5,
        gradient: Literal["standard", "doubly_reparameterized"] = "standard",
        kl_estimator: Literal["monte_carlo"] = "monte_carlo",
        **options: Any,
    ) -> None:
        super().__init__(data_shape, kl_estimator=kl_estimator, **options)
        require_at_least(1, num_samples=num_samples)
        if self.hparams.free_bits:
            raise UserError(f"model.free_bits: the k-sample bound has no KL term to leave free; expected 0, got {self.hparams.free_bits}")

    def negative_elbo(self, images: Tensor, labels: Tensor | None, noise: Noise) -> dict[str, Tensor]:
        """Minus the k-sample bound as the loss, and the mean distortion and rate of the draws; nats per image."""
        posterior, prior = self.posterior(images, labels).repeated(), self.prior(labels).repeated()
        target = self.likelihood.target(images, noise)
        z = posterior.sample(noise, "z", (self.hparams.num_samples, self.latent_dim))
        if self.hparams.gradient == "standard":
            draws = self.weigh(z, posterior, prior, target, labels)
            loss = -self.bound(draws)
        else:
            draws = self.weigh(z, posterior.detached(), prior, target, labels)
            loss = self.doubly_reparameterized(z, draws)
        return {"loss": loss} | self.costs(draws)

    def costs(self, draws: Explanation) -> dict[str, Tensor]:
        """Mean distortion and rate of the draws, to log."""
        return {"distortion": draws.distortion.mean(), "rate": draws.rate.mean()}

    def log_weights(self, draws: Explanation) -> Tensor:
        """log w of each draw, ``(B, k)``, with the rate at the weight of the warm-up."""
        return -(draws.distortion + self.kl_weight * draws.rate)

    def bound(self, draws: Explanation) -> Tensor:
        """The k-sample bound, averaged over the batch."""
        return log_mean_exp(self.log_weights(draws)).mean()

    def doubly_reparameterized(self, z: Tensor, draws: Explanation) -> Tensor:
        r"""A loss with the value of minus the bound and the gradient of Tucker et al., Eq. 8.

        With :math:`\tilde w` the normalised weights, the decoder gets :math:`\sum_i \tilde w_i \nabla_\theta \log w_i`, and the encoder, in
        whose density the parameters are held fixed, :math:`\sum_i \tilde w_i^2 \nabla_z \log w_i \nabla_\phi z_i`. With the rate at the
        weight :math:`\beta` of a warm-up, the same steps give :math:`(1 - \beta)\,\tilde w_i + \beta\,\tilde w_i^2` in the square's place.
        """
        normalized = torch.softmax(self.log_weights(draws).detach(), dim=1)
        if z.requires_grad:
            path = (1 - self.kl_weight + self.kl_weight * normalized).unsqueeze(-1)
            z.register_hook(lambda gradient: path * gradient)
        surrogate = -(normalized * self.log_weights(draws)).sum(1).mean()
        return surrogate + (-self.bound(draws) - surrogate).detach()
