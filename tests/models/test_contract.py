"""What every model promises: it learns with all its parameters and comes back from its file; and what each of its capabilities promises,
such as that sample i of seed s is always the same."""

import itertools
import math

import pytest
import torch

from lightning_gen.checkpoint import load_model
from lightning_gen.errors import UserError
from lightning_gen.models import (
    ACGAN,
    DCGAN,
    DRAGAN,
    FFJORD,
    FVSBN,
    GAN,
    IAF,
    IAFVAE,
    IWAE,
    LSGAN,
    MADE,
    MAF,
    NICE,
    NSF,
    SAGAN,
    SNGAN,
    VAE,
    VQVAE,
    WGAN,
    WGANGP,
    Autoencoder,
    AutoregressiveNSF,
    BiGAN,
    BigGAN,
    ContractiveAutoencoder,
    CoordinatePixelRNN,
    DenoisingAutoencoder,
    DiagonalBiLSTM,
    EnumerationLVM,
    FlowPP,
    GANOfNetworks,
    GatedPixelCNN,
    Glow,
    HierarchicalVAE,
    ImageTransformer,
    InfoGAN,
    LadderVAE,
    LatentRegressorGAN,
    MixtureCDFFlow,
    MixturePriorVAE,
    PixelCNN,
    PixelCNNPP,
    PoissonVAE,
    PriorSamplingLVM,
    ProjectionGAN,
    RealNVP,
    RelativisticGAN,
    RowLSTM,
    VampPriorVAE,
    WaveNet,
)
from lightning_gen.models.capabilities import SupportsLatents, SupportsLikelihood, SupportsPrior, SupportsSampling, capabilities_of
from lightning_gen.models.flows.normalizing_flow import NormalizingFlow
from lightning_gen.models.gans.wgan import WassersteinGAN
from lightning_gen.noise import IndexedNoise

