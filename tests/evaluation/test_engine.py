"""The evaluation engine: the same bits on any number of processes, the numbers of an independent computation, and nothing else changed."""

import dataclasses
import math
import os
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from distributed_pool import Pool, shared_pool

from lightning_gen.data import Digits, ToyDensity
from lightning_gen.distributed import buffers_of_first
from lightning_gen.errors import UserError
from lightning_gen.evaluation import Plan, Scoring, evaluate, require_something_to_measure
from lightning_gen.evaluation.extraction import extract
from lightning_gen.evaluation.streams import split_stream
from lightning_gen.metrics.accumulators import group_of
from lightning_gen.metrics.extractors import build_extractor, in_domain
from lightning_gen.metrics.extractors.base import Extractor
from lightning_gen.models import DCGAN, GAN, VAE
from lightning_gen.noise import IndexedNoise, stable_hash

FD, CS, BITS, MSE = "FD(digits-cnn)", "CS(digits-cnn)", "bits/dim", "reconstruction MSE"


@pytest.fixture(scope="session")
def pool() -> Pool:
    return shared_pool()


def new_data(**options):
    return Digits(batch_size=8, **options)


def new_model(kind, data=None, averages=True):
    """A model whose samples differ from one another, with averages that are another model."""
    torch.manual_seed(5)
    shape, num_bits = [*(data or new_data()).data_shape], 4
    if kind == "vae":
        networks = {"encoder": {"class_path": "MLPEncoder", "hidden": [16]}, "decoder": {"class_path": "MLPDecoder", "hidden": [16]}}
        model = VAE(shape, latent_dim=4, likelihood="DiscretizedLogistic", observation_noise=True, num_bits=num_bits, **networks)
    else:
        model = DCGAN(shape, latent_dim=4, width=4, num_bits=num_bits)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    if averages:
        model.create_ema()
        for parameter in model.ema.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def scores(rank, world_size, kind, plan, folder):
    """With a cache of its own for every number of processes, so that none reads what another has computed."""
    os.environ["LIGHTNING_GEN_CACHE"] = f"{folder}/{world_size}"
    plan = dataclasses.replace(plan, generalization=kind == "vae" and plan.generalization)
    evaluation = evaluate(new_model(kind), new_data(), plan, key={"name": "model"} if kind == "vae" else None)
    log_probs = None if evaluation.log_probs is None else evaluation.log_probs.tolist()
    return [dataclasses.asdict(score) for score in evaluation.scores], log_probs


# World size.


ALL = ("fid", "is", "kid", "prdc", "fd_infinity")


@pytest.mark.parametrize("kind", ["vae", "dcgan"])
@pytest.mark.parametrize(
    "plan",
    [
        Plan("test", num_samples=70, likelihood_images=70, likelihood_samples=3, generalization=True),
        Plan("validation", num_samples=700, seed=7, scoring=Scoring(ALL, dialects=("tf1", "torchmetrics"))),
        Plan("test", num_samples=300, scoring=Scoring(("fid", "is", "kid"), arithmetic="reference", exact=True)),
        Plan("train", num_samples=150, scoring=Scoring(debiased=True, floor=False)),
        Plan("test", num_samples=64, likelihood_images=1, weights="live"),
    ],
    ids=["two blocks", "all scores", "reference arithmetic", "debiased", "one block"],
)
def test_one_to_four_processes_give_the_same_bits(kind, plan, pool, tmp_path):
    """With two blocks the third process has nothing to do, with one block neither has the second; 70 and 2000 leave a short
    block."""
    (alone,) = pool(scores, kind, plan, str(tmp_path), world_size=1)
    assert [score["name"] for score in alone[0]][:2] == [FD, CS]
    for world_size in (2, 3, 4):
        for rank in pool(scores, kind, plan, str(tmp_path), world_size=world_size):
            assert rank == alone


# Values.


def numpy_frechet(a, b):
    """From eigenvalues of the product of the covariances, which are real and not negative."""
    mean_a, mean_b, cov_a, cov_b = a.mean(0), b.mean(0), np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    roots = np.sqrt(np.clip(np.linalg.eigvals(cov_a @ cov_b).real, 0, None))
    return ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * roots.sum()


def numpy_classifier_score(p):
    """exp of the mean KL divergence from the marginal."""
    return math.exp((p * (np.log(p) - np.log(p.mean(0)))).sum(1).mean())


