"""The values behind a likelihood lie beside its record, whole or not at all, and no other file can pass for them."""

import hashlib
from dataclasses import replace

import pytest

from lightning_gen.errors import UserError
from lightning_gen.leaderboard.per_image import KEY, digest, file_name, read_values, write_values

VALUES = [-81.25, -3.0, float("-inf"), -0.1]


@pytest.fixture
def score(example):
    return replace(example.scores[1], details={KEY: digest(VALUES)})


def test_what_is_written_is_what_is_read(score, tmp_path):
    path = write_values(VALUES, tmp_path / "results")
    assert path.stat().st_size == 8 * len(VALUES)
    assert list(read_values(score, path.parent)) == VALUES
    assert write_values(VALUES, path.parent) == path
    assert [*path.parent.iterdir()] == [path]


def test_a_record_is_complete_without(score, example, tmp_path):
    assert read_values(score, tmp_path) is None
    assert read_values(example.scores[1], tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"\0" * 32, b"odd"])
def test_another_file_does_not_pass(score, tmp_path, content):
    write_values(VALUES, tmp_path).write_bytes(content)
    with pytest.raises(UserError, match="not the log-probabilities that the record names") as caught:
        read_values(score, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_forged_file_with_its_own_name_that_holds_no_numbers_is_refused(score, tmp_path):
    sha256 = hashlib.sha256(b"nine byte").hexdigest()
    (tmp_path / file_name(sha256)).write_bytes(b"nine byte")
    with pytest.raises(UserError, match="damaged or forged"):
        read_values(replace(score, details={KEY: sha256}), tmp_path)


def test_a_file_that_is_closed_to_us_is_named(score, tmp_path, monkeypatch):
    path = write_values(VALUES, tmp_path)
    monkeypatch.setattr(type(path), "read_bytes", lambda path: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(UserError, match=r"nats\.f64: cannot be read \(Permission denied\)"):
        read_values(score, tmp_path)


def test_a_huge_file_is_not_read(score, tmp_path):
    path = write_values(VALUES, tmp_path)
    with path.open("r+b") as file:
        file.truncate(10**11)
    with pytest.raises(UserError, match="damaged or forged"):
        read_values(score, tmp_path)


@pytest.mark.parametrize("forged", ["../" * 10 + "etc/passwd", "/etc/passwd", "x" * 64, 7, None, {"a": 1}, "é" * 64])
def test_a_forged_name_leads_nowhere(score, tmp_path, forged):
    assert read_values(replace(score, details={KEY: forged}), tmp_path) is None


def test_a_forged_name_of_the_right_length_opens_no_file_elsewhere(score, tmp_path):
    forged = "../" + "a" * 61
    (tmp_path / f"{forged[3:16]}.nats.f64").write_bytes(b"secret")
    (tmp_path / "results").mkdir()
    assert read_values(replace(score, details={KEY: forged}), tmp_path / "results") is None


def test_a_kill_while_writing_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("os.replace", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_values(VALUES, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_name_is_the_contents():
    assert file_name(digest(VALUES)) != file_name(digest(VALUES[::-1]))