CONV = {"encoder": {"class_path": "ConvEncoder", "width": 4}, "decoder": {"class_path": "ConvDecoder", "width": 4}}
MLP = {"encoder": {"class_path": "MLPEncoder", "hidden": [9]}, "decoder": {"class_path": "MLPDecoder", "hidden": [9]}}
RESIDUAL = {"encoder": {"class_path": "ResidualEncoder", "width": 8}, "decoder": {"class_path": "ResidualDecoder", "width": 8}}
UPPER = {"upper_encoder": {"class_path": "MLPEncoder", "hidden": [7]}, "upper_decoder": {"class_path": "MLPDecoder", "hidden": [7]}}
TWO_LAYERS = {"latent_dim": 3, "upper_latent_dim": 2, **MLP, **UPPER}
DECODER = {"decoder": MLP["decoder"]}
VARIATIONAL = {"class_path": "VariationalDequantization", "width": 4, "num_blocks": 1, "num_components": 2, "context_width": 4}
MADE_NETWORK = {"class_path": "MADENetwork", "init_args": {"hidden": [20], "activation": "tanh"}}
AUTOREGRESSIVE = {"class_path": "AutoregressiveCodePrior", "network": MADE_NETWORK}
PIXEL_CNN = {"width": 4, "num_blocks": 2, "head_width": 16, "first_kernel_size": 5}
GATED_PIXEL_CNN = {"width": 4, "num_layers": 2, "head_width": 16, "first_kernel_size": 5, "kernel_size": 3}
LABELS = {"num_classes": 4, "conditional": True}
MLP_GAN = {"generator": {"class_path": "MLPGenerator", "hidden": [9]}, "discriminator": {"class_path": "MLPDiscriminator", "hidden": [9]}}
CONV_GAN = {
    "generator": {"class_path": "DCGANGenerator", "width": 4},
    "discriminator": {"class_path": "DCGANDiscriminator", "width": 4, "normalization": "layer"},
}
CNN_GAN = {"generator": {"class_path": "CNNGenerator", "width": 4}, "discriminator": {"class_path": "CNNDiscriminator", "width": 4}}
RESNET_GAN = {
    "generator": {"class_path": "ResNetGenerator", "width": 4},
    "discriminator": {"class_path": "ResNetDiscriminator", "width": 4},
}
ATTENTION_GAN = {part: {**spec, "attention": True} for part, spec in RESNET_GAN.items()}
R3GAN = {
    "generator": {"class_path": "R3GANGenerator", "width": 8, "group_width": 4},
    "discriminator": {"class_path": "R3GANDiscriminator", "width": 8, "group_width": 4},
}
BIGGAN = {
    "generator": {"class_path": "BigGANGenerator", "width": 8, "attention": True},
    "discriminator": {"class_path": "ResNetDiscriminator", "width": 8, "attention": True},
}
BIGAN = {part: {"class_path": f"BiGAN{part.title()}", "width": 9} for part in ("generator", "encoder", "discriminator")}
CONV_BIGAN = {
    "generator": {"class_path": "DCGANGenerator", "width": 4},
    "encoder": {"class_path": "ConvEncoder", "width": 4},
    "discriminator": {"class_path": "ConvBiGANDiscriminator", "width": 4},
}
EACH = {"latent_dim": 3, "n_critic": 1}
CASES = {
    "VAE mlp": (VAE, {"latent_dim": 3, **MLP}),
    "VAE conv": (VAE, {"latent_dim": 3, "likelihood": "DiscretizedLogistic", **CONV}),
    "FVSBN": (FVSBN, {}),
    "MADE": (MADE, {"hidden": [70], "order": "random"}),
    "PixelCNN": (PixelCNN, {**PIXEL_CNN, "dilations": [1, 2]}),
    "GatedPixelCNN": (GatedPixelCNN, GATED_PIXEL_CNN),
    "RowLSTM": (RowLSTM, {"width": 4, "num_layers": 1, "head_width": 16}),
    "DiagonalBiLSTM": (DiagonalBiLSTM, {"width": 4, "num_layers": 1, "head_width": 16}),
    "PixelCNNPP": (PixelCNNPP, {"width": 4, "num_blocks": 1, "dropout": 0.5}),
    "PixelCNNPP softmax": (PixelCNNPP, {"width": 4, "num_blocks": 1, "dropout": 0.0, "output": "Categorical"}),
    "CoordinatePixelRNN": (CoordinatePixelRNN, {"hidden_size": 9, "num_layers": 2}),
    "WaveNet": (WaveNet, {"dilations": [1, 2, 9], "width": 4, "skip_width": 20}),
    "ImageTransformer": (ImageTransformer, {"width": 8, "num_blocks": 1, "num_heads": 2, "order": "random"}),
    "GAN": (GAN, {"latent_dim": 3, "hidden": [9]}),
    "DCGAN": (DCGAN, {"latent_dim": 3, "width": 4}),
    "DCGAN augmented": (DCGAN, {"latent_dim": 3, "width": 4, "augmentation": ["color", "translation", "cutout"]}),
    "GANOfNetworks": (GANOfNetworks, {**EACH, "initialization": "orthogonal", **CONV_GAN}),
    "LSGAN": (LSGAN, {**EACH, **CONV_GAN}),
    "WGAN": (WGAN, {**EACH, **MLP_GAN}),
    "WGANGP": (WGANGP, {**EACH, **RESNET_GAN}),
    "DRAGAN": (DRAGAN, {**EACH, **CONV_GAN}),
    "BiGAN": (BiGAN, {"latent_dim": 3, **BIGAN}),
    "BiGAN conv": (BiGAN, {"latent_dim": 3, **CONV_BIGAN}),
    "BiGAN of smaller images": (BiGAN, {"latent_dim": 3, "generated_size": 4, **BIGAN}),
    "LatentRegressorGAN": (LatentRegressorGAN, {"latent_dim": 3, **BIGAN}),
    "LatentRegressorGAN joint": (LatentRegressorGAN, {"latent_dim": 3, "joint": True, **BIGAN}),
    "SNGAN": (SNGAN, {**EACH, **RESNET_GAN}),
    "SNGAN cnn": (SNGAN, {**EACH, "objective": "non_saturating", **CNN_GAN}),
    "InfoGAN": (InfoGAN, {"latent_dim": 3, "categories": [3, 2], **CONV_GAN}),
    "RelativisticGAN": (RelativisticGAN, {"latent_dim": 3, **R3GAN}),
    "RelativisticGAN average": (RelativisticGAN, {"latent_dim": 3, "objective": "average", **MLP_GAN}),
    "SAGAN": (SAGAN, {**EACH, **ATTENTION_GAN}),
    "BigGAN": (BigGAN, {**EACH, "truncation": 1.0, **BIGGAN}),
    "conditional ProjectionGAN": (ProjectionGAN, {**EACH, **RESNET_GAN, **LABELS}),
    "conditional SNGAN cnn": (SNGAN, {**EACH, **CNN_GAN, **LABELS}),
    "conditional ACGAN": (ACGAN, {**EACH, **CONV_GAN, **LABELS}),
    "conditional BiGAN": (BiGAN, {"latent_dim": 3, **BIGAN, **LABELS}),
    "conditional BiGAN conv": (BiGAN, {"latent_dim": 3, **CONV_BIGAN, **LABELS}),
    "conditional InfoGAN": (InfoGAN, {"latent_dim": 3, **MLP_GAN, **LABELS}),
    "conditional RelativisticGAN": (RelativisticGAN, {"latent_dim": 3, **R3GAN, **LABELS}),
    "conditional SAGAN": (SAGAN, {**EACH, **ATTENTION_GAN, **LABELS}),
    "conditional BigGAN": (BigGAN, {**EACH, **BIGGAN, **LABELS}),
    "RealNVP": (RealNVP, {"width": 4, "num_blocks": 1, "normalization": "ActNorm"}),
    "RealNVP batch normalisation": (RealNVP, {"width": 4, "num_blocks": 1}),
    "NSF": (NSF, {"width": 4, "num_blocks": 1, "num_steps": 1}),
    "AutoregressiveNSF": (AutoregressiveNSF, {"width": 70, "num_blocks": 1, "num_steps": 1}),
    "RealNVP variational": (RealNVP, {"width": 4, "num_blocks": 1, "normalization": "ActNorm", "dequantization": VARIATIONAL}),
    "MixtureCDFFlow": (MixtureCDFFlow, {"num_components": 2, "hidden": [9]}),
    "FlowPP": (FlowPP, {"width": 4, "num_blocks": 1, "num_components": 2, "dequantization": VARIATIONAL}),
    "Glow": (Glow, {"num_steps": 2, "width": 4}),
    "Glow additive": (Glow, {"num_steps": 1, "width": 4, "coupling": "additive", "convolution": "lu"}),
    "NICE": (NICE, {"hidden": [9]}),
    "FFJORD": (FFJORD, {"width": 4, "num_layers": 1, "num_blocks": 1, "num_scales": 2, "tolerance": 0.01, "evaluation_num_steps": 2}),
    "MAF": (MAF, {"num_layers": 2, "hidden": [70]}),
    "IAF": (IAF, {"num_layers": 2, "hidden": [70]}),
    "conditional MAF": (MAF, {"num_layers": 2, "hidden": [70], "normalization": "ActNorm", **LABELS}),
    "IAFVAE": (IAFVAE, {"latent_dim": 3, "num_steps": 2, "flow_hidden": [5], "context_features": 2, **MLP}),
    "Autoencoder mlp": (Autoencoder, {"latent_dim": 3, **MLP}),
    "Autoencoder conv": (Autoencoder, {"latent_dim": 3, **CONV}),
    "DenoisingAutoencoder": (DenoisingAutoencoder, {"latent_dim": 3, "chain_steps": 3, **MLP}),
    "ContractiveAutoencoder exact": (ContractiveAutoencoder, {"latent_dim": 3, **MLP}),
    "ContractiveAutoencoder projected": (ContractiveAutoencoder, {"latent_dim": 3, "exact_up_to": 0, **MLP}),
    "PoissonVAE": (PoissonVAE, {"latent_dim": 9, **MLP}),
    "PoissonVAE relaxed": (PoissonVAE, {"latent_dim": 9, "gradient": "relaxed", "temperature": 0.1, **MLP}),
    "VQVAE mlp": (VQVAE, {"code_shape": [5], "num_codes": 7, "code_dim": 2, **MLP}),
    "VQVAE residual": (VQVAE, {"code_shape": [2, 2], "num_codes": 40, "code_dim": 3, **RESIDUAL}),
    "VQVAE autoregressive prior": (VQVAE, {"code_shape": [5], "num_codes": 7, "code_dim": 2, "code_prior": AUTOREGRESSIVE, **MLP}),
    "IWAE": (IWAE, {"latent_dim": 3, "gradient": "doubly_reparameterized", **MLP}),
    "MixturePriorVAE": (MixturePriorVAE, {"latent_dim": 3, "num_components": 4, **MLP}),
    "VampPriorVAE": (VampPriorVAE, {"latent_dim": 3, "num_pseudo_inputs": 40, **MLP}),
    "HierarchicalVAE": (HierarchicalVAE, TWO_LAYERS),
    "LadderVAE": (LadderVAE, TWO_LAYERS),
    "PriorSamplingLVM": (PriorSamplingLVM, {"latent_dim": 3, **DECODER}),
    "EnumerationLVM": (EnumerationLVM, {"latent_dim": 9, "observation_noise": True, **DECODER}),
    "conditional HierarchicalVAE": (HierarchicalVAE, {**TWO_LAYERS, **LABELS}),
    "conditional LadderVAE": (LadderVAE, {**TWO_LAYERS, **LABELS}),
    "conditional PriorSamplingLVM": (PriorSamplingLVM, {"latent_dim": 3, **DECODER, **LABELS}),
    "conditional EnumerationLVM": (EnumerationLVM, {"latent_dim": 9, "observation_noise": True, **DECODER, **LABELS}),
    "conditional VQVAE": (VQVAE, {"code_shape": [40], "num_codes": 60, "code_dim": 2, **MLP, **LABELS}),
    "conditional MADE": (MADE, {"hidden": [70], "activation": "tanh", **LABELS}),
    "conditional PixelCNN": (PixelCNN, {**PIXEL_CNN, **LABELS}),
    "conditional GatedPixelCNN": (GatedPixelCNN, {**GATED_PIXEL_CNN, **LABELS}),
    "conditional RowLSTM": (RowLSTM, {"width": 4, "num_layers": 1, "head_width": 16, **LABELS}),
    "conditional DiagonalBiLSTM": (DiagonalBiLSTM, {"width": 4, "num_layers": 1, "head_width": 16, **LABELS}),
    "conditional PixelCNNPP": (PixelCNNPP, {"width": 4, "num_blocks": 1, "dropout": 0.0, **LABELS}),
    "conditional CoordinatePixelRNN": (CoordinatePixelRNN, {"hidden_size": 9, **LABELS}),
    "conditional WaveNet": (WaveNet, {"dilations": [1, 8], "width": 4, "skip_width": 20, **LABELS}),
    "conditional ImageTransformer": (ImageTransformer, {"width": 8, "num_blocks": 1, **LABELS}),
    "conditional Glow": (Glow, {"num_steps": 1, "width": 4, **LABELS}),
    "conditional VAE": (VAE, {"latent_dim": 3, **MLP, **LABELS}),
    "conditional DCGAN": (DCGAN, {"latent_dim": 3, "width": 4, **LABELS}),
    "conditional Autoencoder": (Autoencoder, {"latent_dim": 3, **MLP, **LABELS}),
    "conditional DenoisingAutoencoder": (DenoisingAutoencoder, {"latent_dim": 3, "chain_steps": 3, **MLP, **LABELS}),
}
WITHOUT_NOISE = ["Autoencoder mlp", "Autoencoder conv", "conditional Autoencoder", "ContractiveAutoencoder exact"]
WITHOUT_NOISE += [name for name, (cls, options) in CASES.items() if cls.family == "autoregressive" and not options.get("dropout")]
"""What draws nothing when it is trained."""
CONDITIONAL = [name for name in CASES if "conditional" in name]


