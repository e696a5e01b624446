"""The invertible 1x1 convolution: a bijection that starts as a rotation, and an inverse that is solved for once and is never an old one."""

import copy
import io

import pytest
import torch
from bijection_checks import check_bijection, perturbed

from lightning_gen.bijections.convolution import ChannelMixing, InvertibleConvolution, LUConvolution

FORMS = [InvertibleConvolution, LUConvolution]
SHAPES = [(3, 4, 2, 3), (3, 1, 2, 2), (3, 5)]


@pytest.fixture(params=FORMS)
def layer(request):
    return request.param(4, "key")


@pytest.fixture
def solves(monkeypatch):
    """A list that grows by one with every matrix that is inverted."""
    seen, invert = [], torch.linalg.inv
    monkeypatch.setattr(torch.linalg, "inv", lambda matrix: (seen.append(matrix.dtype), invert(matrix))[1])
    return seen


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", FORMS)
def test_it_is_a_bijection(form, shape):
    check_bijection(perturbed(form(shape[1], "key"), 0.1), torch.randn(shape))


def test_it_starts_as_a_rotation_that_is_a_function_of_its_key(layer):
    w = layer.matrix()
    torch.testing.assert_close(w @ w.mT, torch.eye(4), rtol=0, atol=1e-12)
    assert layer(torch.randn(2, 4, 3, 3))[1].abs().max() < 1e-12
    assert torch.equal(type(layer)(4, "key").matrix(), w)
    assert (type(layer)(4, "another").matrix() - w).abs().max() > 0.1


def test_both_forms_start_as_the_same_matrix():
    torch.testing.assert_close(InvertibleConvolution(6, "a", 1).matrix(), LUConvolution(6, "a", 1).matrix(), rtol=0, atol=1e-12)


def test_it_is_the_matrix_at_every_pixel_and_counts_its_volume_at_each(layer):
    perturbed(layer, 0.1)
    x = torch.randn(2, 4, 3, 5)
    z, log_det = layer(x)
    torch.testing.assert_close(z[1, :, 2, 4], layer.matrix() @ x[1, :, 2, 4])
    torch.testing.assert_close(log_det, (15 * torch.linalg.slogdet(layer.matrix()).logabsdet).expand(2))


def test_whatever_lu_learns_order_and_signs_stay():
    layer = LUConvolution(5, "key")
    sign = torch.linalg.det(layer.matrix()).sign()
    assert torch.linalg.det(perturbed(layer, 3.0).matrix()).sign() == sign
    assert sum(parameter.numel() for parameter in layer.parameters()) == 25


@pytest.mark.parametrize("form", FORMS)
def test_under_autocast_nothing_is_rounded_to_half_precision(form):
    layer, x = perturbed(form(8, "key"), 0.1).float(), torch.randn(2, 8, 4, 4, dtype=torch.float32)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        z, log_det = layer(x)
        assert (z.dtype, log_det.dtype) == (torch.float32, torch.float32)
        torch.testing.assert_close(layer.inverse(z), x, rtol=1e-5, atol=1e-5)


def test_sampling_solves_once_in_float64(layer, solves):
    layer.float()
    z = torch.randn(2, 4, 3, 3, dtype=torch.float32)
    with torch.no_grad():
        first = layer.inverse(z)
        assert all(torch.equal(layer.inverse(z), first) for _ in range(5))
    assert solves == [torch.float64]


def changed_by_an_optimiser(layer):
    for parameter in layer.parameters():
        parameter.grad = torch.randn_like(parameter)
    torch.optim.Adamax(layer.parameters(), lr=0.1).step()


def changed_by_loading(layer):
    layer.load_state_dict(perturbed(type(layer)(4, "key")).state_dict())


def changed_by_assigning(layer):
    layer.load_state_dict(perturbed(type(layer)(4, "key")).state_dict(), assign=True)


def changed_by_an_average(layer):
    live = perturbed(copy.deepcopy(layer))
    with torch.no_grad():
        torch._foreach_lerp_(list(layer.parameters()), list(live.parameters()), 0.5)


def changed_by_another_parameter(layer):
    for name, parameter in list(layer.named_parameters()):
        setattr(layer, name, torch.nn.Parameter(parameter.detach() + 0.3))


def changed_by_rounding(layer):
    layer.float().double()


def changed_by_hand(layer):
    perturbed(layer)


CHANGES = [
    changed_by_an_optimiser,
    changed_by_loading,
    changed_by_assigning,
    changed_by_an_average,
    changed_by_another_parameter,
    changed_by_rounding,
    changed_by_hand,
]


@pytest.mark.parametrize("change", CHANGES)
def test_no_change_leaves_an_old_inverse(change, layer, solves):
    x = torch.randn(2, 4, 3, 3)
    with torch.no_grad():
        layer.inverse(layer(x)[0])
    before = layer.matrix().detach().clone()
    change(layer)
    assert not torch.equal(layer.matrix(), before)
    with torch.no_grad():
        torch.testing.assert_close(layer.inverse(layer(x)[0]), x, rtol=1e-10, atol=1e-10)
    assert len(solves) == 2


def test_with_gradients_the_inverse_is_solved_for_anew_and_differentiable(layer, solves):
    z = torch.randn(2, 4)
    layer.inverse(z).square().sum().backward()
    layer.inverse(z)
    assert len(solves) == 2
    (parameter,) = layer.parameters()
    assert parameter.grad.abs().min() > 0


def test_copies_and_files_hold_no_inverse_and_have_their_own(layer):
    z = torch.randn(2, 4)
    with torch.no_grad():
        x = layer.inverse(z)
        file = io.BytesIO()
        torch.save(layer, file)
        for again in (copy.deepcopy(layer), torch.load(io.BytesIO(file.getvalue()), weights_only=False)):
            assert again._kept is None
            torch.testing.assert_close(again.inverse(z), x, rtol=1e-12, atol=1e-12)
            perturbed(again)
            assert (again.inverse(z) != x).all()
        assert torch.equal(layer.inverse(z), x)


def test_what_says_no_matrix_says_so():
    for call in (ChannelMixing().matrix, ChannelMixing().log_volume):
        with pytest.raises(NotImplementedError, match="ChannelMixing has to implement"):
            call()


def test_a_fused_optimisers_step_is_seen_although_it_leaves_the_version_counter_alone():
    layer = InvertibleConvolution(3, "fused")
    x = torch.randn(2, 3, 2, 2)
    with torch.no_grad():
        layer.inverse(x)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, fused=True)
    (layer(x)[0].square().sum() - layer(x)[1].sum()).backward()
    optimizer.step()
    with torch.no_grad():
        torch.testing.assert_close(layer.inverse(layer(x)[0]), x)


def test_a_copy_that_was_made_in_inference_mode_can_be_sampled_from():
    with torch.inference_mode():
        layer = copy.deepcopy(InvertibleConvolution(3, "copied"))
    x = torch.randn(2, 3, 2, 2)
    with torch.no_grad():
        torch.testing.assert_close(layer.inverse(layer(x)[0]), x)
