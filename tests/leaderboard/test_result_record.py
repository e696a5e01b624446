"""A record survives the disk unchanged, appears whole or not at all, and a bad file is refused by what is wrong with it."""

import errno
import json
import math
import os
import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from lightning_gen.errors import UserError
from lightning_gen.leaderboard import record, schema
from lightning_gen.leaderboard.record import SUFFIX, ResultRecord, Score, from_text, read, write
from lightning_gen.leaderboard.schema import canonical, to_json

EXAMPLE = Path(__file__).with_name("example.result.json")


def refuse_constant(name):
    pytest.fail(f"{name} is not strict JSON")


def test_a_committed_file_of_schema_1_is_still_read(example):
    assert example.schema == 1
    assert example.scores[0].fingerprint == "6e3911e11c9e"


def test_what_is_written_is_what_is_read(example, tmp_path):
    path = write(example, tmp_path / "run" / "results")
    assert path.name.endswith(SUFFIX)
    assert read(path) == example


@pytest.mark.parametrize("value", [math.inf, -math.inf, 5e-324, 0.1 + 0.2, -0.0])
def test_any_number_survives_strict_json(example, tmp_path, value):
    scores = [replace(example.scores[0], value=value, protocol=example.scores[0].protocol | {"deep": [{"x": value}]})]
    path = write(replace(example, scores=scores), tmp_path)
    json.loads(path.read_text(), parse_constant=refuse_constant)
    back = read(path).scores[0]
    assert repr(back.value) == repr(value)
    assert repr(back.protocol["deep"][0]["x"]) == repr(value)


def test_nan_survives_strict_json(example, tmp_path):
    path = write(replace(example, scores=[replace(example.scores[0], value=math.nan, floor=math.nan)]), tmp_path)
    json.loads(path.read_text(), parse_constant=refuse_constant)
    assert math.isnan(read(path).scores[0].value)
    assert math.isnan(read(path).scores[0].floor)


def test_the_fingerprint_is_a_function_of_the_protocol_alone(example):
    score = example.scores[0]
    reordered = dict(reversed(score.protocol.items()))
    assert replace(score, protocol=reordered, value=1.0, floor=None).fingerprint == score.fingerprint
    for key in score.protocol:
        assert replace(score, protocol=score.protocol | {key: "something else"}).fingerprint != score.fingerprint


def test_a_record_is_never_overwritten(example, tmp_path, monkeypatch):
    ids = iter([uuid.UUID(int=1), uuid.UUID(int=1), uuid.UUID(int=1 << 100)])
    monkeypatch.setattr(uuid, "uuid4", lambda: next(ids))
    first = write(example, tmp_path)
    second = write(replace(example, run_name="second"), tmp_path)
    assert read(first) == example
    assert read(second).run_name == "second"


class HalfWritten:
    """A file whose disk is full after ten characters."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, text):
        self.file.write(text[:10])
        self.file.flush()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_one_line_and_leaves_only_earlier_files(example, tmp_path, monkeypatch):
    earlier = write(example, tmp_path)
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode="r", **options: HalfWritten(opened(self, mode, **options)))
    with pytest.raises(UserError, match=r"cannot write the result \(No space left on device") as caught:
        write(example, tmp_path)
    monkeypatch.undo()
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [earlier]
    assert read(earlier) == example


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_interruption_at_any_step_leaves_nothing(example, tmp_path, monkeypatch, step):
    def interrupt(*arguments):
        assert not list(tmp_path.glob(f"*{SUFFIX}")), "the final name appeared before the file was on disk"
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(example, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_one_line(example, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file/results: cannot write the result"):
        write(example, tmp_path / "file" / "results")


def test_what_cannot_be_read_back_is_not_written(example, tmp_path):
    with pytest.raises(UserError, match=r"cost\.images_seen: expected an integer, got 1\.5"):
        write(replace(example, cost=replace(example.cost, images_seen=1.5)), tmp_path)
    with pytest.raises(TypeError, match="expected plain data"):
        write(replace(example, model=replace(example.model, hyperparameters={"a": object()})), tmp_path)
    assert not list(tmp_path.iterdir())


WRITER = """
import sys
from dataclasses import replace
from lightning_gen.leaderboard.record import read, write
record = read(sys.argv[1])
for index in range(5):
    write(replace(record, run_name=f"{sys.argv[3]} {index}"), sys.argv[2])
