"""The plain autoencoder: its loss by hand, the principal components that a linear one finds, and what it does not pretend to."""

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.models import Autoencoder
from lightning_gen.noise import IndexedNoise

LINEAR = {"encoder": {"class_path": "MLPEncoder", "hidden": []}, "decoder": {"class_path": "MLPDecoder", "hidden": []}}


def test_the_loss_is_the_squared_error_summed_over_pixels_and_averaged_over_images(tiny):
    model = Autoencoder([1, 8, 8], latent_dim=3).double()
    images, _ = tiny().batch("test", range(6))
    with model.inference():
        loss = model.validation_terms((images, None), IndexedNoise(0, range(6)))["loss"]
        x = images.double() / 255
        rebuilt = model.decoder(model.encoder(x))
    expected = sum(float(((x[i] - rebuilt[i]) ** 2).sum()) for i in range(6)) / 6
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_a_linear_autoencoder_leaves_what_the_principal_components_leave(float64):
    """The minimum over linear maps of rank D is the sum of the smallest eigenvalues of the covariance (Eckart & Young)."""
    x = torch.randn(400, 6) @ torch.diag(torch.tensor([3.0, 2.0, 1.5, 0.5, 0.3, 0.1]))
    x = x - x.mean(0)
    model = Autoencoder([6], latent_dim=3, **LINEAR).double()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=400, line_search_fn="strong_wolfe", tolerance_change=1e-14)

    def closure():
        optimizer.zero_grad()
        loss = model.objective(x, None, IndexedNoise(0, range(400)))["loss"]
        loss.backward()
        return loss

    optimizer.step(closure)
    left = torch.linalg.eigvalsh(x.T @ x / 400)[:3].sum().item()
    assert closure().item() == pytest.approx(left, rel=1e-4)


@pytest.mark.parametrize(("num_bits", "levels"), [(4, 16), (8, 256), (1, 256)])
def test_reconstructions_lie_on_the_datas_levels_and_those_of_binary_images_are_grey(num_bits, levels):
    model = Autoencoder([1, 8, 8], latent_dim=3, num_bits=num_bits)
    x = torch.linspace(-0.1, 1.1, 64 * 40).view(40, 1, 8, 8)
    values = model.to_data(x).unique()
    assert len(values) == levels
    assert (values[0], values[-1]) == (0, 255)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent_dim": 0}, r"model\.latent_dim: expected at least 1, got 0"),
        ({"learning_rate": 0.0}, r"model\.learning_rate: expected a positive number"),
        ({"encoder": "ConvEncoder", "data_shape": [2]}, "a convolutional network needs images"),
    ],
)
def test_what_cannot_be_built_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        Autoencoder(**{"data_shape": [1, 8, 8], **options})
