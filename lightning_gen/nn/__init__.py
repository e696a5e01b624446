"""Networks, tensor to tensor; they know no losses and no pixel ranges."""

from lightning_gen.lazy import lazy_exports

NETWORKS = {
    "MLPEncoder": "mlp",
    "MLPDecoder": "mlp",
    "ConvEncoder": "conv",
    "ConvDecoder": "conv",
    "ResidualEncoder": "residual",
    "ResidualDecoder": "residual",
    "BiGANEncoder": "adversarial.bigan",
    "Encoder": "base",
    "Decoder": "base",
}

__getattr__, __dir__ = lazy_exports(__name__, NETWORKS)
