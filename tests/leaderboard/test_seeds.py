"""The spread over seeds is of runs that differ only by their seed."""

from dataclasses import replace

import pytest

from lightning_gen.leaderboard.seeds import mean_and_deviation, seed_groups, spread
from lightning_gen.leaderboard.table import leaderboard


def groups_of(records, settings=None):
    (table,) = leaderboard(records)
    rows = [row for _, row in table.rows]
    return table, seed_groups(rows, {id(row): (settings or {}).get(row.record.run_name) for row in rows if settings})


def test_mean_and_deviation_are_those_of_the_seeds(make):
    table, (group,) = groups_of([make(name, fd=fd, training_seed=seed) for name, fd, seed in [("a", 1.0, 0), ("b", 2.0, 1), ("c", 6.0, 2)]])
    found = spread(group, table.ranked_by)
    assert found.mean == pytest.approx(3.0)
    assert found.deviation == pytest.approx(7**0.5)
    assert found.seeds == [0, 1, 2]


def test_one_seed_has_no_spread_and_its_newest_run_counts(make):
    again = [make("a", fd=1.0, created="2025-01-01T00:00:00+00:00"), make("b", fd=2.0)]
    assert groups_of(again)[1] == []
    table, (group,) = groups_of([*again, make("c", fd=4.0, training_seed=1)])
    assert spread(group, table.ranked_by).mean == pytest.approx(3.0)


def test_scores_too_large_for_a_mean_have_no_spread(make):
    table, (group,) = groups_of([make("a", fd=1.7e308), make("b", fd=-1.7e308, training_seed=1)])
    assert spread(group, table.ranked_by) is None


def test_equal_scores_have_exactly_no_spread():
    assert mean_and_deviation([0.1] * 10) == (0.1, 0.0)


@pytest.mark.parametrize("field", ["config_name", "model", "answer", "cost"])
def test_another_recipe_is_no_seed(make, example, field):
    other = {
        "config_name": "other",
        "model": replace(example.model, hyperparameters={"latent_size": 17}),
        "answer": replace(example.answer, seed=1),
        "cost": replace(example.cost, images_seen=5),
    }[field]
    assert groups_of([make("a", fd=1.0), make("b", fd=2.0, training_seed=1, **{field: other})])[1] == []


def test_where_the_best_checkpoint_lies_is_no_recipe(make, example):
    """The best of two seeds are found at different times; what counts is how long both were trained."""
    early = replace(example.cost, images_seen=7)
    records = [make("a", fd=1.0), make("b", fd=2.0, training_seed=1, cost=early), make("b", fd=3.0, training_seed=1, kind="last")]
    assert len(groups_of(records)[1]) == 1


def test_what_only_the_configuration_knows_parts_recipes_too(make):
    records = [make("a", fd=1.0), make("b", fd=2.0, training_seed=1)]
    same = {"a": {"seed_everything": 0, "batch": 64}, "b": {"batch": 64, "seed_everything": 1}}
    assert len(groups_of(records, same)[1]) == 1
    assert groups_of(records, same | {"b": {"seed_everything": 1, "batch": 32}})[1] == []
