"""Differentiable augmentation: what a loop over images says, a function of each image's own noise, and open to gradients."""

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.models import DCGAN, GAN
from lightning_gen.nn.diff_augment import POLICIES, augment
from lightning_gen.noise import IndexedNoise, RecordedNoise

EVERY = pytest.mark.parametrize("policies", [["color"], ["translation"], ["cutout"], [*POLICIES], ["cutout", "color"]], ids="+".join)
SIDES = [(8, 8), (7, 12), (16, 9), (3, 5)]


def noise(count=40, seed=0):
    return IndexedNoise(seed, range(count))


def naive_color(image, draws):
    """One image at a time, from its three numbers."""
    brightness, saturation, contrast = (float(draw) for draw in draws.flatten())
    image = image + (brightness - 0.5)
    channels, height, width = image.shape
    for row in range(height):
        for column in range(width):
            grey = sum(image[c, row, column].clone() for c in range(channels)) / channels
            for c in range(channels):
                image[c, row, column] = grey + (image[c, row, column] - grey) * 2 * saturation
    middle = image.sum() / image.numel()
    return middle + (image - middle) * (contrast + 0.5)


def naive_translation(image, draws):
    out, (_, height, width) = torch.zeros_like(image), image.shape
    shifts = []
    for draw, side in zip(draws.tolist(), (height, width), strict=True):
        most = int(side / 8 + 0.5)
        shifts.append([*range(-most, most + 1)][int(draw * (2 * most + 1))])
    for row in range(height):
        for column in range(width):
            to = row + shifts[0], column + shifts[1]
            if 0 <= to[0] < height and 0 <= to[1] < width:
                out[:, to[0], to[1]] = image[:, row, column]
    return out


def naive_cutout(image, draws):
    out, (_, height, width) = image.clone(), image.shape
    squares = []
    for draw, side in zip(draws.tolist(), (height, width), strict=True):
        size = int(side / 2 + 0.5)
        middles = [*range(side + 1 - size % 2)]
        first = middles[int(draw * len(middles))] - size // 2
        squares.append(range(first, first + size))
    for row in squares[0]:
        for column in squares[1]:
            if 0 <= row < height and 0 <= column < width:
                out[:, row, column] = 0
    return out


NAIVE = {"color": (naive_color, (3, 1, 1, 1)), "translation": (naive_translation, (2,)), "cutout": (naive_cutout, (2,))}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_is_what_a_loop_over_images_and_pixels_says(policy, sides, channels, float64):
    x = torch.rand(12, channels, *sides) * 2 - 1
    naive, shape = NAIVE[policy]
    draws = noise(12).uniform(f"here/{policy}", shape)
    expected = torch.stack([naive(image.clone(), draw) for image, draw in zip(x, draws, strict=True)])
    torch.testing.assert_close(augment(x, [policy], noise(12), "here"), expected)


def test_policies_are_applied_one_after_the_other(float64):
    x = torch.rand(12, 3, 8, 8)
    step = x
    for policy in ("cutout", "color"):
        step = augment(step, [policy], noise(12), "here")
    assert torch.equal(augment(x, ["cutout", "color"], noise(12), "here"), step)
    assert not torch.equal(augment(x, ["color", "cutout"], noise(12), "here"), step)


@EVERY
def test_what_becomes_of_an_image_depends_on_its_own_index_alone(policies):
    x = torch.rand(40, 3, 8, 8)
    whole = augment(x, policies, noise(), "here")
    part = augment(x[[7, 30]], policies, IndexedNoise(0, [7, 30]), "here")
    torch.testing.assert_close(part, whole[[7, 30]])
    assert not torch.equal(augment(x, policies, noise(), "there"), whole)
    assert not torch.equal(augment(x, policies, noise(seed=1), "here"), whole)


def test_images_of_one_batch_are_changed_differently():
    x = torch.rand(1, 3, 32, 32).expand(40, -1, -1, -1)
    for policy in POLICIES:
        assert len(augment(x, [policy], noise(), "here").flatten(1).unique(dim=0)) > 20


@EVERY
def test_gradients_pass_through(policies, float64):
    x = torch.rand(3, 2, 5, 6, requires_grad=True)
    recorded = RecordedNoise(noise(3), {})
    assert torch.autograd.gradcheck(lambda images: augment(images, policies, recorded, "here"), x)


def ones(sides, policy, count=4000):
    return augment(torch.ones(count, 1, *sides), [policy], noise(count), "here")[:, 0]


@pytest.mark.parametrize("sides", SIDES)
def test_a_shift_reaches_an_eighth_of_each_side_both_ways_and_leaves_zeros(sides):
    seen = ones(sides, "translation") != 0
    for axis, side in enumerate(sides):
        lines = seen.any(2 - axis)
        first, last = lines.float().argmax(1), side - 1 - lines.flip(1).float().argmax(1)
        most = int(side / 8 + 0.5)
        assert {*first.tolist()} == {*range(most + 1)}
        assert {*last.tolist()} == {*range(side - 1 - most, side)}
        shift = first - (side - 1 - last)
        counts = torch.stack([(shift == value).float().mean() for value in range(-most, most + 1)])
        torch.testing.assert_close(counts, torch.full_like(counts, 1 / (2 * most + 1)), rtol=0, atol=0.05)


