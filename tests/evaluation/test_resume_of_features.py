"""An evaluation that is killed goes on where it was, with the same bits; what is kept on disk is whole, or is not used."""

import json
import os
import pathlib
import signal
import time

import numpy as np
import pytest
import torch
from distributed_pool import server

from lightning_gen.data import Digits
from lightning_gen.errors import UserError
from lightning_gen.evaluation import api, cache, references
from lightning_gen.evaluation.references import FEATURES, STATISTICS, load, reference_of
from lightning_gen.evaluation.streams import ImageStream, split_stream
from lightning_gen.leaderboard.schema import to_json
from lightning_gen.metrics.extractors import CallableExtractor, build_extractor

BLOCKS = 12


def slow_features(images):
    """Eight pixel averages; every call leaves a line in a file and takes its time."""
    with open(os.environ["TEST_LOG"], "a") as file:
        file.write(f"{len(images)}\n")
    time.sleep(float(os.environ["TEST_SECONDS"]))
    return images.float().flatten(1).unflatten(1, (8, -1)).mean(2)


def calls(log):
    return len(log.read_text().splitlines()) if log.exists() else 0


def score_slowly(folder, log, seconds, result):
    """What a process does; the verdict goes to a file."""
    os.environ |= {"LIGHTNING_GEN_CACHE": str(folder / "cache"), "TEST_LOG": str(log), "TEST_SECONDS": str(seconds)}
    torch.set_num_threads(1)
    verdict = api.score(str(folder / "samples.npz"), str(folder / "real.npz"), extractor=slow_features, metrics=("fid", "kid", "prdc"))
    result.write_text(json.dumps(to_json(verdict.scores)))


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for name, top in (("samples", 200), ("real", 256)):
        np.savez(tmp_path / f"{name}.npz", random.integers(0, top, size=(64 * BLOCKS - 5, 8, 8, 3), dtype=np.uint8))
    return tmp_path


def start(*arguments):
    process = server().Process(target=score_slowly, args=arguments)
    process.start()
    return process


def finish(*arguments):
    process = start(*arguments)
    process.join(120)
    assert process.exitcode == 0


@pytest.mark.parametrize("killed_after", [3, BLOCKS + 5], ids=["reference", "samples"])
def test_after_kill_9_the_finished_part_is_not_computed_again_and_the_bits_are_the_same(folder, killed_after):
    log, other_log = folder / "log", folder / "other-log"
    process = start(folder, log, 0.1, folder / "never.json")
    while calls(log) < killed_after + 1:
        assert process.is_alive()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (folder / "never.json").exists()
    before = calls(log)
    finish(folder, log, 0, folder / "resumed.json")
    # The extractor is also called once to learn its sizes; the block that was under way is the only one done twice.
    assert calls(log) - before <= 2 * BLOCKS - before + 3
    (folder / "cache").rename(folder / "old")
    finish(folder, other_log, 0, folder / "fresh.json")
    assert calls(other_log) >= 2 * BLOCKS
    assert (folder / "resumed.json").read_bytes() == (folder / "fresh.json").read_bytes()
    assert not [path for path in (folder / "cache" / "features").iterdir() if path.suffix != ".lock"], "nothing is left behind"


# References on disk.


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Counting:
    """A stream of a split that counts the blocks drawn."""

    def __init__(self, split="test"):
        self.drawn = 0
        whole = split_stream(Digits(batch_size=8), split)

        def draw(block, device):
            self.drawn += 1
            return whole.draw(block, device)

        self.stream = ImageStream(whole.name, whole.count, draw, whole.shape, whole.labels, whole.key)


def of(stream, **options):
    return reference_of(stream, build_extractor("digits-cnn"), options.get("arithmetic", "fast"), lambda done, total: None)


def folders(home):
    return sorted((home / "references").iterdir())


def same(one, other):
    return all(
        torch.equal(a, b)
        for a, b in [(one.gaussian.mean, other.gaussian.mean), (one.gaussian.symmetric_root(), other.gaussian.symmetric_root())]
    )


