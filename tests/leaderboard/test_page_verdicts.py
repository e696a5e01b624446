"""The side-by-side view tells what ``leaderboard --compare`` tells, of as many pairs as a page holds, and how to be told of the others."""

import itertools
import shlex
from dataclasses import replace

import numpy as np
import pytest
from runs_on_disk import page_of

from lightning_gen.cli.leaderboard import run
from lightning_gen.leaderboard.compare import compare_named
from lightning_gen.leaderboard.page import verdicts
from lightning_gen.leaderboard.per_image import KEY, digest, write_values
from lightning_gen.leaderboard.record import write
from lightning_gen.leaderboard.store import find_results


@pytest.fixture
def put(tmp_path, make):
    """Write the record of a run; with the log-probabilities of images beside it where they are given."""

    def write_one(name, log_probs=None, **fields):
        folder, record = tmp_path / "runs" / name / "results", make(name, **fields)
        if log_probs is not None:
            (likelihood,) = make(bpd=float(-log_probs.mean())).scores
            write_values(log_probs.tolist(), folder)
            record = replace(record, scores=[*record.scores, replace(likelihood, details={KEY: digest(log_probs.tolist())})])
        return write(record, folder)

    return write_one


@pytest.fixture
def page(tmp_path):
    return lambda: page_of(tmp_path / "runs", tmp_path)


def told(page, told_of):
    """Verdicts of the page as ``(score, answer, difference, method)``, and notes."""
    names = {column["id"]: column["name"] for table in page["tables"] for column in table["columns"]}
    words = page["verdicts"]["words"]
    lines, notes = told_of
    return [(names[id_], words[answer], gap, words[method]) for id_, answer, gap, method in lines], [words[note] for note in notes]


def test_every_pair_is_told_in_the_words_of_the_command(put, page, tmp_path):
    base = -np.random.default_rng(0).normal(80, 20, 200)
    for number, shift in enumerate([0.0, 0.2, 0.2001]):
        put(f"run {number}", base - shift, fd=1.0 + number)
    put("bound", fd=5.0, bpd=3.0)
    found, _ = find_results([tmp_path / "runs"])
    files = {record.run_name: str(path) for path, record in found}
    data = page()
    names = [row["run"] for row in data["rows"]]
    for a, b in itertools.combinations(range(4), 2):
        asked = compare_named(files[names[a]], files[names[b]], found)
        lines, notes = told(data, data["verdicts"]["pairs"][str(a)][str(b)])
        assert lines == [(verdict.score, verdict.answer, verdict.difference, verdict.method) for verdict in asked.verdicts]
        assert notes == asked.notes
    methods = {line[3] for pairs in data["verdicts"]["pairs"].values() for pair in pairs.values() for line in told(data, pair)[0]}
    assert "paired bootstrap over 200 images" in methods


def test_the_values_of_the_images_are_drawn_once_for_all_pairs(put, page, monkeypatch):
    for number in range(5):
        put(f"run {number}", -np.random.default_rng(number).normal(80, 20, 50), fd=1.0)
    drawn = []
    monkeypatch.setattr("lightning_gen.leaderboard.significance.bootstrap_means", lambda values: drawn.append(values) or values)
    page()
    assert [values.shape for values in drawn] == [(50, 5)]


def test_forged_values_are_named_beside_the_pair(put, page, tmp_path):
    base = -np.random.default_rng(0).normal(80, 20, 50)
    put("one", base, fd=1.0)
    put("two", base - 0.2, fd=1.0)
    (file,) = (tmp_path / "runs" / "two").rglob("*.f64")
    file.write_bytes((base + 50).tobytes())
    data = page()
    (_, line), (note,) = told(data, data["verdicts"]["pairs"]["0"]["1"])
    assert line[0] == "bits/dim"
    assert line[3] == "standard error over images"
    assert "damaged or forged" in note


def test_the_best_ranked_rows_are_told_and_a_command_tells_of_the_others(put, page, monkeypatch, capsys):
    monkeypatch.setattr(verdicts, "MOST_VERDICTS", 4)  # three pairs of one score; a fourth row would make six
    for number in range(5):
        put(f"it's run {number}", fd=9.0 - number)
    data = page()
    runs = [row["run"] for row in data["rows"]]
    pairs = data["verdicts"]["pairs"]
    assert {runs[int(row)] for a, others in pairs.items() for row in (a, *others)} == {f"it's run {number}" for number in (2, 3, 4)}
    assert data["verdicts"]["rows"] == 3
    left_out = [row["file"] for row in data["rows"] if row["run"] in ("it's run 0", "it's run 1")]
    program, command, *options = shlex.split(" ".join([data["verdicts"]["command"], *left_out]))
    assert (program, command) == ("lightning-gen", "leaderboard")
    assert run(options) == 0
    assert "FD(digits-cnn): " in capsys.readouterr().out


def test_rows_under_other_protocols_are_no_pair(put, page):
    put("one", fd=1.0)
    put("two", fd=1.0, extractor="other")
    assert page()["verdicts"]["pairs"] == {}


def test_recipes_are_compared_by_their_seeds_whichever_is_asked_for_first(put, page):
    for seed in range(3):
        put(f"a/{seed}", fd=1.0 + 0.01 * seed, config_name="a", training_seed=seed)
        put(f"b/{seed}", fd=2.0 + 0.01 * seed, config_name="b", training_seed=seed)
    put("alone", fd=3.0, config_name="c")
    data = page()
    recipe = {row["run"]: row["recipe"] for row in data["rows"]}
    assert recipe["alone"] is None
    a, b = str(recipe["a/0"]), str(recipe["b/2"])
    recipes = data["verdicts"]["recipes"]
    assert told(data, recipes[a][b])[0] == [("FD(digits-cnn)", "A is better", "-1 [-1.04, -0.962]", "3 and 3 training seeds")]
    assert told(data, recipes[b][a])[0][0][1] == "B is better"
