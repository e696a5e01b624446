"""``lightning-gen fit``: one YAML, any number of overlays and flags, one run folder that says it all."""

import csv
import sys

import pytest
import torch
import yaml
from cli_runs import QUIET, SMOKE, records, scores

from lightning_gen.checkpoint import load_model


def config_of(outcome):
    return yaml.safe_load((outcome.folder / "config.yaml").read_text())


def weights_of(outcome):
    return load_model(outcome.folder / "checkpoints" / "last.ckpt").state_dict()


def test_a_run_folder_holds_everything(vae_run):
    assert vae_run.parent.name == "vae_digits"
    for name in ("config.yaml", "metrics.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "pictures", "results"):
        assert (vae_run / name).exists(), name
    assert {path.name.partition("_")[0] for path in (vae_run / "pictures").glob("*.png")} == {
        "samples",
        "reconstructions",
        "explore",
        "score",
    }
    assert sorted(record["checkpoint"]["kind"] for record in records(vae_run)) == ["best", "last"]
    rows = list(csv.DictReader((vae_run / "metrics.csv").open()))
    assert {"progress/images", "train/loss", "eval/FD(digits-cnn)", "eval/bits/dim", "full/FD(digits-cnn)"} <= rows[0].keys()
    assert not list(vae_run.rglob("*partial*"))


def test_later_configurations_and_options_win(fit, tmp_path):
    (tmp_path / "mine.yaml").write_text("model: {init_args: {latent_dim: 5}}\nbudget: {images: 192}\n")
    first = fit("vae_digits", "--config", tmp_path / "mine.yaml", *QUIET)
    config = config_of(first)
    assert (config["model"]["init_args"]["latent_dim"], config["budget"]["images"]) == (5, 192)
    assert config["model"]["init_args"]["likelihood"]["class_path"] == "DiscretizedLogistic"
    second = fit("vae_digits", f"--config={tmp_path / 'mine.yaml'}", *QUIET, "--model.latent_dim=6", "--budget.images", "64")
    config = config_of(second)
    assert (config["model"]["init_args"]["latent_dim"], config["budget"]["images"]) == (6, 64)
    assert load_model(second.folder / "checkpoints" / "last.ckpt").latent_shapes == {"z": (6,)}


def test_short_class_names_and_specs_on_the_command_line(execute, tmp_path):
    encoder = "{class_path: ConvEncoder, init_args: {width: 8}}"
    base = ["fit", *SMOKE, *QUIET, "--runs", tmp_path, "--final.enabled=false"]
    outcome = execute(*base, "--model", "VAE", "--data", "Digits", "--model.likelihood", "Gaussian", "--model.encoder", encoder)
    assert outcome.code == 0
    assert outcome.folder.parent.name == "custom"
    model = load_model(outcome.folder / "checkpoints" / "last.ckpt")
    assert (type(model.encoder).__name__, type(model.likelihood).__name__) == ("ConvEncoder", "Gaussian")
    assert execute(*base, "--model", "DCGAN", "--data", "Digits").code == 0


def test_the_shape_bits_and_classes_come_from_the_data(vae_run):
    config = yaml.safe_load((vae_run / "config.yaml").read_text())
    assert not {"data_shape", "num_bits", "num_classes", "num_attributes"} & config["model"]["init_args"].keys()
    model = load_model(vae_run / "checkpoints" / "last.ckpt")
    assert (tuple(model.data_shape), model.num_bits, model.num_classes) == ((1, 8, 8), 4, 10)


@pytest.mark.parametrize("option", ["--model.data_shape=[1,2,3]", "--model.init_args.num_bits=3", "--data.seed=5"])
def test_what_follows_from_something_else_is_refused_as_an_option(refused, option):
    refused(["fit", "--config", "vae_digits", *SMOKE, option], option.partition("=")[0], "follows from")


@pytest.mark.parametrize("content", ["model: {init_args: {num_classes: 3}}", "data: {init_args: {seed: 3}}"])
def test_what_follows_from_something_else_is_refused_in_a_file(refused, tmp_path, content):
    (tmp_path / "mine.yaml").write_text(content)
    refused(["fit", "--config", "vae_digits", "--config", tmp_path / "mine.yaml"], "mine.yaml", "follows from")


def test_the_saved_configuration_reproduces_the_run_to_the_last_bit(fit, execute):
    first = fit("vae_digits", *QUIET, "--model.latent_dim", "7", "--seed_everything", "3", "--ema.half_life_images", "100")
    again = execute("fit", "--config", first.folder / "config.yaml")
    assert again.code == 0
    assert again.folder != first.folder
    assert again.folder.parent == first.folder.parent  # called as the first run was
    assert (again.folder / "config.yaml").read_bytes() == (first.folder / "config.yaml").read_bytes()
    before, after = weights_of(first), weights_of(again)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert scores(records(first.folder)[0]) == scores(records(again.folder)[0])


@pytest.mark.parametrize("config", ["vae_digits", "dcgan_digits"])
def test_a_conditional_model_trains_and_its_labels_matter(fit, config):
    outcome = fit(config, "--model.conditional", "true", *QUIET)
    model = load_model(outcome.folder / "checkpoints" / "last.ckpt")
    one, two = (model.sample(4, labels=torch.full((4,), label)) for label in (1, 2))
    assert not torch.equal(one, two)
    assert len(records(outcome.folder)) == 1


@pytest.mark.parametrize(
    ("model", "data", "scored"),
    [
        (["VAE"], ["ToyDensity", "--data.density=two_moons"], True),
        (["GAN"], ["ToyDensity", "--data.density=two_gaussians"], False),
        (["DCGAN", "--model.width=4"], ["PhotoPatches"], True),
    ],
)
def test_other_data_trains_and_what_has_no_measure_says_so(execute, tmp_path, model, data, scored):
    options = ["--runs", tmp_path, *SMOKE, *QUIET, "--budget.images=128", "--data.batch_size=64"]
    outcome = execute("fit", "--model", *model, "--data", *data, *options)
    assert outcome.code == 0
    assert load_model(outcome.folder / "checkpoints" / "last.ckpt").images_seen == 128
    assert bool(records(outcome.folder)) == scored
    assert ("no scores: " in outcome.err) != scored


def test_no_final_evaluation_writes_no_record(fit):
    outcome = fit("vae_digits", "--final.enabled", "false", *QUIET)
    assert records(outcome.folder) == []
    assert (outcome.folder / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("images", ["2e2", "2.0e+2", "0.2E3"])
def test_a_budget_may_be_written_with_an_exponent(fit, tmp_path, images):
    (tmp_path / "mine.yaml").write_text(f"budget: {{images: {images.replace('2.0e+2', '2e+2').replace('0.2E3', '2E2')}}}\n")
    for options in (["--budget.images", images], [f"--budget.images={images}"], ["--config", tmp_path / "mine.yaml"]):
        outcome = fit("vae_digits", *QUIET, "--final.enabled=false", *options)
        assert config_of(outcome)["budget"] == {"images": 200}
        assert load_model(outcome.folder / "checkpoints" / "last.ckpt").images_seen == 256


def test_a_small_number_may_be_written_with_an_exponent_without_a_point(fit, tmp_path):
    (tmp_path / "mine.yaml").write_text("model: {init_args: {learning_rate: 1e-4}}\n")
    outcome = fit("vae_digits", *QUIET, "--config", tmp_path / "mine.yaml", "--model.adam_epsilon=1e-3", "--final.enabled=false")
    arguments = config_of(outcome)["model"]["init_args"]
    assert (arguments["learning_rate"], arguments["adam_epsilon"]) == (1e-4, 1e-3)


def test_help_starts_with_one_line_of_usage_and_names_every_group(execute):
    outcome = execute("fit", "--help")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0].startswith("usage: lightning-gen fit --config NAME")
    assert lines[1] == ""
    for option in ("--model", "--data", "--budget.images", "--ema.half_life_images", "--final.split", "--resume", "--trust", "--wandb"):
        assert any(line.split()[:1] == [option] for line in lines), option


def test_the_printed_configuration_can_be_given_back(execute, tmp_path):
    printed = execute("fit", "--config", "vae_digits", *SMOKE, *QUIET, "--runs", tmp_path, "--budget.images=64", "--print_config")
    assert printed.code == 0
    assert yaml.safe_load(printed.out)["budget"] == {"images": 64}
    (tmp_path / "printed.yaml").write_text(printed.out)
    outcome = execute("fit", "--config", tmp_path / "printed.yaml")
    assert outcome.code == 0
    assert outcome.folder.parent == tmp_path / "printed"


def test_averages_of_a_network_without_parameters_are_no_trouble(fit):
    outcome = fit("vae_digits", "--ema.half_life_images=100", "--model.likelihood=DiscretizedLogistic", *QUIET)
    assert load_model(outcome.folder / "checkpoints" / "last.ckpt").ema is not None


@pytest.mark.parametrize(("setting", "explained"), [("auto", False), ("on", True), ("off", False)])
def test_a_missing_wandb_is_no_trouble_and_explained_to_who_asked(fit, monkeypatch, caplog, setting, explained):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for module in ("wandb", "wandb.sdk"):
        monkeypatch.setitem(sys.modules, module, None)
    outcome = fit("vae_digits", *QUIET, "--wandb", setting)
    assert ("W&B: left out" in caplog.text) == explained  # pytest takes the logging that would have gone to stderr
    assert (outcome.folder / "metrics.csv").is_file()


def test_no_compiler_is_one_line(refused, monkeypatch, tmp_path):
    torch._dynamo.reset()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "/no/such/compiler"))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    for name in ("cpp_compiler_search", "get_compiler_version_info"):
        getattr(__import__("torch._inductor.cpp_builder", fromlist=[name]), name).cache_clear()
    argv = ["fit", "--config", "vae_digits", *SMOKE, *QUIET, "--runs", tmp_path, "--compile", "true"]
    refused(argv, "compile: ", "expected compile: false")


@pytest.mark.slow
def test_compiled_networks_train_to_the_same_names(fit):
    torch._dynamo.reset()
    plain, compiled = (fit("vae_digits", *QUIET, "--compile", flag) for flag in ("false", "true"))
    before, after = weights_of(plain), weights_of(compiled)
    assert before.keys() == after.keys()
    assert all(torch.allclose(before[name], after[name], atol=1e-4) for name in before)
