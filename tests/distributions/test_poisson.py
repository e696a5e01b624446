"""Counts against SciPy's Poisson distribution and against enumeration."""

import numpy as np
import pytest
import torch
from scipy import stats

from lightning_gen.distributions import DiagonalNormal, Poisson
from lightning_gen.noise import IndexedNoise

pytestmark = pytest.mark.usefixtures("float64")
RATES = [0.01, 0.7, 3.0, 12.0, 40.0]
DRAWS = 20000


def drawn(rates, count=DRAWS):
    noise = IndexedNoise(1, range(count))
    return Poisson(torch.tensor(rates).log().expand(count, -1)).sample(noise, "z", (len(rates),))


def test_the_mass_is_scipys_and_sums_to_one():
    counts = torch.arange(200.0).unsqueeze(1)
    for rate in RATES:
        mass = Poisson(torch.tensor([rate]).log()).log_prob(counts).exp()
        np.testing.assert_allclose(mass.numpy(), stats.poisson.pmf(np.arange(200), rate), rtol=1e-10, atol=1e-300)
        assert mass.sum().item() == pytest.approx(1, abs=1e-12)


def test_the_divergence_equals_enumeration():
    q, p = Poisson(torch.tensor([0.3, 2.0, 9.0]).log()), Poisson(torch.tensor([0.8, 2.0, 4.0]).log())
    counts = torch.arange(120.0).unsqueeze(1).expand(-1, 3)
    mass_q = torch.tensor(stats.poisson.pmf(counts.numpy(), q.mean.numpy()))
    log_ratio = torch.tensor(stats.poisson.logpmf(counts.numpy(), q.mean.numpy()) - stats.poisson.logpmf(counts.numpy(), p.mean.numpy()))
    torch.testing.assert_close(q.kl_terms(p), (mass_q * log_ratio).sum(0), rtol=1e-10, atol=1e-14)
    assert q.kl_terms(p)[1] == 0
    with pytest.raises(NotImplementedError, match=r"no closed form of KL\(Poisson \|\| DiagonalNormal\)"):
        q.kl_terms(DiagonalNormal.standard())


def test_inversion_draws_the_smallest_count_whose_cumulative_mass_exceeds_u():
    z, u = drawn(RATES), IndexedNoise(1, range(DRAWS)).uniform("z", (len(RATES),)).numpy()
    above, below = stats.poisson.cdf(z.numpy(), RATES), stats.poisson.cdf(z.numpy() - 1, RATES)
    assert (u < above + 1e-12).all()
    assert (u >= below - 1e-12).all()


def test_draws_occur_as_often_as_the_mass_says():
    z = drawn(RATES).numpy()
    for column, rate in zip(z.T, RATES, strict=True):
        top = int(stats.poisson.ppf(1 - 20 / DRAWS, rate))
        expected = np.append(stats.poisson.pmf(np.arange(top), rate), stats.poisson.sf(top - 1, rate)) * DRAWS
        observed = np.bincount(np.minimum(column, top).astype(int), minlength=top + 1)
        keep = expected > 5
        statistic = ((observed - expected) ** 2 / expected)[keep].sum()
        freedom = keep.sum() - 1
        assert statistic < freedom + 5 * np.sqrt(2 * freedom) + 5, rate


def test_rates_near_nothing_and_in_the_hundreds_are_drawn():
    z = drawn([1e-30, 500.0], 2000)
    assert (z[:, 0] == 0).all()
    assert abs(z[:, 1].mean().item() - 500) < 5 * np.sqrt(500 / 2000)


def test_k_draws_of_each_item_are_scored_by_its_own_rates():
    log_rate = torch.randn(4, 3)
    repeated = Poisson(log_rate).repeated()
    z = repeated.sample(IndexedNoise(0, range(4)), "z", (5, 3))
    assert z.shape == (4, 5, 3)
    expected = torch.distributions.Poisson(log_rate.exp().unsqueeze(1)).log_prob(z).sum(-1)
    torch.testing.assert_close(repeated.log_prob(z), expected)
    assert not repeated.detached().log_rate.requires_grad


def test_relaxed_draws_become_counts_as_the_temperature_falls():
    rates, count = torch.tensor([0.5, 4.0]), 4000
    relaxed = Poisson(rates.log().expand(count, -1))
    cold, hot = (relaxed.relaxed_sample(IndexedNoise(0, range(count)), "z", (2,), temperature, 30) for temperature in (1e-7, 1.0))
    assert (cold - cold.round()).abs().quantile(0.99) < 1e-6
    assert (hot - hot.round()).abs().quantile(0.5) > 0.1
    for moment, expected in ((cold.mean(0), rates), (cold.var(0), rates)):
        # The fourth central moment of a count is λ + 3 λ²; the bound covers mean and variance.
        assert ((moment - expected).abs() < 5 * ((rates + 2 * rates**2) / count).sqrt()).all()


def test_the_relaxed_draws_derivative_is_that_of_the_mean_when_hot_and_smooth():
    """E[z~] in closed form: the integral of λ σ((1 - t) / T) over t, hence its derivative in λ is that integral over λ."""
    count, temperature = 20000, 0.3
    log_rate = torch.full((count, 1), 0.4, requires_grad=True)
    z = Poisson(log_rate).relaxed_sample(IndexedNoise(0, range(count)), "z", (1,), temperature, 40)
    (gradient,) = torch.autograd.grad(z.sum(), log_rate)
    expected = np.exp(0.4) * temperature * np.log1p(np.exp(1 / temperature))
    for values in (z.detach(), gradient):
        error = values.std() / count**0.5
        assert abs(values.mean() - expected) < 5 * error


class Last(IndexedNoise):
    """Uniform draws as near to 1 as a double can be."""

    def uniform(self, name, shape):
        return torch.full((len(self), *shape), 1 - 2**-53)


def test_the_largest_draw_that_there_is_ends():
    rates = torch.tensor([0.5, 20.0, 400.0])
    z = Poisson(rates.log().expand(1, -1)).sample(Last(0, range(1)), "z", (3,))
    assert ((z > rates) & (z < 3 * rates + 30)).all()
