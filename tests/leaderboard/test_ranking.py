"""Rows are ranked only where their protocols agree; best and last stand in one row; bounds and foreign strings are shown as such."""

import json
import math
import random
from dataclasses import replace

import pytest

from lightning_gen.leaderboard import record
from lightning_gen.leaderboard.render import print_leaderboard, score_text
from lightning_gen.leaderboard.schema import canonical
from lightning_gen.leaderboard.table import Cell, as_json, leaderboard
from lightning_gen.leaderboard.text import count, number, printable


def ranks(table):
    return {row.record.run_name: rank for rank, row in table.rows}


def shown(records, capsys):
    for table in leaderboard(records):
        print_leaderboard(table)
    return capsys.readouterr().out


def test_rows_are_ranked_by_the_headline_score_and_ties_share_a_rank(make):
    (table,) = leaderboard([make("c", fd=3.0), make("a", fd=1.0), make("d", fd=4.0), make("b", fd=3.0)])
    assert ranks(table) == {"a": 1, "b": 2, "c": 2, "d": 4}


def test_higher_is_better_where_the_score_says_so(make, example):
    score = replace(example.scores[0], better="higher")
    (table,) = leaderboard([make("low", scores=[replace(score, value=1.0)]), make("high", scores=[replace(score, value=2.0)])])
    assert ranks(table) == {"high": 1, "low": 2}


def test_ranking_never_crosses_fingerprints(make, example):
    """Whatever one part of the protocol is changed, the two rows get tables of their own."""
    score = example.scores[0]
    for key in score.protocol:
        other = replace(score, value=1.0, protocol=score.protocol | {key: "other"})
        tables = leaderboard([make("a", fd=2.0), make("b", scores=[other])])
        assert sorted(list(ranks(table).items()) for table in tables) == [[("a", 1)], [("b", 1)]]


def test_a_change_of_extractor_does_not_split_bits_per_dim(make):
    records = [make("a", fd=2.0, bpd=2.0), make("b", fd=1.0, bpd=3.0, extractor="other")]
    assert {"a": 1, "b": 2} in [ranks(table) for table in leaderboard(records)]
    records.append(make("c", bpd=1.0))
    tables = {table.ranked_by.name: table for table in leaderboard(records)}
    assert ranks(tables["bits/dim"]) == {"c": 1, "a": 2, "b": 3}
    assert [list(ranks(table)) for table in leaderboard(records) if table.ranked_by.name != "bits/dim"] in ([["a"], ["b"]], [["b"], ["a"]])


def test_another_dataset_or_binarization_splits_bits_per_dim(make, example):
    score = example.scores[1]
    binary = replace(score, protocol=score.protocol | {"binarization": "dynamic"})
    assert len(leaderboard([make("a", bpd=1.0), make("b", scores=[binary])])) == 2


def test_how_a_model_answers_does_not_split_the_ranking(make, example):
    other = replace(example.answer, weights="live", seed=7, likelihood_samples=1)
    exact = replace(example.scores[1], value=2.0, kind="exact")
    (table,) = leaderboard([make("bound", bpd=3.0), make("exact", scores=[exact]), make("bound", bpd=1.0, answer=other)])
    assert [rank for rank, _ in table.rows] == [1, 2, 3]


def test_best_and_last_of_a_run_stand_in_one_row(make, capsys):
    records = [make("a", fd=2.0, kind="best"), make("a", fd=9.0, kind="last"), make("b", fd=3.0)]
    (table,) = leaderboard(records)
    assert ranks(table) == {"a": 1, "b": 2}
    line = next(line for line in shown(records, capsys).splitlines() if line.split()[-1:] == ["a"])
    assert line.index("2.000") < line.index("9.000")


def test_other_checkpoints_of_a_run_have_rows_of_their_own(make):
    records = [make(fd=2.0), make(fd=1.0, kind="other", file="1"), make(fd=3.0, kind="other", file="2")]
    assert [rank for rank, _ in leaderboard(records)[0].rows] == [1, 2, 3]


def test_the_untrained_and_the_non_finite_are_shown_without_a_rank(make, capsys):
    records = [make("noise", fd=0.1, kind="untrained"), make("broken", fd=math.nan), make("a", fd=5.0), make("worse", fd=math.inf)]
    (table,) = leaderboard(records)
    assert ranks(table) == {"a": 1, "broken": None, "worse": None, "noise": None}
    assert "VAE (untrained)" in shown(records, capsys)


