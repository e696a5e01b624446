"""What somebody asks for is all that is shown, and a name that nothing has is refused with the nearest one."""

from dataclasses import replace

import pytest

from lightning_gen.errors import UserError
from lightning_gen.leaderboard.select import chosen, tables_of


def names(records):
    return [record.run_name for record in records]


def ranked(tables):
    return {table.ranked_by.name: [row.record.run_name for _, row in table.rows] for table in tables}


@pytest.fixture
def records(make, example):
    mnist = [replace(score, protocol=score.protocol | {"dataset": "mnist"}) for score in example.scores]
    gan = replace(example.model, name="GAN", family="gan")
    return [make("vae", fd=2.0, bpd=3.0), make("gan", fd=1.0, model=gan), make("on mnist", scores=mnist)]


def test_records_are_chosen_by_data_set_and_family_in_any_case(records):
    assert names(chosen(records, dataset="MNIST")) == ["on mnist"]
    assert names(chosen(records, family="gan")) == ["gan"]
    assert names(chosen(records, dataset="digits", family="autoencoder")) == ["vae"]
    assert chosen(records) == records


def test_a_metric_ranks_every_row_that_has_it_and_keeps_its_other_scores_beside(records):
    digits, mnist = tables_of(records, "bits/dim")
    assert ranked([digits]) == {"bits/dim": ["vae"]}
    assert ranked([mnist]) == {"bits/dim": ["on mnist"]}
    assert [column.name for column in digits.columns] == ["bits/dim", "FD(digits-cnn)"]


def test_a_metric_takes_no_score_that_the_leaderboard_would_not(make):
    """The score of an older file of the same run is not the newer one's; what was measured in another evaluation of it is."""
    old = make("a", bpd=1.0, file="old", created="2025-01-01T00:00:00+00:00")
    new = [make("a", fd=2.0, file="new", created="2025-01-02T00:00:00+00:00"), make("b", fd=3.0)]
    assert tables_of([old, *new, make("b", bpd=5.0)], "bits/dim")[0].columns[1].name == "FD(digits-cnn)"
    assert ranked(tables_of([old, *new, make("b", bpd=5.0)], "bits/dim")) == {"bits/dim": ["b"]}


def test_a_name_without_its_network_stands_for_all_networks(records, make, example):
    other = replace(example.scores[0], name="FD(other)", value=1.0)
    assert ranked(tables_of([*chosen(records, dataset="digits"), make("o", scores=[other])], "fd")) == {
        "FD(digits-cnn)": ["gan", "vae"],
        "FD(other)": ["o"],
    }


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"dataset": "digts"}, "--dataset: no result has 'digts'; did you mean 'digits'?"),
        ({"family": "gans"}, "--family: no result has 'gans'; did you mean 'gan'?"),
        ({"dataset": "cifar10"}, "--dataset: no result has 'cifar10'; expected one of digits, mnist"),
    ],
)
def test_a_name_that_nothing_has_is_refused_with_the_nearest(records, asked, message):
    with pytest.raises(UserError) as caught:
        chosen(records, **asked)
    assert str(caught.value) == message


def test_a_score_that_nothing_has_is_refused_with_the_nearest(records):
    with pytest.raises(UserError, match=r"--metric: no result has 'bit/dim'; did you mean 'bits/dim'\?"):
        tables_of(records, "bit/dim")


def test_before_the_first_result_nothing_is_refused():
    assert chosen([], dataset="digits") == tables_of([], "FD") == []
