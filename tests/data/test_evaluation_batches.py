"""What evaluation sees of an image is a function of its index alone."""

from types import SimpleNamespace

import pytest
import torch

from lightning_gen.data import stores
from lightning_gen.errors import UserError


def test_the_loader_covers_the_split_in_order(ramp):
    data = ramp(batch_size=1)
    assert torch.cat([labels for _, labels in data.val_dataloader()]).tolist() == list(range(130))
    assert [len(labels) for _, labels in data.test_dataloader()] == [64, 6]


@pytest.mark.parametrize("binarization", ["dynamic", "static"])
def test_binarization_depends_on_the_index_alone(ramp, binarization):
    data, again = ramp(batch_size=1, binarization=binarization), ramp(batch_size=7, seed=5, binarization=binarization)
    whole, labels = data.batch("validation", range(130))
    assert torch.equal(again.batch("validation", range(130))[0], whole)
    some = [129, 3, 64, 3]
    assert torch.equal(again.batch("validation", torch.tensor(some))[0], whole[some])
    assert torch.equal(again.batch("validation", some)[1], labels[some])


@pytest.mark.parametrize("binarization", ["dynamic", "static"])
def test_binarization_has_the_right_mean(ramp, binarization):
    data = ramp(batch_size=1, binarization=binarization)
    binary = data.batch("train", range(203))[0].double()
    # 3248 Bernoulli pixels with variance 1/6 on average: a standard error of 1.8 of 255.
    assert set(binary.unique().tolist()) == {0.0, 255.0}
    assert abs(binary.mean() - data.load("train")[0].mean()) < 4 * 1.8


def test_splits_are_binarized_with_different_noise(ramp):
    data = ramp(batch_size=1)
    noises = [data._fixed_noise(split, range(4), torch.device("cpu")).uniform("binarize", (8,)) for split in ("validation", "test")]
    assert not torch.equal(*noises)


def test_the_threshold_is_in_the_middle(ramp):
    data = ramp(batch_size=1, binarization="threshold")
    original = torch.from_numpy(data.load("test")[0])
    assert torch.equal(data.batch("test", range(70))[0], (original >= 128).to(torch.uint8) * 255)


def test_more_processes_than_blocks_are_refused(ramp):
    data = ramp(batch_size=6)
    data.trainer = SimpleNamespace(world_size=3, global_rank=0, strategy=SimpleNamespace(root_device=torch.device("cpu")))
    assert [len(labels) for _, labels in data.val_dataloader()] == [64]
    with pytest.raises(UserError, match=r"trainer\.devices: 3 processes are more than the blocks of 64 of the test split \(70 images\)"):
        data.test_dataloader()


def test_the_default_float_type_changes_no_pixel(ramp):
    single = ramp(batch_size=1, binarization="dynamic").batch("train", range(203))[0]
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(ramp(batch_size=1, binarization="dynamic").batch("train", range(203))[0], single)
    finally:
        torch.set_default_dtype(torch.float32)


def test_nothing_is_augmented(ramp):
    assert torch.equal(
        ramp(batch_size=1, horizontal_flip=True).batch("train", range(203))[0], ramp(batch_size=1).batch("train", range(203))[0]
    )


@pytest.mark.parametrize("binarization", ["none", "dynamic", "static"])
def test_streamed_images_equal_resident_ones(ramp, monkeypatch, binarization):
    resident = ramp(batch_size=1, binarization=binarization).batch("test", [69, 0, 5])
    monkeypatch.setattr(stores, "RESIDENT_BYTES", 0)
    streamed = ramp(batch_size=1, binarization=binarization).batch("test", [69, 0, 5])
    assert torch.equal(resident[0], streamed[0])
    assert torch.equal(resident[1], streamed[1])


def test_changing_a_batch_does_not_change_the_data(ramp):
    data = ramp(batch_size=1)
    before = data.batch("test", range(10))[0].clone()
    data.batch("test", range(10))[0].zero_()
    assert torch.equal(data.batch("test", range(10))[0], before)


def test_no_indices_give_no_images(ramp):
    images, labels = ramp(batch_size=1, binarization="dynamic").batch("test", [])
    assert images.shape == (0, 1, 4, 4)
    assert labels.shape == (0,)


def test_an_index_outside_the_split_is_an_error(ramp):
    with pytest.raises(IndexError, match="of the test split, which has 70 images"):
        ramp(batch_size=1).batch("test", range(64, 128))
