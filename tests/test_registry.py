"""A configuration or a checkpoint may name our classes, registered ones and trusted ones; naming another one runs nothing."""

import sys
from importlib.metadata import EntryPoint

import pytest
import torch

from lightning_gen import registry
from lightning_gen.distributions.likelihoods import Gaussian, Likelihood
from lightning_gen.errors import UserError
from lightning_gen.models.autoencoders.vae import VAE
from lightning_gen.models.base import GenerativeModel
from lightning_gen.nn.adversarial.base import Generator
from lightning_gen.nn.base import Encoder
from lightning_gen.nn.mlp import MLPEncoder
from lightning_gen.registry import ClassSpec, as_spec, build, class_path, resolve, trust

PLUGIN = """
import sys
from lightning_gen.models.autoencoders.vae import VAE
sys.plugin_was_imported = True

class Mine(VAE):
    pass
"""


@pytest.fixture(autouse=True)
def own_trust(monkeypatch):
    """What a test trusts or imports is forgotten after it."""
    monkeypatch.setattr(registry, "_trusted", set(registry._trusted))
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        if not name.startswith("lightning_gen"):
            del sys.modules[name]


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A user's module on the path, which leaves a mark when it is imported."""
    (tmp_path / "their_plugin.py").write_text(PLUGIN)
    (tmp_path / "their_package").mkdir()
    (tmp_path / "their_package" / "__init__.py").write_text("")
    (tmp_path / "their_package" / "models.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "plugin_was_imported", False, raising=False)
    return tmp_path / "their_plugin.py"


def register(monkeypatch, **points):
    monkeypatch.setattr(registry, "registered", lambda *groups: points)


@pytest.mark.parametrize("name", ["VAE", "lightning_gen.models.autoencoders.vae.VAE"])
def test_short_and_full_names_stand_for_the_same_class(name):
    assert resolve(name, GenerativeModel, "model") is VAE


@pytest.mark.parametrize("cls", [VAE, MLPEncoder, Gaussian])
def test_resolve_inverts_class_path(cls):
    assert resolve(class_path(cls), torch.nn.Module, "key") is cls


@pytest.mark.parametrize(
    ("name", "base", "nearest"),
    [
        ("dcgan", GenerativeModel, "DCGAN"),
        ("MLPEncodr", Encoder, "MLPEncoder"),
        ("lightning_gen.nn.mlp.MLPEncoders", Encoder, "MLPEncoder"),
    ],
)
def test_a_near_miss_is_answered_with_the_name_that_was_meant(name, base, nearest):
    with pytest.raises(UserError, match=f"key: unknown class '{name}'; did you mean '{nearest}'\\?"):
        resolve(name, base, "key")


@pytest.mark.parametrize(("name", "base"), [("Likelihood", Likelihood), ("Encoder", Encoder)])
def test_what_the_others_derive_from_is_no_choice(name, base):
    with pytest.raises(UserError, match=f"key: '{name}' is what the others derive from; expected one of .+"):
        resolve(name, base, "key")


def test_the_choices_are_of_the_kind_that_is_wanted():
    with pytest.raises(UserError, match=r"expected one of .*DCGANGenerator") as refusal:
        resolve("Generator", Generator, "model.generator")
    assert "Discriminator" not in str(refusal.value)
    with pytest.raises(UserError, match=r"unknown class 'DCGANGen'; (did you mean 'DCGANGenerator'\?|expected one of .*)") as refusal:
        resolve("DCGANGen", Generator, "model.generator")
    assert "Discriminator" not in str(refusal.value)


def test_a_far_miss_is_answered_with_the_choices_or_where_they_are_listed():
    with pytest.raises(UserError, match=r"expected one of .*ConvEncoder.*MLPEncoder"):
        resolve("Zzzzzzzz", Encoder, "model.encoder")
    with pytest.raises(UserError, match=r"no near match among \d+; 'lightning-gen list' shows them$"):
        resolve("Zzzzzzzz", GenerativeModel, "model")


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("lightning_gen.models.autoencoders.vae.VAE", Encoder),
        ("lightning_gen.checkpoint.load_model", GenerativeModel),
        ("lightning_gen.models.base.Any", GenerativeModel),
    ],
)
def test_a_class_of_another_kind_is_refused(name, base):
    with pytest.raises(UserError, match=f"is not a {base.__name__}"):
        resolve(name, base, "key")


