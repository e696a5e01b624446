"""The VQ-VAE: its bound against enumeration over codes and images, its gradients, its stages, and its codes."""

import itertools
import math

import pytest
import torch

from lightning_gen.distributions import CategoricalCodePrior
from lightning_gen.errors import UserError
from lightning_gen.models import VAE, VQVAE
from lightning_gen.models.capabilities import SupportsCodes, SupportsLatents, capabilities_of
from lightning_gen.nn.quantizer import perplexity
from lightning_gen.noise import IndexedNoise

NETWORKS = {"encoder": {"class_path": "MLPEncoder", "hidden": [9]}, "decoder": {"class_path": "MLPDecoder", "hidden": [9]}}
SMALL = {"code_shape": [2], "num_codes": 3, "code_dim": 2, **NETWORKS}
FIRST_STAGE = ("encoder", "decoder", "likelihood", "quantizer")


def make(shape=(1, 8, 8), **options):
    return VQVAE([*shape], **({**SMALL, "likelihood": "DiscretizedLogistic"} | options))


def state(model, *networks):
    """Weights and buffers of some of the networks."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if name.partition(".")[0] in networks}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# The bound.


def test_masses_of_codes_and_images_sum_to_one_and_an_images_own_code_bounds_its_mass(float64):
    """All 3^2 codes and all 2^4 binary images."""
    model = make((1, 2, 2), num_bits=1, likelihood="Bernoulli").requires_grad_(False).eval()
    for parameter in model.parameters():
        parameter.add_(0.7 * torch.randn_like(parameter))
    codes = torch.tensor([*itertools.product(range(3), repeat=2)])
    images = 255 * torch.tensor([*itertools.product(range(2), repeat=4)], dtype=torch.uint8).view(-1, 1, 2, 2)
    noise = IndexedNoise(0, range(len(images)))
    parameters = model.likelihood_parameters(codes).unsqueeze(0)
    joint = model.likelihood.log_prob(parameters, model.likelihood.target(images, noise).unsqueeze(1)) + model.code_prior.log_prob(codes)
    evidence = joint.logsumexp(1)
    assert evidence.exp().sum().item() == pytest.approx(1, abs=1e-12)
    bound = model.log_prob(images, noise=noise)
    assert (bound < evidence).all()
    own = (model.encode_codes(images) * torch.tensor([3, 1])).sum(1)
    torch.testing.assert_close(bound, joint.gather(1, own.unsqueeze(1)).squeeze(1), rtol=1e-12, atol=0)
    assert {model.likelihood_kind(k) for k in (1, 50)} == {"lower bound"}


# Gradients.


def test_the_straight_through_gradient_of_the_vectors_is_that_of_the_codes(float64, tiny):
    model, batch = make(beta=0.0), tiny().batch("test", range(6))
    noise = IndexedNoise(0, range(6))
    z_e = model.encode_vectors(batch[0]).detach().requires_grad_()
    codes = model.quantizer(z_e)
    model.reconstruction_terms(batch[0], z_e, codes, noise)["distortion"].backward()
    e = model.quantizer.lookup(codes).requires_grad_()
    distortion = -model.likelihood.log_prob(model.decoder(e.flatten(1)), model.likelihood.target(batch[0], noise)).mean()
    (expected,) = torch.autograd.grad(distortion, e)
    assert expected.abs().min() > 0
    torch.testing.assert_close(z_e.grad, expected, rtol=1e-12, atol=0)


def test_the_commitment_reaches_the_encoder_only_and_is_twice_beta_times_the_distance(float64, tiny):
    model, batch = make(beta=0.4), tiny().batch("test", range(6))
    z_e = model.encode_vectors(batch[0])
    z_e.retain_grad()
    codes = model.quantizer(z_e)
    model.reconstruction_terms(batch[0], z_e, codes, IndexedNoise(0, range(6)))["commitment"].backward()
    torch.testing.assert_close(z_e.grad, 2 * 0.4 * (z_e - model.quantizer.lookup(codes)).detach() / 6)
    reached = {name.partition(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert reached == {"encoder"}


def test_the_prior_sends_no_gradient_to_the_networks_whose_codes_it_learns(float64, tiny):
    model, batch = make(), tiny().batch("test", range(6))
    z_e = model.encode_vectors(batch[0])
    terms = model.loss_terms(batch, z_e, model.quantizer(z_e), IndexedNoise(0, range(6)))
    assert terms["loss"] == terms["distortion"] + terms["commitment"] + terms["rate"]
    terms["rate"].backward()
    reached = {name.partition(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert reached == {"code_prior"}


# Training.


def test_the_codebook_begins_as_encoder_outputs_of_the_first_batch(tiny):
    model, batch = make(num_codes=5), tiny().batch("train", range(16))
    with torch.no_grad():
        model.initialize_from_data(batch, IndexedNoise(0, range(16)))
        vectors = model.encode_vectors(batch[0]).flatten(0, 1)
    assert (torch.cdist(model.quantizer.codebook, vectors, compute_mode="donot_use_mm_for_euclid_dist").min(1).values == 0).all()
    assert len(model.quantizer.codebook.unique(dim=0)) == 5


def test_each_stage_leaves_the_other_as_it_is_to_the_last_bit(tiny, fit):
    """Batches of 16 images; the boundary is at 32 images, two batches."""
    model = make(prior_from_images=32)
    before = state(model, "code_prior")
    fit(model, tiny(), batches=2)
    assert (model.images_seen, model.frozen) == (32, False)
    assert same(state(model, "code_prior"), before)
    first = state(model, *FIRST_STAGE, "code_uses")
    model = make(prior_from_images=32)
    model.load_state_dict(state(model, "code_prior") | first)
    model.data_initialized, model.images_seen, model.batches_seen = True, 32, 2
    fit(model, tiny(), batches=3)
    assert model.frozen
    assert same(state(model, *FIRST_STAGE, "code_uses"), first)
    assert not same(state(model, "code_prior"), before)


@pytest.mark.parametrize("boundary", [16, 32, 48])
def test_a_run_crosses_the_boundary_with_adams_momentum_and_yet_freezes(boundary, tiny, fit):
    """The first stage after five batches is the one at the boundary, although its optimiser holds momenta."""
    torch.manual_seed(0)
    model = make(prior_from_images=boundary)
    fit(model, tiny(), batches=5)
    torch.manual_seed(0)
    reference = make(prior_from_images=boundary)
    fit(reference, tiny(), batches=boundary // 16)
    assert same(state(model, *FIRST_STAGE), state(reference, *FIRST_STAGE))
    assert not same(state(model, "code_prior"), state(reference, "code_prior"))


def test_evaluation_does_not_move_the_codebook(tiny):
    model, (images, _) = make(), tiny().batch("test", range(6))
    before = state(model, *FIRST_STAGE, "code_uses")
    model.train()
    model.validation_terms((images, None), IndexedNoise(0, range(6)))
    model.reconstruct(images)
    assert same(state(model, *FIRST_STAGE, "code_uses"), before)


class Watched(VQVAE):
    """Keeps the codes of every batch."""

    def follow(self, z_e, codes, noise):
        self.__dict__.setdefault("seen", []).append(codes.flatten())
        super().follow(z_e, codes, noise)


def test_the_perplexity_is_of_the_epoch_and_not_the_mean_of_its_batches(tiny, fit):
    model = Watched([1, 8, 8], **{**SMALL, "num_codes": 8}, likelihood="DiscretizedLogistic")
    trainer = fit(model, tiny(), batches=1.0, max_epochs=2)
    assert len(model.seen) == 12
    epoch = torch.cat(model.seen[6:]).bincount(minlength=8)
    assert torch.equal(model.code_uses, epoch)
    logged = trainer.callback_metrics["train/perplexity"].item()
    assert logged == pytest.approx(perplexity(epoch).item(), rel=1e-6)
    means = sum(perplexity(codes.bincount(minlength=8)).item() for codes in model.seen[6:]) / 6
    assert logged > 1.01 * means


# Codes, and what is refused.


def test_it_has_codes_and_no_latent_vectors(tiny):
    assert capabilities_of(VQVAE) == ["sampling", "likelihood", "reconstruction", "codes"]
    model, (images, _) = make(code_shape=[2, 3]), tiny().batch("test", range(6))
    assert isinstance(model, SupportsCodes)
    assert not isinstance(model, SupportsLatents)
    assert not isinstance(VAE([1, 8, 8]), SupportsCodes)
    codes = model.encode_codes(images)
    assert (codes.shape, codes.dtype) == ((6, 2, 3), torch.int64)
    assert torch.equal(model.decode_codes(codes), model.reconstruct(images))


def test_positions_keep_their_place_through_a_fully_convolutional_network():
    """The code of a position moves the image there and not at the other end."""
    networks = {"encoder": {"class_path": "ResidualEncoder", "width": 4}, "decoder": {"class_path": "ResidualDecoder", "width": 4}}
    model = make((1, 32, 32), code_shape=[8, 8], **networks).double().requires_grad_(False)
    torch.set_default_dtype(torch.float64)
    images = torch.randint(0, 256, (1, 1, 32, 32), dtype=torch.uint8)
    codes = model.encode_codes(images)
    moved = codes.clone()
    moved[0, 0, 7] = (moved[0, 0, 7] + 1) % 3
    changed = (model.likelihood_parameters(moved) != model.likelihood_parameters(codes)).any(1)[0]
    assert changed[:4, 28:].all()
    assert not changed[20:].any()
    assert not changed[:, :10].any()


def test_samples_are_decoded_from_the_priors_codes_and_the_answer_names_it():
    model = make()
    noise = IndexedNoise(0, range(5))
    codes = model.code_prior.sample(noise)
    assert torch.equal(model.sample_images(noise), model.decode_codes(codes))
    assert model.answer_options() == {"observation_noise": False, "code_prior": "CategoricalCodePrior"}
    path = f"{CategoricalCodePrior.__module__}.CategoricalCodePrior"
    assert make(code_prior={"class_path": path}).answer_options()["code_prior"] == "CategoricalCodePrior"


def test_labels_condition_the_prior_alone(float64, tiny):
    model, (images, labels) = make(num_classes=4, conditional=True).requires_grad_(False), tiny().batch("test", range(6))
    model.code_prior.shift.by_class.weight.normal_()
    other = (labels + 1) % 4
    assert torch.equal(model.reconstruct(images, labels=labels), model.reconstruct(images, labels=other))
    noise = IndexedNoise(0, range(6))
    difference = model.log_prob(images, labels=labels, noise=noise) - model.log_prob(images, labels=other, noise=noise)
    codes = model.encode_codes(images)
    torch.testing.assert_close(difference, model.code_prior.log_prob(codes, labels) - model.code_prior.log_prob(codes, other))
    assert (difference != 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "ResidualEncoder", "code_shape": [2, 3]}, r"model.code_shape: expected \[2, 2\] for ResidualEncoder, got \[2, 3\]"),
        ({"decoder": "ResidualDecoder", "code_shape": [4]}, r"model.code_shape: expected \[2, 2\] for ResidualDecoder, got \[4\]"),
        ({"code_shape": []}, "model.code_shape: expected at least 1, got 0"),
        ({"num_codes": 0}, "model.num_codes: expected at least 1, got 0"),
        ({"decay": 1.0}, "model.decay: expected a number from 0 to below 1, got 1.0"),
        ({"restart_below": -0.1}, "model.restart_below: expected a number from 0 to below 1, got -0.1"),
        ({"code_prior": "Gaussian"}, "model.code_prior: 'Gaussian' is not a CodePrior"),
        ({"prior_learning_rate": 0.0}, "model.prior_learning_rate: expected a positive number, got 0.0"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(options, message):
    if options.get("code_shape") == [2, 3]:
        options = options | {"code_dim": 4}
    with pytest.raises(UserError, match=message):
        make(**options)


def test_the_rate_of_a_fresh_prior_is_the_logarithm_of_the_number_of_codes(tiny):
    model, batch = make(), tiny().batch("test", range(6))
    terms = model.validation_terms(batch, IndexedNoise(0, range(6)))
    assert terms["rate"].item() == pytest.approx(2 * math.log(3), rel=1e-6)
