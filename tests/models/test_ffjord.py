"""FFJORD: a density at all scales, whose estimates are unbiased, whose regularisers enter the loss, and whose answers name their solver."""

import pytest
import torch
from bijection_checks import check_bijection, perturbed
from flow_checks import mass_in_the_plane

from lightning_gen.errors import UserError
from lightning_gen.models import FFJORD
from lightning_gen.noise import IndexedNoise

SMALL = {"width": 4, "num_layers": 1, "num_blocks": 1, "num_scales": 2, "solver": "rk4", "num_steps": 1, "evaluation_num_steps": 4}
VECTOR = SMALL | {"num_scales": 0, "width": 16, "num_layers": 2, "gradient": "backpropagation"}


def images(count=4):
    return torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8)


def built(shape, scale=0.2, **options):
    return perturbed(FFJORD(shape, **(SMALL | options)), scale)


def test_the_multi_scale_flow_is_a_bijection(float64):
    model = built([1, 4, 4], scale=0.1, evaluation_num_steps=6)
    assert model.latent_shapes == {"z_1": (2, 2, 2), "z_2": (2, 2, 2)}
    check_bijection(model.bijection.eval(), torch.rand(1, 1, 4, 4))


def test_a_trained_density_of_the_plane_integrates_to_one(tiny, fit):
    model = FFJORD([2], **(VECTOR | {"solver": "dopri5", "tolerance": 1e-3, "evaluation_trace": "exact", "learning_rate": 0.01}))
    fit(model, tiny(data_shape=(2,)), batches=6)
    assert abs(mass_in_the_plane(model, reach=9.0, points=90) - 1) < 1e-3


def test_the_loss_is_the_likelihoods_and_the_weighted_regularisers():
    batch, noise = (images(), None), IndexedNoise(0, range(4))
    model = built([1, 4, 4])
    plain = model.negative_log_likelihood(batch, noise)
    assert plain["kinetic"] > 0
    assert plain["jacobian"] > 0
    torch.testing.assert_close(plain["loss"], -(plain["log_prior"] + plain["log_det"]) / 16)
    model.hparams.kinetic, model.hparams.jacobian = 0.5, 0.25
    weighted = model.negative_log_likelihood(batch, noise)["loss"]
    torch.testing.assert_close(weighted, plain["loss"] + 0.5 * plain["kinetic"] + 0.25 * plain["jacobian"])


def test_training_with_the_regularisers_makes_paths_shorter_and_jacobians_smaller():
    ends = {}
    for weight in (0.0, 10.0):
        torch.manual_seed(0)
        model = built([2], **(VECTOR | {"kinetic": weight, "jacobian": weight, "learning_rate": 0.02}))
        optimizer, batch, noise = model.configure_optimizers(), (torch.randn(64, 2) * 0.2, None), IndexedNoise(0, range(64))
        for _ in range(20):
            terms = model.negative_log_likelihood(batch, noise)
            optimizer.zero_grad()
            terms["loss"].backward()
            optimizer.step()
        ends[weight] = terms
    for name in ("kinetic", "jacobian"):
        assert ends[10.0][name] < ends[0.0][name] / 2


def test_evaluations_of_all_blocks_are_counted_in_training_and_sampling():
    model = built([1, 4, 4], num_steps=2)
    terms = model.negative_log_likelihood((images(), None), IndexedNoise(0, range(4)))
    assert terms["nfe"] == model.num_evaluations("forward") == 3 * 2 * 4
    with model.inference():
        model.sample_block(0, range(4))
        assert model.num_evaluations("inverse") == 3 * 4 * 4


