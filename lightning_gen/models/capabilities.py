"""What a model can do, as protocols that are checked at run time; nothing pretends to a capability it lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.noise import Noise


@runtime_checkable
class SupportsSampling(Protocol):
    """Draws new images. Inherit :class:`lightning_gen.models.sampling.SamplesFromNoise` for the indexed ``sample``."""

    def sample(
        self, num_samples: int, *, seed: int = 0, labels: Tensor | None = None, weights: str = "ema", first_index: int = 0
    ) -> Tensor:
        """``num_samples`` new images, uint8 ``(N, C, H, W)``; sample i of a seed is always the same."""

    def sample_block(self, seed: int, indices: range, labels: Tensor | None = None) -> Tensor:
        """The images of some consecutive sample indices: what evaluation draws, block by block."""


@runtime_checkable
class SupportsLikelihood(Protocol):
    """Gives images a probability."""

    def log_prob(self, images: Tensor, *, labels: Tensor | None = None, noise: Noise, num_samples: int = 1) -> Tensor:
        """The log-mass of each discrete image (log-density of a vector), in nats, ``(B,)``; see ``likelihood_kind`` for what it is."""

    def likelihood_kind(self, num_samples: int = 1) -> str:
        """What ``log_prob`` is with ``num_samples``: ``"exact"``, ``"lower bound"`` or ``"k-sample bound"``; never more than it is."""


@runtime_checkable
class SupportsLatents(Protocol):
    """Maps images to latent vectors and back."""

    latent_shapes: dict[str, tuple[int, ...]]
    """Name and shape of each part of z, in the order in which ``encode`` concatenates them."""

    def encode(self, images: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """uint8 images to latents ``(B, D)``."""

    def decode(self, z: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """Latents ``(B, D)`` to uint8 images."""


@runtime_checkable
class SupportsDecoding(Protocol):
    """Maps latent vectors to images (a GAN has this half only)."""

    def decode(self, z: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """Latents ``(B, D)`` to uint8 images."""


@runtime_checkable
class SupportsPrior(Protocol):
    """Has a distribution of latent vectors from which its samples are decoded."""

    def draw_latents(self, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """One latent vector from the prior per item of ``noise``, ``(B, D)``."""


@runtime_checkable
class SupportsTemperature(Protocol):
    """Can be told how far from the middle of its prior it samples."""

    temperature: float
    """What draws from the prior are multiplied with; 1 samples the model."""

    def set_temperature(self, temperature: float) -> None:
        """Sample at another temperature from now on, which ``answer_options`` says."""


@runtime_checkable
class SupportsTruncation(Protocol):
    """Can be told to leave out what is far from the middle of its prior."""

    truncation: float
    """How many deviations of the prior its samples come from; 0 for all of it."""

    def set_truncation(self, truncation: float) -> None:
        """Sample with another truncation from now on, which ``answer_options`` says."""


@runtime_checkable
class SupportsPath(Protocol):
    """Leads noise to data by steps that can be looked at."""

    def latent_path(self, z: Tensor, num_points: int, *, labels: Tensor | None = None) -> tuple[Tensor, list[float]]:
        """Up to so many points of the way from latents ``(B, D)`` to their images, both ends included, in floats ``(S, B, ...)``, and
        how far along each lies, from 0 to 1. The last one is dequantized images (or vectors); those before it have any range."""


@runtime_checkable
class SupportsPosterior(Protocol):
    """Infers a distribution of latent vectors from an image: what a report of rate, collapse and gaps needs."""

    latent_shapes: dict[str, tuple[int, ...]]
    """Name and shape of each part of z, in order."""

    def posterior(self, images: Tensor, labels: Tensor | None = None) -> LatentDistribution:
        """q(z|x), ``(B, D)``."""

    def prior(self, labels: Tensor | None = None) -> LatentDistribution:
        """p(z), without a batch; with one only where it depends on the labels."""


@runtime_checkable
class SupportsReconstruction(Protocol):
    """Reproduces given images from what it keeps of them."""

    def reconstruct(self, images: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """uint8 images to uint8 images."""


@runtime_checkable
class SupportsCompletion(Protocol):
    """Draws the hidden part of given images from its distribution given what is seen before it."""

    def complete(self, images: Tensor, hidden: Tensor, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """uint8 images ``(B, C, H, W)`` whose places ``hidden`` (bool, broadcast) are drawn anew; the others stay as they are."""


@runtime_checkable
class HasHiddenLayer(Protocol):
    """Has an encoder whose last hidden layer is worth looking at beside its output; no capability, but something to explain."""

    def hidden_layer(self, images: Tensor) -> Tensor:
        """uint8 images to what the encoder's last linear layer is given, ``(B, F)``."""


@runtime_checkable
class HasRecognisedCodes(Protocol):
    """Has a z that ends in codes which it reads off an image again; no capability, but something to explain."""

    categories: list[int]
    """How many values each categorical code has: as many numbers of z, one of them 1."""
    num_continuous: int
    """Continuous codes in [-1, 1], which come last."""

    def recovered(self, z: Tensor, labels: Tensor | None = None) -> dict[str, float]:
        """How well the codes of z ``(B, D)`` are read off the images of z."""


@runtime_checkable
class ReportsPlaces(Protocol):
    """Draws an image in many steps, so that somebody may want to be told of each; not a capability in the sense of what a model can do."""

    on_place: Callable[[int, int], None] | None
    """Called with the number of places of a batch that are drawn, and of all."""


@runtime_checkable
class SupportsCodes(Protocol):
    """Maps images to discrete codes and back."""

    code_shape: tuple[int, ...]
    """Shape of the codes of one image."""
    num_codes: int
    """K: a code is one of 0 ... K - 1."""

    def encode_codes(self, images: Tensor) -> Tensor:
        """uint8 images to int64 codes ``(B, *code_shape)``."""

    def decode_codes(self, codes: Tensor) -> Tensor:
        """Codes ``(B, *code_shape)`` to uint8 images."""


CAPABILITIES: dict[str, type] = {
    "sampling": SupportsSampling,
    "likelihood": SupportsLikelihood,
    "latents": SupportsLatents,
    "decoding": SupportsDecoding,
    "prior": SupportsPrior,
    "temperature": SupportsTemperature,
    "truncation": SupportsTruncation,
    "path": SupportsPath,
    "posterior": SupportsPosterior,
    "reconstruction": SupportsReconstruction,
    "completion": SupportsCompletion,
    "codes": SupportsCodes,
}


def capabilities_of(model: type | object) -> list[str]:
    """The names of the capabilities that a model, or a model class, has."""
    members = {
        name: [attribute for attribute in vars(protocol) if not attribute.startswith("_")] for name, protocol in CAPABILITIES.items()
    }
    return [name for name, attributes in members.items() if all(hasattr(model, attribute) for attribute in attributes)]


def describe(model: type) -> dict[str, Any]:
    """What ``lightning-gen list`` says of a model class."""
    return {
        "name": model.__name__,
        "family": model.family,
        "density": model.density,
        "capabilities": capabilities_of(model),
        "paper": model.paper,
    }
