"""Softmax and Bernoulli of every colour: the distributions of the same names, in single precision at least, and draws by inversion."""

import pytest
import torch

from lightning_gen.distributions.pixels.bernoulli import Bernoulli
from lightning_gen.distributions.pixels.categorical import Categorical, draw_category

PIXELS = {
    "softmax": (Categorical(3, 2), torch.distributions.Categorical),
    "Bernoulli": (Bernoulli(3, 1), torch.distributions.Bernoulli),
}


@pytest.fixture(params=PIXELS)
def pixels_and_torchs(request):
    return PIXELS[request.param]


def random_case(pixels, dtype=torch.float32):
    return torch.randn(2, 3 * pixels.num_parameters, 4, 5, dtype=dtype), torch.randint(0, pixels.num_levels, (2, 3, 4, 5))


def test_feature_f_of_colour_g_is_channel_f_g_plus_g(pixels_and_torchs):
    pixels, kind = pixels_and_torchs
    parameters, levels = random_case(pixels)
    expected = torch.zeros(2)
    for colour in range(3):
        logits = parameters[:, colour::3].movedim(1, -1)
        logits = logits[..., 0] if kind is torch.distributions.Bernoulli else logits
        expected += kind(logits=logits).log_prob(levels[:, colour].to(logits)).flatten(1).sum(1)
    torch.testing.assert_close(pixels.log_prob(parameters, levels), expected)


def test_parameters_of_half_the_precision_are_taken_in_float32(pixels_and_torchs):
    pixels, _ = pixels_and_torchs
    parameters, levels = random_case(pixels, torch.bfloat16)
    log_prob = pixels.log_prob(parameters, levels)
    assert log_prob.dtype == torch.float32
    assert torch.equal(log_prob, pixels.log_prob(parameters.float(), levels))
    one, u = parameters[:, ::3, 0, 0], torch.rand(2, 1)
    assert torch.equal(pixels.draw(one, u), pixels.draw(one.float(), u))


def test_what_has_no_probability_is_never_drawn():
    impossible = -torch.inf
    logits = torch.tensor([impossible, 0.0, impossible, 0.0, impossible])
    u = torch.tensor([0.0, 0.5 - 2**-24, 0.5, 1 - 2**-24, 1.0])
    assert draw_category(logits, u).tolist() == [1, 1, 3, 3, 3]
