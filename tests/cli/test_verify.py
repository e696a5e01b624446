"""``lightning-gen verify``: a true record holds, a false one does not, and what was forged, moved away or lies outside is named."""

import json
import math
from dataclasses import replace

import pytest
from cli_runs import cut_in_half

from lightning_gen.checkpoint import load_model
from lightning_gen.errors import UserError
from lightning_gen.evaluation.verification import check, contradictions, plan_of
from lightning_gen.leaderboard.record import read, write

OPTIONS = ("--num_samples", "64", "--likelihood_images", "64", "--likelihood_samples", "2", "--metrics", "fid,is,kid", "--seed", "3")


@pytest.fixture
def result(vae_copy):
    """A record of the copied run that a test may change."""
    return max((vae_copy / "results").glob("*-best-*.result.json"))


def forge(path, **changes):
    """Another record beside a true one."""
    return write(replace(read(path), **changes), path.parent)


def changed(record, name, **changes):
    """The scores of a record, one of them changed."""
    return [replace(score, **changes) if score.name == name else score for score in record.scores]


def test_the_record_of_fit_holds(execute, result):
    outcome = execute("verify", result)
    assert outcome.code == 0, outcome.err
    *lines, last = outcome.out.splitlines()
    assert last == f"verified: {len(lines)} scores within tolerance"
    assert len(lines) == len(read(result).scores)
    assert all(", within tolerance (" in line for line in lines)


def test_every_option_of_an_evaluation_is_asked_again(execute, vae_copy):
    assert execute("evaluate", vae_copy, *OPTIONS, "--split", "validation", "--generalization").code == 0
    newest = max((vae_copy / "results").glob("*.result.json"), key=lambda path: path.stat().st_mtime_ns)
    outcome = execute("verify", newest, "--json")
    assert outcome.code == 0, outcome.out
    data = json.loads(outcome.out)
    assert {"KD(digits-cnn)", "bits/dim gap"} <= {score["name"] for score in data["scores"]}
    assert all(score["claimed"] == score["verified"] for score in data["scores"])


def test_a_claim_that_is_too_good_does_not_hold(execute, result):
    record = read(result)
    true = next(score for score in record.scores if score.name == "FD(digits-cnn)")
    # Whatever uncertainty the claim states.
    forged = forge(result, scores=changed(record, true.name, value=true.value / 2, uncertainty=1e9))
    outcome = execute("verify", forged)
    assert outcome.code == 1
    assert f"FD(digits-cnn): claimed {true.value / 2:.6g}, verified {true.value:.6g}, NOT within tolerance" in outcome.out
    assert outcome.out.splitlines()[-1] == "NOT verified: 1 claims do not hold"


def test_another_model_than_the_checkpoints_is_named(execute, result):
    record = read(result)
    forged = forge(result, model=replace(record.model, class_path="lightning_gen.models.gans.gan.GAN"))
    outcome = execute("verify", forged)
    assert outcome.code == 1
    assert outcome.out.startswith("model.class_path: claimed lightning_gen.models.gans.gan.GAN, the checkpoint says ")


def test_another_protocol_than_the_datas_is_named(execute, result):
    record = read(result)
    score = record.scores[0]
    forged = forge(result, scores=[replace(score, protocol=score.protocol | {"count": 7})])
    outcome = execute("verify", forged)
    assert outcome.code == 1
    assert "NOT verified: asked otherwise here: count 400 instead of 7" in outcome.out


def test_a_forged_checkpoint_is_named_before_it_is_read(refused, result, vae_copy):
    best = vae_copy / "checkpoints" / "best.ckpt"
    cut_in_half(best)
    refused(["verify", result], str(best), "not the checkpoint that was scored; its SHA-256 starts with ")


def test_a_missing_checkpoint_is_named(refused, result, vae_copy, vae_run):
    """Also where the record's own run folder is gone: this run is a copy."""
    (vae_copy / "checkpoints" / "best.ckpt").unlink()
    forged = forge(result, run_folder=str(vae_copy / "nowhere"))
    refused(["verify", forged], "its checkpoint is missing; expected ", str(vae_copy / "checkpoints" / "best.ckpt"))


