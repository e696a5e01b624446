"""``lightning-gen score``: anybody's images, scored repeatably; a killed run goes on; whatever is wrong is one line."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
import torch
from cli_runs import execute_with
from PIL import Image

from lightning_gen.data import Digits
from lightning_gen.evaluation.samples import Samples, opened
from lightning_gen.metrics.extractors import Extractor


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def images(tmp_path):
    """200 real digits in a file, as guided-diffusion writes them."""
    data = Digits(batch_size=64)
    np.savez(tmp_path / "mine.npz", data.batch("train", range(200))[0].permute(0, 2, 3, 1).numpy())
    return tmp_path / "mine.npz"


@pytest.fixture
def score(execute):
    """The JSON of a run that succeeds."""

    def run(*arguments):
        outcome = execute("score", *arguments, "--json")
        assert outcome.code == 0, outcome.err
        return json.loads(outcome.out)

    return run


def values(found):
    return {score["name"]: score["value"] for score in found["scores"]}


def test_the_scores_are_on_stdout_and_the_warnings_on_stderr(execute, images):
    outcome = execute("score", images, "--reference", "Digits:test", "--claimed", "fd=3.17")
    assert outcome.code == 0
    first, distance, classifier, diversity, claim = outcome.out.splitlines()
    assert first == "200 images of mine.npz against digits (test)"
    assert distance.startswith("FD(digits-cnn) ")
    assert classifier.startswith("CS(digits-cnn) ")
    assert diversity.startswith("diversity(digits-cnn) ")
    assert claim.startswith("FD(digits-cnn): claimed 3.17, verified ")
    assert all(line.startswith("warning: ") for line in outcome.err.splitlines())
    assert "mine.npz: with 200 images of 32 features" in outcome.err


def test_the_output_is_the_same_text_again(execute, images):
    arguments = ("score", images, "--reference", "Digits:test", "--metrics", "fid,is,kid,prdc", "--dialect", "tf1,torchmetrics", "--json")
    one, two = (execute(*arguments) for _ in range(2))
    assert one.out == two.out
    names = {score["name"] for score in json.loads(one.out)["scores"]}
    assert {"FD(digits-cnn)", "KD(digits-cnn)[torchmetrics]", "coverage(digits-cnn)"} <= names


def test_both_dialects_are_one_word(execute, images):
    arguments = ("score", images, "--reference", "Digits:test", "--metrics", "kid", "--no_floor", "--json", "--dialect")
    one, two = (execute(*arguments, dialects) for dialects in ("both", "tf1,torchmetrics"))
    assert one.code == 0, one.err
    assert one.out == two.out
    assert {"KD(digits-cnn)", "KD(digits-cnn)[torchmetrics]"} == {score["name"] for score in json.loads(one.out)["scores"]}


def test_json_holds_all_there_is(score, images):
    found = score(images, "--reference", "Digits:test", "--metrics", "fid", "--claimed", "fd=1")
    assert found["num_samples"] == 200
    assert found["world_size"] == 1
    assert found["scores"][0]["protocol"]["num_samples"] == 200
    assert found["claims"][0]["claimed"] == 1
    assert found["warnings"]


def test_options_reach_the_scores(score, images, tmp_path):
    default = score(images, "--reference", "Digits:test", "--metrics", "fid")
    assert score(images, "--reference", "Digits:test", "--metrics", "fid", "--num_samples", "1e2")["num_samples"] == 100
    for options in (["--extractor", "mnist-cnn"], ["--num_samples", "100"]):
        assert values(score(images, "--reference", "Digits:test", "--metrics", "fid", *options)) != values(default)
    exact = score(images, "--reference", "Digits:test", "--metrics", "fid", "--exact", "--no_floor")
    assert values(exact) == pytest.approx(values(default), rel=1e-6)
    assert exact["scores"][0]["floor"] is None
    other = score(images, "--reference", "Digits", "--metrics", "fid")
    assert other["reference"] == "digits (train)"
    reference = score(images, "--reference", "Digits:test", "--metrics", "fid", "--arithmetic", "reference")
    assert values(reference) == pytest.approx(values(default), rel=1e-6)


def test_pictures_of_several_sizes_are_made_one_size(refused, score, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(20):
        pixels = np.random.default_rng(index).integers(0, 256, (8 + index % 2, 8), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02d}.png")
    arguments = [folder, "--reference", "Digits:test", "--metrics", "fid"]
    refused(["score", *arguments], "00.png has 8x8", "01.png has 8x9", "--image_size N")
    assert score(*arguments, "--image_size", "8")["scores"][0]["protocol"]["resized_samples"] == 8


def test_a_torchscript_generator_is_scored(score, refused, tmp_path):
    class Noise(torch.nn.Module):
        def forward(self, z):
            return (z.view(-1, 1, 8, 8).sigmoid() * 255).to(torch.uint8)

    file = tmp_path / "noise.pt"
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        torch.jit.trace(Noise(), torch.zeros(2, 64), check_trace=False).save(file)
    arguments = [file, "--reference", "Digits:test", "--metrics", "fid", "--latent_dim", "64"]
    one, other = (score(*arguments, "--num_samples", "70", "--seed", seed) for seed in (0, 1))
    assert values(one) != values(other)
    refused(["score", *arguments], "num_samples: a generator", "such as 50000")
    refused(["score", *arguments[:-2], "--num_samples", "70"], "latent_dim: noise.pt needs")


def test_a_run_is_scored_like_the_images_it_draws(score, execute, dcgan_run, tmp_path):
    options = ["--reference", "Digits:test", "--metrics", "fid", "--num_samples", "128", "--seed", "3"]
    found = score(dcgan_run, *options)
    assert execute("sample", dcgan_run, "--num_samples", "128", "--seed", "3", "--out", tmp_path / "drawn.npz").code == 0
    assert values(score(tmp_path / "drawn.npz", "--reference", "Digits:test", "--metrics", "fid")) == values(found)
    assert values(score(dcgan_run, *options, "--weights", "live")) != values(found)
    standing = score(dcgan_run, *options, "--standing_statistics", "2")
    assert standing["scores"][0]["protocol"]["standing_statistics"] == 2
    assert values(standing) != values(found)


def test_samples_of_other_weights_are_never_taken_for_those_of_a_killed_run(dcgan_run):
    keys = []
    for options in ({}, {"weights": "live"}, {"seed": 1}, {"standing_statistics": 1}):
        with opened(Samples(dcgan_run, num_samples=4, **options), torch.device("cpu")) as (stream, _):
            keys.append(stream.key)
    assert all(key not in keys[:index] for index, key in enumerate(keys))


NETWORK = """
    import os, pathlib, signal
    import torch

    def pixels(images):
        log = pathlib.Path(os.environ["THEIR_LOG"])
        with log.open("a") as file:
            file.write(f"{len(images)}\\n")
        if len(log.read_text().split()) == int(os.environ.get("THEIR_LAST", "-1")):
            os.kill(os.getpid(), signal.SIGKILL)
        return images.flatten(1).float()[:, ::8]
