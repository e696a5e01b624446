"""torch-fidelity's other extractors behind the adapter: the same features, weights by file, one line when there are none."""

import hashlib
import os
import pathlib
import pickle
import urllib.error
import urllib.request

import pytest
import torch
import torchvision
from inception_weights import photo_patches
from torch_fidelity import FeatureExtractorBase
from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

from lightning_gen.errors import UserError
from lightning_gen.metrics.extractors import build_extractor
from lightning_gen.metrics.extractors.weight_files import state_sha256


class Tiles(FeatureExtractorBase):
    """Means of tiles, through a random layer: what a user may register."""

    INPUT_IMAGE_SIZE = 8

    def __init__(self, name, features_list, feature_extractor_weights_path=None, **kwargs):
        super().__init__(name, features_list)
        self.layer = torch.nn.Linear(12, 5)
        if feature_extractor_weights_path is None:
            torch.nn.init.constant_(self.layer.weight, 0.5)
            torch.nn.init.zeros_(self.layer.bias)
        else:
            self.load_state_dict(torch.load(feature_extractor_weights_path, weights_only=True))
        os.environ["TILES_WERE_HERE"] = "1"

    def forward(self, x):
        tiles = torch.nn.functional.adaptive_avg_pool2d(x.float(), 2).flatten(1)
        answers = {"tiles": tiles, "mixed": self.layer(tiles)}
        return tuple(answers[name] for name in self.features_list)

    @staticmethod
    def get_provided_features_list():
        return "tiles", "mixed"

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "mixed"


@pytest.fixture
def tiles(monkeypatch):
    monkeypatch.setitem(FEATURE_EXTRACTORS_REGISTRY, "tiles", Tiles)
    monkeypatch.delenv("TILES_WERE_HERE", raising=False)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty torch hub cache and no network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def refuse(*arguments, **options):
        raise urllib.error.URLError("no route to host")

    for module in (urllib.request, torch.hub):
        monkeypatch.setattr(module, "urlopen", refuse)
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def small_vgg(monkeypatch):
    """VGG16 with a narrow head, so that its weights take a second and not a minute."""
    full = torchvision.models.vgg16

    def narrow(**options):
        assert not options
        with torch.device("meta"):
            network = full()
        widths = [(512 * 49, 8), (8, 8), (8, 10)]
        for position, (inputs, outputs) in zip((0, 3, 6), widths, strict=True):
            network.classifier[position] = torch.nn.Linear(inputs, outputs, device="meta")
        return network.to_empty(device="cpu")

    monkeypatch.setattr(torchvision.models, "vgg16", narrow)
    return narrow


def test_a_registered_extractor_gives_the_features_that_it_takes_for_fid(tiles):
    extractor = build_extractor("tiles")
    images = photo_patches(5, 16, 12)
    features, logits = extractor(images)
    assert torch.equal(features, Tiles("tiles", ["mixed"])(images)[0])
    assert logits is None
    assert (extractor.name, extractor.num_features, extractor.num_classes, extractor.is_inception) == ("tiles", 5, 0, False)
    assert extractor.protocol["weights_sha256"] == state_sha256(extractor.network)
    assert extractor.protocol["preprocessing"].endswith("Tiles")


def test_building_leaves_the_random_state_and_the_environment_alone(tiles):
    state = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    extractor = build_extractor("tiles")
    assert extractor.network.layer.weight.dtype == torch.float32
    assert torch.equal(torch.get_rng_state(), state)
    assert "TILES_WERE_HERE" not in os.environ


def test_another_layer_is_part_of_the_protocol_and_an_unknown_one_refused(tiles):
    extractor = build_extractor("tiles", layer="tiles")
    extractor.prepare((3, 8, 8))
    assert extractor.num_features == 12
    assert extractor.protocol["layer"] == "tiles"
    assert "layer" not in build_extractor("tiles").protocol
    with pytest.raises(UserError, match="layer: unknown value 'tile'; did you mean 'tiles'"):
        build_extractor("tiles", layer="tile")


def test_grey_is_repeated_and_other_channels_are_refused(tiles):
    extractor = build_extractor("tiles", layer="tiles")
    grey = photo_patches(2, 8, 8)[:, :1]
    assert torch.equal(extractor(grey).features, extractor(grey.repeat(1, 3, 1, 1)).features)
    with pytest.raises(UserError, match="extractor 'tiles': expected images of 1 or 3 channels"):
        extractor(torch.zeros(1, 2, 8, 8, dtype=torch.uint8))


def test_a_file_of_weights_is_used_and_known_by_its_hash(tiles, tmp_path):
    network = Tiles("tiles", ["mixed"])
    with torch.no_grad():
        network.layer.weight.normal_()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    extractor = build_extractor("tiles", weights=tmp_path / "w.pth")
    images = photo_patches(2, 8, 8)
    assert torch.equal(extractor(images).features, network(images)[0])
    assert extractor.protocol["weights_sha256"] == hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["vgg16", "clip-vit-b-32", "dinov2-vit-s-14"])
@pytest.mark.parametrize("allow", [True, False])
def test_without_weights_and_network_one_line_names_the_file(hub, name, allow):
    with pytest.raises(UserError) as caught:
        build_extractor(name, allow_download=allow)
    message = str(caught.value)
    files = {"vgg16": "vgg16-397923af.pth", "clip-vit-b-32": "clip-vit-b-32-40d36571", "dinov2-vit-s-14": "dinov2_vits14_pretrain.pth"}
    assert "\n" not in message
    assert files[name] in message
    assert str(hub) in message
    reason = "no internet connection" if name.startswith("dinov2") else "no route to host"
    assert (reason if allow else "downloads are switched off") in message


def test_dinov2_needs_its_code_as_well_as_its_weights(hub):
    hub.mkdir(parents=True)
    (hub / "dinov2_vits14_pretrain.pth").write_bytes(b"weights")
    with pytest.raises(UserError, match=r"downloads are switched off.*facebookresearch_dinov2_main"):
        build_extractor("dinov2-vit-s-14", allow_download=False)


def test_vgg16_gives_its_second_hidden_layer_after_the_rectifier(hub, small_vgg, tmp_path):
    network = small_vgg()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    path = tmp_path / "vgg.pth"
    torch.save(network.state_dict(), path)
    extractor = build_extractor("vgg16", weights=path)
    images = photo_patches(2)
    expected = FeatureExtractorVGG16("vgg16", ["fc2_relu"], feature_extractor_weights_path=path)(images)[0]
    assert torch.equal(extractor(images).features, expected)
    assert extractor.protocol == {
        "extractor": "vgg16",
        "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "resize": "tf1-bilinear-224",
    }


def test_weights_with_code_are_refused_and_their_code_does_not_run(hub, small_vgg, tmp_path):
    class Forged:
        def __reduce__(self):
            return pathlib.Path.touch, (tmp_path / "ran",)

    torch.save({"weight": Forged()}, tmp_path / "zip.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Forged(), protocol=2))
    for name in ("vgg16", "clip-rn50"):
        for file in ("zip.pth", "raw.pth"):
            with pytest.raises(UserError, match=f"extractor '{name}'") as caught:
                build_extractor(name, weights=tmp_path / file)
            assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_dinov2_takes_no_file_and_says_where_to_put_it(hub, tmp_path):
    torch.save({}, tmp_path / "w.pth")
    with pytest.raises(
        UserError, match=r"weights: torch-fidelity takes no file for 'dinov2-vit-l-14'; put it at .*dinov2_vitl14_pretrain.pth"
    ):
        build_extractor("dinov2-vit-l-14", weights=tmp_path / "w.pth")
