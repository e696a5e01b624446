"""The step on which a run failed is replayed with the same batch and noise, and float64 says whose fault it was."""

import math

import pytest
import torch

from lightning_gen.analysis.nonfinite import KEY, failure_file, last_good_checkpoint, read_failure, replay
from lightning_gen.bijections.coupling import Coupling
from lightning_gen.callbacks.nonfinite import NonFinite
from lightning_gen.errors import NonFiniteLossError, UserError
from lightning_gen.models import GAN, VAE, RealNVP
from lightning_gen.noise import StepNoise


def flow(log_scale=0.0):
    """A flow of 8x8 images whose second coupling stretches by a log-scale."""
    model = RealNVP([1, 8, 8], width=4, num_blocks=1, num_scales=1, normalization="ActNorm")
    model.data_initialized = True  # an ActNorm would undo it
    coupling = [layer for layer in model.modules() if isinstance(layer, Coupling)][1]
    with torch.no_grad():
        coupling.transform.gain.fill_(log_scale)
        [weight for name, weight in coupling.network.named_parameters() if name.endswith("bias")][-1].fill_(20.0)
    return model


def vae(weight=3e38):
    """A VAE whose decoder multiplies by a number."""
    model = VAE([1, 8, 8], latent_dim=2)
    with torch.no_grad():
        model.decoder.layers[2].weight.fill_(weight)
    return model


@pytest.fixture
def failed(tiny, fit, tmp_path):
    """Train until the failure; the message and the replay."""

    def run(model, batches=3, **options):
        with pytest.raises(NonFiniteLossError) as caught:
            fit(model, tiny(), batches=batches, callbacks=[NonFinite()], default_root_dir=tmp_path, **options)
        return str(caught.value), replay(*read_failure(str(tmp_path)))

    return run


SECOND = "bijection 'bijection.bijections.1.bijections.2' (Coupling)"


def test_an_overflow_of_float32_alone_is_told_from_float64(failed, tmp_path):
    message, found = failed(flow(100.0))
    assert f"first in {SECOND} at its 'transform'" in message
    assert "|log-scale| up to 100" in message
    assert "\n" not in message
    assert message.endswith(f"replay it with: lightning-gen debug {tmp_path}")
    assert found.verdict.startswith(f"float64 is finite: the float32 overflow is in {SECOND} at its 'transform'")
    row = next(row for row in found.double.trace.rows() if row.name == "bijection.bijections.1.bijections.2")
    assert (row.finite, row.finite_gradient, row.log_scale) == (True, True, 100.0)
    assert not found.single.trace.layers[row.name].finite
    assert row.high > math.exp(88)


def test_what_is_no_number_in_float64_either_is_named(failed):
    _, found = failed(flow(1000.0))
    assert found.verdict.startswith(f"not finite in float64 either: first in {SECOND} at its 'transform'")
    assert "|log-scale| up to 1e+03" in found.verdict


def test_a_loss_that_overflows_behind_all_layers_names_the_bijection_of_the_largest_values(failed):
    message, found = failed(flow(60.0))
    assert "all parameters and layers are finite; the largest values, up to " in message
    assert found.verdict.startswith("float64 is finite: the float32 overflow is in the loss itself (the largest values, up to ")
    assert SECOND in message


def test_the_replay_draws_the_noise_of_the_step_in_both_types(failed, tmp_path, save):
    failed(flow(100.0))
    file, content = read_failure(str(tmp_path))
    good = flow()
    save(good, "good.ckpt")
    found = replay(file, content, tmp_path / "good.ckpt")
    batch = content[KEY]["images"], content[KEY]["labels"]
    expected = good.train().validation_terms(batch, StepNoise(16, seed=0, step=1))
    assert found.single.terms == {name: term.item() for name, term in expected.items()}
    assert found.double.terms == pytest.approx(found.single.terms, rel=1e-5)


