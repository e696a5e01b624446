"""Tables on disk: what was written is what is read, and only what was written whole counts as finished."""

import os

import numpy as np
import pytest

from lightning_gen.errors import UserError
from lightning_gen.metrics import tables
from lightning_gen.metrics.tables import FileTable, Workspace
from lightning_gen.noise import blocks

COUNT = 150


@pytest.fixture
def values():
    random = np.random.default_rng(0)
    return {"features": random.normal(size=(COUNT, 5)).astype(np.float32), "logits": random.normal(size=(COUNT, 3)).astype(np.float32)}


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path / "work", COUNT, {"features": 5, "logits": 3})
    made.create()
    return made


def fill(workspace, values, numbers=(0, 1, 2)):
    cut = list(blocks(COUNT))
    for number in numbers:
        workspace.put(number, {name: array[cut[number].start : cut[number].stop] for name, array in values.items()})


def test_blocks_in_any_order_give_the_table(workspace, values):
    fill(workspace, values, (2, 0, 1))
    for name, expected in values.items():
        table = workspace.tables[name]
        assert (len(table), table.shape) == (COUNT, expected.shape)
        np.testing.assert_array_equal(table[:], expected)
        np.testing.assert_array_equal(table[np.array([149, 3, 3, 64])], expected[[149, 3, 3, 64]])
        np.testing.assert_array_equal(table[60:70], expected[60:70])
    assert workspace.missing() == []


def test_what_is_read_is_a_copy(workspace, values):
    fill(workspace, values)
    rows = workspace.tables["features"][:]
    rows *= 0
    np.testing.assert_array_equal(workspace.tables["features"][:], values["features"])


def test_blocks_that_were_never_written_are_missing_also_when_they_would_be_zeros(workspace, values):
    assert workspace.missing() == [0, 1, 2]
    fill(workspace, values, [1])
    assert workspace.missing() == [0, 2]
    workspace.put(0, {"features": np.zeros((64, 5), np.float32), "logits": np.zeros((64, 3), np.float32)})
    assert workspace.missing() == [2]


@pytest.mark.parametrize("name", ["features", "logits"])
def test_a_block_that_is_damaged_or_half_written_is_missing(workspace, values, name):
    fill(workspace, values)
    table = workspace.tables[name]
    table.write(70, np.full((1, table.shape[1]), np.nan, np.float32))
    assert workspace.missing() == [1]
    fill(workspace, values, [1])
    assert workspace.missing() == []


def test_a_writer_killed_before_the_checksum_has_not_finished(workspace, values, monkeypatch):
    real = tables.write_at

    def dies(path, offset, content):
        if path.name == "checksums":
            raise KeyboardInterrupt
        real(path, offset, content)

    monkeypatch.setattr(tables, "write_at", dies)
    with pytest.raises(KeyboardInterrupt):
        fill(workspace, values, [0])
    assert workspace.missing() == [0, 1, 2]


def test_another_process_finds_what_was_finished(workspace, values):
    fill(workspace, values, [0, 2])
    again = Workspace(workspace.folder, COUNT, {"features": 5, "logits": 3})
    again.create()
    assert again.missing() == [1]


def test_files_of_another_size_are_made_anew(workspace, values):
    fill(workspace, values)
    other = Workspace(workspace.folder, COUNT + 64, {"features": 5, "logits": 3})
    other.create()
    assert other.missing() == [0, 1, 2, 3]


def test_a_full_disk_shows_before_anything_is_computed(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"work: no room for the features of 150 images \(No space left on device\)"):
        Workspace(tmp_path / "work", COUNT, {"features": 5}).create()


def test_a_disk_that_fails_while_writing_is_named(workspace, values, monkeypatch):
    monkeypatch.setattr(FileTable, "write", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(UserError, match="features cannot be written"):
        fill(workspace, values, [0])
