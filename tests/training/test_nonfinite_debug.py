"""A run that meets NaN keeps the step on which it did, on the rank that has it, and nobody waits for anybody."""

import pytest
import torch
from training_runs import Recipe, Scalar, Small, train

from lightning_gen.analysis.nonfinite import KEY, failure_file, read_failure
from lightning_gen.bijections.base import Chain
from lightning_gen.bijections.coupling import Coupling
from lightning_gen.bijections.masks import mask
from lightning_gen.bijections.normalization import BatchNormalization
from lightning_gen.bijections.shapes import Flatten
from lightning_gen.bijections.transforms import Affine
from lightning_gen.callbacks.checkpoints import Checkpoints
from lightning_gen.callbacks.nonfinite import NonFinite
from lightning_gen.errors import NonFiniteLossError
from lightning_gen.models.flows.normalizing_flow import NormalizingFlow
from lightning_gen.nn.conditioner import MLPConditioner


class Blown(NormalizingFlow):
    """A coupling with global batch statistics behind it; in the fifth batch its scale leaves float32."""

    def build_bijection(self):
        network = MLPConditioner(self.data_shape, 2 * 64, [8])
        coupling = Coupling(mask("checkerboard", self.data_shape, False), network, Affine(self.data_shape, max_log_scale=1e4))
        return Chain([coupling, BatchNormalization(1), Flatten(self.data_shape)])

    def negative_log_likelihood(self, batch, noise):
        with torch.no_grad():
            self.bijection.bijections[0].network.layers[-1].bias[:64] = 95.0 if self.batches_seen == 5 else 0.0
        return super().negative_log_likelihood(batch, noise)


class BadGradient(Scalar):
    """In the fifth batch the loss is finite but its gradient is not, as of the square root of a distance that has become zero."""

    def terms(self, batch, noise):
        weight = self.network.weight.squeeze()
        return {"loss": (weight - weight.detach()).square().sqrt() if self.batches_seen == 5 else weight.square()}

    def validation_terms(self, batch, noise):
        return self.terms(batch, noise)


class Infinite(Scalar):
    """The gradient of the fifth batch is infinite."""

    def terms(self, batch, noise):
        loss = self.network(torch.ones(1, 1)).sum().square()
        if self.batches_seen == 5:
            loss.register_hook(lambda gradient: gradient / 0)
        return {"loss": loss}


class Blink(Scalar):
    """Draws noise; NaN in one batch alone, after which all is good again."""

    def terms(self, batch, noise):
        terms = super().terms(batch, noise) | {"draw": noise.normal("draw", (3,)).sum()}
        return terms | {"penalty": torch.tensor(float("nan") if self.batches_seen == 5 and self.global_rank == 1 else 1.0)}

    def validation_terms(self, batch, noise):
        return self.terms(batch, noise)


def fail(rank, world_size, folder, model, arguments, every_images, noise, options):
    data = Small(seed=3)
    try:
        train(
            Recipe(model, arguments, noise=noise),
            world_size,
            640,
            [NonFinite(), Checkpoints(every_images)],
            data,
            default_root_dir=folder,
            **options,
        )
    except NonFiniteLossError as error:
        return str(error)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    return tmp_path


@pytest.fixture
def failed(folder, pool):
    """Train until it fails; the message of every rank."""

    def run(model, world_size=1, every_images=0, noise="step", arguments=None, **options):
        return pool(fail, folder, model, arguments or {}, every_images, noise, options, world_size=world_size)

    return run


def test_one_rank_looks_for_the_layer_and_saves_the_step_while_the_others_stop(failed, folder):
    """The flow's batch statistics are those of all ranks: a rank that looked together with the others would wait for ever."""
    first, second = failed(Blown, world_size=2)
    assert "(first after 80 images, parameter 'bijection." in first, first
    assert "(first after 80 images, on rank 0)" in second
    for message in (first, second):
        assert message.endswith(f"replay it with: lightning-gen debug {folder}")
    _, content = read_failure(str(folder))
    failure = content[KEY]
    assert (failure["rank"], failure["batches_seen"], failure["images_seen"], failure["later_steps"]) == (0, 5, 80, 11)
    assert [path.name for path in failure_file(folder).parent.iterdir()] == ["nonfinite.pt"]


def test_one_process_names_the_bijection_and_its_extreme_scale(failed):
    (message,) = failed(Blown)
    assert (
        "(first in bijection 'bijection.bijections.0' (Coupling) at its 'transform' with |log-det| per dimension up to 47.5, |log-scale|"
        in message
    )


@pytest.mark.parametrize("noise", ["step", "indexed"])
def test_the_batch_and_the_noise_are_those_of_the_step_not_of_the_look_at_the_flags(noise, failed, folder, pool):
    failed(Blink, world_size=2, noise=noise)
    _, content = read_failure(str(folder))
    (_, expected) = pool(seen_in_batch, 5, noise, world_size=2)
    failure = content[KEY]
    assert (failure["rank"], failure["batches_seen"], len(failure["images"])) == (1, 5, 8)
    assert torch.equal(failure["images"], expected[0])
    assert torch.equal(failure["draws"]["normal draw"], expected[1])


class Notes(Scalar):
    """Keeps every batch and what is drawn for it."""

    def record(self, batch, noise):
        return batch[0].clone(), noise.normal("draw", (3,))


def seen_in_batch(rank, world_size, batch, noise):
    return train(Recipe(Notes, noise=noise), world_size, 16 * batch).model.records[batch - 1]


@pytest.mark.parametrize("model", [BadGradient, Infinite])
def test_a_bad_gradient_is_met_before_it_reaches_the_weights(model, failed, folder):
    (message,) = failed(model)
    assert "the gradient of 'network.weight' became NaN or infinite after 80 images (all " in message
    _, content = read_failure(str(folder))
    assert content["state_dict"]["network.weight"].isfinite().all()
    assert content[KEY]["batches_seen"] == 5


def test_a_resumed_run_names_the_checkpoint_that_it_came_from(failed, folder):
    last = folder / "checkpoints" / "last.ckpt"
    assert f"last good checkpoint: {last}" in failed(BadGradient, every_images=32)[0]
    assert f"last good checkpoint: {last}" in failed(BadGradient, ckpt_path=last)[0]


def test_clipping_by_value_makes_an_infinite_gradient_harmless(failed, folder):
    assert failed(Infinite, gradient_clip_val=1.0, gradient_clip_algorithm="value") == [None]


def test_a_bad_gradient_of_several_processes_shows_in_the_weights(failed, folder):
    messages = failed(BadGradient, world_size=2, every_images=16)
    assert ["a weight became NaN" in message for message in messages] == [True, True]
    _, content = read_failure(str(folder))
    assert (content[KEY]["rank"], content[KEY]["batches_seen"]) == (0, 5)


def test_a_folder_that_cannot_be_written_to_does_not_hide_why_the_run_ended(failed, folder):
    (folder / "debug").write_text("in the way")
    (message,) = failed(BadGradient)
    assert "the gradient of 'network.weight' became" in message
    assert "its batch cannot be saved" in message