CLASSES = [*dict.fromkeys(cls for cls, _ in CASES.values())]


def capable(*capabilities, among=CASES):
    """The cases with all these capabilities."""
    return [name for name in among if {*capabilities} <= {*capabilities_of(CASES[name][0])}]


def build(name):
    cls, options = CASES[name]
    model = cls([1, 8, 8], **options)
    # Away from the initialisation, where a DCGAN's pictures are nearly all grey and different samples could be equal.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5).add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.fixture(params=CASES)
def model(request):
    return build(request.param)


@pytest.fixture(params=capable("sampling"))
def sampler(request):
    return build(request.param)


@pytest.fixture(params=CONDITIONAL)
def conditional(request):
    return build(request.param)


@pytest.fixture(params=capable("sampling", among=CONDITIONAL))
def conditional_sampler(request):
    return build(request.param)


@pytest.fixture
def batch(tiny):
    """Six images with their labels."""
    return tiny().batch("test", range(6))


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def labels_for(model, labels):
    """The labels for a conditional model; None for any other."""
    return labels if model.conditional else None


def latent_dim(model):
    return sum(math.prod(shape) for shape in model.latent_shapes.values())


def test_one_step_changes_every_trained_parameter(model, tiny, fit):
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    # As many images as there are labels in every batch, so that each class is seen.
    fit(model, tiny(batch_size=32), batches=1)
    untouched = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    # A critic's constant falls out of the difference of real and generated images (of the hinge loss, while none lies beyond a margin).
    allowed = ["discriminator.head.bias"] if isinstance(model, WassersteinGAN | SNGAN | RelativisticGAN) else []
    assert not {*untouched} - {*allowed}
    assert (model.images_seen, model.batches_seen) == (32, 1)


