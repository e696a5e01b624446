"""Our numbers are torch-fidelity's on the same image files with the same Inception weights, and torchmetrics' in its dialect.

The weights are random: nothing here says how good an image is, only that two programs say the same of it.
"""

import re

import pytest
import torch
import torch_fidelity
from inception_weights import inception_weights_file, photo_patches
from PIL import Image
from torchmetrics.image.fid import FrechetInceptionDistance, NoTrainInceptionV3
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance
from torchvision.datasets import CIFAR10

from lightning_gen.data.base import default_root
from lightning_gen.evaluation.api import score
from lightning_gen.metrics.extractors import has_official_weights
from lightning_gen.metrics.extractors.inception_weights import FILE_NAME

ALL = ("fid", "is", "kid", "prdc")


def folder_of(path, images):
    """PNG files, grey ones as mode L."""
    path.mkdir()
    for number, image in enumerate(images):
        pixels = image.permute(1, 2, 0).numpy()
        Image.fromarray(pixels[..., 0] if len(image) == 1 else pixels).save(path / f"{number:04}.png")
    return str(path)


def two_sets(tmp_path, count, height=32, width=32, grey=False):
    """Photo patches, and as many from elsewhere with less contrast."""
    real, samples = photo_patches(count, height, width, seed=1), photo_patches(count, height, width, seed=2) // 2 + 40
    if grey:
        real, samples = (images.float().mean(1, keepdim=True).byte() for images in (real, samples))
    return folder_of(tmp_path / "samples", samples), folder_of(tmp_path / "real", real), samples, real


def ours(samples, real, arithmetic="reference", **options):
    options = {"extractor": "inception-v3-tf", "extractor_weights": inception_weights_file(), "arithmetic": arithmetic, **options}
    scores = score(samples, real, **options).scores
    assert all("(inception-v3-tf:" in one.name for one in scores), "random weights are never called FID"
    return {re.sub(r"\(.*\)", "", one.name): one for one in scores}


def theirs(samples, real, count, **options):
    switches = {"cuda": False, "cache": False, "verbose": False, "save_cpu_ram": True, "batch_size": 8, "kid_subset_size": min(count, 1000)}
    network = {"feature_extractor": "inception-v3-compat", "feature_extractor_weights_path": inception_weights_file()}
    return torch_fidelity.calculate_metrics(input1=samples, input2=real, **switches, **network, **options)


@pytest.mark.parametrize(("height", "width", "grey"), [(32, 32, False), (64, 48, False), (48, 64, True), (299, 299, True)])
def test_every_score_of_image_files_is_torch_fidelitys(tmp_path, height, width, grey):
    count = 11
    samples, real, *_ = two_sets(tmp_path, count, height, width, grey)
    expected = theirs(samples, real, count, fid=True, isc=True, kid=True, prc=True)
    found = ours(samples, real, metrics=ALL)
    assert found["FD"].value == pytest.approx(expected["frechet_inception_distance"], rel=1e-4)
    assert found["CS"].value == pytest.approx(expected["inception_score_mean"], rel=1e-9)
    assert found["CS"].uncertainty == pytest.approx(expected["inception_score_std"], abs=1e-9)
    assert found["KD"].value == pytest.approx(expected["kernel_inception_distance_mean"], abs=1e-6, rel=1e-5)
    assert found["precision"].value == pytest.approx(expected["precision"], abs=1e-6)
    assert found["recall"].value == pytest.approx(expected["recall"], abs=1e-6)


def test_the_fast_forward_and_exact_sums_give_torch_fidelitys_distance(tmp_path):
    samples, real, *_ = two_sets(tmp_path, 12)
    expected = theirs(samples, real, 12, fid=True, isc=True)
    found = ours(samples, real, "fast", metrics=("fid", "is"))
    assert found["FD"].value == pytest.approx(expected["frechet_inception_distance"], rel=1e-4)
    assert found["CS"].value == pytest.approx(expected["inception_score_mean"], rel=1e-4)


VARIANTS = {"reference": {}, "exact": {"exact": True}, "fast": {"arithmetic": "fast"}}


