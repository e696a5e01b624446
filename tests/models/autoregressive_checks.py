"""What every autoregressive model promises of its likelihood, its samples and its completions."""

import itertools

import torch
from bijection_checks import perturbed

from lightning_gen.images import from_levels
from lightning_gen.noise import IndexedNoise


def every_image(data_shape, num_bits):
    """All images of a size, uint8 ``(N, C, H, W)``."""
    count = data_shape[0] * data_shape[1] * data_shape[2]
    levels = torch.tensor(list(itertools.product(range(2**num_bits), repeat=count)))
    return from_levels(levels.view(-1, *data_shape), num_bits)


def check_mass(model):
    """In float64, on random weights: the probabilities of all images (for each class) sum to one."""
    perturbed(model.double(), 0.3)
    images = every_image(model.data_shape, model.num_bits)
    for label in range(model.num_classes if model.conditional else 1):
        labels = torch.full((len(images),), label) if model.conditional else None
        with model.inference("live"):
            log_prob = model.log_prob(images, labels=labels, noise=IndexedNoise(0, range(len(images))))
        torch.testing.assert_close(log_prob.exp().sum(), torch.ones((), dtype=torch.float64), rtol=1e-9, atol=0)


def check_samples_follow_the_likelihood(model, count=20_000):
    """The frequencies of samples are their probabilities: Pearson's statistic within six standard deviations of its mean."""
    perturbed(model.double(), 0.3)
    images = every_image(model.data_shape, model.num_bits)
    with model.inference("live"):
        probability = model.log_prob(images, noise=IndexedNoise(0, range(len(images)))).exp()
        samples = model.sample_images(IndexedNoise(1, range(count)))
    number = {tuple(image.flatten().tolist()): index for index, image in enumerate(images)}
    counts = torch.bincount(torch.tensor([number[tuple(sample.flatten().tolist())] for sample in samples]), minlength=len(images))
    expected = count * probability
    often = expected > 5
    statistic = ((counts - expected).square() / expected)[often].sum()
    assert often.sum() > 5
    assert abs(float(statistic - often.sum())) < 6 * float(2 * often.sum()) ** 0.5


def check_completion(model, images):
    """What is visible stays; what is hidden is drawn; the rest of a sample that is hidden is that sample, from the same noise."""
    perturbed(model, 0.1)
    noise = IndexedNoise(0, range(len(images)))
    hidden = torch.zeros(model.data_shape, dtype=torch.bool)
    hidden[:, model.data_shape[1] // 2 :] = True
    with model.inference("live"):
        completed = model.complete(images, hidden, noise)
        sampled = model.sample_images(noise)
        assert torch.equal(model.complete(sampled, hidden, noise), sampled)
    assert torch.equal(completed[~hidden.expand_as(completed)], images[~hidden.expand_as(images)])
    assert not torch.equal(completed, images)
