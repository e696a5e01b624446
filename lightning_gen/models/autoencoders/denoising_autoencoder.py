r"""The denoising autoencoder (Vincent et al., 2008, ICML; 2010, JMLR 11) and its Markov chain (Bengio et al., 2013, arXiv:1305.6663).

Implemented: corruption by normal noise, masking or salt and pepper; the squared error against the clean image; no corruption when images
are encoded and reconstructed; samples by the chain that corrupts and denoises in turn. Its stationary distribution is that of the data
where the reconstruction distribution P(x | x~) is the true one and the chain mixes.

P(x | x~) is explicit: independent Bernoulli pixels whose probability is the decoder's output, cut to [0, 1], on binary images; otherwise a
normal around the decoder's output with one variance for all values, the running mean of the squared error in training. Deviations: the
first paper's codes are wider than the data and its loss is the cross-entropy; here the code is a choice of the configuration, and the
squared error serves all data (it, too, is minimal where the output is the conditional mean).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lightning_gen import images as pixels
from lightning_gen.distributed import global_mean
from lightning_gen.distributions.corruptions import Corruption
from lightning_gen.models.autoencoders.autoencoder import Autoencoder, squared_error
from lightning_gen.models.base import Batch
from lightning_gen.models.hyperparameters import require_at_least
from lightning_gen.models.sampling import SamplesFromNoise
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec, build

MEMORY = 100
"""Batches over which the squared error is averaged."""


class DenoisingAutoencoder(Autoencoder, SamplesFromNoise):
    r"""An autoencoder that is shown a corrupted image and scored against the clean one.

    .. math:: E_{q(\tilde x | x)} \lVert x - g(f(\tilde x)) \rVert^2

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        corruption: q(x~ | x), a spec of a :class:`~lightning_gen.distributions.corruptions.Corruption`.
        chain_steps: how often a sample is corrupted and denoised, from noise.
        observation_noise: whether samples are draws from the last P(x | x~); otherwise its mean is shown.
        **options: as for :class:`Autoencoder`.
    """

    density = "implicit"
    paper = "Vincent et al. 2008, ICML; Bengio et al. 2013, arXiv:1305.6663"

    def __init__(
        self,
        data_shape: list[int],
        corruption: ClassSpec | str = "GaussianCorruption",
        chain_steps: int = 100,
        observation_noise: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(data_shape, **options)
        require_at_least(1, chain_steps=chain_steps)
        self.corruption = build(corruption, Corruption, "model.corruption", data_shape=self.data_shape)
        self.register_buffer("variance", torch.ones(()))

    @property
    def is_binary(self) -> bool:
        """Whether the images are black and white, so that P(x | x~) is Bernoulli."""
        return pixels.is_image(self.data_shape) and self.num_bits == 1

    # Training.

    def objective(self, images: Tensor, labels: Tensor | None, noise: Noise) -> dict[str, Tensor]:
        """The squared error against the clean image."""
        x = self.to_float(images)
        return {"loss": squared_error(self.denoised(self.corruption.corrupt(x, noise), labels), x).mean()}

    def denoised(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """The mean of P(x | x~)."""
        return self.decoder(self.encoder(x, labels), labels)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        error = global_mean(loss.detach()) / math.prod(self.data_shape)
        # A plain mean at first, so that the initial value leaves no trace.
        self.variance.lerp_(error.to(self.variance), max(1 / self.batches_seen, 1 / MEMORY))
        return loss

    # The Markov chain.

    def sample_images(self, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """The chain's state after ``chain_steps`` from noise: the last mean, or a draw around it with ``observation_noise``."""
        x = self.start(noise)
        for step in range(self.hparams.chain_steps):
            mean = self.denoised(self.corruption.corrupt(x, noise, f"chain/{step}/corruption"), labels)
            x = self.draw(mean, noise, f"chain/{step}/output")
        return self.to_data(x if self.hparams.observation_noise else mean)

    def start(self, noise: Noise) -> Tensor:
        """Where the chain starts: uniform pixels, or a standard normal vector."""
        draw = noise.uniform if pixels.is_image(self.data_shape) else noise.normal
        return draw("chain/start", self.data_shape)

    def draw(self, mean: Tensor, noise: Noise, name: str) -> Tensor:
        """A draw of P(x | x~) with that mean, by the noise called ``name``."""
        if self.is_binary:
            return (noise.uniform(name, self.data_shape) < mean).to(mean)
        return mean + self.variance.sqrt() * noise.normal(name, self.data_shape)

    def answer_options(self) -> dict[str, Any]:
        return {
            "sampler": f"Markov chain, {self.hparams.chain_steps} steps",
            "output_distribution": "Bernoulli" if self.is_binary else "normal, variance of the denoising error in training",
            "observation_noise": self.hparams.observation_noise,
        }
