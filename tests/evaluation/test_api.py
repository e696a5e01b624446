"""Anybody's images are scored as ours are: by the same engine, repeatably, on any number of processes, with what is wrong said in words."""

import dataclasses
import json
import os

import numpy as np
import pytest
import torch
from distributed_pool import shared_pool
from inception_weights import photo_patches
from PIL import Image
from torch import nn

from lightning_gen.data import Digits
from lightning_gen.errors import UserError
from lightning_gen.evaluation import api
from lightning_gen.evaluation.api import compute_reference, score
from lightning_gen.evaluation.claims import compare, parse_claims, require_inception
from lightning_gen.evaluation.named_references import entries, export_statistics, import_statistics
from lightning_gen.evaluation.real_images import joined, real_images
from lightning_gen.evaluation.streams import ImageStream
from lightning_gen.leaderboard.record import Score
from lightning_gen.leaderboard.schema import to_json
from lightning_gen.metrics.extractors.inception_weights import FILE_NAME, VARIABLE
from lightning_gen.noise import blocks


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def digits(split="train", count=300):
    """uint8 (N, 8, 8, 1)."""
    data = Digits(batch_size=64)
    return data.batch(split, range(data.split_size(split))[:count])[0].permute(0, 2, 3, 1).numpy().copy()


def values(verdict):
    return {score.name: score.value for score in verdict.scores}


def as_text(verdict):
    """Everything but the number of processes."""
    return json.dumps(to_json(dataclasses.replace(verdict, world_size=1)))


def test_a_folder_a_file_and_an_array_of_the_same_images_have_the_same_scores(tmp_path):
    np.savez(tmp_path / "mine.npz", digits())
    for index, image in enumerate(digits()):
        (tmp_path / "mine").mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(tmp_path / "mine" / f"{index:03d}.png")
    found = [values(score(source, "Digits:test")) for source in (tmp_path / "mine", tmp_path / "mine.npz", digits())]
    assert found[0] == found[1] == found[2]
    assert found[0].keys() == {"FD(digits-cnn)", "CS(digits-cnn)", "diversity(digits-cnn)"}


def test_the_score_against_a_data_set_is_that_of_numpy(tmp_path):
    """The distance of the samples' own features to those of the split, by textbook formulas."""
    from lightning_gen.metrics.extractors import build_extractor

    extractor = build_extractor("digits-cnn")
    sides = [torch.from_numpy(images.transpose(0, 3, 1, 2).copy()) for images in (digits(), digits("test", None))]
    a, b = (extractor(images).features.double().numpy() for images in sides)
    product = np.linalg.eigvals(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False))
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a, rowvar=False)) + np.trace(np.cov(b, rowvar=False))
    expected -= 2 * np.sqrt(product.astype(complex)).real.sum()
    assert values(score(digits(), "Digits:test", metrics=("fid",)))["FD(digits-cnn)"] == pytest.approx(expected, rel=1e-4)


def test_real_images_against_themselves_are_no_distance_apart_and_splits_join():
    everything = np.concatenate([digits("train", None), digits("validation", None)])
    verdict = score(everything, "Digits:train+validation", metrics=("fid",), floor=False)
    assert verdict.reference == "digits (train+validation)"
    assert values(verdict)["FD(digits-cnn)"] == pytest.approx(0, abs=1e-6)
    stream = real_images("Digits:train+validation").stream
    drawn = torch.cat([stream.draw(block, torch.device("cpu")) for block in blocks(stream.count)])
    np.testing.assert_array_equal(drawn.permute(0, 2, 3, 1), everything)
    assert len(stream.labels) == stream.count == len(everything)


def test_any_reference_that_holds_the_same_images_gives_the_same_score(tmp_path):
    real = digits("test", None)
    np.savez(tmp_path / "real.npz", real)
    options = {"metrics": ("fid",), "extractor": "digits-cnn", "floor": False}
    expected = values(score(digits(), "Digits:test", **options))
    assert values(score(digits(), tmp_path / "real.npz", **options)) == expected
    assert values(score(digits(), real, **options)) == expected
    entry = compute_reference("Digits:test", extractor="digits-cnn")
    assert values(score(digits(), entry.name, metrics=("fid",))) == expected, "by name, which knows its network"
    export_statistics(entry.name, tmp_path / "stats.npz")
    assert values(score(digits(), tmp_path / "stats.npz", metrics=("fid",))) == pytest.approx(expected, rel=1e-9)
    import_statistics(tmp_path / "stats.npz", "mine")
    assert values(score(digits(), "mine", metrics=("fid",))) == pytest.approx(expected, rel=1e-9)


