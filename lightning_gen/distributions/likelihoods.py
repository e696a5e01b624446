r"""p(x | z) of an image given a decoder's output: full log-masses, no dropped constants.

A decoder returns ``parameter_shape``; leading dimensions in front of it are free, so k decodings of each image ``(B, k, ...)`` are scored
against its target ``(B, 1, ...)`` by broadcasting.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from lightning_gen import images as pixels
from lightning_gen.distributions.logistic import discretized_log_mass, nearest_level
from lightning_gen.distributions.normal import LOG_2PI
from lightning_gen.errors import UserError
from lightning_gen.noise import Noise


class Likelihood(nn.Module):
    """The distribution of an image (or vector) whose parameters a decoder computes.

    Args:
        data_shape: shape of one image ``(C, H, W)`` or vector ``(D,)``.
        num_bits: bits per pixel of the data.
    """

    parameters_per_value = 1

    def __init__(self, data_shape: tuple[int, ...], num_bits: int) -> None:
        super().__init__()
        self.data_shape = tuple(data_shape)
        self.num_bits = num_bits

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """What the decoder has to return for one image: the channels hold one group per parameter."""
        return (self.parameters_per_value * self.data_shape[0], *self.data_shape[1:])

    def split(self, parameters: Tensor) -> tuple[Tensor, ...]:
        """``(..., *parameter_shape)`` to one tensor ``(..., *data_shape)`` per parameter, in float32 at least."""
        parameters = parameters.to(torch.promote_types(parameters.dtype, torch.float32))
        return parameters.chunk(self.parameters_per_value, dim=-len(self.data_shape))

    def sum_event(self, log_prob: Tensor) -> Tensor:
        """``(..., *data_shape)`` to ``(...)``."""
        return log_prob.flatten(-len(self.data_shape)).sum(-1)

    @property
    def is_exact(self) -> bool:
        """Whether ``log_prob`` is the log-mass (of a vector: the log-density) itself, and no bound on it."""
        return True

    def target(self, images: Tensor, noise: Noise) -> Tensor:
        """The float form of the images that ``log_prob`` scores."""
        raise NotImplementedError(f"{type(self).__name__} has to implement target")

    def log_prob(self, parameters: Tensor, target: Tensor) -> Tensor:
        """log-mass of the discrete image (log-density of a vector) in nats, ``(...)``."""
        raise NotImplementedError(f"{type(self).__name__} has to implement log_prob")

    def mean(self, parameters: Tensor) -> Tensor:
        """The expected image, uint8 (a vector: float32)."""
        raise NotImplementedError(f"{type(self).__name__} has to implement mean")

    def sample(self, parameters: Tensor, noise: Noise) -> Tensor:
        """A draw of x, uint8 (a vector: float32)."""
        raise NotImplementedError(f"{type(self).__name__} has to implement sample")


class Bernoulli(Likelihood):
    r"""Binary pixels: :math:`\log P(x) = \sum_d x_d l_d - \log(1 + e^{l_d})` with logits l. For binarized data only.

    Args:
        data_shape, num_bits: as for every :class:`Likelihood`; ``num_bits`` has to be 1.
    """

    def __init__(self, data_shape: tuple[int, ...], num_bits: int) -> None:
        super().__init__(data_shape, num_bits)
        if num_bits != 1 or not pixels.is_image(data_shape):
            raise UserError(
                f"model.likelihood: Bernoulli needs binary images, got {num_bits} bits; set data.binarization (dynamic, static)"
            )

    def target(self, images: Tensor, noise: Noise) -> Tensor:
        return pixels.to_unit(images)

    def log_prob(self, parameters: Tensor, target: Tensor) -> Tensor:
        (logits,) = self.split(parameters)
        return self.sum_event(target * logits - softplus(logits))

    def mean(self, parameters: Tensor) -> Tensor:
        return pixels.from_unit(torch.sigmoid(*self.split(parameters)))

    def sample(self, parameters: Tensor, noise: Noise) -> Tensor:
        probability = torch.sigmoid(*self.split(parameters))
        return pixels.from_unit((noise.uniform("observation", self.data_shape) < probability).to(probability))


class Gaussian(Likelihood):
    r"""Normal pixels on dequantized data y in [0, 1): the log-density plus the log-volume of a level's cell, a bound on the log-mass.

    .. math:: \log P(x) \ge E_u \sum_d \log N(y_d; \mu_d, \sigma_d^2) - D n \log 2

    Vectors are scored by their plain log-density.

    Args:
        data_shape, num_bits: as for every :class:`Likelihood`.
        scale: one learned standard deviation for all (``shared``), or one per value from the decoder (``per_value``).
        min_scale: floor of the standard deviation, in units of the target; without it a learned scale runs to zero on constant pixels.
    """

    def __init__(
        self, data_shape: tuple[int, ...], num_bits: int, scale: Literal["shared", "per_value"] = "shared", min_scale: float = 0.01
    ) -> None:
        super().__init__(data_shape, num_bits)
        if min_scale <= 0:
            raise UserError(f"model.likelihood.min_scale: expected a positive number, got {min_scale}")
        self.min_scale = min_scale
        self.parameters_per_value = 1 if scale == "shared" else 2
        self.log_scale = nn.Parameter(torch.tensor(math.log(0.2))) if scale == "shared" else None
        self.cell_log_volume = pixels.cell_log_volume(data_shape, num_bits)

    def mean_and_scale(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of every value."""
        mean, *log_scale = self.split(parameters)
        raw = self.log_scale if self.log_scale is not None else log_scale[0]
        return mean, self.min_scale + raw.exp()

    @property
    def is_exact(self) -> bool:
        return not pixels.is_image(self.data_shape)

    def target(self, images: Tensor, noise: Noise) -> Tensor:
        return pixels.dequantize(images, noise, self.num_bits) if pixels.is_image(self.data_shape) else images

    def log_prob(self, parameters: Tensor, target: Tensor) -> Tensor:
        mean, scale = self.mean_and_scale(parameters)
        density = -0.5 * ((target - mean) / scale).square() - scale.log() - 0.5 * LOG_2PI
        return self.sum_event(density) + self.cell_log_volume

    def mean(self, parameters: Tensor) -> Tensor:
        return self._to_data(self.mean_and_scale(parameters)[0])

    def sample(self, parameters: Tensor, noise: Noise) -> Tensor:
        mean, scale = self.mean_and_scale(parameters)
        return self._to_data(mean + scale * noise.normal("observation", self.data_shape))

    def _to_data(self, y: Tensor) -> Tensor:
        return pixels.quantize(y, self.num_bits) if pixels.is_image(self.data_shape) else y