def features(images):
    """Features and class probabilities, 64 images at a time as the engine has them."""
    parts = [build_extractor("digits-cnn")(block) for block in images.split(64)]
    return torch.cat([part[0] for part in parts]).double().numpy(), torch.cat([part[1] for part in parts]).double().softmax(1).numpy()


def jackknife(statistic, count):
    """Leaves out every tenth of the images."""
    group = group_of(count)
    values = np.array([statistic(group != left_out) for left_out in range(10) if (group == left_out).any()])
    return math.sqrt((len(values) - 1) / len(values) * ((values - values.mean()) ** 2).sum())


def real(data, split, count=None):
    stream = split_stream(data, split, count)
    return features(torch.cat([stream.draw(range(i, i + 1), torch.device("cpu")) for i in range(stream.count)]))


@pytest.mark.parametrize("kind", ["vae", "dcgan"])
@pytest.mark.parametrize(("split", "other"), [("test", "train"), ("validation", "train"), ("train", "test")])
def test_scores_of_samples_are_those_of_an_independent_computation(kind, split, other):
    """The floor is the score of as many held-out real images."""
    model, data, count = new_model(kind), new_data(), 300
    evaluation = evaluate(model, data, Plan(split, count, seed=3, likelihood_images=1))
    x, p = features(model.sample(count, seed=3))
    reference, _ = real(data, split)
    held_out, held_out_p = real(data, other, count)
    frechet, classifier = evaluation.scores[:2]
    assert frechet.value == pytest.approx(numpy_frechet(x, reference), rel=1e-6)
    assert frechet.floor == pytest.approx(numpy_frechet(held_out, reference), rel=1e-6)
    assert frechet.floor < frechet.value / 10
    assert frechet.uncertainty == pytest.approx(jackknife(lambda kept: numpy_frechet(x[kept], reference), count), rel=1e-5)
    assert classifier.value == pytest.approx(numpy_classifier_score(p), rel=1e-6)
    assert classifier.floor == pytest.approx(numpy_classifier_score(held_out_p), rel=1e-6)
    assert classifier.uncertainty == pytest.approx(jackknife(lambda kept: numpy_classifier_score(p[kept]), count), rel=1e-4)
    assert frechet.uncertainty_kind == classifier.uncertainty_kind == "jackknife over 10 groups of images"
    assert (frechet.better, classifier.better) == ("lower", "higher")
    assert math.exp(classifier.details["entropy_of_y"] - classifier.details["entropy_of_y_given_x"]) == pytest.approx(classifier.value)


def test_the_held_out_images_are_not_a_sorted_sets_first_class():
    data = new_data()
    order = np.argsort(data.arrays("train")[1], kind="stable")
    data._arrays["train"] = tuple(part[order] for part in data.arrays("train"))
    assert len({*split_stream(data, "train", 64).labels.tolist()}) == 10


def test_log_probabilities_are_in_index_order_and_the_score_is_their_mean():
    """Image i alone, with noise keyed by i, has the value that stands at place i."""
    model, data = new_model("vae", averages=False), new_data()
    evaluation = evaluate(model, data, Plan("test", num_samples=0, likelihood_images=130, likelihood_samples=5, seed=2))
    assert evaluation.log_probs.shape == (130,)
    assert evaluation.log_probs.dtype == torch.float64
    for index in (0, 1, 63, 64, 65, 128, 129):
        images, _ = data.batch("test", [index])
        noise = IndexedNoise(stable_hash(2, "likelihood"), [index])
        with model.inference():
            (alone,) = model.log_prob(images, noise=noise, num_samples=5).tolist()
        assert evaluation.log_probs[index].item() == pytest.approx(alone, rel=1e-5)
    assert len({*evaluation.log_probs.tolist()}) == 130
    score = evaluation.scores[0]
    bits = -evaluation.log_probs.numpy() / (64 * math.log(2))
    assert (score.name, score.better, score.kind) == (BITS, "lower", "k-sample bound")
    assert score.value == pytest.approx(bits.mean(), rel=1e-12)
    assert score.uncertainty == pytest.approx(bits.std(ddof=1) / math.sqrt(130), rel=1e-12)


