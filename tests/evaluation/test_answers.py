"""How a model answers, and how far it generalises: standing statistics, the likelihood's interval and gap, nearest neighbours."""

import dataclasses
import math

import pytest
import torch

from lightning_gen.data import Digits, PhotoPatches, ToyDensity
from lightning_gen.errors import UserError
from lightning_gen.evaluation import Plan, Scoring, choose, evaluate, score_directions
from lightning_gen.evaluation.defaults import headline
from lightning_gen.evaluation.neighbours import NEIGHBOURS, neighbour_sheet
from lightning_gen.evaluation.samples import Samples
from lightning_gen.evaluation.standing import standing_statistics
from lightning_gen.metrics.extractors.inception_weights import FILE_NAME, VARIABLE
from lightning_gen.models import DCGAN, NICE, VAE, BigGAN, RealNVP


def vae():
    torch.manual_seed(0)
    return VAE([1, 8, 8], num_bits=4, latent_dim=4, likelihood="DiscretizedLogistic")


def dcgan(**options):
    torch.manual_seed(0)
    return DCGAN([1, 8, 8], num_bits=4, latent_dim=4, width=4, **options)


def digits():
    return Digits(batch_size=8)


def layers_of(model):
    return [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]


# Standing statistics.


def test_standing_statistics_are_the_average_over_batches_of_samples():
    """The first layer's input does not depend on any BatchNorm, so its statistics can be computed by hand."""
    model = dcgan()
    first = layers_of(model.generator)[0]
    seen = []
    first.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with model.inference(), standing_statistics(model, 3, seed=5):
        batches = seen[:3]
        mean = torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0)
        variance = torch.stack([batch.var((0, 2, 3)) for batch in batches]).mean(0)
        torch.testing.assert_close(first.running_mean, mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(first.running_var, variance, rtol=1e-5, atol=1e-6)
        assert not first.training
    noise = {tuple(batch.flatten()[:4].tolist()) for batch in batches}
    assert len(noise) == 3, "every batch has its own noise"


def test_standing_statistics_leave_the_model_as_it_was():
    model = dcgan().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    evaluate(model, digits(), Plan(num_samples=70, standing_statistics=2))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert all(layer.momentum == 0.1 for layer in layers_of(model))


def test_standing_statistics_change_the_samples_and_the_question():
    plain, standing = (evaluate(dcgan(), digits(), Plan(num_samples=70, standing_statistics=n)).scores[0] for n in (0, 2))
    assert plain.value != standing.value
    assert standing.protocol == plain.protocol | {"standing_statistics": 2}
    assert plain.fingerprint != standing.fingerprint


def test_a_model_without_batch_norm_has_none_to_recompute():
    with pytest.raises(UserError, match="standing_statistics: VAE has no BatchNorm layers; expected 0"):
        evaluate(vae(), digits(), Plan(num_samples=70, standing_statistics=2))


def test_standing_statistics_on_which_no_score_depends_are_refused():
    """Neither a likelihood nor a reconstruction is one of the samples' statistics."""
    for model, data, num_samples, why in [
        (vae(), digits(), 0, "num_samples is 0"),
        (RealNVP([2], width=4, num_blocks=1), ToyDensity("two_moons", batch_size=8), None, "no measure for those of RealNVP"),
    ]:
        with pytest.raises(UserError, match=f"standing_statistics: .*{why}.* expected nothing, got 2"):
            evaluate(model, data, Plan(num_samples=num_samples, standing_statistics=2))


# Temperature.


def flow(**options):
    torch.manual_seed(0)
    return NICE([1, 8, 8], num_bits=4, hidden=[8], **options)


def test_a_temperature_of_the_plan_is_that_of_a_model_that_has_it_and_leaves_the_likelihood_and_the_model_alone():
    model, plan = flow(), Plan(num_samples=70, likelihood_images=64)
    own, cold = (evaluate(model, digits(), dataclasses.replace(plan, temperature=value)) for value in (None, 0.5))
    native = evaluate(flow(temperature=0.5), digits(), plan)
    assert model.temperature == 1
    assert {score.name: score.value for score in cold.scores} == {score.name: score.value for score in native.scores}
    assert cold.scores[0].value != own.scores[0].value
    assert torch.equal(cold.log_probs, own.log_probs)


def test_a_temperature_that_changes_nothing_or_cannot_be_is_refused():
    for model, options, complaint in [
        (vae(), {"num_samples": 70}, "temperature: VAE has none; expected nothing, got 0.5"),
        (flow(), {"num_samples": 0}, "temperature: .*num_samples is 0.* expected nothing, got 0.5"),
    ]:
        with pytest.raises(UserError, match=complaint):
            evaluate(model, digits(), Plan(**options, temperature=0.5))
    for temperature in (0.0, math.inf, math.nan):
        with pytest.raises(UserError, match=f"temperature: expected a positive number, got {temperature}"):
            Plan(temperature=temperature)


def biggan(**options):
    torch.manual_seed(0)
    networks = {
        "generator": {"class_path": "BigGANGenerator", "width": 4},
        "discriminator": {"class_path": "ResNetDiscriminator", "width": 4},
    }
    return BigGAN([1, 8, 8], num_bits=4, latent_dim=6, **networks, **options)


def test_a_truncation_of_the_plan_is_that_of_a_model_that_has_it_and_stands_in_its_answer():
    model, plan = biggan(), Plan(num_samples=70)
    own, less = (evaluate(model, digits(), dataclasses.replace(plan, truncation=value)) for value in (None, 0.3))
    native = evaluate(biggan(truncation=0.3), digits(), plan)
    assert (model.truncation, model.answer_options()) == (0, {})
    assert biggan(truncation=0.3).answer_options() == Plan(truncation=0.3).sample_options == {"truncation": 0.3}
    assert [score.value for score in less.scores] == [score.value for score in native.scores]
    assert [score.value for score in less.scores] != [score.value for score in own.scores]
    with pytest.raises(UserError, match=r"truncation: VAE has none; expected nothing, got 0\.3"):
        evaluate(vae(), digits(), Plan(num_samples=70, truncation=0.3))


# Likelihood.


def test_the_confidence_interval_is_two_standard_errors_wide_on_each_side():
    score = evaluate(vae(), digits(), Plan(num_samples=0)).scores[0]
    low, high = score.details["confidence_interval_95"]
    assert (low + high) / 2 == pytest.approx(score.value)
    assert (high - low) / 2 == pytest.approx(1.96 * score.uncertainty, rel=1e-4)
    assert (score.details["kind"], score.details["k"]) == ("lower bound", 1)


def test_the_gap_is_the_difference_of_two_evaluations_of_equal_size():
    both = evaluate(vae(), digits(), Plan("test", 0, likelihood_images=130, generalization=True)).scores
    held_out, train = (evaluate(vae(), digits(), Plan(split, 0, likelihood_images=130)).scores[0] for split in ("test", "train"))
    score, gap = both[:2]
    assert (score.value, gap.name) == (held_out.value, "bits/dim gap")
    assert gap.value == pytest.approx(held_out.value - train.value, abs=1e-12)
    assert gap.uncertainty == pytest.approx(math.hypot(held_out.uncertainty, train.uncertainty), rel=1e-9)


def test_a_model_that_has_seen_nothing_has_no_gap():
    gap = evaluate(vae(), digits(), Plan("test", 0, generalization=True)).scores[1]
    assert abs(gap.value) < 4 * gap.uncertainty


def test_training_images_cannot_be_compared_with_themselves():
    with pytest.raises(UserError, match="generalization: compares with the training split"):
        Plan("train", 0, likelihood_images=10, generalization=True)


def test_a_model_without_likelihood_has_no_gap():
    with pytest.raises(UserError, match="generalization: DCGAN has no likelihood"):
        evaluate(dcgan(), digits(), Plan(num_samples=70, generalization=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "EMA"}, "weights: unknown value 'EMA'; did you mean 'ema'"),
        ({"standing_statistics": -1}, "standing_statistics: expected at least 0, got -1"),
    ],
)
def test_a_way_to_answer_that_does_not_exist_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        Plan(**options)
    with pytest.raises(UserError, match=message):
        Samples("run", **options)