def test_an_estimated_trace_gives_an_unbiased_likelihood_and_more_samples_a_better_estimate():
    model, vectors = built([3], scale=0.6, **(VECTOR | {"evaluation_trace": "hutchinson"})), torch.randn(1, 3)
    exact = FFJORD([3], **(VECTOR | {"evaluation_trace": "exact"}))
    exact.load_state_dict(model.state_dict())
    many = vectors.expand(1000, 3)
    with model.inference(), exact.inference():
        truth = exact.log_prob(vectors, noise=IndexedNoise(0, range(1)))
        one = model.log_prob(many, noise=IndexedNoise(0, range(1000)))
        several = model.log_prob(many, noise=IndexedNoise(0, range(1000)), num_samples=4)
    assert one.std() > 1e-3
    assert (one.mean() - truth).abs() < 4 * one.std() / 1000**0.5
    assert (several.mean() - truth).abs() < 4 * several.std() / 1000**0.5
    assert 0.4 < several.std() / one.std() < 0.6


def test_blocks_draw_signs_of_their_own():
    names = [layer.name for layer in built([1, 4, 4], num_blocks=2).bijection.modules() if hasattr(layer, "name")]
    assert len(names) == len({*names}) == 6


@pytest.mark.parametrize(
    ("options", "solver", "kinds"),
    [
        ({"evaluation_trace": "exact"}, "rk4, 4 steps", ["lower bound", "k-sample bound"]),
        ({"evaluation_solver": "dopri5", "evaluation_tolerance": 1e-6}, "dopri5, tolerance 1e-06", ["lower bound", "lower bound"]),
    ],
)
def test_an_answer_says_how_it_was_computed_and_an_estimate_is_no_k_sample_bound(options, solver, kinds):
    model = built([1, 4, 4], **options)
    trace = options.get("evaluation_trace", "hutchinson")
    assert model.answer_options().items() >= {"solver": solver, "trace": trace}.items()
    assert [model.likelihood_kind(k) for k in (1, 5)] == kinds


def test_of_vectors_only_an_exact_trace_is_exact():
    kinds = [built([2], num_scales=0, evaluation_trace=trace).likelihood_kind() for trace in ("auto", "exact", "hutchinson")]
    assert kinds == ["exact", "exact", "lower bound"]
    assert built([1, 4, 4]).answer_options()["trace"] == "hutchinson"


def test_encoding_does_not_compute_what_it_throws_away_and_decoding_undoes_it(monkeypatch):
    model, pictures = built([1, 4, 4], evaluation_num_steps=8), images()
    with model.inference():
        expected = model.bijection((pictures + 0.5) / 256, noise=IndexedNoise(0, range(4)))[0]
        monkeypatch.setattr(torch.func, "vjp", None)
        z = model.encode(pictures)
        assert torch.equal(model.decode(z), pictures)
    torch.testing.assert_close(z, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinetic": -1.0}, r"model\.kinetic: expected at least 0"),
        ({"num_steps": 0}, r"model\.num_steps: expected at least 1"),
        ({"evaluation_tolerance": 0.0}, r"model\.evaluation_tolerance: expected a positive number"),
        ({"solver": "euler"}, r"model\.solver: expected rk4 or dopri5"),
        ({"evaluation_trace": "none"}, r"model\.evaluation_trace: expected auto or exact or hutchinson"),
        ({"num_scales": 4}, r"model\.num_scales: expected 0 for the usual, or 1 to .*, got 4"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        FFJORD([1, 4, 4], **(SMALL | options))


def test_scales_that_vectors_would_ignore_are_refused():
    with pytest.raises(UserError, match=r"model\.num_scales: vectors have one scale; expected nothing, got 2"):
        FFJORD([2], **(VECTOR | {"num_scales": 2}))


def test_the_path_of_vectors_goes_on_in_time_from_noise_to_the_decoded_points():
    model, z = built([2], scale=0.6, **(VECTOR | {"num_blocks": 2, "evaluation_num_steps": 32})), torch.randn(5, 2)
    with model.inference():
        points, shares = model.latent_path(z, 5)
        assert shares == [0, 0.25, 0.5, 0.75, 1]
        assert torch.equal(points[0], z)
        torch.testing.assert_close(points[-1], model.decode(z))
        # The first block alone is half of the way, and from a quarter on what is left of it leads there.
        torch.testing.assert_close(points[2], model.bijection.bijections[1].inverse(z))
        moved = (points[1:] - points[:-1]).norm(dim=-1)
        assert (moved > 0).all()