def test_every_parameter_has_exactly_one_optimiser(model):
    optimizers = model.configure_optimizers()
    groups = [group for optimizer in (optimizers if isinstance(optimizers, list) else [optimizers]) for group in optimizer.param_groups]
    optimised = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(optimised) == sorted(id(parameter) for parameter in model.trained_parameters())


@pytest.mark.parametrize("name", CASES)
def test_training_twice_gives_the_same_weights_and_another_seed_others_where_training_draws(name, tiny, fit, save):
    path = save(build(name))
    ends = []
    for seed in (0, 0, 1):
        again = load_model(path).train()
        again.training_seed = seed
        torch.manual_seed(seed + len(ends))  # which must not matter
        fit(again, tiny())
        ends.append(state(again))
    assert same(ends[0], ends[1])
    assert same(ends[0], ends[2]) == (name in WITHOUT_NOISE)


class Forgetful(VAE):
    """Drops half of what it sees, by the global generator as torch's dropout does."""

    def posterior(self, images, labels=None):
        self.seen = torch.nn.functional.dropout(images.float(), training=self.training)
        return super().posterior(self.seen, labels)


def test_dropout_is_keyed_by_seed_and_step_whatever_the_global_generator_was(tiny, fit):
    def seen(seed, ambient, batches=1):
        model = Forgetful([1, 8, 8], latent_dim=3)
        model.training_seed = seed
        torch.manual_seed(ambient)
        fit(model, tiny(), batches=batches)
        return model.seen == 0

    assert torch.equal(seen(0, ambient=0), seen(0, ambient=1))
    assert not torch.equal(seen(0, ambient=0), seen(1, ambient=0))
    assert not torch.equal(seen(0, ambient=0), seen(0, ambient=0, batches=2))