# Nearest neighbours.


def test_a_training_image_is_its_own_nearest_neighbour(monkeypatch):
    """A model that has learned the training set by heart shows as pairs of equal pictures."""
    model, data = vae(), digits()
    monkeypatch.setattr(model, "sample_block", lambda seed, block: data.batch("train", [i + 100 for i in block])[0])
    sheet = neighbour_sheet(model, data, Plan(), 3, lambda *_: None)
    side = 32  # 8 pixels, enlarged four times
    cells = sheet[:, 1:, 1:].unfold(1, side, side + 1).unfold(2, side, side + 1)
    assert cells.shape[1:3] == (3, NEIGHBOURS + 1)
    for row in range(3):
        assert torch.equal(cells[:, row, 0], cells[:, row, 1])
        assert not torch.equal(cells[:, row, 0], cells[:, row, 2])
        expected = data.batch("train", [100 + row])[0][0, 0].repeat_interleave(4, 0).repeat_interleave(4, 1)
        assert torch.equal(cells[0, row, 0], expected)


def test_vectors_have_no_neighbours():
    with pytest.raises(UserError, match="neighbours: VAE on two_moons has no samples to compare"):
        neighbour_sheet(VAE([2], latent_dim=2), ToyDensity("two_moons", batch_size=8), Plan(), 3, lambda *_: None)


