"""Noise belongs to (seed, index, name) or (seed, step, rank, name), and to nothing else."""

import itertools
import math

import numpy as np
import pytest
import torch

from lightning_gen import noise as noise_module
from lightning_gen.noise import BLOCK, IndexedNoise, PartOfNoise, StepNoise, blocks, philox, stable_hash

SCATTERED = [700, 3, 3, 64, 65, 0, 127, 128, 700, 10**12, 63]

# seed 0, name "z", two numbers per index. Changing them changes every picture that anybody ever drew, and every likelihood.
GOLDEN_NORMAL = {
    0: (0.8231608867645264, -0.2700524926185608),
    1: (-0.8817422389984131, -0.37480494379997253),
    2: (0.10789349675178528, 0.2677043080329895),
    3: (-0.4335375428199768, -0.27001214027404785),
    64: (-0.6773436665534973, 0.6872776746749878),
    65: (-0.06776206940412521, -0.580487072467804),
}
GOLDEN_UNIFORM = {
    0: (0.9495472311973572, 0.6871098279953003),
    1: (0.5639695525169373, 0.6319316029548645),
    2: (0.18902486562728882, 0.959202229976654),
    3: (0.5886530876159668, 0.8777173161506653),
    64: (0.37384140491485596, 0.6277755498886108),
    65: (0.7315050363540649, 0.843008279800415),
}
DRAWS = ["normal", "uniform"]


def draw(kind, seed, indices, name="z", shape=(2,)):
    return getattr(IndexedNoise(seed, indices), kind)(name, shape)


@pytest.mark.parametrize(
    ("counter", "key", "block"),
    [
        (0, 0, "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b"),
        (2**256 - 1, 2**128 - 1, "87b092c3013fe90b 438c3c67be8d0224 9cc7d7c69cd777b6 a09caebf594f0ba0"),
    ],
)
def test_numpy_computes_philox_4x64_10(counter, key, block):
    # Known answers of Random123 (kat_vectors). NumPy increments the counter before its first block.
    words = np.random.Philox(key=key, counter=(counter - 1) % 2**256).random_raw(4)
    assert " ".join(f"{int(word):016x}" for word in words) == block


def test_philox_puts_the_block_in_the_highest_word_of_the_counter():
    expected = np.random.Philox(key=stable_hash(5, "z", bits=128), counter=[0, 0, 0, 7]).random_raw(8)
    assert np.array_equal(philox(5, "z", block=7).bit_generator.random_raw(8), expected)


def test_stable_hash_never_changes_and_tells_types_and_parts_apart():
    assert stable_hash(0, "z") == 4660113143483724509
    keys = [(0, "z"), ("0", "z"), ("0z",), (0,), ("z", 0), (0, "z", ""), (-1, "z"), (2**200, "z")]
    assert len({stable_hash(*key) for key in keys}) == len(keys)


@pytest.mark.parametrize(("kind", "golden"), [("normal", GOLDEN_NORMAL), ("uniform", GOLDEN_UNIFORM)])
def test_golden_values(kind, golden):
    assert draw(kind, 0, list(golden)).tolist() == [list(pair) for pair in golden.values()]


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("shape", [(2,), (3, 5), ()])
def test_item_i_depends_on_no_other_item(kind, shape):
    together = draw(kind, 1, SCATTERED, shape=shape)
    assert together.shape == (len(SCATTERED), *shape)
    for row, index in enumerate(SCATTERED):
        assert torch.equal(together[row], draw(kind, 1, [index], shape=shape)[0])
    backwards = draw(kind, 1, SCATTERED[::-1], shape=shape)
    assert torch.equal(backwards.flip(0), together)


@pytest.mark.parametrize("kind", DRAWS)
def test_any_cut_of_the_index_range_gives_the_same_numbers(kind):
    whole = draw(kind, 0, range(200))
    for cut in (1, 63, 64, 65, 130):
        assert torch.equal(torch.cat([draw(kind, 0, range(cut)), draw(kind, 0, range(cut, 200))]), whole)
    assert torch.equal(torch.cat([draw(kind, 0, block) for block in blocks(200)]), whole)


@pytest.mark.parametrize("convert", [np.array, torch.tensor, lambda indices: [np.int64(index) for index in indices], tuple])
def test_the_type_of_the_indices_does_not_matter(convert):
    assert torch.equal(draw("normal", 0, convert(SCATTERED)), draw("normal", 0, SCATTERED))


