"""``lightning-gen fit_latents``: a new run of an autoencoder's decoder and a density, which the other commands take as any run."""

import shutil

import pytest
import yaml
from cli_runs import QUIET, SMOKE, execute_with, records, scores, train

from lightning_gen.checkpoint import load_model


@pytest.fixture(scope="module")
def autoencoder_run(tmp_path_factory):
    """A finished run of a second; read only."""
    folder = tmp_path_factory.mktemp("runs")
    return train(folder, "--config", "autoencoder_digits", *SMOKE, *QUIET, "--final.enabled=false")


def fit(capsys, run, *options):
    outcome = execute_with(capsys, ["fit_latents", run, *options])
    assert outcome.code == 0, outcome.err
    line = next(line for line in outcome.out.splitlines() if line.startswith("run folder: "))
    return type(run)(line.removeprefix("run folder: "))


def test_the_new_run_is_sampled_evaluated_and_ranked(autoencoder_run, capsys, tmp_path, execute, refused):
    run = shutil.copytree(autoencoder_run, tmp_path / "runs" / "autoencoder_digits" / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    new = fit(capsys, run, "--density", "mixture", "--components", "3")
    assert new.parent == tmp_path / "runs" / "autoencoder_digits_mixture"
    assert execute("sample", new, "--num_samples", "4", "--out", tmp_path / "samples.png").code == 0
    assert execute("evaluate", new, "--num_samples", "8", "--likelihood_images", "8").code == 0
    fitted_to = yaml.safe_load((new / "config.yaml").read_text())["fitted_to"]
    assert fitted_to.items() >= {"density": "mixture", "seed": 0, "images": 997}.items()
    refused(["fit_latents", new], "LatentDensityModel has a density of its codes already")
    (record,) = records(new)
    assert {*scores(record)} == {"FD(digits-cnn)", "CS(digits-cnn)", "diversity(digits-cnn)", "reconstruction MSE"}
    assert record["model"]["name"] == "LatentDensityModel"
    assert record["answer"]["sample_options"]["latent_density"].startswith("mixture of 3 normals, full covariance, fitted to")
    assert record["run_name"].startswith("autoencoder_digits_mixture/")
    assert record["cost"]["images_seen"] == 256
    assert "LatentDensityModel" in execute("leaderboard", "--results", tmp_path / "runs").out
    assert {path: path.read_bytes() for path in before} == before


def test_the_checkpoint_needs_neither_its_folder_nor_the_run_that_it_came_from(autoencoder_run, capsys, tmp_path):
    new = fit(capsys, autoencoder_run, "--runs", str(tmp_path / "elsewhere"), "--images", "100")
    file = shutil.move(new / "checkpoints" / "last.ckpt", tmp_path / "alone.ckpt")
    model = load_model(file)
    assert model.sample(3).shape == (3, 1, 8, 8)
    assert model.answer_options()["latent_density"] == "normal, full covariance, fitted to the codes of 100 training images"


def test_one_seed_fits_the_same_mixture(autoencoder_run, capsys, tmp_path):
    options = ("--density=mixture", "--components=4", "--runs", str(tmp_path))
    one, same, other = (load_model(fit(capsys, autoencoder_run, *options, f"--seed={s}") / "checkpoints" / "last.ckpt") for s in (0, 0, 1))
    assert one.means.tolist() == same.means.tolist()
    assert one.means.tolist() != other.means.tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--density", "kde"], ["--density", "'kde'"]),
        (["--components", "3"], ["--components: applies to --density mixture only", "got 3"]),
        (["--density=mixture", "--components", "0"], ["--components: expected at least 1, got 0"]),
        (["--density=mixture", "--components", "200", "--images", "150"], ["components", "150 images", "got 200"]),
        (["--images", "1"], ["--images: expected 2 to 997", "got 1"]),
        (["--images", "2000"], ["--images: expected 2 to 997", "got 2000"]),
        (["--seed", "-1"], ["--seed: expected at least 0, got -1"]),
        (["--component", "3"], ["unknown option --component", "'--components'"]),
    ],
)
def test_a_bad_option_is_one_line(refused, autoencoder_run, tmp_path, options, words):
    refused(["fit_latents", autoencoder_run, "--runs", tmp_path / "runs", *options], *words)
    assert not (tmp_path / "runs").exists()


def test_what_has_no_codes_is_one_line(refused, dcgan_run, tmp_path):
    refused(["fit_latents", dcgan_run, "--runs", tmp_path / "runs"], "DCGAN has no latent vectors")
    refused(["fit_latents", tmp_path], "neither a checkpoint file nor a run folder")


def test_a_folder_that_cannot_be_written_to_is_one_line(refused, autoencoder_run, tmp_path):
    (tmp_path / "file").touch()
    refused(["fit_latents", autoencoder_run, "--runs", tmp_path / "file"], "cannot be written to")


def test_an_autoencoder_without_a_density_cannot_be_sampled(refused, autoencoder_run):
    refused(["sample", autoencoder_run], "Autoencoder cannot sample", "fit_latents")
