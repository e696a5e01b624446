"""Extractors: the weights are those of the card, and the features depend on the images alone."""

import contextlib
import shutil

import pytest
import torch
from inception_weights import photo_patches
from torch.nn.functional import interpolate

from lightning_gen.data import Digits
from lightning_gen.errors import UserError
from lightning_gen.images import to_symmetric
from lightning_gen.metrics.extractors import (
    Extraction,
    Extractor,
    InDomainExtractor,
    build_extractor,
    extractor_names,
    in_domain,
    read_card,
)
from lightning_gen.metrics.extractors.base import plain_arithmetic

NAMES = ["cifar-cnn", "digits-cnn", "mnist-cnn"]


@pytest.fixture
def images():
    return torch.randint(0, 256, (70, 1, 8, 8), dtype=torch.uint8)


@pytest.fixture
def own_weights(tmp_path, monkeypatch):
    """A copy of the package's weights that a test may spoil."""
    shutil.copytree(in_domain.WEIGHTS, tmp_path / "weights")
    monkeypatch.setattr(in_domain, "WEIGHTS", tmp_path / "weights")
    for cached in (in_domain.read_card, in_domain._network):
        cached.cache_clear()
    yield tmp_path / "weights"
    for cached in (in_domain.read_card, in_domain._network):
        cached.cache_clear()


def native(name: str, count: int = 20) -> torch.Tensor:
    """Images of the shape that an extractor was trained on."""
    channels, height, width = read_card(name)["data_shape"]
    return photo_patches(count, height, width)[:, :channels]


def same(one: Extraction, other: Extraction) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# The contract, with the smallest extractor there is.


class Moments(Extractor):
    """Mean and maximum of an image; what it answers can be spoilt."""

    name = "moments"
    device = torch.device("cpu")
    micro_batch = 3
    protocol = {"extractor": "moments"}  # noqa: RUF012

    def __init__(self, spoil=lambda features: features):
        self.spoil = spoil
        self.sizes = []

    def extract(self, images):
        self.sizes.append(len(images))
        x = images.flatten(1).to(torch.get_default_dtype())
        return Extraction(self.spoil(torch.stack([x.mean(1), x.amax(1)], 1)), None)


def test_images_are_cut_into_micro_batches_and_put_together_in_order(images):
    extractor = Moments()
    features, logits = extractor(images)
    assert extractor.sizes == [3] * 23 + [1]
    torch.testing.assert_close(features[:, 0], images.float().mean((1, 2, 3)))
    assert torch.equal(features[:, 1], images.amax((1, 2, 3)).float())
    assert logits is None
    assert (extractor.num_features, extractor.num_classes) == (2, 0)


@pytest.mark.parametrize(
    "wrong", [torch.zeros(2, 1, 8, 8), torch.zeros(1, 8, 8, dtype=torch.uint8), torch.zeros(0, 1, 8, 8, dtype=torch.uint8)]
)
def test_only_batches_of_uint8_images_are_taken(wrong):
    with pytest.raises(UserError, match=r"extractor 'moments': expected uint8 images \(B, C, H, W\), got"):
        Moments()(wrong)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_features_that_are_not_finite_are_refused_by_the_extractors_name(images, value):
    def spoil(features):
        features[-1, 1] = value
        return features

    with pytest.raises(UserError, match="extractor 'moments': features are not finite"):
        Moments(spoil)(images)


@pytest.mark.parametrize("spoil", [lambda f: f.double(), lambda f: f[:1], lambda f: f[:, 0], lambda f: f[:, :, None]])
def test_features_of_another_type_or_shape_are_refused(images, spoil):
    with pytest.raises(UserError, match=r"extractor 'moments': expected features float32 \(3, d\), got"):
        Moments(spoil)(images)


def test_the_number_of_features_cannot_change(images):
    extractor = Moments()
    extractor.prepare((1, 8, 8))
    extractor.spoil = lambda features: features[:, :1]
    with pytest.raises(UserError, match=r"expected \(2, 0\) features and logits, got \(1, 0\)"):
        extractor(images)


def test_prepare_finds_out_the_sizes_and_refuses_vectors():
    extractor = Moments()
    extractor.prepare((1, 4, 4))
    assert extractor.num_features == 2
    with pytest.raises(UserError, match=r"expected images \(C, H, W\), got data of shape \[2\]"):
        extractor.prepare((2,))


def test_plain_arithmetic_restores_what_it_found():
    cudnn = torch.backends.cudnn
    torch.set_default_dtype(torch.float64)
    before, cudnn.benchmark = cudnn.benchmark, True
    try:
        with contextlib.suppress(ZeroDivisionError), plain_arithmetic("cpu"):
            found = torch.get_default_dtype(), cudnn.benchmark, cudnn.deterministic, torch.is_grad_enabled()
            raise ZeroDivisionError
        assert found == (torch.float32, False, True, False)
        assert (torch.get_default_dtype(), cudnn.benchmark, torch.is_grad_enabled()) == (torch.float64, True, True)
    finally:
        cudnn.benchmark = before


