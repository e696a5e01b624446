r"""What several papers add to a discriminator's loss: penalties on its gradient with respect to the images.

All are means over images of a function of :math:`\nabla_x D(x)`, without a factor: the papers' factors stand in their models. The gradient
is that of D's value (the logit), and its norm is taken over all values of an image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_gen.nn.adversarial.base import Discriminator


def input_gradients(discriminator: Discriminator, x: Tensor, labels: Tensor | None) -> Tensor:
    """The gradient of each logit with respect to its own image, ``(B, D)``, differentiable, in float32 at least.

    Args:
        discriminator: D. One that normalises over the batch has no gradient of its own image, which is why papers forbid it.
        x: images or vectors ``(B, *data_shape)``; where they come from is not differentiated.
        labels: of the images.
    """
    # Validation runs in inference mode, whose tensors cannot be differentiated; copies made outside of it can.
    with torch.inference_mode(False), torch.enable_grad():
        x, labels = x.detach().clone().requires_grad_(), None if labels is None else labels.clone()
        (gradient,) = torch.autograd.grad(discriminator(x, labels).logits.sum(), x, create_graph=True)
    return gradient.flatten(1).to(torch.promote_types(gradient.dtype, torch.float32))


def norm_warnings(discriminator: nn.Module, rule: str) -> list[str]:
    """A line for a discriminator that normalises over the batch, under a penalty that is one of each image's own gradient."""
    norms = [name for name, layer in discriminator.named_modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return []
    return [
        f"model.discriminator: {norms[0]}{' and others normalise' if norms[1:] else ' normalises'} over the batch, so that an image's value"
        f" depends on the others, and the penalty is not that of {rule}; expected normalization none or layer"
    ]


def squared_gradient_norm(discriminator: Discriminator, x: Tensor, labels: Tensor | None) -> Tensor:
    r""":math:`E[\lVert \nabla_x D(x) \rVert^2]`: on real images R1, on generated ones R2 (Mescheder et al., 2018, arXiv:1801.04406)."""
    return input_gradients(discriminator, x, labels).square().sum(1).mean()


def gradient_penalty(discriminator: Discriminator, x: Tensor, labels: Tensor | None) -> Tensor:
    r""":math:`E[(\lVert \nabla_x D(x) \rVert_2 - 1)^2]` (Gulrajani et al., 2017, arXiv:1704.00028, Eq. 3)."""
    return (torch.linalg.vector_norm(input_gradients(discriminator, x, labels), dim=1) - 1).square().mean()


def between(real: Tensor, fake: Tensor, u: Tensor) -> Tensor:
    r"""Points on the lines between pairs, :math:`u x + (1 - u) \tilde x`, where u is one number per pair.

    Args:
        real, fake: ``(B, *data_shape)``.
        u: uniform in [0, 1), ``(B, 1)``.
    """
    # Autocast leaves generated images in half the real ones' precision.
    return torch.lerp(fake.to(real), real, u.to(real).view(-1, *[1] * (real.ndim - 1)))
