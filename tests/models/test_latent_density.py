"""A density of codes: what is fitted is what is drawn, the file alone rebuilds it, and it samples as every other model does."""

import math

import numpy as np
import pytest
import torch

from lightning_gen.checkpoint import load_model, read_checkpoint, save_model
from lightning_gen.distributions.full_mixture import FullNormalMixture
from lightning_gen.distributions.normal import FullNormal
from lightning_gen.errors import UserError
from lightning_gen.evaluation import Plan, evaluate
from lightning_gen.models import DCGAN, VAE, Autoencoder, LatentDensityModel
from lightning_gen.models.capabilities import capabilities_of
from lightning_gen.noise import IndexedNoise

MLP = {"encoder": {"class_path": "MLPEncoder", "hidden": [9]}, "decoder": {"class_path": "MLPDecoder", "hidden": [9]}}


def base(cls=Autoencoder, **options):
    """With averages that are another model."""
    torch.manual_seed(1)
    model = cls([1, 8, 8], latent_dim=3, **MLP, **options)
    model.create_ema()
    for parameter in model.ema.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    model.images_seen, model.training_world_size, model.device_seconds = 640, 2, 7.0
    return model


def two_clouds(count=2000):
    """A quarter of the codes around 4, the others around -1, both correlated."""
    generator = np.random.default_rng(0)
    root = np.array([[1.0, 0, 0], [0.6, 0.5, 0], [-0.2, 0.1, 0.3]])
    centres = np.where(generator.random((count, 1)) < 0.25, 4.0, -1.0)
    return centres + generator.standard_normal((count, 3)) @ root.T


def fitted(components=2, model=None, **options):
    return LatentDensityModel.fitted(model or base(), two_clouds(), components, **options)


# The density.


def test_one_normal_has_mean_and_covariance_of_the_codes():
    codes, model = two_clouds(), fitted(1)
    covariance = model.scale_trils[0] @ model.scale_trils[0].T
    np.testing.assert_allclose(model.means[0], codes.mean(0), rtol=1e-5)
    np.testing.assert_allclose(covariance, np.cov(codes.T, bias=True), rtol=1e-4, atol=1e-5)


def test_a_mixture_finds_the_clouds():
    model = fitted(2)
    order = model.means[:, 0].argsort()
    assert model.means[order, 0].tolist() == pytest.approx([-1, 4], abs=0.15)
    assert model.log_weights.exp()[order].tolist() == pytest.approx([0.75, 0.25], abs=0.04)


def test_draws_have_the_moments_of_the_codes():
    codes, count = two_clouds(), 6400
    with (model := fitted(2)).inference():
        z = model.draw_latents(IndexedNoise(0, range(count))).double().numpy()
    error = codes.std(0) * math.sqrt(1 / count)
    assert (abs(z.mean(0) - codes.mean(0)) < 5 * error).all()
    products = np.stack([z[:, i] * z[:, j] for i, j in [(0, 0), (0, 1), (0, 2), (1, 2)]])
    expected = np.array([(codes[:, i] * codes[:, j]).mean() for i, j in [(0, 0), (0, 1), (0, 2), (1, 2)]])
    assert (abs(products.mean(1) - expected) < 5 * products.std(1) / math.sqrt(count)).all()


def test_the_density_is_that_of_torch(float64):
    logits, means, roots = torch.randn(3), torch.randn(3, 4), torch.randn(3, 4, 4).tril()
    roots.diagonal(dim1=1, dim2=2).abs_().add_(0.5)
    ours = FullNormalMixture(logits, FullNormal(means, roots))
    components = torch.distributions.MultivariateNormal(means, scale_tril=roots)
    theirs = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(logits=logits), components)
    z = torch.randn(7, 4)
    torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z))
    torch.testing.assert_close(ours.mean, theirs.mean)


# The model.


def test_samples_are_decoded_draws():
    model = fitted()
    with model.inference():
        noise = IndexedNoise(0, range(5))
        assert torch.equal(model.sample_images(noise), model.base.decode(model.draw_latents(noise)))


def test_sample_i_of_a_seed_is_always_the_same():
    model = fitted().double()
    whole = model.sample(130, seed=2)
    assert torch.equal(model.sample(70, seed=2, first_index=60), whole[60:])
    assert len(whole.flatten(1).unique(dim=0)) > 100