def test_more_importance_samples_tighten_the_bound_and_one_is_named_a_lower_bound():
    model, data = new_model("vae"), new_data()
    plain, tighter = (evaluate(model, data, Plan(num_samples=0, likelihood_samples=k)).scores[0] for k in (1, 64))
    assert tighter.value < plain.value
    assert (plain.kind, tighter.kind) == ("lower bound", "k-sample bound")
    assert plain.protocol == tighter.protocol, "how a model answers does not split the ranking"


def test_vectors_are_scored_in_nats_and_have_no_score_of_samples():
    data = ToyDensity("two_moons", batch_size=8)
    model = VAE([*data.data_shape], latent_dim=2)
    scores = evaluate(model, data, Plan("test", num_samples=10, likelihood_images=70)).scores
    assert [score.name for score in scores] == ["nats", MSE]


# What the plan asks for.


@pytest.mark.parametrize("kind", ["vae", "dcgan"])
def test_averaged_and_live_weights_are_two_models(kind):
    plans = {weights: Plan(num_samples=70, likelihood_images=70, weights=weights) for weights in ("ema", "live")}
    found = {weights: evaluate(new_model(kind), new_data(), plan).scores for weights, plan in plans.items()}
    without = {weights: evaluate(new_model(kind, averages=False), new_data(), plan).scores for weights, plan in plans.items()}
    assert without["live"] == without["ema"] == found["live"]
    assert all(averaged.value != live.value for averaged, live in zip(found["ema"], found["live"], strict=True))
    model = new_model(kind)
    for name in model.ema:
        getattr(model, name).load_state_dict(model.ema[name].state_dict())
    assert evaluate(model, new_data(), plans["live"]).scores == found["ema"]


def test_the_seed_keys_samples_and_likelihoods_and_neither_the_reference_nor_reconstructions():
    first, again, other = (
        evaluate(new_model("vae"), new_data(), Plan(num_samples=70, likelihood_images=70, seed=s)).scores for s in (0, 0, 1)
    )
    assert first == again
    for one, two in zip(first, other, strict=True):
        assert (one.value == two.value) == (one.name == MSE)
        assert one.floor == two.floor
        assert one.protocol == two.protocol


def test_the_protocol_names_the_question():
    frechet, _, _, likelihood, _ = evaluate(new_model("vae"), new_data(), Plan("validation", 70, likelihood_images=65)).scores
    assert frechet.protocol["num_samples"] == 70
    assert frechet.protocol["extractor"] == "digits-cnn"
    assert frechet.protocol["split"] == likelihood.protocol["split"] == "validation"
    assert likelihood.protocol["likelihood_images"] == 65
    assert "extractor" not in likelihood.protocol


@pytest.mark.parametrize(("kind", "names"), [("vae", [BITS, MSE]), ("dcgan", [])])
def test_no_samples_no_scores_of_samples(kind, names):
    evaluation = evaluate(new_model(kind), new_data(), Plan(num_samples=0, likelihood_images=10))
    assert [score.name for score in evaluation.scores] == names
    assert evaluation.samples_per_second is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": -1}, "num_samples: expected at least 0, got -1"),
        ({"num_samples": 1}, "num_samples: a distance between sets of images needs at least 2, got 1"),
        ({"likelihood_samples": 0}, "likelihood_samples: expected at least 1, got 0"),
        ({"likelihood_images": 0}, "likelihood_images: expected at least 1"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        Plan(**arguments)


def test_progress_reaches_the_end_of_every_stage(monkeypatch, tmp_path):
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", str(tmp_path))
    reports = {}

    def report(stage, done, total):
        assert reports.get(stage, (0, total)) < (done, total)
        reports[stage] = done, total

    evaluate(new_model("vae"), new_data(), Plan(num_samples=70, likelihood_images=65), report)
    ends = {"samples": 70, "reference: digits (test)": 400, "real images: digits (train)": 70, "likelihood": 65, "reconstructions": 65}
    assert reports == {stage: (count, count) for stage, count in ends.items()}


# What evaluation leaves as it was.


def state_of(model):
    """Everything that training depends on."""
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": str(np.random.get_state()),
        "python": random.getstate(),
        "modes": {name: module.training for name, module in model.named_modules()},
        "tensors": {name: (tensor.tolist(), tensor.dtype, tensor.requires_grad) for name, tensor in named_tensors(model)},
        "networks": [id(network) for network in model.children()],
        "dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
        "tf32": (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32),
        "progress": (model.images_seen, model.batches_seen, model.data_initialized),
    }