@pytest.mark.parametrize("path", ["../../other/last.ckpt", "/etc/passwd", "checkpoints/../../last.ckpt"])
def test_a_checkpoint_outside_of_the_run_is_not_opened(refused, result, path):
    forged = forge(result, checkpoint=replace(read(result).checkpoint, path=path))
    refused(["verify", forged], "checkpoint.path: expected a path within the run, got ")


def test_a_file_that_is_no_record_is_named(refused, tmp_path):
    (tmp_path / "a.result.json").write_text("{")
    refused(["verify", tmp_path / "a.result.json"], "a.result.json: not valid JSON")
    refused(["verify", tmp_path / "absent.result.json"], "cannot be read")


@pytest.mark.parametrize(
    "protocol",
    [{"num_samples": "many"}, {"split": "tset"}, {"extractor": 7}, {"extractor": "digits-cnn", "dialect": []}, {"num_samples": -3}],
)
def test_a_protocol_that_cannot_be_asked_is_one_line(vae_run, protocol):
    record = read(next((vae_run / "results").glob("*-best-*.result.json")))
    score = record.scores[0]
    with pytest.raises(UserError) as caught:
        plan_of(replace(record, scores=[replace(score, protocol=score.protocol | protocol)]))
    assert "\n" not in str(caught.value)


def test_the_plan_of_a_record_without_samples_scores_none(vae_run):
    record = read(next((vae_run / "results").glob("*-best-*.result.json")))
    bits = [score for score in record.scores if score.name == "bits/dim"]
    plan = plan_of(replace(record, scores=bits))
    assert (plan.num_samples, plan.likelihood_images, plan.split) == (0, bits[0].protocol["likelihood_images"], "test")


def test_the_tolerance_is_the_verified_error_and_narrow_for_likelihoods(vae_run):
    record = read(next((vae_run / "results").glob("*-best-*.result.json")))
    for score in record.scores:
        near = replace(score, value=score.value * (1 + 5e-5))
        far = replace(score, value=score.value + 2 * score.uncertainty)
        assert check([near], [score])[0].holds
        assert not check([far], [score])[0].holds
    assert not check([replace(record.scores[0], name="other")], record.scores)[0].holds


@pytest.mark.parametrize(
    ("forged", "words"),
    [
        ({"kind": "exact"}, "kind: k-sample bound here, not exact"),
        ({"better": "higher"}, "better: lower here, not higher"),
        ({"uncertainty": 1e-9}, "not 1e-09"),
        ({"uncertainty": 1e9}, "not 1e+09"),
        ({"uncertainty": None}, "not none"),
        ({"uncertainty": math.nan}, "not nan"),
        ({"uncertainty": None, "uncertainty_kind": None}, "uncertainty_kind: standard error over images here, not none"),
    ],
)
def test_what_is_said_of_a_true_value_has_to_be_so_too(vae_run, forged, words):
    """A bound that calls itself exact, or an error so small that every comparison is won."""
    record = read(next((vae_run / "results").glob("*-best-*.result.json")))
    (score,) = [replace(score, kind="k-sample bound") for score in record.scores if score.name == "bits/dim"]
    (outcome,) = check([replace(score, **forged)], [score])
    assert not outcome.holds
    assert words in outcome.in_words()
    assert check([replace(score, uncertainty=1.5 * score.uncertainty)], [score])[0].holds


@pytest.mark.parametrize("infinite", [{"value": math.inf}, {"uncertainty": math.inf}])
def test_nothing_infinite_makes_a_claim_hold(vae_run, infinite):
    record = read(next((vae_run / "results").glob("*-best-*.result.json")))
    score = replace(next(score for score in record.scores if score.name == "FD(digits-cnn)"), **infinite)
    assert not check([replace(score, value=5.0)], [score])[0].holds
    assert check([score], [score])[0].holds


def test_what_the_checkpoint_knows_of_its_training_is_not_taken_from_the_record(vae_run):
    record = read(next((vae_run / "results").glob("*-best-*.result.json")))
    model = load_model(vae_run / "checkpoints" / "best.ckpt")
    assert contradictions(record, model) == []
    cost = replace(record.cost, warm_start_images=7, world_size=8)
    forged = replace(record, model=replace(record.model, name="BigGAN", family="gan"), cost=cost)
    said = [line.partition(":")[0] for line in contradictions(forged, model)]
    assert said == ["model.name", "model.family", "cost.warm_start_images", "cost.world_size"]
