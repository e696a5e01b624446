"""Published numbers stand beside ours where data set and score fit, apart from the ranking, and say how their protocol differs."""

import csv
import io
import json
from dataclasses import replace

import pytest

from lightning_gen.cli.leaderboard import run
from lightning_gen.leaderboard.formats import as_csv, as_markdown
from lightning_gen.leaderboard.literature import differences, literature, published_beside
from lightning_gen.leaderboard.record import write
from lightning_gen.leaderboard.render import MOST_PUBLISHED, print_leaderboard
from lightning_gen.leaderboard.table import leaderboard

PREPROCESSING = {"padding": 0, "image_size": 28, "channels": 1}
BINARY_MNIST = {
    "dataset": "mnist",
    "split": "test",
    "count": 10_000,
    "preprocessing": PREPROCESSING,
    "num_bits": 1,
    "binarization": "dynamic",
    "likelihood_images": 10_000,
}
CIFAR = {"dataset": "cifar10", "split": "train", "count": 45_000, "preprocessing": {"image_size": 32, "channels": 3}, "num_samples": 50_000}


@pytest.fixture
def mnist(make, example):
    """One run with a likelihood of binary MNIST."""
    return make(scores=[replace(example.scores[1], name="nats", value=90.0, protocol=BINARY_MNIST)])


@pytest.fixture
def cifar(make, example):
    """One run with FID on CIFAR-10."""
    return make(scores=[replace(example.scores[0], name="FID", protocol=CIFAR)])


def beside(record):
    (table,) = leaderboard([record])
    return published_beside(table)


def find(rows, system, source):
    return next(row for row in rows if row.system == system and row.source.startswith(source))


def test_every_number_has_a_source_and_says_whether_it_was_read_there():
    statuses = {row.status or group.status for group in literature().groups for row in group.rows}
    assert statuses == {"verified in the source", "as quoted"}
    assert all(group.source and group.rows and row.scores for group in literature().groups for row in group.rows)


def test_every_value_is_a_number_of_a_score_that_is_ours():
    values = {(name, value) for group in literature().groups for row in group.rows for name, value in row.scores.items()}
    assert {name for name, _ in values} == {"nats", "bits/dim", "FID", "IS", "KID"}
    assert all(isinstance(value, float | int) and value > 0 for _, value in values)


def test_a_k_sample_bound_is_never_published_as_exact():
    for group in literature().groups:
        for row in group.rows:
            if row.likelihood_samples or group.likelihood_samples:
                assert (row.kind or group.kind) == "k-sample bound"


def test_what_is_quoted_from_memory_is_not_called_verified(mnist):
    rows = beside(mnist)
    assert find(rows, "IWAE, 1 layer, k=50", "IWAE paper").status == "as quoted"
    assert find(rows, "IWAE, 2 layers, k=50", "IWAE paper").status == "verified in the source"


def test_only_the_data_set_and_the_score_that_fit_are_beside(mnist, cifar, make):
    assert {row.score for row in beside(mnist)} == {"nats"}
    assert {row.protocol["dataset"] for row in beside(mnist)} == {"mnist"}
    assert {(row.score, row.protocol["dataset"]) for row in beside(cifar)} == {("FID", "cifar10")}
    assert beside(make(fd=1.0, bpd=2.0)) == []


def test_another_extractors_distance_is_no_fid(cifar):
    assert beside(replace(cifar, scores=[replace(cifar.scores[0], name="FD(cifar-cnn)")])) == []


def test_what_the_protocols_say_otherwise_is_told_and_the_most_alike_come_first(mnist, cifar):
    rows = beside(mnist)
    assert find(rows, "MADE", "pytorch-generative").differences == []
    assert find(rows, "DRAW", "PixelRNN").differences == ["binarization static, here dynamic"]
    assert find(rows, "VAE", "pytorch-generative").differences == ["padding 2, here 0", "image_size 32, here 28"]
    numbers = [len(row.differences) for row in rows]
    assert numbers == sorted(numbers)
    assert find(beside(cifar), "SNGAN", "mimicry (README)").differences == ["count 50000, here 45000"]
    assert "split test, here train" in find(beside(cifar), "DCGAN, best (42k updates)", "StudioGAN's log").differences


def test_a_part_of_the_images_or_given_labels_are_told():
    assert differences({"likelihood_images": 10_000}, BINARY_MNIST | {"likelihood_images": 64}) == ["likelihood_images 10000, here 64"]
    assert differences({}, BINARY_MNIST | {"labels": "given"}) == ["here labels given"]


def test_published_rows_do_not_move_the_ranking(mnist, capsys):
    """Ours is the worst of all numbers shown, and first of its table."""
    (table,) = leaderboard([mnist])
    print_leaderboard(table)
    ours, theirs = capsys.readouterr().out.split("published, not ranked")
    assert ours.splitlines()[3].startswith("1 ")
    assert "MADE" not in ours
    assert "<= 78.01" in theirs
    assert f"Not shown: {len(published_beside(table)) - MOST_PUBLISHED} more published numbers" in theirs


def test_every_form_shows_them_apart(mnist, tmp_path, capsys):
    (table,) = leaderboard([mnist])
    count = len(published_beside(table))
    lines = list(csv.DictReader(io.StringIO(as_csv([table]))))
    assert [line["rank"] for line in lines] == ["1"] + [""] * count
    assert lines[1]["status"] == "verified in the source"
    assert lines[1]["published_by"]
    assert (lines[0]["status"], lines[0]["published_by"]) == ("measured", "")
    ours, theirs = as_markdown([table]).split("| published, not ranked |")
    assert theirs.count("\n") == count + 2
    assert "as quoted" not in ours
    write(mnist, tmp_path)
    assert run(["--results", str(tmp_path), "--json"]) == 0
    (data,) = json.loads(capsys.readouterr().out)["tables"]
    assert len(data["rows"]) == 1
    assert len(data["published"]) == count
    assert {row["status"] for row in data["published"]} == {"verified in the source", "as quoted"}
