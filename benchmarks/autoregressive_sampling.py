"""Autoregressive flows on 784 dimensions: MAF's inverse beside the loop of D passes; MAF and IAF in both directions; and a step of training
beside nflows and zuko.

Usage: python -m pip install -e '.[benchmarks]' && python benchmarks/autoregressive_sampling.py [--root DATA] [--repeats 20] [--steps 300]

Networks of MAF's paper on MNIST: 784 dimensions, one hidden layer of 1024. The inverse is timed on new networks (their last layers random
too, since what starts at zero is solved in two passes) and on networks trained for a few steps. The target is to be at least 5 times as
fast as the loop, with no difference at all in float64. Times are medians of CPU seconds of one thread, which a busy machine disturbs
little; the time of the loop is that of 784 passes of a batch, and it is run in full, on two items, for the difference.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Literal

import nflows.flows
import nflows.nn.nets
import torch
import zuko
from noise_speed import machine
from torch import Tensor, nn

from lightning_gen.bijections.autoregressive import Autoregressive
from lightning_gen.data.mnist import MNIST
from lightning_gen.models.flows.iaf import IAF
from lightning_gen.models.flows.maf import MAF
from lightning_gen.models.flows.normalizing_flow import NormalizingFlow
from lightning_gen.noise import IndexedNoise, StepNoise

SHAPE, SIZE, HIDDEN, BATCH = [1, 28, 28], 784, 1024, 64

NO_LABELS = torch.zeros(BATCH, dtype=torch.int64)

Step = Callable[[], object]


def solved_one_by_one(layer: Autoregressive, z: Tensor) -> Tensor:
    """The inverse as the papers have it: D passes of the network, each of which decides one number."""
    x = torch.zeros_like(z)
    places = order_of(layer).tolist()
    for i in sorted(range(SIZE), key=places.__getitem__):
        x[:, i] = layer.transform.inverse(z, layer.parameters_of(x, None))[:, i]
    return x


def order_of(layer: Autoregressive) -> Tensor:
    """The place of each number in the network's order: how many inputs its output may depend on."""
    first, last = layer.network.layers[0].mask, layer.network.layers[-1].mask  # type: ignore[index, union-attr]
    return ((last @ first) > 0).sum(1)[:SIZE]


def all_layers(model: NormalizingFlow, z: Tensor, invert: Callable[[Autoregressive, Tensor], Tensor]) -> Tensor:
    """From noise to the logits of images, with one of the ways to invert a layer."""
    for bijection in reversed(list(model.bijection.bijections)[2:]):  # type: ignore[arg-type]
        z = invert(bijection, z) if isinstance(bijection, Autoregressive) else bijection.inverse(z)
    return z


def seconds(step: Step, repeats: int) -> float:
    """Median seconds."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        step()
        times.append(time.process_time() - start)
    return statistics.median(times)


def random_flow(num_layers: int) -> MAF:
    """A flow away from the identity, as no training has made it."""
    torch.manual_seed(0)
    model = MAF(SHAPE, num_layers=num_layers, hidden=[HIDDEN], normalization="none")
    for layer in model.modules():
        if isinstance(layer, Autoregressive):
            nn.init.xavier_uniform_(layer.network.layers[-1].weight)  # type: ignore[index, union-attr]
    return model.eval()


def trained_flow(cls: type[NormalizingFlow], images: Tensor, num_layers: int, steps: int) -> NormalizingFlow:
    """A flow after a few steps on MNIST."""
    torch.manual_seed(0)
    model = cls(SHAPE, num_layers=num_layers, hidden=[HIDDEN])
    step = our_step(model, images)
    with torch.no_grad():
        model.initialize_from_data((images[:BATCH], NO_LABELS), StepNoise(BATCH, 0, 0))
    for _ in range(steps):
        step()
    return model.eval()


def our_step(model: NormalizingFlow, images: Tensor) -> Step:
    """One step of ours on the next batch."""
    optimizer = model.configure_optimizers()
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        chosen = torch.randint(0, len(images), (BATCH,))
        loss = model.negative_log_likelihood((images[chosen], NO_LABELS), StepNoise(BATCH, 0, count))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    model.train()
    return step


def compare_inverses(name: str, model: NormalizingFlow, repeats: int) -> None:
    """Print a line of the first table."""
    z = IndexedNoise(0, range(BATCH)).normal("z", (SIZE,))
    passes: list[int] = []
    hooks = [m.network.register_forward_hook(lambda *_: passes.append(1)) for m in model.modules() if isinstance(m, Autoregressive)]
    ours = all_layers(model, z, Autoregressive.inverse)
    count = len(passes) / len(hooks)
    for hook in hooks:
        hook.remove()
    fast = seconds(lambda: all_layers(model, z, Autoregressive.inverse), repeats)
    layers = [m for m in model.modules() if isinstance(m, Autoregressive)]
    one_pass = seconds(lambda: [layer.transform.inverse(z, layer.parameters_of(ours, None)) for layer in layers], 10 * repeats)
    slow = SIZE * one_pass
    model.double()
    few = z[:2].double()
    difference = float((all_layers(model, few, Autoregressive.inverse) - all_layers(model, few, solved_one_by_one)).abs().max())
    model.float()
    print(
        f"| {name} | {len(hooks)} | {count:.0f} | {1e3 * fast:.0f} | {1e3 * slow:.0f} | {slow / fast:.1f} | {difference:.1g} |", flush=True
    )


def both_directions(images: Tensor, repeats: int, steps: int) -> None:
    """Print the second table."""
    print("\n| model | density of 64 images, ms | 64 samples, ms | training step, ms |\n|---|---:|---:|---:|")
    noise = IndexedNoise(0, range(BATCH))
    for cls in (MAF, IAF):
        model = trained_flow(cls, images, 5, steps if cls is MAF else steps // 10)  # an IAF's steps are slow
        with torch.no_grad():
            density = seconds(partial(model.log_prob, images[:BATCH], noise=noise), repeats)
            sampling = seconds(partial(model.sample_images, noise), repeats)
        step = seconds(our_step(model, images), 3)
        print(f"| {cls.__name__}, 5 layers | {1e3 * density:.0f} | {1e3 * sampling:.0f} | {1e3 * step:.0f} |", flush=True)


class NflowsMAF(nn.Module):
    """nflows' flow of the same layers; its MADEs have residual blocks unless told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        from nflows.distributions.normal import StandardNormal
        from nflows.transforms.autoregressive import MaskedAffineAutoregressiveTransform
        from nflows.transforms.base import CompositeTransform
        from nflows.transforms.normalization import BatchNorm
        from nflows.transforms.permutations import ReversePermutation

        layers = []
        for _ in range(5):
            # One block without residuals: input to hidden, hidden to hidden, hidden to output; ours gets the same below.
            made = MaskedAffineAutoregressiveTransform(SIZE, HIDDEN, num_blocks=1, use_residual_blocks=False)
            layers += [made, ReversePermutation(SIZE), BatchNorm(SIZE)]
        self.flow = nflows.flows.Flow(CompositeTransform(layers), StandardNormal([SIZE]))

    def forward(self, x: Tensor) -> Tensor:
        return -self.flow.log_prob(x).mean()


