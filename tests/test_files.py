"""A file is complete or absent."""

import pytest

from lightning_gen.errors import UserError
from lightning_gen.files import complete


def test_a_file_appears_when_it_is_complete_under_the_suffix_that_its_writer_saw(tmp_path):
    path = tmp_path / "new" / "picture.png"
    with complete(path) as partial:
        partial.write_text("whole")
        assert partial.suffix == ".png"
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [*path.parent.iterdir()] == [path]


def test_after_a_failure_the_old_file_is_there_and_nothing_else(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")

    def write_half():
        with complete(path) as partial:
            partial.write_text("ne")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


def test_what_the_disk_refuses_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/x\.json: cannot be written \(.+\)$"), complete(tmp_path / "file" / "x.json"):
        pass