@pytest.mark.parametrize("name", ["their_plugin.Mine", "their_package.models.Mine"])
def test_an_untrusted_module_is_refused_with_the_remedy_and_not_imported(plugin, name):
    with pytest.raises(UserError, match=f"--trust {name.rpartition('.')[0]}$"):
        resolve(name, GenerativeModel, "model")
    assert not sys.plugin_was_imported
    assert name.partition(".")[0] not in sys.modules


@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen", "builtins.eval", "lightning_genius.VAE", "torch.nn.Linear", ".VAE", "."])
def test_foreign_names_are_refused(name):
    with pytest.raises(UserError, match=r"key: .* is neither ours nor registered"):
        resolve(name, torch.nn.Module, "key")


@pytest.mark.parametrize("name", ["lightning_gen", "os", "", "lightning_gen.", "lightning_gen..VAE"])
def test_names_that_stand_for_no_class_are_refused(name):
    with pytest.raises(UserError, match="key: "):
        resolve(name, torch.nn.Module, "key")


@pytest.mark.parametrize("name", ["lightning_gen.checkpoint.os.system", "lightning_gen.models.base.torch.nn.Linear"])
def test_our_own_imports_are_no_way_out(name):
    with pytest.raises(UserError, match="key: "):
        resolve(name, torch.nn.Module, "key")


def test_a_trusted_file_gives_its_classes_and_no_others(plugin):
    module = trust(str(plugin))
    assert sys.plugin_was_imported
    assert resolve("their_plugin.Mine", GenerativeModel, "model") is module.Mine
    assert resolve(class_path(module.Mine), GenerativeModel, "model") is module.Mine
    with pytest.raises(UserError, match="--trust their_package"):
        resolve("their_package.models.Mine", GenerativeModel, "model")


def test_trusting_a_file_twice_runs_it_once(plugin):
    first = trust(str(plugin))
    sys.plugin_was_imported = False
    assert trust(str(plugin)) is first
    assert not sys.plugin_was_imported


def test_a_trusted_dotted_module_gives_its_classes(plugin):
    trust("their_package.models")
    assert resolve("their_package.models.Mine", GenerativeModel, "model").__name__ == "Mine"
    with pytest.raises(UserError, match="--trust their_plugin"):
        resolve("their_plugin.Mine", GenerativeModel, "model")


def test_a_trusted_package_includes_its_modules(plugin):
    trust("their_package")
    assert resolve("their_package.models.Mine", GenerativeModel, "model").__name__ == "Mine"


@pytest.mark.parametrize("content", ["import nonexistent_module_of_nobody", "def"])
def test_a_module_that_cannot_be_imported_is_one_line_and_not_trusted(tmp_path, content):
    (tmp_path / "broken_plugin.py").write_text(content)
    for name in (str(tmp_path / "broken_plugin.py"), str(tmp_path / "missing.py"), "no_such_module_of_nobody"):
        with pytest.raises(UserError, match=r"--trust .*: cannot be imported \(.+\)$"):
            trust(name)
    assert "broken_plugin" not in sys.modules
    assert not registry.is_trusted("broken_plugin.Mine")


def test_a_file_does_not_replace_a_module_of_the_same_name(tmp_path):
    (tmp_path / "json.py").write_text("")
    with pytest.raises(UserError, match="'json' is already imported; rename the file"):
        trust(str(tmp_path / "json.py"))


def test_a_registered_name_and_its_package_are_trusted(plugin, monkeypatch):
    register(monkeypatch, TheirVAE="their_package.models.Mine")
    cls = resolve("TheirVAE", GenerativeModel, "model")
    assert (cls.__name__, cls.__module__) == ("Mine", "their_package.models")
    assert resolve("their_package.models.Mine", GenerativeModel, "model") is cls
    with pytest.raises(UserError, match="did you mean 'TheirVAE'"):
        resolve("TheirVEA", GenerativeModel, "model")