def test_a_checkpoint_holds_the_whole_model(model, tiny, fit, tmp_path):
    fit(model, tiny()).save_checkpoint(tmp_path / "model.ckpt")
    again = load_model(tmp_path / "model.ckpt")
    assert type(again) is type(model)
    assert again.hyperparameters == model.hyperparameters
    assert same(state(again), state(model))


# Samples.


def test_a_checkpoint_draws_the_same_samples(sampler, tiny, fit, tmp_path):
    fit(sampler, tiny()).save_checkpoint(tmp_path / "model.ckpt")
    again = load_model(tmp_path / "model.ckpt")
    assert torch.equal(again.sample(70, seed=3), sampler.sample(70, seed=3))


def test_samples_are_images_and_a_function_of_the_seed(sampler):
    first = sampler.sample(8, seed=3)
    assert (first.shape, first.dtype) == ((8, 1, 8, 8), torch.uint8)
    torch.manual_seed(1)
    torch.rand(5)
    assert torch.equal(sampler.sample(8, seed=3), first)
    others = [sampler.sample(8, seed=seed) for seed in (0, 4, -3)]
    assert all(not torch.equal(one, other) for one, other in itertools.combinations([first, *others], 2))
    assert all(not torch.equal(one, other) for one, other in itertools.combinations(first, 2))


def test_sample_i_depends_neither_on_the_number_nor_on_the_first_index_in_float64(sampler):
    sampler.double()
    whole = sampler.sample(200)
    for first, count in [(0, 1), (0, 65), (63, 2), (64, 64), (100, 100), (199, 1), (37, 90)]:
        assert torch.equal(sampler.sample(count, first_index=first), whole[first : first + count])


def test_whole_blocks_are_the_same_in_float32(sampler):
    whole = sampler.sample(192)
    assert torch.equal(sampler.sample(64), whole[:64])
    assert torch.equal(sampler.sample(128, first_index=64), whole[64:])
    with sampler.inference():
        assert torch.equal(sampler.sample_block(0, range(64, 128)), whole[64:128])


def test_float64_samples_are_the_float32_ones_but_for_rounding(sampler):
    single = sampler.sample(64).int()
    assert (sampler.double().sample(64).int() - single).abs().max() <= 1


def test_sampling_changes_nothing(sampler):
    sampler.create_ema()
    before, modes = state(sampler), [module.training for module in sampler.modules()]
    generator = torch.get_rng_state()
    sampler.sample(70)
    assert same(state(sampler), before)
    assert [module.training for module in sampler.modules()] == modes
    assert torch.equal(torch.get_rng_state(), generator)


def test_no_samples_are_refused(sampler):
    with pytest.raises(UserError, match="num_samples: expected at least 1, got 0"):
        sampler.sample(0)


# Labels.


def test_labels_change_samples_item_by_item(conditional_sampler):
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    first, second = conditional_sampler.sample(6, labels=labels), conditional_sampler.sample(6, labels=torch.tensor([0, 1, 3, 3, 0, 1]))
    assert (first != second).flatten(1).any(1).tolist() == [False, False, True, False, False, False]


def test_by_default_classes_take_turns_by_index(conditional_sampler):
    conditional_sampler.double()
    assert torch.equal(conditional_sampler.sample(10), conditional_sampler.sample(10, labels=torch.arange(10) % 4))
    assert torch.equal(conditional_sampler.default_labels(range(62, 67)), torch.tensor([2, 3, 0, 1, 2]))
    assert conditional_sampler.default_labels(range(64)).bincount().tolist() == [16] * 4
    assert torch.equal(
        conditional_sampler.sample(4, first_index=3), conditional_sampler.sample(4, first_index=3, labels=torch.tensor([3, 0, 1, 2]))
    )


def test_labels_follow_their_images_over_blocks(conditional_sampler):
    conditional_sampler.double()
    labels = torch.randint(0, 4, (150,))
    whole = conditional_sampler.sample(150, labels=labels)
    assert torch.equal(conditional_sampler.sample(90, first_index=60, labels=labels[60:]), whole[60:])


