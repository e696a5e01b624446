"""``lightning-gen evaluate``: the same scores on any number of processes, from the checkpoint file alone."""

import itertools
import json
import math
import shutil
from collections import Counter

import pytest
from cli_runs import cut_in_half, execute_with, records, scores

from lightning_gen.checkpoint import load_model, save_model
from lightning_gen.cli.evaluation_job import rebuild_data
from lightning_gen.cli.processes import user_error_in
from lightning_gen.evaluation import Plan, Scoring
from lightning_gen.evaluation import evaluate as evaluate_model
from lightning_gen.leaderboard.per_image import read_values
from lightning_gen.leaderboard.record import read as read_record
from lightning_gen.leaderboard.significance import compare
from lightning_gen.models import NICE

SMALL = ("--num_samples", "64", "--likelihood_images", "64")


@pytest.fixture
def evaluate(execute):
    """The record of an evaluation that succeeds."""

    def run(checkpoint, *options):
        outcome = execute("evaluate", checkpoint, *options, "--json")
        assert outcome.code == 0, outcome.err
        return json.loads(outcome.out)

    return run


@pytest.fixture(scope="module")
def bare(vae_run, tmp_path_factory):
    """A checkpoint file alone, without its run."""
    return shutil.copy(vae_run / "checkpoints" / "last.ckpt", tmp_path_factory.mktemp("bare") / "mine.ckpt")


def test_a_checkpoint_file_alone_has_the_scores_of_its_run(evaluate, bare, vae_copy):
    alone, inside = evaluate(bare, *SMALL), evaluate(vae_copy / "checkpoints" / "last.ckpt", *SMALL)
    assert scores(alone) == scores(inside)
    assert scores(alone).keys() == {"FD(digits-cnn)", "CS(digits-cnn)", "diversity(digits-cnn)", "bits/dim", "reconstruction MSE"}
    assert (alone["checkpoint"]["kind"], inside["checkpoint"]["kind"]) == ("other", "last")


def test_the_evaluation_of_fit_is_the_same_one(evaluate, vae_copy):
    (fitted,) = [record for record in records(vae_copy) if record["checkpoint"]["kind"] == "last"]
    again = evaluate(vae_copy / "checkpoints" / "last.ckpt", *SMALL, "--likelihood_samples", "2")
    assert scores(again) == scores(fitted)


def test_a_run_folder_stands_for_its_best_checkpoint(evaluate, vae_copy):
    assert evaluate(vae_copy, *SMALL)["checkpoint"]["kind"] == "best"
    (vae_copy / "checkpoints" / "best.ckpt").unlink()
    assert evaluate(vae_copy, *SMALL)["checkpoint"]["kind"] == "last"


def test_json_is_all_there_is_on_stdout_and_the_scores_are_on_stderr(execute, bare):
    outcome = execute("evaluate", bare, *SMALL, "--json")
    assert json.loads(outcome.out)["headline"] == "FD(digits-cnn)"
    line, note = outcome.err.splitlines()
    assert line.startswith("other: FD(digits-cnn) ")
    assert note.startswith("diversity(digits-cnn): collapsed: "), "a model that was never trained"


def test_the_record_lies_in_the_results_of_the_run(execute, vae_copy):
    before = len(records(vae_copy))
    assert execute("evaluate", vae_copy, *SMALL).code == 0
    assert len(list((vae_copy / "results").glob("*.result.json"))) == before + 1


def test_every_option_reaches_the_scores_and_the_protocol(evaluate, bare):
    default = evaluate(bare, *SMALL)
    options = ["--split", "validation", "--likelihood_samples", "3", "--seed", "5"]
    record = evaluate(bare, "--num_samples", "1e2", "--likelihood_images", "50", *options)
    protocols = {score["name"]: score["protocol"] for score in record["scores"]}
    assert protocols["FD(digits-cnn)"]["num_samples"] == 100
    assert protocols["bits/dim"]["likelihood_images"] == 50
    assert {protocol["split"] for protocol in protocols.values()} == {"validation"}
    assert (record["answer"]["likelihood_samples"], record["answer"]["seed"]) == (3, 5)
    assert [score["kind"] for score in record["scores"] if score["name"] == "bits/dim"] == ["k-sample bound"]
    assert all(scores(record)[name] != value for name, value in scores(default).items())


def test_averaged_and_live_weights_are_told_apart(evaluate, dcgan_run, tmp_path):
    run = shutil.copytree(dcgan_run, tmp_path / "run")
    ema, live = (evaluate(run, *SMALL, "--weights", weights) for weights in ("ema", "live"))
    assert (ema["answer"]["weights"], live["answer"]["weights"]) == ("ema", "live")
    assert scores(ema) != scores(live)
    assert evaluate(run, *SMALL)["answer"]["weights"] == "ema"