def test_a_newer_evaluation_replaces_an_older_one_and_says_so(make, capsys):
    old = make(fd=1.0, created="2025-01-01T00:00:00+00:00")
    # Later, although its text sorts before.
    new = make(fd=2.0, created="2024-12-31T23:00:00-05:00")
    (table,) = leaderboard([new, old])
    assert table.rows[0][1].cell(table.ranked_by).score.value == 2.0
    assert "Not shown: 1 earlier evaluation" in shown([new, old], capsys)


def test_a_copy_of_a_record_is_no_earlier_evaluation(make, capsys):
    """Two folders may hold the same run."""
    assert "earlier evaluation" not in shown([make(fd=1.0), make(fd=1.0)], capsys)


def test_scores_of_two_files_never_meet_in_one_cell(make):
    """A run that went on has a new best file: the old file's bits/dim is not the new file's."""
    old = make(fd=1.0, bpd=1.0, file="old", created="2025-01-01T00:00:00+00:00")
    (table,) = leaderboard([old, make(fd=2.0, file="new")])
    assert [column.name for column in table.columns] == ["FD(digits-cnn)"]
    older_protocol = make(fd=1.0, extractor="other", file="old", created="2025-01-01T00:00:00+00:00")
    (table,) = leaderboard([older_protocol, make(fd=2.0, file="new")])
    assert table.rows[0][1].superseded == 1


def test_the_view_is_a_function_of_the_set_of_records(make):
    records = [make(name, fd=fd, bpd=bpd, kind=kind) for name, fd, bpd in [("a", 1.0, 2.0), ("b", 1.0, None)] for kind in ("best", "last")]
    records += [make("c", bpd=1.0), make("d", fd=3.0, extractor="other"), make("a", fd=7.0)]
    expected = [as_json(table) for table in leaderboard(records)]
    for seed in range(5):
        shuffled = random.Random(seed).sample(records, len(records))
        assert [as_json(table) for table in leaderboard(shuffled)] == expected


@pytest.mark.parametrize(
    ("kind", "better", "text"),
    [
        ("exact", "lower", "2.346 ± 0.01"),
        ("lower bound", "lower", "<= 2.346 ± 0.01"),
        ("k-sample bound", "lower", "<= 2.346 ± 0.01 (k=100)"),
        ("lower bound", "higher", ">= 2.346 ± 0.01"),
        (None, "lower", "2.346 ± 0.01"),
    ],
)
def test_a_bound_is_never_shown_as_exact(example, kind, better, text):
    assert score_text(Cell(replace(example.scores[1], kind=kind, better=better), example)) == text


def test_the_captions_state_the_protocol(make, capsys):
    out = shown([make(fd=2.0, bpd=1.0)], capsys)
    for words in (
        "digits test",
        "797 images",
        "1000 samples",
        "extractor digits-cnn",
        "lower is better",
        "floor (real images) 1.500",
        "4 bits",
    ):
        assert words in out


def test_of_several_floors_the_lowest_and_the_highest_are_told(make, example, capsys):
    scores = [replace(example.scores[0], value=20.0, floor=floor) for floor in (10.0, 9.0, 9.5)]
    out = shown([make(str(index), scores=[score]) for index, score in enumerate(scores)], capsys)
    assert "floor (real images) 9.000 to 10.00" in out


def test_only_what_differs_in_the_answers_has_a_column(make, example, capsys):
    other = replace(example.answer, weights="live", sample_options={"{temperature}": 0.7})
    out = shown([make("a", fd=1.0), make("b", fd=2.0, answer=other)], capsys)
    (row,) = [line for line in out.splitlines() if line.startswith("2 ")]
    assert "weights live, {temperature} 0.7" in row
    assert "All rows: seed 0, precision 32-true" in out


@pytest.mark.parametrize("columns", [None, "80"])
def test_no_value_is_cut_off_when_piped(make, capsys, monkeypatch, columns):
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    run = "a_rather_long_name_of_a_run_that_says_everything_about_it_and_then_some"
    out = shown([make(run, fd=123.456, bpd=3.21), make(run, fd=223.456, bpd=4.21, kind="last")], capsys)
    (row,) = [line for line in out.splitlines() if run in line]
    for value in ("123.5 ± 0.25", "223.5 ± 0.25", "<= 3.210 ± 0.01 (k=100)", "<= 4.210 ± 0.01 (k=100)", "autoencoder", "1.23M", "100k"):
        assert value in row
    assert "…" not in out


