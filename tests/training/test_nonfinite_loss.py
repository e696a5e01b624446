"""A loss that is not finite stops the run: everywhere at once, by name, and without a checkpoint of it."""

import pytest
import pytorch_lightning as pl
import torch
from training_runs import QUIET, VAE_RUN, Recipe, Scalar, content, only_run, train

from lightning_gen import models
from lightning_gen.callbacks.checkpoints import Checkpoints
from lightning_gen.cli import main
from lightning_gen.errors import NonFiniteLossError
from lightning_gen.models.base import CHECKPOINT_KEY


class Explodes(Scalar):
    """From the fifth batch on, one of the terms is not finite on one rank; the loss itself stays as it is."""

    def __init__(self, data_shape=(1, 8, 8), rank=0, value="nan", **options):
        super().__init__(data_shape, **options)

    def terms(self, batch, noise):
        terms = super().terms(batch, noise)
        bad = self.batches_seen >= 5 and self.global_rank == self.hparams.rank
        return terms | {"penalty": torch.tensor(float(self.hparams.value) if bad else 1.0)}


class BadGradient(Scalar):
    """In the fifth batch the loss is finite but its gradient is not, as of the square root of a distance that has become zero."""

    def terms(self, batch, noise):
        weight = self.network.weight.squeeze()
        return {"loss": (weight - weight.detach()).square().sqrt() if self.batches_seen == 5 else weight.square()}


class ReachesBatch(pl.Callback):
    """Says in a file how far a rank has come."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_train_batch_start(self, trainer, model, batch, batch_idx):
        (self.folder / f"rank-{trainer.global_rank}").write_text(str(model.batches_seen + 1))


def explode(rank, world_size, folder, model, arguments, every_images):
    try:
        train(Recipe(model, arguments), world_size, 640, [ReachesBatch(folder), Checkpoints(every_images)], default_root_dir=folder)
    except NonFiniteLossError as error:
        return str(error), error.exit_code


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    return tmp_path


def reached(folder):
    return [int(path.read_text()) for path in sorted(folder.glob("rank-*"))]


@pytest.mark.parametrize("bad_rank", [0, 1])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_all_ranks_stop_at_the_same_batch_when_one_sees_it(bad_rank, value, folder, pool):
    results = pool(explode, folder, Explodes, {"rank": bad_rank, "value": value}, 0, world_size=2)
    assert reached(folder) == [16, 16], "flags of several processes are looked at every 16 steps"
    for message, code in results:
        assert code == 3
        assert "loss term 'penalty' became NaN or infinite after 256 images" in message
        assert "last good checkpoint: none yet" in message


def test_one_process_stops_at_once(folder, pool):
    ((message, code),) = pool(explode, folder, Explodes, {}, 0)
    assert (reached(folder), code) == ([5], 3)
    assert "loss term 'penalty' became NaN or infinite after 80 images" in message


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("model", [Explodes, BadGradient])
def test_the_last_good_checkpoint_stays(model, world_size, folder, pool):
    """Saved after batches 2 and 4; the save after batch 6 (or, with a bad gradient, 5) must not happen."""
    for message, code in pool(explode, folder, model, {}, 32 if model is Explodes else 16, world_size=world_size):
        assert code == 3
        assert f"last good checkpoint: {folder / 'checkpoints' / 'last.ckpt'}" in message
    saved = content(folder / "checkpoints" / "last.ckpt")
    assert saved[CHECKPOINT_KEY]["batches_seen"] == 4
    assert all(torch.isfinite(tensor).all() for tensor in saved["state_dict"].values())
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["last.ckpt"]


def test_the_first_layer_is_named_where_it_can_be_known():
    arguments = {"encoder": {"class_path": "MLPEncoder", "hidden": [8, 8]}}
    model = models.VAE([1, 8, 8], **arguments)
    model.last_batch = torch.full((4, 1, 8, 8), 255, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)
    linear = [layer for layer in model.encoder.modules() if isinstance(layer, torch.nn.Linear)]
    (name,) = (name for name, layer in model.named_modules() if layer is linear[1])
    torch.nn.init.ones_(linear[0].weight)
    torch.nn.init.constant_(linear[1].weight, 3e38)
    with pytest.raises(NonFiniteLossError, match=f"loss term 'loss' .* \\(first in layer '{name}'\\)"):
        model.guard.watch(model, {"loss": torch.tensor(float("inf")), "rate": torch.tensor(1.0)})
    torch.nn.init.constant_(linear[0].bias, float("nan"))
    with pytest.raises(NonFiniteLossError, match=r"parameter '.*bias' is not finite"):
        model.guard.watch(model, {"loss": torch.tensor(float("nan"))})


def command(rank, world_size, argv):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    return caught.value.code


def test_the_command_line_exits_with_three_and_keeps_the_last_good_checkpoint(pool, tmp_path):
    bad = ["--model.init_args.learning_rate=1e30", "--checkpoints.every_images=250", "--budget.images=5000"]
    assert pool(command, ["fit", *VAE_RUN, *QUIET, *bad, f"--runs={tmp_path}", "--trainer.accelerator=cpu"]) == [3]
    saved = content(only_run(tmp_path) / "checkpoints" / "last.ckpt")
    assert all(torch.isfinite(tensor).all() for tensor in saved["state_dict"].values())