class ZukoMAF(nn.Module):
    """zuko's flow of the same layers, which has no batch normalisation."""

    def __init__(self, hidden: list[int]) -> None:
        super().__init__()
        self.flow = zuko.flows.MAF(SIZE, transforms=5, hidden_features=hidden)

    def forward(self, x: Tensor) -> Tensor:
        return -self.flow().log_prob(x).mean()


class OurMAF(nn.Module):
    """Ours, of vectors."""

    def __init__(self, hidden: list[int], normalization: Literal["BatchNormalization", "none"]) -> None:
        super().__init__()
        self.model = MAF([SIZE], hidden=hidden, normalization=normalization)

    def forward(self, x: Tensor) -> Tensor:
        z, log_det = self.model.bijection(x)
        return -(self.model.prior().log_prob(z) + log_det).mean()


def training_step(loss: nn.Module, x: Tensor) -> Step:
    """Loss, gradient, Adam."""
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-4, weight_decay=1e-6)

    def step() -> None:
        optimizer.zero_grad()
        loss(x).backward()
        optimizer.step()

    return step


def compare_training(repeats: int) -> None:
    """Print the third table; steps take turns."""
    print("\n| beside | hidden layers | parameters, ours / theirs | ours, ms | theirs, ms | ratio |\n|---|---|---:|---:|---:|---:|")
    x = torch.randn(BATCH, SIZE)
    pairs = {
        "zuko": ([HIDDEN], OurMAF([HIDDEN], "none"), ZukoMAF([HIDDEN])),
        "nflows": ([HIDDEN, HIDDEN], OurMAF([HIDDEN, HIDDEN], "BatchNormalization"), NflowsMAF()),
    }
    for name, (hidden, *losses) in pairs.items():
        steps = [training_step(loss, x) for loss in losses]
        times: list[list[float]] = [[], []]
        for repeat in range(-3, repeats):
            for own, step in zip(times, steps, strict=True):
                start = time.process_time()
                step()
                if repeat >= 0:  # the first ones warm up
                    own.append(time.process_time() - start)
        mine, theirs = map(statistics.median, times)
        sizes = " / ".join(f"{sum(p.numel() for p in loss.parameters()):,}" for loss in losses)
        print(f"| {name} | {hidden} | {sizes} | {1e3 * mine:.1f} | {1e3 * theirs:.1f} | {mine / theirs:.2f} |")


@torch.no_grad()
def inverses(images: Tensor, repeats: int, steps: int) -> None:
    """Print the first table."""
    print("| networks | layers | passes a layer | ours, ms | D passes, ms | ratio | difference, float64 |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for num_layers in (1, 5):
        compare_inverses("random", random_flow(num_layers), repeats)
    for num_layers in (1, 5):
        with torch.enable_grad():
            model = trained_flow(MAF, images, num_layers, steps)
        compare_inverses(f"trained, {steps} steps", model, repeats)


def main() -> None:
    """Print three tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", default="data")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = MNIST(batch_size=BATCH, root=options.root)
    images = data.batch("train", range(10_000))[0]
    print(f"Machine: {machine(torch.device('cpu'))}; batch {BATCH}, {options.repeats} repeats, {options.steps} steps of training.\n")
    inverses(images, options.repeats, options.steps)
    both_directions(images, options.repeats, options.steps)
    compare_training(options.repeats)


if __name__ == "__main__":
    main()