def test_no_value_is_cut_off_on_a_narrow_terminal(make, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    out = shown([make(fd=123.456, bpd=3.21)], capsys)
    assert "123.5 ± 0.25" in out
    assert "<= 3.210 ± 0.01 (k=100)" in out
    assert "…" not in out


def test_strings_of_a_file_are_neither_markup_nor_terminal_commands(make, example, capsys):
    evil = "[red]x[/red]\x1b[2J\x9b2J\r\n\u202eevil\ud800 :smile:"
    model = replace(example.model, name=evil, family=evil)
    score = replace(example.scores[0], name=evil, protocol={"dataset": evil, "split": evil, evil: evil}, uncertainty_kind=evil)
    out = shown([make(evil, model=model, scores=[score], answer=replace(example.answer, precision=evil))], capsys)
    assert out.count("[red]x[/red][2J2J  evil :smile:") >= 8
    (row,) = [line for line in out.splitlines() if line.startswith("1 ")]
    assert row.count("[red]x[/red][2J2J  evil :smile:") == 3
    assert len(out.splitlines()) == 7
    assert set("\x1b\x9b\r\u202e\ud800").isdisjoint(out)


def test_the_json_form_is_strict_and_complete(make):
    records = [make("a", fd=2.0, bpd=1.0), make("a", fd=math.nan, kind="last")]
    data = json.loads(json.dumps([as_json(table) for table in leaderboard(records)], allow_nan=False))
    row = data[0]["rows"][0]
    assert (row["rank"], row["run_name"], row["answer"]["weights"]) == (1, "a", "ema")
    assert row["checkpoints"]["last"]["scores"][0]["value"] == {"$float": "nan"}
    assert row["checkpoints"]["best"]["scores"][0]["floor"] == 1.5
    assert data[0]["columns"][0]["protocol"]["extractor"] == "digits-cnn"


def test_a_protocol_is_hashed_once_however_many_tables_ask(make, monkeypatch):
    """A thousand records have to be there in seconds."""
    hashed = []
    monkeypatch.setattr(record, "canonical", lambda protocol: hashed.append(protocol) or canonical(protocol))
    records = [make(str(number), fd=1.0, bpd=2.0, extractor=f"net{number % 3}") for number in range(9)]
    assert len(leaderboard(records)) == 4
    assert len(hashed) <= 2 * len(records)


def test_no_records_no_tables():
    assert leaderboard([]) == []


def test_numbers_are_short_and_never_zero_by_rounding():
    assert [number(value) for value in (12.3456, 0.00123456, 123456.78, 0.0, math.inf)] == ["12.35", "0.001235", "123456.8", "0.000", "inf"]
    assert [count(value) for value in (0, 999, 999.7, 1234567, 5e12, 7e16)] == ["0", "999", "1k", "1.23M", "5T", "7e+04T"]
    assert [number(value) for value in (999_999_999.4, -1e9, 1.7e308)] == ["999999999.4", "-1.000e+09", "1.700e+308"]


def test_printable_keeps_letters_of_all_scripts():
    assert printable("β-VAE\t數字 é\x00") == "β-VAE 數字 é"


def test_last_is_not_repeated_where_it_is_the_best(make, capsys):
    out = shown([make("a", fd=2.0), make("a", fd=2.0, kind="last"), make("b", fd=3.0), make("b", fd=4.0, kind="last")], capsys)
    first, second = ([line for line in out.splitlines() if name in line.split()] for name in ("a", "b"))
    assert "same" in first[0]
    assert "same" not in second[0]
    assert "4.000" in second[0]


def test_of_many_scores_the_usual_ones_are_shown_and_the_others_are_named(make, capsys):
    both = make(fd=1.0, bpd=2.0)
    names = ("density(net)", "recall(net)", "KD(net)", "coverage(net)", "precision(net)", "CS(net)")
    more = [replace(both.scores[0], name=name, value=9.0 + number) for number, name in enumerate(names)]
    whole = replace(both, scores=[*both.scores, *more])
    lines = shown([whole], capsys).splitlines()
    header = lines[0]
    assert header.index("FD(") < header.index("bits/dim") < header.index("CS(net)") < header.index("KD(net)") < header.index("precision")
    assert "Not shown: coverage(net), density(net); --json has them" in lines
    (table,) = leaderboard([whole])
    assert len(as_json(table)["columns"]) == 8


def test_a_score_that_is_hidden_still_parts_the_names_of_two_protocols(make, capsys):
    both = make(fd=1.0, bpd=2.0)
    more = [replace(both.scores[0], name=name) for name in ("KD(net)", "IS", "FID", "CS(net)", "density(net)")]
    other = replace(both, run_name="b", scores=[*both.scores, replace(more[-1], protocol=more[-1].protocol | {"num_samples": 7})])
    lines = shown([replace(both, scores=[*both.scores, *more]), other], capsys).splitlines()
    (hidden,) = [line for line in lines if line.startswith("Not shown: ")]
    assert len(set(hidden.removeprefix("Not shown: ").removesuffix("; --json has them").split(", "))) == hidden.count("density(net) #") == 2
