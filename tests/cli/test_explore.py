"""``lightning-gen explore``: a picture and its numbers for everything that a model is capable of."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lightning_gen.analysis.kinds import KINDS
from lightning_gen.checkpoint import find_checkpoint, sha256

IMPOSSIBLE = ["manifold", "density", "path", "completion", "code_traversal"]
OF_A_VAE = {*KINDS} - {*IMPOSSIBLE}


@pytest.fixture
def explore(execute, tmp_path):
    """Explore into a folder of the test; returns the outcome."""

    def run(checkpoint, *options):
        outcome = execute("explore", checkpoint, "--out", tmp_path / "out", *options)
        assert outcome.code == 0, outcome.err
        return outcome

    return run


def read(folder, kind):
    """The picture, and the numbers."""
    (picture,) = folder.glob(f"explore-{kind}-*.png")
    return np.asarray(Image.open(picture)), json.loads(picture.with_suffix(".json").read_text())


def test_a_vae_is_explored_by_every_kind_that_is_possible(explore, vae_run, tmp_path):
    lines = explore(vae_run).out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [*IMPOSSIBLE, *(kind for kind in KINDS if kind in OF_A_VAE)]
    assert "16 latent dimensions" in lines[0]
    for kind in OF_A_VAE:
        picture, numbers = read(tmp_path / "out", kind)
        assert picture.shape[2] == 3
        assert numbers["model"] == "VAE"
        assert numbers["split"] == numbers["protocol"]["split"] == "test"
        assert numbers["checkpoint"]["sha256"] == sha256(find_checkpoint(vae_run))
    assert len([*(tmp_path / "out").iterdir()]) == 2 * len(OF_A_VAE)
    protocol = read(tmp_path / "out", "holes")[1]["scores_protocol"]
    assert {"dataset", "extractor", "dialect", "weights_sha256"} <= protocol.keys()
    assert read(tmp_path / "out", "holes")[1]["scores"].keys() == {"FD(digits-cnn) to digits (test)", "FD(digits-cnn) to reconstructions"}


def test_the_same_command_finds_the_same(explore, vae_run, tmp_path):
    found = []
    for _ in range(2):
        explore(vae_run, "--kind", "holes,interpolation", "--seed", 3)
        found.append([read(tmp_path / "out", kind) for kind in ("holes", "interpolation")])
    for (picture, numbers), (other_picture, other_numbers) in zip(*found, strict=True):
        assert np.array_equal(picture, other_picture)
        assert numbers == other_numbers


def test_pictures_belong_to_the_run(execute, vae_copy):
    outcome = execute("explore", vae_copy, "--kind", "reconstruction")
    assert outcome.code == 0
    assert (vae_copy / "pictures" / "explore-reconstruction-best.png").is_file()
    assert str(vae_copy) in outcome.out


def test_a_conditional_gan_is_explored_by_its_samples(explore, dcgan_run, tmp_path):
    explore(dcgan_run, "--kind", "traversal,interpolation,arithmetic", "--samples", "0,10:1,11:2", "--steps", 3, "--num_images", 4)
    assert read(tmp_path / "out", "arithmetic")[1]["sizes"] == [2, 2, 1]
    assert read(tmp_path / "out", "interpolation")[1]["samples"] == [[0, 10], [1, 11], [2, 12], [3, 13]]
    assert len(read(tmp_path / "out", "traversal")[1]["dimensions"]) == 4


def test_averaged_and_live_weights_look_different(explore, dcgan_run, tmp_path):
    pictures = []
    for weights in ("ema", "live"):
        explore(dcgan_run, "--kind", "interpolation", "--weights", weights)
        picture, numbers = read(tmp_path / "out", "interpolation")
        assert numbers["weights"] == weights
        pictures.append(picture)
    assert not np.array_equal(*pictures)


def test_pictures_go_to_the_runs_wandb_run(execute, vae_copy, monkeypatch):
    pytest.importorskip("wandb.sdk")
    monkeypatch.setenv("WANDB_MODE", "offline")
    first = execute("explore", vae_copy, "--kind", "reconstruction")
    assert first.code == 0
    assert not (vae_copy / "wandb").exists()  # auto: the run has none
    assert execute("explore", vae_copy, "--kind", "reconstruction", "--wandb", "on").code == 0
    identity = (vae_copy / "wandb_run_id").read_text()
    shutil.rmtree(vae_copy / "wandb")
    assert execute("explore", vae_copy, "--kind", "reconstruction").code == 0
    assert [*(vae_copy / "wandb").glob(f"offline-run-*-{identity}")]
    assert (vae_copy / "wandb_run_id").read_text() == identity


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kind", "manifold"], ["--kind manifold", "16 latent dimensions"]),
        (["--kind", "travesal"], ["--kind", "'travesal'", "traversal"]),
        (["--kind", ""], ["--kind", "''"]),
        (["--kind", "scatter", "--steps", "3"], ["steps", "scatter", "traversal, manifold, interpolation"]),
        (["--steps", "4"], ["steps", "odd", "got 4"]),
        (["--num_images", "0"], ["num_images", "at least 1", "got 0"]),
        (["--images", "1,x"], ["--images", "'1,x'"]),
        (["--images", "400,1"], ["images", "0 to 399", "got 400"]),
        (["--labels", "1,2"], ["labels", "three groups", "got 2"]),
        (["--labels", "1,2,3", "--samples", "1:2:3"], ["--samples", "got both"]),
        (["--images", "1,2,3"], ["images", "two by two", "got 3"]),
        (["--labels", "1,2,77"], ["labels", "0 to 9", "'77'"]),
        (["--samples", "1:2"], ["samples", "three groups", "got 2"]),
        (["--seed", "-1"], ["--seed", "at least 0", "got -1"]),
        (["--kind", "posterior", "--num_images", "1"], ["--kind posterior", "got 1"]),
        (["--kind", "interpolation", "--images", "1,2", "--num_images", "4"], ["--kind interpolation", "got both"]),
        (["--split", "tests"], ["--split", "'tests'"]),
    ],
)
def test_a_bad_option_is_one_line(refused, vae_run, tmp_path, options, words):
    refused(["explore", vae_run, "--out", tmp_path / "out", *options], *words)
    assert not [*tmp_path.glob("out/*")]


def test_a_gan_has_no_encoder_to_explore(refused, dcgan_run, tmp_path):
    for kind in ("scatter", "holes", "arithmetic"):
        refused(["explore", dcgan_run, "--out", tmp_path, "--kind", kind], f"--kind {kind}", "DCGAN has no encoder")
    refused(["explore", dcgan_run, "--out", tmp_path, "--kind", "reconstruction"], "DCGAN does not reconstruct")


def test_an_option_whose_only_takers_are_impossible_is_refused(refused, dcgan_run, tmp_path):
    outcome = refused(["explore", dcgan_run, "--out", tmp_path, "--labels", "3,5,8"], "--labels", "arithmetic: DCGAN has no encoder")
    assert outcome.out == ""


def test_runs_share_a_folder(explore, vae_run, dcgan_run, tmp_path):
    for run in (vae_run, dcgan_run):
        explore(run, "--kind", "interpolation")
    names = {f"explore-interpolation-{run.parent.name}-{run.name}-best.png" for run in (vae_run, dcgan_run)}
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == names


def test_an_output_that_cannot_be_written_is_one_line(refused, vae_run, tmp_path):
    (tmp_path / "file").touch()
    refused(["explore", vae_run, "--out", tmp_path / "file" / "folder"], "cannot be written")


def test_options_are_read_before_torch_is_loaded():
    command = "import sys; from lightning_gen.cli import main\ntry:\n    main(['explore', '--help'])\nexcept SystemExit:\n"
    code = command + "    print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
