"""Random weights for torch-fidelity's Inception that give features as a real network does: spread out, and different for every image."""

import atexit
import functools
import pathlib
import shutil
import tempfile

import numpy as np
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from lightning_gen.metrics.extractors.inception import STAGES, resize_tf1


def photo_patches(count: int, height: int = 32, width: int = 32, seed: int = 0) -> Tensor:
    """uint8 ``(count, 3, height, width)``: patches at random places of scikit-learn's two photographs."""
    photos = load_sample_images().images
    generator = np.random.default_rng(seed)
    patches = []
    for index in range(count):
        photo = photos[index % 2]
        top, left = (generator.integers(0, limit - size + 1) for limit, size in zip(photo.shape, (height, width), strict=False))
        patches.append(photo[top : top + height, left : left + width])
    return torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).contiguous()


def random_inception_weights(path: str | pathlib.Path, seed: int = 0) -> pathlib.Path:
    """Write a state dict of He-initialised weights, BatchNorm calibrated on photographs, coarse and fine; takes three seconds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _empty_network()
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.8, 1.2)
                # Above zero on average. Around zero, a hundred random layers amplify rounding errors tenfold, in any arithmetic.
                nn.init.uniform_(module.bias, 0.0, 0.6)
                module.momentum = 1.0
        nn.init.normal_(network.fc.weight, std=0.1)
        nn.init.normal_(network.fc.bias)
    coarse = avg_pool2d(photo_patches(4, 128, 128).float(), 4)
    x = torch.cat([resize_tf1(coarse, (299, 299)), photo_patches(2, 299, 299).float()])
    x = (x - 128) / 128
    network.train()
    with torch.no_grad():
        for module in sum(STAGES.values(), ()):
            x = getattr(network, module)(x)
    torch.save(network.state_dict(), path)
    return pathlib.Path(path)


def _empty_network() -> nn.Module:
    """torch-fidelity's network without weights: its constructor insists on loading some."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unloaded(FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict, strict=True):
            return None

    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save({}, file.name)
        return Unloaded("inception-v3-compat", ["2048"], feature_extractor_weights_path=file.name)


@functools.cache
def inception_weights_file() -> str:
    """The path of one file of random weights for the whole test session; other processes may load it too."""
    folder = tempfile.mkdtemp(prefix="inception-weights-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(random_inception_weights(pathlib.Path(folder) / "random-inception.pth"))
