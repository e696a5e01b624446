"""Flow++: one bijection of all its parts, on every size of image that it can take, of the paper's size where it has the paper's options."""

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.models import FlowPP
from lightning_gen.noise import IndexedNoise

TINY = {
    "width": 4,
    "num_blocks": 1,
    "num_components": 2,
    "num_heads": 2,
    "dropout": 0.0,
    "dequantization": {
        "class_path": "VariationalDequantization",
        "init_args": {"width": 4, "num_blocks": 1, "num_components": 2, "num_heads": 2, "context_width": 4, "context_blocks": 1},
    },
}


def perturbed_flow(data_shape):
    torch.set_default_dtype(torch.float64)
    model = FlowPP(data_shape, **TINY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def test_its_log_determinant_is_that_of_the_whole_jacobian_and_its_inverse_is_exact():
    model = perturbed_flow([1, 2, 4])
    y = torch.rand(2, 1, 2, 4)
    z, log_det = model.bijection(y)
    torch.testing.assert_close(model.bijection.inverse(z), y, rtol=1e-8, atol=1e-8)
    for item in range(2):
        jacobian = torch.autograd.functional.jacobian(lambda v: model.bijection(v.view(1, 1, 2, 4))[0][0], y[item].flatten())
        torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, log_det[item], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("data_shape", [[1, 8, 8], [3, 4, 8]])
def test_images_come_back_from_noise(data_shape):
    model = perturbed_flow(data_shape).eval()
    images = torch.randint(0, 256, (3, *data_shape), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(model.decode(model.encode(images)), images)


def test_every_number_depends_on_every_pixel():
    model = perturbed_flow([1, 4, 4])
    jacobian = torch.autograd.functional.jacobian(lambda v: model.bijection(v.view(1, 1, 4, 4))[0][0], torch.rand(16))
    assert (jacobian != 0).all()


def test_every_parameter_has_a_gradient_those_of_the_dequantization_included():
    model = perturbed_flow([3, 4, 8])
    batch = torch.randint(0, 256, (3, 3, 4, 8), dtype=torch.uint8), torch.zeros(3)
    model.negative_log_likelihood(batch, IndexedNoise(0, range(3)))["loss"].backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.abs().any()]


@pytest.mark.parametrize("data_shape", [[2], [1, 6, 6], [1, 3, 8]])
def test_images_that_it_cannot_divide_are_refused(data_shape):
    with pytest.raises(UserError, match="data_shape"):
        FlowPP(data_shape, **TINY)


@pytest.mark.slow
def test_it_has_the_papers_number_of_parameters_on_cifar10():
    """The authors' 31,443,440, less their normalisation by position (13 of 2 * 3,072 numbers; here one per channel, 288 in all), and
    the dequantization's first layer of 396 numbers more."""
    model = FlowPP([3, 32, 32])
    assert sum(parameter.numel() for parameter in model.parameters()) == 31_443_440 - 13 * 2 * 3072 + 288 + 396
