"""``debug``: a run that blew up is replayed, nothing of it is changed, and it can still be resumed."""

import json

import pytest
import torch
from cli_runs import QUIET

from lightning_gen.models import RealNVP

TINY = (
    *("--config", "real_nvp_digits", "--wandb=off", "--final.enabled=false", "--trainer.enable_progress_bar=false", *QUIET),
    *("--model.width=4", "--model.num_blocks=1", "--model.num_scales=1", "--data.batch_size=64", "--budget.images=640"),
)


@pytest.fixture
def spoiled(monkeypatch):
    """From the fourth batch on, a scale of the flow leaves float32."""
    original = RealNVP.training_step

    def training_step(self, batch, batch_idx):
        if self.batches_seen == 4:
            coupling = self.bijection.bijections[1].bijections[2]
            with torch.no_grad():
                coupling.transform.gain.fill_(100.0)
                [weight for name, weight in coupling.network.named_parameters() if name.endswith("bias")][-1].fill_(20.0)
        return original(self, batch, batch_idx)

    monkeypatch.setattr(RealNVP, "training_step", training_step)
    return monkeypatch


@pytest.fixture
def blown_run(spoiled, execute, tmp_path):
    """A run that blew up after a checkpoint, and how it ended."""
    outcome = execute("fit", *TINY, "--checkpoints.every_images=128", "--runs", tmp_path / "runs")
    spoiled.undo()
    return outcome


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_that_blew_up_is_replayed_and_can_be_resumed(blown_run, execute, refused):
    run = blown_run.folder
    assert blown_run.code == 3
    assert "in bijection 'bijection.bijections.1.bijections.2' (Coupling) at its 'transform' with " in blown_run.complaint
    assert blown_run.complaint.endswith(f"last good checkpoint: {run}/checkpoints/last.ckpt; replay it with: lightning-gen debug {run}")
    before = content(run)

    shown = execute("debug", run)
    assert shown.code == 0, shown.err
    verdict = "float64 is finite: the float32 overflow is in bijection 'bijection.bijections.1.bijections.2' (Coupling) at its 'transform'"
    assert verdict in shown.out
    (row,) = (line.split() for line in shown.out.splitlines() if line.startswith("bijection.bijections.1.bijections.2 "))
    assert (row[1], row[5:]) == ("Coupling", ["100", "not", "finite", "finite"])

    report = json.loads(execute("debug", run, "--json").out)
    (found,) = report["replays"]
    assert (report["batches_seen"], report["images_seen"], report["num_images"], report["later_steps"]) == (4, 256, 64, 0)
    assert (found["weights"], found["images_seen"]) == ("failed", 256)
    assert found["verdict"].startswith(verdict)
    finite = {kind: {layer["name"]: layer["finite"] for layer in found[kind]["layers"]} for kind in ("float32", "float64")}
    assert (finite["float32"]["bijection.bijections.1.bijections.2"], finite["float64"]["bijection.bijections.1.bijections.2"]) == (
        False,
        True,
    )

    good = execute("debug", run / "debug" / "nonfinite.pt", "--weights", "checkpoint")
    assert "the last good checkpoint, 128 images seen" in good.out
    assert "float32 is finite here" in good.out
    assert content(run) == before

    assert execute("fit", "--resume", run, "--trainer.enable_progress_bar=false").code == 0
    (run / "checkpoints" / "last.ckpt").unlink()
    refused(["debug", run, "--weights", "checkpoint"], "--weights checkpoint", "no checkpoint from before the failure")


def test_weights_that_are_lost_bring_the_last_good_checkpoint_beside_them(blown_run, execute):
    file = blown_run.folder / "debug" / "nonfinite.pt"
    saved = torch.load(file, weights_only=True)
    saved["state_dict"]["bijection.bijections.1.bijections.1.shift"].fill_(torch.nan)
    torch.save(saved, file)
    shown = execute("debug", blown_run.folder)
    assert "weights are already non-finite: 'bijection.bijections.1.bijections.1.shift'" in shown.out
    assert "the last good checkpoint, 128 images seen" in shown.out
    assert len(json.loads(execute("debug", blown_run.folder, "--json").out)["replays"]) == 2
    assert len(json.loads(execute("debug", blown_run.folder, "--json", "--weights", "failed").out)["replays"]) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ("no debug/nonfinite.pt", "expected a run that has met NaN or infinity")),
        (["--weights", "best"], ("--weights", "best")),
        (["--weight", "failed"], ("unknown option --weight", "--weights")),
        (["--trust", "no_such_module"], ("--trust no_such_module",)),
    ],
)
def test_bad_input_is_one_line(refused, vae_run, options, words):
    refused(["debug", vae_run, *options], *words)


def test_a_missing_run_and_a_damaged_file_are_one_line(refused, tmp_path):
    refused(["debug", tmp_path / "missing"], "no such run folder")
    refused(["debug"], "RUN")
    (tmp_path / "debug").mkdir()
    (tmp_path / "debug" / "nonfinite.pt").write_bytes(b"damaged")
    refused(["debug", tmp_path], "nonfinite.pt", "its format is foreign")