# What is scored when nobody says.


@pytest.mark.parametrize(
    ("data", "extractor", "ranks"),
    [
        (digits(), "digits-cnn", "FD(digits-cnn)"),
        (PhotoPatches(batch_size=8), "cifar-cnn", "FD(cifar-cnn)"),
        (ToyDensity("two_moons", batch_size=8), None, "nats"),
    ],
    ids=["digits", "photos", "vectors"],
)
def test_the_first_extractor_whose_weights_are_here_is_taken(data, extractor, ranks, monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    choice = choose(data, Scoring())
    assert choice.extractor == extractor
    assert headline(data, choice.extractor) == (ranks, "lower")
    assert ranks in score_directions(data, Scoring())


def test_missing_inception_weights_are_said_in_one_line_and_present_ones_are_used(monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    photos = PhotoPatches(batch_size=8)
    note = choose(photos, Scoring()).note
    assert FILE_NAME in note
    assert "scored with cifar-cnn" in note
    assert "\n" not in note
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / FILE_NAME).touch()
    choice = choose(photos, Scoring())
    assert (choice.extractor, choice.note) == ("inception-v3-tf", None)
    assert headline(photos, choice.extractor) == ("FID", "lower")
    assert {"FID", "IS", "KID"} <= score_directions(photos, Scoring()).keys()
    assert choose(digits(), Scoring()).extractor == "digits-cnn", "digits are no photographs"


def test_the_data_sets_own_number_of_samples_and_metrics_are_taken():
    found = {score.name: score for score in evaluate(dcgan(), digits(), Plan()).scores}
    assert [*found] == ["FD(digits-cnn)", "CS(digits-cnn)", "diversity(digits-cnn)"]
    assert found["FD(digits-cnn)"].protocol["num_samples"] == Digits.evaluation_samples


def test_a_conditional_model_is_scored_per_class():
    torch.manual_seed(0)
    model = DCGAN([1, 8, 8], num_bits=4, latent_dim=4, width=4, num_classes=10, conditional=True)
    found = evaluate(model, digits(), Plan(num_samples=200, scoring=Scoring(("per_class",)))).scores[0]
    assert [*found.details["per_class"]] == [str(label) for label in range(10)]
    assert found.floor < found.value
