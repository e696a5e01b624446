"""Couplings are bijections whatever divides them and whatever they apply; the passing half passes."""

import pytest
import torch
from bijection_checks import check_bijection, perturbed

from lightning_gen.bijections.coupling import Coupling, SplitCoupling, halves
from lightning_gen.bijections.masks import mask
from lightning_gen.bijections.transforms import Additive, Affine, SigmoidAffine, TanhAffine
from lightning_gen.errors import UserError
from lightning_gen.nn.conditioner import MLPConditioner, WeightNormResNet

AFFINE = [Additive, Affine, TanhAffine, SigmoidAffine]
MASKS = ["checkerboard", "channel", "top_bottom", "left_right"]


def image_coupling(name, shape, transform, flip=False):
    applied = transform(shape)
    network = WeightNormResNet(shape[0], applied.num_parameters * shape[0], width=4, num_blocks=1)
    return perturbed(Coupling(mask(name, shape, flip), network, applied))


@pytest.mark.parametrize("transform", AFFINE)
@pytest.mark.parametrize("name", MASKS)
def test_a_masked_coupling_is_a_bijection(name, transform):
    check_bijection(image_coupling(name, (2, 4, 3), transform), torch.randn(3, 2, 4, 3))


@pytest.mark.parametrize("transform", AFFINE)
def test_a_coupling_of_vectors_is_a_bijection_that_sees_its_context(transform):
    applied = transform((5,))
    network = MLPConditioner((5,), applied.num_parameters * 5, [7], context_features=3, activation="tanh")
    coupling = perturbed(Coupling(mask("alternate", (5,)), network, applied))
    x, context = torch.randn(3, 5), torch.randn(3, 3)
    check_bijection(coupling, x, context)
    assert (coupling(x, context)[0] != coupling(x, context + 1)[0]).any(1).all()


@pytest.mark.parametrize("channels", [2, 5])
@pytest.mark.parametrize("transform", AFFINE)
def test_a_split_coupling_is_a_bijection(transform, channels):
    changing = channels // 2
    applied = transform((changing, 3, 3))
    network = WeightNormResNet(channels - changing, applied.num_parameters * changing, width=4, num_blocks=1)
    check_bijection(perturbed(SplitCoupling(network, applied)), torch.randn(3, channels, 3, 3))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("name", MASKS)
def test_what_passes_is_unchanged_and_says_all_there_is_to_say_of_the_rest(name, flip):
    shape = (2, 4, 4)
    coupling = image_coupling(name, shape, TanhAffine, flip).double()
    x = torch.randn(1, *shape)
    passes = mask(name, shape, flip).bool()
    z = coupling(x)[0]
    assert torch.equal(z[passes], x[passes])
    jacobian = torch.autograd.functional.jacobian(lambda v: coupling(v)[0].flatten(), x).view(x.numel(), x.numel())
    changing = ~passes.flatten()
    of_changed = jacobian[changing][:, changing]
    assert torch.equal(of_changed, torch.diag(of_changed.diagonal()))
    assert jacobian[changing][:, ~changing].abs().sum() > 0


@pytest.mark.parametrize("shape", [(1, 7, 7), (2, 4, 6), (1, 2, 2)])
@pytest.mark.parametrize("name", MASKS)
def test_a_mask_and_its_flip_cover_everything_once(name, shape):
    if name == "channel" and shape[0] < 2:
        with pytest.raises(UserError, match="channel needs at least two to divide"):
            mask(name, shape)
        return
    both = mask(name, shape), mask(name, shape, flip=True)
    assert torch.equal(both[0] + both[1], torch.ones(1, *shape))
    assert all(half.sum() > 0 for half in both)


def test_masks_look_as_they_are_called():
    assert mask("checkerboard", (1, 2, 3))[0, 0].tolist() == [[0, 1, 0], [1, 0, 1]]
    assert mask("top_bottom", (1, 3, 2))[0, 0].tolist() == [[1, 1], [1, 1], [0, 0]]
    assert mask("left_right", (1, 2, 2), flip=True)[0, 0].tolist() == [[0, 1], [0, 1]]
    assert mask("channel", (2, 1, 1))[0].flatten().tolist() == [1, 0]
    assert mask("alternate", (3,)).tolist() == [[1, 0, 1]]


@pytest.mark.parametrize(("name", "shape"), [("alternate", (1, 4, 4)), ("checkerboard", (4,)), ("channel", (4,))])
def test_a_mask_that_does_not_fit_the_data_is_refused(name, shape):
    with pytest.raises(UserError, match=f"mask: {name} does not fit data of shape"):
        mask(name, shape)


def test_an_additive_coupling_keeps_volumes_and_an_affine_one_has_the_scale_it_says():
    shape = (2, 2, 2)
    assert image_coupling("channel", shape, Additive).double()(torch.randn(3, *shape))[1].tolist() == [0, 0, 0]
    raw = torch.tensor([-1e4, -1.0, 0.0, 2.0, 1e4])
    gain = TanhAffine((1,))
    with torch.no_grad():
        gain.gain.fill_(0.5)
    torch.testing.assert_close(gain.log_scale(raw), 0.5 * torch.tanh(raw))
    torch.testing.assert_close(SigmoidAffine((1,)).log_scale(raw).exp(), torch.sigmoid(raw + 2))
    torch.testing.assert_close(Affine((1,), max_log_scale=3).log_scale(raw), 3 * torch.tanh(raw / 3))


def test_couplings_start_as_the_identity_up_to_a_common_scale():
    network = WeightNormResNet(2, 4, width=4, num_blocks=1)
    coupling = Coupling(mask("channel", (2, 3, 3)), network, TanhAffine((2, 3, 3))).double()
    x = torch.randn(2, 2, 3, 3)
    assert torch.equal(coupling(x)[0], x)


def test_a_couplings_network_can_be_compiled():
    coupling = image_coupling("checkerboard", (1, 4, 4), TanhAffine).double()
    x = torch.randn(2, 1, 4, 4)
    z, log_det = coupling(x)
    coupling.network.compile(backend="aot_eager")
    again, log_det_again = coupling(x)
    torch.testing.assert_close(again, z, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(log_det_again, log_det, rtol=1e-12, atol=1e-12)
    again.sum().backward()


def test_of_an_odd_number_of_channels_the_passing_half_has_one_more():
    kept, changing = halves(torch.zeros(1, 5, 2, 2))
    assert (kept.shape[1], changing.shape[1]) == (3, 2)
