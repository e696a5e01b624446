"""Where Inception's weights come from, and what is refused: damage, code, foreign files, no network. Every refusal is one line."""

import hashlib
import pathlib
import pickle
import urllib.error
import urllib.request

import pytest
import torch
from inception_weights import inception_weights_file

from lightning_gen.errors import UserError
from lightning_gen.metrics.extractors import InceptionV3TF, build_extractor, find_inception_weights, has_official_weights, inception_weights
from lightning_gen.metrics.extractors.weight_files import download, state_sha256

NAME = "weights-inception-2015-12-05-6726825d.pth"


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty torch hub cache, no variable, and no network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.delenv("LIGHTNING_GEN_INCEPTION_WEIGHTS", raising=False)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)

    def refuse(*arguments, **options):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return folder


@pytest.fixture
def someone(tmp_path):
    """A file that exists."""
    path = tmp_path / "someone.pth"
    path.write_bytes(b"weights")
    return path


def line(caught) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_argument_comes_first_then_the_variable_then_the_cache(hub, someone, tmp_path, monkeypatch):
    assert find_inception_weights() is None
    (hub / NAME).write_bytes(b"cached")
    assert find_inception_weights() == hub / NAME
    other = tmp_path / "other.pth"
    other.write_bytes(b"other")
    monkeypatch.setenv("LIGHTNING_GEN_INCEPTION_WEIGHTS", str(other))
    assert find_inception_weights() == other
    assert find_inception_weights(someone) == someone


def test_a_named_file_that_is_missing_is_an_error_and_no_reason_to_look_elsewhere(hub, monkeypatch):
    (hub / NAME).write_bytes(b"cached")
    with pytest.raises(UserError, match=r"weights: expected a file .* got /nowhere/w.pth, which does not exist"):
        find_inception_weights("/nowhere/w.pth")
    monkeypatch.setenv("LIGHTNING_GEN_INCEPTION_WEIGHTS", "/nowhere/v.pth")
    with pytest.raises(UserError, match=r"LIGHTNING_GEN_INCEPTION_WEIGHTS: expected a file .* /nowhere/v.pth"):
        find_inception_weights()


@pytest.mark.parametrize(("allow", "reason"), [(True, "no route to host"), (False, "downloads are switched off")])
def test_without_network_one_line_says_what_to_put_where(hub, allow, reason):
    with pytest.raises(UserError) as caught:
        build_extractor("inception-v3-tf", allow_download=allow)
    for part in (reason, NAME, str(hub / NAME), "LIGHTNING_GEN_INCEPTION_WEIGHTS", "https://github.com/toshas/torch-fidelity/releases"):
        assert part in line(caught)
    assert list(hub.glob("*.pth*")) == list(hub.glob("*.lock"))


def test_a_damaged_file_in_the_cache_is_named_and_never_loaded(hub):
    (hub / NAME).write_bytes(pathlib.Path(inception_weights_file()).read_bytes())
    with pytest.raises(UserError, match=r"is damaged .* delete it") as caught:
        InceptionV3TF()
    assert str(hub / NAME) in line(caught)
    assert not has_official_weights()


def test_other_weights_that_somebody_names_carry_their_hash_in_the_name(monkeypatch):
    path = inception_weights_file()
    sha256 = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    monkeypatch.setenv("LIGHTNING_GEN_INCEPTION_WEIGHTS", path)
    extractor = InceptionV3TF()
    assert extractor.name == f"inception-v3-tf:{sha256[:8]}"
    assert not extractor.is_inception
    assert extractor.protocol == {"extractor": extractor.name, "weights_sha256": sha256, "resize": "tf1-bilinear-299"}
    with pytest.raises(UserError, match="the file of these weights"):
        build_extractor(extractor.name)


def test_the_official_hash_alone_makes_it_inception(monkeypatch):
    path = inception_weights_file()
    own = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    for module in ("inception", "inception_weights"):
        monkeypatch.setattr(f"lightning_gen.metrics.extractors.{module}.OFFICIAL_SHA256", own)
    extractor = InceptionV3TF(weights=path)
    assert (extractor.name, extractor.is_inception) == ("inception-v3-tf", True)
    early = InceptionV3TF(weights=path, layer="64")
    assert (early.name, early.is_inception) == ("inception-v3-tf@64", False)
    assert has_official_weights() is False
    monkeypatch.setenv("LIGHTNING_GEN_INCEPTION_WEIGHTS", path)
    assert has_official_weights() is True


