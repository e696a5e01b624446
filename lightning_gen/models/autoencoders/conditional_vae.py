r"""The conditional VAE (Kingma et al., 2014, arXiv:1406.5298, model M2 with every label observed; Sohn et al., 2015, NeurIPS).

Implemented: classes and binary attributes as the condition y of encoder and decoder, and a prior that is standard normal (Kingma et al.)
or learned for each y (Sohn et al., whose conditions are images). Not implemented: missing labels and the classifier q(y|x) of M2.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.errors import UserError
from lightning_gen.models.autoencoders.vae import VAE
from lightning_gen.nn.base import LabelEmbedding


class ConditionalVAE(VAE):
    r"""A VAE of images given their labels.

    .. math:: \log p(x|y) \ge E_{q(z|x,y)}[\log p(x|z,y)] - KL(q(z|x,y) \| p(z|y))

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        learned_prior: whether p(z|y) is a normal learned for each y (a linear map of the attributes); otherwise it is N(0, I).
        conditional: true.
        **options: as for :class:`VAE`.
    """

    paper = "Kingma et al. 2014, arXiv:1406.5298; Sohn et al. 2015, NeurIPS"

    def __init__(self, data_shape: list[int], learned_prior: bool = False, conditional: bool = True, **options: Any) -> None:
        if not conditional:
            raise UserError("model.conditional: ConditionalVAE needs the labels; expected true (VAE is the model without them)")
        super().__init__(data_shape, conditional=conditional, **options)
        if learned_prior:
            self.prior_network = LabelEmbedding(self.label_kind, 2 * self.latent_dim)
            for parameter in self.prior_network.parameters():
                nn.init.normal_(parameter, std=0.01)  # near N(0, I), where a prior that is not learned stays
            self.averaged_networks = (*self.averaged_networks, "prior_network")

    def prior(self, labels: Tensor | None = None) -> LatentDistribution:
        """p(z|y)."""
        if not self.hparams.learned_prior:
            return super().prior(labels)
        assert labels is not None
        return DiagonalNormal.from_parameters(self.prior_network(labels))
