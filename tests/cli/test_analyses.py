"""``probe``, ``finetune``, ``anomaly`` and ``disentangle``: a table and a report from a run, and one line for what cannot be."""

import json

import pytest
import torch
from cli_runs import SMOKE, train

from lightning_gen.checkpoint import find_checkpoint, sha256


def report(outcome, run, name):
    """The report that a command wrote, which has to be the one that ``--json`` prints."""
    assert outcome.code == 0, outcome.err
    (path,) = (run / "results").glob(f"{name}-*.json")
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def without_8(tmp_path_factory):
    """A run of a VAE that has not seen the digit 8; read only."""
    classes = "--data.only_classes=[0,1,2,3,4,5,6,7,9]"
    return train(tmp_path_factory.mktemp("without_8"), "--config", "vae_digits", *SMOKE, classes)


@pytest.fixture(scope="module")
def factors_run(tmp_path_factory):
    """A run on data with factors; read only."""
    return train(tmp_path_factory.mktemp("factors"), "--config", "beta_vae_factors", *SMOKE)


def test_probe_prints_and_records_the_encoder_beside_its_baselines(execute, vae_copy):
    outcome = execute("probe", vae_copy, "--num_images", "300")
    found = report(outcome, vae_copy, "probe")
    for name in ("encoder", "untrained encoder", "raw pixels"):
        assert name in outcome.out
        assert f"{100 * found['results'][name]['nearest']:.1f} %" in outcome.out
    assert found["checkpoint"]["sha256"] == sha256(find_checkpoint(vae_copy))
    assert (found["protocol"]["dataset"], found["protocol"]["train_images"]) == ("digits", 300)
    assert "± " in outcome.out


def test_probe_as_json_is_the_record_and_the_same_again(execute, vae_copy):
    first, second = (json.loads(execute("probe", vae_copy, "--num_images", "200", "--json").out) for _ in range(2))
    assert first["results"] == second["results"]
    assert report(execute("probe", vae_copy, "--num_images", "200", "--json"), vae_copy, "probe")["results"] == first["results"]


def test_the_leaderboard_ignores_reports(execute, vae_copy):
    before = execute("leaderboard", vae_copy.parent).out
    assert execute("probe", vae_copy, "--num_images", "200").code == 0
    assert execute("leaderboard", vae_copy.parent).out == before


def test_finetune_compares_over_seeds(execute, vae_copy):
    outcome = execute("finetune", vae_copy, "--labels", "20", "--seeds", "2", "--epochs", "2")
    found = report(outcome, vae_copy, "finetune-test-20")
    # 20 images, 2 epochs, 2 seeds, 2 classifiers; the last one ends the display.
    assert outcome.err.splitlines()[-1].startswith("160 of 160 images  ")
    assert "cross_entropy " in outcome.err
    by_seed = {name: row["by_seed"] for name, row in found["results"].items()}
    assert by_seed["difference"] == pytest.approx([a - b for a, b in zip(by_seed["finetuned"], by_seed["from scratch"], strict=True)])
    assert found["protocol"]["epochs"] == 2
    assert "fixed beforehand" in outcome.out


def test_anomaly_tells_a_digit_that_the_model_has_not_seen(execute, without_8):
    outcome = execute("anomaly", without_8, "--against", "Digits", "--against_classes", "8", "--likelihood_samples", "2")
    found = report(outcome, without_8, "anomaly-test-against-digits-test-8")
    assert found["protocol"]["only_classes"] == [0, 1, 2, 3, 4, 5, 6, 7, 9]
    assert found["protocol"]["against"]["only_classes"] == [8]
    assert found["protocol"]["likelihood"] == "k-sample bound"
    sizes = {key: found["protocol"][key] for key in ("num_images", "against_images", "train_images")}
    assert sizes == {"num_images": 360, "against_images": 40, "train_images": 900}  # used, not asked for
    names = [
        "negative log-likelihood",
        "typicality",
        "complexity-corrected",
        "reconstruction error",
        "distance to the nearest training image",
    ]
    for name in names:
        assert f"{found['results'][name]['auroc']:.3f} ± " in next(line for line in outcome.out.splitlines() if line.startswith(name))
    assert "arXiv:1810.09136" in outcome.out


def test_scores_without_a_class_have_their_own_protocol(without_8, vae_run):
    protocols = [
        json.loads(path.read_text())["scores"][0]["protocol"]
        for run in (without_8, vae_run)
        for path in (run / "results").glob("*.result.json")
    ]
    assert any("only_classes" in protocol for protocol in protocols)
    assert any("only_classes" not in protocol for protocol in protocols)


def test_disentangle_prints_and_records_mig_and_dci(execute, factors_run):
    outcome = execute("disentangle", factors_run)
    found = report(outcome, factors_run, "disentangle")
    row = found["results"]["encoder"]
    assert 0 <= row["mig"] <= 1
    assert f"{row['mig']:.3f}" in outcome.out
    assert len(row["mig_by_factor"]) == len(row["accuracy_by_factor"]) == 5
    assert found["protocol"]["mig"]["codes"] == "draws of q(z|x)"


def test_the_state_of_the_generator_does_not_matter(execute, vae_copy):
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(json.loads(execute("finetune", vae_copy, "--labels", "10", "--seeds", "1", "--epochs", "1", "--json").out)["results"])
    assert found[0] == found[1]


