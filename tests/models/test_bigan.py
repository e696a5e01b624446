"""BiGAN: halves of both cross-entropies, flipped labels for generator and encoder together, and z in the support of its prior."""

import math

import pytest
import torch
from adversarial_checks import ENCODING, FAKE, REAL, SHAPE, batch, gradients, judged, noise
from torch import nn

from lightning_gen.errors import UserError
from lightning_gen.images import to_symmetric
from lightning_gen.models import BiGAN, LatentRegressorGAN
from lightning_gen.nn.adversarial.base import Judgement

CLASSES = pytest.mark.parametrize("cls", [BiGAN, LatentRegressorGAN])


def model(cls=BiGAN, **options):
    return cls(list(SHAPE), latent_dim=3, **ENCODING, **options)


def cross_entropy(logits, sign):
    return sum(math.log1p(math.exp(-sign * logit)) for logit in logits) / len(logits)


class Judge(nn.Module):
    """The chosen logits for pairs of real images and for all others; notes the pairs."""

    def __init__(self, images):
        super().__init__()
        self.images, self.pairs = to_symmetric(images), []

    def forward(self, x, z, labels=None):
        self.pairs.append((x, z))
        logits = torch.tensor(REAL if torch.equal(x, self.images) else FAKE)[:, None]
        return Judgement(logits, logits)


@pytest.fixture
def judge():
    gan, whole = model(), batch()
    gan.discriminator = Judge(whole[0])
    return gan, whole


def test_the_discriminators_loss_is_the_mean_of_both_cross_entropies(judge):
    gan, whole = judge
    found = {name: float(value) for name, value in gan.discriminator_loss(whole, noise()).items()}
    real, fake = cross_entropy(REAL, 1) / 2, cross_entropy(FAKE, -1) / 2
    expected = {"discriminator_loss": real + fake, "discriminator_real": real, "discriminator_fake": fake}
    assert found == pytest.approx(expected | {"accuracy_real": 1 / 3, "accuracy_fake": 1 / 3})


def test_generator_and_encoder_share_one_loss_with_flipped_labels(judge):
    gan, whole = judge
    found = {name: float(value) for name, value in gan.generator_loss(whole, noise()).items()}
    fake, real = cross_entropy(FAKE, 1) / 2, cross_entropy(REAL, -1) / 2
    assert found == pytest.approx({"generator_loss": real + fake, "generator_fake": fake, "encoder_real": real})


def test_at_logits_of_zero_every_player_loses_log_two():
    gan = model()
    nn.init.zeros_(gan.discriminator.head.weight)
    for loss in ("discriminator_loss", "generator_loss"):
        assert float(getattr(gan, loss)(batch(), noise())[loss]) == pytest.approx(math.log(2))


def test_the_discriminator_is_shown_an_image_with_its_code_and_a_code_with_its_image(judge):
    gan, (images, labels) = judge
    gan.eval()  # batch normalisation would make a code depend on the batch's passes
    gan.discriminator_loss((images, labels), noise())
    (real_x, real_z), (fake_x, fake_z) = gan.discriminator.pairs
    assert torch.equal(real_x, to_symmetric(images))
    torch.testing.assert_close(real_z, gan.encode(images))
    assert torch.equal(fake_z, noise().uniform("z/discriminator", (3,)) * 2 - 1)
    torch.testing.assert_close(fake_x, gan.generator(fake_z))


def test_each_player_is_taught_by_its_own_loss_alone():
    gan = model()
    for player, taught in (("discriminator", {"discriminator"}), ("generator", {"generator", "encoder", "discriminator"})):
        moved = {name.partition(".")[0] for name, gradient in gradients(gan, player).items() if gradient.any()}
        assert moved == taught, "the optimiser of the generator leaves the discriminator out"


@CLASSES
def test_the_encoder_moves_with_the_generator(cls):
    gan = model(cls)
    generator, discriminator = gan.configure_optimizers()
    owned = [{id(p) for group in optimizer.param_groups for p in group["params"]} for optimizer in (generator, discriminator)]
    assert owned[0] == {id(p) for network in (gan.generator, gan.encoder) for p in network.parameters()}
    assert owned[1] == {id(p) for p in gan.discriminator.parameters()}


def test_weights_decay_and_biases_do_not():
    for optimizer in model(weight_decay=0.1).configure_optimizers():
        for group in optimizer.param_groups:
            assert group["weight_decay"] == (0.1 if group["params"][0].ndim > 1 else 0)
            assert len({p.ndim > 1 for p in group["params"]}) == 1
    decays = [group["weight_decay"] for optimizer in model().configure_optimizers() for group in optimizer.param_groups]
    assert decays == [2.5e-5, 0, 2.5e-5, 0]


@pytest.mark.parametrize(("images", "factor"), [(0, 1), (1000, 1), (1500, 0.1), (2000, 0.01)])
def test_the_rates_stay_and_then_fall_to_a_hundredth(images, factor):
    gan = model(constant_images=1000, decay_images=1000)
    gan.images_seen = images
    assert gan.learning_rate_factor() == pytest.approx(factor)
    assert model().learning_rate_factor() == 1


