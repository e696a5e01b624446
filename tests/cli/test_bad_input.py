"""Whatever is wrong with the input is one line that names the key, the value and what was expected; exit code 2, no traceback."""

import shutil

import numpy as np
import pytest
from cli_runs import SMOKE
from PIL import Image

from lightning_gen.cli.config_errors import explain


@pytest.fixture
def fit_refused(refused, tmp_path):
    """Options that ``fit --config vae_digits`` refuses, and the words of the complaint."""

    def run(options, *words, config="vae_digits"):
        outcome = refused(["fit", "--config", config, *SMOKE, "--runs", tmp_path / "runs", *options], *words)
        assert outcome.code == 2
        assert outcome.out == ""
        return outcome

    return run


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model.lerning_rate", "1"], ["model.lerning_rate", "did you mean 'learning_rate'?"]),
        (["--data", "PhotoPatches", "--data.image_size", "16"], ["data.image_size", "unknown option of PhotoPatches; expected one of"]),
        (
            ["--data", "MNIST", "--data.grey", "1"],
            ["one of batch_size, binarization, channels, horizontal_flip, image_size, num_bits, only_"],
        ),
        (["--trainer.max_epoch", "1"], ["--trainer.max_epoch", "did you mean '--trainer.max_epochs'?"]),
        (["--trainer.max", "1"], ["unknown option --trainer.max"]),
        (["--modle.x", "1"], ["--modle.x", "did you mean '--model.x'?"]),
        (["--budget.imges", "1"], ["--budget.imges", "did you mean '--budget.images'?"]),
        (["--data.batch_size", "x"], ["data.batch_size", "expected int", "'x'"]),
        (["--data.batch_size", "1.5"], ["data.batch_size", "expected int", "'1.5'"]),
        (["--data.batch_size", "-4"], ["data.batch_size", "at least 1", "-4"]),
        (["--data.batch_size", "4000"], ["data.batch_size", "at most", "997", "4000"]),
        (["--budget.images", "1e6x"], ["budget.images", "expected int", "'1e6x'"]),
        (["--budget.images", "1.5e0"], ["budget.images", "expected int", "1.5"]),
        (["--budget.images", "0"], ["budget.images", "at least 1", "0"]),
        (["--budget", "128"], ["error: budget: expected its options by their names (--budget.NAME VALUE), got '128'"]),
        (["--seed_everything", "-1"], ["seed_everything", "-1"]),
        (["--model", "VEA"], ["model", "'VEA'", "did you mean 'VAE'?"]),
        (["--data", "digit"], ["data", "'digit'", "did you mean 'Digits'?"]),
        (["--model", "no.such.Model"], ["model", "'no.such.Model'", "--trust no.such"]),
        (["--model.likelihood", "Gausian"], ["model.likelihood", "'Gausian'", "did you mean 'Gaussian'?"]),
        (["--model.likelihood", "Bernoulli"], ["model.likelihood", "Bernoulli", "4 bits", "data.binarization"]),
        (["--model.encoder", "{class_path: MLPEncoder, init_args: {hiden: 8}}"], ["model.encoder", "hiden"]),
        (["--model.encoder.hidden", "8"], ["model.encoder", "class_path", "one value"]),
        (["--model.kl_estimator", "exact"], ["model.kl_estimator", "closed_form, monte_carlo", "'exact'"]),
        (["--model.latent_dim", "0"], ["model.latent_dim", "at least 1", "0"]),
        (["--data.binarization", "dynamc"], ["data.binarization", "dynamic", "'dynamc'"]),
        (["--data.num_bits", "9"], ["data.num_bits", "1 to 8", "9"]),
        (["--final.split", "tset"], ["final.split", "train, validation, test", "'tset'"]),
        (["--final.num_samples", "-3"], ["final.num_samples", "at least 0", "-3"]),
        (["--final.num_samples", "1"], ["final.num_samples", "at least 2", "1"]),
        (["--final.likelihood_images", "0"], ["final.likelihood_images", "at least 1", "0"]),
        (["--final.standing_statistics", "2"], ["final.standing_statistics", "VAE has no BatchNorm layers"]),
        (["--final.standing_statistics", "2", "--final.num_samples", "0"], ["final.standing_statistics", "num_samples is 0", "got 2"]),
        (["--ema.half_life_images", "-1"], ["ema.half_life_images", "-1"]),
        (["--evaluation.every_images", "-1"], ["every_images", "-1"]),
        (["--trainer.accelerator", "tpuu"], ["trainer", "tpuu", "cpu"]),
        (["--trainer.devices", "0"], ["trainer", "devices 0"]),
        (["--trainer.precision", "16-mixd"], ["trainer.precision", "16-mixed", "'16-mixd'"]),
        (["--wandb", "maybe"], ["wandb", "auto, on, off", "'maybe'"]),
        (["--trust", "no_such_module"], ["--trust no_such_module", "cannot be imported"]),
        (["--trust", "missing.py"], ["--trust missing.py", "cannot be imported"]),
        (["--trust"], ["--trust", "expected one argument"]),
        (["--resume"], ["--resume", "expected one argument"]),
        (["--config"], ["--config", "got nothing"]),
        (["stray"], ["stray"]),
    ],
)
def test_a_bad_option_is_one_line(fit_refused, options, words):
    fit_refused(options, *words)


