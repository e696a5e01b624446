"""The fully visible sigmoid belief network."""

import torch

from lightning_gen.models import FVSBN
from lightning_gen.noise import IndexedNoise


def test_fvsbn_is_logistic_regression_on_the_pixels_before(float64):
    model = FVSBN([1, 3, 3], num_bits=1, output="Bernoulli")
    layer = model.distribution.network.layers.layers[0]
    with torch.no_grad():
        layer.weight.normal_()
        layer.bias.normal_()
    images = (torch.rand(4, 1, 3, 3) < 0.5).to(torch.uint8) * 255
    x = images.flatten(1).double() / 127.5 - 1
    with model.inference("live"):
        log_prob = model.double().log_prob(images, noise=IndexedNoise(0, range(4)))
    logits = x @ layer.weight.tril(-1).T + layer.bias
    torch.testing.assert_close(log_prob, torch.distributions.Bernoulli(logits=logits).log_prob((x + 1) / 2).sum(1))
