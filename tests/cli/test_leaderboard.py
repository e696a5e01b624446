"""``lightning-gen leaderboard``: tables on stdout, complaints on stderr, and JSON that a program can read."""

import json
import shutil
import time
from pathlib import Path

import pytest

from lightning_gen import cli
from lightning_gen.cli.leaderboard import run, watch
from lightning_gen.errors import UserError

EXAMPLE = Path(__file__).parents[1] / "leaderboard" / "example.result.json"


@pytest.fixture
def results(tmp_path):
    """A folder with one good and one bad result file."""
    shutil.copy(EXAMPLE, tmp_path)
    (tmp_path / "bad\x1b.result.json").write_text("{")
    return tmp_path


def test_tables_go_to_stdout_and_skipped_files_to_stderr(results, capsys):
    assert run(["--results", str(results)]) == 0
    out, err = capsys.readouterr()
    assert "12.35 ± 0.25" in out
    assert err.startswith(f"lightning-gen leaderboard: skipped {results}/bad.result.json: not valid JSON")
    assert err.count("\n") == 1


def test_json_alone_is_on_stdout(results, capsys):
    assert run(["--results", str(results), "--json"]) == 0
    out, err = capsys.readouterr()
    data = json.loads(out, parse_constant=pytest.fail)
    assert data["tables"][0]["rows"][0]["run_name"] == "vae-digits-1"
    assert [Path(entry["path"]).name for entry in data["skipped"]] == ["bad\x1b.result.json"]
    assert err == ""


def test_nothing_found_is_a_line_that_helps(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run([]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "no *.result.json in runs; make one with 'lightning-gen demo'" in err
    assert run(["--results", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_nothing_found_is_an_empty_list_in_json(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"tables": [], "skipped": []}


def test_the_default_folder_is_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "a" / "results").mkdir(parents=True)
    shutil.copy(EXAMPLE, tmp_path / "runs" / "a" / "results")
    assert run([]) == 0


def test_a_folder_that_was_named_has_to_exist(tmp_path):
    with pytest.raises(UserError, match="absent"):
        run(["--results", str(tmp_path / "absent")])


def test_a_terminal_without_unicode_still_gets_its_table(results, monkeypatch, tmp_path):
    with (tmp_path / "ascii.txt").open("w", encoding="ascii") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        with pytest.raises(SystemExit) as caught:
            cli.main(["leaderboard", "--results", str(results)])
    assert caught.value.code == 0
    assert "12.35 \\xb1 0.25" in (tmp_path / "ascii.txt").read_text()


def test_the_page_is_written_instead_of_tables(results, tmp_path, capsys):
    assert run(["--results", str(results), "--html", str(tmp_path / "site")]) == 0
    out, err = capsys.readouterr()
    assert out == f"page: {tmp_path / 'site' / 'index.html'}\n"
    assert "skipped" in err
    assert json.dumps("12.35 ± 0.25")[1:-1] in (tmp_path / "site" / "index.html").read_text()


def test_a_page_and_json_at_once_are_refused(results, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        run(["--results", str(results), "--json", "--html", str(tmp_path)])
    assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_one_line(results, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*cannot be written"):
        run(["--results", str(results), "--html", str(tmp_path / "file" / "site")])


def test_markdown_and_csv_alone_are_on_stdout(results, capsys):
    assert run(["--results", str(results), "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("### Ranked by FD(digits-cnn)")
    assert run(["--results", str(results), "--csv"]) == 0
    assert capsys.readouterr().out.startswith("ranked_by,rank,model,")


def test_filters_reach_every_form(results, capsys):
    assert run(["--results", str(results), "--json", "--metric", "bits/dim", "--dataset", "digits", "--family", "autoencoder"]) == 0
    assert [table["ranked_by"]["name"] for table in json.loads(capsys.readouterr().out)["tables"]] == ["bits/dim"]
    with pytest.raises(UserError, match="--family: no result has 'autoencoders'; did you mean 'autoencoder'"):
        run(["--results", str(results), "--csv", "--family", "autoencoders"])


def test_two_forms_at_once_are_refused(results, capsys):
    with pytest.raises(SystemExit) as caught:
        run(["--results", str(results), "--csv", "--json"])
    assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_watching_draws_once_for_every_change_until_ctrl_c(tmp_path):
    """A look without a new result draws nothing; a folder that does not exist yet is waited for."""
    folder = tmp_path / "runs"
    steps = iter([lambda: None, lambda: (folder.mkdir(), shutil.copy(EXAMPLE, folder / "a.result.json")), lambda: None])
    drawn = []

    def wait():
        step = next(steps, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    assert watch([str(folder)], lambda: drawn.append(len(list(folder.glob("*")))), wait) == 0
    assert drawn == [0, 1]


def test_a_watched_folder_may_go_away_and_come_back(results, capsys, monkeypatch):
    """A shared disk that is mounted anew; before the first drawing it is a mistake in the command."""
    away = results.with_name("away")
    steps = iter([lambda: results.rename(away), lambda: away.rename(results)])

    def wait(seconds):
        step = next(steps, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    monkeypatch.setattr(time, "sleep", wait)
    assert run(["--results", str(results), "--watch"]) == 0
    shown = capsys.readouterr()
    assert shown.out.count("Ranked by") == 2
    assert "does not exist" in shown.err
    with pytest.raises(UserError, match="does not exist"):
        run(["--results", str(away), "--watch"])
