"""The record of an analysis appears whole beside the result records, and the leaderboard does not take it for one."""

import json

import pytest

from lightning_gen.analysis.report import make_report, question_hash, write_report
from lightning_gen.checkpoint import sha256
from lightning_gen.errors import UserError
from lightning_gen.leaderboard.store import load_results
from lightning_gen.models import VAE


@pytest.fixture
def checkpoint(save, tmp_path):
    """A checkpoint file in the folder of a run."""
    (tmp_path / "checkpoints").mkdir()
    save(VAE([1, 8, 8], num_bits=4, latent_dim=2), "checkpoints/best.ckpt")
    return tmp_path / "checkpoints" / "best.ckpt"


def report_of(checkpoint, value):
    model = VAE([1, 8, 8], num_bits=4, latent_dim=2)
    return make_report("probe", checkpoint, model, "ema", {"dataset": "digits", "split": "test"}, {"encoder": {"nearest": value}})


def test_a_report_says_of_which_weights_it_is(checkpoint):
    report = report_of(checkpoint, 0.5)
    assert report["checkpoint"] == {"path": "checkpoints/best.ckpt", "sha256": sha256(checkpoint), "kind": "best"}
    assert report["weights"] == "live"  # the model has no averaged ones
    assert report["model"] == "lightning_gen.models.autoencoders.vae.VAE"


def test_a_report_replaces_the_earlier_one_and_leaves_nothing_else(checkpoint, tmp_path):
    for value in (0.5, 0.75):
        path = write_report(report_of(checkpoint, value), checkpoint, "probe")
    digest = question_hash(report_of(checkpoint, value))
    assert path == tmp_path / "results" / f"probe-{digest}-best.json"
    assert json.loads(path.read_text())["results"]["encoder"]["nearest"] == 0.75
    assert [*path.parent.iterdir()] == [path]


def test_the_leaderboard_does_not_read_it(checkpoint, tmp_path):
    write_report(report_of(checkpoint, 0.5), checkpoint, "probe")
    assert load_results([tmp_path]) == ([], [])


def test_a_folder_that_cannot_be_written_to_is_one_line(checkpoint, tmp_path):
    (tmp_path / "results").touch()
    with pytest.raises(UserError, match=r"probe-\w{8}-best.json: cannot be written"):
        write_report(report_of(checkpoint, 0.5), checkpoint, "probe")


def test_reports_of_other_protocols_or_weights_stand_beside_each_other(checkpoint, tmp_path):
    report = report_of(checkpoint, 0.5)
    others = [report, report | {"protocol": report["protocol"] | {"seed": 77}}, report | {"weights": "other"}]
    assert len({write_report(other, checkpoint, "probe") for other in others}) == 3
