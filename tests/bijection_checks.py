"""What every bijection promises, as checks that the tests of each one call."""

import torch

from lightning_gen.bijections.base import Bijection


def perturbed(module, scale=0.3):
    """The module with random parameters, away from the identity at which most layers start."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return module


def log_det_by_brute_force(bijection: Bijection, x, context=None):
    """log|det dz/dx| of each item, by autograd: the whole Jacobian."""
    values = []
    for item in range(len(x)):
        given = None if context is None else context[item : item + 1]

        def flat(v, given=given, shape=x.shape[1:]):
            return bijection(v.view(1, *shape), given)[0].flatten()

        jacobian = torch.autograd.functional.jacobian(flat, x[item].flatten())
        values.append(torch.linalg.slogdet(jacobian).logabsdet)
    return torch.stack(values)


def check_bijection(bijection: Bijection, x, context=None, tolerance=1e-8):
    """In float64: the inverse, both ways; the log-determinant; one item knows nothing of the others; gradients reach every parameter."""
    assert x.dtype == torch.float64
    bijection.double()
    z, log_det = bijection(x, context)
    assert log_det.shape == (len(x),)
    assert z.numel() == x.numel()
    with torch.no_grad():
        torch.testing.assert_close(bijection.inverse(z, context), x, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(bijection(bijection.inverse(z, context), context)[0], z, rtol=tolerance, atol=tolerance)
        alone = bijection(x[:1], None if context is None else context[:1])
    torch.testing.assert_close(alone[0], z[:1], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(alone[1], log_det[:1], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(log_det.detach(), log_det_by_brute_force(bijection, x, context), rtol=1e-7, atol=1e-7)
    check_gradients(bijection, z, log_det)


def check_gradients(bijection, z, log_det):
    """A loss of z and log-determinant has a gradient for every parameter that is not zero throughout."""
    if not any(parameter.requires_grad for parameter in bijection.parameters()):
        return
    bijection.zero_grad()
    ((z.flatten(1) * torch.randn_like(z.flatten(1))).sum() + (log_det * torch.randn_like(log_det)).sum()).backward()
    without = [name for name, parameter in bijection.named_parameters() if parameter.grad is None or not parameter.grad.abs().any()]
    assert not without
