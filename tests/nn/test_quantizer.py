"""The codebook against hand computations, and what happens to codes that nobody uses."""

import math

import pytest
import torch

from lightning_gen.nn.quantizer import VectorQuantizer, chosen_vectors, perplexity

pytestmark = pytest.mark.usefixtures("float64")


def quantizer(codes, decay=0.9, restart_below=0.0):
    made = VectorQuantizer(len(codes), len(codes[0]), decay, restart_below).double()
    made.codebook.copy_(torch.tensor(codes))
    made.sums.copy_(made.codebook)
    return made


def test_every_vector_gets_its_nearest_code():
    made = VectorQuantizer(7, 3, 0.9, 0.0).double()
    vectors = torch.randn(4, 5, 3)
    distances = (vectors.unsqueeze(-2) - made.codebook).square().sum(-1)
    assert torch.equal(made(vectors), distances.argmin(-1))
    assert torch.equal(made.lookup(made(vectors)), made.codebook[distances.argmin(-1)])


def test_two_updates_equal_the_running_means_by_hand():
    """Counts 1 and 1, codes 0 and 10; the batches {1, 2 | 9} and {0.5 | -}, γ = 0.9."""
    made = quantizer([[0.0], [10.0]])
    vectors = torch.tensor([[1.0], [2.0], [9.0]])
    uses = made.update(vectors, made(vectors), torch.rand(3))
    assert uses.tolist() == [2, 1]
    n, m = [0.9 + 0.1 * 2, 0.9 + 0.1 * 1], [0.1 * 3, 0.9 * 10 + 0.1 * 9]
    torch.testing.assert_close(made.codebook.flatten(), torch.tensor([m[0] / n[0], m[1] / n[1]]), rtol=1e-14, atol=0)
    vectors = torch.tensor([[0.5]])
    made.update(vectors, made(vectors), torch.rand(1))
    n, m = [0.9 * n[0] + 0.1, 0.9 * n[1]], [0.9 * m[0] + 0.05, 0.9 * m[1]]
    torch.testing.assert_close(made.counts, torch.tensor(n), rtol=1e-14, atol=0)
    torch.testing.assert_close(made.sums.flatten(), torch.tensor(m), rtol=1e-14, atol=0)
    torch.testing.assert_close(made.codebook.flatten(), torch.tensor([m[0] / n[0], m[1] / n[1]]), rtol=1e-14, atol=0)


def test_codes_converge_to_the_means_of_their_vectors():
    made = quantizer([[-3.0, 0.0], [3.0, 0.0]])
    left, right = torch.randn(50, 2) * 0.1 + torch.tensor([-2.0, 1.0]), torch.randn(30, 2) * 0.1 + torch.tensor([2.0, -1.0])
    vectors = torch.cat([left, right])
    for _ in range(400):
        made.update(vectors, made(vectors), torch.rand(80))
    torch.testing.assert_close(made.codebook, torch.stack([left.mean(0), right.mean(0)]), rtol=1e-10, atol=0)
    torch.testing.assert_close(made.counts, torch.tensor([50.0, 30.0]))


@pytest.mark.parametrize("restart_below", [0.0, 0.2])
def test_a_dead_code_restarts_as_a_vector_of_the_batch_or_stays_for_ever(restart_below):
    made = quantizer([[0.0], [100.0]], decay=0.5, restart_below=restart_below)
    for _ in range(2000):
        vectors = torch.randn(8, 1)
        before = made.codebook.clone()
        made.update(vectors, made(vectors), torch.rand(8))
        if made.codebook[1] < 50:
            break
    if restart_below:
        # Uses are 8 and 0: the average is 4, and the count falls from 1 below 0.8 at once.
        assert made.codebook[1] in vectors
        assert before[1] == 100
        assert made.counts[1] == 4
        assert made.sums[1] == 4 * made.codebook[1]
    else:
        assert made.codebook[1] == pytest.approx(100)
        assert made.codebook.isfinite().all()


def test_restarts_bring_every_code_into_use():
    """Sixteen codes far away from sixteen clusters but for one: all of them end in use."""
    centers = torch.randn(16, 4) * 5
    made = quantizer((torch.cat([centers[:1], 100 + torch.randn(15, 4)])).tolist(), decay=0.9, restart_below=0.1)
    for _ in range(300):
        vectors = (centers + 0.05 * torch.randn(8, 16, 4)).flatten(0, 1)
        uses = made.update(vectors, made(vectors), torch.rand(len(vectors)))
    assert perplexity(uses) > 10
    assert (uses > 0).sum() >= 15
    assert made.codebook.abs().max() < 50


def test_a_codebook_begins_as_distinct_vectors_chosen_by_u():
    made = VectorQuantizer(3, 2, 0.9, 0.1).double()
    vectors, u = torch.randn(5, 2), torch.tensor([0.1, 0.9, 0.5, 0.3, 0.7])
    made.initialize(vectors, u)
    assert torch.equal(made.codebook, vectors[[1, 4, 2]])
    assert made.counts.tolist() == [5 / 3] * 3
    torch.testing.assert_close(made.sums, made.codebook * 5 / 3)
    assert torch.equal(chosen_vectors(vectors, u, 7), vectors[[1, 4, 2, 3, 0, 1, 4]]), "in turn where there are too few"


def test_the_perplexity_of_k_equally_frequent_codes_is_k():
    assert perplexity(torch.tensor([5, 5, 0, 5, 5])).item() == pytest.approx(4)
    assert perplexity(torch.tensor([7, 0, 0])).item() == 1
    assert perplexity(torch.tensor([3, 1])).item() == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))


def test_the_nearest_code_is_found_in_float32_far_from_the_origin():
    torch.manual_seed(0)
    made = VectorQuantizer(64, 16, 0.9, 0.0)
    codebook, vectors = torch.randn(64, 16, dtype=torch.float32) + 1000, torch.randn(500, 16, dtype=torch.float32) + 1000
    made.float().codebook.copy_(codebook)
    expected = (vectors.double().unsqueeze(1) - codebook.double()).square().sum(-1).argmin(-1)
    assert (made(vectors) == expected).double().mean() > 0.99
