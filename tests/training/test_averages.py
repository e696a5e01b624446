"""The exponential moving average: over what samples and nothing else, with a half-life in images, and never trained."""

import pytest
import torch
from training_runs import Recipe, Scalar, Small, train

from lightning_gen.callbacks.checkpoints import Checkpoints
from lightning_gen.callbacks.ema import EMA
from lightning_gen.checkpoint import load_model
from lightning_gen.distributed import global_mean
from lightning_gen.errors import UserError
from lightning_gen.models import DCGAN, GAN, VAE

SMALL = {
    DCGAN: {"width": 4, "latent_dim": 4},
    GAN: {"hidden": [8], "latent_dim": 4},
    VAE: {"latent_dim": 4, "encoder": {"class_path": "MLPEncoder", "hidden": [8]}, "decoder": {"class_path": "MLPDecoder", "hidden": [8]}},
}


def batch_of(count):
    return torch.zeros(count, 1, 8, 8, dtype=torch.uint8), torch.zeros(count, dtype=torch.int64)


@pytest.mark.parametrize("batch_size", [8, 16, 64])
def test_after_a_half_life_of_images_an_old_weight_counts_half(batch_size, float64):
    """Weights jump from 1 to 0 and stay there; after h images the average is 1/2, after 2 h it is 1/4, whatever the batch."""
    model, ema = Scalar(), EMA(half_life_images=640)
    torch.nn.init.ones_(model.network.weight)
    ema.on_train_batch_end(None, model, None, batch_of(batch_size), 0)
    assert model.ema["network"].weight.item() == 1
    torch.nn.init.zeros_(model.network.weight)
    for half in (0.5, 0.25):
        for step in range(640 // batch_size):
            ema.on_train_batch_end(None, model, None, batch_of(batch_size), step)
        assert model.ema["network"].weight.item() == pytest.approx(half, rel=1e-12)


def average_after(rank, world_size, images):
    model = train(Recipe(Scalar, noise="indexed"), world_size, images, [EMA(48)], precision="64-true").model
    return model.network.weight.item(), model.ema["network"].weight.item()


def test_the_half_life_is_the_same_on_two_processes(pool):
    (alone,), pair = pool(average_after, 96), pool(average_after, 96, world_size=2)
    assert pair[0] == pair[1]
    assert pair[0] == pytest.approx(alone, rel=1e-12)
    assert alone[0] != alone[1]


def reference_average(rank, world_size):
    """The average against its definition, from the live weights after every step."""
    live = []
    look = EachWeight(live)
    model = train(Recipe(Scalar), 1, 96, [look, EMA(48)], precision="64-true").model
    average, decay = live[0], 0.5 ** (16 / 48)
    for weight in live[1:]:
        average = decay * average + (1 - decay) * weight
    return model.ema["network"].weight.item(), average


class EachWeight(EMA):
    """Notes the live weight after every step."""

    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    @property
    def state_key(self):
        return "EachWeight"

    def on_train_batch_end(self, trainer, model, *arguments):
        self.weights.append(model.network.weight.item())


def test_it_starts_after_the_first_step_and_moves_after_every_other(pool):
    ((found, expected),) = pool(reference_average)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("model", "names"),
    [(GAN, ["generator"]), (DCGAN, ["generator"]), (VAE, ["encoder", "decoder", "likelihood"])],
    ids=["gan", "dcgan", "vae"],
)
def test_only_what_samples_is_averaged_and_it_is_not_trained(model, names):
    trained = train(Recipe(model, SMALL[model]), 1, 96, [EMA(64)]).model
    assert [*trained.ema] == names
    assert not any("discriminator" in name for name in trained.ema.state_dict())
    assert not any(parameter.requires_grad for parameter in trained.ema.parameters())
    averaged = {id(parameter) for parameter in trained.ema.parameters()}
    assert not averaged & {id(parameter) for parameter in trained.trained_parameters()}
    for optimizer in trained.trainer.optimizers:
        assert not averaged & {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for name in names:
        for average, live in zip(trained.ema[name].parameters(), getattr(trained, name).parameters(), strict=True):
            assert average.data_ptr() != live.data_ptr()


class Modes(EMA):
    """Notes in which mode the averages and the live networks are at each step."""

    modes: list

    def on_train_batch_start(self, trainer, model, batch, batch_idx):
        if model.ema is not None:
            self.modes.append((any(module.training for module in model.ema.modules()), model.generator.training))


def test_it_stays_in_evaluation_mode_whatever_lightning_sets():
    modes = Modes(64)
    modes.modes = []
    model = train(Recipe(DCGAN, SMALL[DCGAN]), 1, 96, [modes]).model
    assert modes.modes == [(False, True)] * 5
    model.train()
    assert not any(module.training for module in model.ema.modules())
    assert model.generator.training


def test_buffers_are_copied_and_not_averaged():
    model = train(Recipe(DCGAN, SMALL[DCGAN]), 1, 96, [EMA(10**6)]).model
    live, average = (dict(network.named_buffers()) for network in (model.generator, model.ema["generator"]))
    assert live.keys() == average.keys()
    assert all(torch.equal(live[name], average[name]) for name in live)
    assert any(name.endswith("num_batches_tracked") and live[name] > 0 for name in live)
    weights = (network.project.weight for network in (model.generator, model.ema["generator"]))
    assert not torch.equal(*weights)


def test_it_is_in_the_checkpoint_and_samples(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    model = train(Recipe(GAN, SMALL[GAN]), 1, 96, [EMA(64), Checkpoints()], default_root_dir=tmp_path).model
    again = load_model(tmp_path / "checkpoints" / "last.ckpt")
    for name, tensor in model.ema.state_dict().items():
        assert torch.equal(tensor, again.ema.state_dict()[name])
    assert torch.equal(again.sample(9, weights="ema"), model.sample(9, weights="ema"))
    model.generator.load_state_dict(model.ema["generator"].state_dict())
    assert torch.equal(model.sample(9, weights="live"), again.sample(9, weights="ema"))


class Shifted(Scalar):
    """A weight that is initialised from data, far from where it began."""

    def initialize_from_data(self, batch, noise):
        self.network.weight.fill_(1000 + global_mean(batch[0].double().mean()).item())


def test_it_starts_after_the_data_dependent_initialisation():
    model = train(Recipe(Shifted), 1, 16, [EMA(10**9)]).model
    assert torch.equal(model.ema["network"].weight, model.network.weight)
    model = train(Recipe(Shifted), 1, 32, [EMA(10**9)]).model
    assert model.ema["network"].weight.item() > 900


def test_zero_is_off_and_a_negative_half_life_is_refused():
    assert train(Recipe(Scalar), 1, 32, [EMA(0)]).model.ema is None
    with pytest.raises(UserError, match=r"ema.half_life_images: expected 0 \(off\) or a positive number of images, got -1"):
        EMA(-1)


def test_a_model_that_names_nothing_is_not_averaged():
    class Nothing(Scalar):
        averaged_networks = ()

    assert train(Recipe(Nothing), 1, 32, [EMA(64)], Small()).model.ema is None