def test_a_reference_is_computed_once(home):
    first, second = Counting(), Counting()
    one, other = of(first.stream), of(second.stream)
    assert (first.drawn, second.drawn) == (7, 0)
    assert same(one, other)
    np.testing.assert_array_equal(one.features[:], other.features[:])
    np.testing.assert_array_equal(one.labels, other.labels)
    assert len(folders(home)) == 1


def test_other_images_networks_and_arithmetics_are_other_references(home):
    base = Counting().stream
    of(base)
    of(Counting("validation").stream)
    of(base, arithmetic="reference")
    of(ImageStream(base.name, base.count, base.draw, base.shape, base.labels, {**base.key, "num_bits": 3}))
    reference_of(base, build_extractor("mnist-cnn"), "fast", lambda done, total: None)
    assert len(folders(home)) == 5


@pytest.mark.parametrize("file", [STATISTICS, FEATURES, "labels.npy", "card.json"])
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-9]), pathlib.Path.unlink], ids=["cut", "gone"])
def test_a_damaged_reference_is_named_and_computed_anew(home, file, damage, caplog):
    whole = of(Counting().stream)
    (folder,) = folders(home)
    expected = whole.features[:]
    damage(folder / file)
    again = Counting()
    found = of(again.stream)
    assert again.drawn == 7
    assert same(found, whole)
    np.testing.assert_array_equal(found.features[:], expected)
    (line,) = [record.message for record in caplog.records]
    assert line.startswith(f"{folder}: damaged (")
    assert "computed anew" in line


def test_a_changed_number_is_noticed(home):
    of(Counting().stream)
    (folder,) = folders(home)
    content = bytearray((folder / FEATURES).read_bytes())
    content[1000] ^= 1
    (folder / FEATURES).write_bytes(content)
    assert load(folder) is None


def test_a_full_disk_is_one_line_and_leaves_no_half_written_statistics(home, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(references.np, "savez", full)
    with pytest.raises(UserError, match=r"reference statistics cannot be written \(No space left on device\)"):
        of(Counting().stream)
    assert folders(home) == []
    monkeypatch.undo()
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", str(home))
    again = Counting()
    of(again.stream)
    assert again.drawn == 0, "what was extracted is not lost"


def test_whoever_is_later_takes_what_is_there(home, monkeypatch):
    """Two processes that compute the same reference at once: both get one."""
    real_save = references.save

    def overtaken(reference, work, folder):
        monkeypatch.setattr(references, "save", real_save)
        of(Counting().stream)
        real_save(reference, work, folder)

    monkeypatch.setattr(references, "save", overtaken)
    found = of(Counting().stream)
    assert len(found.features) == found.gaussian.count == 400
    assert len(folders(home)) == 1


def test_a_folder_in_use_is_left_to_its_user(home):
    with cache.work_folder("key") as mine, cache.work_folder("key") as other:
        assert mine != other
        mine.mkdir()
    assert not mine.exists()
    assert not other.exists()


def test_features_that_nobody_came_back_for_are_removed(home):
    old, young = home / "features" / "old", home / "features" / "young"
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "features.f32").touch()
    past = time.time() - cache.KEPT_SECONDS - 10
    os.utime(old / "features.f32", (past, past))
    os.utime(old, (past, past))
    with cache.work_folder("key"):
        assert not old.exists()
        assert young.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written_to_is_said_and_done_without(tmp_path, monkeypatch, caplog):
    tmp_path.chmod(0o500)
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", str(tmp_path / "cache"))
    with cache.work_folder("key") as folder:
        folder.mkdir(exist_ok=True)
    assert "cannot be written to" in caplog.text


def test_features_that_are_not_numbers_are_one_line(home):
    def bad(images):
        return images.float().flatten(1) / 0

    with pytest.raises(UserError, match="features are not finite"):
        reference_of(Counting().stream, CallableExtractor(bad), "fast", lambda done, total: None)
    assert not (home / "references").exists()