@pytest.mark.parametrize("value", ["0", "-1"])
def test_a_gan_needs_a_positive_number_of_critic_steps(fit_refused, value):
    fit_refused(["--model.n_critic", value], "model.n_critic", "at least 1", value, config="dcgan_digits")


def test_half_precision_with_one_scaler_for_two_losses_is_refused(fit_refused):
    fit_refused(["--trainer.precision", "16-mixed"], "trainer.precision", "16-mixed", "bf16-mixed", config="dcgan_digits")


@pytest.mark.parametrize(
    ("name", "near"), [("vae_digit", "did you mean 'vae_digits'?"), ("smok", "did you mean 'smoke'?"), ("qqq", "list configs")]
)
def test_a_missing_configuration_is_answered_with_the_nearest(refused, name, near):
    refused(["fit", "--config", name], f"--config {name}", near)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"model:\n  class_path: VAE\n init_args: 3\n", ["line 3", "not valid YAML"]),
        (b"data: {class_path: Digits\n", ["line 2", "not valid YAML"]),
        (b"modle: VAE\n", ["'modle'", "did you mean 'model'?"]),
        (b"budget: {imges: 3}\n", ["'budget.imges'", "did you mean 'budget.images'?"]),
        (b"trainer: {max_epoch: 3}\n", ["'trainer.max_epoch'", "did you mean 'trainer.max_epochs'?"]),
        (b"- a\n", ["got a list"]),
        (b"# nothing\n", ["got nothing"]),
        (b"\xff\xfe\x00", ["cannot be read"]),
        (b"trust: my_module\n", ["trust", "command line"]),
    ],
)
def test_a_bad_file_is_named(fit_refused, tmp_path, content, words):
    (tmp_path / "mine.yaml").write_bytes(content)
    fit_refused(["--config", tmp_path / "mine.yaml"], "mine.yaml", *words)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("data: {init_args: {batch_sizee: 3}}", ["data.batch_sizee", "did you mean 'batch_size'?"]),
        ("data: {init_args: {batch_size: x}}", ["data.batch_size", "expected int", "'x'"]),
        ("data: {class_path: Digits, batch_size: 3}", ["data", "under init_args"]),
        ("model: {init_args: {lerning_rate: 3}}", ["model.lerning_rate", "did you mean 'learning_rate'?"]),
        ("budget: 3", ["budget", "3"]),
        ("model: 3", ["model", "expected the name of a class"]),
        ("data: []", ["data", "expected the name of a class"]),
        ("budget: {images: many}", ["budget.images", "expected int", "'many'"]),
    ],
)
def test_a_bad_value_in_a_file_is_one_line(fit_refused, tmp_path, content, words):
    (tmp_path / "mine.yaml").write_text(content)
    fit_refused(["--config", tmp_path / "mine.yaml"], *words)


