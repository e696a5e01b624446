"""Compiling in place: the same names, the same numbers, and averages and checkpoints that know nothing of it."""

import pytest
import torch
from training_runs import Recipe, Small, new_trainer

from lightning_gen.callbacks.budget import Budget
from lightning_gen.callbacks.checkpoints import Checkpoints
from lightning_gen.callbacks.ema import EMA
from lightning_gen.checkpoint import load_model
from lightning_gen.models import DCGAN, VAE, RealNVP
from lightning_gen.noise import IndexedNoise

RECIPES = {
    "vae": Recipe(VAE, {"latent_dim": 4, "encoder": {"class_path": "MLPEncoder", "hidden": [8]}}),
    "dcgan": Recipe(DCGAN, {"width": 4, "latent_dim": 4}),
}


@pytest.fixture
def graphs(monkeypatch):
    """Compilation by tracing alone, which needs no compiler; counts the calls of traced graphs."""
    calls = []

    def backend(graph, inputs):
        def run(*arguments):
            calls.append(graph)
            return graph(*arguments)

        return run

    original = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda network, **options: original(network, backend=backend, **options))
    yield calls
    torch._dynamo.reset()


def trained(recipe, folder, compiled):
    data = Small(seed=3)
    model = recipe.build(data)
    if compiled:
        model.compile_networks()
    (folder / "checkpoints").mkdir(parents=True)
    trainer = new_trainer(model, 1, [Budget(64), EMA(48), Checkpoints()], default_root_dir=folder)
    trainer.fit(model, datamodule=data)
    return model


@pytest.mark.parametrize("name", RECIPES)
def test_compiled_networks_keep_the_names_of_their_weights_and_the_numbers(name, graphs, tmp_path):
    plain = trained(RECIPES[name], tmp_path / "plain", compiled=False)
    assert not graphs
    compiled = trained(RECIPES[name], tmp_path / "compiled", compiled=True)
    assert len(graphs) >= 8, "two networks, four batches"
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    again = load_model(tmp_path / "compiled" / "checkpoints" / "last.ckpt")
    for key, tensor in plain.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], tensor, rtol=1e-5, atol=1e-6)
    assert torch.equal(compiled.sample(3), again.sample(3))


def test_networks_of_one_shape_share_their_graphs_and_no_limit_of_torch_leaves_one_uncompiled(graphs):
    """Ten couplings of three shapes: a graph for each shape and use, and one more for data that need no gradient."""
    torch.manual_seed(0)
    model = RealNVP([1, 8, 8], width=4, num_blocks=1, normalization="ActNorm")
    images = torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8)
    noise = IndexedNoise(0, range(6))
    expected = model.negative_log_likelihood((images, images), noise)["loss"]
    with torch._dynamo.config.patch(recompile_limit=8, accumulated_recompile_limit=8, fail_on_recompile_limit_hit=True):
        model.compile_networks()
        for _ in range(2):
            torch.testing.assert_close(model.negative_log_likelihood((images, images), noise)["loss"], expected)
        assert len(graphs) == 2 * 10
        assert len({*map(id, graphs)}) == 3 + 1
        with model.inference("live"):
            for count in (6, 5):
                model.log_prob(images[:count], noise=IndexedNoise(0, range(count)))
        assert len({*map(id, graphs)}) == 3 + 1 + 3 + 3
