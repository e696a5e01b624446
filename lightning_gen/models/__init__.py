"""Every model by name; each loads when it is first used."""

from lightning_gen.lazy import lazy_exports

MODELS = {
    "VAE": "autoencoders.vae",
    "BetaVAE": "autoencoders.beta_vae",
    "IWAE": "autoencoders.iwae",
    "GAN": "gans.gan",
    "DCGAN": "gans.dcgan",
}

__getattr__, __dir__ = lazy_exports(__name__, MODELS)
