"""What every causal network promises, as checks that the tests of each one call."""

import torch
from bijection_checks import perturbed

from lightning_gen.distributions.causal import CausalDistribution
from lightning_gen.nn.causal.base import CausalNetwork


def random_inputs(network, batch_size=2):
    """Inputs and a context of a network's shapes and type."""
    places = network.places
    x = torch.randn(batch_size, places.in_features * places.groups, *places.grid)
    return x, torch.randn(batch_size, places.context_features) if places.context_features else None


def dependence(network, x, context=None):
    """(T, T) booleans: whether the parameters of the i-th place in the order depend on the inputs of the j-th, by the Jacobian."""
    places = network.places
    jacobian = torch.autograd.functional.jacobian(lambda v: network(v, context).sum(0), x)  # (P G, H, W, B, F G, H, W)
    strength = jacobian.abs().sum(3).unflatten(3, (-1, places.groups)).sum(3).unflatten(0, (-1, places.groups)).sum(0)
    by_place = strength.permute(1, 2, 0, 4, 5, 3).reshape(places.count, places.count)
    return by_place[network.order][:, network.order] > 0


def check_causal(network: CausalNetwork, sees_everything=True):
    """In float64, on random weights: no place knows of itself or later ones; where the architecture promises it, each knows of all earlier
    ones; gradients reach every parameter; one item knows nothing of the others."""
    perturbed(network.double().eval(), 0.1)
    x, context = random_inputs(network)
    depends = dependence(network, x, context)
    assert not depends.triu().any()
    if sees_everything:
        assert depends.tril(-1).equal(torch.ones_like(depends).tril(-1))
    output = network(x, context)
    assert output.shape == (2, network.places.num_parameters * network.places.groups, *network.places.grid)
    torch.testing.assert_close(network(x[:1], None if context is None else context[:1]), output[:1], rtol=1e-10, atol=1e-10)
    network.zero_grad()
    (output * torch.randn_like(output)).sum().backward()
    assert not [name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.abs().any()]


@torch.no_grad()
def check_steps(network: CausalNetwork, batch_size=3):
    """Stepping gives the parameters of one pass: to 1e-10 in float64, to 1e-5 in float32; what stands at later places has no influence."""
    perturbed(network.double().eval(), 0.1)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        torch.set_default_dtype(dtype)
        network.to(dtype)
        x, context = random_inputs(network, batch_size)
        expected = network(x, context)
        seen = torch.full_like(x, 7.0)  # of no meaning, until the place is reached
        state = network.init_state(torch.zeros_like(x), context)
        for t, place in enumerate(network.order):
            torch.testing.assert_close(
                network.step(state, seen, t), network.places.at(expected, place), rtol=tolerance, atol=tolerance, msg=f"place {place}"
            )
            network.places.at(seen, place).copy_(network.places.at(x, place))


class Naive(CausalNetwork):
    """Another network, by a whole forward pass at each place."""

    def __init__(self, network):
        super().__init__(network.places)
        self.network = network

    @property
    def order(self):
        return self.network.order

    def forward(self, x, context=None):
        return self.network(x, context)


def check_samples(network: CausalNetwork, pixels, batch_size=5):
    """In float64, the same uniform numbers give the samples that the naive sampler gives."""
    torch.set_default_dtype(torch.float64)
    perturbed(network.double().eval(), 0.1)
    fast, slow = CausalDistribution(network, pixels).double(), CausalDistribution(Naive(network), pixels).double()
    _, context = random_inputs(network, batch_size)
    u = torch.rand(batch_size, *fast.uniforms_shape)
    levels = fast.sample(u, context)
    assert len(levels.unique()) > 1
    assert torch.equal(levels, slow.sample(u, context))
