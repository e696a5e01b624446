"""Where a result stands beside published ones, and when nothing is said."""

import dataclasses

import pytest
import yaml

from lightning_gen import models
from lightning_gen.configs import config_names
from lightning_gen.leaderboard.published import PUBLISHED, verdict
from lightning_gen.leaderboard.record import Score


def of(record, config, value, images, split="train", num_samples=50_000, name="FID"):
    protocol = {"dataset": "cifar10", "split": split, "num_samples": num_samples}
    score = Score(name=name, value=value, better="lower", protocol=protocol)
    cost = dataclasses.replace(record.cost, images_seen=images)
    recipe = PUBLISHED.get(config)
    model = record.model if recipe is None else dataclasses.replace(record.model, name=recipe.model, hyperparameters=recipe.hyperparameters)
    return dataclasses.replace(record, config_name=config, scores=[score], cost=cost, model=model)


@pytest.mark.parametrize(
    ("value", "words"),
    [(16.77, "on track"), (18.4, "on track"), (18.5, "off the published band"), (15.0, "better than the published band")],
)
def test_a_final_score_is_on_track_within_a_tenth_of_the_published_one(example, value, words):
    line = verdict(of(example, "sngan_cifar10", value, 32_000_000))
    assert line.startswith(f"{words}: FID {value:.4g}, published (mimicry) 16.77 at 100,000 generator updates")


@pytest.mark.parametrize(("updates", "published"), [(2_000, 114.9), (9_700, 65.3), (20_000, 60.3)])
def test_a_checkpoint_on_the_way_is_held_against_the_curve_at_its_generator_updates(example, updates, published):
    line = verdict(of(example, "dcgan_studiogan_cifar10", published, updates * 128, "test", 10_000))
    assert line.startswith(f"on track: FID {published}, published (StudioGAN's log) {published:g} at ")


def test_between_the_points_of_a_curve_the_points_are_named(example):
    line = verdict(of(example, "dcgan_studiogan_cifar10", 80.0, 6_000 * 128, "test", 10_000))
    assert line.endswith("at 2,000, 4,000, 10,000, 20,000, 40,000 generator updates; this is 6,000")


OTHERS = [{"config": "sngan_photos"}, {"split": "test"}, {"num_samples": 10_000}, {"name": "FD(cifar-cnn)"}, {"name": "FID[torchmetrics]"}]


@pytest.mark.parametrize("change", OTHERS)
def test_another_question_gets_no_answer(example, change):
    asked = {"config": "sngan_cifar10", "value": 16.77, "images": 32_000_000} | change
    assert verdict(of(example, **asked)) is None


@pytest.mark.parametrize("change", [{"name": "VAE"}, {"hyperparameters": {"n_critic": 1}}, {"hyperparameters": {}}])
def test_a_run_of_that_name_that_is_another_recipe_gets_no_answer(example, change):
    run = of(example, "sngan_cifar10", 16.77, 32_000_000)
    assert verdict(run) is not None
    assert verdict(dataclasses.replace(run, model=dataclasses.replace(run.model, **change))) is None


def test_the_shipped_configurations_are_the_recipes():
    for name, published in PUBLISHED.items():
        spec = yaml.safe_load(config_names()[name].read_text())["model"]
        labels = {"num_classes": 10} if published.model == "ProjectionGAN" else {}
        model = getattr(models, spec["class_path"])([3, 32, 32], **labels, **spec.get("init_args", {}))
        assert type(model).__name__ == published.model
        found = model.hyperparameters
        assert {key: found[key] for key in published.hyperparameters} == published.hyperparameters


def test_every_published_recipe_is_a_configuration_whose_budget_it_names():
    names = config_names()
    for name, published in PUBLISHED.items():
        text = names[name].read_text()
        updates = max([*published.curve, *([] if published.final is None else published.final[:1])])
        assert f"images: {updates * published.images_per_update}\n" in text
