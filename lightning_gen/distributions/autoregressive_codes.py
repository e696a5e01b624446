r"""A causal network over discrete codes: the prior of a VQ-VAE (van den Oord et al., 2017, arXiv:1711.00937, Section 3.3: a PixelCNN)."""

from __future__ import annotations

from torch import Tensor

from lightning_gen.distributions.causal import CausalDistribution
from lightning_gen.distributions.codes import CodePrior
from lightning_gen.distributions.pixels.categorical import CodeCategorical
from lightning_gen.errors import UserError
from lightning_gen.nn.base import LabelEmbedding, LabelKind
from lightning_gen.nn.causal.base import CausalNetwork, Places
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec, build


class AutoregressiveCodePrior(CodePrior):
    r"""Every code given those before it, :math:`P(c) = \prod_t P(c_t | c_{<t})`, by any causal network.

    Networks start as they are built: codes exist only once the autoencoder is trained, so PixelCNN++'s has no start from a batch here.

    Args:
        code_shape: ``(H, W)``, or ``(n,)`` for a row of codes.
        num_codes, labels: as for every :class:`CodePrior`.
        network: a spec of a :class:`~lightning_gen.nn.causal.base.CausalNetwork`.
        features: length of the vector that stands for a code in the network's input.
    """

    def __init__(
        self,
        code_shape: tuple[int, ...],
        num_codes: int,
        labels: LabelKind = LabelKind(),
        network: ClassSpec | str = "MADENetwork",
        features: int = 32,
    ) -> None:
        super().__init__(code_shape, num_codes, labels)
        if len(self.code_shape) > 2:
            raise UserError(f"model.code_shape: AutoregressiveCodePrior needs a grid [H, W] or a row [n], got {list(code_shape)}")
        if features < 1:
            raise UserError(f"model.code_prior.features: expected at least 1, got {features}")
        height, width = (1, *self.code_shape)[-2:]
        pixels = CodeCategorical(num_codes, features)
        self.embedding = LabelEmbedding(labels)
        places = Places((height, width), 1, features, num_codes, self.embedding.features)
        self.distribution = CausalDistribution(build(network, CausalNetwork, "model.code_prior.network", places=places), pixels)

    def context(self, labels: Tensor | None) -> Tensor | None:
        """What the network is given of the labels."""
        if self.embedding.features and labels is None:
            raise UserError("labels: this prior of codes is conditional; expected labels, got none")
        return self.embedding(labels) if self.embedding.features else None

    def log_prob(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        grid = codes.reshape(len(codes), 1, *self.distribution.network.places.grid)
        return self.distribution.log_prob(grid, self.context(labels))

    def sample(self, noise: Noise, labels: Tensor | None = None) -> Tensor:
        """Drawn code by code."""
        u = noise.uniform("codes", self.distribution.uniforms_shape)
        return self.distribution.sample(u, self.context(labels)).reshape(len(noise), *self.code_shape)
