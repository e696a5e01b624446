"""A checkpoint alone rebuilds its model, and a file that is anything else does nothing but an error of one line."""

import os
import pathlib
import pickle
import sys

import pytest
import torch

from lightning_gen.checkpoint import find_checkpoint, images_seen, init_from, load_model, read_checkpoint
from lightning_gen.errors import UserError
from lightning_gen.models import DCGAN, IAF, IAFVAE, NICE, VAE, VampPriorVAE
from lightning_gen.models.base import CHECKPOINT_KEY

PLAIN = (type(None), bool, int, float, str)


def make_vae(**options):
    return VAE([1, 8, 8], latent_dim=3, encoder={"class_path": "MLPEncoder", "hidden": [7]}, **options)


def make_dcgan(**options):
    return DCGAN([1, 8, 8], latent_dim=3, width=4, **options)


def is_plain(value):
    if isinstance(value, dict):
        return all(type(key) is str and is_plain(item) for key, item in value.items())
    return all(map(is_plain, value)) if type(value) is list else type(value) in PLAIN


def refusal(path, load=load_model):
    """The message with which a file is refused, which has to be one line that names it."""
    with pytest.raises(UserError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def rewrite(path, change):
    """The same checkpoint with something changed."""
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    return path


class Shell:
    """Runs a command when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("make", [make_vae, make_dcgan])
@pytest.mark.parametrize("conditional", [False, True])
def test_a_trained_model_comes_back_from_its_file_alone(make, conditional, tiny, fit, tmp_path):
    data = tiny(num_bits=3)
    model = make(num_bits=3, num_classes=4, conditional=conditional, learning_rate=3e-4)
    model.training_seed, model.data_spec = 11, {"class_path": "Digits", "init_args": {"batch_size": 16}}
    fit(model, data).save_checkpoint(tmp_path / "model.ckpt")
    again = load_model(tmp_path / "model.ckpt")
    assert type(again) is type(model)
    assert dict(again.hparams) == dict(model.hparams)
    assert again.hparams.learning_rate == 3e-4
    assert (again.images_seen, again.batches_seen, images_seen(tmp_path / "model.ckpt")) == (32, 2, 32)
    assert (again.training_seed, again.data_spec, again.device_seconds) == (11, model.data_spec, model.device_seconds)
    assert again.device_seconds > 0
    assert (again.num_bits, again.conditional, again.data_initialized) == (3, conditional, True)
    assert not any(module.training for module in again.modules())
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(again.sample(5), model.sample(5))


@pytest.mark.parametrize("make", [make_vae, make_dcgan])
def test_hyperparameters_are_plain_data_with_the_defaults_included(make, save):
    ours = read_checkpoint(save(make()))[CHECKPOINT_KEY]
    assert is_plain(ours)
    assert ours["model"]["class_path"] == f"{make().__module__}.{type(make()).__name__}"
    assert ours["model"]["init_args"]["decay_images"] == 0
    assert ours["model"]["init_args"]["data_shape"] == [1, 8, 8]
    assert {"num_bits", "num_classes", "num_attributes", "conditional", "latent_dim"} <= ours["model"]["init_args"].keys()


@pytest.mark.parametrize("make", [make_vae, make_dcgan])
def test_averages_come_back_and_sample(make, save):
    model = make()
    model.create_ema()
    for parameter in model.ema.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    again = load_model(save(model))
    assert list(again.ema) == list(model.averaged_networks)
    assert not any(parameter.requires_grad for parameter in again.ema.parameters())
    for weights in ("ema", "live"):
        assert torch.equal(again.sample(8, weights=weights), model.sample(8, weights=weights))
    assert not torch.equal(again.sample(8, weights="ema"), again.sample(8, weights="live"))


def test_a_pickle_is_refused_and_does_not_run(save, tmp_path):
    mark = tmp_path / "it_ran"
    path = save(make_vae())
    rewrite(path, lambda content: content.update(extra=Shell(mark)))
    assert "it is not plain tensors and data" in refusal(path)
    bare = tmp_path / "bare.ckpt"
    bare.write_bytes(pickle.dumps(Shell(mark)))
    refusal(bare)
    legacy = tmp_path / "legacy.ckpt"
    torch.save({CHECKPOINT_KEY: Shell(mark)}, legacy, _use_new_zipfile_serialization=False)
    refusal(legacy)
    assert not mark.exists()


def forge_model(args, target):
    args.update(class_path=target, init_args={"command": "touch it_ran"})


def forge_string(key):
    return lambda args, target: args["init_args"].update({key: target})


def forge_nested(key):
    return lambda args, target: args["init_args"].update({key: {"class_path": target, "init_args": {"command": "touch it_ran"}}})


@pytest.mark.parametrize("target", ["os.system", "subprocess.Popen", "their_evil_module.Mine"])
@pytest.mark.parametrize(
    "forge", [forge_model, *map(forge_string, ["encoder", "likelihood"]), *map(forge_nested, ["encoder", "decoder", "likelihood"])]
)
def test_a_forged_class_is_refused_and_not_imported(forge, target, save, tmp_path, monkeypatch):
    (tmp_path / "their_evil_module.py").write_text("import pathlib; pathlib.Path('it_ran').touch()")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    path = rewrite(save(make_vae()), lambda content: forge(content[CHECKPOINT_KEY]["model"], target))
    with pytest.raises(UserError, match=f"class '{target}' is neither ours nor registered; .*--trust"):
        load_model(path)
    assert not (tmp_path / "it_ran").exists()
    assert "their_evil_module" not in sys.modules


@pytest.mark.parametrize("keep", [0.5, 10, 0])
def test_a_truncated_file_is_refused(keep, save):
    path = pathlib.Path(save(make_vae()))
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep == 0.5 else keep])
    refusal(path)


def test_other_files_are_refused(save, tmp_path):
    (tmp_path / "text.ckpt").write_text("model: VAE\n")
    torch.save({"state_dict": make_vae().state_dict()}, tmp_path / "foreign.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    torch.save({CHECKPOINT_KEY: 1}, tmp_path / "number.ckpt")
    assert "no such file" in refusal(tmp_path / "missing.ckpt")
    assert "no such file" in refusal(tmp_path)
    refusal(tmp_path / "text.ckpt")
    for name in ("foreign", "list", "number"):
        assert "not written by lightning-gen" in refusal(tmp_path / f"{name}.ckpt")


def test_a_file_that_may_not_be_read_is_refused(save, monkeypatch):
    def deny(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = save(make_vae())
    monkeypatch.setattr(torch, "load", deny)
    assert "cannot be read" in refusal(path)


def test_another_format_is_refused_with_both_numbers(save):
    path = rewrite(save(make_vae()), lambda content: content[CHECKPOINT_KEY].update(format=2))
    assert "format 2; this version reads format 1" in refusal(path)


@pytest.mark.parametrize("key", ["model", "data", "seed", "images_seen", "batches_seen", "device_seconds", "data_initialized", "has_ema"])
def test_a_file_that_lacks_something_is_refused(key, save):
    refusal(rewrite(save(make_vae()), lambda content: content[CHECKPOINT_KEY].pop(key)))


def test_a_file_without_weights_is_refused(save):
    refusal(rewrite(save(make_vae()), lambda content: content.pop("state_dict")))


def test_weights_that_do_not_fit_are_refused(save):
    def grow(content):
        content[CHECKPOINT_KEY]["model"]["init_args"]["latent_dim"] = 4

    assert "its weights do not fit its hyperparameters" in refusal(rewrite(save(make_vae()), grow))
    assert "its weights do not fit" in refusal(rewrite(save(make_vae()), lambda content: content["state_dict"].popitem()))


def test_init_from_takes_over_all_that_matches_and_names_the_rest(save):
    source, target = make_vae(), VAE([1, 8, 8], latent_dim=3, encoder={"class_path": "MLPEncoder", "hidden": [9]})
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    matched, missing, _ = init_from(target, save(source))
    assert {name.partition(".")[0] for name in matched if not name.startswith("encoder")} == {"decoder", "likelihood"}
    assert sorted(missing) == ["encoder.layers.0.bias", "encoder.layers.0.weight", "encoder.layers.2.weight"]
    assert sorted(matched + missing) == sorted(before)
    assert all(torch.equal(target.state_dict()[name], source.state_dict()[name]) for name in matched)
    assert all(torch.equal(target.state_dict()[name], before[name]) for name in missing)
    assert target.data_initialized


def test_init_from_skips_the_initialisation_from_data_only_where_its_weights_were_taken_over(save):
    vae, vamp = VAE([1, 8, 8], latent_dim=3), VampPriorVAE([1, 8, 8], latent_dim=3, num_pseudo_inputs=5)
    for source, skipped in [(vae, False), (vamp, True)]:
        target = VampPriorVAE([1, 8, 8], latent_dim=3, num_pseudo_inputs=5)
        init_from(target, save(source))
        assert target.data_initialized == skipped


def test_init_from_takes_weights_and_not_progress(save):
    source, target = make_vae(), make_vae()
    source.images_seen = 1000
    matched, missing, _ = init_from(target, save(source))
    assert (len(matched), missing, target.images_seen) == (len(target.state_dict()), [], 0)


def test_init_from_refuses_where_nothing_matches(save):
    with pytest.raises(UserError, match="no weight matches this model by name and shape"):
        init_from(make_vae(), save(make_dcgan()))


def test_init_from_refuses_another_class_with_which_only_some_names_agree(save):
    """NICE's last scales have the name of an ActNorm of IAF's: a name in common is no network in common."""
    target, source = NICE([1, 8, 8], hidden=[9]), IAF([1, 8, 8], hidden=[70])
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(UserError, match="is IAF, and only 1 of the 17 weights of NICE are there; expected NICE, or"):
        init_from(target, save(source))
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


def test_init_from_takes_the_networks_of_another_class_into_a_model_with_many_more(save):
    source, encoder = make_vae(), {"class_path": "MLPEncoder", "hidden": [7]}
    target = IAFVAE([1, 8, 8], latent_dim=3, encoder=encoder, num_steps=20)
    matched, missing, _ = init_from(target, save(source))
    assert len(matched) < len(missing) / 10
    assert all(torch.equal(target.state_dict()[name], source.state_dict()[name]) for name in matched)


def test_find_checkpoint_prefers_what_was_asked_for_and_falls_back_to_last(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    with pytest.raises(UserError, match="neither a checkpoint file nor a run folder"):
        find_checkpoint(tmp_path)
    (folder / "last.ckpt").touch()
    assert find_checkpoint(tmp_path) == folder / "last.ckpt"
    (folder / "best.ckpt").touch()
    assert find_checkpoint(tmp_path) == folder / "best.ckpt"
    assert find_checkpoint(tmp_path, "last") == folder / "last.ckpt"
    assert find_checkpoint(folder / "last.ckpt") == folder / "last.ckpt"