# The networks of the package.


def test_the_package_ships_these_networks_each_below_one_megabyte():
    assert extractor_names() == NAMES
    assert all((in_domain.WEIGHTS / f"{name}.pt").stat().st_size < 1_000_000 for name in NAMES)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_digits_extractor_classifies_as_its_card_says(split):
    data = Digits(batch_size=1, num_bits=8)
    images, labels = data.batch(split, range(400))
    accuracy = (InDomainExtractor("digits-cnn")(images).logits.argmax(1) == labels).double().mean().item()
    assert accuracy == pytest.approx(read_card("digits-cnn")["accuracy"][split], abs=1e-4)


def test_the_cifar_extractor_is_better_than_four_in_five():
    assert read_card("cifar-cnn")["accuracy"]["test"] > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_on_native_images_an_extractor_is_its_network(name):
    images = native(name)
    extractor = InDomainExtractor(name)
    network = in_domain.build_network(read_card(name))
    network.load_state_dict(torch.load(in_domain.WEIGHTS / f"{name}.pt", weights_only=True))
    with torch.no_grad():
        expected = Extraction(*network.eval()(to_symmetric(images)))
    assert same(extractor(images), expected)
    assert (extractor.num_features, extractor.num_classes) == (expected.features.shape[1], expected.logits.shape[1])
    assert extractor.protocol == {"extractor": name, "weights_sha256": read_card(name)["sha256"], "resize": "none"}
    assert extractor.protocol_for(extractor.data_shape) == extractor.protocol


@pytest.mark.parametrize("name", NAMES)
def test_a_micro_batch_changes_features_by_rounding_at_most(name):
    extractor = InDomainExtractor(name)
    images = native(name, 64)
    expected = extractor(images)
    for extractor.micro_batch in (1, 7, 32):
        for found, whole in zip(extractor(images), expected, strict=True):
            assert (found - whole).norm() <= 1e-6 * whole.norm()


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_threads_changes_no_bit_and_stays_as_it_was(name):
    extractor, images = InDomainExtractor(name), native(name, 70)
    alone = extractor(images)
    for threads in (2, 3, 2):  # the threads of the first time are there again
        torch.set_num_threads(threads)
        assert all(torch.equal(one, other) for one, other in zip(extractor(images), alone, strict=True))
        assert torch.get_num_threads() == threads


def test_threads_keep_gradients_and_autocast_out_and_the_order_of_the_images():
    extractor, images = InDomainExtractor("mnist-cnn"), native("mnist-cnn", 70)
    torch.set_num_threads(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = extractor(images).features
    assert features.dtype == torch.float32
    assert not features.requires_grad
    for index in (0, 31, 32, 69):
        torch.testing.assert_close(features[index], extractor(images[index : index + 1]).features[0], rtol=1e-4, atol=1e-5)


def test_weights_that_are_not_those_of_the_card_are_refused(own_weights):
    path = own_weights / "digits-cnn.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="does not have the SHA-256 of its card"):
        InDomainExtractor("digits-cnn")
    assert InDomainExtractor("mnist-cnn").name == "mnist-cnn"


def test_the_hash_of_the_weights_is_part_of_the_protocol():
    protocols = [InDomainExtractor(name).protocol for name in NAMES]
    assert len({protocol["weights_sha256"] for protocol in protocols}) == len(NAMES)


# Images of other shapes.


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("mnist-cnn", (1, 28, 28), {"resize": "none"}),
        ("mnist-cnn", (3, 28, 28), {"resize": "none", "channels": "luma"}),
        ("mnist-cnn", (3, 40, 28), {"resize": "antialias-bilinear-28", "channels": "luma"}),
        ("digits-cnn", (1, 4, 16), {"resize": "antialias-bilinear-8"}),
        ("cifar-cnn", (1, 64, 64), {"resize": "antialias-bilinear-32", "channels": "repeat"}),
    ],
)
def test_the_protocol_says_how_images_of_a_shape_are_adapted(name, shape, expected):
    extractor = InDomainExtractor(name)
    protocol = extractor.protocol_for(shape)
    assert protocol == {"extractor": name, "weights_sha256": read_card(name)["sha256"], **expected}
    assert extractor(torch.zeros(2, *shape, dtype=torch.uint8)).features.shape == (2, extractor.num_features)