def named_tensors(model):
    yield from model.named_parameters()
    yield from model.named_buffers()


@pytest.mark.parametrize("kind", ["vae", "dcgan"])
@pytest.mark.parametrize("weights", ["ema", "live"])
def test_evaluation_leaves_the_training_as_it_was(kind, weights, float64):
    in_domain._network.cache_clear()
    model = new_model(kind).float().train()
    torch.set_num_threads(2)
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        before = state_of(model)
        evaluate(model, new_data(), Plan(num_samples=70, likelihood_images=70, weights=weights))
        after = state_of(model)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    assert before["dtype"] == torch.float64
    for key, value in before.items():
        assert after[key] == value, key


class Broken(Exception):
    pass


def test_an_evaluation_that_fails_leaves_the_training_as_it_was(monkeypatch):
    model = new_model("dcgan").train()
    before = state_of(model)

    def fail(seed, indices):
        raise Broken

    monkeypatch.setattr(model, "sample_block", fail)
    with pytest.raises(Broken):
        evaluate(model, new_data(), Plan(num_samples=70))
    monkeypatch.undo()
    assert state_of(model) == before


def test_a_likelihood_given_the_labels_answers_another_question_than_one_without():
    data = Digits(batch_size=64)
    plan = Plan(num_samples=0, likelihood_images=64)
    shape = {"data_shape": [1, 8, 8], "num_bits": 4, "num_classes": 10, "likelihood": "DiscretizedLogistic"}
    plain, conditional = (evaluate(VAE(**shape, conditional=given), data, plan).scores[0] for given in (False, True))
    assert plain.fingerprint != conditional.fingerprint
    assert "labels" not in plain.protocol


def test_an_uncertainty_that_cannot_be_had_is_not_explained():
    scores = evaluate(VAE([1, 8, 8], num_bits=4, likelihood="DiscretizedLogistic"), Digits(batch_size=64), Plan(num_samples=2)).scores
    assert [score.uncertainty_kind for score in scores if score.uncertainty is None] == [None] * 3


@pytest.mark.parametrize("model", [GAN([1, 8, 8], num_bits=4)])
def test_nothing_to_measure_is_refused_before_anything_is_computed(model):
    with pytest.raises(UserError, match=r"final\.num_samples: GAN has no likelihood"):
        require_something_to_measure(model, 0, "final.num_samples")


def test_the_speed_of_sampling_counts_the_drawing_and_not_the_extractor(monkeypatch):
    model, clock = VAE([1, 8, 8], num_bits=4, likelihood="DiscretizedLogistic"), [0.0]

    def taking(seconds, function):
        def call(*args, **kwargs):
            clock[0] += seconds
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr("lightning_gen.evaluation.engine.time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(Extractor, "__call__", taking(100.0, Extractor.__call__))
    monkeypatch.setattr(model, "sample_block", taking(1.0, model.sample_block))
    # 10 blocks of 64 samples, one second each.
    assert evaluate(model, Digits(batch_size=64), Plan(num_samples=640, likelihood_images=1)).samples_per_second == 64.0


# When one process fails.


def extract_with_a_failure(rank, world_size, failing):
    """What each rank is told."""
    whole = split_stream(new_data(), "test")

    def draw(block, device):
        if rank == failing:
            raise UserError("picture 7 cannot be read")
        return whole.draw(block, device)

    try:
        extract(dataclasses.replace(whole, draw=draw), build_extractor("digits-cnn"), None, lambda done, total: None)
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("failing", [0, 1])
def test_what_fails_in_one_process_ends_all_of_them(pool, failing):
    found = pool(extract_with_a_failure, failing, world_size=3, seconds=60.0)
    assert found[failing] == "picture 7 cannot be read"
    assert [message for rank, message in enumerate(found) if rank != failing] == ["digits (test): another process has failed"] * 2


def buffers_within_and_after(rank, world_size):
    model = new_model("dcgan", averages=False)
    for buffer in model.buffers():
        buffer.fill_(rank)
    with buffers_of_first(model):
        within = {float(buffer.max()) for buffer in model.buffers()}
    return within, {float(buffer.max()) for buffer in model.buffers()}


def test_an_evaluation_gives_every_process_its_own_buffers_back(pool):
    assert pool(buffers_within_and_after, world_size=2) == [({0.0}, {0.0}), ({0.0}, {1.0})]
