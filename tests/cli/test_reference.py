"""``lightning-gen reference``: statistics are computed once, listed, imported and exported."""

import json

import numpy as np
import pytest

from lightning_gen.metrics.extractors import Extractor


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def reference(execute):
    """What an action that succeeds prints."""

    def run(*arguments):
        outcome = execute("reference", *arguments)
        assert outcome.code == 0, outcome.err
        return outcome.out

    return run


@pytest.fixture
def theirs(tmp_path):
    """A file as pytorch-fid writes it."""
    rows = np.random.default_rng(0).standard_normal((100, 32))
    np.savez(tmp_path / "theirs.npz", mu=rows.mean(0), sigma=np.cov(rows, rowvar=False))
    return tmp_path / "theirs.npz"


def test_a_reference_is_computed_once_and_found_by_its_name(reference, monkeypatch):
    said = reference("compute", "Digits", "--split", "test+validation")
    name = said.partition(":")[0]
    assert said.startswith(f"{name}: digits (test+validation), 800 images, 32 features of digits-cnn")
    monkeypatch.setattr(Extractor, "__call__", lambda self, images: pytest.fail("computed again"))
    assert reference("compute", "Digits:test+validation") == said
    (row,) = json.loads(reference("list", "--json"))
    assert (row["name"], row["kind"], row["count"], row["features"]) == (name, "computed", 800, 32)
    table = reference("list")
    assert name in table
    assert "references: 1" in table


def test_what_is_exported_is_read_by_others_and_imported_again(reference, tmp_path):
    name = reference("compute", "Digits:test").partition(":")[0]
    assert "out.npz" in reference("export", name, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz", allow_pickle=False) as content:
        assert content["mu"].shape == (32,)
        assert content["sigma"].shape == (32, 32)
    said = reference("import", tmp_path / "out.npz", "--name", "digits-test")
    assert said.startswith("digits-test: out.npz, lightning-gen, 400 images, 32 features of digits-cnn")
    reference("import", tmp_path / "out.npz", "--name", "digits-test")
    assert [row["kind"] for row in json.loads(reference("list", "--json"))] == ["imported", "computed"]


def test_statistics_of_others_are_of_the_network_that_the_user_says(execute, theirs):
    said = execute("reference", "import", theirs, "--name", "adm", "--extractor", "digits-cnn", "--dialect", "torchmetrics")
    assert "an unknown number of images, 32 features of digits-cnn (torchmetrics)" in said.out
    assert said.err == ""
    said = execute("reference", "import", theirs, "--name", "plain")
    assert "32 features of inception-v3-tf (tf1)" in said.out
    assert "plain: taken for dialect tf1" in said.err
    assert "clean-fid" in said.err


def test_damaged_references_are_named_beside_the_list(execute, refused, reference, cache, theirs):
    reference("import", theirs, "--name", "adm")
    reference("import", theirs, "--name", "whole")
    name = reference("compute", "Digits:test").partition(":")[0]
    (cache / "statistics" / "adm.npz").write_bytes(b"half")
    (card,) = (cache / "references").glob("*/card.json")
    card.write_text("{")
    outcome = execute("reference", "list", "--json")
    assert [row["name"] for row in json.loads(outcome.out)] == ["whole"]
    first, second = outcome.err.splitlines()
    assert first.startswith("warning: reference 'adm': damaged (")
    assert first.endswith(f"delete {cache}/statistics/adm.npz")
    assert second.startswith(f"warning: reference '{name}': damaged (")
    assert second.endswith(f"delete {card.parent}")
    refused(["reference", "export", "adm", "out.npz"], "reference 'adm': damaged", "delete")
    refused(["score", theirs.with_name("images.npz"), "--reference", "adm"], "reference 'adm': damaged")


def test_nothing_is_a_list_too(reference):
    assert json.loads(reference("list", "--json")) == []
    assert "references: 0" in reference("list")


def test_help_names_the_actions(reference):
    for option in ([], ["--help"]):
        assert all(action in reference(*option) for action in ("compute", "list", "import", "export"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["comptue"], ["unknown action 'comptue'", "did you mean 'compute'?"]),
        (["compute"], ["REAL"]),
        (["compute", "Digts"], ["'Digts'", "did you mean 'Digits'?"]),
        (["compute", "Digits", "--split", "tset"], ["unknown split 'tset'", "did you mean 'test'?"]),
        (["compute", "Digits:test", "--split", "test"], ["--split test", "data set alone", "Digits:test"]),
        (["compute", "Digits", "--image_size", "4"], ["image_size: applies to a folder"]),
        (["compute", "Digits", "--extractor", "digit-cnn"], ["extractor 'digit-cnn'", "did you mean 'digits-cnn'?"]),
        (["compute", "Digits", "--dialect", "tf2"], ["--dialect", "'tf2'"]),
        (["compute", "Digits", "--devices", "0"], ["--devices: expected 1 to", "got 0"]),
        (["compute", "Digits", "--spilt", "test"], ["--spilt", "did you mean '--split'?"]),
        (["list", "all"], ["all"]),
        (["import", "nowhere.npz", "--name", "x"], ["nowhere.npz: no such file"]),
        (["import", "theirs.pkl", "--name", "x"], ["theirs.pkl: refused, a pickle"]),
        (["import", "theirs.npz"], ["--name"]),
        (["export", "nothing", "out.npz"], ["reference 'nothing': unknown", "reference list"]),
        (["export", "nothing"], ["FILE"]),
    ],
)
def test_a_bad_option_is_one_line(refused, arguments, words):
    outcome = refused(["reference", *arguments], *words)
    assert outcome.out == ""
    assert outcome.code == 2


def test_a_name_is_given_once_and_is_a_word(refused, reference, theirs, tmp_path):
    reference("import", theirs, "--name", "adm")
    refused(["reference", "import", theirs, "--name", "adm", "--extractor", "digits-cnn"], "--name adm: taken by other statistics")
    refused(["reference", "import", theirs, "--name", "a/b"], "--name a/b: expected letters")
    refused(["reference", "import", theirs, "--name", "../x"], "--name ../x: expected letters")
    refused(["reference", "export", "amd", tmp_path / "x.npz"], "'amd': unknown", "did you mean 'adm'?")
    refused(["reference", "export", "adm", tmp_path / "x.pkl"], "x.pkl: expected a name that ends with .npz")
    refused(["reference", "compute", theirs], "theirs.npz: statistics already", "reference import")


def test_a_name_that_means_something_else_already_is_refused(refused, theirs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for name, kind in (("Digits", "a data set"), ("CIFAR10", "a data set"), ("pictures", "a file or folder"), ("theirs.npz", "a file")):
        refused(["reference", "import", theirs, "--name", name], f"--name {name}: {kind}", f"--reference {name}", "another name")


def test_a_file_that_says_of_which_network_it_is_cannot_be_of_another(refused, reference, tmp_path):
    name = reference("compute", "Digits:test").partition(":")[0]
    reference("export", name, tmp_path / "out.npz")
    refused(["reference", "import", tmp_path / "out.npz", "--name", "x", "--extractor", "mnist-cnn"], "the file says digits-cnn")
