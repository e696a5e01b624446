"""Fine-tuning: nothing trained is the start itself, all that ``encode`` uses is trained, and both classifiers get the same chances."""

import numpy as np
import pytest
import torch
from latent_models import lost

from lightning_gen.analysis.finetune import Classifier, finetune, images_to_train_on, summary, train
from lightning_gen.analysis.representations import untrained
from lightning_gen.data import Digits, ToyDensity
from lightning_gen.errors import UserError
from lightning_gen.models import DCGAN, VAE


@pytest.fixture
def digits():
    return Digits(batch_size=8)


@pytest.fixture
def vae():
    networks = {name: {"class_path": f"MLP{name.capitalize()}", "init_args": {"hidden": [32]}} for name in ("encoder", "decoder")}
    return VAE([1, 8, 8], num_bits=4, num_classes=10, latent_dim=8, **networks)


def test_the_same_start_gives_the_same_classifier(vae, digits):
    start = untrained(vae, digits, 0)
    found = finetune(start, digits, 40, seeds=1, epochs=3)
    assert found["difference"]["by_seed"] == [0]


@pytest.mark.parametrize("labels", [40, 70])
def test_every_image_that_is_trained_on_is_reported_as_often_as_was_announced(vae, digits, labels):
    """70 images are one batch of 50 an epoch, and 40 a batch of their own."""
    steps = []
    finetune(vae, digits, labels, seeds=2, epochs=3, after_step=lambda images, loss: steps.append(images))
    assert sum(steps) == images_to_train_on(labels, seeds=2, epochs=3)
    assert len(steps) == 2 * 2 * 3


def test_the_classifier_from_scratch_knows_nothing_of_the_model(vae, digits):
    found = [finetune(model, digits, 20, seeds=1, epochs=2) for model in (vae, untrained(vae, digits, 5))]
    assert found[0]["from scratch"] == found[1]["from scratch"]
    assert found[0]["finetuned"] != found[1]["finetuned"]


def test_without_training_the_classifier_is_its_first_layer_on_the_codes(vae, digits):
    classifier = Classifier(vae, 10, seed=0)
    images, labels = digits.batch("test", range(400))
    expected = classifier.head(vae.encode(images)).argmax(1)
    train(classifier, images, labels, epochs=0, seed=0)
    assert classifier.accuracy(digits, "test") == int((expected == labels).sum()) / 400
    assert finetune(vae, digits, 40, seeds=1, epochs=0)["finetuned"]["mean"] == pytest.approx(classifier.accuracy(digits, "test"))


def test_training_moves_the_encoder_and_the_first_layer_but_nothing_that_encoding_does_not_use(vae, digits):
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    classifier = Classifier(vae, 10, seed=0)
    head = classifier.head.weight.clone()
    train(classifier, *digits.batch("train", range(50)), epochs=1, seed=0)
    moved = {name for name, value in vae.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if name.startswith("encoder.")}
    assert not torch.equal(classifier.head.weight, head)


def test_a_step_is_the_gradient_of_the_cross_entropy(vae, digits):
    images, labels = digits.batch("train", range(50))
    classifier = Classifier(vae, 10, seed=0)
    loss = torch.nn.functional.cross_entropy(classifier.head(vae.encode(images)), labels)
    gradient = torch.autograd.grad(loss, classifier.head.weight)[0]
    before = classifier.head.weight.clone()
    train(classifier, images, labels, epochs=1, seed=0)
    # Adam's first step has the size of the rate and the direction of each gradient's sign.
    significant = gradient.abs() > 1e-4
    assert torch.allclose((classifier.head.weight - before)[significant], -1e-3 * gradient.sign()[significant], atol=1e-5)


def test_enough_labels_are_learned_and_the_model_itself_stays_as_it_was(vae, digits):
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    few, many = (finetune(vae, digits, count, seeds=2, epochs=60, split="validation") for count in (10, 400))
    assert many["from scratch"]["mean"] > 0.85
    assert many["finetuned"]["mean"] > few["finetuned"]["mean"]
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())


def test_a_run_is_repeatable_and_leaves_the_global_generator_alone(vae, digits):
    state = torch.random.get_rng_state()
    first, second = (finetune(vae, digits, 20, seeds=2, epochs=2) for _ in range(2))
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_difference_is_paired_by_seed():
    assert summary([0.5, 0.7]) == {"mean": pytest.approx(0.6), "standard_deviation": pytest.approx(0.1 * np.sqrt(2)), "by_seed": [0.5, 0.7]}
    assert summary([0.5])["standard_deviation"] is None


class Thresholded(VAE):
    """Codes without a gradient."""

    def encode(self, images, *, labels=None):
        return (super().encode(images) > 0).float()


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        (DCGAN([1, 32, 32]), Digits(batch_size=8), "DCGAN has no encoder"),
        (VAE([1, 8, 8], num_bits=4, num_classes=10, conditional=True), Digits(batch_size=8), "leak"),
        (VAE([2], likelihood="Gaussian"), ToyDensity("two_moons", batch_size=8), "two_moons has no class labels"),
        (lost(VAE([1, 8, 8], num_bits=4)), Digits(batch_size=8), "VAE: some of its weights are NaN or infinite"),
        (VAE([1, 8, 8], num_bits=4), Digits(batch_size=8, only_classes=[3]), "all training images are of class 3"),
        (Thresholded([1, 8, 8], num_bits=4), Digits(batch_size=8), "no gradient reaches the encoder of Thresholded"),
    ],
)
def test_what_cannot_be_finetuned_is_refused(model, data, words):
    with pytest.raises(UserError, match=words):
        finetune(model, data, 20, seeds=1, epochs=1)