def test_a_computed_reference_has_its_features_by_name():
    entry = compute_reference("Digits:test", extractor="digits-cnn")
    assert entry in entries()
    by_name = values(score(digits(), entry.name, metrics=("fid", "kid", "prdc")))
    assert by_name == values(score(digits(), "Digits:test", metrics=("fid", "kid", "prdc"), floor=False))


def painter(count, seed):
    return torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def scores_of_a_rank(rank, world_size, folder):
    import os

    os.environ["LIGHTNING_GEN_CACHE"] = folder
    metrics = ("fid", "is", "kid", "prdc")
    verdicts = [score(digits(count=150), "Digits:test", metrics=metrics, claimed={"fd": 1.0})]
    verdicts.append(score(painter, "Digits:test", num_samples=150, metrics=metrics, dialects=("tf1", "torchmetrics")))
    assert {verdict.world_size for verdict in verdicts} == {world_size}
    return [as_text(verdict) for verdict in verdicts]


def test_any_number_of_processes_says_the_same_to_the_last_digit(tmp_path):
    """3 blocks, the last one short: 1 process, 2 processes of 2 and 1, and 3."""
    found = [shared_pool()(scores_of_a_rank, str(tmp_path / str(size)), world_size=size) for size in (1, 2, 3)]
    assert [*found[0] * 2] == found[1]
    assert [*found[0] * 3] == found[2]
    assert "KD(digits-cnn)[torchmetrics]" in found[0][0][1]


def test_the_floor_is_that_of_held_out_images_and_can_be_left_out():
    with_floor = score(digits(), "Digits:test", metrics=("fid",)).scores[0]
    without = score(digits(), "Digits:test", metrics=("fid",), floor=False).scores[0]
    assert with_floor.value == without.value
    assert with_floor.floor > 0
    assert without.floor is None
    assert score(digits(), digits("test"), extractor="digits-cnn", metrics=("fid",)).scores[0].floor is None


@pytest.mark.parametrize(
    ("reference", "name"),
    [("Digits", "digits (test)"), ("Digits:test", "digits (train)"), ("Digits:test+train", "digits (validation)")],
)
def test_the_floor_is_of_a_split_that_is_not_in_the_reference(reference, name):
    held_out = real_images(reference).held_out(50)
    assert (held_out.name, held_out.count) == (name, 50)
    assert real_images("Digits:train+validation+test").held_out(50) is None


def test_a_score_needs_a_reference_unless_it_has_none():
    verdict = score(digits(), metrics=("is",), extractor="digits-cnn")
    assert verdict.value("CS(digits-cnn)") > 5
    with pytest.raises(UserError, match=r"reference: expected real images .* such as CIFAR10:test"):
        score(digits())
    with pytest.raises(UserError, match="reference: metrics fid, is compare with real images"):
        score(digits(), metrics=("fid", "is"))


class Brightness(nn.Module):
    def forward(self, images):
        return images.flatten(1).float()[:, ::16] / 255


def test_the_network_may_be_a_callable():
    verdict = score(digits(), "Digits:test", extractor=Brightness(), metrics=("fid",), floor=False)
    assert values(verdict).keys() == {"FD(Brightness)"}
    with pytest.raises(UserError, match="layer: extractor 'Brightness' takes none"):
        score(digits(), "Digits:test", extractor=Brightness(), layer="3")
    with pytest.raises(UserError, match="extractor: expected a name, a callable or an Extractor, got int"):
        score(digits(), "Digits:test", extractor=3)


model = nn.Linear(64, 8)


def net(images):
    return model(images.float().flatten(1) / 255)


def remembers(images):
    global model
    model = model.eval()
    return net(images)