"""


def test_a_killed_run_goes_on_where_it_was_and_says_the_same(score, images, tmp_path, monkeypatch, forget):
    """Killed within the third block of the samples, after the seven of the reference: the rerun extracts what is missing."""
    (tmp_path / "their_net.py").write_text(textwrap.dedent(NETWORK))
    log = tmp_path / "log"
    monkeypatch.setenv("THEIR_LOG", str(log))
    arguments = [images, "--reference", "Digits:test", "--metrics", "fid", "--no_floor", "--extractor", f"{tmp_path}/their_net.py:pixels"]
    command = [sys.executable, "-m", "lightning_gen", "score", *map(str, arguments)]
    killed = subprocess.run(command, env={**os.environ, "THEIR_LAST": "11"}, capture_output=True, cwd=pathlib.Path(__file__).parents[2])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(log.read_text().split()) == 11
    # A call of 2 images finds the sizes of the network, 400 real images are 7 blocks, then two finished blocks and the killed one.
    log.unlink()
    resumed = score(*arguments)
    assert [*map(int, log.read_text().split())] == [2, 64, 8], "the third and the last block"
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", str(tmp_path / "another"))
    assert score(*arguments) == resumed


def test_what_was_finished_is_not_kept(score, images, cache):
    score(images, "--reference", "Digits:test", "--metrics", "fid")
    assert [path for path in (cache / "features").iterdir() if path.suffix != ".lock"] == []


def test_a_reference_is_extracted_once(score, images, monkeypatch):
    seen = []
    original = Extractor.__call__
    monkeypatch.setattr(Extractor, "__call__", lambda self, batch: seen.append(len(batch)) or original(self, batch))
    score(images, "--reference", "Digits:test", "--metrics", "fid")
    first = len(seen)
    score(images, "--reference", "Digits:test", "--metrics", "fid")
    assert len(seen) - first == 4, "the blocks of the samples"


@pytest.mark.slow
def test_two_processes_print_what_one_does(capfd, images):
    arguments = ["score", images, "--reference", "Digits:test", "--metrics", "fid,is,kid,prdc", "--json"]
    one, two = (execute_with(capfd, [*arguments, "--devices", devices]) for devices in (1, 2))
    assert two.code == 0, two.err
    assert json.loads(two.out) == {**json.loads(one.out), "world_size": 2}
    broken = execute_with(capfd, ["score", images, "--reference", "Digits:tset", "--devices", "2"])
    assert "did you mean 'test'?" in broken.complaint


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--reference", "Digts:test"], ["reference 'Digts:test'", "did you mean 'Digits'?"]),
        (["--reference", "Digits:tset"], ["unknown split 'tset'", "did you mean 'test'?"]),
        (["--reference", "stats.pkl"], ["stats.pkl", "a pickle can run any code"]),
        (["--reference", "mine.npy"], ["'mine.npy'", "neither a file"]),
        ([], ["reference: expected real images", "CIFAR10:test"]),
        (["--reference", "Digits", "--metrics", "fdi"], ["metrics: unknown metric 'fdi'", "did you mean"]),
        (["--reference", "Digits", "--metrics", "fid,"], ["metrics: unknown metric ''"]),
        (["--reference", "Digits", "--dialect", "tf"], ["dialect 'tf'", "did you mean 'tf1'?"]),
        (["--reference", "Digits", "--arithmetic", "quick"], ["--arithmetic", "'quick'", "'fast'"]),
        (["--reference", "Digits", "--extractor", "inception"], ["extractor 'inception'", "did you mean 'inception-v3"]),
        (["--reference", "Digits", "--extractor", "digits-cnn", "--layer", "64"], ["layer: extractor 'digits-cnn' takes none"]),
        (["--reference", "Digits", "--extractor", "digits-cnn", "--extractor_weights", "w.pt"], ["weights: extractor 'digits-cnn'"]),
        (["--reference", "Digits", "--num_samples", "201"], ["num_samples: expected 1 to 200", "mine.npz", "got 201"]),
        (["--reference", "Digits", "--num_samples", "0"], ["num_samples", "at least 1", "got 0"]),
        (["--reference", "Digits", "--num_samples", "some"], ["--num_samples", "'some'"]),
        (["--reference", "Digits", "--seed", "1"], ["seed: applies to a generator only", "got 1"]),
        (["--reference", "Digits", "--latent_dim", "1"], ["latent_dim: applies to a TorchScript file only"]),
        (["--reference", "Digits", "--image_size", "4"], ["image_size: applies to a folder"]),
        (["--reference", "Digits", "--weights", "live"], ["weights: applies to a run"]),
        (["--reference", "Digits", "--claimed", "fid:3"], ["--claimed 'fid:3'", "such as fid=3.17"]),
        (["--reference", "Digits", "--claimed", "fdi=3"], ["--claimed fdi: unknown score"]),
        (["--reference", "Digits", "--claimed", "fid=3"], ["--claimed fid", "Inception", "fd=..."]),
        (["--reference", "Digits", "--devices", "0"], ["--devices: expected 1 to", "got 0"]),
        (["--refrence", "Digits"], ["unknown option --refrence", "did you mean '--reference'?"]),
        (["--reference"], ["--reference", "expected one argument"]),
        (["--reference", "Digits", "--trust", "no_such_module"], ["--trust no_such_module"]),
        (["another.npz", "--reference", "Digits"], ["another.npz"]),
    ],
)
def test_a_bad_option_is_one_line(refused, images, options, words):
    outcome = refused(["score", images, *options], *words)
    assert outcome.out == ""
    assert outcome.code == 2


def test_a_bad_source_is_one_line(refused, tmp_path, images, vae_run):
    options = ("--reference", "Digits:test")
    refused(["score", tmp_path / "mien.npz", *options], "mien.npz: no such file or folder; did you mean 'mine.npz'?")
    np.savez(tmp_path / "floats.npz", np.zeros((4, 8, 8, 1), np.float32))
    refused(["score", tmp_path / "floats.npz", *options], "floats.npz: expected uint8", "float32 from 0 to 0")
    (tmp_path / "empty").mkdir()
    refused(["score", tmp_path / "empty", *options], "empty: no images")
    refused(["score", vae_run, *options], "num_samples: a model", "got none")
    refused(["score", tmp_path / "no.ckpt", *options, "--num_samples", "4"], "no.ckpt", "neither a checkpoint file nor a run folder")
    refused(["score", vae_run, *options, "--num_samples", "4", "--standing_statistics", "1"], "standing_statistics: VAE has no BatchNorm")
    refused(["score"], "IMAGES")


def test_a_number_that_these_images_cannot_have_is_one_line(refused, images, tmp_path):
    np.savez(tmp_path / "few.npz", np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8))
    refused(["score", tmp_path / "few.npz", "--reference", "Digits:test", "--metrics", "fd_infinity"], "fd_infinity needs")
    refused(["score", images, "--reference", "Digits:test", "--metrics", "per_class"], "per_class needs class labels")