"""


def test_eight_processes_write_at_the_same_time(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(record.__file__).parents[2]))
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(EXAMPLE), str(tmp_path / "new"), str(rank)]) for rank in range(8)]
    assert [writer.wait(timeout=60) for writer in writers] == [0] * 8
    names = {read(path).run_name for path in (tmp_path / "new").iterdir()}
    assert names == {f"{rank} {index}" for rank in range(8) for index in range(5)}


def changed(**changes):
    """The text of the example with some keys (``a__b`` is b of a) set, or deleted where the value is ``...``."""
    data = json.loads(EXAMPLE.read_text())
    for key, value in changes.items():
        *outer, last = key.split("__")
        target = data
        for name in outer:
            target = target[int(name) if name.isdigit() else name]
        if value is ...:
            del target[last]
        else:
            target[last] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        (EXAMPLE.read_text()[:500], "not valid JSON"),
        ("NaN", "NaN is not JSON"),
        ("[" * 100_000, "not valid JSON"),
        (changed(scores__0__details={"deep": "@"}).replace('"@"', '{"a":' * 600 + "1" + "}" * 600), "nested deeper than 64 levels"),
        ("[]", "not a result record"),
        ('{"a": 1}', "not a result record"),
        (changed(schema=2), "schema: this version of lightning-gen reads 1, got 2"),
        (changed(schema="1"), "schema: .* got '1'"),
        (changed(schema=True), "schema: expected an integer, got True"),
        (changed(run_name=...), "run_name: missing"),
        (changed(cost__parameters=...), r"cost\.parameters: missing"),
        (changed(scores__0__value="12"), r"scores\[0\]\.value: expected a number, got '12'"),
        (changed(scores__0__better="up"), r"scores\[0\]\.better: expected one of 'lower', 'higher', got 'up'"),
        (changed(scores__0__better=[]), r"scores\[0\]\.better: expected one of"),
        (changed(scores__0__protocol={"split": "test"}), r"protocol\.dataset: expected a string, got None"),
        (changed(scores=[]), "scores: expected at least one"),
        (changed(scores=[json.loads(EXAMPLE.read_text())["scores"][0]] * 2), "occurs 2 times"),
        (changed(cost=7), "cost: expected an object, got 7"),
        (changed(cost__images_seen=True), r"cost\.images_seen: expected an integer, got True"),
        (changed(cost__device_hours=10**400), "not valid JSON"),
        (changed(scores__0__value={"$float": []}), "not valid JSON"),
        (changed(checkpoint__kind="newest"), r"checkpoint\.kind: expected one of"),
        (changed(hedline="x"), "hedline: unknown key; did you mean 'headline'"),
        (changed(created="yesterday"), "created: expected an ISO 8601 time"),
        (changed(created="2025-01-01T00:00:00"), "created: expected an ISO 8601 time with its time zone"),
    ],
)
def test_a_bad_file_is_refused_by_name_and_reason(tmp_path, text, message):
    path = tmp_path / f"bad{SUFFIX}"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_and_a_binary_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "absent")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        read(tmp_path / "binary")


def test_a_score_says_on_which_data_it_was_measured():
    with pytest.raises(UserError, match=r"score 'nats': protocol\.split: expected a string, got None"):
        Score(name="nats", value=0.0, better="higher", protocol={"dataset": "digits"})


def test_the_types_of_a_record_are_worked_out_once_not_for_every_file(monkeypatch, example):
    evaluated = []
    monkeypatch.setattr(schema, "get_type_hints", evaluated.append)
    assert from_text(EXAMPLE.read_text()) == example
    assert evaluated == []


def test_canonical_text_does_not_depend_on_order_or_on_tuples():
    assert canonical({"a": (1, 2), "b": None}) == canonical({"b": None, "a": [1, 2]}) == '{"a":[1,2],"b":null}'


def test_the_text_of_a_record_is_the_record(example):
    assert isinstance(from_text(json.dumps(to_json(example))), ResultRecord)