def test_a_function_whose_globals_are_others_is_another_network(monkeypatch):
    """What was extracted with the weights of before is not taken for a reference."""

    def scored(extractor=net):
        return score(digits(), "Digits:test", extractor=extractor, metrics=("fid",), floor=False).scores[0]

    first, again = scored(), scored()
    assert again == first
    replaced = nn.Linear(64, 8)
    monkeypatch.setitem(globals(), "model", replaced)
    second = scored()
    assert second.fingerprint != first.fingerprint
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", os.environ["LIGHTNING_GEN_CACHE"] + "-empty")
    assert scored() == second, "as with nothing kept"


def test_nothing_is_kept_of_a_network_without_identity_and_its_scores_are_its_own(cache):
    scores = [score(digits(), "Digits:test", extractor=remembers, metrics=("fid",), floor=False).scores[0] for _ in range(2)]
    assert scores[0].value == scores[1].value
    assert scores[0].fingerprint != scores[1].fingerprint
    assert not [file for file in cache.rglob("*") if file.is_file() and file.suffix not in (".lock",)]


def test_lists_may_be_one_text(tmp_path):
    one = score(digits(), "Digits:test", metrics="fid, kid", dialects="tf1,torchmetrics", floor=False)
    other = score(digits(), "Digits:test", metrics=("fid", "kid"), dialects=("tf1", "torchmetrics"), floor=False)
    assert one == other
    assert compute_reference("Digits:test", extractor="digits-cnn", dialects="tf1").count == 400
    refused(["metrics: unknown metric 'fdi'"], digits(), "Digits:test", metrics="fid,fdi")


@pytest.mark.parametrize(
    ("claimed", "words"),
    [
        ({"fd": float("nan")}, ["--claimed fd: expected a finite number, got nan"]),
        ({"fd": float("inf")}, ["finite number, got inf"]),
        ({"fd": "3.17"}, ["finite number, got '3.17'"]),
        ({"fd": True}, ["finite number, got True"]),
        ({"fd": 1.0, "FD": 2.0}, ["fd is claimed twice"]),
        ({"fdi": 1.0}, ["--claimed fdi: unknown score"]),
        ("fd=3", ["claimed: expected numbers by name", "{'fid': 3.17}"]),
    ],
)
def test_a_claim_is_looked_at_before_anything_is_computed(claimed, words, monkeypatch):
    monkeypatch.setattr(api, "opened", lambda *_: pytest.fail("computed"))
    refused(words, digits(), "Digits:test", claimed=claimed)


def test_the_names_of_claims_may_be_in_capitals():
    (claim,) = score(digits(), "Digits:test", claimed={"FD": np.float32(2)}, metrics=("fid",), floor=False).claims
    assert (claim.name, claim.claimed) == ("FD(digits-cnn)", 2.0)


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "tpu0"])
def test_a_device_that_is_not_there_is_one_line(device):
    for call in (lambda: score(digits(), "Digits:test", device=device), lambda: compute_reference("Digits:test", device=device)):
        with pytest.raises(UserError, match=f"device: '{device}' cannot be used on this machine") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_splits_that_are_joined_keep_the_names_of_their_classes():
    assert real_images("Digits:train+test").stream.class_names == real_images("Digits").stream.class_names
    one, other = (ImageStream("", 1, None, (1, 8, 8), class_names=names) for names in (("a",), ("b",)))
    assert joined([one, one], "").class_names == ("a",)
    assert joined([one, other], "").class_names is None


def test_a_label_per_class_folder_gives_scores_per_class(tmp_path):
    images, labels = digits(count=None), Digits(batch_size=64).arrays("train")[1]
    np.savez(tmp_path / "labelled.npz", images, labels)
    (found,) = score(tmp_path / "labelled.npz", "Digits:test", metrics=("per_class",), floor=False).scores
    assert len(found.details["per_class"]) == 10


def test_the_protocol_says_what_was_compared_with_what(tmp_path):
    protocol = score(digits(), "Digits:test", metrics=("fid",)).scores[0].protocol
    assert {
        "dataset": "digits",
        "split": "test",
        "num_samples": 300,
        "extractor": "digits-cnn",
        "dialect": "tf1",
    }.items() <= protocol.items()
    one, other = (score(digits(), digits(split, 200), extractor="digits-cnn", metrics=("fid",)).scores[0] for split in ("test", "train"))
    assert one.fingerprint != other.fingerprint


# Warnings.


