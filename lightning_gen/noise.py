r"""Noise as an argument: named draws, keyed by what they belong to, so that a result does not depend on batches, ranks or refactors.

``noise.normal("z", (128,))`` returns one row per item of the batch. Two sources share that interface: :class:`IndexedNoise`, in which
item i of seed s always gets the same numbers (sampling and evaluation), and :class:`StepNoise`, as cheap as ``torch.randn`` (training).
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

BLOCK = 64
"""Consecutive indices that share one random stream; also the micro-batch of sampling and evaluation."""


def stable_hash(*parts: int | str, bits: int = 64) -> int:
    """A hash of ints and strings that is the same in every process and on every machine."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=bits // 8).digest(), "little")


def philox(*key: int | str, block: int = 0) -> np.random.Generator:
    """NumPy's generator on Philox4x64-10, a counter-based stream (Salmon et al., 2011), keyed by ``key`` and started at ``block``."""
    return np.random.Generator(np.random.Philox(key=stable_hash(*key, bits=128), counter=block << 192))


def blocks(count: int) -> Iterable[range]:
    """The index range [0, count) cut into blocks of 64; the last one may be shorter."""
    return (range(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK))


class Noise(ABC):
    """A source of named draws for one batch of items.

    Args:
        device: where the draws are wanted.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)

    @abstractmethod
    def __len__(self) -> int:
        """The number of items, B."""

    @abstractmethod
    def normal(self, name: str, shape: Sequence[int]) -> Tensor:
        """Standard normal draws ``(B, *shape)`` in the default float type. The same name gives the same numbers."""

    @abstractmethod
    def uniform(self, name: str, shape: Sequence[int]) -> Tensor:
        """Uniform draws in [0, 1), ``(B, *shape)`` in the default float type. The same name gives the same numbers."""


class IndexedNoise(Noise):
    """Noise of item i of seed s: a function of (s, i, name) and of nothing else.

    Drawn in float32 and converted, so that a float64 run sees the same numbers.

    Args:
        seed: the seed s.
        indices: the global index of each item of the batch; consecutive ones are cheapest.
        device: where the draws are wanted.
    """

    def __init__(self, seed: int, indices: Sequence[int], device: torch.device | str = "cpu") -> None:
        super().__init__(device)
        self.seed = seed
        self.drawn: dict[tuple[str, str], tuple[int, ...]] = {}
        """Kind and name of every draw so far -> its shape."""
        # Python's integers: NumPy's would overflow in the counter, and every block would draw the first one's numbers.
        self.indices = indices if isinstance(indices, range) else [int(index) for index in indices]

    def __len__(self) -> int:
        return len(self.indices)

    def normal(self, name: str, shape: Sequence[int]) -> Tensor:
        self.drawn["normal", name] = tuple(shape)
        return self._draw(name, shape, normals)

    def uniform(self, name: str, shape: Sequence[int]) -> Tensor:
        self.drawn["uniform", name] = tuple(shape)
        return self._draw(name, shape, lambda stream, count: torch.from_numpy(stream.random(count, dtype=np.float32)))

    def _draw(self, name: str, shape: Sequence[int], draw: Callable[[np.random.Generator, int], Tensor]) -> Tensor:
        width = math.prod(shape)
        values = torch.empty(len(self.indices), width, dtype=torch.float32)
        for block, rows, offsets, last in self._by_block():
            # A stream is read from its start, so a block needs only as many rows as its last wanted index.
            drawn = draw(philox(self.seed, name, block=block), (last + 1) * width)
            values[rows] = drawn.view(last + 1, width)[offsets]
        return values.view(len(self.indices), *shape).to(self.device, torch.get_default_dtype())

    def _by_block(self) -> Iterable[tuple[int, slice | list[int], slice | list[int], int]]:
        """Every block that the indices touch: its number, the rows of the batch that lie in it, their offsets in it, the last offset."""
        if isinstance(self.indices, range) and self.indices.step == 1:
            start, stop = self.indices.start, self.indices.stop
            for block in range(start // BLOCK, -(-stop // BLOCK)):
                first, last = max(start, block * BLOCK), min(stop, (block + 1) * BLOCK)
                offset = first - block * BLOCK
                yield block, slice(first - start, last - start), slice(offset, offset + last - first), offset + last - first - 1
            return
        members: dict[int, list[int]] = {}
        for row, index in enumerate(self.indices):
            members.setdefault(index // BLOCK, []).append(row)
        for block, rows in members.items():
            offsets = [self.indices[row] % BLOCK for row in rows]
            yield block, rows, offsets, max(offsets)


def normals(stream: np.random.Generator, count: int) -> Tensor:
    """Standard normal float32 draws ``(count,)`` by the Box-Muller transform, two from each 64-bit word of the stream.

    In float64 and then rounded: processors differ in the last bit of their vectorised logarithms and cosines, and this hides it.
    It costs half of NumPy's ziggurat.
    """
    words = stream.bit_generator.random_raw((count + 1) // 2)
    high = torch.from_numpy((words >> np.uint64(32)).astype(np.float64))
    low = torch.from_numpy((words & np.uint64(0xFFFFFFFF)).astype(np.float64))
    radius = high.add_(0.5).mul_(2.0**-32).log_().mul_(-2).sqrt_()
    angle = low.mul_(2 * math.pi * 2.0**-32)
    pairs = torch.empty(len(words), 2, dtype=torch.float32)
    pairs[:, 0] = radius * angle.cos()
    pairs[:, 1] = radius.mul_(angle.sin_())
    return pairs.view(-1)[:count]


class StepNoise(Noise):
    """Noise of one training step: the device's own generator, seeded by (seed, step, rank, name).

    Args:
        count: the number of items of this rank's batch.
        seed, step, rank: what the numbers are a function of.
        device: whose generator draws.
    """

    def __init__(self, count: int, seed: int, step: int, rank: int = 0, device: torch.device | str = "cpu") -> None:
        super().__init__(device)
        self.count = count
        self.key = (seed, step, rank)
        self.generator = torch.Generator(device=self.device)

    def __len__(self) -> int:
        return self.count

    def normal(self, name: str, shape: Sequence[int]) -> Tensor:
        return torch.randn(self.count, *shape, generator=self._seeded(name), device=self.device)

    def uniform(self, name: str, shape: Sequence[int]) -> Tensor:
        return torch.rand(self.count, *shape, generator=self._seeded(name), device=self.device)

    def _seeded(self, name: str) -> torch.Generator:
        return self.generator.manual_seed(stable_hash(*self.key, name) >> 1)


class NamedNoise(Noise):
    """The noise of another source under longer names: the draws of one of several repetitions.

    Args:
        source: where the draws come from.
        prefix: what is put before each name.
    """

    def __init__(self, source: Noise, prefix: str) -> None:
        super().__init__(source.device)
        self.source = source
        self.prefix = prefix

    def __len__(self) -> int:
        return len(self.source)

    def normal(self, name: str, shape: Sequence[int]) -> Tensor:
        return self.source.normal(f"{self.prefix}/{name}", shape)

    def uniform(self, name: str, shape: Sequence[int]) -> Tensor:
        return self.source.uniform(f"{self.prefix}/{name}", shape)


class PartOfNoise(Noise):
    """The noise of some items of a batch: the rows that they would have been given with the whole batch.

    Args:
        source: the noise of the whole batch.
        start, stop: which items.
    """

    def __init__(self, source: Noise, start: int, stop: int) -> None:
        super().__init__(source.device)
        self.source = source
        self.items = range(len(source))[start:stop]

    def __len__(self) -> int:
        return len(self.items)

    def normal(self, name: str, shape: Sequence[int]) -> Tensor:
        return self.source.normal(name, shape)[self.items.start : self.items.stop]

    def uniform(self, name: str, shape: Sequence[int]) -> Tensor:
        return self.source.uniform(name, shape)[self.items.start : self.items.stop]


class RecordedNoise(Noise):
    """The draws of another source, kept by name, so that they can be had again on another device and in another type of float.

    Args:
        source: where a draw comes from that is not known yet.
        draws: those that are known, by kind and name; new ones are added.
    """

    def __init__(self, source: Noise, draws: dict[str, Tensor]) -> None:
        super().__init__(source.device)
        self.source = source
        self.draws = draws

    def __len__(self) -> int:
        return len(self.source)

    def normal(self, name: str, shape: Sequence[int]) -> Tensor:
        return self._kept(f"normal {name}", lambda: self.source.normal(name, shape))

    def uniform(self, name: str, shape: Sequence[int]) -> Tensor:
        return self._kept(f"uniform {name}", lambda: self.source.uniform(name, shape))

    def _kept(self, key: str, draw: Callable[[], Tensor]) -> Tensor:
        if key not in self.draws:
            self.draws[key] = draw()
        return self.draws[key].to(self.device, torch.get_default_dtype())