def test_a_wrong_number_of_labels_is_refused(conditional_sampler):
    with pytest.raises(UserError, match=r"labels: expected 3 \(one per sample\), got 2"):
        conditional_sampler.sample(3, labels=torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("name", [name for name in capable("sampling") if name not in CONDITIONAL])
def test_sample_refuses_labels_that_would_be_ignored(name):
    with pytest.raises(UserError, match="was trained without labels"):
        build(name).sample(2, labels=torch.zeros(2, dtype=torch.int64))


def calls_of(model, images, labels):
    """A call of each of its capabilities, without sampling, with the labels."""
    options = {"labels": labels}
    calls = {
        "latents": lambda: model.encode(images, **options),
        "reconstruction": lambda: model.reconstruct(images, **options),
        "decoding": lambda: model.decode(torch.zeros(6, latent_dim(model) if hasattr(model, "latent_shapes") else 3), **options),
        "likelihood": lambda: model.log_prob(images, noise=IndexedNoise(0, range(6)), **options),
    }
    return [calls[name] for name in capabilities_of(model) if name in calls]


@pytest.mark.parametrize("name", [name for name in CASES if name not in CONDITIONAL])
def test_other_calls_refuse_labels_that_would_be_ignored(name, batch):
    for call in calls_of(build(name), *batch):
        with pytest.raises(UserError, match="was trained without labels"):
            call()


def test_missing_labels_are_refused(conditional, batch):
    for call in calls_of(conditional, batch[0], None):
        with pytest.raises(UserError, match="is conditional; expected labels, got none"):
            call()


@pytest.mark.parametrize("name", capable("likelihood", among=CONDITIONAL))
def test_labels_change_likelihoods(name, batch):
    model = build(name).double()
    images, labels = batch
    with model.inference():
        one, other = (
            model.log_prob(images, labels=chosen, noise=IndexedNoise(0, range(6)), num_samples=3) for chosen in (labels, (labels + 1) % 4)
        )
    assert (one != other).all()


@pytest.mark.parametrize("name", capable("latents", among=CONDITIONAL))
def test_labels_change_latents(name, batch):
    model = build(name).double()
    images, labels = batch
    with model.inference():
        changed = model.encode(images, labels=labels) != model.encode(images, labels=(labels + 1) % 4)
    assert changed.any(1).all()  # of a flow with several scales not every part knows the class


@pytest.mark.parametrize("cls", CLASSES)
def test_a_model_without_labels_in_the_data_cannot_be_conditional(cls):
    with pytest.raises(UserError, match="the data has no labels to condition on"):
        cls([1, 8, 8], conditional=True)


@pytest.mark.parametrize("cls", [VAE, GAN, DCGAN, DenoisingAutoencoder])
def test_attributes_condition_as_classes_do(cls, batch):
    model = cls([1, 8, 8], num_attributes=3, conditional=True).double()
    attributes = torch.tensor([[0, 0, 0], [1, 0, 1]])
    assert torch.equal(model.sample(2), model.sample(2, labels=torch.zeros(2, 3, dtype=torch.int64)))
    model.requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(5)
    assert not torch.equal(model.sample(2, labels=attributes)[1], model.sample(2)[1])


# Averages and inference mode.


def averaged(model):
    """A model whose averages are clearly not its live weights."""
    model.create_ema()
    with torch.no_grad():
        for parameter in model.ema.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def test_averages_sample_something_else_than_the_live_weights(sampler):
    live = sampler.sample(8)
    sampler.create_ema()
    assert torch.equal(sampler.sample(8), live)
    averaged(sampler)
    assert torch.equal(sampler.sample(8, weights="live"), live)
    assert not torch.equal(sampler.sample(8, weights="ema"), live)


def test_averages_are_not_trained_and_stay_in_evaluation_mode(model, tiny, fit):
    averaged(model)
    before = {name: tensor.clone() for name, tensor in model.ema.state_dict().items()}
    fit(model.train(), tiny())
    assert same(before, model.ema.state_dict())
    assert not any(module.training for module in model.ema.modules())


def test_an_average_moves_by_one_minus_decay_and_copies_buffers(model):
    averaged(model)
    for buffer in (buffer for name, buffer in model.named_buffers() if not name.startswith("ema.")):
        buffer.add_(1)
    old, live = {name: tensor.clone() for name, tensor in model.ema.state_dict().items()}, model.state_dict()
    buffers = {name for name, _ in model.ema.named_buffers()}
    model.update_ema(0.75)
    for name, tensor in model.ema.state_dict().items():
        expected = live[name] if name in buffers else 0.75 * old[name] + 0.25 * live[name]
        torch.testing.assert_close(tensor, expected)


@pytest.mark.parametrize("weights", ["ema", "live"])
@pytest.mark.parametrize("fails", [False, True])
def test_inference_restores_modes_weights_and_types_also_after_an_exception(model, weights, fails):
    averaged(model).double().train()
    next(iter(model.children())).eval()  # a mixture of modes
    modes, before = {name: module.training for name, module in model.named_modules()}, state(model)
    networks = {name: getattr(model, name) for name in model.averaged_networks}
    try:
        with model.inference(weights):
            assert not any(module.training for module in model.modules())
            assert not torch.is_grad_enabled()
            assert torch.get_default_dtype() == torch.float64
            assert all((getattr(model, name) is networks[name]) == (weights == "live") for name in networks)
            if fails:
                raise ZeroDivisionError
    except ZeroDivisionError:
        assert fails
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(getattr(model, name) is network for name, network in networks.items())
    assert same(state(model), before)
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


def test_inference_nests(model):
    averaged(model)
    inner = {name: model.ema[name] for name in model.ema}
    with model.inference("ema"):
        with model.inference("ema"):
            assert all(getattr(model, name) is network for name, network in inner.items())
        assert all(getattr(model, name) is network for name, network in inner.items())
        assert not torch.is_grad_enabled()
    assert all(getattr(model, name) is not network for name, network in inner.items())


# Hyperparameters and capabilities.


@pytest.mark.parametrize("value", [torch.nn.ReLU(), torch.relu, torch.tensor(1.0), object(), {1, 2}, [1, [torch.float32]]])
@pytest.mark.parametrize("cls", CLASSES)
def test_hyperparameters_that_are_not_plain_data_are_refused(cls, value):
    with pytest.raises(UserError, match="hyperparameters must be plain data"):
        cls([1, 8, 8], learning_rate=value)


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (VAE, {"posterior": "Poisson"}, r"model\.posterior: expected DiagonalNormal or FullNormal for VAE, got 'Poisson'"),
        (VAE, {"kl_estimator": "typo"}, r"model\.kl_estimator: expected closed_form or monte_carlo"),
        (IWAE, {"kl_estimator": "closed_form"}, r"model\.kl_estimator: expected monte_carlo for IWAE"),
        (IWAE, {"gradient": "typo"}, r"model\.gradient: expected standard or doubly_reparameterized"),
        (GAN, {"objective": "typo"}, r"model\.objective: expected minimax or non_saturating"),
    ],
)
def test_a_value_that_the_annotation_does_not_list_is_refused_also_in_python(cls, options, message):
    with pytest.raises(UserError, match=message):
        cls([1, 8, 8], **options)