def test_what_looks_like_a_mistake_is_said(tmp_path):
    images = digits().copy()
    images[5] = images[3]
    images[7] = 0
    (tmp_path / "mine").mkdir()
    for index, image in enumerate(images // 3):
        Image.fromarray(image[..., 0]).save(tmp_path / "mine" / f"{index:03d}.{'jpg' if index == 9 else 'png'}")
    said = score(tmp_path / "mine", "Digits:test", metrics=("fid",)).warnings
    parts = ["first 3 and 5", "one value in all pixels (first 7)", "no value is above", "1 of 300 files are JPEG", "customary are 781"]
    assert len(said) == len(parts)
    for line, part in zip(said, parts, strict=True):
        assert part in line


def test_good_images_of_another_size_and_colour_are_noticed():
    rgb = np.random.default_rng(0).integers(0, 256, (800, 16, 16, 3), np.uint8)
    said = score(rgb, "Digits:test", metrics=("fid",), floor=False).warnings
    assert len(said) == 2
    assert "16x16 pixels against 8x8" in said[0]
    assert "RGB images against a grey reference" in said[1]


def test_statistics_that_do_not_say_what_they_are_of_are_named(tmp_path):
    entry = compute_reference("Digits:test", extractor="digits-cnn")
    export_statistics(entry.name, tmp_path / "ours.npz")
    with np.load(tmp_path / "ours.npz") as content:
        np.savez(tmp_path / "theirs.npz", mu=content["mu"], sigma=content["sigma"])
    said = score(digits(), tmp_path / "theirs.npz", extractor="digits-cnn", metrics=("fid",)).warnings
    assert any("theirs.npz does not say of how many images" in line for line in said)
    assert any("theirs.npz does not say of which network and resize it is; taken for digits-cnn in dialect tf1" in line for line in said)
    import_statistics(tmp_path / "theirs.npz", "theirs", extractor="digits-cnn")
    said = score(digits(), "theirs", metrics=("fid",)).warnings
    assert not any("which network" in line for line in said), "it was said when they were imported"


# Claims.


def test_a_claim_stands_beside_the_verified_number():
    verdict = score(digits(), "Digits:test", claimed={"fd": 3.0, "precision": 0.5})
    by_name = {claim.name: claim for claim in verdict.claims}
    assert by_name.keys() == {"FD(digits-cnn)", "precision(digits-cnn)"}
    claim, verified = by_name["FD(digits-cnn)"], verdict.scores[0]
    assert (claim.claimed, claim.verified, claim.uncertainty) == (3.0, verified.value, verified.uncertainty)
    assert claim.difference == verified.value - 3.0
    assert claim.ratio == claim.difference / verified.uncertainty
    assert by_name["precision(digits-cnn)"].ratio is None
    assert verdict.claims[0].in_words().startswith("FD(digits-cnn): claimed 3, verified ")
    assert "times its uncertainty" in verdict.claims[0].in_words()


def test_a_claim_is_compared_in_every_dialect():
    verdict = score(digits(), "Digits:test", metrics=("kid",), dialects=("tf1", "torchmetrics"), claimed={"kd": 9.0})
    assert [claim.name for claim in verdict.claims] == ["KD(digits-cnn)", "KD(digits-cnn)[torchmetrics]"]


def test_numbers_of_inception_cannot_be_verified_by_another_network():
    with pytest.raises(UserError, match=r"--claimed fid: a number of Inception .* digits-cnn scores here; .* or fd=\.\.\."):
        score(digits(), "Digits:test", claimed={"fid": 3.0})


def test_a_claimed_fid_is_verified_by_inception_alone():
    require_inception({"fid": 3.0, "fd": 3.0, "precision": 0.5}, "inception-v3-tf", True)
    require_inception({"fd": 3.0, "precision": 0.5}, "mnist-cnn", False)
    shared = {"better": "lower", "protocol": {"dataset": "x", "split": "y"}}
    scores = [Score(name=name, value=3.5, **shared) for name in ("FID", "FID[torchmetrics]", "FID-infinity", "KID")]
    assert [claim.name for claim in compare({"fid": 3.0}, scores, "inception-v3-tf")] == ["FID", "FID[torchmetrics]"]
    assert [claim.name for claim in compare({"fd_infinity": 3.0}, scores, "inception-v3-tf")] == ["FID-infinity"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fid", ["'fid'", "such as fid=3.17"]),
        ("fid=", ["'fid='"]),
        ("fid=low", ["'fid=low'"]),
        ("fid=nan", ["'fid=nan'"]),
        ("fid=3,fid=4", ["fid is claimed twice"]),
        ("fdi=3", ["fdi", "did you mean"]),
        ("precison=0.5", ["did you mean 'precision'?"]),
        ("", ["''"]),
    ],
)
def test_a_claim_that_is_none_is_refused(text, words):
    with pytest.raises(UserError) as caught:
        parse_claims(text)
    for word in words:
        assert word in str(caught.value)


