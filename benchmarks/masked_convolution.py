"""A training step of masked convolutions beside one of plain convolutions of the same shape.

Usage: python benchmarks/masked_convolution.py [--device cuda] [--repeats 20] [--threads 1] [--batch 16]

Loss, gradient and Adam's step of a 7x7 convolution, 3x3 convolutions and two 1x1 ones, with ReLUs in between; the plain stack is
``nn.Conv2d`` with the same channels, kernels and padding. Medians of interleaved steps, in processor time on one CPU thread. The
multiplication costs time, and the rows below the pixel, which a masked kernel does not have, save some; "whole kernel" is the masked stack
with those rows at zero, so that it shows what the multiplication alone costs. The target is a ratio below 1.10.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import torch
from noise_speed import machine
from torch import Tensor, nn
from torch.nn.functional import conv2d

from lightning_gen.nn.causal.masked_conv import MaskedConv2d

Build = Callable[[int, int, int, str], nn.Module]

KERNELS = [7, 3, 3, 3, 3, 1, 1]


class WholeKernel(nn.Conv2d):
    """A plain convolution whose weight is multiplied by the mask of a :class:`MaskedConv2d`.

    Args:
        masked: whose mask.
        size: of the kernel.
    """

    mask: Tensor

    def __init__(self, masked: MaskedConv2d, size: int) -> None:
        super().__init__(masked.in_channels, masked.out_channels, size, padding=size // 2)
        mask = torch.zeros_like(self.weight)
        mask[:, :, : size // 2 + 1, : masked.kernel_size[1]] = masked.mask
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        """x to the same size."""
        return conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


def stack(build: Build, channels: int, width: int) -> nn.Sequential:
    """The layers that one way of building gives."""
    sizes = [channels, *[width] * len(KERNELS)]
    layers: list[nn.Module] = []
    for number, ((before, after), kernel) in enumerate(zip(pairwise(sizes), KERNELS, strict=True)):
        layers += [build(before, after, kernel, "B" if number else "A"), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def training_step(layers: nn.Module, x: Tensor) -> Callable[[], object]:
    """One step on a batch."""
    optimizer = torch.optim.Adam(layers.parameters(), lr=1e-4)

    def step() -> None:
        loss = layers(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def medians(steps: dict[str, Callable[[], object]], repeats: int, device: torch.device) -> dict[str, float]:
    """Median seconds of each; they take turns, so that a busy moment of the machine hits all."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    for repeat in range(-max(2, repeats // 10), repeats):
        for name, step in steps.items():
            start = clock()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if repeat >= 0:  # the first ones warm up
                seconds[name].append(clock() - start)
    return {name: statistics.median(own) for name, own in seconds.items()}


def main() -> None:
    """Print one line per stack, as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    print(f"Machine: {machine(device)}; {options.repeats} repeats, batches of {options.batch}.\n")
    print("| stack | plain, ms | masked, ms | ratio | whole kernel, ms | ratio |\n|---|---:|---:|---:|---:|---:|")
    for channels, side, width in ((1, 28, 32), (1, 28, 64), (3, 32, 48)):
        builds: dict[str, Build] = {
            "plain": lambda before, after, kernel, _: nn.Conv2d(before, after, kernel, padding=kernel // 2),
            "masked": lambda before, after, kernel, mask, colours=channels: MaskedConv2d(before, after, (kernel,) * 2, mask, colours),
            "whole": lambda before, after, kernel, mask, colours=channels: WholeKernel(
                MaskedConv2d(before, after, (kernel,) * 2, mask, colours), kernel
            ),
        }
        x = torch.rand(options.batch, channels, side, side, device=device)
        steps = {name: training_step(stack(build, channels, width).to(device), x) for name, build in builds.items()}
        plain, masked, whole = medians(steps, options.repeats, device).values()
        row = f"{1e3 * plain:.1f} | {1e3 * masked:.1f} | {masked / plain:.2f} | {1e3 * whole:.1f} | {whole / plain:.2f}"
        print(f"| {channels} x {side} x {side}, {width} features | {row} |", flush=True)


if __name__ == "__main__":
    main()
