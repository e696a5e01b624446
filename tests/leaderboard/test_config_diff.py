"""A run as it was shipped differs in nothing; whatever was changed is found, and nothing is imported for it."""

import inspect
import subprocess
import sys

import pytest
import yaml
from runs_on_disk import CONFIG, with_setting

from lightning_gen import models
from lightning_gen.configs import config_names
from lightning_gen.leaderboard.config_diff import MISSING, differences, read_settings, settings_of, shipped_settings
from lightning_gen.leaderboard.defaults import class_defaults


def diff(config, name="vae_digits"):
    return {key: (base, run) for key, base, run in differences(shipped_settings(name), settings_of(config))}


def test_a_run_as_shipped_differs_in_nothing():
    assert diff(CONFIG) == {}


@pytest.mark.parametrize(
    ("key", "value", "before"),
    [
        ("model.init_args.latent_dim", 32, "16"),
        ("model.init_args.free_bits", 0.5, "0.0"),  # the shipped file says nothing of it: the class's default
        ("model.init_args.adam_epsilon", 1e-4, "1.0e-08"),  # a base class's
        ("data.init_args.horizontal_flip", True, "false"),
        ("data.init_args.num_bits", 5, MISSING),
        ("model.init_args.encoder.init_args.hidden", [8], "[256, 256]"),
        ("model.init_args.likelihood.class_path", "Bernoulli", "DiscretizedLogistic"),
        ("seed_everything", 3, "0"),
        ("budget.images", 5, "100000"),
        ("ema.half_life_images", 1000, "0"),
        ("trainer.precision", "bf16-mixed", "32-true"),
        ("trainer.accumulate_grad_batches", 2, "1"),
        ("training_noise", "indexed", "step"),
        ("samples.seed", 7, "0"),
    ],
)
def test_a_change_anywhere_in_the_experiment_is_found(key, value, before):
    assert diff(with_setting(key, value)) == {key: (before, value if isinstance(value, str) else yaml_text(value))}


def yaml_text(value):
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


@pytest.mark.parametrize("key", ["data.init_args.root", "evaluation.every_images", "runs", "trainer.devices"])
def test_where_and_how_often_is_no_difference(key):
    assert diff(with_setting(key, 5)) == {}


def test_a_name_that_is_not_shipped_or_no_experiment_has_no_base():
    assert shipped_settings("nothing") is None
    assert shipped_settings("overlays/smoke") is None
    assert shipped_settings("sweeps/beta_vae_digits") is None


def test_every_shipped_configuration_can_be_a_base():
    for name, path in config_names().items():
        if "/" not in name:
            assert shipped_settings(name)["model.class_path"] == yaml.safe_load(path.read_text())["model"]["class_path"].rpartition(".")[2]


def test_defaults_read_from_the_source_are_those_of_the_classes():
    for name in ("VampPriorVAE", "DCGAN", "PixelCNNPP", "Glow", "BigGAN"):
        real, parts = {}, inspect.getmro(getattr(models, name))
        for part in reversed(parts):
            if "__init__" in vars(part) and part.__module__.startswith("lightning_gen."):
                parameters = inspect.signature(part.__init__).parameters.values()
                real |= {each.name: each.default for each in parameters if each.default is not each.empty}
        found = class_defaults(name)
        assert found
        assert found == {key: getattr(real[key], "plain", real[key]) for key in found}


@pytest.mark.parametrize("text", ["- 1\n", "a: [", "model: 3\n", "\xff", "trainer: [1]\n", "model: {init_args: &a {a: *a}}\n"])
def test_what_is_no_configuration_has_no_settings(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode("latin-1"))
    settings = read_settings(path)
    assert settings is None or "model.class_path" not in settings


def test_a_small_file_that_stands_for_more_than_fits_in_memory_is_left_alone(tmp_path):
    levels = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 12)]
    (tmp_path / "config.yaml").write_text("\n".join(["a0: &a0 [x]", *levels, "model: *a11"]))
    assert read_settings(tmp_path / "config.yaml") is None


def test_no_torch_is_imported_for_it():
    code = "import sys; from lightning_gen.leaderboard.config_diff import shipped_settings; shipped_settings('vae_digits'); "
    code += "import lightning_gen.leaderboard.page.build; sys.exit(bool({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
