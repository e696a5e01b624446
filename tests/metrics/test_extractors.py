"""Extractors: the weights are those of the card, and the features depend on the images alone."""

import shutil

import pytest
import torch

from lightning_gen.data import Digits
from lightning_gen.errors import UserError
from lightning_gen.metrics import extractors
from lightning_gen.metrics.extractors import Extractor, extractor_names, read_card


@pytest.fixture
def images():
    return torch.randint(0, 256, (70, 1, 8, 8), dtype=torch.uint8)


@pytest.fixture
def own_weights(tmp_path, monkeypatch):
    """A copy of the package's weights that a test may spoil."""
    shutil.copytree(extractors.WEIGHTS, tmp_path / "weights")
    monkeypatch.setattr(extractors, "WEIGHTS", tmp_path / "weights")
    for cached in (extractors.read_card, extractors._network):
        cached.cache_clear()
    yield tmp_path / "weights"
    for cached in (extractors.read_card, extractors._network):
        cached.cache_clear()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_digits_extractor_classifies_as_its_card_says(split):
    data = Digits(batch_size=1, num_bits=8)
    images, labels = data.batch(split, range(400))
    _, log_p = Extractor("digits-cnn")(images)
    accuracy = (log_p.argmax(1) == labels).double().mean().item()
    assert accuracy == pytest.approx(read_card("digits-cnn")["accuracy"][split], abs=1e-4)


@pytest.mark.parametrize("name", extractor_names())
def test_every_extractor_loads_and_has_the_sizes_of_its_card(name):
    extractor = Extractor(name)
    features, log_p = extractor(torch.zeros(3, *extractor.data_shape, dtype=torch.uint8))
    assert features.shape == (3, extractor.num_features)
    assert log_p.shape == (3, extractor.num_classes)
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(3))


def test_weights_that_are_not_those_of_the_card_are_refused(own_weights):
    path = own_weights / "digits-cnn.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="does not have the SHA-256 of its card"):
        Extractor("digits-cnn")
    assert Extractor("mnist-cnn").name == "mnist-cnn"


def test_the_hash_of_the_weights_is_part_of_the_protocol():
    protocols = [Extractor(name).protocol for name in extractor_names()]
    assert len({protocol["weights_sha256"] for protocol in protocols}) == len(protocols) > 1
    assert [protocol["extractor"] for protocol in protocols] == extractor_names()


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 28, 28), (1, 4, 16)])
def test_images_of_another_shape_are_refused_with_both_shapes(shape):
    with pytest.raises(UserError, match=r"takes images \[1, 8, 8\], got") as caught:
        Extractor("digits-cnn")(torch.zeros(2, *shape, dtype=torch.uint8))
    assert str(list(shape)) in str(caught.value)


def test_an_unknown_name_is_answered_with_the_near_one():
    with pytest.raises(UserError, match="did you mean 'digits-cnn'"):
        Extractor("digit-cnn")


def test_the_default_type_changes_no_bit(images, own_weights):
    before = Extractor("digits-cnn")(images)
    extractors._network.cache_clear()
    torch.set_default_dtype(torch.float64)
    after = Extractor("digits-cnn")(images)
    assert all(one.dtype == torch.float32 and torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_features_take_no_gradient_and_no_dropout_and_leave_no_trace(images):
    extractor = Extractor("digits-cnn")
    state = torch.get_rng_state()
    first, second = extractor(images), extractor(images)
    assert not any(part.requires_grad for part in first)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_autocast_does_not_reach_the_extractor(images):
    extractor = Extractor("digits-cnn")
    expected = extractor(images)
    with torch.autocast("cpu", torch.bfloat16):
        found = extractor(images)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_an_extractor_on_another_device_does_not_take_the_weights_along(images):
    extractor = Extractor("digits-cnn")
    expected = extractor(images)[0]
    try:
        Extractor("digits-cnn", "meta")
        assert torch.equal(extractor(images)[0], expected)
    finally:
        extractors._network.cache_clear()


def test_weights_are_not_rounded_when_the_default_type_is_half():
    extractors._network.cache_clear()
    expected = {name: weight.clone() for name, weight in extractors._network("digits-cnn").state_dict().items()}
    extractors._network.cache_clear()
    torch.set_default_dtype(torch.bfloat16)
    try:
        rounded = extractors._network("digits-cnn").state_dict()
    finally:
        torch.set_default_dtype(torch.float32)
        extractors._network.cache_clear()
    assert all(torch.equal(rounded[name], weight) for name, weight in expected.items())
