"""An exported folder stands for its checkpoint: the same samples, whichever weights were asked for, and nothing but plain data."""

import json
import resource
import signal

import pytest
import torch
from safetensors.torch import load_file, save_file

from lightning_gen.checkpoint import export, find_checkpoint, load_model, read_checkpoint, save_model
from lightning_gen.errors import UserError
from lightning_gen.exported import LARGEST, MODEL_FILE, WEIGHTS_FILE
from lightning_gen.models import SNGAN, VAE
from lightning_gen.models.base import CHECKPOINT_KEY

NOTHING = object()
"""In the place of a value: the key is not there."""

MAKE = {
    "VAE": lambda: VAE([1, 8, 8], latent_dim=3, encoder={"class_path": "MLPEncoder", "hidden": [7]}, num_bits=4),
    "SNGAN": lambda: SNGAN(
        [1, 8, 8],
        latent_dim=4,
        generator={"class_path": "DCGANGenerator", "width": 4},
        discriminator={"class_path": "DCGANDiscriminator", "width": 4, "normalization": "none"},
    ),
}


@pytest.fixture(params=MAKE)
def checkpoint(request, tmp_path):
    """A checkpoint whose averaged weights are not its live ones."""
    torch.manual_seed(3)
    model = MAKE[request.param]()
    model.create_ema()
    with torch.no_grad():
        for parameter in model.ema.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    model.images_seen, model.data_spec, model.training_seed = 1234, {"class_path": "Digits", "init_args": {"batch_size": 64}}, 7
    save_model(model, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


@pytest.fixture
def folder(checkpoint, tmp_path):
    return export(checkpoint, tmp_path / "out")


@pytest.mark.parametrize("weights", ["ema", "live"])
def test_loading_it_back_gives_the_same_samples(checkpoint, tmp_path, weights):
    exported = load_model(find_checkpoint(export(checkpoint, tmp_path / "out", weights=weights)))
    expected = load_model(checkpoint).sample(5, seed=2, weights=weights)
    assert torch.equal(exported.sample(5, seed=2), expected)
    assert exported.exported_weights == weights
    other = load_model(checkpoint).sample(5, seed=2, weights={"ema": "live", "live": "ema"}[weights])
    assert not torch.equal(other, expected)


def test_it_says_what_it_holds_and_where_that_comes_from(checkpoint, folder):
    described, before = json.loads((folder / MODEL_FILE).read_text()), read_checkpoint(checkpoint)[CHECKPOINT_KEY]
    assert {key: described[key] for key in ("model", "data", "images_seen", "seed")} == {
        key: before[key] for key in ("model", "data", "images_seen", "seed")
    }
    assert described["source"]["checkpoint"] == "last.ckpt"
    assert len(described["source"]["sha256"]) == 64


def test_the_weights_are_one_set_by_the_names_of_the_networks(folder):
    assert not [name for name in load_file(folder / WEIGHTS_FILE) if name.startswith("ema.")]


def test_a_folder_that_holds_something_is_not_written_to(checkpoint, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"^--out .*: expected a new or an empty folder"):
        export(checkpoint, tmp_path)


def test_an_export_can_be_exported_again(folder, tmp_path):
    again = export(folder, tmp_path / "again")
    assert torch.equal(load_model(find_checkpoint(again)).sample(3), load_model(find_checkpoint(folder)).sample(3))
    assert json.loads((again / MODEL_FILE).read_text())["weights"] == "ema"


def break_weights(folder):
    (folder / WEIGHTS_FILE).write_bytes((folder / WEIGHTS_FILE).read_bytes()[:-100])


def break_description(folder):
    (folder / MODEL_FILE).write_text('{"format": 1')


def remove_description(folder):
    (folder / MODEL_FILE).unlink()


def replace_description(folder):
    (folder / MODEL_FILE).write_text("[1, 2]")


def name_another_class(folder):
    described = json.loads((folder / MODEL_FILE).read_text())
    described["model"]["class_path"] = "os.system"
    (folder / MODEL_FILE).write_text(json.dumps(described))


def describe(key, value):
    """A change of the description."""

    def change(folder):
        described = json.loads((folder / MODEL_FILE).read_text())
        (folder / MODEL_FILE).write_text(
            json.dumps({name: kept for name, kept in (described | {key: value}).items() if kept is not NOTHING})
        )

    change.__name__ = f"without {key}" if value is NOTHING else f"{key}={value!r}"
    return change


def ask_for_more_memory_than_there_is(folder):
    described = json.loads((folder / MODEL_FILE).read_text())
    described["model"]["init_args"]["latent_dim"] = 10**12
    (folder / MODEL_FILE).write_text(json.dumps(described))


def bloat_description(folder):
    with (folder / MODEL_FILE).open("w") as file:
        file.seek(LARGEST)
        file.write("{}")


def change_weights(folder):
    state = load_file(folder / WEIGHTS_FILE)
    state.pop(next(name for name in state if name.endswith("bias")))
    save_file(state, folder / WEIGHTS_FILE)


@pytest.mark.parametrize(
    "change",
    [
        break_weights,
        break_description,
        remove_description,
        replace_description,
        name_another_class,
        bloat_description,
        change_weights,
        ask_for_more_memory_than_there_is,
        describe("images_seen", "many"),
        describe("has_ema", "x"),
        describe("data", 7),
        describe("seed", None),
        describe("world_size", NOTHING),
        describe("warm_start_images", NOTHING),
    ],
    ids=lambda change: change.__name__,
)
def test_a_damaged_or_forged_one_is_refused_in_one_line_that_names_it(folder, change):
    change(folder)
    with pytest.raises(UserError) as caught:
        load_model(find_checkpoint(folder))
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_disk_that_is_full_is_one_line_and_leaves_no_weights(checkpoint, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit fails as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(UserError, match=r"weights\.safetensors: cannot be written \([^\n]*$"):
            export(checkpoint, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not [*(tmp_path / "out").iterdir()]
