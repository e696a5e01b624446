"""The LSTM layers of PixelRNN, one fused step per row or diagonal, beside a loop over pixels; samples by steps beside whole forward passes.

Usage: python benchmarks/pixel_rnn_speed.py [--repeats 5] [--batch 16]

Images of 28 x 28, the paper's networks on MNIST: 7 layers of h = 16. The loop computes the same numbers with the same weights, in one layer
of each kind. Times are medians of CPU seconds of one thread, which a busy machine disturbs little; the naive sampler's time is that of 784
forward passes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from noise_speed import machine
from torch import Tensor

from lightning_gen.nn.causal.base import Places
from lightning_gen.nn.causal.diagonal_bilstm import DiagonalBiLSTMNetwork
from lightning_gen.nn.causal.line_lstm import lstm_cell
from lightning_gen.nn.causal.pixel_rnn import PixelRNNLayer, PixelRNNNetwork
from lightning_gen.nn.causal.row_lstm import RowLSTMNetwork

SIZE, HIDDEN, LAYERS = 28, 16, 7
PLACES = Places((SIZE, SIZE), groups=1, in_features=1, num_parameters=1)

Network = Callable[[Tensor], Tensor]


def row_by_pixels(layer: PixelRNNLayer, x: Tensor) -> Tensor:
    """A layer of Row LSTM, one pixel after the other."""
    gates = layer.into(x).unbind(-2)
    nothing = x.new_zeros(len(x), HIDDEN)
    states, cells = [[nothing] * (SIZE + 2)], [nothing] * SIZE
    for row in gates:
        line = []
        for column, gate in enumerate(row.unbind(-1)):
            above = torch.cat(states[-1][column : column + 3], 1)
            state, cells[column] = lstm_cell(torch.addmm(gate, above, layer.lstm.weight[0]), cells[column])
            line.append(state)
        states.append([nothing, *line, nothing])
    return layer.back(torch.stack([torch.stack(line[1:-1], -1) for line in states[1:]], -2))


def diagonal_by_pixels(layer: PixelRNNLayer, x: Tensor) -> Tensor:
    """A layer of Diagonal BiLSTM, one pixel after the other."""
    nothing = x.new_zeros(len(x), HIDDEN)
    sides = []
    for gates, weight in zip(layer.into(x).chunk(2, 1), layer.lstm.weight, strict=True):
        lines, above = [], [nothing] * x.shape[3]
        for row in (gates.flip(-1) if sides else gates).unbind(-2):
            state = cells = nothing
            for column, gate in enumerate(row.unbind(-1)):
                state, cells = lstm_cell(torch.addmm(gate, torch.cat([above[column], state], 1), weight), cells)
                above[column] = state
            lines.append(torch.stack(above, -1))
        sides.append(lines)
    left, right = sides
    shifted = [torch.zeros_like(left[0]), *(line.flip(-1) for line in right[:-1])]
    return layer.back(torch.stack([line + other for line, other in zip(left, shifted, strict=True)], -2))


def seconds(action: Callable[[], object], repeats: int) -> float:
    """Median CPU time, the first run not counted."""
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return statistics.median(times[1:])


def with_gradient(layer: PixelRNNLayer, compute: Network, x: Tensor) -> Callable[[], None]:
    """Forward and backward."""

    def action() -> None:
        layer.zero_grad()
        compute(x).square().mean().backward()

    return action


def compare_layers(networks: dict[str, tuple[PixelRNNNetwork, Callable]], batch: int, repeats: int) -> None:
    """Print the first table."""
    print("| layer | pass | fused, ms | pixel by pixel, ms | ratio | largest difference |\n|---|---|---:|---:|---:|---:|")
    for name, (network, by_pixels) in networks.items():
        layer = network.layers[0]
        x = torch.randn(batch, 2 * HIDDEN, SIZE, SIZE + network.extra_columns)
        slow = lambda v, layer=layer, by_pixels=by_pixels: by_pixels(layer, v)  # noqa: E731
        with torch.no_grad():
            difference = float((layer(x) - slow(x)).abs().max())
            forward = [seconds(lambda compute=compute, x=x: compute(x), repeats) for compute in (layer, slow)]
        both = [seconds(with_gradient(layer, compute, x), repeats) for compute in (layer, slow)]
        for kind, (ours, theirs) in {"forward": forward, "forward and backward": both}.items():
            print(f"| {name} | {kind} | {1e3 * ours:.1f} | {1e3 * theirs:.1f} | {theirs / ours:.1f} | {difference:.0e} |", flush=True)


@torch.no_grad()
def sample(network: PixelRNNNetwork, x: Tensor) -> None:
    """All steps of a batch of samples, without the draws."""
    state = network.init_state(x)
    for t in range(network.places.count):
        network.step(state, x, t)


def compare_samples(networks: dict[str, tuple[PixelRNNNetwork, Callable]], repeats: int) -> None:
    """Print the second table."""
    print("\n| network | batch | steps, s | 784 forward passes, s | ratio | images/s |\n|---|---:|---:|---:|---:|---:|")
    for name, (network, _) in networks.items():
        for batch in (1, 8, 64):
            x = torch.randn(batch, 1, SIZE, SIZE)
            with torch.no_grad():
                naive = SIZE * SIZE * seconds(lambda network=network, x=x: network(x), repeats)
            ours = seconds(lambda network=network, x=x: sample(network, x), 1)
            print(f"| {name} | {batch} | {ours:.2f} | {naive:.0f} | {naive / ours:.0f} | {batch / ours:.2f} |", flush=True)


def main() -> None:
    """Print two tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"Machine: {machine(torch.device('cpu'))}; batch {options.batch}, {options.repeats} repeats.\n")
    networks: dict[str, tuple[PixelRNNNetwork, Callable]] = {
        "RowLSTM": (RowLSTMNetwork(PLACES, HIDDEN, LAYERS, 32), row_by_pixels),
        "DiagonalBiLSTM": (DiagonalBiLSTMNetwork(PLACES, HIDDEN, LAYERS, 32), diagonal_by_pixels),
    }
    compare_layers(networks, options.batch, options.repeats)
    compare_samples(networks, options.repeats)


if __name__ == "__main__":
    main()