@CLASSES
def test_codes_lie_where_z_is_drawn_from(cls):
    gan = model(cls)
    with torch.no_grad():
        for parameter in gan.encoder.parameters():
            parameter.mul_(50)
    z, code = gan.prior(noise(500), "z"), gan.encode(batch(50)[0])
    assert -1 <= float(z.min()) < -0.99
    assert 0.99 < float(z.max()) < 1
    assert -1 <= float(code.min()) < -0.9
    assert 0.9 < float(code.max()) <= 1


def test_a_code_is_the_sigmoid_brought_to_minus_one_to_one(float64):
    gan, images = model().double().eval(), batch()[0]
    expected = 2 * torch.sigmoid(gan.encoder(to_symmetric(images))) - 1
    torch.testing.assert_close(gan.encode(images), expected)


# The latent regressor.


def regression(gan):
    """The terms of the generator, and what the encoder's cross-entropy is by hand."""
    gan = gan.eval()
    terms = gan.generator_loss(batch(), noise())
    z = noise().uniform("z/generator", (3,)) * 2 - 1
    guess, target = torch.sigmoid(gan.encoder(gan.generator(z))), (z + 1) / 2
    return terms, -(target * guess.log() + (1 - target) * (1 - guess).log()).mean()


@pytest.mark.parametrize("weight", [1.0, 0.25])
@pytest.mark.parametrize("joint", [False, True])
def test_the_encoder_regresses_z_by_a_cross_entropy(joint, weight):
    terms, expected = regression(model(LatentRegressorGAN, joint=joint, regression_weight=weight))
    torch.testing.assert_close(terms["regression"], weight * expected)


@pytest.mark.parametrize("joint", [False, True])
def test_the_regression_reaches_the_generator_only_where_it_is_joint(joint):
    gan = model(LatentRegressorGAN, joint=joint)
    terms = gan.generator_loss(batch(), noise())
    terms["regression"].backward()
    assert all(p.grad is not None for p in gan.encoder.parameters())
    assert any(p.grad is not None for p in gan.generator.parameters()) == joint


def test_the_regressors_discriminator_sees_no_z():
    gan = model(LatentRegressorGAN).eval()
    x = torch.randn(3, *SHAPE)
    assert torch.equal(*(gan.verdict(x, None, z).logits for z in (torch.zeros(3, 3), torch.ones(3, 3))))
    terms = gan.discriminator_terms(judged(REAL), judged(FAKE), noise())
    expected = {"discriminator_real": cross_entropy(REAL, 1), "discriminator_fake": cross_entropy(FAKE, -1)}
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(expected)


# Images that are generated smaller than they are encoded.


@CLASSES
def test_the_discriminator_is_shown_the_real_image_at_the_generators_size(cls):
    gan = model(cls, generated_size=2)
    x = torch.randn(3, *SHAPE)
    expected = torch.stack([x[:, :, i : i + 2, j : j + 2].mean((2, 3)) for i in (0, 2) for j in (0, 2)], 2).view(3, 1, 2, 2)
    torch.testing.assert_close(gan.shown_image(x), expected)
    assert gan.generator(torch.zeros(3, 3)).shape == (3, 1, 2, 2)
    assert gan.sample(3).shape == gan.reconstruct(batch()[0]).shape == (3, *SHAPE)
    assert gan.discriminator_loss(batch(), noise())["discriminator_loss"].isfinite()
    assert gan.generator_loss(batch(), noise())["generator_loss"].isfinite()


@pytest.mark.parametrize(("shape", "size"), [(SHAPE, 5), (SHAPE, -1), ((2,), 2)])
def test_a_size_that_is_none_or_larger_is_refused(shape, size):
    with pytest.raises(UserError, match=r"^model\.generated_size: expected "):
        BiGAN(list(shape), latent_dim=3, generated_size=size, **ENCODING)


def test_a_regressor_of_augmented_images_is_refused():
    with pytest.raises(UserError, match=r"model\.augmentation: z is recovered from images as they are; expected nothing"):
        LatentRegressorGAN([1, 8, 8], augmentation=["color"])


def test_a_constant_rate_for_so_many_images_is_refused_where_it_never_falls():
    with pytest.raises(UserError, match=r"model\.constant_images: the rate never falls .*; expected nothing, got 100"):
        BiGAN([1, 8, 8], constant_images=100)


def test_a_regressor_that_regresses_nothing_is_refused():
    with pytest.raises(UserError, match=r"model\.regression_weight: expected a positive number, got 0"):
        LatentRegressorGAN([1, 8, 8], regression_weight=0.0)


def test_a_single_image_is_refused_where_the_network_normalises_over_the_batch():
    with pytest.raises(UserError, match=r"^data\.batch_size: .* expected at least 2 images in it, got 1"):
        BiGAN(list(SHAPE), latent_dim=3, **ENCODING).train().discriminator_loss(batch(1), noise(1))


def test_a_rate_that_only_falls_to_a_hundredth_is_no_reason_for_a_line():
    assert not BiGAN(list(SHAPE), latent_dim=3, **ENCODING, decay_images=10).budget_warnings(1000, 10)
