"""InfoGAN: the bound of the information between codes and image is zero for a blind Q, and the codes' entropy for a perfect one."""

import math

import pytest
import torch
from adversarial_checks import FAKE, MLP, SHAPE, batch, gradients, judged, noise
from torch import nn

from lightning_gen.errors import UserError
from lightning_gen.models import InfoGAN
from lightning_gen.noise import IndexedNoise


def model(**options):
    return InfoGAN(list(SHAPE), **{"latent_dim": 2, "categories": [3, 5], **MLP, **options})


class Told(nn.Module):
    """A recognition network whose answer is the features."""

    def forward(self, features):
        return features


def told(gan, guess, count=3):
    """The information terms where Q answers ``guess(codes)``."""
    gan.recognition = Told()
    z = gan.prior(noise(count), "z")
    fake = judged((FAKE * count)[:count], features=guess(z[:, 2:]), z=z)
    return {name: float(value) for name, value in gan.information_terms(fake).items()}


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_at_a_perfect_q_the_bound_is_the_entropy_of_the_categories_in_nats(weight):
    found = told(model(categorical_weight=weight), lambda codes: 1e4 * codes)
    assert found["information_categorical"] == pytest.approx(-weight * (math.log(3) + math.log(5)))


def test_at_a_uniform_q_the_bound_is_zero():
    assert told(model(), torch.zeros_like)["information_categorical"] == pytest.approx(0, abs=1e-6)


def test_a_q_that_is_sure_and_wrong_has_a_bound_below_zero():
    assert told(model(), lambda codes: -10 * codes)["information_categorical"] > 0


@pytest.mark.parametrize("weight", [0.1, 2.0])
def test_of_continuous_codes_it_is_half_the_squared_distance_summed_over_codes(weight):
    gan = model(continuous_weight=weight, categories=[], num_continuous=3)
    assert told(gan, lambda codes: codes) == {"information_continuous": 0}
    found = told(gan, lambda codes: codes + torch.tensor([1.0, 2.0, 0.0]))
    assert found == pytest.approx({"information_continuous": weight * (1 + 4) / 2})


def test_without_a_kind_of_code_there_is_no_term_of_it():
    assert [*told(model(num_continuous=0), torch.zeros_like)] == ["information_categorical"]


def test_the_bound_joins_the_losses_of_both_players():
    gan = model(num_continuous=1)
    z = gan.prior(noise(), "z")
    fake = judged(FAKE, z=z)
    information = gan.information_terms(fake)
    for terms in (gan.discriminator_terms(judged(FAKE), fake, noise()), gan.generator_terms(fake, batch(), noise())):
        assert {name: float(value) for name, value in terms.items() if "information" in name} == {
            n: float(v) for n, v in information.items()
        }


def test_z_is_noise_then_one_of_each_category_then_uniform_codes():
    z = model(latent_dim=4, num_continuous=2).prior(IndexedNoise(0, range(4000)), "z")
    noise_part, first, second, continuous = z.split([4, 3, 5, 2], 1)
    assert float(noise_part.mean()) == pytest.approx(0, abs=0.04)
    assert float(noise_part.square().mean()) == pytest.approx(1, abs=0.06)
    for code in (first, second):
        assert {*code.unique().tolist()} == {0, 1}
        assert (code.sum(1) == 1).all()
        torch.testing.assert_close(code.mean(0), torch.full((code.shape[1],), 1 / code.shape[1]), rtol=0, atol=0.04)
    assert (float(continuous.min()) >= -1, float(continuous.max()) < 1) == (True, True)
    assert float(continuous.square().mean()) == pytest.approx(1 / 3, abs=0.02)
    parts = [*noise_part.split(1, 1), first[:, 1:], second[:, 1:], *continuous.split(1, 1)]
    within = torch.block_diag(*(torch.ones(part.shape[1], part.shape[1]) for part in parts)).bool()
    between = torch.corrcoef(torch.cat(parts, 1).T).masked_fill(within, 0)
    assert float(between.abs().max()) < 0.08, "different codes are independent"


def test_q_moves_with_the_discriminator():
    gan = model()
    generator, discriminator = gan.configure_optimizers()
    owned = {id(p) for group in discriminator.param_groups for p in group["params"]}
    assert {id(p) for p in gan.recognition.parameters()} <= owned
    assert owned.isdisjoint({id(p) for group in generator.param_groups for p in group["params"]})


def test_the_generator_learns_to_make_codes_readable():
    torch.manual_seed(2)
    without = gradients(model(categorical_weight=0.0, continuous_weight=0.0), "generator")
    torch.manual_seed(2)
    informed = gradients(model(), "generator")
    assert all(not torch.equal(without[name], informed[name]) for name in without if name.startswith("generator"))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"categories": [1]}, "model.categories: expected at least 2, got 1"),
        ({"categories": [], "num_continuous": 0}, "model.num_continuous: expected at least 1, got 0"),
        ({"continuous_weight": -1.0}, "model.continuous_weight: expected at least 0, got -1.0"),
        ({"latent_dim": 0}, "model.latent_dim: expected at least 1, got 0"),
        ({"categories": [], "categorical_weight": 2.0}, "model.categorical_weight: there are no categorical codes"),
        ({"num_continuous": 0, "continuous_weight": 2.0}, "model.continuous_weight: there are no continuous codes"),
    ],
)
def test_codes_that_are_none_are_refused(options, line):
    with pytest.raises(UserError, match=f"^{line}"):
        model(**options)
