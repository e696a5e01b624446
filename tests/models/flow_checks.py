"""What the tests of several flows look at."""

import torch

from lightning_gen.noise import IndexedNoise


def mass_in_the_plane(model, reach=12.0, points=600):
    """The integral of a density of pairs over a square, by the midpoint rule."""
    step = 2 * reach / points
    axis = torch.arange(points) * step - reach + step / 2
    grid = torch.cartesian_prod(axis, axis).to(model.dtype)
    with model.inference():
        parts = [model.log_prob(part, noise=IndexedNoise(0, range(len(part)))).exp().sum() for part in grid.split(60_000)]
    return float(torch.stack(parts).sum() * step**2)


def mean_log_prob(model, batch, num_samples=1):
    """Mean log-probability of a batch in evaluation mode, nats."""
    with model.inference("live"):
        noise = IndexedNoise(0, range(len(batch[0])))
        return float(model.log_prob(batch[0], labels=model.labels_of(batch), noise=noise, num_samples=num_samples).mean())
