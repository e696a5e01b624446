"""Inception: bit for bit torch-fidelity's and torchmetrics' features in reference arithmetic, the same function in fast arithmetic."""

import pytest
import torch
from inception_weights import inception_weights_file, photo_patches
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchmetrics.image.fid import NoTrainInceptionV3

from lightning_gen.errors import UserError
from lightning_gen.metrics.extractors import InceptionV3TF, build_extractor
from lightning_gen.metrics.extractors.inception import SIZE, fold_batch_norm, resize_antialiased, resize_tf1

SHAPES = [(3, 32, 32), (3, 64, 48), (3, 299, 299), (1, 32, 32)]
LAYERS = ["64", "192", "768", "2048"]
BOUND = 2e-5


@pytest.fixture(scope="module")
def weights():
    return inception_weights_file()


@pytest.fixture(scope="module")
def theirs(weights):
    """torch-fidelity's own extractor with all features."""
    return FeatureExtractorInceptionV3("inception-v3-compat", [*LAYERS, "logits_unbiased"], feature_extractor_weights_path=weights)


@pytest.fixture(scope="module")
def fast(weights):
    return InceptionV3TF(weights=weights)


@pytest.fixture(scope="module")
def reference(weights):
    return InceptionV3TF(weights=weights, arithmetic="reference")


def photos(shape, count=2):
    channels, height, width = shape
    return photo_patches(count, height, width, seed=5)[:, :channels].contiguous()


def rgb(images):
    return images.repeat(1, 3 // images.shape[1], 1, 1)


def distance(one, other):
    """Relative L2 distance."""
    return ((one - other).norm() / other.norm()).item()


@pytest.mark.parametrize("shape", SHAPES)
def test_reference_features_and_logits_are_torch_fidelitys_bit_for_bit(theirs, reference, shape):
    images = photos(shape)
    *_, features, logits = theirs(rgb(images))
    found = reference(images)
    assert torch.equal(found.features, features)
    assert torch.equal(found.logits, logits)
    assert features.std(0).mean() > 0.05  # different images have different features


@pytest.mark.parametrize("shape", SHAPES)
def test_fast_features_and_logits_are_near(theirs, fast, shape):
    images = photos(shape)
    *_, features, logits = theirs(rgb(images))
    found = fast(images)
    assert 0 < distance(found.features, features) < BOUND
    assert distance(found.logits, logits) < BOUND


@pytest.mark.parametrize("layer", LAYERS[:3])
def test_earlier_layers_exit_early_and_have_no_logits(weights, theirs, layer):
    images = photos((3, 64, 48))
    expected = theirs(images)[LAYERS.index(layer)]
    reference = InceptionV3TF(weights=weights, arithmetic="reference", layer=layer)
    fast = build_extractor("inception-v3-tf", weights=weights, layer=int(layer))
    assert torch.equal(reference(images).features, expected)
    assert distance(fast(images).features, expected) < BOUND
    assert fast(images).logits is None
    assert (fast.num_features, fast.num_classes, fast.is_inception) == (int(layer), 0, False)
    assert fast.protocol["layer"] == layer
    assert fast.name.endswith(f"@{layer}")


@pytest.fixture(scope="module")
def torchmetrics_dialect(weights):
    """Our extractors in this dialect, and torchmetrics' own by feature."""
    ours = {name: InceptionV3TF(weights=weights, dialect="torchmetrics", arithmetic=name) for name in ("reference", "fast")}
    return ours, {name: NoTrainInceptionV3("inception-v3-compat", [name], weights) for name in ("2048", "logits_unbiased")}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_torchmetrics_dialect_is_torchmetrics_bit_for_bit(torchmetrics_dialect, shape):
    images = photos(shape)
    ours, theirs = torchmetrics_dialect
    features, logits = (theirs[name](rgb(images)) for name in ("2048", "logits_unbiased"))
    found = ours["reference"](images)
    assert torch.equal(found.features, features)
    assert torch.equal(found.logits, logits)
    assert distance(ours["fast"](images).features, features) < BOUND
    assert ours["fast"].protocol["resize"] == "antialias-bilinear-299"


def test_the_dialects_differ_where_there_is_something_to_resize(torchmetrics_dialect, fast):
    other = torchmetrics_dialect[0]["fast"]
    assert distance(other(photos((3, 32, 32), 1)).features, fast(photos((3, 32, 32), 1)).features) > 1e-3
    assert distance(other(photos((3, 299, 299), 1)).features, fast(photos((3, 299, 299), 1)).features) < BOUND


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (32, 32), (64, 48), (299, 17), (400, 640)])
@pytest.mark.parametrize(("dialect", "resize"), [("tf1", resize_tf1), ("torchmetrics", resize_antialiased)])
def test_two_matrix_products_are_the_resize(fast, size, dialect, resize):
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    extractor = object.__new__(InceptionV3TF)
    extractor.__dict__.update(fast.__dict__, dialect=dialect, _matrices={})
    expected = (resize(images.float(), (SIZE, SIZE)) - 128) / 128
    found = extractor._resized(images)
    assert found.shape == (2, 3, SIZE, SIZE)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3 / 128)