def test_claims_are_read():
    assert parse_claims("FID=3.17, is=9.46") == {"fid": 3.17, "is": 9.46}


# What cannot be compared.


def refused(words, *arguments, **options):
    with pytest.raises(UserError) as caught:
        score(*arguments, **options)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("Digts:test", ["'Digts:test'", "did you mean 'Digits'?"]),
        ("Digits:tset", ["Digits:tset", "'tset'", "did you mean 'test'?"]),
        ("Digits:test+test", ["every split once"]),
        ("no/such/folder", ["'no/such/folder'", "data sets are Digits"]),
        ("stats.pkl", ["stats.pkl", "pickle"]),
        (3, ["source: expected", "got int"]),
    ],
)
def test_a_reference_that_is_none_is_refused(reference, words):
    refused(words, digits(), reference)


def test_options_that_do_not_apply_are_refused(tmp_path):
    refused(["num_smaples: unknown option", "'num_samples'"], digits(), "Digits:test", num_smaples=3)
    refused(["image_size: applies to a folder", "got 3"], digits(), "Digits:test", image_size=3)
    refused(["weights: applies to a run", "'live'"], digits(), "Digits:test", weights="live")
    refused(["standing_statistics: applies to a run", "got 2"], digits(), "Digits:test", standing_statistics=2)
    refused(["metrics: unknown metric 'fdi'"], digits(), "Digits:test", metrics=("fdi",))
    refused(["dialect 'tf2'", "'tf1'"], digits(), "Digits:test", dialects=("tf2",))
    refused(["extractor 'digit-cnn'", "'digits-cnn'"], digits(), "Digits:test", extractor="digit-cnn")


def test_statistics_of_another_network_or_without_features_are_refused(tmp_path):
    entry = compute_reference("Digits:test", extractor="digits-cnn")
    refused(["is of extractor digits-cnn, not of mnist-cnn"], digits(), entry.name, extractor="mnist-cnn", metrics=("fid",))
    np.savez(tmp_path / "theirs.npz", mu=np.zeros(7), sigma=np.eye(7))
    refused(["theirs.npz has 7 features, extractor digits-cnn has 32"], digits(), tmp_path / "theirs.npz", extractor="digits-cnn")
    refused(["kid needs the features", "theirs.npz"], digits(), tmp_path / "theirs.npz", extractor="digits-cnn", metrics=("kid",))
    both = {"extractor": "digits-cnn", "metrics": ("fid",), "dialects": ("tf1", "torchmetrics")}
    refused(
        ["dialect: statistics such as theirs.npz are of one dialect", "got tf1, torchmetrics"], digits(), tmp_path / "theirs.npz", **both
    )
    import_statistics(tmp_path / "theirs.npz", "theirs", extractor="digits-cnn", dialect="torchmetrics")
    refused(["theirs has 7 features"], digits(), "theirs", metrics=("fid",))
    np.savez(tmp_path / "right.npz", mu=np.zeros(32), sigma=np.eye(32))
    import_statistics(tmp_path / "right.npz", "right", extractor="digits-cnn", dialect="torchmetrics")
    refused(["right is of dialect torchmetrics, not of tf1"], digits(), "right", metrics=("fid",))


def test_images_of_ones_own_are_scored_by_what_is_at_hand_and_one_line_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    images = photo_patches(80)
    verdict = score(images[:40], images[40:], metrics=["fid"])
    assert [one.name for one in verdict.scores] == ["FD(cifar-cnn)"]
    assert FILE_NAME in verdict.warnings[0]
