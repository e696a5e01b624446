r"""The first paper's theorem on a table: the best discriminator is p / (p + q), and the game's value there is 2 JSD - 2 log 2.

Of BiGAN too, for the joint distributions of images with their codes and of codes with their images.
"""

import math

import pytest
import torch
from adversarial_checks import SHAPE
from torch import nn

from lightning_gen.models import GAN, BiGAN
from lightning_gen.models.gans.adversarial_model import Judged

P, Q = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64), torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)


def divergence(p, q):
    """Kullback-Leibler, in nats; where p is zero nothing is added."""
    return float(torch.where(p > 0, p * (p / q).log(), 0).sum())


def jensen_shannon(p, q):
    return (divergence(p, (p + q) / 2) + divergence(q, (p + q) / 2)) / 2


class Expected(nn.Module):
    """Logits of a table whose mean over the batch is an expectation: rows are repeated as often as they are drawn in a hundred."""

    def __init__(self, p, q):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(len(p), 1))
        self.rows = [torch.repeat_interleave(torch.arange(len(p)), (100 * each).round().long()) for each in (p, q)]

    def forward(self):
        return [Judged(rows, None, self.logits[rows], self.logits[rows]) for rows in self.rows]


def trained(model, p, q, steps=100):
    """A table trained on the discriminator's terms, and their sum."""
    table = Expected(p, q).double()
    optimizer = torch.optim.LBFGS(table.parameters(), lr=1, max_iter=steps, tolerance_grad=1e-12, tolerance_change=1e-16)

    def loss():
        optimizer.zero_grad()
        value = sum(model.discriminator_terms(*table(), None).values())
        value.backward()
        return value

    optimizer.step(loss)
    return torch.sigmoid(table.logits.detach()[:, 0]), float(loss().detach())


def gan(**options):
    return GAN(list(SHAPE), latent_dim=2, hidden=[4], **options)


def test_the_best_discriminator_is_p_over_p_plus_q_and_its_loss_two_log_two_minus_twice_the_jensen_shannon_divergence():
    best, loss = trained(gan(), P, Q)
    torch.testing.assert_close(best, P / (P + Q), rtol=1e-5, atol=0)
    assert -loss == pytest.approx(2 * jensen_shannon(P, Q) - 2 * math.log(2), abs=1e-8)


def test_of_equal_distributions_the_best_discriminator_knows_nothing():
    best, loss = trained(gan(), P, P)
    torch.testing.assert_close(best, torch.full_like(P, 0.5))
    assert loss == pytest.approx(2 * math.log(2))


def minimax(q, logits):
    """The generator's minimax loss where its images are spread by q: an expectation of the model's own terms."""
    model = gan(objective="minimax")
    values = [model.generator_terms(Judged(logits, None, logit.view(1, 1), logits), None, None)["generator_fake"] for logit in logits]
    return sum(share * value for share, value in zip(q, values, strict=True))


def test_against_the_best_discriminator_minimax_follows_the_slope_of_the_divergence():
    """The envelope theorem: with D held at p / (p + q), the slope in q is that of 2 JSD."""
    q = Q.clone().requires_grad_()
    logits = (P / Q).log()
    (slope,) = torch.autograd.grad(minimax(q, logits), q)
    other = Q.clone().requires_grad_()
    middle = (P + other) / 2
    twice = (P * (P / middle).log()).sum() + (other * (other / middle).log()).sum()
    (expected,) = torch.autograd.grad(twice, other)
    # Moves of probability only: a constant over all values falls out of a distribution that sums to one.
    torch.testing.assert_close(slope - slope.mean(), expected - expected.mean())


def test_of_one_image_the_two_objectives_differ_by_the_odds_that_it_is_taken_for_real():
    """d/dl log(1 - sigma(l)) = -sigma, d/dl -log sigma(l) = -(1 - sigma): the first is the second times sigma / (1 - sigma)."""
    slopes = []
    for objective in ("minimax", "non_saturating"):
        logits = torch.linspace(-6, 6, 7, dtype=torch.float64, requires_grad=True)
        judged = Judged(logits, None, logits[:, None], logits)
        (slope,) = torch.autograd.grad(gan(objective=objective).generator_terms(judged, None, None)["generator_fake"], logits)
        slopes.append(slope)
    odds = torch.linspace(-6, 6, 7, dtype=torch.float64).exp()
    torch.testing.assert_close(slopes[0], slopes[1] * odds)


# BiGAN: images 0, 1, 2 and codes 0, 1; a pair is a row of the table.

IMAGES, CODES = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), torch.tensor([0.6, 0.4], dtype=torch.float64)


def joints(encoder, generator):
    """Of images with their codes, and of codes with their images; each ``(6,)``.

    Args:
        encoder: the probability of each code given the image, ``(3, 2)``.
        generator: of each image given the code, ``(2, 3)``.
    """
    return (IMAGES[:, None] * encoder).flatten(), (CODES[:, None] * generator).T.flatten()


ENCODER = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], dtype=torch.float64)
GENERATOR = torch.tensor([[0.7, 0.1, 0.2], [0.25, 0.5, 0.25]], dtype=torch.float64)


def test_of_pairs_too_the_value_at_the_best_discriminator_is_that_of_their_joint_distributions():
    p, q = joints(ENCODER, GENERATOR)
    model = BiGAN(list(SHAPE), latent_dim=2)
    best, loss = trained(model, p, q)
    inside = p > 0  # elsewhere the best logit lies at minus infinity
    torch.testing.assert_close(best[inside], (p / (p + q))[inside], rtol=1e-4, atol=0)
    assert float(best[~inside].max()) < 1e-3
    # Halves of both terms, and flipped signs: log 2 - JSD.
    assert loss == pytest.approx(math.log(2) - jensen_shannon(p, q), abs=1e-3)


def test_only_an_encoder_that_inverts_the_generator_leaves_the_discriminator_of_pairs_with_nothing():
    images_given_codes = torch.tensor([[5 / 6, 0.0, 1 / 6], [0.0, 3 / 4, 1 / 4]], dtype=torch.float64)
    p, q = joints(ENCODER, images_given_codes)
    torch.testing.assert_close(p, q)
    assert jensen_shannon(p[p > 0], q[p > 0]) == pytest.approx(0, abs=1e-12)
    assert jensen_shannon(*joints(ENCODER.flip(1), images_given_codes)) > 0.1, "the same images and codes, but not together"
    _, loss = trained(BiGAN(list(SHAPE), latent_dim=2), p, q)
    assert loss == pytest.approx(math.log(2))
