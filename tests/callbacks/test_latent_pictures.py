"""Pictures of the latent space appear when they are due and leave training as it would have been."""

import pytest
import pytorch_lightning as pl
import torch

from lightning_gen import models
from lightning_gen.callbacks.latent_pictures import LatentPictures
from lightning_gen.data import Digits, ToyDensity
from lightning_gen.errors import UserError

ALL = ["traversal", "manifold", "scatter", "interpolation", "arithmetic", "reconstruction", "temperature"]


def fit(folder, callbacks, model=None, data=None):
    torch.manual_seed(0)
    network = {"hidden": [16]}
    model = model or models.VAE(
        [1, 8, 8], num_bits=4, latent_dim=2, encoder={"class_path": "MLPEncoder", "init_args": network},
        decoder={"class_path": "MLPDecoder", "init_args": network},
    )  # fmt: skip
    trainer = pl.Trainer(
        default_root_dir=folder, callbacks=callbacks, logger=False, max_epochs=1, limit_train_batches=4, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(model, datamodule=data or Digits(batch_size=64))
    return model


def pictures(folder):
    return sorted(path.name for path in (folder / "pictures").glob("*"))


def test_every_kind_is_drawn_when_due(tmp_path):
    fit(tmp_path, [LatentPictures(128, kinds=ALL)])
    assert pictures(tmp_path) == sorted(f"explore_{kind}_{images:010d}.png" for kind in ALL for images in (128, 256))


@pytest.mark.parametrize(("name", "kinds"), [("VAE", ALL), ("DCGAN", ["traversal", "interpolation"])])
def test_training_is_bit_identical_with_and_without_pictures(tmp_path, name, kinds):
    ends = []
    for callbacks in ([], [LatentPictures(64, kinds=ALL)]):
        torch.manual_seed(1)
        model = fit(tmp_path, callbacks, models.DCGAN([1, 8, 8], width=4) if name == "DCGAN" else None)
        ends.append((model.state_dict(), torch.get_rng_state()))
    (plain, plain_rng), (drawn, drawn_rng) = ends
    assert len(pictures(tmp_path)) == 4 * len(kinds)
    assert all(torch.equal(plain[name], drawn[name]) for name in plain)
    assert torch.equal(plain_rng, drawn_rng)


def test_what_a_model_is_not_capable_of_is_named_once_and_left_out(tmp_path, caplog):
    fit(tmp_path, [LatentPictures(256)], models.DCGAN([1, 8, 8], width=4))
    assert pictures(tmp_path) == ["explore_interpolation_0000000256.png", "explore_traversal_0000000256.png"]
    assert [message for message in caplog.messages if "LatentPictures" in message] == [
        "LatentPictures: no manifold, DCGAN has 100 latent dimensions; a manifold is a picture of 2",
        "LatentPictures: no scatter, DCGAN has no encoder into latent vectors",
        "LatentPictures: no density, DCGAN has no likelihood",
    ]


def test_arithmetic_finds_groups_whatever_the_classes_are(tmp_path):
    fit(tmp_path, [LatentPictures(64, kinds=["arithmetic", "reconstruction"])], data=Digits(batch_size=64, only_classes=[3, 7]))
    assert {name.split("_")[1] for name in pictures(tmp_path)} == {"arithmetic", "reconstruction"}


class Astray(models.VAE):
    """Codes are NaN."""

    def encode(self, images, *, labels=None):
        return super().encode(images) * torch.nan


def test_codes_that_are_not_finite_cost_a_picture_and_not_the_training(tmp_path, caplog):
    model = fit(tmp_path, [LatentPictures(256, kinds=["scatter"])], Astray([1, 8, 8], num_bits=4, latent_dim=2))
    assert model.images_seen == 256
    assert pictures(tmp_path) == []
    words = "Astray: some of its codes are NaN or infinite; expected a model that has been trained"
    assert f"LatentPictures: no pictures now, {words}" in caplog.messages


def test_vectors_have_a_scatter_plot_and_a_density(tmp_path):
    data = ToyDensity(density="two_moons", batch_size=64)
    fit(tmp_path, [LatentPictures(256)], models.VAE([2], latent_dim=2), data)
    assert pictures(tmp_path) == ["explore_density_0000000256.png", "explore_scatter_0000000256.png"]


def test_a_flow_is_drawn_while_it_is_trained(tmp_path):
    data = ToyDensity(density="two_moons", batch_size=64)
    kinds = ["density", "path", "temperature"]
    fit(tmp_path, [LatentPictures(128, kinds)], models.NSF([2], width=4, num_blocks=1, num_steps=1), data)
    assert pictures(tmp_path) == sorted(f"explore_{kind}_{images:010d}.png" for kind in kinds for images in (128, 256))


def test_nothing_is_said_or_drawn_by_default(tmp_path, caplog):
    fit(tmp_path, [LatentPictures()])
    assert pictures(tmp_path) == []
    assert not [message for message in caplog.messages if "LatentPictures" in message]


@pytest.mark.parametrize(
    ("kinds", "words"), [(["holes"], "explore.kinds: holes"), (["travesty"], "explore.kinds: .*did you mean 'traversal'")]
)
def test_other_kinds_are_refused(kinds, words):
    with pytest.raises(UserError, match=words):
        LatentPictures(64, kinds=kinds)
