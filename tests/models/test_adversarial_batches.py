"""A batch worked off in parts teaches what the whole would, and a larger batch of the generator has draws of its own."""

import pytest
import torch
from adversarial_checks import ENCODING, MLP, SHAPE, batch, gradients, noise

from lightning_gen.errors import UserError
from lightning_gen.models import ACGAN, DCGAN, DRAGAN, GAN, LSGAN, SNGAN, WGAN, WGANGP, BiGAN, InfoGAN, RelativisticGAN

EACH = {"latent_dim": 2, **MLP}
CONVOLUTIONS = {"discriminator": {"class_path": "DCGANDiscriminator", "width": 2, "normalization": "none"}}
CASES = {
    "GAN": (GAN, {"latent_dim": 2, "hidden": [5]}),
    "GAN minimax": (GAN, {"latent_dim": 2, "hidden": [5], "objective": "minimax"}),
    "LSGAN": (LSGAN, EACH),
    "WGANGP": (WGANGP, EACH),
    "SNGAN": (SNGAN, EACH),
    "RelativisticGAN": (RelativisticGAN, {**EACH, "gamma": 1.0}),
    "ACGAN": (ACGAN, {**EACH, "num_classes": 4}),
    "InfoGAN": (InfoGAN, {**EACH, "categories": [3, 2]}),
    "augmented": (LSGAN, {**EACH, **CONVOLUTIONS, "augmentation": ["color", "translation", "cutout"]}),
    "conditional": (LSGAN, {**EACH, "num_classes": 4, "conditional": True}),
}
LARGER = [name for name in CASES if name != "RelativisticGAN"]


def pair(name, first, second):
    """Two models of the same weights with different options."""
    cls, options = CASES[name]
    models = [cls(list(SHAPE), **options, **more) for more in (first, second)]
    models[1].load_state_dict(models[0].state_dict())
    return models


