r"""The inverse autoregressive flow as a density of data (Kingma et al., 2016, arXiv:1606.04934; Papamakarios et al., 2017, Section 3.3).

Implemented: the layers of :class:`~lightning_gen.models.flows.maf.MAF` the other way round, so that noise goes to data in one pass per
layer. The first paper's own use, the posterior of a VAE, is :class:`~lightning_gen.models.autoencoders.iaf_vae.IAFVAE`.

How it is fitted: by maximum likelihood, which needs the slow direction. In training each layer finds the noise behind a batch of data by
its fixed point, so many passes of the network until nothing changes, and the gradient of that solution by the implicit function theorem, as
many backward (see :mod:`~lightning_gen.bijections.autoregressive`). Both are exact; nothing is distilled from another model. A step costs
several times one of MAF.
"""

from __future__ import annotations

from typing import Any, Literal

from lightning_gen.bijections.base import Bijection, Inverse
from lightning_gen.models.flows.maf import MAF


class IAF(MAF):
    r"""Affine autoregressive layers from noise to data: fast samples, slow densities.

    .. math:: x_i = e^{s_i(z_{<i})} z_i + t_i(z_{<i})

    Args:
        data_shape: as for every :class:`GenerativeModel`; images are flattened.
        normalization: what follows each layer, on the way from data to noise.
        **options: as for :class:`MAF`.
    """

    paper = "Kingma et al. 2016, arXiv:1606.04934"

    def __init__(
        self, data_shape: list[int], normalization: Literal["BatchNormalization", "ActNorm", "none"] = "ActNorm", **options: Any
    ) -> None:
        super().__init__(data_shape, normalization=normalization, **options)

    def layer(self, reverse: bool) -> Bijection:
        return Inverse(super().layer(reverse))