def test_folding_leaves_no_batch_norm_and_the_same_function(weights):
    network = InceptionV3TF(weights=weights, arithmetic="reference").network
    x = torch.randn(1, 3, 75, 75)
    before = network.Conv2d_2b_3x3(network.Conv2d_2a_3x3(network.Conv2d_1a_3x3(x)))
    fold_batch_norm(network)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    torch.testing.assert_close(network.Conv2d_2b_3x3(network.Conv2d_2a_3x3(network.Conv2d_1a_3x3(x))), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arithmetic", ["fast", "reference"])
def test_nothing_but_the_images_changes_a_bit(arithmetic, request):
    extractor = request.getfixturevalue(arithmetic)
    images = photos((3, 32, 32), 1)
    expected = extractor(images)
    state = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    with torch.autocast("cpu", torch.bfloat16), torch.enable_grad():
        found = extractor(images)
    torch.set_default_dtype(torch.float32)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert not one.requires_grad
        assert torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("arithmetic", ["fast", "reference"])
def test_features_do_not_depend_on_the_micro_batch(arithmetic, request, monkeypatch):
    extractor = request.getfixturevalue(arithmetic)
    images = photos((3, 32, 32), 3)
    expected = extractor(images)
    for size in (1, 2):
        monkeypatch.setattr(extractor, "micro_batch", size)
        for one, other in zip(extractor(images), expected, strict=True):
            assert distance(one, other) <= 1e-6


def test_building_leaves_the_random_state_alone_and_ignores_the_default_type(weights, fast):
    state = torch.get_rng_state()
    torch.set_default_dtype(torch.bfloat16)
    built = InceptionV3TF(weights=weights)
    torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), state)
    images = photos((3, 32, 32), 1)
    assert torch.equal(built(images).features, fast(images).features)


def test_other_numbers_of_channels_are_refused(fast):
    with pytest.raises(UserError, match=r"expected images of 1 or 3 channels, got shape \[4, 32, 32\]"):
        fast(torch.zeros(1, 4, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize(("key", "value"), [("dialect", "clean"), ("arithmetic", "exact"), ("layer", "2047")])
def test_an_unknown_option_is_refused_before_the_weights_are_touched(key, value):
    with pytest.raises(UserError, match=f"{key}: unknown value '{value}'"):
        InceptionV3TF(weights="/nowhere", **{key: value})


def test_the_number_of_threads_changes_no_bit():
    extractor = InceptionV3TF(weights=inception_weights_file(), layer="192")
    images = photo_patches(20)
    alone = extractor(images).features
    torch.set_num_threads(2)
    assert torch.equal(extractor(images).features, alone)
