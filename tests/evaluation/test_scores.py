"""What is made of features: names, protocols, notes, scores per class; each number against its plain definition."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.evaluation.extraction import FeatureSet
from lightning_gen.evaluation.references import Reference
from lightning_gen.evaluation.scores import METRICS, Floor, metric_names, scores_of, values_of
from lightning_gen.evaluation.setting import Setting, score_name
from lightning_gen.metrics.accumulators import GroupSums, group_of
from lightning_gen.metrics.dialects import dialect
from lightning_gen.metrics.extrapolation import fd_infinity
from lightning_gen.metrics.frechet import GaussianStatistics, frechet_distance
from lightning_gen.metrics.kernel_distance import mmd_u_statistic


def features(count, d=6, shift=0.0, seed=0):
    return (np.random.default_rng(seed).normal(size=(count, d)) + shift).astype(np.float32)


def samples(count, d=6, shift=0.5, labels=None):
    return FeatureSet("samples", features(count, d, shift, 1), features(count, 4, 0, 2) * 3, labels)


def reference(count, d=6, labels=None, has_features=True):
    table = features(count, d)
    return Reference("real", GroupSums(table).gaussian(), {"count": count}, table if has_features else None, labels)


def setting(name="net", is_inception=False, dialect_name="tf1", **options):
    return Setting(name, is_inception, dialect(dialect_name), protocol={"dataset": "d", "split": "test"}, **options)


def one(metric, *arguments, **options):
    found = scores_of(*arguments, (metric,), setting(**options))
    return found[0]


def distance(x, y):
    return frechet_distance(*(GaussianStatistics.of_rows(torch.from_numpy(rows)) for rows in (x, y)))


# Names.


@pytest.mark.parametrize(
    ("kind", "options", "name"),
    [
        ("FD", {"is_inception": True}, "FID"),
        ("CS", {"is_inception": True}, "IS"),
        ("KD", {"is_inception": True, "dialect": "torchmetrics"}, "KID[torchmetrics]"),
        ("FD", {"is_inception": False}, "FD(net)"),
        ("precision", {"is_inception": True}, "precision(net)"),
    ],
)
def test_the_three_famous_names_are_inceptions_alone_and_every_network_is_named(kind, options, name):
    assert score_name(kind, "net", **options) == name


def test_every_metric_has_its_own_names_and_says_which_way_is_better():
    labels = np.arange(300) % 3
    found = scores_of(samples(300, labels=labels), reference(400, labels=np.arange(400) % 3), [*METRICS], setting())
    names = [score.name for score in found]
    assert len({*names}) == len(names) == 11
    assert {score.name for score in found if score.better == "higher"} == {
        f"{kind}(net)" for kind in ("CS", "precision", "recall", "density", "coverage", "AuthPct", "diversity")
    }


@pytest.mark.parametrize(("given", "expected"), [(["FID", " kd", "cs", "fid"], ("fid", "kid", "is")), (["prdc"], ("prdc",))])
def test_metrics_go_by_several_names(given, expected):
    assert metric_names(given) == expected


def test_an_unknown_metric_is_one_line():
    with pytest.raises(UserError, match=r"^metrics: unknown metric 'fidd'; did you mean 'fid'\?$"):
        metric_names(["fidd"])


# Values.


def test_the_distance_says_how_many_images_it_is_from():
    few, many = one("fid", samples(5), reference(400)), one("fid", samples(300), reference(400))
    assert "5 samples span less than the 6 features" in few.details["notes"][0]
    assert "notes" not in many.details
    assert many.details == {"arithmetic": "fast", "features": 6, "reference_images": 400}
    small = one("fid", samples(300), reference(6))
    assert "6 real images span less than the 6 features" in small.details["notes"][0]


def test_reference_arithmetic_and_the_exact_route_agree_with_the_default():
    plain = one("fid", samples(300), reference(400)).value
    assert one("fid", samples(300), reference(400), arithmetic="reference").value == pytest.approx(plain, rel=1e-6)
    assert one("fid", samples(300), reference(400), exact=True).value == pytest.approx(plain, rel=1e-9)


def test_the_distance_at_infinity_is_fitted_to_nested_parts_with_its_curve():
    whole = samples(640)
    found = one("fd_infinity", whole, reference(400))
    group = group_of(640)
    curve = [(64 * (k + 1), distance(whole.features[group <= k], features(400))) for k in range(10)]
    assert [n for n, _ in found.details["curve"]] == [n for n, _ in curve]
    np.testing.assert_allclose([v for _, v in found.details["curve"]], [v for _, v in curve], rtol=1e-5)
    assert found.value == pytest.approx(fd_infinity([n for n, _ in curve], [v for _, v in curve], 1).value, rel=1e-5)


def test_too_few_samples_for_infinity_are_refused_with_a_number_that_suffices():
    with pytest.raises(UserError, match=r"fd_infinity needs 3 of 10 nested parts .* expected at least 600 samples, got 300"):
        one("fd_infinity", samples(300, d=200), reference(400, d=200))
    one("fd_infinity", samples(600, d=200), reference(400, d=200))


def test_per_class_is_the_distance_within_each_class():
    ours, theirs = np.arange(300) % 3, np.arange(400) % 4
    found = one("per_class", samples(300, labels=ours), reference(400, labels=theirs))
    x, y = features(300, shift=0.5, seed=1), features(400)
    expected = {str(label): distance(x[ours == label], y[theirs == label]) for label in range(3)}
    assert found.details["per_class"].keys() == expected.keys()
    for label, value in expected.items():
        assert found.details["per_class"][label] == pytest.approx(value, rel=1e-5)
    assert found.value == pytest.approx(np.mean([*expected.values()]), rel=1e-5)
    assert found.details["notes"] == ["not compared, for want of a counterpart: 3"]


def test_classes_are_compared_by_name_and_not_by_number():
    """A folder with the classes 3 and 7 numbers them 0 and 1."""
    ours, theirs = np.arange(300) % 2, np.arange(400) % 10
    named = dataclasses.replace(samples(300, labels=ours), class_names=("3", "7"))
    found = one("per_class", named, reference(400, labels=theirs))
    x, y = features(300, shift=0.5, seed=1), features(400)
    assert found.details["per_class"].keys() == {"3", "7"}
    assert found.details["per_class"]["7"] == pytest.approx(distance(x[ours == 1], y[theirs == 7]), rel=1e-5)


@pytest.mark.parametrize("missing", [{"labels": None}, {"labels": np.arange(400) + 7}])
def test_per_class_without_common_labels_is_refused(missing):
    with pytest.raises(UserError, match="metrics: per_class"):
        one("per_class", samples(300, labels=np.zeros(300, int)), reference(400, **missing))


def test_the_entropies_of_a_classifier_give_its_score():
    for name, is_inception in (("net", False), ("inception-v3-tf", True)):
        found = one("is", samples(300), None, name=name, is_inception=is_inception)
        logits = torch.from_numpy(features(300, 4, 0, 2) * 3).double()
        p = logits.softmax(1)
        entropy, conditional = torch.special.entr(p.mean(0)).sum(), torch.special.entr(p).sum(1).mean()
        assert found.details["entropy_of_y"] == pytest.approx(float(entropy), rel=1e-9)
        assert found.details["entropy_of_y_given_x"] == pytest.approx(float(conditional), rel=1e-9)
        if not is_inception:
            assert found.value == pytest.approx(math.exp(entropy - conditional), rel=1e-9)
        else:
            assert found.uncertainty_kind == "std over 10 splits"
            assert found.details["std_over_permutations"] != found.uncertainty


def test_networks_without_classes_have_no_inception_score():
    plain = FeatureSet("samples", features(300), None)
    with pytest.raises(UserError, match="metrics: is needs a classifier; extractor 'net' gives features only"):
        one("is", plain, None)


@pytest.mark.parametrize("metric", ["kid", "prdc", "per_class"])
def test_statistics_alone_do_not_answer_for_features(metric):
    with pytest.raises(UserError, match=f"metrics: {metric} needs the features of the real images; real has their mean"):
        one(metric, samples(300, labels=np.zeros(300, int)), reference(400, labels=np.zeros(400, int), has_features=False))


def test_the_floor_stands_beside_each_score_and_what_cannot_be_had_is_left_out():
    metrics = ("fid", "is", "per_class")
    floor = values_of(FeatureSet("held out", features(300, seed=5), None), reference(400), metrics, setting())
    assert [*floor] == ["FD(net)"]
    fid, score = scores_of(samples(300), reference(400), ("fid", "is"), setting(), Floor(floor, 300))
    assert fid.details["floor_images"] == 300
    assert "floor_images" not in score.details
    assert fid.floor == floor["FD(net)"] < fid.value
    assert score.floor is None


def test_a_score_that_cannot_be_had_is_named_and_the_others_are_kept(caplog):
    plain = FeatureSet("samples", features(300), None)
    found = scores_of(plain, reference(400), ("is", "fid"), setting())
    assert [score.name for score in found] == ["FD(net)"]
    assert [record.message for record in caplog.records] == ["no is: metrics: is needs a classifier; extractor 'net' gives features only"]


def test_the_error_bar_of_few_samples_is_their_spread():
    """Over fresh samples; 200 of them make groups of 20, where groups of whole blocks would differ in size and be off by two."""
    real = reference(4000)
    found = [one("fid", FeatureSet("samples", features(200, shift=0.3, seed=seed), None), real) for seed in range(100, 140)]
    spread = np.std([score.value for score in found], ddof=1)
    assert 0.75 < np.mean([score.uncertainty for score in found]) / spread < 1.35


def test_copies_of_real_images_are_not_authentic():
    real = reference(400)
    copies = FeatureSet("samples", features(400)[:100] + np.float32(1e-4), None)
    assert one("authpct", copies, real).value == 0
    far = FeatureSet("samples", features(100, shift=50.0), None)
    assert one("authpct", far, real).value == 100


def test_small_sets_have_kids_estimate_from_all_pairs():
    found = one("kid", samples(300), reference(400))
    assert found.details["of_all_images"] == mmd_u_statistic(features(300, shift=0.5, seed=1), features(400))[0]
    assert found.value == pytest.approx(found.details["of_all_images"], rel=0.1)


# Diversity.


def mean_squared_distance(x):
    pairs = (x[:, None].astype(np.float64) - x[None]) ** 2
    return pairs.sum() / (len(x) * (len(x) - 1))


@pytest.mark.parametrize("d", [6, 400])
def test_diversity_is_the_distance_of_all_pairs_of_samples_beside_that_of_real_images(d):
    found = one("diversity", FeatureSet("samples", 0.7 * features(300, d, seed=1), None), reference(350, d))
    expected = math.sqrt(mean_squared_distance(0.7 * features(300, d, seed=1)) / mean_squared_distance(features(350, d)))
    assert found.value == pytest.approx(expected, rel=1e-5)
    assert found.details["pairwise_distance"] == pytest.approx(expected * found.details["pairwise_distance_real"], rel=1e-5)
    assert 0 < found.uncertainty < 0.05


@pytest.mark.parametrize(("share", "collapsed"), [(1.0, False), (0.6, False), (0.05, True), (0.0, True)])
def test_samples_that_lie_too_close_to_each_other_are_called_collapsed(share, collapsed):
    """``share`` of the samples are of their own, the others copies of one."""
    table = features(300, seed=1)
    table[round(300 * share) :] = table[0]
    found = one("diversity", FeatureSet("samples", table, None), reference(400))
    assert found.details["collapsed"] is collapsed
    assert ("collapsed" in "".join(found.details.get("notes", []))) is collapsed


def test_diversity_beside_real_images_that_are_all_alike_is_refused():
    same = np.ones((50, 6), np.float32)
    with pytest.raises(UserError, match="diversity needs real images that differ"):
        one("diversity", samples(300), Reference("real", GroupSums(same).gaussian(), {"count": 50}, same))
