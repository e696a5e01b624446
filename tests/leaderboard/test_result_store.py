"""Every readable record below the folders is found once and in order; everything else is named and skipped."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lightning_gen.errors import UserError
from lightning_gen.leaderboard.record import SUFFIX, write
from lightning_gen.leaderboard.store import load_results

EXAMPLE = Path(__file__).with_name("example.result.json")


def put(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(EXAMPLE, folder / f"{name}{SUFFIX}"))


def test_garbage_is_skipped_by_name_with_its_reason(example, tmp_path):
    write(example, tmp_path / "run" / "results")
    garbage = {
        "empty": b"",
        "cut": EXAMPLE.read_bytes()[:300],
        "foreign": b'{"loss": 1}',
        "binary": b"\xff\x00",
        "newer": b'{"schema": 99}',
    }
    for name, content in garbage.items():
        (tmp_path / f"{name}{SUFFIX}").write_bytes(content)
    (tmp_path / "notes.json").write_text("none of our business")
    os.mkfifo(tmp_path / f"pipe{SUFFIX}")
    (tmp_path / f"itself{SUFFIX}").symlink_to(tmp_path / f"itself{SUFFIX}")
    (tmp_path / f"dangling{SUFFIX}").symlink_to("nowhere")
    records, skipped = load_results([tmp_path])
    assert records == [example]
    reasons = {path.name.removesuffix(SUFFIX): reason for path, reason in skipped}
    assert reasons.keys() == {*garbage, "pipe", "dangling", "itself"}
    assert reasons["pipe"] == reasons["dangling"] == reasons["itself"] == "not a regular file"
    assert reasons["newer"].startswith("schema: ")
    assert str(tmp_path) not in "".join(reasons.values())


def test_links_neither_loop_nor_count_twice(example, tmp_path):
    put(tmp_path / "runs" / "a", "one")
    put(tmp_path / "elsewhere", "two")
    (tmp_path / "runs" / "a" / "loop").symlink_to(tmp_path / "runs")
    (tmp_path / "runs" / "linked").symlink_to(tmp_path / "elsewhere")
    assert len(load_results([tmp_path / "runs"])[0]) == 2
    (tmp_path / "runs" / f"again{SUFFIX}").symlink_to(tmp_path / "elsewhere" / f"two{SUFFIX}")
    records, skipped = load_results([tmp_path / "runs", tmp_path / "runs" / "a", tmp_path])
    assert (records, skipped) == ([example, example], [])


def test_what_cannot_be_used_is_named_once(tmp_path):
    os.mkfifo(tmp_path / f"pipe{SUFFIX}")
    (tmp_path / f"again{SUFFIX}").symlink_to(tmp_path / f"pipe{SUFFIX}")
    assert len(load_results([tmp_path, tmp_path / ".", tmp_path])[1]) == 1


def test_a_folder_that_may_be_listed_but_not_entered_hides_no_other(example, tmp_path, monkeypatch):
    """As one without the permission x: its names are seen, and looking at them is refused. Root is refused nothing, hence the stand-in."""
    write(example, tmp_path / "open")
    closed = put(tmp_path / "closed", "one")
    stat = Path.stat

    def refusing(path, **options):
        if path == closed:
            raise PermissionError(13, os.strerror(13), str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refusing)
    assert load_results([tmp_path]) == ([example], [(closed, "cannot be read (Permission denied)")])


def test_the_order_is_that_of_the_paths(example, tmp_path):
    for name in ("c", "a", "b"):
        path = write(replace(example, run_name=name), tmp_path / name)
        path.rename(path.with_name(f"x{SUFFIX}"))
    assert [record.run_name for record in load_results([tmp_path])[0]] == ["a", "b", "c"]
    assert [record.run_name for record in load_results([tmp_path / "c", tmp_path])[0]] == ["c", "a", "b"]


def test_a_folder_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"'.*absent': does not exist"):
        load_results([tmp_path, tmp_path / "absent"])
    with pytest.raises(UserError, match="not a folder"):
        load_results([EXAMPLE])


def test_a_folder_without_results_is_empty(tmp_path):
    assert load_results([tmp_path]) == ([], [])
