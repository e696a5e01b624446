"""Every data set by name; each loads when it is first used."""

from lightning_gen.lazy import lazy_exports

DATASETS = {
    "Digits": "digits",
    "PhotoPatches": "photo_patches",
    "Factors": "factors",
    "MNIST": "mnist",
    "FashionMNIST": "mnist",
    "CIFAR10": "cifar",
    "CIFAR100": "cifar",
    "CelebA": "celeba",
    "ImageFolder": "image_folder",
    "ToyDensity": "toy_density",
}

__getattr__, __dir__ = lazy_exports(__name__, DATASETS)
