"""A user's own model and data go the whole way: trained, saved, scored, sampled, resumed and ranked; untrusted ones run nothing."""

import itertools
import sys

import numpy as np
import pytest
from cli_runs import QUIET, SMOKE, records

PLUGIN = '''
import sys

import numpy as np

from lightning_gen.data.base import ImageDataModule
from lightning_gen.models.autoencoders.vae import VAE

sys.their_code_ran = True


class TheirVAE(VAE):
    """A VAE with one more argument."""

    def __init__(self, data_shape: list[int], beta: float = 1.0, **kwargs):
        super().__init__(data_shape, **kwargs)
        self.beta = beta

    def negative_elbo(self, images, labels, noise):
        terms = super().negative_elbo(images, labels, noise)
        return {**terms, "loss": terms["distortion"] + self.beta * terms["rate"]}


class TheirStripes(ImageDataModule):
    """Stripes of random width."""

    name = "their stripes"
    summary = "stripes"
    data_shape = (1, 8, 8)

    def load(self, split):
        widths = np.random.default_rng(len(split)).integers(1, 8, 200)
        return np.repeat((np.arange(8) < widths[:, None])[:, None, None], 8, axis=2).astype(np.uint8) * 255, None
'''


NUMBERS = itertools.count()


@pytest.fixture
def their(monkeypatch, forget):
    """What the names of a test's classes start with: classes of earlier tests stay alive, and names have to be unique."""
    monkeypatch.setattr(sys, "their_code_ran", False, raising=False)
    return f"Their{next(NUMBERS)}"


@pytest.fixture
def their_file(their, tmp_path):
    """A module outside the repository and outside the import path."""
    path = tmp_path / f"{their.lower()}_file.py"
    path.write_text(PLUGIN.replace("Their", their))
    return path


def distrust(path):
    """As a new process: nothing imported, nothing trusted."""
    from lightning_gen import registry

    registry._trusted.discard(path.stem)
    sys.modules.pop(path.stem, None)
    sys.their_code_ran = False


def options(their, tmp_path, module=""):
    names = ["--model", f"{module}{their}VAE", "--model.beta", "0.5", "--data", f"{module}{their}Stripes", "--data.batch_size=64"]
    return ["fit", *SMOKE, *QUIET, "--runs", tmp_path / "runs", *names]


def test_a_file_outside_goes_the_whole_way_with_trust(execute, refused, their, their_file, tmp_path):
    trust = ("--trust", their_file)
    outcome = execute(*options(their, tmp_path, f"{their_file.stem}."), *trust)
    assert outcome.code == 0, outcome.err
    run = outcome.folder

    distrust(their_file)
    for argv in (["evaluate", run], ["sample", run, "--out", tmp_path / "a.npz"], ["fit", "--resume", run]):
        refused(argv, f"'{their_file.stem}.{their}VAE'", f"--trust {their_file.stem}")
    assert not sys.their_code_ran
    assert their_file.stem not in sys.modules

    assert execute("evaluate", run, "--likelihood_images=64", "--num_samples=64", *trust).code == 0
    assert execute("sample", run, "--num_samples=3", "--out", tmp_path / "a.npz", *trust).code == 0
    assert np.load(tmp_path / "a.npz")["arr_0"].shape == (3, 8, 8, 1)
    assert execute("fit", "--resume", run, "--budget.images=320", *trust).code == 0
    assert records(run)[-1]["model"]["hyperparameters"]["beta"] == 0.5
    assert f"{their}VAE" in execute("leaderboard", "--results", tmp_path / "runs").out


def test_a_class_by_its_short_name_is_found_once_it_is_trusted(execute, their, their_file, tmp_path):
    assert execute(*options(their, tmp_path), "--trust", their_file).code == 0


@pytest.mark.parametrize("way", ["option", "file"])
def test_without_trust_a_configuration_imports_nothing(refused, their, their_file, tmp_path, monkeypatch, way):
    monkeypatch.syspath_prepend(tmp_path)
    if way == "option":
        argv = options(their, tmp_path, f"{their_file.stem}.")
    else:
        (tmp_path / "their.yaml").write_text(f"model: {{class_path: {their_file.stem}.{their}VAE}}\n")
        argv = ["fit", "--config", "vae_digits", "--config", tmp_path / "their.yaml"]
    refused(argv, "model: ", f"'{their_file.stem}.{their}VAE'", f"--trust {their_file.stem}")
    assert not sys.their_code_ran


def test_the_trainers_callbacks_need_trust_as_well(refused, their_file, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    argv = ["fit", "--config", "vae_digits", *SMOKE, f"--trainer.callbacks+={their_file.stem}.TheirCallback"]
    refused(argv, "trainer.callbacks", f"--trust {their_file.stem}")
    assert not sys.their_code_ran


@pytest.fixture
def their_distribution(their, tmp_path, monkeypatch):
    """An installed package with entry points, as pip leaves it behind."""
    site = tmp_path / "site-packages"
    package = f"{their.lower()}_package"
    (site / package).mkdir(parents=True)
    (site / package / "__init__.py").write_text("")
    (site / package / "everything.py").write_text(PLUGIN.replace("Their", their))
    metadata = site / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    model, data = (f"{their}{name} = {package}.everything:{their}{name}" for name in ("VAE", "Stripes"))
    (metadata / "entry_points.txt").write_text(f"[lightning_gen.models]\n{model}\n[lightning_gen.data]\n{data}\n")
    monkeypatch.syspath_prepend(site)


@pytest.mark.usefixtures("their_distribution")
def test_an_installed_package_goes_the_whole_way_by_its_short_names(execute, their, tmp_path):
    outcome = execute(*options(their, tmp_path))
    assert outcome.code == 0, outcome.err
    run = outcome.folder
    assert execute("evaluate", run, "--likelihood_images=64", "--num_samples=64").code == 0
    assert execute("sample", run, "--out", tmp_path / "a.png").code == 0
    assert execute("fit", "--resume", run, "--budget.images=320").code == 0
    assert f"{their}VAE" in execute("leaderboard", "--results", tmp_path / "runs").out
    assert f"{their}Stripes" in execute("list", "data").out


@pytest.mark.usefixtures("their_distribution")
def test_a_misspelt_registered_name_is_answered_with_the_right_one(refused, their):
    refused(["fit", *SMOKE, "--model", f"{their}VEA", "--data", "Digits"], f"unknown class '{their}VEA'", f"did you mean '{their}VAE'?")
