r"""The VQ-VAE (van den Oord, Vinyals & Kavukcuoglu, 2017, arXiv:1711.00937).

Implemented: nearest code, straight-through gradient, commitment term, the codebook as running means (the paper's Appendix A.1) reduced over
processes, and the prior over codes, in one module. Deviations: the reconstruction term is the full -log p(x|z) of a likelihood in nats
where the paper has a squared error, and the commitment is summed over positions and dimensions as that is over pixels, so that
log p(x|codes) + log p(codes) is a true lower bound on log p(x); the codebook starts as encoder outputs of the first batch, and codes that
nobody uses restart there (:mod:`lightning_gen.nn.quantizer`).

The prior is a nested specification. With ``prior_from_images: 0`` it is fitted to the codes of the moment, through which it sends no
gradient, beside everything else. Otherwise nothing trains it before so many images, and nothing else is trained after: from then on
encoder, decoder and codebook stay as they are to the last bit.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from lightning_gen import images as pixels
from lightning_gen.distributions.codes import CodePrior
from lightning_gen.distributions.likelihoods import Likelihood
from lightning_gen.errors import UserError
from lightning_gen.models.base import Batch, GenerativeModel
from lightning_gen.models.hyperparameters import require_at_least, require_positive
from lightning_gen.models.sampling import SamplesFromNoise
from lightning_gen.nn.base import Decoder, Encoder
from lightning_gen.nn.quantizer import VectorQuantizer, perplexity
from lightning_gen.noise import Noise
from lightning_gen.registry import ClassSpec, as_spec, build


class VQVAE(GenerativeModel, SamplesFromNoise):
    r"""Vector-quantised variational autoencoder.

    .. math:: -\log p(x | e_k) + \beta \|z_e(x) - \mathrm{sg}[e_k]\|^2, \qquad k = \arg\min_j \|z_e(x) - e_j\|

    with the gradient of the first term with respect to :math:`e_k` handed to :math:`z_e(x)`. Samples are decoded from codes that the
    prior draws.

    Args:
        data_shape: as for every :class:`GenerativeModel`.
        code_shape: shape of the codes of one image: any for a flat network, ``[H/4, W/4]`` for the residual ones.
        num_codes: K, codes in the codebook.
        code_dim: D, length of a code.
        encoder: network to a vector per position, a spec of an :class:`~lightning_gen.nn.base.Encoder`.
        decoder: network of p(x|z), a spec of a :class:`~lightning_gen.nn.base.Decoder`.
        likelihood: family of p(x|z), a spec of a :class:`~lightning_gen.distributions.likelihoods.Likelihood`.
        code_prior: distribution of the codes, a spec of a :class:`~lightning_gen.distributions.codes.CodePrior`; of a conditional model it
            alone is given the labels.
        beta: weight of the commitment.
        decay: γ of the codebook's running means, per batch.
        restart_below: a code used less than this share of the average use is moved to an encoder output of the batch; 0 for never.
        prior_from_images: the first stage is trained until so many images, the prior alone afterwards; 0 for both together.
        observation_noise: whether samples are draws from p(x|z); otherwise its mean is shown.
        learning_rate: Adam's, for encoder and decoder.
        prior_learning_rate: Adam's, for the prior.
        decay_images: both learning rates fall linearly to zero over so many images; 0 for constant rates.
        **data: the rest of what describes the data, and ``conditional``, as for every :class:`GenerativeModel`.
    """

    family = "autoencoder"
    density = "explicit bound"
    paper = "van den Oord, Vinyals & Kavukcuoglu 2017, arXiv:1711.00937"
    data_dependent = ("quantizer",)
    averaged_networks = ("encoder", "decoder", "likelihood", "quantizer", "code_prior")
    code_uses: Tensor
    """How often each code was used since the epoch began, over all processes, ``(K,)``."""

    def __init__(
        self,
        data_shape: list[int],
        code_shape: list[int] = [8, 8],
        num_codes: int = 512,
        code_dim: int = 64,
        encoder: ClassSpec | str = "ResidualEncoder",
        decoder: ClassSpec | str = "ResidualDecoder",
        likelihood: ClassSpec | str = "Gaussian",
        code_prior: ClassSpec | str = "CategoricalCodePrior",
        beta: float = 0.25,
        decay: float = 0.99,
        restart_below: float = 0.03,
        prior_from_images: int = 0,
        observation_noise: bool = False,
        learning_rate: float = 2e-4,
        prior_learning_rate: float = 1e-3,
        decay_images: int = 0,
        **data: Any,
    ) -> None:
        super().__init__(data_shape, **data)
        require_at_least(1, num_codes=num_codes, code_dim=code_dim, code_shape=min(code_shape, default=0))
        require_at_least(0, beta=beta, prior_from_images=prior_from_images, decay_images=decay_images)
        require_positive(learning_rate=learning_rate, prior_learning_rate=prior_learning_rate)
        for name, value in (("decay", decay), ("restart_below", restart_below)):
            if not 0 <= value < 1:
                raise UserError(f"model.{name}: expected a number from 0 to below 1, got {value}")
        self.code_shape = tuple(code_shape)
        self.num_codes = num_codes
        features = math.prod(code_shape) * code_dim
        self.likelihood = build(likelihood, Likelihood, "model.likelihood", data_shape=self.data_shape, num_bits=self.num_bits)
        self.encoder = build(encoder, Encoder, "model.encoder", data_shape=self.data_shape, out_features=features)
        self.decoder = build(decoder, Decoder, "model.decoder", in_features=features, out_shape=self.likelihood.parameter_shape)
        self.quantizer = VectorQuantizer(num_codes, code_dim, decay, restart_below)
        self.code_prior = build(
            code_prior, CodePrior, "model.code_prior", code_shape=self.code_shape, num_codes=num_codes, labels=self.label_kind
        )
        self.register_buffer("code_uses", torch.zeros(num_codes, dtype=torch.int64))
        self._require_grid()

    def _require_grid(self) -> None:
        """A fully convolutional network has one position per cell of its grid, and no choice."""
        for network in (self.encoder, self.decoder):
            grid = getattr(network, "grid", self.code_shape)
            if grid != self.code_shape:
                raise UserError(f"model.code_shape: expected {list(grid)} for {type(network).__name__}, got {list(self.code_shape)}")

    # Images and codes.

    def encode_vectors(self, images: Tensor) -> Tensor:
        """The encoder's vectors z_e, one per position: ``(B, positions, D)``."""
        z_e = self.encoder(pixels.to_input(images, self.data_shape, self.dtype))
        return z_e.to(torch.promote_types(z_e.dtype, torch.float32)).unflatten(1, (math.prod(self.code_shape), -1))

    def encode_codes(self, images: Tensor) -> Tensor:
        """The nearest code at each position, int64 ``(B, *code_shape)``."""
        return self.quantizer(self.encode_vectors(images)).unflatten(1, self.code_shape)

    def likelihood_parameters(self, codes: Tensor) -> Tensor:
        """What the decoder says of codes: the parameters of p(x|codes)."""
        return self.decoder(self.quantizer.lookup(codes.flatten(1)).flatten(1))

    def decode_codes(self, codes: Tensor) -> Tensor:
        """The mean of p(x|codes), uint8."""
        return self.likelihood.mean(self.likelihood_parameters(codes))

    def reconstruct(self, images: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """``decode_codes(encode_codes(images))``; the labels of a conditional model are the prior's alone."""
        self.condition(labels)
        return self.decode_codes(self.encode_codes(images))

    # Stages.

    @property
    def frozen(self) -> bool:
        """Whether the first stage is over, at the images seen."""
        return 0 < self.hparams.prior_from_images < self.images_seen

    @property
    def fits_prior(self) -> bool:
        """Whether the prior is being trained, at the images seen."""
        return self.frozen or not self.hparams.prior_from_images

    def first_stage_parameters(self) -> list[nn.Parameter]:
        """What the first stage trains, besides the codebook."""
        return [parameter for network in (self.encoder, self.decoder, self.likelihood) for parameter in network.parameters()]

    def idle_parameters(self) -> list[nn.Parameter]:
        """What the present stage leaves alone."""
        waiting = [] if self.fits_prior else [*self.code_prior.parameters()]
        return waiting + (self.first_stage_parameters() if self.frozen else [])

    def initialize_from_data(self, batch: Batch, noise: Noise) -> None:
        """The codebook from encoder outputs of the first global batch."""
        z_e = self.encode_vectors(batch[0])
        self.quantizer.initialize(z_e.flatten(0, 1), noise.uniform("codebook", z_e.shape[1:2]).flatten())

    # Training.

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        noise = self.step_noise(batch)
        with torch.set_grad_enabled(not self.frozen):
            z_e = self.encode_vectors(batch[0])
        codes = self.quantizer(z_e)
        terms = self.loss_terms(batch, z_e, codes, noise)
        self.follow(z_e.detach(), codes, noise)
        self.log_terms(terms)
        # Several processes expect a gradient of every parameter; that of an idle one is thrown away before the step.
        return terms["loss"] + 0.0 * sum(parameter.sum() for parameter in self.idle_parameters())

    def loss_terms(self, batch: Batch, z_e: Tensor, codes: Tensor, noise: Noise) -> dict[str, Tensor]:
        """The loss of the present stage and its parts, nats per image: distortion and commitment, rate of the codes, or all three."""
        terms = {} if self.frozen else self.reconstruction_terms(batch[0], z_e, codes, noise)
        if self.fits_prior:
            terms["rate"] = -self.code_prior.log_prob(codes.unflatten(1, self.code_shape), self.labels_of(batch)).mean()
        return {"loss": torch.stack([*terms.values()]).sum(), **terms}

    def reconstruction_terms(self, images: Tensor, z_e: Tensor, codes: Tensor, noise: Noise) -> dict[str, Tensor]:
        """-log p(x|codes), and what ties the encoder to its codes."""
        e = self.quantizer.lookup(codes)
        z_q = z_e + (e - z_e).detach()  # the value of e, the gradient of z_e
        distortion = -self.likelihood.log_prob(self.decoder(z_q.flatten(1)), self.likelihood.target(images, noise))
        commitment = self.hparams.beta * (z_e - e).square().sum((1, 2))
        return {"distortion": distortion.mean(), "commitment": commitment.mean()}

    def follow(self, z_e: Tensor, codes: Tensor, noise: Noise) -> None:
        """Let the codebook follow its vectors, and count the uses of each code."""
        if self.frozen:
            return
        u = noise.uniform("restart", z_e.shape[1:2])
        uses = self.quantizer.update(z_e.flatten(0, 1), codes.flatten(), u.flatten())
        self.code_uses += uses.round().long()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Count the batch; an epoch's first starts the count of uses anew, and a stage that is over is not in training mode."""
        super().on_train_batch_start(batch, batch_idx)
        if (self.batches_seen - 1) % len(self.trainer.train_dataloader) == 0 and not self.frozen:
            self.code_uses.zero_()
        if self.frozen:
            for network in (self.encoder, self.decoder, self.likelihood, self.quantizer):
                network.eval()

    def update_ema(self, decay: float) -> None:
        """Also the averages of a first stage that is over are what it ended as, so that the prior's codes are theirs."""
        super().update_ema(decay)
        if self.frozen:
            for name in ("encoder", "decoder", "likelihood", "quantizer"):
                self.ema[name].load_state_dict(getattr(self, name).state_dict())

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Adam leaves a parameter without a gradient as it is; one with a zero gradient it would move by its momentum."""
        for parameter in self.idle_parameters():
            parameter.grad = None

    def on_train_epoch_end(self) -> None:
        """Log the perplexity of the codes over the epoch, not the mean of the batches' perplexities."""
        if not self.frozen:
            self.log("train/perplexity", perplexity(self.code_uses), sync_dist=True)  # the same on every rank already

    def validation_terms(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """The terms of the loss on a batch."""
        z_e = self.encode_vectors(batch[0])
        return self.loss_terms(batch, z_e, self.quantizer(z_e), noise)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        prior = {"params": [*self.code_prior.parameters()], "lr": self.hparams.prior_learning_rate}
        return torch.optim.Adam([{"params": self.first_stage_parameters(), "lr": self.hparams.learning_rate}, prior])

    # Likelihood and samples.

    def log_prob(self, images: Tensor, *, labels: Tensor | None = None, noise: Noise, num_samples: int = 1) -> Tensor:
        r"""The bound :math:`\log p(x|k) + \log p(k) \le \log p(x)`, nats ``(B,)``; an image has one k, so there is nothing to average."""
        labels = self.condition(labels)
        codes = self.encode_codes(images)
        distortion = -self.likelihood.log_prob(self.likelihood_parameters(codes), self.likelihood.target(images, noise))
        return self.code_prior.log_prob(codes, labels) - distortion

    def likelihood_kind(self, num_samples: int = 1) -> str:
        """A bound: of the sum over all codes only the image's own term is counted."""
        return "lower bound"

    def sample_images(self, noise: Noise, *, labels: Tensor | None = None) -> Tensor:
        """Images of codes drawn from the prior: the mean of p(x|codes), or a draw of it with ``observation_noise``."""
        parameters = self.likelihood_parameters(self.code_prior.sample(noise, labels))
        return self.likelihood.sample(parameters, noise) if self.hparams.observation_noise else self.likelihood.mean(parameters)

    def answer_options(self) -> dict[str, Any]:
        prior = as_spec(self.hyperparameters["code_prior"], "model.code_prior")["class_path"].rpartition(".")[2]
        return {"observation_noise": self.hparams.observation_noise, "code_prior": prior}
