"""Two runs, or two recipes with their seeds, are found by what a user calls them, and compared score by score."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lightning_gen.cli.leaderboard import run
from lightning_gen.errors import UserError
from lightning_gen.leaderboard.compare import compare_named
from lightning_gen.leaderboard.per_image import KEY, digest, write_values
from lightning_gen.leaderboard.record import write
from lightning_gen.leaderboard.store import find_results


@pytest.fixture
def put(tmp_path, make):
    """Write a record of a run below ``tmp_path``; with log-probabilities beside it where they are given."""

    def write_one(name, log_probs=None, **fields):
        folder = tmp_path / name / "results"
        if log_probs is not None:
            (likelihood,) = make(bpd=float(-log_probs.mean())).scores
            fields["scores"] = [replace(likelihood, details={KEY: digest(log_probs.tolist())})]
            write_values(log_probs.tolist(), folder)
        return write(make(name, **fields), folder)

    return write_one


@pytest.fixture
def compared(tmp_path):
    return lambda a, b: compare_named(a, b, find_results([tmp_path])[0])


def answers(comparison):
    return {verdict.score: verdict.better for verdict in comparison.verdicts}


def test_runs_are_compared_by_their_recorded_uncertainties_headline_first(put, compared):
    put("vae/one", fd=1.0, bpd=3.0)
    put("vae/two", fd=9.0, bpd=3.01)
    comparison = compared("vae/one", "two")
    assert answers(comparison) == {"FD(digits-cnn)": "A", "bits/dim": None}
    assert [*answers(comparison)] == ["FD(digits-cnn)", "bits/dim"]


def test_likelihoods_are_compared_image_by_image_where_their_values_were_kept(put, compared):
    base = -np.random.default_rng(0).normal(80, 20, 200)
    put("one", log_probs=base)
    put("two", log_probs=base - 0.2)
    (verdict,) = [verdict for verdict in compared("one", "two").verdicts if verdict.score == "bits/dim"]
    assert (verdict.better, verdict.method) == ("A", "paired bootstrap over 200 images")


def test_forged_values_are_named_and_not_used(put, compared, tmp_path):
    base = -np.random.default_rng(0).normal(80, 20, 200)
    put("one", log_probs=base)
    put("two", log_probs=base - 0.2)
    (file,) = (tmp_path / "two").rglob("*.f64")
    file.write_bytes((base + 50).tobytes())
    comparison = compared("one", "two")
    assert [verdict.method for verdict in comparison.verdicts if verdict.score == "bits/dim"] == ["standard error over images"]
    assert any(str(file) in note and "damaged or forged" in note for note in comparison.notes)


def test_a_forged_value_is_not_compared_by_the_values_of_another(put, compared):
    base = -np.random.default_rng(0).normal(80, 20, 200)
    path = put("one", log_probs=base)
    put("two", log_probs=base - 0.2)
    record = json.loads(path.read_text())
    record["scores"][0]["value"] = 60.0
    path.write_text(json.dumps(record))
    comparison = compared("one", "two")
    assert [verdict.method for verdict in comparison.verdicts if verdict.score == "bits/dim"] == ["standard error over images"]
    assert any("not the mean of its images' log-probabilities" in note for note in comparison.notes)


def test_a_configuration_stands_for_its_seeds(put, compared):
    for seed in range(3):
        put(f"a/{seed}", fd=1.0 + 0.01 * seed, config_name="a", training_seed=seed)
        put(f"b/{seed}", fd=2.0 + 0.01 * seed, config_name="b", training_seed=seed)
    comparison = compared("a", "b")
    assert answers(comparison) == {"FD(digits-cnn)": "A"}
    assert comparison.verdicts[0].method == "3 and 3 training seeds"
    assert comparison.a == ["a/0", "a/1", "a/2"]


def test_runs_that_differ_by_more_than_the_seed_are_no_recipe(put, compared, example):
    put("a/0", fd=1.0, config_name="a")
    put("a/1", fd=1.0, config_name="a", training_seed=1, model=replace(example.model, hyperparameters={"latent_size": 2}))
    put("b/0", fd=1.0, config_name="b")
    with pytest.raises(UserError, match="the runs of 'a' differ by more than their training seed"):
        compared("a", "b")


def test_seeds_are_not_compared_with_a_single_run(put, compared):
    for seed in range(2):
        put(f"a/{seed}", fd=1.0, config_name="a", training_seed=seed)
    put("b/0", fd=1.0, config_name="b")
    with pytest.raises(UserError, match="expected several training seeds of both, or single runs; 'a' has 2 and 'b' has 1"):
        compared("a", "b")


def test_a_folder_and_a_file_are_found_too(put, compared, tmp_path):
    put("one", fd=1.0)
    path = put("two", fd=9.0)
    assert answers(compared(str(tmp_path / "one"), str(path))) == {"FD(digits-cnn)": "A"}


def test_a_folder_and_a_file_outside_of_the_results_are_found(put, tmp_path):
    put("one", fd=1.0)
    path = put("two", fd=9.0)
    assert answers(compare_named(str(tmp_path / "one"), str(path), [])) == {"FD(digits-cnn)": "A"}


def test_a_word_is_a_configuration_before_it_is_a_folder(put, compared, tmp_path, monkeypatch):
    """As in the folder of all runs, where each configuration has a folder of its name."""
    for seed in range(2):
        put(f"a/{seed}", fd=1.0 + 0.01 * seed, config_name="a", training_seed=seed)
        put(f"b/{seed}", fd=9.0 + 0.01 * seed, config_name="b", training_seed=seed)
    monkeypatch.chdir(tmp_path)
    comparison = compared("a", "b")
    assert (comparison.a, comparison.b) == (["a/0", "a/1"], ["b/0", "b/1"])


def test_the_newest_run_of_a_seed_is_the_one_evaluated_last(put, compared):
    """Whatever run was evaluated first."""
    times = [f"2025-01-0{day}T00:00:00+00:00" for day in (1, 2, 3)]
    put("a/again", fd=5.0, config_name="a", created=times[0])
    put("a/once", fd=7.0, config_name="a", created=times[1])
    put("a/again", fd=1.0, config_name="a", created=times[2])
    put("b/only", fd=9.0, config_name="b")
    assert compared("a", "b").a == ["a/again"]


def test_other_protocols_are_not_compared_and_said(put, compared):
    put("one", fd=1.0, bpd=3.0)
    put("two", fd=9.0, bpd=3.0, extractor="other")
    comparison = compared("one", "two")
    assert answers(comparison) == {"bits/dim": None}
    assert comparison.notes == ["FD(digits-cnn): not compared, the protocols differ"]
    put("three", fd=1.0)
    with pytest.raises(UserError, match=r"no score under one protocol \(FD\(digits-cnn\): not compared"):
        compared("two", "three")


def test_a_bound_beside_an_exact_likelihood_is_said(put, compared, example):
    put("bound", bpd=3.0)
    put("exact", scores=[replace(example.scores[1], kind="exact")])
    assert compared("bound", "exact").notes == [
        f"bits/dim: A's is a k-sample bound (k={example.answer.likelihood_samples}), B's exact; a bound is compared, not what it bounds"
    ]


def test_bounds_of_other_numbers_of_samples_are_said_of_seeds_too(put, compared, example):
    for seed in range(2):
        put(f"loose/{seed}", bpd=3.0, config_name="loose", training_seed=seed, answer=replace(example.answer, likelihood_samples=1))
        put(f"tight/{seed}", bpd=2.9, config_name="tight", training_seed=seed, answer=replace(example.answer, likelihood_samples=500))
    said = "bits/dim: A's is a k-sample bound (k=1), B's a k-sample bound (k=500); a bound is compared, not what it bounds"
    assert compared("loose/0", "tight/0").notes == compared("loose", "tight").notes == [said]


def test_a_name_that_nothing_has_is_refused_with_the_nearest(put, compared):
    put("vae/one", fd=1.0)
    with pytest.raises(UserError, match=r"--compare: B: no run, configuration, folder or file 'vae/ones'; did you mean 'vae/one'\?"):
        compared("vae/one", "vae/ones")


def test_the_command_prints_a_line_for_each_score_or_json(put, tmp_path, capsys):
    put("one\x1b[2J", fd=1.0, bpd=3.0)
    put("two", fd=9.0, bpd=3.0)
    assert run(["--results", str(tmp_path), "--compare", "one\x1b[2J", "two"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["A: one[2J", "B: two"]
    assert lines[2].startswith("FD(digits-cnn): A is better, 1 against 9: -8 [")
    assert lines[3].startswith("bits/dim: cannot tell, ")
    assert run(["--results", str(tmp_path), "--compare", "one\x1b[2J", "two", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["verdicts"][0]["better"], data["level"]) == ("A", 0.99)


def test_a_file_that_was_skipped_is_named(put, tmp_path, capsys):
    put("one", fd=1.0)
    put("two", fd=9.0).with_name("cut.result.json").write_text("{")
    assert run(["--results", str(tmp_path), "--compare", "one", "two"]) == 0
    assert "cut.result.json: not valid JSON" in capsys.readouterr().err


def test_options_that_would_be_ignored_are_refused(tmp_path):
    with pytest.raises(UserError, match="--compare: expected alone, or with --results and --json, got --csv too"):
        run(["--results", str(tmp_path), "--compare", "a", "b", "--csv"])