def assert_same_gradients(models, count=6):
    for player in ("discriminator", "generator"):
        torch.manual_seed(5)
        whole = gradients(models[0], player, count)
        torch.manual_seed(5)
        parts = gradients(models[1], player, count)
        assert any(gradient.any() for gradient in whole.values())
        for key in whole:
            torch.testing.assert_close(parts[key], whole[key], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("micro_batches", [2, 3, 4, 50])
@pytest.mark.parametrize("name", CASES)
def test_parts_of_a_batch_have_together_the_gradients_of_the_whole(name, micro_batches, float64):
    """Also parts of different sizes (four of six images), and no more parts than images."""
    assert_same_gradients(pair(name, {}, {"micro_batches": micro_batches}))


@pytest.mark.parametrize("name", LARGER)
def test_so_they_have_where_the_generators_batch_is_larger(name, float64):
    torch.manual_seed(0)
    first, second = pair(name, {"generator_batches": 3}, {"generator_batches": 3, "micro_batches": 2})
    assert_same_gradients([first, second])


def test_the_terms_logged_are_those_of_the_whole_batch(tiny, fit):
    logged = []
    for micro_batches in (1, 3):
        torch.manual_seed(0)
        model = WGANGP([1, 8, 8], **EACH, n_critic=1, micro_batches=micro_batches)
        trainer = fit(model, tiny(), batches=1)
        logged.append({name: float(value) for name, value in trainer.callback_metrics.items() if "accuracy" not in name})
    assert logged[1] == pytest.approx(logged[0], rel=1e-4)


def test_no_part_of_a_batch_is_left_out_or_seen_twice():
    model = GAN(list(SHAPE), latent_dim=2, hidden=[5], micro_batches=4)
    images, labels = batch(10)
    parts = [*model.parts((images, labels), noise(10))]
    assert [len(part) for _, part in parts] == [3, 3, 2, 2]
    assert torch.equal(torch.cat([part[0] for part, _ in parts]), images)
    assert torch.equal(torch.cat([part[1] for part, _ in parts]), labels)
    assert torch.equal(torch.cat([part.normal("z", (2,)) for _, part in parts]), noise(10).normal("z", (2,)))


@pytest.mark.parametrize(("cls", "options"), [(DRAGAN, {}), (RelativisticGAN, {"objective": "average"})])
def test_a_model_with_a_statistic_of_the_whole_batch_refuses_parts(cls, options):
    with pytest.raises(UserError, match=r"^model\.micro_batches: the \w+ (of|over) the whole batch is needed; expected nothing, got 2"):
        cls(list(SHAPE), **EACH, micro_batches=2, **options)


# A larger batch of the generator.


@pytest.mark.parametrize("cls", [GAN, DCGAN, InfoGAN, BiGAN])
def test_draws_of_a_larger_batch_are_all_different_and_begin_as_those_of_one(cls):
    options = {BiGAN: ENCODING, InfoGAN: MLP}.get(cls, {})
    plain, larger = (cls([1, 8, 8], latent_dim=3, generator_batches=count, **options) for count in (1, 3))
    (first, all_of_them) = (model.generated(None, noise(40), "generator").z for model in (plain, larger))
    assert torch.equal(all_of_them[:40], first)
    assert len(all_of_them) == len(all_of_them.unique(dim=0)) == 120
    assert not {*map(tuple, plain.prior(noise(40), "z/discriminator").tolist())} & {*map(tuple, all_of_them.tolist())}


def test_each_batch_of_a_larger_one_has_the_labels_of_the_real_images():
    model = LSGAN(list(SHAPE), **EACH, num_classes=4, conditional=True, generator_batches=3)
    labels = torch.tensor([3, 0, 1])
    assert model.generated(labels, noise(), "generator").labels.tolist() == [3, 0, 1] * 3


def test_the_discriminators_batch_stays_one_batch():
    model = LSGAN(list(SHAPE), **EACH, generator_batches=3)
    sizes = []
    model.discriminator.register_forward_hook(lambda _, inputs, out: sizes.append(len(inputs[0])))
    model.discriminator_loss(batch(), noise())
    model.generator_loss(batch(), noise())
    assert sizes == [3, 3, 9]


# What one step moves.


MOVING = {
    "LSGAN": (LSGAN, EACH, {"generator"}, {"discriminator"}),
    "WGAN": (WGAN, EACH, {"generator"}, {"discriminator"}),
    "WGANGP": (WGANGP, EACH, {"generator"}, {"discriminator"}),
    "DRAGAN": (DRAGAN, EACH, {"generator"}, {"discriminator"}),
    "SNGAN": (SNGAN, EACH, {"generator"}, {"discriminator"}),
    "RelativisticGAN": (RelativisticGAN, EACH, {"generator"}, {"discriminator"}),
    "ACGAN": (ACGAN, {**EACH, "num_classes": 4}, {"generator"}, {"discriminator", "classifier"}),
    "InfoGAN": (InfoGAN, EACH, {"generator"}, {"discriminator", "recognition"}),
    "BiGAN": (BiGAN, {"latent_dim": 2, **ENCODING}, {"generator", "encoder"}, {"discriminator"}),
}


def weights(model):
    return {name: torch.cat([p.detach().flatten() for p in network.parameters()]) for name, network in model.named_children()}


@pytest.mark.parametrize("name", MOVING)
def test_each_players_update_moves_its_own_networks_alone(name, tiny, fit, monkeypatch):
    cls, options, with_generator, with_discriminator = MOVING[name]
    model, updates = cls([1, 8, 8], **options | {"n_critic": 2}), []
    descend = model.descend

    def watched(player, *arguments):
        before = weights(model)
        descend(player, *arguments)
        after = weights(model)
        updates.append((player, {network for network in before if not torch.equal(before[network], after[network])}))

    monkeypatch.setattr(model, "descend", watched)
    fit(model, tiny(num_classes=4), batches=2)
    expected = [("discriminator", with_discriminator)] * 2 + [("generator", with_generator)]
    assert updates == expected


@pytest.mark.parametrize("rate", [None, 4e-3])
def test_the_discriminator_has_its_own_rate_or_the_generators(rate):
    model = LSGAN(list(SHAPE), **EACH, learning_rate=1e-3, discriminator_learning_rate=rate)
    assert [optimizer.param_groups[0]["lr"] for optimizer in model.configure_optimizers()] == [1e-3, rate or 1e-3]


def test_a_rate_of_zero_is_refused_for_the_discriminator_too():
    with pytest.raises(UserError, match=r"^model\.discriminator_learning_rate: expected a positive number, got 0\.0"):
        LSGAN(list(SHAPE), **EACH, discriminator_learning_rate=0.0)


def test_a_generator_that_would_never_move_and_a_rate_that_ends_early_are_told():
    model = GAN(list(SHAPE), latent_dim=2, hidden=[5], n_critic=8, decay_images=60)
    assert model.budget_warnings(70, 10) == [
        "model.decay_images 60: from there on the learning rate is zero, and budget.images is 70",
        "model.n_critic 8: budget.images 70 are 7 batches, so the generator is never updated",
    ]
    assert not model.budget_warnings(80, 10)[1:]
    assert not GAN(list(SHAPE), latent_dim=2, hidden=[5], decay_images=80).budget_warnings(80, 10)