def test_registered_names_are_the_entry_points_of_both_groups(plugin, monkeypatch):
    points = {
        "lightning_gen.models": [EntryPoint("TheirVAE", "their_package.models:Mine", "lightning_gen.models")],
        "lightning_gen.data": [EntryPoint("TheirData", "their_data:Mine", "lightning_gen.data")],
    }
    monkeypatch.setattr(registry, "entry_points", lambda group: points[group])
    monkeypatch.setattr(registry, "registered", registry.registered.__wrapped__)
    assert registry.registered() == {"TheirVAE": "their_package.models.Mine", "TheirData": "their_data.Mine"}
    assert registry.registered("lightning_gen.data") == {"TheirData": "their_data.Mine"}
    assert not sys.plugin_was_imported
    assert resolve("TheirVAE", GenerativeModel, "model").__name__ == "Mine"


def test_a_registered_name_does_not_replace_one_of_ours(plugin, monkeypatch):
    register(monkeypatch, VAE="their_package.models.Mine")
    assert resolve("VAE", GenerativeModel, "model") is VAE


def test_a_missing_dependency_of_a_trusted_module_is_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "needy_package").mkdir()
    (tmp_path / "needy_package" / "__init__.py").write_text("")
    (tmp_path / "needy_package" / "models.py").write_text("import a_dependency_of_nobody")
    trust("needy_package")
    with pytest.raises(UserError, match="a_dependency_of_nobody"):
        resolve("needy_package.models.Mine", GenerativeModel, "model")


@pytest.mark.parametrize(
    "value",
    [
        {"class_path": "Gaussian", "init_args": {"scale": "per_value"}},
        {"class_path": "Gaussian", "scale": "per_value"},
        ClassSpec({"class_path": "Gaussian", "scale": "per_value"}),
        ClassSpec("{class_path: Gaussian, init_args: {scale: per_value}}"),
    ],
)
def test_every_form_of_a_spec_means_the_same(value):
    assert as_spec(value, "key") == {"class_path": "Gaussian", "init_args": {"scale": "per_value"}}
    likelihood = build(value, Likelihood, "key", data_shape=(1, 2, 2), num_bits=8)
    assert (type(likelihood), likelihood.parameters_per_value) == (Gaussian, 2)


@pytest.mark.parametrize(
    "value", ["Gaussian", {"class_path": "Gaussian"}, {"class_path": "Gaussian", "init_args": None}, ClassSpec("Gaussian")]
)
def test_a_name_alone_has_no_arguments(value):
    assert as_spec(value, "key") == {"class_path": "Gaussian", "init_args": {}}


@pytest.mark.parametrize("value", [None, 3, [], {}, {"init_args": {}}, {"class_path": 3}, {"class_path": "Gaussian", "init_args": [1]}])
def test_what_is_no_spec_is_refused_by_key(value):
    with pytest.raises(UserError, match=r"model\.likelihood: expected a class name"):
        as_spec(value, "model.likelihood")


def test_as_spec_does_not_change_what_it_is_given():
    value = {"class_path": "Gaussian", "scale": "per_value"}
    as_spec(value, "key")["init_args"]["scale"] = "shared"
    assert value == {"class_path": "Gaussian", "scale": "per_value"}


def test_an_unknown_argument_is_refused_by_key_and_class():
    with pytest.raises(UserError, match=r"model.likelihood.min_scal: unknown option of Gaussian; did you mean 'min_scale'"):
        build({"class_path": "Gaussian", "min_scal": 1}, Likelihood, "model.likelihood", data_shape=(2,), num_bits=8)


@pytest.mark.parametrize(
    ("name", "arguments", "line"),
    [
        ("Gaussian", {"min_scale": "small"}, "model.x.min_scale: expected float, got 'small'"),
        ("Gaussian", {"scale": "both"}, "model.x.scale: expected one of shared, per_value, got 'both'"),
        ("MLPEncoder", {"hidden": 20}, r"model.x.hidden: expected list\[int\], got 20"),
        ("MLPEncoder", {"hidden": [20.5]}, r"model.x.hidden: expected list\[int\], got \[20.5\]"),
        ("ConvEncoder", {"width": True}, "model.x.width: expected int, got True"),
        ("ConvEncoder", {"data_shape": [1, 8, 8]}, "model.x.data_shape: unknown option"),
    ],
)
def test_an_argument_of_the_wrong_type_is_refused_by_key(name, arguments, line):
    base, context = (Encoder, {"data_shape": (1, 8, 8), "out_features": 4}) if "Encoder" in name else (Likelihood, {})
    with pytest.raises(UserError, match=f"^{line}"):
        build({"class_path": name, **arguments}, base, "model.x", **(context or {"data_shape": (2,), "num_bits": 8}))
