r"""The ladder VAE (Sønderby et al., 2016, arXiv:1602.02282), with two stochastic layers.

Implemented: a deterministic upward pass, and the posterior of the lower layer as the precision-weighted combination of what comes up from
the image with what comes down from the layer above, through the network that the prior uses as well. Warm-up is ``kl_warmup_images``.
Deviations: no batch normalisation; log-scales in place of softplus variances; the statistics of h_1 are the output of the upward network
itself, which is also what the next one sees, in place of two linear maps beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.distributions.chain import Chain, NetworkNormal, PrecisionWeighted
from lightning_gen.distributions.normal import DiagonalNormal
from lightning_gen.models.autoencoders.hierarchical_vae import HierarchicalVAE
from lightning_gen.nn.base import Encoder
from lightning_gen.registry import ClassSpec, build


class LadderVAE(HierarchicalVAE):
    r"""A hierarchical VAE whose posterior runs downwards as its prior does, :math:`q(h_2|x)\,q(h_1|h_2, x)`.

    .. math:: q(h_1|h_2, x) \propto N(h_1; \hat\mu(x), \hat\sigma^2(x))\; p(h_1|h_2)
    """

    paper = "Sønderby et al. 2016, arXiv:1602.02282"

    def build_upper_encoder(self, spec: ClassSpec | str) -> Encoder:
        """The second half of the upward pass: what the first returns to the parameters of q(h_2|x)."""
        lower, upper = self.sizes
        return build(spec, Encoder, "model.upper_encoder", data_shape=(2 * lower,), out_features=2 * upper, labels=self.label_kind)

    def infer(self, x: Tensor, labels: Tensor | None = None) -> LatentDistribution:
        """q(h_2|x) q(h_1|h_2, x)."""
        evidence = self.lower(x, labels)
        assert isinstance(evidence, DiagonalNormal)
        upward = torch.cat([evidence.mean, evidence.log_scale], dim=-1)
        root = NetworkNormal(self.upper_encoder, labels).given(upward)
        return Chain(root, PrecisionWeighted(evidence, NetworkNormal(self.upper_decoder, labels)), self.sizes, root_is_last=True)