def test_no_samples_leaves_the_likelihood_and_the_reconstructions(evaluate, bare):
    assert scores(evaluate(bare, "--num_samples", "0", "--likelihood_images", "64")).keys() == {"bits/dim", "reconstruction MSE"}


def test_metrics_dialects_and_arithmetic_are_chosen_by_name(evaluate, bare):
    options = ["--num_samples", "130", "--likelihood_images", "64", "--metrics", "FID,kid,prdc", "--dialect", "both", "--no_floor"]
    found = evaluate(bare, *options)
    kinds = ["FD", "KD", "precision", "recall", "density", "coverage"]
    # The other scores are the same in both dialects: no network of ours resizes by dialect.
    names = [*[f"{kind}(digits-cnn)" for kind in kinds], "KD(digits-cnn)[torchmetrics]"]
    assert [score["name"] for score in found["scores"]] == [*names, "bits/dim", "reconstruction MSE"]
    assert all(score["floor"] is None for score in found["scores"])
    assert found["headline"] == "FD(digits-cnn)"
    again = evaluate(bare, *options, "--arithmetic", "reference", "--exact")
    assert scores(again)["FD(digits-cnn)"] == pytest.approx(scores(found)["FD(digits-cnn)"], rel=1e-6)
    assert scores(again) != scores(found)


def test_fewer_samples_than_features_are_said(execute, bare):
    few, enough = (execute("evaluate", bare, "--num_samples", count, "--likelihood_images", "64").err for count in ("20", "64"))
    assert "FD(digits-cnn): 20 samples span less than the 32 features" in few
    assert "span less" not in enough


def test_generalisation_and_neighbours_come_when_asked_for(execute, vae_copy):
    options = ["--generalization", "--neighbours", "3", "--json"]
    outcome = execute("evaluate", vae_copy, *SMALL, *options)
    assert outcome.code == 0, outcome.err
    assert "bits/dim gap" in scores(json.loads(outcome.out))
    assert (vae_copy / "pictures" / "neighbours-best.png").is_file()
    assert "nearest training images of 3 samples" in outcome.err


def test_two_processes_give_exactly_the_scores_of_one(capfd, bare):
    options = ["evaluate", bare, "--num_samples", "160", "--likelihood_images", "100", "--json"]
    one, two = (execute_with(capfd, [*options, "--devices", devices]) for devices in (1, 2))
    assert two.code == 0, two.err
    assert scores(json.loads(two.out)) == scores(json.loads(one.out))
    # What the checkpoint was trained with, not what it was evaluated with.
    assert json.loads(two.out)["cost"]["world_size"] == 1
    assert two.err.strip().splitlines()[-2:] == one.err.strip().splitlines()
    assert "Initializing distributed" not in two.err


@pytest.mark.slow
def test_more_processes_than_blocks_give_exactly_the_scores_of_one(capfd, bare):
    one, three = (execute_with(capfd, ["evaluate", bare, *SMALL, "--json", "--devices", devices]) for devices in (1, 3))
    assert scores(json.loads(three.out)) == scores(json.loads(one.out))


def test_the_first_complaint_that_is_not_about_another_process_is_told(tmp_path):
    file = tmp_path / "complaints"
    assert user_error_in(file) is None
    file.write_text("digits (test): another process has failed\ndata.root: no usable mnist\n")
    assert str(user_error_in(file)) == "data.root: no usable mnist"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--num_samples", "1"], ["num_samples", "at least 2", "got 1"]),
        (["--num_samples", "-1"], ["num_samples", "at least 0", "got -1"]),
        (["--num_samples", "many"], ["--num_samples", "'many'"]),
        (["--split", "tset"], ["--split", "'tset'", "'test'"]),
        (["--weights", "raw"], ["--weights", "'raw'", "'live'"]),
        (["--devices", "0"], ["--devices", "expected 1 to", "got 0"]),
        (["--devices", "1000"], ["--devices", "on this machine", "got 1000"]),
        (["--likelihood_samples", "0"], ["likelihood_samples", "at least 1", "got 0"]),
        (["--likelihood_images", "0"], ["likelihood_images", "at least 1", "got 0"]),
        (["--trust", "no_such_module"], ["--trust no_such_module", "cannot be imported"]),
        (["--wieghts", "live"], ["--wieghts", "did you mean '--weights'?"]),
        (["--metrics", "fidd"], ["metrics: unknown metric 'fidd'", "did you mean 'fid'?"]),
        (["--dialect", "torchmetric"], ["dialect 'torchmetric'", "did you mean 'torchmetrics'?"]),
        (["--dialect", ""], ["dialect ''", "unknown"]),
        (["--extractor", "digit-cnn"], ["extractor 'digit-cnn'", "did you mean 'digits-cnn'?"]),
        (["--extractor", "digits-cnn", "--layer", "64"], ["layer", "'digits-cnn' takes none", "'64'"]),
        (["--extractor_weights", "nowhere.pth"], ["weights", "nowhere.pth"]),
        (["--arithmetic", "quick"], ["--arithmetic", "'quick'", "'fast'"]),
        (["--temperature", "0.7"], ["temperature", "VAE has none", "got 0.7"]),
        (["--standing_statistics", "3"], ["standing_statistics", "VAE has no BatchNorm layers"]),
        (["--standing_statistics", "3", "--num_samples", "0"], ["standing_statistics", "num_samples is 0", "got 3"]),
        (["--neighbours", "-1"], ["--neighbours", "got -1"]),
        (["--metrics", "per_class"], ["per_class", "class labels"]),
    ],
)
def test_a_bad_option_is_one_line(refused, vae_copy, options, words):
    before = len(records(vae_copy))
    assert refused(["evaluate", vae_copy, *options], *words).out == ""
    assert len(records(vae_copy)) == before


