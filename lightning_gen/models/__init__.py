"""Every model by name; each loads when it is first used."""

from lightning_gen.lazy import lazy_exports

MODELS = {
    "Autoencoder": "autoencoders.autoencoder",
    "DenoisingAutoencoder": "autoencoders.denoising_autoencoder",
    "ContractiveAutoencoder": "autoencoders.contractive_autoencoder",
    "LatentDensityModel": "autoencoders.latent_density",
    "VAE": "autoencoders.vae",
    "BetaVAE": "autoencoders.beta_vae",
    "BetaTCVAE": "autoencoders.beta_tcvae",
    "ConditionalVAE": "autoencoders.conditional_vae",
    "IWAE": "autoencoders.iwae",
    "MixturePriorVAE": "autoencoders.mixture_prior_vae",
    "VampPriorVAE": "autoencoders.vamp_prior_vae",
    "HierarchicalVAE": "autoencoders.hierarchical_vae",
    "LadderVAE": "autoencoders.ladder_vae",
    "PriorSamplingLVM": "autoencoders.prior_sampling_lvm",
    "EnumerationLVM": "autoencoders.enumeration_lvm",
    "PoissonVAE": "autoencoders.poisson_vae",
    "IAFVAE": "autoencoders.iaf_vae",
    "VQVAE": "autoencoders.vq_vae",
    "RealNVP": "flows.real_nvp",
    "Glow": "flows.glow",
    "NICE": "flows.nice",
    "MAF": "flows.maf",
    "IAF": "flows.iaf",
    "NSF": "flows.nsf",
    "AutoregressiveNSF": "flows.nsf",
    "FFJORD": "flows.ffjord",
    "MixtureCDFFlow": "flows.mixture_cdf_flow",
    "FlowPP": "flows.flow_pp",
    "FVSBN": "autoregressive.fvsbn",
    "MADE": "autoregressive.made",
    "PixelCNN": "autoregressive.pixel_cnn",
    "GatedPixelCNN": "autoregressive.gated_pixel_cnn",
    "RowLSTM": "autoregressive.pixel_rnn",
    "DiagonalBiLSTM": "autoregressive.pixel_rnn",
    "GAN": "gans.gan",
    "DCGAN": "gans.dcgan",
}

__getattr__, __dir__ = lazy_exports(__name__, MODELS)