def test_grey_is_repeated_and_colour_becomes_luma():
    grey = photo_patches(3, 32, 32)[:, :1]
    assert torch.equal(in_domain.adapt(grey, (3, 32, 32)), to_symmetric(grey).expand(-1, 3, -1, -1))
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], dtype=torch.uint8).view(4, 3, 1, 1)
    luma = in_domain.adapt(colours, (1, 1, 1)).flatten()
    torch.testing.assert_close((luma + 1) / 2, torch.tensor([0.299, 0.587, 0.114, 1.0]))


def test_other_sizes_are_resized_with_antialiasing():
    images = photo_patches(3, 64, 48)
    expected = interpolate(images.float(), size=(32, 32), mode="bilinear", align_corners=False, antialias=True)
    torch.testing.assert_close(in_domain.adapt(images, (3, 32, 32)), expected / 127.5 - 1)
    # Without antialiasing a fine checkerboard would become anything but grey.
    board = ((torch.arange(64)[:, None] + torch.arange(64)) % 2 * 255).to(torch.uint8).expand(1, 3, 64, 64)
    assert in_domain.adapt(board, (3, 8, 8)).abs().max() < 0.1


@pytest.mark.parametrize("shape", [(2, 8, 8), (4, 8, 8)])
def test_images_that_are_neither_grey_nor_rgb_are_refused_with_their_shape(shape):
    with pytest.raises(UserError, match="extractor 'digits-cnn': expected images of 1 or 3 channels") as caught:
        InDomainExtractor("digits-cnn")(torch.zeros(2, *shape, dtype=torch.uint8))
    assert str(list(shape)) in str(caught.value)


# Nothing but the images matters.


def test_the_default_type_changes_no_bit(images, own_weights):
    before = InDomainExtractor("digits-cnn")(images)
    in_domain._network.cache_clear()
    torch.set_default_dtype(torch.float64)
    after = InDomainExtractor("digits-cnn")(images)
    assert after.features.dtype == torch.float32
    assert same(before, after)


@pytest.mark.parametrize("name", NAMES)
def test_features_take_no_gradient_and_no_dropout_and_leave_no_trace(name):
    images = native(name)
    extractor = InDomainExtractor(name)
    state = torch.get_rng_state()
    first, second = extractor(images), extractor(images)
    assert not any(part.requires_grad for part in first)
    assert same(first, second)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", NAMES)
def test_autocast_does_not_reach_the_extractor(name):
    images = native(name)
    extractor = InDomainExtractor(name)
    expected = extractor(images)
    with torch.autocast("cpu", torch.bfloat16):
        found = extractor(images)
    assert same(found, expected)


def test_an_extractor_on_another_device_does_not_take_the_weights_along(images):
    extractor = InDomainExtractor("digits-cnn")
    expected = extractor(images)
    try:
        InDomainExtractor("digits-cnn", "meta")
        assert same(extractor(images), expected)
    finally:
        in_domain._network.cache_clear()


def test_weights_are_not_rounded_when_the_default_type_is_half():
    in_domain._network.cache_clear()
    expected = {name: weight.clone() for name, weight in in_domain._network("digits-cnn").state_dict().items()}
    in_domain._network.cache_clear()
    torch.set_default_dtype(torch.bfloat16)
    try:
        rounded = in_domain._network("digits-cnn").state_dict()
    finally:
        torch.set_default_dtype(torch.float32)
        in_domain._network.cache_clear()
    assert all(torch.equal(rounded[name], weight) for name, weight in expected.items())


# Names.


@pytest.mark.parametrize("name", NAMES)
def test_a_name_gives_the_packages_extractor(name):
    images = native(name)
    built = build_extractor(name, dialect="torchmetrics", arithmetic="reference")
    assert built.name == name
    assert not built.is_inception
    assert same(built(images), InDomainExtractor(name)(images))


@pytest.mark.parametrize(
    ("name", "near"), [("digit-cnn", "digits-cnn"), ("inception-v3-tensorflow", "inception-v3-tf"), ("dinov2-vitl14", "dinov2-vit-l-14")]
)
def test_an_unknown_name_is_answered_with_the_near_one(name, near):
    with pytest.raises(UserError, match=f"extractor '{name}': unknown; did you mean '{near}'"):
        build_extractor(name)


@pytest.mark.parametrize("option", [{"weights": "file.pth"}, {"layer": "64"}])
@pytest.mark.parametrize("name", ["mnist-cnn", "somewhere:something"])
def test_an_option_that_an_extractor_cannot_honour_is_refused_by_name(name, option):
    key = next(iter(option))
    with pytest.raises(UserError, match=f"{key}: extractor '{name}' takes none, got '{option[key]}'"):
        build_extractor(name, **option)


@pytest.mark.parametrize(("key", "value"), [("dialect", "tf2"), ("arithmetic", "quick")])
def test_an_unknown_value_of_an_option_is_refused(key, value):
    with pytest.raises(UserError, match=f"{key}: unknown value '{value}'"):
        build_extractor("mnist-cnn", **{key: value})