@pytest.mark.parametrize("command", ["probe", "finetune --labels 10", "disentangle", "anomaly --against Digits"])
def test_a_model_without_an_encoder_or_likelihood_is_refused(refused, dcgan_run, command):
    name, *options = command.split()
    refused([name, dcgan_run, *options], name, "DCGAN")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("probe --num_images 0", ("--num_images", "at least 1", "got 0")),
        ("probe --seed -1", ("--seed", "at least 0", "got -1")),
        ("probe --split tset", ("--split", "tset")),
        ("probe --num_imgs 3", ("unknown option --num_imgs", "--num_images")),
        ("finetune", ("--labels",)),
        ("finetune --labels 0", ("--labels", "got 0")),
        ("finetune --labels 5", ("labels", "10 classes", "got 5")),
        ("finetune --labels 5000", ("labels: class 0", "expected at least 500")),
        ("finetune --labels 10 --seeds 0", ("--seeds", "got 0")),
        ("finetune --labels 10 --epochs -1", ("--epochs", "got -1")),
        ("probe --split train", ("--split", "train")),
        ("probe --num_images 1", ("num_images", "1 training images")),
        ("finetune --labels 10 --split train", ("--split", "train")),
        ("anomaly --against Digits --split train", ("--split", "train")),
        ("anomaly --against Digits --against_classes 99", ("--against_classes", "0 to 9", "got 99")),
        ("anomaly --against ToyDensity --against_classes 1", ("--against_classes", "no classes")),
        ("disentangle", ("factors of variation of digits",)),
        ("anomaly", ("--against",)),
        ("anomaly --against Digit", ("--against", "Digits")),
        ("anomaly --against Digits:tset", ("--against", "tset", "test")),
        ("anomaly --against Digits", ("--against Digits", "trained on images of these classes")),
        ("anomaly --against Digits --against_classes 8", ("--against Digits", "trained on images of these classes")),
        ("anomaly --against Digits --against_classes x", ("--against_classes x", "expected labels")),
        ("anomaly --against PhotoPatches", ("--against photo-patches", "data_shape (1, 8, 8)", "(3, 32, 32)")),
        ("anomaly --against ToyDensity", ("--against", "density")),
        ("anomaly --against Digits --num_images 1", ("--num_images", "at least 2", "got 1")),
        ("anomaly --against Digits --likelihood_samples 0", ("--likelihood_samples", "got 0")),
    ],
)
def test_bad_input_is_one_line(refused, vae_run, command, words):
    name, *options = command.split()
    refused([name, vae_run, *options], *words)


def test_a_class_that_the_model_has_seen_is_named_with_those_it_has_not(refused, without_8):
    refused(["anomaly", without_8, "--against", "Digits", "--against_classes", "3"], "--against_classes among 8")


def test_reports_of_other_questions_stand_beside_each_other(execute, without_8, vae_copy):
    for options in (["--split", "test"], ["--split", "validation"], ["--split", "test", "--seed", "1"]):
        assert execute("probe", vae_copy, "--num_images", "300", *options).code == 0
    assert len([*(vae_copy / "results").glob("probe-*.json")]) == 3
    before = {*(without_8 / "results").glob("anomaly-validation-*.json")}
    for classes in ("8", "8,8"):
        command = ("anomaly", without_8, "--against", "Digits", "--against_classes", classes, "--likelihood_samples", "1")
        assert execute(*command, "--split", "validation").code == 0
    assert len({*(without_8 / "results").glob("anomaly-validation-*.json")} - before) == 1


def test_finetune_says_how_the_labels_divide_and_what_one_seed_is(execute, vae_copy):
    out = execute("finetune", vae_copy, "--labels", "15", "--seeds", "1", "--epochs", "0").out
    assert "15 labelled training images, 1 to 2 of each class; one seed;" in " ".join(out.split())


@pytest.fixture
def nan_run(vae_copy):
    """A run whose weights are lost."""
    for file in (vae_copy / "checkpoints").glob("*.ckpt"):
        content = torch.load(file, weights_only=False)
        for value in content["state_dict"].values():
            if value.is_floating_point():
                value.fill_(torch.nan)
        content["lightning_gen"]["data"]["init_args"]["only_classes"] = [0, 1, 2]  # so that there are others to tell apart
        torch.save(content, file)
    return vae_copy


@pytest.mark.parametrize(
    "command",
    ["probe --num_images 300", "finetune --labels 10", "anomaly --against Digits --against_classes 8", "explore --kind scatter", "explore"],
)
def test_a_model_of_nan_is_one_line_and_no_report(refused, nan_run, command):
    name, *options = command.split()
    before = {*nan_run.rglob("*.json"), *nan_run.rglob("*.png")}
    refused([name, nan_run, *options], "NaN or infinite", "expected a model that has been trained")
    assert {*nan_run.rglob("*.json"), *nan_run.rglob("*.png")} == before


@pytest.mark.parametrize("content", ["", "model: [", "- a list", b"\xff\xfe\x00"])
def test_a_damaged_configuration_is_one_line(refused, vae_copy, content):
    (vae_copy / "config.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(["probe", vae_copy], "config.yaml: expected the configuration of a run")


def test_data_without_classes_is_refused_as_its_own(refused, tmp_path):
    run = train(tmp_path, "--config", "vae_toy", *SMOKE)
    refused(["anomaly", run, "--against", "ToyDensity"], "--against ToyDensity: the model was trained on this data; expected other data")