def test_a_bad_file_is_one_line(refused, bare, tmp_path):
    refused(["evaluate", tmp_path / "nowhere"], "nowhere", "neither a checkpoint file nor a run folder")
    (tmp_path / "text.ckpt").write_text("text")
    refused(["evaluate", tmp_path / "text.ckpt"], "text.ckpt", "is not a checkpoint")
    half = tmp_path / "half.ckpt"
    shutil.copy(bare, half)
    cut_in_half(half)
    refused(["evaluate", half], "half.ckpt", "cut short")
    refused(["sample", half], "half.ckpt", "cut short")


def test_garbage_among_the_results_is_skipped_by_name(execute, vae_copy):
    for name, content in (("a", b"\xff\x00"), ("b", b"{}"), ("c", b'{"scores": [')):
        (vae_copy / "results" / f"{name}.result.json").write_bytes(content)
    assert execute("evaluate", vae_copy, *SMALL).code == 0
    outcome = execute("leaderboard", "--results", vae_copy)
    assert outcome.code == 0
    assert "VAE" in outcome.out
    for name in "abc":
        assert f"{name}.result.json" in outcome.err


def test_the_record_says_at_which_temperature_a_flow_was_sampled(evaluate, tmp_path):
    model = NICE([1, 8, 8], num_bits=4, hidden=[8])
    model.data_spec = {"class_path": "lightning_gen.data.digits.Digits", "init_args": {"batch_size": 8}}
    save_model(model, tmp_path / "flow.ckpt")
    record = evaluate(tmp_path / "flow.ckpt", "--temperature", "0.7", *SMALL)
    assert record["answer"]["sample_options"]["temperature"] == 0.7
    assert record["model"]["hyperparameters"]["temperature"] == 1


def test_the_log_probabilities_of_images_lie_beside_their_record(execute, vae_copy):
    assert execute("evaluate", vae_copy, *SMALL).code == 0
    record = read_record(max((vae_copy / "results").glob("*.result.json"), key=lambda path: path.stat().st_mtime_ns))
    (likelihood,) = [score for score in record.scores if score.name == "bits/dim"]
    values = read_values(likelihood, vae_copy / "results")
    assert len(values) == 64
    assert -sum(values) / 64 / (64 * math.log(2)) == pytest.approx(likelihood.value, rel=1e-12)


@pytest.mark.slow
def test_one_model_under_two_seeds_of_noise_is_hardly_ever_told_apart(vae_run):
    """All pairs of 12 seeds, each pair by every score; the level leaves 1 % to a score."""
    path = vae_run / "checkpoints" / "last.ckpt"
    model = load_model(path)
    data = rebuild_data(model, path)
    evaluations = [evaluate_model(model, data, Plan("test", 500, seed=seed, scoring=Scoring(floor=False))) for seed in range(12)]
    pairs = list(itertools.combinations(evaluations, 2))
    told = [name for pair in pairs for name in told_apart(*pair)]
    assert len(told) <= 0.05 * len(pairs), Counter(told)


def told_apart(a, b):
    """The scores in which two evaluations are told apart."""
    for one, other in zip(a.scores, b.scores, strict=True):
        values = (a.log_probs, b.log_probs) if one.kind else (None, None)
        if compare(one, other, *values).better is not None:
            yield one.name