@pytest.mark.parametrize("weights", ["ema", "live"])
def test_it_encodes_and_reconstructs_as_the_weights_that_were_asked_for(weights, tiny):
    trained = base()
    model = fitted(model=trained, weights=weights)
    images, _ = tiny().batch("test", range(6))
    with trained.inference(weights), model.inference():
        assert torch.equal(model.encode(images), trained.encode(images))
        assert torch.equal(model.reconstruct(images), trained.reconstruct(images))
    with trained.inference("live" if weights == "ema" else "ema"), model.inference():
        assert not torch.equal(model.encode(images), trained.encode(images))
    assert model.answer_options()["base_weights"] == weights


def test_the_trained_model_is_left_as_it_was():
    trained = base()
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    fitted(model=trained)
    assert all(torch.equal(tensor, before[name]) for name, tensor in trained.state_dict().items())


@pytest.mark.parametrize("cls", [Autoencoder, VAE])
def test_its_file_alone_rebuilds_it(cls, tmp_path, tiny):
    trained = base(cls)
    trained.data_spec = tiny().specification()
    model = fitted(3, trained)
    save_model(model, tmp_path / "model.ckpt")
    again = load_model(tmp_path / "model.ckpt")
    assert torch.equal(again.sample(70, seed=1), model.sample(70, seed=1))
    assert again.data_spec == trained.data_spec
    assert (again.images_seen, again.training_world_size, again.device_seconds) == (640, 2, 7.0)
    assert sum(p.numel() for p in again.trained_parameters()) == sum(p.numel() for p in trained.trained_parameters())
    assert read_checkpoint(tmp_path / "model.ckpt")["lightning_gen"]["model"]["init_args"]["base"]["class_path"].endswith(cls.__name__)


def test_the_answer_names_the_density_and_nothing_claims_a_likelihood():
    model = fitted(2)
    assert (
        model.answer_options()["latent_density"]
        == "mixture of 2 normals, full covariance, fitted to the codes of 2000 training images, seed 0"
    )
    assert fitted(1).answer_options()["latent_density"].startswith("normal, full covariance, fitted to")
    assert capabilities_of(model) == ["sampling", "latents", "decoding", "prior", "reconstruction"]


def test_an_autoencoder_with_a_density_is_scored_by_its_samples(tiny):
    data = tiny(count=64)
    data.extractors = ("digits-cnn",)
    evaluation = evaluate(fitted(), data, Plan("test", 8))
    assert [score.name for score in evaluation.scores][-1] == "reconstruction MSE"
    assert evaluation.headline[0] == evaluation.scores[0].name == "FD(digits-cnn)"


# What is refused.


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: DCGAN([1, 8, 8], latent_dim=2, width=4), "DCGAN has no latent vectors"),
        (lambda: base(num_classes=4, conditional=True), "was trained with labels"),
    ],
)
def test_a_model_without_codes_of_its_own_is_refused(model, message):
    with pytest.raises(UserError, match=rf"model\.base: .*{message}"):
        fitted(model=model())


@pytest.mark.parametrize(
    ("codes", "components", "message"),
    [
        (np.zeros((3, 3)), 4, "components: expected at most one for each of the 3 images"),
        (np.full((5, 3), np.nan), 1, "NaN or infinite"),
    ],
)
def test_codes_that_cannot_be_fitted_are_refused(codes, components, message):
    with pytest.raises(UserError, match=message):
        LatentDensityModel.fitted(base(), codes, components)


@pytest.mark.parametrize("components", [1, 2])
def test_codes_that_are_all_the_same_are_drawn_as_they_are(components):
    model = LatentDensityModel.fitted(base(), np.ones((10, 3)), components)
    with model.inference():
        torch.testing.assert_close(model.draw_latents(IndexedNoise(0, range(4))), torch.ones(4, 3), atol=1e-3, rtol=0)


def test_it_cannot_be_trained(tiny, fit):
    with pytest.raises(UserError, match="is not trained; 'lightning-gen fit_latents RUN' makes one"):
        fit(fitted(), tiny())


def test_a_mixture_says_its_seed_and_a_normal_has_none():
    assert fitted(2, seed=5).answer_options()["latent_density"].endswith("training images, seed 5")
    assert fitted(1, seed=5).answer_options()["latent_density"].endswith("training images")


def test_a_density_of_a_density_is_refused():
    with pytest.raises(UserError, match=r"model.base: LatentDensityModel has a density of its codes already"):
        LatentDensityModel.require_codes(fitted(1))
