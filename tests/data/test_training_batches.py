"""Training batches are a function of (seed, position): whatever the number of ranks, interruptions, and where the pixels lie."""

import warnings
from unittest import mock

import pytest
import pytorch_lightning as pl
import torch

from lightning_gen.data import stores
from lightning_gen.errors import UserError


def batches(data, count, start=0, rank=0, world_size=1):
    """``count`` batches from position ``start`` on, over as many epochs as that takes."""
    loader = data.train_loader(rank, world_size)
    found = []
    loader.position = lambda: start + len(found)
    while len(found) < count:
        for batch in loader:
            found.append(batch)
    return found[:count]


def equal(left, right):
    return len(left) == len(right) and all(torch.equal(a, b) for x, y in zip(left, right, strict=True) for a, b in zip(x, y, strict=True))


def test_an_epoch_holds_every_image_at_most_once(ramp):
    labels = torch.cat([labels for _, labels in batches(ramp(batch_size=20), 10)])
    assert len(labels) == len(labels.unique()) == 200


def test_images_and_labels_belong_together(ramp):
    data = ramp(batch_size=20)
    images, labels = batches(data, 1)[0]
    assert torch.equal(images, torch.from_numpy(data.load("train")[0])[labels])


@pytest.mark.parametrize("start", [1, 9, 10, 13, 25])
def test_any_position_starts_the_same_tail(ramp, start):
    data = ramp(batch_size=20, binarization="dynamic", horizontal_flip=True)
    assert equal(batches(data, 30)[start:], batches(data, 30 - start, start))


@pytest.mark.parametrize("world_size", [2, 4])
@pytest.mark.parametrize("options", [{}, {"binarization": "dynamic"}, {"horizontal_flip": True}, {"binarization": "static"}])
def test_ranks_together_hold_the_batches_of_one_process(ramp, world_size, options):
    data = ramp(batch_size=20, **options)
    ranks = [batches(data, 12, rank=rank, world_size=world_size) for rank in range(world_size)]
    together = [tuple(torch.cat(parts) for parts in zip(*step, strict=True)) for step in zip(*ranks, strict=True)]
    assert equal(together, batches(data, 12))


def test_another_seed_changes_order_and_noise(ramp):
    first, second = (torch.stack([images for images, _ in batches(ramp(batch_size=20, seed=seed), 3)]) for seed in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("binarization", ["none", "threshold", "dynamic", "static"])
def test_streamed_batches_equal_resident_ones(ramp, monkeypatch, binarization):
    options = {"batch_size": 20, "binarization": binarization, "horizontal_flip": True, "num_bits": 3 if binarization == "none" else None}
    resident = batches(ramp(**options), 4, start=8)
    monkeypatch.setattr(stores, "RESIDENT_BYTES", 0)
    data = ramp(**options)
    assert isinstance(data.store("train", torch.device("cpu")), stores.StreamedStore)
    assert equal(batches(data, 4, start=8), resident)


def test_streaming_leaves_the_global_generator_alone(ramp, monkeypatch):
    monkeypatch.setattr(stores, "RESIDENT_BYTES", 0)
    state = torch.get_rng_state()
    batches(ramp(batch_size=100), 2)
    assert torch.equal(state, torch.get_rng_state())


def test_a_split_over_a_quarter_of_the_gpu_is_not_kept_there():
    device = torch.device("cuda")
    with mock.patch("torch.cuda.get_device_properties") as properties:
        properties.return_value.total_memory = 8 * 2**30
        assert stores.fits(2 * 2**30, device)
        assert not stores.fits(2 * 2**30 + 1, device)


def test_dynamic_binarization_is_drawn_anew_in_every_epoch_with_the_right_mean(ramp):
    data = ramp(batch_size=203, binarization="dynamic")
    epochs = []
    for images, labels in batches(data, 40):
        epochs.append(images[labels.argsort()])
    draws = torch.stack(epochs).double()
    assert set(draws.unique().tolist()) == {0.0, 255.0}
    assert not torch.equal(epochs[0], epochs[1])
    expected = torch.from_numpy(data.load("train")[0]).double()
    # 40 Bernoulli draws per pixel, 3248 pixels: standard error of the mean deviation below 0.4 of 255.
    assert abs((draws.mean(0) - expected).mean()) < 1.5
    assert (draws.mean(0) - expected).abs().max() < 255 * 0.5 * 5 / 40**0.5


@pytest.mark.parametrize("binarization", ["threshold", "static"])
def test_fixed_binarizations_are_the_same_in_every_epoch(ramp, binarization):
    data = ramp(batch_size=203, binarization=binarization)
    first, second = (images[labels.argsort()] for images, labels in batches(data, 2))
    assert torch.equal(first, second)
    assert torch.equal(first, data.batch("train", range(203))[0])


def test_half_of_the_images_are_mirrored_and_nothing_else_happens_to_them(ramp):
    data = ramp(batch_size=203, horizontal_flip=True)
    original = torch.from_numpy(data.load("train")[0])
    mirrored = 0
    for images, labels in batches(data, 10):
        flipped = (images == original[labels].flip(-1)).flatten(1).all(1)
        assert (flipped | (images == original[labels]).flatten(1).all(1)).all()
        mirrored += int(flipped.sum())
    assert abs(mirrored / 2030 - 0.5) < 0.06


def test_a_world_size_that_does_not_divide_the_batch_is_refused(ramp):
    with pytest.raises(UserError, match=r"data\.batch_size"):
        ramp(batch_size=20).train_loader(world_size=3)


class Recorder(pl.LightningModule):
    """Counts batches as every model here does, and remembers what it saw."""

    def __init__(self):
        super().__init__()
        self.batches_seen = 0
        self.seen = []
        self.validated = []
        self.layer = torch.nn.Linear(16, 1)

    def on_train_batch_start(self, batch, batch_idx):
        self.batches_seen += 1
        self.seen.append(batch)

    def training_step(self, batch, batch_idx):
        return self.layer(batch[0].flatten(1) / 255).mean()

    def validation_step(self, batch, batch_idx):
        self.validated.append(batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def on_save_checkpoint(self, checkpoint):
        checkpoint["batches_seen"] = self.batches_seen

    def on_load_checkpoint(self, checkpoint):
        self.batches_seen = checkpoint["batches_seen"]


def fit(data, max_steps, save=None, resume=None):
    model = Recorder()
    silent = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = pl.Trainer(max_steps=max_steps, accelerator="cpu", num_sanity_val_steps=0, **silent)
    trainer.fit(model, data, ckpt_path=resume, weights_only=True)
    if save:
        trainer.save_checkpoint(save)
    return model


@pytest.mark.parametrize("interrupted", [4, 10, 13])
def test_lightning_continues_exactly_and_without_warning(ramp, tmp_path, interrupted):
    options = {"batch_size": 20, "binarization": "dynamic"}
    whole = fit(ramp(**options), 23)
    first = fit(ramp(**options), interrupted, save=tmp_path / "last.ckpt")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*not resumable.*")
        second = fit(ramp(**options), 23, resume=tmp_path / "last.ckpt")
    assert equal(first.seen + second.seen, whole.seen)
    assert torch.cat(whole.validated[:3]).tolist() == list(range(130))
