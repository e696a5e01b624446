"""Markdown and CSV say what the terminal says, and take nothing from a file for markup, a new column or a formula."""

import csv
import io
import json
import math
import re
from dataclasses import replace

import pytest

from lightning_gen.leaderboard.formats import as_csv, as_markdown
from lightning_gen.leaderboard.table import leaderboard

EVIL = "=1+1|<script>alert(1)</script>`x`*b*_i_[a](http://x)\n# head\x1b[2J\\"


@pytest.fixture
def evil(make, example):
    model = replace(example.model, name=EVIL, family=EVIL)
    score = replace(example.scores[0], name=EVIL, protocol={"dataset": EVIL, "split": EVIL, EVIL: EVIL}, uncertainty_kind=EVIL)
    return leaderboard([make(EVIL, model=model, scores=[score])])


def read_csv(tables):
    return list(csv.DictReader(io.StringIO(as_csv(tables))))


def test_markdown_has_the_cells_of_the_terminal(make):
    text = as_markdown(leaderboard([make("a", fd=2.0, bpd=3.0), make("b", fd=1.0), make("a", fd=4.0, kind="last")]))
    lines = text.splitlines()
    assert lines[0].startswith("### Ranked by FD(digits-cnn): digits test; ")
    assert lines[2].startswith("| \\# | model | family | FD(digits-cnn) best |")
    assert lines[4].startswith("| 1 | VAE | autoencoder | 1.000 ± 0.25 |")
    assert lines[5].startswith("| 2 | VAE | autoencoder | 2.000 ± 0.25 | 4.000 ± 0.25 | \\<= 3.000 ± 0.01 (k=100) |")
    assert any(line.startswith("- bits/dim: digits test") for line in lines)


def test_every_line_of_a_markdown_table_has_the_same_number_of_cells(evil):
    rows = [line for line in as_markdown(evil).splitlines() if line.startswith("|")]
    assert len(rows) == 3
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


def test_markdown_shows_strings_of_a_file_as_they_are(evil):
    text = as_markdown(evil)
    assert "\x1b" not in text
    assert not re.search(r"(?<!\\)[<`*\[]", text)
    assert [line for line in text.splitlines() if line.startswith("#")] == text.splitlines()[:1]


def test_csv_has_a_line_per_score_and_a_rank_where_it_is_ranked(make):
    lines = read_csv(leaderboard([make("a", fd=2.0, bpd=3.0), make("a", fd=4.0, kind="last"), make("b", fd=1.0)]))
    told = [(line["run"], line["checkpoint"], line["score"], line["value"], line["rank"]) for line in lines]
    assert sorted(told) == [
        ("a", "best", "FD(digits-cnn)", "2.0", "2"),
        ("a", "best", "bits/dim", "3.0", ""),
        ("a", "last", "FD(digits-cnn)", "4.0", ""),
        ("b", "best", "FD(digits-cnn)", "1.0", "1"),
    ]
    assert json.loads(lines[0]["protocol"])["dataset"] == "digits"


def test_csv_keeps_what_is_not_a_number(make):
    (line,) = read_csv(leaderboard([make("a", fd=math.nan)]))
    assert (line["value"], line["rank"]) == ("nan", "")


def test_no_cell_of_a_csv_is_a_formula(evil):
    (line,) = read_csv(evil)
    assert not any(str(value).startswith(("=", "+", "-", "@")) for value in line.values())
    assert "\n" not in line["run"] + line["protocol"]
    assert line["run"].startswith("'=1+1|<script>")
