r"""The projection discriminator (Miyato & Koyama, 2018, arXiv:1802.05637).

Implemented: SNGAN's game and networks given the class: conditional batch normalisation in the generator's blocks, and an inner product of
the discriminator's features with a vector of the class, spectrally normalised as all weights. Deviation: the labels of generated images
are those of the batch of real images, drawn from the data, where the authors' code draws them uniformly.
"""

from __future__ import annotations

from typing import Any

from lightning_gen.errors import UserError
from lightning_gen.models.gans.sngan import SNGAN


class ProjectionGAN(SNGAN):
    r"""The logit knows the class by a projection.

    .. math:: D(x, y) = y^\top V \phi(x) + \psi(\phi(x))

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        conditional: has to be true.
        **options: as for :class:`SNGAN`; networks that have no projection take the label in their own way.
    """

    paper = "Miyato & Koyama 2018, arXiv:1802.05637"

    def __init__(self, data_shape: list[int], conditional: bool = True, **options: Any) -> None:
        if not conditional:
            raise UserError("model.conditional: the projection is of a label; expected true, or SNGAN")
        super().__init__(data_shape, conditional=conditional, **options)
