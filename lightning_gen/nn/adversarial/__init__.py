"""Networks of GANs, tensor to tensor: generators of z, and discriminators that give a logit and the features before it."""

from lightning_gen.lazy import lazy_exports

NETWORKS = {
    "MLPGenerator": "mlp",
    "MLPDiscriminator": "mlp",
    "DCGANGenerator": "dcgan",
    "DCGANDiscriminator": "dcgan",
    "ResNetGenerator": "resnet",
    "ResNetDiscriminator": "resnet",
    "CNNGenerator": "sngan_cnn",
    "CNNDiscriminator": "sngan_cnn",
    "BigGANGenerator": "biggan",
    "R3GANGenerator": "r3gan",
    "R3GANDiscriminator": "r3gan",
    "BiGANGenerator": "bigan",
    "BiGANDiscriminator": "bigan",
    "ConvBiGANDiscriminator": "bigan",
    "JointDiscriminator": "base",
    "Generator": "base",
    "Discriminator": "base",
}

__getattr__, __dir__ = lazy_exports(__name__, NETWORKS)
