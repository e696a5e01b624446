r"""The contractive autoencoder (Rifai et al., 2011, ICML; related: Alain & Bengio, 2012, arXiv:1211.4246).

Implemented: the squared Frobenius norm of the Jacobian of the whole encoder, however deep: exactly, by one vector-Jacobian product per
dimension of the code, up to ``exact_up_to`` dimensions; by random projections, without bias, above. The closed form of one sigmoid layer
is not used: it is wrong for deeper encoders. Deviations: the squared error takes the place of the cross-entropy, and the decoder's weights
are its own, not the encoder's transposed. A decoder of its own can make up for a code that is scaled down, so the penalty's value means
something beside ``weight`` and the length of training only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gen.errors import UserError
from lightning_gen.models.autoencoders.autoencoder import Autoencoder, squared_error
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.noise import Noise

BatchNorm = nn.modules.batchnorm._BatchNorm


class ContractiveAutoencoder(Autoencoder):
    r"""An autoencoder whose code changes little with the image.

    .. math:: \lVert x - g(f(x)) \rVert^2 + \lambda \Big\lVert \frac{\partial f}{\partial x} \Big\rVert_F^2

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        weight: λ.
        exact_up_to: largest length of the code for which the penalty is exact; longer ones are projected,
            :math:`E_v \lVert v^\top \partial f / \partial x \rVert^2` with v uniform on the corners of a cube.
        **options: as for :class:`Autoencoder`.
    """

    paper = "Rifai et al. 2011, ICML; Alain & Bengio 2012, arXiv:1211.4246"

    def __init__(self, data_shape: list[int], weight: float = 0.1, exact_up_to: int = 16, **options: Any) -> None:
        super().__init__(data_shape, **options)
        require_at_least(0, weight=weight, exact_up_to=exact_up_to)
        for layer in self.encoder.modules():
            if isinstance(layer, nn.ReLU):
                raise UserError("model.encoder.activation: the penalty needs a smooth one; expected tanh or silu, got relu")
            if isinstance(layer, BatchNorm):
                raise UserError("model.encoder: BatchNorm makes a code depend on the other images of the batch; expected a network without")

    def objective(self, images: Tensor, labels: Tensor | None, noise: Noise) -> dict[str, Tensor]:
        """The loss, the squared error and the penalty before its weight."""
        x = self.to_float(images)
        h, pullback = torch.func.vjp(lambda x: self.encoder(x, labels), x)
        error = squared_error(self.decoder(h, labels), x).mean()
        penalty = self.penalty(h, pullback, noise).mean()
        return {"loss": error + self.hparams.weight * penalty, "squared_error": error, "penalty": penalty}

    def penalty(self, h: Tensor, pullback: Callable[[Tensor], tuple[Tensor]], noise: Noise) -> Tensor:
        """The squared Frobenius norm of each image's Jacobian, or its estimate, ``(B,)``.

        Args:
            h: codes ``(B, D)``.
            pullback: v ``(B, D)`` to the product of v with each image's Jacobian, in a tuple.
            noise: of the projections.
        """
        dim = h.shape[1]
        if dim > self.hparams.exact_up_to:
            corners = 2.0 * (noise.uniform("projection", (dim,)) < 0.5) - 1
            return squared_norm(pullback(corners.to(h)))
        rows = torch.eye(dim, dtype=h.dtype, device=h.device).unsqueeze(1).expand(dim, *h.shape)
        return torch.func.vmap(lambda v: squared_norm(pullback(v)))(rows).sum(0)


def squared_norm(products: tuple[Tensor]) -> Tensor:
    """The squared length of each image's product, ``(B,)``, in float32 at least."""
    (product,) = products
    return product.to(torch.promote_types(product.dtype, torch.float32)).square().flatten(1).sum(1)
