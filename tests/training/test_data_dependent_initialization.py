"""Initialisation from data: over all ranks together, before the first step, once per training."""

import pytest
import torch
from training_runs import Recipe, Scalar, Small, new_trainer, train

from lightning_gen.callbacks.budget import Budget
from lightning_gen.callbacks.checkpoints import Checkpoints
from lightning_gen.checkpoint import init_from
from lightning_gen.distributed import global_mean, global_sum
from lightning_gen.models import Glow


class Centred(Scalar):
    """Keeps the mean of the first global batch."""

    def __init__(self, data_shape=(1, 8, 8), **options):
        super().__init__(data_shape, **options)
        self.register_buffer("center", torch.zeros((), dtype=torch.float64))
        self.calls = 0

    def initialize_from_data(self, batch, noise):
        assert not torch.is_grad_enabled()
        assert len(noise) == len(batch[0])
        self.calls += 1
        self.center.copy_(global_mean(batch[0].double().mean()))

    def record(self, batch, noise):
        return self.center.item(), batch[0].double().mean().item()


class Careless(Centred):
    """The mistake: every rank keeps the mean of its own part."""

    def initialize_from_data(self, batch, noise):
        self.center.copy_(batch[0].double().mean())


def begin(rank, world_size, model, images, options):
    trained = train(Recipe(model), world_size, images, **options).model
    return trained.records, trained.calls, trained.center.item()


def test_it_is_the_same_on_one_and_two_processes(pool):
    ((records, calls, center),) = pool(begin, Centred, 48, {})
    assert calls == 1
    assert center == records[0][1] != records[1][1]
    for records_of_rank, calls, center_of_rank in pool(begin, Centred, 48, {}, world_size=2):
        assert calls == 1
        assert center_of_rank == pytest.approx(center, rel=1e-14)
        assert records_of_rank[0][0] == center_of_rank, "it is there before the first step"
        assert records_of_rank[0][1] != pytest.approx(center, rel=1e-3)


def test_the_comparison_sees_an_initialisation_that_is_not_reduced(pool):
    ((_, _, center),) = pool(begin, Careless, 16, {})
    for _, _, center_of_rank in pool(begin, Careless, 16, {}, world_size=2):
        assert center_of_rank != pytest.approx(center, rel=1e-3)


@pytest.mark.parametrize("world_size", [1, 2])
def test_it_is_skipped_on_resume(world_size, pool, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    options = {"callbacks": [Checkpoints()], "default_root_dir": str(tmp_path)}
    before = pool(begin, Centred, 16, options, world_size=world_size)
    options["ckpt_path"] = str(tmp_path / "checkpoints" / "last.ckpt")
    for (_, _, center), (records, calls, after) in zip(before, pool(begin, Centred, 48, options, world_size=world_size), strict=True):
        assert (len(records), calls, after) == (2, 0, center)


def test_it_is_skipped_after_init_from(pool, tmp_path):
    source = train(Recipe(Centred), 1, 16)
    source.trainer.save_checkpoint(tmp_path / "source.ckpt")
    target = Centred()
    init_from(target, tmp_path / "source.ckpt")
    trainer = new_trainer(target, 1, [Budget(32)])
    trainer.fit(target, datamodule=Small(seed=4))
    assert (target.images_seen, target.calls) == (32, 0)
    assert target.center == source.model.center != 0


def test_what_init_from_brings_stays_where_other_layers_still_need_it(tmp_path):
    """A flow that goes on with a learned dequantization: that one is initialised, and what was trained is not standardised anew."""
    source = train(Recipe(Glow, {"width": 4, "num_steps": 1, "learning_rate": 0.1}), 1, 64)
    source.trainer.save_checkpoint(tmp_path / "source.ckpt")
    arguments = {"dequantization": {"class_path": "VariationalDequantization", "width": 4, "num_blocks": 1, "num_heads": 0}}
    target = Recipe(Glow, {"width": 4, "num_steps": 1, "learning_rate": 1e-300} | arguments).build(Small(seed=4))
    init_from(target, tmp_path / "source.ckpt")
    new_trainer(target, 1, [Budget(16)]).fit(target, datamodule=Small(seed=4))
    brought = source.model.state_dict()
    assert all(torch.equal(tensor, target.state_dict()[name]) for name, tensor in brought.items())
    shifts = [tensor for name, tensor in target.dequantization.named_parameters() if name.endswith("shift")]
    assert shifts
    assert all(shift.any() for shift in shifts)


def means(rank, world_size):
    """The differentiable mean of x_rank^2 with x = rank + 1, its gradient, and the sum."""
    x = torch.tensor(float(rank + 1), requires_grad=True)
    mean = global_mean(x.square())
    mean.backward()
    return mean.item(), x.grad.item(), global_sum(x.detach()).item(), x.item()


def test_the_global_mean_is_differentiable(pool):
    """Each rank differentiates the sum of all ranks' losses, which DDP then divides by their number."""
    assert pool(means, world_size=1) == [(1.0, 2.0, 1.0, 1.0)]
    assert pool(means, world_size=2) == [(2.5, 2.0, 3.0, 1.0), (2.5, 4.0, 3.0, 2.0)]