def test_no_items_are_no_numbers():
    assert draw("normal", 0, []).shape == (0, 2)
    assert len(IndexedNoise(0, [])) == 0


@pytest.mark.parametrize("kind", DRAWS)
def test_other_seeds_names_and_blocks_are_uncorrelated(kind):
    keys = [(0, "z", 0), (1, "z", 0), (-1, "z", 0), (0, "y", 0), (0, "z/0", 0), (0, "z", BLOCK), (0, "z", 2 * BLOCK), (2**64, "z", 0)]
    draws = [draw(kind, seed, range(first, first + BLOCK), name, (64,)).flatten() for seed, name, first in keys]
    for one, other in itertools.combinations(draws, 2):
        assert abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 5 / math.sqrt(len(one))
        assert not torch.equal(one, other)


def test_items_and_dimensions_are_uncorrelated():
    correlation = torch.corrcoef(draw("normal", 0, range(BLOCK), shape=(4096,)))
    assert float((correlation - torch.eye(BLOCK)).abs().max()) < 6 / math.sqrt(4096)


@pytest.mark.parametrize("kind", DRAWS)
def test_float64_sees_the_same_numbers(kind):
    single = draw(kind, 0, SCATTERED)
    torch.set_default_dtype(torch.float64)
    double = draw(kind, 0, SCATTERED)
    assert double.dtype == torch.float64
    assert torch.equal(double, single.double())


@pytest.mark.parametrize("make", [lambda: IndexedNoise(3, range(1000)), lambda: StepNoise(1000, 3, 1)])
def test_moments(make):
    z, u = make().normal("z", (200,)).double(), make().uniform("u", (200,)).double()
    error = 5 / math.sqrt(z.numel())
    assert abs(float(z.mean())) < error
    assert abs(float(z.square().mean()) - 1) < error * math.sqrt(2)
    assert abs(float(z.pow(4).mean()) - 3) < error * math.sqrt(96)
    assert abs(float(u.mean()) - 1 / 2) < error / math.sqrt(12)
    assert abs(float(u.square().mean()) - 1 / 3) < error * math.sqrt(4 / 45)
    assert (float(u.min()) >= 0, float(u.max()) < 1) == (True, True)


@pytest.mark.parametrize("seed", [-1, -(10**9), 2**63, 10**40])
def test_any_integer_is_a_seed(seed):
    for make in (lambda s: IndexedNoise(s, [0]), lambda s: StepNoise(1, s, 0)):
        assert torch.equal(make(seed).normal("z", (8,)), make(seed).normal("z", (8,)))
        assert not torch.equal(make(seed).normal("z", (8,)), make(abs(seed) + 1).normal("z", (8,)))


@pytest.mark.parametrize("kind", DRAWS)
def test_step_noise_is_a_function_of_seed_step_rank_and_name(kind):
    def numbers(seed, step, rank, name):
        return tuple(getattr(StepNoise(4, seed, step, rank), kind)(name, (3,)).flatten().tolist())

    keys = list(itertools.product((0, 1), (0, 1), (0, 1), ("z", "y")))
    assert len({numbers(*key) for key in keys}) == len(keys)
    assert all(numbers(*key) == numbers(*key) for key in keys)


def test_step_noise_is_named_not_counted_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    noise = StepNoise(4, 0, 1)
    first = noise.normal("z", (3,))
    noise.uniform("other", (5,))
    assert torch.equal(noise.normal("z", (3,)), first)
    assert torch.equal(torch.get_rng_state(), state)
    IndexedNoise(0, [0]).normal("z", (3,))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("source", [IndexedNoise(0, range(60, 70)), StepNoise(10, 0, 1)], ids=["indexed", "step"])
def test_a_part_of_noise_has_the_rows_of_the_whole(source, kind):
    whole = getattr(source, kind)("z", (3,))
    for start, stop in ((0, 10), (0, 4), (4, 9), (9, 10), (7, 50)):
        part = PartOfNoise(source, start, stop)
        assert torch.equal(getattr(part, kind)("z", (3,)), whole[start:stop])
        assert (len(part), part.device) == (len(whole[start:stop]), source.device)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_blocks_cover_the_range_once(count):
    assert [index for block in blocks(count) for index in block] == list(range(count))
    assert all(block.start % noise_module.BLOCK == 0 and len(block) <= 64 for block in blocks(count))
    assert noise_module.BLOCK == 64
