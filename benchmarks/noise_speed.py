"""What named and keyed noise costs beside ``torch.randn``: medians over interleaved repeats in one process.

Usage: python benchmarks/noise_speed.py [--device cuda] [--repeats 200] [--threads 1]

Targets: IndexedNoise (sampling and evaluation) at most 3 times, StepNoise (training) at most 1.1 times the time of ``torch.randn``.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from lightning_gen.noise import IndexedNoise, StepNoise

SHAPES = {"images 128 x 3 x 32 x 32": (128, (3, 32, 32)), "latents 100 x 50": (100, (50,))}
TARGETS = {"IndexedNoise": 3.0, "StepNoise": 1.1}

Draw = Callable[[int], Tensor]
"""From the number of the repeat to the numbers drawn, so that no source is asked twice for the same ones."""


def sources(count: int, shape: tuple[int, ...], device: torch.device) -> dict[str, Draw]:
    """The draws that are compared; every one makes its source anew, as a training step does."""
    return {
        "torch.randn": lambda repeat: torch.randn(count, *shape, device=device),
        "IndexedNoise": lambda repeat: IndexedNoise(0, range(repeat * count, (repeat + 1) * count), device).normal("z", shape),
        "StepNoise": lambda repeat: StepNoise(count, seed=0, step=repeat, device=device).normal("z", shape),
    }


def medians(draws: dict[str, Draw], repeats: int, device: torch.device) -> dict[str, float]:
    """Median seconds per draw; the sources take turns, so that a busy moment of the machine hits all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in draws}
    for repeat in range(-repeats // 10, repeats):
        for name, draw in draws.items():
            start = time.perf_counter()
            draw(max(repeat, 0))
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if repeat >= 0:  # the first ones warm up
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def machine(device: torch.device) -> str:
    """Kind of device and versions; no host name."""
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()}, {torch.get_num_threads()} threads)"
    return f"{kind}, torch {torch.__version__}"


def main() -> None:
    """Print one line per shape and source, as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    print(f"Machine: {machine(device)}; {options.repeats} repeats.\n")
    print("| draw | source | median, µs | ratio | target |\n|---|---|---:|---:|---:|")
    for label, (count, shape) in SHAPES.items():
        found = medians(sources(count, shape, device), options.repeats, device)
        for name, median in found.items():
            target = f"<= {TARGETS[name]:g}" if name in TARGETS else ""
            print(f"| {label} | {name} | {1e6 * median:.1f} | {median / found['torch.randn']:.2f} | {target} |")


if __name__ == "__main__":
    main()