def test_hyperparameters_are_all_arguments_of_the_outermost_class_as_plain_data():
    class Mine(GAN):
        def __init__(self, data_shape, strength=2.0, **options):
            super().__init__(data_shape, hidden=[strength and 7], **options)

    model = Mine((1, 8, 8), latent_dim=5, betas=(0.1, 0.2))
    hparams = dict(model.hparams)
    assert hparams.items() >= {"data_shape": [1, 8, 8], "strength": 2.0, "latent_dim": 5, "betas": [0.1, 0.2], "n_critic": 1}.items()
    assert dict(Mine([1, 8, 8], 3.0).hparams)["strength"] == 3.0


@pytest.mark.parametrize("shape", [[], [8, 8], [1, 0, 8], [1, 1, 8, 8]])
@pytest.mark.parametrize("cls", CLASSES)
def test_shapes_that_no_data_has_are_refused(cls, shape):
    with pytest.raises(UserError, match="data_shape"):
        cls(shape)


@pytest.mark.parametrize("num_bits", [0, 9])
@pytest.mark.parametrize("cls", CLASSES)
def test_bit_depths_that_a_byte_does_not_have_are_refused(cls, num_bits):
    with pytest.raises(UserError, match="num_bits: expected 1 to 8"):
        cls([1, 8, 8], num_bits=num_bits)


@pytest.mark.parametrize("cls", [VAE, GAN, DenoisingAutoencoder])
def test_vectors_go_in_and_out_as_float32(cls, tiny, fit):
    model = cls([2], latent_dim=3)
    fit(model, tiny(data_shape=(2,)))
    samples = model.sample(5)
    assert (samples.shape, samples.dtype) == ((5, 2), torch.float32)
    assert len(samples.unique()) == 10


def test_nothing_pretends_to_a_capability_it_lacks():
    assert capabilities_of(GAN) == capabilities_of(DCGAN) == ["sampling", "decoding", "prior"]
    model = build("VAE mlp")
    assert capabilities_of(model) == ["sampling", "likelihood", "latents", "decoding", "prior", "posterior", "reconstruction"]
    assert isinstance(model, SupportsLatents)
    assert not isinstance(build("GAN"), SupportsLatents | SupportsLikelihood)
    assert capabilities_of(Autoencoder) == capabilities_of(build("Autoencoder mlp")) == ["latents", "decoding", "reconstruction"]
    assert capabilities_of(DenoisingAutoencoder) == ["sampling", "latents", "decoding", "reconstruction"]
    assert not isinstance(build("Autoencoder mlp"), SupportsSampling | SupportsLikelihood | SupportsPrior)


