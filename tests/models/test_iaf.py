"""An inverse autoregressive flow is fitted by maximum likelihood, through the fixed point and its implicit gradient."""

import pytest
import torch

from lightning_gen.models import IAF, MAF
from lightning_gen.noise import IndexedNoise


def test_sampling_is_one_pass_per_layer_where_a_maf_needs_more():
    def passes(cls):
        model = cls([6], num_layers=2, hidden=[12], normalization="none").eval()
        count = []
        for module in model.modules():
            if type(module).__name__ == "MaskedMLP":
                torch.nn.init.normal_(module.layers[-1].weight, std=0.3)
                module.register_forward_hook(lambda *_: count.append(1))
        model.sample(4, seed=0)
        return len(count)

    assert passes(IAF) == 2
    assert passes(MAF) > 4


def test_maximum_likelihood_fits_what_the_flow_can_be(float64):
    """Data that one layer makes of noise: N(0, 1), then a normal whose mean and scale follow from the first number."""
    torch.manual_seed(0)
    first = torch.randn(500, 1)
    data = torch.cat([first, torch.exp(0.5 * first) * torch.randn(500, 1) + first], dim=1)
    model = IAF([2], num_layers=1, hidden=[16], activation="tanh", normalization="none", learning_rate=0.03).double()
    optimizer = model.configure_optimizers()
    for _ in range(80):
        loss = model.negative_log_likelihood((data, None), IndexedNoise(0, range(500)))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    second = torch.distributions.Normal(data[:, 0], torch.exp(0.5 * data[:, 0])).log_prob(data[:, 1])
    entropy = -(torch.distributions.Normal(0.0, 1.0).log_prob(data[:, 0]) + second).mean()
    assert 2 * loss.item() == pytest.approx(entropy.item(), abs=0.05)


def test_training_in_bfloat16_reaches_every_weight():
    """Weights that autocast casts while nothing needs a gradient must not be remembered for when something does."""
    model = IAF([4], num_layers=2, hidden=[8], num_classes=3, conditional=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        batch = torch.randn(8, 4), torch.randint(0, 3, (8,))
        model.negative_log_likelihood(batch, IndexedNoise(0, range(8)))["loss"].backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())