def test_no_configuration_at_all_is_answered_with_what_to_do(refused):
    refused(["fit"], "model", "data", "--config NAME")
    refused(["fit", "--model", "VAE", "--data", "Digits"], "data.batch_size", "required")


@pytest.fixture
def pictures(tmp_path):
    """A folder of 40 small PNG files, in order."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, image in enumerate(np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)):
        Image.fromarray(image).save(folder / f"{index:02d}.png")
    return folder


def folder_options(root):
    return ["--data", "ImageFolder", "--data.root", root, "--data.image_size=8", "--data.batch_size=16"]


def test_an_image_folder_that_is_missing_or_empty_is_named(fit_refused, tmp_path):
    fit_refused(folder_options(tmp_path / "nowhere"), "data.root", str(tmp_path / "nowhere"), "does not exist")
    (tmp_path / "empty").mkdir()
    fit_refused(folder_options(tmp_path / "empty"), "data.root", str(tmp_path / "empty"), "no images")


def test_a_truncated_picture_is_named_and_can_be_skipped(fit_refused, execute, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_GEN_DATA", str(tmp_path / "cache"))
    content = (pictures / "07.png").read_bytes()
    (pictures / "07.png").write_bytes(content[: len(content) // 2])
    fit_refused(folder_options(pictures), "07.png", "cannot be read", "data.on_error: skip")
    options = [*folder_options(pictures), "--data.on_error=skip", "--model.likelihood=Gaussian"]
    outcome = execute("fit", "--config", "vae_digits", *SMOKE, "--runs", tmp_path / "skipped", *options)
    assert outcome.code == 0, outcome.err
    assert "skipped 1 unreadable" in outcome.err or "07.png" in outcome.err


def test_a_data_set_that_cannot_be_downloaded_names_the_folder_to_fill(refused, tmp_path, monkeypatch):
    def no_network(*args, **kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    argv = ["fit", "--config", "vae_mnist", *SMOKE, "--runs", tmp_path / "runs", "--data.root", tmp_path / "empty"]
    refused(argv, "data.root", str(tmp_path / "empty"), "MNIST/raw/train-images-idx3-ubyte")


def test_a_run_folder_that_cannot_be_written_to_is_named(refused, tmp_path):
    (tmp_path / "file").touch()
    refused(["fit", "--config", "vae_digits", *SMOKE, "--runs", tmp_path / "file"], "run folder", str(tmp_path / "file"), "written")


def test_a_checkpoint_of_another_program_is_refused_for_a_warm_start(fit_refused, vae_run, tmp_path):
    shutil.copy(vae_run / "config.yaml", tmp_path / "foreign.ckpt")
    fit_refused(["--init_from", tmp_path / "foreign.ckpt"], "foreign.ckpt")


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("Parser key \"a.b\":\n  Expected a <class 'int'>. Got value: x\n", "a.b: expected int, got 'x'"),
        (
            'Parser key "a":\n  Does not validate against any of the Union subtypes\n  Subtypes: [int, None]\n  Errors:\n'
            "    - Expected a <class 'float'>\n    - Expected a <class 'NoneType'>\n  Given value type: <class 'str'>\n  Given value: y\n",
            "a: expected float, got 'y'",
        ),
        ("Parser key \"s\":\n  Expected a typing.Literal['u', 'v']. Got value: w", "s: expected one of u, v, got 'w'"),
        ("Something\n  - new\n  - and strange", "Something; new; and strange"),
    ],
)
def test_a_report_of_many_lines_becomes_one(message, line):
    assert explain(message, lambda path: [], lambda key: []) == line