@pytest.mark.parametrize(("layer", "count"), [("64", 80), pytest.param("192", 250, marks=pytest.mark.slow)])
def test_with_more_images_than_features_the_distance_agrees_to_six_digits(tmp_path, layer, count):
    samples, real, *_ = two_sets(tmp_path, count)
    expected = theirs(samples, real, count, fid=True, feature_layer_fid=layer)["frechet_inception_distance"]
    found = {key: ours(samples, real, metrics=("fid",), layer=layer, **options)["FD"].value for key, options in VARIANTS.items()}
    assert found["reference"] == pytest.approx(expected, rel=1e-6)
    assert found["exact"] == pytest.approx(found["reference"], rel=1e-9)
    assert found["fast"] == pytest.approx(expected, rel=1e-4)


def of_torchmetrics(samples, real):
    """Its three metrics with its own network, under the weights of the test."""
    networks = {
        layer: NoTrainInceptionV3("inception-v3-compat", [layer], inception_weights_file()) for layer in ("2048", "logits_unbiased")
    }
    torch.manual_seed(2020)
    inception = InceptionScore(networks["logits_unbiased"])
    inception.update(samples)
    torch.manual_seed(2020)
    mean, std = inception.compute()
    kernel = KernelInceptionDistance(networks["2048"], subset_size=len(samples))
    frechet = FrechetInceptionDistance(networks["2048"])
    for metric in (kernel, frechet):
        metric.update(real, real=True)
        metric.update(samples, real=False)
    torch.manual_seed(2020)
    return frechet.compute().item(), mean.item(), std.item(), kernel.compute()[0].item()


def test_every_score_of_the_torchmetrics_dialect_is_torchmetrics(tmp_path):
    samples, real, sample_images, real_images = two_sets(tmp_path, 12, 40, 32)
    frechet, mean, std, kernel = of_torchmetrics(sample_images, real_images)
    found = ours(samples, real, metrics=("fid", "is", "kid"), dialects=("torchmetrics",))
    assert found["FD[torchmetrics]"].value == pytest.approx(frechet, rel=1e-4)
    assert found["CS[torchmetrics]"].value == pytest.approx(mean, rel=1e-6)
    assert found["CS[torchmetrics]"].uncertainty == pytest.approx(std, rel=1e-5)
    assert found["KD[torchmetrics]"].value == pytest.approx(kernel, abs=1e-6, rel=1e-5)


def test_two_dialects_print_two_numbers_for_the_same_images(tmp_path):
    samples, real, *_ = two_sets(tmp_path, 12)
    found = ours(samples, real, "fast", metrics=("fid",), dialects=("tf1", "torchmetrics"))
    assert [*found] == ["FD", "FD[torchmetrics]"]
    assert found["FD"].value != pytest.approx(found["FD[torchmetrics]"].value, rel=1e-4), "the resize differs"
    assert found["FD"].fingerprint != found["FD[torchmetrics]"].fingerprint


@pytest.mark.slow
def test_the_golden_values_of_the_real_weights():
    """torch-fidelity's own regression values for the first 5,000 images of CIFAR-10's train split against those of its test split."""
    if not has_official_weights():
        pytest.skip(f"{FILE_NAME} is not on this machine")
    try:
        sets = [CIFAR10(default_root(), train=train).data[:5000] for train in (True, False)]
    except RuntimeError as error:
        pytest.skip(f"CIFAR-10 is not on this machine ({error})")
    samples, real = (torch.from_numpy(images).permute(0, 3, 1, 2).contiguous() for images in sets)
    found = {one.name: one for one in score(samples, real, extractor="inception-v3-tf", metrics=("fid", "is", "kid")).scores}
    assert found["FID"].value == pytest.approx(10.3233274, rel=1e-4)
    assert found["KID"].value == pytest.approx(-2.907863e-05, abs=1e-6)
    assert found["IS"].value == pytest.approx(10.75051, rel=1e-4)
    assert found["IS"].uncertainty == pytest.approx(0.5778723, rel=1e-3)
