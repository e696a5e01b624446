"""ActNorm and batch normalisation: bijections; initialised by the first global batch; and what happens in training and in evaluation."""

import math

import pytest
import torch
from bijection_checks import check_bijection, perturbed
from distributed_pool import shared_pool

from lightning_gen.bijections.base import Chain
from lightning_gen.bijections.normalization import ActNorm, BatchNormalization
from lightning_gen.errors import UserError
from lightning_gen.models import Glow
from lightning_gen.nn.data_dependent import initializing

SHAPES = [(3, 2, 4, 3), (4, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_actnorm_is_a_bijection(shape):
    check_bijection(perturbed(ActNorm(shape[1], len(shape) - 1)), torch.randn(shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_normalisation_is_a_bijection_in_evaluation_mode(shape):
    layer = BatchNormalization(shape[1])
    layer.running_mean.normal_()
    layer.running_variance.uniform_(0.5, 2)
    check_bijection(layer.eval(), torch.randn(shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_actnorm_starts_by_standardising_what_it_sees_layer_after_layer(shape):
    shape = (50, *shape[1:])
    chain = Chain([ActNorm(shape[1], len(shape) - 1) for _ in range(2)]).double()
    x = 3 * torch.randn(shape) + 5
    with initializing(chain):
        z = chain(x)[0]
    rows = z.movedim(1, -1).flatten(0, -2)
    torch.testing.assert_close(rows.mean(0), torch.zeros(shape[1]), rtol=0, atol=1e-5)
    torch.testing.assert_close(rows.std(0, correction=0), torch.ones(shape[1]), rtol=1e-5, atol=0)
    assert not any(layer.initializing for layer in chain.bijections)


def test_nothing_but_the_initialisation_initialises():
    layer = ActNorm(2)
    for mode in (layer.train(), layer.eval()):
        mode(torch.randn(4, 2, 3, 3))
        mode.inverse(torch.randn(4, 2, 3, 3))
    assert not layer.shift.any()
    assert not layer.log_scale.any()


def test_a_constant_channel_does_not_become_infinite():
    layer = ActNorm(2)
    with initializing(layer):
        layer(torch.full((4, 2, 3, 3), 7.0))
    assert torch.isfinite(layer(torch.full((4, 2, 3, 3), 7.0))[0]).all()


def initialized_by(rank, world_size, shape):
    """The log-scales that an ActNorm starts with when each process has one item, all zeros on the first one and all twos on the second."""
    layer = ActNorm(shape[1], len(shape) - 1)
    with initializing(layer):
        layer(torch.full(shape, 2.0 * rank))
    return layer.log_scale.flatten().tolist()


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1)])
def test_one_number_has_no_standard_deviation_to_start_with(shape):
    with pytest.raises(UserError, match=r"^data\.batch_size: ActNorm .*; expected at least 2, got 1$"):
        initialized_by(0, 1, shape)
    assert shared_pool()(initialized_by, shape, world_size=2) == [pytest.approx([0.0] * 3, abs=1e-5)] * 2


def test_the_pixels_of_one_image_are_enough_to_start_with():
    layer = ActNorm(1)
    with initializing(layer):
        layer(torch.tensor([[[[0.0, 4.0]]]]))
    assert layer.log_scale.item() == pytest.approx(-math.log(2))


def test_a_training_that_starts_with_one_number_per_channel_ends_in_a_line_that_asks_for_more(fit, tiny):
    with pytest.raises(UserError, match="expected at least 2"):
        fit(Glow([1, 2, 2], width=4, num_steps=1, num_scales=1), tiny(batch_size=1, data_shape=(1, 2, 2)))


def test_batch_normalisation_in_training_uses_the_batch_and_counts_its_log_determinant_by_pixels():
    layer = BatchNormalization(2)
    x = 4 * torch.randn(64, 2, 3, 3) - 1
    z, log_det = layer(x)
    rows, of_x = z.movedim(1, -1).flatten(0, -2), x.movedim(1, -1).flatten(0, -2)
    torch.testing.assert_close(rows.mean(0), torch.zeros(2))
    expected = -0.5 * 9 * torch.log(of_x.var(0, correction=0) + layer.epsilon).sum()
    torch.testing.assert_close(log_det, expected.expand(64))
    torch.testing.assert_close(layer.running_mean, 0.1 * of_x.mean(0))


def test_one_number_cannot_be_normalised_in_training():
    """It would become 0 whatever it was, with a log-determinant of a standard deviation of 0: a likelihood without bounds."""
    for shape in ((1, 3), (1, 3, 1, 1)):
        with pytest.raises(UserError, match=r"^data\.batch_size: BatchNormalization .*; expected at least 2, got 1$"):
            BatchNormalization(3)(torch.randn(shape))
        assert BatchNormalization(3).eval()(torch.randn(shape))[0].isfinite().all()
    assert BatchNormalization(3)(torch.randn(1, 3, 1, 2))[0].isfinite().all()


def test_before_the_first_step_evaluation_is_finite_and_tame():
    z, log_det = BatchNormalization(2).eval()(torch.randn(4, 2, 3, 3))
    assert z.abs().max() < 10
    assert log_det.abs().max() < 1e-3


def test_there_is_no_inverse_of_a_batch():
    with pytest.raises(UserError, match="no inverse in training mode"):
        BatchNormalization(2).inverse(torch.randn(4, 2, 3, 3))