def test_a_pickle_with_code_is_refused_and_its_code_does_not_run(tmp_path):
    class Forged:
        def __reduce__(self):
            return pathlib.Path.touch, (tmp_path / "ran",)

    for name, save in (("zip.pth", torch.save), ("raw.pth", lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2)))):
        save({"fc.weight": Forged()}, tmp_path / name)
        with pytest.raises(UserError, match="cannot be loaded; expected a state dict of tensors") as caught:
            InceptionV3TF(weights=tmp_path / name)
        assert line(caught)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.9999])
def test_a_truncated_file_is_one_line(tmp_path, share):
    content = pathlib.Path(inception_weights_file()).read_bytes()
    path = tmp_path / "cut.pth"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=r"weights .*cut.pth cannot be loaded") as caught:
        InceptionV3TF(weights=path)
    assert line(caught)


@pytest.mark.parametrize("value", [{"fc.weight": torch.zeros(3, 3)}, {}, torch.zeros(3), {"epoch": 3}, [torch.zeros(1)]])
def test_a_foreign_file_is_one_line(tmp_path, value):
    torch.save(value, tmp_path / "foreign.pth")
    with pytest.raises(UserError, match=r"not those of torch-fidelity's Inception|hold no state dict") as caught:
        InceptionV3TF(weights=tmp_path / "foreign.pth")
    assert line(caught)


# The download.


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A file that can be fetched, and how often it was."""
    source = tmp_path / "served.bin"
    source.write_bytes(bytes(range(256)) * 9000)
    fetched = []
    opener = urllib.request.OpenerDirector()
    opener.add_handler(urllib.request.FileHandler())

    def fetch(url, timeout):
        fetched.append(timeout)
        return opener.open(url)

    monkeypatch.setattr(urllib.request, "urlopen", fetch)
    return source, hashlib.sha256(source.read_bytes()).hexdigest(), fetched


def test_a_download_happens_once_and_appears_whole(served, tmp_path):
    source, sha256, fetched = served
    target = tmp_path / "new" / "folder" / "file.pth"
    for _ in range(2):
        download(source.as_uri(), target, sha256)
    assert target.read_bytes() == source.read_bytes()
    assert len(fetched) == 1
    assert 0 < fetched[0] <= 30
    assert {path.suffix for path in target.parent.iterdir()} <= {".pth", ".lock"}


def test_a_download_with_another_content_leaves_nothing(served, tmp_path):
    source, _, _ = served
    with pytest.raises(OSError, match="the download has SHA-256"):
        download(source.as_uri(), tmp_path / "file.pth", "0" * 64)
    assert not list(tmp_path.glob("file.pth*[!k]"))


def test_missing_weights_are_downloaded_into_the_cache(served, hub, monkeypatch):
    source, sha256, _ = served
    monkeypatch.setattr(inception_weights, "URL", source.as_uri())
    monkeypatch.setattr(inception_weights, "OFFICIAL_SHA256", sha256)
    assert inception_weights.inception_weights() == hub / NAME
    assert (hub / NAME).read_bytes() == source.read_bytes()


def test_the_hash_of_a_state_sees_names_types_shapes_and_values():
    def network(**buffers):
        module = torch.nn.Module()
        for name, value in buffers.items():
            module.register_buffer(name, value)
        return state_sha256(module)

    zeros = torch.zeros(2, 3)
    hashes = [network(a=zeros), network(b=zeros), network(a=zeros.double()), network(a=zeros.T.contiguous()), network(a=zeros + 1e-45)]
    assert len(set(hashes)) == len(hashes)
    assert network(a=zeros, b=zeros) == network(b=zeros, a=zeros)
    assert network(a=torch.zeros((), dtype=torch.bfloat16)) == network(a=torch.zeros((), dtype=torch.bfloat16))
