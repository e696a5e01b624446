r"""What a variational posterior does with its latent vector: rate and distortion, collapse, and the gaps of the bound.

With q(z) the aggregate posterior, the rate splits into :math:`E_x[KL(q(z|x) \| p(z))] = I_q(x; z) + KL(q(z) \| p(z))`
(Hoffman & Johnson, 2016). The rate is in closed form where there is one, the information is estimated, and the KL is what is left. Of N
images the information that is found is at most log N; where there is more to know, it is too small and the KL too large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightning_gen.data.base import ImageDataModule
from lightning_gen.distributed import global_sum
from lightning_gen.distributions.base import LatentDistribution
from lightning_gen.errors import UserError
from lightning_gen.evaluation.extraction import own_blocks
from lightning_gen.models.base import GenerativeModel, Weights
from lightning_gen.models.capabilities import SupportsLikelihood, SupportsPosterior
from lightning_gen.noise import BLOCK, IndexedNoise, blocks, stable_hash

ACTIVE_VARIANCE = 0.01
"""A dimension is active when the mean of its posterior varies by more than this over images (Burda et al., 2015, arXiv:1509.00519)."""


@dataclass(frozen=True)
class PosteriorReport:
    r"""All in nats per image, averaged over the images; Monte Carlo estimates by one draw each where nothing else is said.

    Args:
        images: how many.
        elbo: the evidence lower bound.
        distortion: -E[log p(x|z)], of discrete images.
        rate: KL(q(z|x) || p(z)).
        bound: the k-sample bound.
        bound_samples: its k.
        variational_gap: bound - elbo.
        latent_dim: D.
        active_units: how many dimensions are active.
        kl_per_dimension: where the KL splits into dimensions, else empty.
        mutual_information: between image and latent vector under q, log(images) at most, hence too small for few images; None where the
            prior depends on labels.
        aggregate_kl: KL of the aggregate posterior to the prior, rate - mutual_information, hence too large for few images; None likewise.
    """

    images: int
    elbo: float
    distortion: float
    rate: float
    bound: float
    bound_samples: int
    variational_gap: float
    latent_dim: int
    active_units: int
    kl_per_dimension: tuple[float, ...]
    mutual_information: float | None
    aggregate_kl: float | None

    def scalars(self) -> dict[str, float]:
        """What is a number, by name: for a logger."""
        return {name: value for name, value in vars(self).items() if isinstance(value, int | float)}


def posterior_report(
    model: GenerativeModel, data: ImageDataModule, split: str, num_images: int, num_samples: int = 64, weights: Weights = "ema"
) -> PosteriorReport:
    """Report on the first images of a split. Every rank has to call this; every rank gets the same.

    Args:
        model: with a posterior and a likelihood.
        data: the data set.
        split: of which the images are.
        num_images: how many; all where there are fewer.
        num_samples: k of the tighter bound.
        weights: averaged or live.

    Raises:
        UserError: the model has no posterior.
    """
    if not has_posterior(model):
        raise UserError(f"report: {type(model).__name__} has no posterior to report on; expected a variational autoencoder")
    with torch.random.fork_rng(devices=[]), model.inference(weights):
        return report_within(model, data, split, num_images, num_samples)


def has_posterior(model: object) -> bool:
    """Whether there is something to report on."""
    return isinstance(model, SupportsPosterior) and isinstance(model, SupportsLikelihood)


def report_within(model: Any, data: ImageDataModule, split: str, num_images: int, num_samples: int) -> PosteriorReport:
    """:func:`posterior_report` within :meth:`GenerativeModel.inference`, of whatever weights that has chosen."""
    count = min(num_images, data.split_size(split))
    posteriors = [model.posterior(*_batch(model, data, split, block)) for block in blocks(count)]
    rows = [(block, _rows(model, data, split, block, posteriors, num_samples)) for _, block in own_blocks(count)]
    tables = _in_order(rows, count, math.prod(posteriors[0].mean.shape[1:]), model.device)
    return _summary(tables, num_samples)


class _Rows(NamedTuple):
    """What is known of some images: one number each, or one per dimension ``(B, D)``."""

    elbo: Tensor
    bound: Tensor
    log_posterior: Tensor
    """log q(z|x) of a draw z."""
    log_prior: Tensor
    """log p(z)."""
    log_aggregate: Tensor
    """log q(z), NaN where the prior depends on labels."""
    mean: Tensor
    kl: Tensor
    """NaN where there is no closed form that splits into dimensions."""


def _rows(model: Any, data: ImageDataModule, split: str, block: range, posteriors: list[LatentDistribution], num_samples: int) -> _Rows:
    images, labels = _batch(model, data, split, block)
    noise = IndexedNoise(stable_hash(0, "report"), block, model.device)
    posterior, prior = posteriors[block.start // BLOCK], model.prior(labels)
    z = posterior.sample(noise, "report", posterior.mean.shape[1:])
    elbo, bound = (model.log_prob(images, labels=labels, noise=noise, num_samples=k) for k in (1, num_samples))
    aggregate = _log_aggregate(z, posteriors) if prior.mean.dim() < 2 else torch.full_like(elbo, math.nan)
    return _Rows(elbo, bound, posterior.log_prob(z), prior.log_prob(z), aggregate, posterior.mean, _kl_per_dimension(posterior, prior))


def _batch(model: GenerativeModel, data: ImageDataModule, split: str, block: range) -> tuple[Tensor, Tensor | None]:
    batch = data.batch(split, block, model.device)
    return batch[0], model.labels_of(batch)


def _log_aggregate(z: Tensor, posteriors: list[LatentDistribution]) -> Tensor:
    """log q(z) of draws ``(B, D)``, with q(z) the equally weighted mixture of all posteriors: ``(B,)``."""
    log_densities = torch.cat([posterior.log_prob(z.unsqueeze(1)) for posterior in posteriors], dim=1)
    return torch.logsumexp(log_densities, dim=1) - math.log(log_densities.shape[1])


def _kl_per_dimension(posterior: LatentDistribution, prior: LatentDistribution) -> Tensor:
    try:
        terms = posterior.kl_terms(prior)
    except NotImplementedError:
        terms = None
    return terms if terms is not None and terms.shape == posterior.mean.shape else torch.full_like(posterior.mean, math.nan)


def _in_order(rows: list[tuple[range, _Rows]], count: int, latent_dim: int, device: torch.device) -> _Rows:
    """All ranks' rows in index order, float64 on the CPU; a rank without images brings zeros."""
    widths = {name: (latent_dim,) if name in ("mean", "kl") else () for name in _Rows._fields}
    tables = {name: torch.zeros(count, *width, dtype=torch.float64, device=device) for name, width in widths.items()}
    for block, values in rows:
        for name, table in tables.items():
            table[block.start : block.stop] = getattr(values, name)
    return _Rows(**{name: global_sum(table).cpu() for name, table in tables.items()})


def _summary(rows: _Rows, num_samples: int) -> PosteriorReport:
    elbo, bound = float(rows.elbo.mean()), float(rows.bound.mean())
    kl = rows.kl.mean(0)
    rate = float((rows.log_posterior - rows.log_prior).mean()) if kl.isnan().any() else float(kl.sum())
    mutual_information = float((rows.log_posterior - rows.log_aggregate).mean())
    return PosteriorReport(
        images=len(rows.elbo),
        elbo=elbo,
        distortion=-elbo - rate,
        rate=rate,
        bound=bound,
        bound_samples=num_samples,
        variational_gap=bound - elbo,
        latent_dim=len(kl),
        active_units=int((rows.mean.var(0) > ACTIVE_VARIANCE).sum()),
        kl_per_dimension=() if kl.isnan().any() else tuple(kl.tolist()),
        mutual_information=None if math.isnan(mutual_information) else mutual_information,
        aggregate_kl=None if math.isnan(mutual_information) else rate - mutual_information,
    )
