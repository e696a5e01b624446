"""A loss that is no number stops the run, and the message says where it began."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lightning_gen.errors import NonFiniteLossError, UserError
from lightning_gen.models import GAN, VAE
from lightning_gen.models.guard import FiniteGuard

NAN, ONE = torch.tensor(math.nan), torch.tensor(1.0)


class NegativeLog(nn.Module):
    """Has no parameters, and no finite output."""

    def forward(self, x):
        return torch.log(-x.abs() - 1)


def stub(device="cuda", world_size=1):
    """What the guard needs of a model, on a device where looking is not free."""
    return SimpleNamespace(
        device=torch.device(device),
        world_size=world_size,
        images_seen=640,
        batches_seen=40,
        last_batch=None,
        named_parameters=lambda: iter(()),
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_any_kind_of_not_finite_stops_with_the_term_the_images_and_the_checkpoint(value, shape):
    guard, bad = FiniteGuard(), torch.ones(shape)
    bad.view(-1)[-1] = value
    guard.last_checkpoint = "runs/a/last.ckpt"
    with pytest.raises(NonFiniteLossError) as caught:
        guard.watch(stub("cpu"), {"rate": ONE, "distortion": bad})
    message = str(caught.value)
    assert "\n" not in message
    assert "loss term 'distortion' became" in message
    assert "'rate'" not in message
    assert "after 640 images" in message
    assert message.endswith("last good checkpoint: runs/a/last.ckpt")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("model", [stub("cuda"), stub("cpu", world_size=2)])
@pytest.mark.parametrize("every_steps", [1, 4, 16])
@pytest.mark.parametrize("bad_step", [1, 3])
def test_flags_are_read_every_so_many_steps_and_remembered_until_then(model, every_steps, bad_step):
    guard = FiniteGuard(every_steps)
    stop = every_steps * math.ceil(bad_step / every_steps)
    for step in range(1, stop):
        guard.watch(model, {"loss": NAN if step == bad_step else ONE})
    with pytest.raises(NonFiniteLossError, match="'loss'"):
        guard.watch(model, {"loss": NAN if stop == bad_step else ONE})
    guard.check(model)  # what was reported is forgotten


def test_the_first_bad_step_and_its_terms_are_blamed_not_those_of_the_look():
    guard, model = FiniteGuard(5), stub()
    for step in range(1, 5):
        model.images_seen = 64 * step
        guard.watch(model, {"rate": NAN if step > 1 else ONE, "loss": NAN if step > 2 else ONE})
    with pytest.raises(NonFiniteLossError, match=r"^loss term 'rate' became NaN or infinite after 256 images \(first after 128 images, "):
        guard.check(model)


def test_a_term_that_is_not_there_in_every_step_is_remembered_too():
    guard = FiniteGuard(4)
    guard.watch(stub(), {"discriminator_loss": ONE, "generator_loss": NAN})
    guard.watch(stub(), {"discriminator_loss": ONE})
    with pytest.raises(NonFiniteLossError, match="'generator_loss'"):
        guard.check(stub())


def test_finite_terms_never_stop_and_are_forgotten_after_a_look():
    guard = FiniteGuard(4)
    for step in range(50):
        guard.watch(stub(), {"loss": torch.tensor([1e38, -1e38]), "step": torch.tensor(step)})
    guard.check(stub())
    guard.check(stub())
    guard.watch(stub("cpu"), {"loss": ONE})


@pytest.mark.parametrize("model", [VAE([1, 8, 8], latent_dim=2), GAN([1, 8, 8], latent_dim=2, hidden=[4])])
def test_a_finite_run_ends(model, tiny, fit):
    fit(model, tiny(), batches=4)
    assert model.batches_seen == 4


def test_a_run_stops_in_the_first_bad_step_and_names_the_parameter(tiny, fit):
    model = VAE([1, 8, 8], latent_dim=2)
    with torch.no_grad():
        model.decoder.layers[2].weight[0, 0] = math.nan
    with pytest.raises(NonFiniteLossError, match=r"'distortion', 'loss' became .* 16 images \(parameter 'decoder\.layers\.2\.weight'"):
        fit(model, tiny(), batches=4)
    assert model.batches_seen == 1


def test_a_layer_that_makes_the_first_bad_value_is_named(tiny, fit):
    model = VAE([1, 8, 8], latent_dim=2)
    model.decoder.layers[1] = NegativeLog()
    with pytest.raises(NonFiniteLossError, match=r"'distortion', 'loss' .*\(first in layer 'decoder\.layers\.1'\)"):
        fit(model, tiny(), batches=4)


def test_in_a_gan_too_the_layer_that_makes_the_first_bad_value_is_named(tiny, fit):
    model = GAN([1, 8, 8], latent_dim=2, hidden=[4])
    model.generator.network.layers[1] = NegativeLog()
    with pytest.raises(NonFiniteLossError, match=r"first in layer 'generator\.network\.layers\.1'"):
        fit(model, tiny(), batches=4)


class Unrepeatable(VAE):
    """Its loss becomes NaN, and cannot be computed again to see where."""

    error: type[Exception]

    def training_step(self, batch, batch_idx):
        terms = {"loss": NAN * next(self.parameters()).sum()}
        self.log_terms(terms)
        return terms["loss"]

    def validation_terms(self, batch, noise):
        raise self.error("no step is small enough")


@pytest.mark.parametrize("error", [RuntimeError, ValueError, UserError])
def test_what_goes_wrong_in_looking_for_the_layer_does_not_hide_why_the_run_ended(error, tiny, fit):
    model = Unrepeatable([1, 8, 8], latent_dim=2)
    model.error = error
    with pytest.raises(NonFiniteLossError, match=r"'loss' became NaN .*\(its layers cannot be looked at: no step is small enough\)"):
        fit(model, tiny())