def test_weights_that_are_no_numbers_are_named(failed):
    model = flow()
    with torch.no_grad():
        model.bijection.bijections[1].bijections[3].shift[0] = math.nan
    message, found = failed(model)
    assert "(parameter 'bijection.bijections.1.bijections.3.shift' is not finite)" in message
    assert found.bad_weights == ["bijection.bijections.1.bijections.3.shift"]
    assert found.verdict == "weights are already non-finite: 'bijection.bijections.1.bijections.3.shift'"


def test_of_other_models_the_layer_is_named(failed):
    message, found = failed(vae())
    assert "(first in layer 'decoder.layers." in message
    assert found.verdict.startswith("float64 is finite: the float32 overflow is in layer 'decoder.layers.")
    assert "decoder.layers.2" in [row.name for row in found.double.trace.rows()]


def test_a_model_of_two_optimisers_too(failed):
    model = GAN([1, 8, 8], latent_dim=2, hidden=[4])
    with torch.no_grad():
        for weight in model.generator.parameters():
            weight.fill_(3e38)
    _, found = failed(model)
    assert found.verdict.startswith("float64 is finite: the float32 overflow is in layer 'generator.")


def test_a_finite_loss_with_a_bad_gradient_stops_before_the_update(failed):
    """The square root of a variance of zero: the loss has a value there, and no slope."""
    model = flow()
    coupling = model.bijection.bijections[1].bijections[0]
    coupling.transform.register_forward_hook(lambda layer, inputs, output: (output[0] + torch.sqrt(output[1] * 0), output[1]))
    message, _ = failed(model)
    assert message.startswith("the gradient of 'bijection.")
    assert "all values are finite, the gradient first fails in bijection 'bijection.bijections.1.bijections.0' (Coupling)" in message
    assert all(weight.isfinite().all() for weight in model.parameters())


def test_the_file_is_plain_data_and_small(failed, tmp_path):
    model = flow(100.0)
    model.create_ema()
    failed(model)
    content = torch.load(failure_file(tmp_path), weights_only=True)
    assert content[KEY]["images"].shape == (16, 1, 8, 8)
    assert content[KEY]["images"].dtype == torch.uint8
    assert [*content[KEY]["draws"]] == ["uniform dequantize"]
    assert not any(name.startswith("ema.") for name in content["state_dict"])
    assert "optimizer_states" not in content


def test_a_replay_of_the_last_good_checkpoint_stands_beside_it(failed, tmp_path, save):
    good = flow(100.0)
    bad = flow(100.0)
    with torch.no_grad():
        bad.bijection.bijections[1].bijections[3].shift[0] = math.nan
    (tmp_path / "checkpoints").mkdir()
    bad.guard.last_checkpoint = "/moved/away/checkpoints/last.ckpt"
    failed(bad)
    file, content = read_failure(str(tmp_path))
    assert last_good_checkpoint(file, content) is None
    save(good, "checkpoints/last.ckpt")
    checkpoint = last_good_checkpoint(file, content)
    assert checkpoint == tmp_path / "checkpoints" / "last.ckpt"
    found = replay(file, content, checkpoint)
    assert (found.weights, found.bad_weights) == ("checkpoint", [])
    assert found.verdict.startswith(f"float64 is finite: the float32 overflow is in {SECOND}")


def test_where_nothing_fails_any_more_the_verdict_says_so(failed, tmp_path, save):
    failed(flow(100.0))
    file, content = read_failure(str(tmp_path))
    save(flow(), "good.ckpt")
    assert replay(file, content, tmp_path / "good.ckpt").verdict.startswith("float32 is finite here")


@pytest.mark.parametrize(
    ("name", "words"), [("", "no debug/nonfinite.pt"), ("missing", "no such run folder"), ("model.ckpt", "got a checkpoint")]
)
def test_what_is_no_failed_run_is_one_line(name, words, tmp_path, save):
    save(flow())
    with pytest.raises(UserError, match=words):
        read_failure(str(tmp_path / name))
