"""The short calls do what the commands do."""

import json

import numpy as np
import pytest
import torch
from wandb_file import sessions

import lightning_gen as lg
from lightning_gen.callbacks.run_folder import CONFIG_FILE
from lightning_gen.cli import main
from lightning_gen.configs import find_config
from lightning_gen.errors import NonFiniteLossError, UserError
from lightning_gen.models import VAE

SMOKE = ["vae_digits", "overlays/smoke"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training by the call."""
    return lg.train(SMOKE, runs=str(tmp_path_factory.mktemp("runs")), wandb="off", **{"model.latent_dim": 5})


def test_training_leaves_a_run_with_its_options_records_and_model(trained):
    assert (trained.folder / CONFIG_FILE).is_file()
    assert trained.model.hparams.latent_dim == 5
    assert {record.checkpoint.kind for record in trained.records} >= {"last"}
    name = next(score.name for score in trained.records[-1].scores)
    assert trained.value(name) is not None
    assert trained.value("no such score") is None


def test_the_command_and_the_call_train_the_same_model(trained, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", SMOKE[0], "--config", SMOKE[1], "--runs", str(tmp_path), "--wandb", "off", "--model.latent_dim", "5"])
    assert stop.value.code == 0, capsys.readouterr().err
    (run,) = (tmp_path / SMOKE[0]).iterdir()
    assert torch.equal(lg.load(run, "last").sample(4, seed=1), lg.load(trained.folder, "last").sample(4, seed=1))


def test_evaluating_a_folder_and_its_model_is_one_thing_and_equals_the_record(trained):
    options = {"num_samples": 0, "likelihood_images": 50}
    by_folder, by_model = lg.evaluate(trained.folder, **options), lg.evaluate(lg.load(trained.folder), **options)
    assert by_folder.scores == by_model.scores
    assert by_folder.value("bits/dim") == pytest.approx(float(by_folder.log_probs.mean()) / -64 / torch.log(torch.tensor(2.0)).item())


def test_a_trainer_can_be_built_and_trained_by_hand(tmp_path):
    experiment = lg.build_trainer(SMOKE, runs=str(tmp_path), wandb="off", budget={"images": 128})
    experiment.trainer.fit(experiment.model, datamodule=experiment.datamodule)
    assert experiment.model.images_seen == 128


def test_a_run_is_continued_in_its_folder_and_refuses_what_contradicts_it(trained, tmp_path):
    shorter = lg.train(SMOKE, runs=str(tmp_path), wandb="off", budget={"images": 64}, **{"model.latent_dim": 5})
    continued = lg.resume(shorter.folder, budget={"images": 256})
    assert continued.folder == shorter.folder
    assert torch.equal(lg.load(continued.folder, "last").sample(4, seed=1), lg.load(trained.folder, "last").sample(4, seed=1))
    with pytest.raises(UserError, match=r"latent_dim is 5 in the run and 6 now"):
        lg.resume(shorter.folder, **{"model.latent_dim": 6})


def test_an_exported_run_is_loaded_by_its_folder(trained, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["export", str(trained.folder), "--out", str(tmp_path / "vae")])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "vae")
    assert torch.equal(lg.load(tmp_path / "vae").sample(3, seed=4), trained.model.sample(3, seed=4))
    assert json.loads((tmp_path / "vae" / "model.json").read_text())["model"]["class_path"].endswith("VAE")


def test_what_a_resumed_run_cannot_have_is_refused(trained):
    with pytest.raises(UserError, match=r"^init_from: no option of this call"):
        lg.resume(trained.folder, init_from=trained.folder)


def test_paths_and_numbers_of_numpy_are_options_too(tmp_path):
    (tmp_path / "mine.yaml").write_text(find_config("vae_digits").read_text())
    config = [tmp_path / "mine.yaml", "overlays/smoke"]
    experiment = lg.build_trainer(config, runs=tmp_path / "runs", budget={"images": np.int64(64)}, model={"learning_rate": np.float32(0.5)})
    assert experiment.folder.parent == tmp_path / "runs" / "mine"
    assert (experiment.config["budget"]["images"], experiment.model.hparams.learning_rate) == (64, 0.5)


def test_a_model_is_scored_without_a_look_at_files_that_happen_to_lie_here(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / CONFIG_FILE).write_text("- damaged")
    assert lg.evaluate(trained.model, num_samples=0, likelihood_images=10).value("bits/dim") is not None


def test_a_model_of_no_data_says_so():
    with pytest.raises(UserError, match=r"^model \(without data=...\): does not say what it was trained on"):
        lg.evaluate(VAE([1, 8, 8], latent_dim=2))


def test_samples_of_weights_that_there_are_not_are_refused():
    with pytest.raises(UserError, match=r"^weights: unknown value 'emma'; did you mean 'ema'\?"):
        VAE([1, 8, 8], latent_dim=2).sample(1, weights="emma")


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: lg.train("vae_digit"), r"--config vae_digit: neither a file nor a shipped configuration; did you mean 'vae_digits'\?"),
        (lambda: lg.load("nowhere"), "'nowhere': neither a checkpoint file nor a run folder"),
        (lambda: lg.resume("nowhere"), r"run nowhere: not a run folder \(it has no config.yaml\)"),
        (lambda: lg.load("nowhere", "first"), "which: unknown value 'first'"),
        (lambda: lg.evaluate("nowhere", num_sample=3), r"evaluate: unknown option 'num_sample'; did you mean 'num_samples'\?"),
        (lambda: lg.evaluate("nowhere", metrics="fid"), r"metrics: expected a list of names, such as \['fid'\], got 'fid'"),
        (lambda: lg.evaluate("nowhere", device="gpu"), "device: 'gpu' cannot be used on this machine"),
        (lambda: lg.evaluate("nowhere", data="Digits"), "data: expected a data module, .* got a str"),
        (lambda: lg.export("nowhere", "out", which="first"), "which: unknown value 'first'"),
        (lambda: lg.export("nowhere", "out", weights="emma"), r"weights: unknown value 'emma'; did you mean 'ema'\?"),
        (lambda: lg.load("nowhere", trust="my_modules"), "--trust my_modules: cannot be imported"),
        (lambda: lg.train({"model": "VAE"}), "config: expected the name or file of a configuration, or a list of them, got a dict"),
        (lambda: lg.train(SMOKE, model=torch.nn.Identity()), "model: expected plain data .*, got a Identity"),
        (lambda: lg.train(SMOKE, resume="nowhere"), r"resume: no option of this call; expected resume\(RUN\)"),
        (lambda: lg.build_trainer(SMOKE, init_from="nowhere"), "init_from: no option of this call; expected train"),
        (lambda: lg.resume("nowhere", config="vae_digits"), "run nowhere: not a run folder"),
    ],
)
def test_mistakes_are_one_line(call, line):
    with pytest.raises(UserError, match=f"^{line}"):
        call()


def test_a_training_that_failed_leaves_no_tracker_that_the_next_one_would_write_to(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(NonFiniteLossError):
        lg.train(SMOKE, runs=tmp_path, wandb="on", model={"learning_rate": 1e30}, budget={"images": 512})
    assert wandb.run is None
    (folder,) = tmp_path.glob("vae_digits/*")
    assert sessions(folder)[0][-1].exit.exit_code == NonFiniteLossError.exit_code
