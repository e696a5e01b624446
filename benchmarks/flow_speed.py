"""A training step (loss, gradient, Adam) of flows beside normflows', on the same architecture; and inverses beside forward passes.

Usage: python -m pip install -e '.[benchmarks]' && python benchmarks/flow_speed.py [--device cuda] [--repeats 30] [--threads 1]

Medians of interleaved steps, in processor time on one CPU thread, which other programs do not lengthen, and else by the clock. Both get the
batch as floats that are dequantized already. The targets are ratios of at most 1, and of at most 1.2 for an inverse. On a GPU the peak
memory of a step is printed too; PyTorch does not count it on a CPU.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import normflows as nf
import torch
from noise_speed import machine
from torch import Tensor, nn

from lightning_gen import models as ours
from lightning_gen.models.flows.normalizing_flow import NormalizingFlow
from lightning_gen.nn.conditioner import WeightNormResNet
from lightning_gen.nn.data_dependent import initializing

Step = Callable[[], object]

BATCH, WIDTH = 32, 64


class OurLoss(nn.Module):
    """Ours without the bytes: the mean negative log-density of floats.

    Args:
        model: whose.
    """

    def __init__(self, model: NormalizingFlow) -> None:
        super().__init__()
        self.model = model

    def forward(self, y: Tensor) -> Tensor:
        z, log_det = self.model.bijection(y)
        return -(self.model.prior().log_prob(z) + log_det).mean()


class TheirLoss(nn.Module):
    """normflows' form of the same.

    Args:
        model: whose.
        multiscale: whether it has several scales, whose loss they call otherwise.
    """

    def __init__(self, model: nn.Module, multiscale: bool = False) -> None:
        super().__init__()
        self.model = model
        self.multiscale = multiscale

    def forward(self, y: Tensor) -> Tensor:
        return self.model(y - 0.5).mean() if self.multiscale else self.model.forward_kld(y)


def their_glow(shape: tuple[int, int, int], scales: int, steps: int, lu: bool) -> nf.MultiscaleFlow:
    """Glow of normflows: the same steps, network and scales; its factored-out parts have a prior that does not look at the rest."""
    channels, height, width = shape
    priors, flows, merges = [], [], []
    for level in range(scales):
        depth, side = channels * 2 ** (level + 2), 2 ** (level + 1)
        blocks = [nf.flows.GlowBlock(depth, WIDTH, use_lu=lu, net_actnorm=True) for _ in range(steps)]
        flows.append([*blocks, nf.flows.Squeeze()])
        latent = (depth if level == scales - 1 else depth // 2, height // side, width // side)
        priors.append(nf.distributions.GlowBase(latent))
        if level < scales - 1:
            merges.append(nf.flows.Merge())
    return nf.MultiscaleFlow(priors[::-1], flows[::-1], merges[::-1], class_cond=False)


class FirstHalf(nn.Module):
    """s of a network that gives s and t in one pass, bounded as ours; t is kept for :class:`SecondHalf`, which normflows asks next.

    Args:
        network: gives both, one after the other along the channels.
    """

    kept: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.gain = nn.Parameter(torch.ones(1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        s, self.kept = self.network(x).chunk(2, dim=1)
        return self.gain * torch.tanh(s)


class SecondHalf(nn.Module):
    """t, as kept.

    Args:
        first: by whom.
    """

    def __init__(self, first: FirstHalf) -> None:
        super().__init__()
        self.first = [first]  # its parameters are not ours

    def forward(self, x: Tensor) -> Tensor:
        return self.first[0].kept


def their_real_nvp(shape: tuple[int, int, int], couplings: int, blocks: int, width: int = WIDTH) -> nf.NormalizingFlow:
    """Couplings of normflows with checkerboard masks, our network in each, an ActNorm after each, and the logit of the data."""
    board = (torch.arange(shape[1]).view(-1, 1) + torch.arange(shape[2])) % 2.0
    flows: list[nn.Module] = []
    for index in range(couplings):
        first = FirstHalf(WeightNormResNet(shape[0], 2 * shape[0], width, blocks))
        flows += [nf.flows.ActNorm((shape[0], 1, 1)), nf.flows.MaskedAffineFlow(board.expand(shape) != index % 2, SecondHalf(first), first)]
        flows[-1].b = flows[-1].b.float()
    return nf.NormalizingFlow(nf.distributions.DiagGaussian(shape, trainable=False), [*flows, nf.transforms.Logit(0.05)])


def their_nice(size: int, couplings: int) -> nf.NormalizingFlow:
    """Additive couplings of normflows, and a scale; the prior is normal."""
    flows: list[nn.Module] = [nf.flows.AffineConstFlow((size,), shift=False)]
    for _ in range(couplings):
        network = nf.nets.MLP([size // 2, *[1000] * 5, size // 2], init_zeros=True)
        flows += [nf.flows.AffineCouplingBlock(network, scale=False), nf.flows.Permute(size, mode="swap")]
    return nf.NormalizingFlow(nf.distributions.DiagGaussian(size, trainable=False), flows)


def pairs(device: torch.device) -> dict[str, tuple[OurLoss, TheirLoss, Tensor]]:
    """Our loss, theirs, and a batch of floats, by the name of the architecture."""
    grey, colour = torch.rand(BATCH, 1, 28, 28), torch.rand(BATCH, 3, 32, 32)
    glow, lu = {"num_steps": 8, "width": WIDTH}, {"convolution": "lu"}
    real_nvp = ours.RealNVP([1, 28, 28], num_scales=1, width=WIDTH, num_blocks=2, normalization="ActNorm")
    found = {
        "Glow, 1x28x28, L = 2, K = 8": (ours.Glow([1, 28, 28], **glow), TheirLoss(their_glow((1, 28, 28), 2, 8, False), True), grey),
        "Glow, 3x32x32, L = 3, K = 8": (ours.Glow([3, 32, 32], **glow), TheirLoss(their_glow((3, 32, 32), 3, 8, False), True), colour),
        "Glow, LU": (ours.Glow([3, 32, 32], **glow, **lu), TheirLoss(their_glow((3, 32, 32), 3, 8, True), True), colour),
        "RealNVP, 1x28x28, 4 couplings": (real_nvp, TheirLoss(their_real_nvp((1, 28, 28), 4, 2)), grey),
        "NICE, 784": (ours.NICE([784]), TheirLoss(their_nice(784, 4)), grey.flatten(1)),
    }
    return {name: (OurLoss(model).to(device), theirs.to(device), y.to(device)) for name, (model, theirs, y) in found.items()}


def training_step(loss: nn.Module, y: Tensor) -> Step:
    """One step."""
    with initializing(loss):  # theirs initialises itself
        loss(y)
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-4)

    def step() -> None:
        value = loss(y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step


def directions(model: NormalizingFlow, y: Tensor) -> tuple[Step, Step]:
    """Inverse and forward pass, as in sampling and evaluation."""
    with initializing(model), torch.no_grad():
        z = model.bijection(y)[0]
    bijection = model.eval().bijection
    return torch.no_grad()(lambda: bijection.inverse(z)), torch.no_grad()(lambda: bijection(y))


def medians(steps: tuple[Step, Step], repeats: int, device: torch.device) -> list[float]:
    """Median seconds of each; they take turns, so that a busy moment of the machine hits both."""
    seconds: list[list[float]] = [[], []]
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    for repeat in range(-max(3, repeats // 10), repeats):
        for own, step in zip(seconds, steps, strict=True):
            start = clock()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if repeat >= 0:  # the first ones warm up
                own.append(clock() - start)
    return [statistics.median(own) for own in seconds]


def peak_memory(step: Step, device: torch.device) -> str:
    """Of one step, MiB; nothing on a CPU."""
    if device.type != "cuda":
        return "-"
    torch.cuda.reset_peak_memory_stats(device)
    step()
    return f"{torch.cuda.max_memory_allocated(device) / 2**20:.0f}"


def main() -> None:
    """Print one line per architecture, as Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    print(f"Machine: {machine(device)}; {options.repeats} repeats, batches of {BATCH}, networks of width {WIDTH}.\n")
    print("| training step | ours, ms | normflows, ms | ratio | peak, MiB | theirs, MiB |\n|---|---:|---:|---:|---:|---:|")
    for name, (own, their, y) in pairs(device).items():
        steps = training_step(own, y), training_step(their, y)
        mine, theirs = medians(steps, options.repeats, device)
        memory = " | ".join(peak_memory(step, device) for step in steps)
        print(f"| {name} | {1e3 * mine:.2f} | {1e3 * theirs:.2f} | {mine / theirs:.2f} | {memory} |", flush=True)
    print("\n| direction | inverse, ms | forward, ms | ratio |\n|---|---:|---:|---:|")
    y = torch.rand(BATCH, 3, 32, 32, device=device)
    for name, model in {
        "Glow, 3x32x32, L = 3, K = 8": ours.Glow([3, 32, 32], num_steps=8, width=WIDTH),
        "RealNVP, 3x32x32": ours.RealNVP([3, 32, 32], width=16, num_blocks=2),
    }.items():
        inverse, forward = medians(directions(model.to(device), y), options.repeats, device)
        print(f"| {name} | {1e3 * inverse:.2f} | {1e3 * forward:.2f} | {inverse / forward:.2f} |", flush=True)


if __name__ == "__main__":
    main()
