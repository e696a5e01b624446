"""Statistics of reference images are read from everybody's .npz files, and nothing that is none is taken for them."""

import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.metrics.frechet import GaussianStatistics, frechet_distance
from lightning_gen.metrics.reference_files import read_statistics, write_statistics

SIZE = 6


def features(count, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((count, SIZE)) * np.arange(1, SIZE + 1))


def arrays(count=50):
    rows = features(count).numpy()
    return {"mu": rows.mean(0), "sigma": np.cov(rows, rowvar=False)}


@pytest.fixture
def file(tmp_path):
    """Write an .npz file of some arrays."""

    def write(name="theirs.npz", save=np.savez, **content):
        save(tmp_path / name, **content)
        return tmp_path / name

    return write


def refused(path, *words):
    with pytest.raises(UserError) as caught:
        read_statistics(path)
    assert "\n" not in str(caught.value)
    for word in (path.name, *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("extra", "layout"),
    [
        ({}, "pytorch-fid"),
        ({"mu_s": np.zeros(3), "sigma_s": np.eye(3)}, "guided-diffusion"),
    ],
)
def test_the_files_of_other_packages_are_read(file, extra, layout, save):
    theirs = arrays()
    found = read_statistics(file(save=save, **theirs, **extra))
    assert torch.equal(found.statistics.mean, torch.from_numpy(theirs["mu"]))
    torch.testing.assert_close(found.statistics.covariance, torch.from_numpy(theirs["sigma"]), rtol=1e-14, atol=0)
    assert layout in found.card["layout"]
    assert found.card["count"] is None, "the file does not say from how many images it is"
    assert found.statistics.count == 0
    assert len(found.card["sha256"]) == 64


def test_single_precision_statistics_become_double(file):
    single = {name: array.astype(np.float32) for name, array in arrays().items()}
    found = read_statistics(file(**single)).statistics
    assert found.mean.dtype == found.covariance.dtype == torch.float64
    assert torch.equal(found.covariance, found.covariance.T)


@pytest.mark.parametrize("count", [50, 4])
def test_what_is_written_is_read_back_with_the_same_distances(tmp_path, count):
    statistics = GaussianStatistics.of_rows(features(count))
    write_statistics(tmp_path / "new" / "ours.npz", statistics, {"dataset": "digits", "split": "test"})
    found = read_statistics(tmp_path / "new" / "ours.npz")
    assert found.statistics.count == found.card["count"] == count
    assert found.card["layout"] == "lightning-gen"
    assert found.card["origin"] == {"dataset": "digits", "split": "test"}
    other = GaussianStatistics.of_rows(features(80, seed=1))
    assert frechet_distance(other, found.statistics) == pytest.approx(frechet_distance(other, statistics), rel=1e-7)
    assert torch.equal(found.statistics.symmetric_root(), statistics.symmetric_root())
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["ours.npz"]


def test_pytorch_fid_reads_what_is_written(tmp_path):
    """Its ``compute_statistics_of_path`` does ``f['mu'][:], f['sigma'][:]``."""
    statistics = GaussianStatistics.of_rows(features(50))
    write_statistics(tmp_path / "ours.npz", statistics, {})
    with np.load(tmp_path / "ours.npz") as content:
        np.testing.assert_array_equal(content["mu"][:], statistics.mean)
        np.testing.assert_array_equal(content["sigma"][:], statistics.covariance)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    statistics = GaussianStatistics.of_rows(features(50))
    write_statistics(tmp_path / "ours.npz", statistics, {})
    before = (tmp_path / "ours.npz").read_bytes()

    def full_disk(file, **content):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(UserError, match=r"ours\.npz: cannot be written \(No space left on device\)"):
        write_statistics(tmp_path / "ours.npz", GaussianStatistics.of_rows(features(60)), {})
    assert (tmp_path / "ours.npz").read_bytes() == before
    assert len([*tmp_path.iterdir()]) == 1


def test_a_file_appears_by_a_rename(tmp_path, monkeypatch):
    def failing(source, target):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(UserError, match=r"ours\.npz: cannot be written \(Input/output error\)"):
        write_statistics(tmp_path / "ours.npz", GaussianStatistics.of_rows(features(50)), {})
    assert [*tmp_path.iterdir()] == []