class DiscretizedLogistic(Likelihood):
    r"""Logistic pixels integrated over each level's cell (Salimans et al., 2017, arXiv:1701.05517, one component): an exact mass.

    See :func:`~lightning_gen.distributions.logistic.discretized_log_mass`.

    Args:
        data_shape, num_bits: as for every :class:`Likelihood`.
        min_log_scale: floor of log s.
    """

    parameters_per_value = 2

    def __init__(self, data_shape: tuple[int, ...], num_bits: int, min_log_scale: float = -7.0) -> None:
        super().__init__(data_shape, num_bits)
        if not pixels.is_image(data_shape):
            raise UserError(f"model.likelihood: DiscretizedLogistic needs images, got data_shape {list(data_shape)}; use Gaussian")
        self.min_log_scale = min_log_scale
        self.top = 2**num_bits - 1

    def mean_and_log_scale(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """mu and log s of every value."""
        mean, log_scale = self.split(parameters)
        return mean, log_scale.clamp(min=self.min_log_scale)

    def target(self, images: Tensor, noise: Noise) -> Tensor:
        return pixels.to_levels(images, self.num_bits).to(torch.get_default_dtype())

    def log_prob(self, parameters: Tensor, target: Tensor) -> Tensor:
        return self.sum_event(discretized_log_mass(target, *self.mean_and_log_scale(parameters), self.top))

    def mean(self, parameters: Tensor) -> Tensor:
        """The level nearest to the location mu."""
        return self._to_data(self.mean_and_log_scale(parameters)[0])

    def sample(self, parameters: Tensor, noise: Noise) -> Tensor:
        mean, log_scale = self.mean_and_log_scale(parameters)
        u = noise.uniform("observation", self.data_shape).clamp(1e-6, 1 - 1e-6)
        return self._to_data(mean + log_scale.exp() * torch.logit(u))

    def _to_data(self, x: Tensor) -> Tensor:
        return pixels.from_levels(nearest_level(x, self.top), self.num_bits)