@pytest.mark.parametrize("name", capable("latents"))
def test_latents_have_the_promised_shape_and_are_a_function_of_the_image(name, batch):
    model = build(name).double()
    images, labels = batch[0], labels_for(model, batch[1])
    with model.inference():
        z = model.encode(images, labels=labels)
        assert z.shape == (6, latent_dim(model))
        torch.testing.assert_close(model.encode(images[2:4], labels=None if labels is None else labels[2:4]), z[2:4], rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", capable("latents", "reconstruction"))
def test_reconstruction_is_decode_of_encode(name, batch):
    model = build(name)
    images, labels = batch[0], labels_for(model, batch[1])
    with model.inference():
        reconstructions = model.reconstruct(images, labels=labels)
        assert (reconstructions.shape, reconstructions.dtype) == (images.shape, images.dtype)
        assert torch.equal(reconstructions, model.decode(model.encode(images, labels=labels), labels=labels))


@pytest.mark.parametrize("name", capable("decoding", "prior"))
def test_drawn_latents_are_decoded_to_images(name, batch):
    model = build(name)
    labels = labels_for(model, batch[1])
    with model.inference():
        z = model.draw_latents(IndexedNoise(0, range(6)), labels=labels)
        images = model.decode(z, labels=labels)
    assert z.shape[0] == 6
    assert (images.shape, images.dtype) == ((6, 1, 8, 8), torch.uint8)


@pytest.mark.parametrize("name", capable("likelihood"))
@pytest.mark.parametrize("num_samples", [1, 3, 33])
def test_the_likelihood_of_an_image_is_a_function_of_image_and_index(name, num_samples, batch):
    model = build(name).double()
    images, labels = batch[0], labels_for(model, batch[1])

    def log_prob(rows, seed=0):
        chosen = None if labels is None else labels[rows]
        return model.log_prob(images[rows], labels=chosen, noise=IndexedNoise(seed, rows), num_samples=num_samples)

    with model.inference():
        whole = log_prob(list(range(6)))
        assert whole.shape == (6,)
        torch.testing.assert_close(log_prob([4, 1]), whole[[4, 1]], rtol=1e-12, atol=0)
        # Only what is exact does not depend on the noise.
        same_again = log_prob(list(range(6)), seed=1) == whole
        assert same_again.all() if model.likelihood_kind(num_samples) == "exact" else not same_again.any()


# Refusals.

TOO_MANY = {"num_bins": 5000, "num_scales": 9, "num_levels": 9, "num_heads": 3, "dropout": 1.0, "alpha": 0.5}
"""Numbers that are too large for one reason or another; all are too small below zero."""
FLOWS = [name for name, (cls, _) in CASES.items() if issubclass(cls, NormalizingFlow)]


@pytest.mark.parametrize("name", FLOWS)
def test_a_number_that_a_flow_cannot_use_is_refused_by_the_name_and_with_the_value_that_the_user_gave(name):
    """Whatever layer or network finds it, and at whatever scale."""
    cls, options = CASES[name]
    numbers = {key: value for key, value in cls([1, 8, 8], **options).hyperparameters.items() if isinstance(value, int | float | list)}
    for key in numbers.keys() - {"data_shape", "num_bits", "num_classes", "num_attributes", "conditional"}:
        bad = [-1] if isinstance(numbers[key], list) else -1
        for value in [bad, *([TOO_MANY[key]] if key in TOO_MANY else [])]:
            with pytest.raises(UserError) as caught:
                cls([1, 8, 8], **{**options, key: value})
            message = str(caught.value)
            assert message.startswith(f"model.{key}: expected "), message
            assert message.endswith(f", got {value}"), message


@pytest.mark.parametrize(
    ("option", "value"), [("width", 0), ("num_blocks", 0), ("num_couplings", -1), ("num_heads", 3), ("context_width", 0), ("dropout", 1.0)]
)
def test_a_number_that_a_part_of_a_model_cannot_use_is_refused_as_the_parts(option, value):
    """The model has numbers of the same names, which are right."""
    cls, options = CASES["FlowPP"]
    with pytest.raises(UserError, match=rf"^model\.dequantization\.{option}: expected .*, got {value}$"):
        cls([1, 8, 8], **{**options, "dequantization": {**VARIATIONAL, option: value}})


@pytest.mark.parametrize(
    ("cls", "shape", "options"),
    [
        (RealNVP, [1], {}),
        (RealNVP, [3, 1, 1], {}),
        (NICE, [1], {}),
        (NSF, [1], {}),
        (Glow, [1, 7, 7], {"num_scales": 1}),
        (NSF, [1, 7, 7], {"num_levels": 1}),
        (Glow, [2], {}),
        (FlowPP, [1, 8, 6], {}),
    ],
)
def test_data_that_a_flow_cannot_divide_are_refused_as_data_and_with_their_shape(cls, shape, options):
    with pytest.raises(UserError) as caught:
        cls(shape, **options)
    assert str(caught.value).startswith("model.data_shape: ")
    assert str(shape) in str(caught.value)