def test_a_name_that_numpy_would_change_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"ours: expected a name that ends with \.npz"):
        write_statistics(tmp_path / "ours", GaussianStatistics.of_rows(features(50)), {})


class Code:
    ran = False

    def __reduce__(self):
        return setattr, (Code, "ran", True)


def test_a_pickle_is_never_loaded(tmp_path, file):
    (tmp_path / "theirs.pkl").write_bytes(pickle.dumps(Code()))
    refused(tmp_path / "theirs.pkl", "a pickle can run any code", ".npz")
    (tmp_path / "hidden.npz").write_bytes(pickle.dumps(Code()))
    refused(tmp_path / "hidden.npz", "cannot be read")
    refused(file("objects.npz", mu=np.array([Code()], object), sigma=np.eye(1)), "cannot be read")
    assert not Code.ran


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mu": np.full(SIZE, np.nan)}, ["mu is not finite"]),
        ({"sigma": np.full((SIZE, SIZE), np.inf)}, ["sigma is not finite"]),
        ({"mu": np.zeros(SIZE + 1)}, ["mu (d,) and sigma (d, d)", "(7,) and (6, 6)"]),
        ({"mu": np.zeros((SIZE, 1))}, ["(6, 1) and (6, 6)"]),
        ({"sigma": np.zeros(SIZE)}, ["(6,) and (6,)"]),
        ({"mu": np.zeros(0), "sigma": np.zeros((0, 0))}, ["(0,) and (0, 0)"]),
        ({"mu": np.zeros(SIZE, np.int64)}, ["mu in floating point", "int64"]),
        ({"sigma": np.eye(SIZE) + np.eye(SIZE, k=1)}, ["sigma is no covariance", "transpose by 1"]),
        ({"sigma": np.diag([1.0, 1, -0.5, 1, 1, 1])}, ["sigma is no covariance", "diagonal has -0.5"]),
        ({"root": np.eye(SIZE)}, ["root is not the root of sigma"]),
        ({"root": np.eye(3)}, ["root is not the root of sigma"]),
        ({"count": np.array(5), "card": np.array("{")}, ["card or count is damaged"]),
        ({"count": np.array("many"), "card": np.array("{}")}, ["card or count is damaged"]),
    ],
)
def test_what_is_no_covariance_of_features_is_refused(file, change, words):
    refused(file(**arrays() | change), *words)


def test_a_covariance_that_is_symmetric_but_for_rounding_is_taken(file):
    theirs = arrays()
    theirs["sigma"][0, 1] *= 1 + 1e-7
    found = read_statistics(file(**theirs)).statistics.covariance
    assert torch.equal(found, found.T)


def test_other_files_are_refused_by_name(tmp_path, file):
    refused(file("images.npz", arr_0=np.zeros((2, 4, 4, 3), np.uint8)), "expected arrays mu and sigma", "these are images")
    refused(file("mean.npz", mu=np.zeros(3)), "expected arrays mu and sigma, got mu")
    refused(tmp_path / "imags.npz", "no such file", "did you mean 'images.npz'?")
    np.save(tmp_path / "one.npy", np.zeros(3))
    refused(tmp_path / "one.npy", "not an .npz file")
    (tmp_path / "text.npz").write_text("text")
    refused(tmp_path / "text.npz", "cannot be read")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_file_is_refused(file, tmp_path, save):
    good = file(save=save, **arrays()).read_bytes()
    (tmp_path / "half.npz").write_bytes(good[: len(good) // 2])
    refused(tmp_path / "half.npz", "cut short")
    with zipfile.ZipFile(tmp_path / "theirs.npz") as archive:
        start = archive.getinfo("sigma.npy").header_offset + 200
    (tmp_path / "flipped.npz").write_bytes(good[:start] + bytes([good[start] ^ 255]) + good[start + 1 :])
    refused(tmp_path / "flipped.npz", "cannot be read")


def test_the_card_is_plain_data(file):
    assert json.loads(json.dumps(card := read_statistics(file(**arrays())).card)) == card