@pytest.mark.parametrize("sides", SIDES)
def test_a_square_within_the_image_has_exactly_half_its_sides(sides):
    hidden = ones(sides, "cutout") == 0
    height, width = hidden.any(2).sum(1), hidden.any(1).sum(1)
    assert (hidden.flatten(1).sum(1) == height * width).all(), "what is hidden is a rectangle"
    for lengths, side, edges in ((height, sides[0], hidden.any(2)), (width, sides[1], hidden.any(1))):
        size = int(side / 2 + 0.5)
        assert int(lengths.max()) == size
        assert int(lengths.min()) == (size + 1) // 2, "half of it, where its middle lies at the edge"
        assert (lengths[~edges[:, 0] & ~edges[:, -1]] == size).all()


def test_colors_change_by_the_papers_amounts(float64):
    count = 4000
    flat = augment(torch.zeros(count, 3, 2, 2), ["color"], noise(count), "here").flatten(1)
    assert (flat == flat[:, :1]).all(), "of one grey only the brightness changes"
    assert -0.5 <= float(flat.min()) < -0.49
    assert 0.49 < float(flat.max()) < 0.5
    halves = torch.tensor([-0.5, 0.5]).view(1, 1, 1, 2).expand(count, 3, 1, 2)
    contrast = augment(halves, ["color"], noise(count), "here").diff(dim=3).flatten(1)[:, 0]
    assert 0.5 <= float(contrast.min()) < 0.51
    assert 1.49 < float(contrast.max()) < 1.5
    hue = torch.tensor([0.5, 0.0, -0.5]).view(1, 3, 1, 1).expand(count, 3, 1, 1)
    colored = augment(hue, ["color"], noise(count), "here")
    saturation = (colored[:, 0] - colored[:, 2]).flatten() / contrast
    assert 0 <= float(saturation.min()) < 0.01
    assert 1.99 < float(saturation.max()) < 2


# In a model.


def model(**options):
    return DCGAN([1, 8, 8], latent_dim=3, width=4, **options)


class Seen(DCGAN):
    """Notes what the discriminator is shown."""

    seen: list

    def verdict(self, x, labels, z):
        self.seen.append(x)
        return super().verdict(x, labels, z)


class White(torch.nn.Module):
    """A generator of white images."""

    def forward(self, z, labels=None):
        return torch.ones(len(z), 1, 8, 8)


def test_the_discriminator_sees_real_and_generated_images_augmented_by_different_draws():
    images, count = torch.full((6, 1, 8, 8), 255, dtype=torch.uint8), 6
    gan = Seen([1, 8, 8], latent_dim=3, width=4, augmentation=["cutout"])
    gan.seen, gan.generator = [], White()
    batch, draws = (images, torch.zeros(count, dtype=torch.int64)), noise(count)
    gan.discriminator_loss(batch, draws)
    gan.generator_loss(batch, draws)
    real, fake, generated = gan.seen
    for name, x in (("discriminator/real", real), ("discriminator/fake", fake), ("generator", generated)):
        assert torch.equal(x, augment(torch.ones(count, 1, 8, 8), ["cutout"], draws, f"augmentation/{name}/0"))
    assert not torch.equal(real, fake)
    assert not torch.equal(fake, generated)


@EVERY
def test_the_generators_gradient_passes_through_the_augmentation(policies):
    gan = model(augmentation=policies)
    batch = (torch.zeros(6, 1, 8, 8, dtype=torch.uint8), torch.zeros(6, dtype=torch.int64))
    gan.generator_loss(batch, noise(6))["generator_loss"].backward()
    assert all((parameter.grad != 0).any() for parameter in gan.generator.parameters())


def test_each_batch_of_a_larger_generators_batch_has_its_own_augmentation():
    gan = Seen([1, 8, 8], latent_dim=3, width=4, augmentation=["cutout"], generator_batches=2)
    gan.seen, gan.generator = [], White()
    gan.generated(None, noise(6), "generator")
    (x,) = gan.seen
    first, second = (augment(torch.ones(6, 1, 8, 8), ["cutout"], noise(6), f"augmentation/generator/{part}") for part in (0, 1))
    assert torch.equal(x, torch.cat([first, second]))
    assert not torch.equal(first, second)


def test_an_augmentation_is_part_of_how_a_model_answers_and_samples_are_not_augmented():
    torch.manual_seed(1)
    augmented = model(augmentation=["color", "cutout"])
    torch.manual_seed(1)
    plain = model()
    assert (augmented.answer_options(), plain.answer_options()) == ({"augmentation": "color+cutout"}, {})
    assert torch.equal(augmented.sample(5), plain.sample(5))


@pytest.mark.parametrize(
    ("shape", "augmentation", "line"),
    [
        ([1, 8, 8], ["flip"], r"model\.augmentation: expected each of color, translation, cutout at most once, got \['flip'\]"),
        ([1, 8, 8], ["color", "color"], r"model\.augmentation: expected each of color, translation, cutout at most once, got "),
        ([2], ["color"], r"model\.augmentation: vectors cannot be augmented; expected \[\], got \['color'\]"),
    ],
)
def test_an_unknown_or_repeated_policy_and_one_for_vectors_are_refused(shape, augmentation, line):
    with pytest.raises(UserError, match=f"^{line}"):
        GAN(shape, augmentation=augmentation)
