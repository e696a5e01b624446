"""Each code of an InfoGAN in turn takes its values, while all else of z stays."""

import torch

from lightning_gen.analysis.exploration import Request
from lightning_gen.analysis.kinds import KINDS, obstacles
from lightning_gen.analysis.latent_space import LatentSpace
from lightning_gen.data import Digits, ToyDensity
from lightning_gen.models import GAN, InfoGAN

DIGITS = Digits(batch_size=64)
MLP = {
    "generator": {"class_path": "MLPGenerator", "hidden": [5]},
    "discriminator": {"class_path": "MLPDiscriminator", "hidden": [5]},
}
KIND = KINDS["code_traversal"]


def infogan(data_shape=(1, 8, 8)):
    return InfoGAN([*data_shape], latent_dim=4, categories=[3, 2], num_continuous=1, **MLP).eval()


def decoded(model):
    """Every z that the generator is given from now on, by call."""
    seen = []
    model.generator.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].clone()))
    return seen


def test_one_code_is_varied_at_a_time_over_all_its_values():
    model = infogan()
    space, seen = LatentSpace(model, DIGITS, seed=5), decoded(model)
    with model.inference():
        start = space.draw(range(2)).z
        KIND.draw(space, Request(num_images=2, steps=4))
    parts = {"categories of 3": slice(4, 7), "categories of 2": slice(7, 9), "continuous": slice(9, 10)}
    values = (torch.eye(3), torch.eye(2), torch.linspace(-1, 1, 4)[:, None])
    for z, part, expected in zip(seen, parts.values(), values, strict=False):
        rows = z.view(2, len(expected), -1)
        for row, origin in zip(rows, start, strict=True):
            torch.testing.assert_close(row[:, part], expected)
            others = [index for index in range(10) if index not in range(part.start, part.stop)]
            assert torch.equal(row[:, others], origin[others].expand(len(expected), -1))


def test_it_is_reported_how_often_codes_are_found_again():
    with (model := infogan()).inference():
        found = KIND.draw(LatentSpace(model, DIGITS), Request(num_images=2)).numbers["recovered"]
    assert [*found] == ["category 0", "category 1", "continuous error"]
    assert 0 <= found["category 0"] <= 1


def test_models_of_vectors_and_models_without_codes_are_refused():
    toy = ToyDensity("eight_gaussians", batch_size=64)
    for model, data, why in (
        (infogan((2,)), toy, "InfoGAN makes vectors, not images"),
        (GAN([1, 8, 8], latent_dim=2, hidden=[3]), DIGITS, "GAN has no codes that it recognises"),
    ):
        assert obstacles(LatentSpace(model, data, "validation"), [KIND], Request()) == {"code_traversal": why}
