"""``fit --resume`` continues a run and refuses to become another one; ``fit --init_from`` takes over weights and says which."""

import shutil

import pytest
import torch
import yaml
from cli_runs import QUIET, SMOKE, cut_in_half, records

from lightning_gen.checkpoint import images_seen, load_model

RESUMED = (*QUIET, "--final.enabled=false")


def seen(folder):
    return images_seen(folder / "checkpoints" / "last.ckpt")


def test_a_finished_run_continues_to_a_larger_budget_in_its_own_folder(execute, vae_copy):
    outcome = execute("fit", "--resume", vae_copy, "--budget.images", "512", *QUIET)
    assert outcome.code == 0
    assert outcome.folder == vae_copy
    assert seen(vae_copy) == 512
    assert yaml.safe_load((vae_copy / "config.yaml").read_text())["budget"] == {"images": 512}
    assert {record["cost"]["images_seen"] for record in records(vae_copy)} == {256, 512}


def test_an_interrupted_and_continued_run_is_the_uninterrupted_one(fit, execute):
    whole = fit("dcgan_digits", *RESUMED, "--budget.images=384", "--ema.half_life_images=100").folder
    parts = fit("dcgan_digits", *RESUMED, "--budget.images=192", "--ema.half_life_images=100").folder
    assert execute("fit", "--resume", parts, "--budget.images=384").code == 0
    one, other = (torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for folder in (whole, parts))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_budget_that_is_spent_trains_no_further(execute, vae_copy):
    before = (vae_copy / "checkpoints" / "last.ckpt").read_bytes()
    assert execute("fit", "--resume", vae_copy, *RESUMED).code == 0
    assert torch.equal(
        load_model(vae_copy / "checkpoints" / "last.ckpt").decoder.layers[0].weight,
        torch.load(_written(vae_copy, before), weights_only=True)["state_dict"]["decoder.layers.0.weight"],
    )
    assert seen(vae_copy) == 256


def _written(folder, content):
    (folder / "before.ckpt").write_bytes(content)
    return folder / "before.ckpt"


@pytest.mark.parametrize(
    "options",
    [
        ["--data.root", "/tmp"],
        ["--wandb", "off"],
        ["--config", "overlays/smoke"],
        ["--model.latent_dim", "16"],
        ["--checkpoints.every_images", "64"],
    ],
)
def test_what_describes_no_other_experiment_may_change(execute, vae_copy, options):
    assert execute("fit", "--resume", vae_copy, *RESUMED, *options).code == 0


@pytest.mark.parametrize(
    ("options", "key", "before", "now"),
    [
        (["--model.latent_dim", "8"], "model.init_args.latent_dim", "16", "8"),
        (["--model.likelihood", "Gaussian"], "model.init_args.likelihood", "DiscretizedLogistic", "Gaussian"),
        (["--model", "DCGAN"], "model.class_path", "VAE", "DCGAN"),
        (["--data.batch_size", "32"], "data.init_args.batch_size", "64", "32"),
        (["--data.num_bits", "3"], "data.init_args.num_bits", "None", "3"),
        (["--seed_everything", "3"], "seed_everything", "0", "3"),
        (["--ema.half_life_images", "100"], "ema.half_life_images", "0", "100"),
        (["--training_noise", "indexed"], "training_noise", "'step'", "'indexed'"),
    ],
)
def test_a_contradiction_is_refused_by_name_with_both_values(refused, vae_copy, options, key, before, now):
    config = (vae_copy / "config.yaml").read_bytes()
    refused(["fit", "--resume", vae_copy, *options], f"--resume: {key}", before, now)
    assert (vae_copy / "config.yaml").read_bytes() == config
    assert seen(vae_copy) == 256


def test_a_missing_folder_and_one_without_a_checkpoint_are_refused(refused, vae_copy, tmp_path):
    refused(["fit", "--resume", tmp_path / "nowhere"], "--resume", "nowhere", "not a run folder")
    refused(["fit", "--resume", vae_copy / "checkpoints" / "last.ckpt"], "not a run folder")
    shutil.rmtree(vae_copy / "checkpoints")
    refused(["fit", "--resume", vae_copy], str(vae_copy), "checkpoints/last.ckpt")


def test_a_checkpoint_cut_in_half_is_named_and_the_best_one_is_untouched(refused, vae_copy):
    best = (vae_copy / "checkpoints" / "best.ckpt").read_bytes()
    cut_in_half(vae_copy / "checkpoints" / "last.ckpt")
    refused(["fit", "--resume", vae_copy, "--budget.images=512"], "last.ckpt", "cut short")
    assert (vae_copy / "checkpoints" / "best.ckpt").read_bytes() == best
    assert load_model(vae_copy / "checkpoints" / "best.ckpt").images_seen > 0


def test_resume_and_init_from_exclude_each_other(refused, vae_run):
    refused(["fit", "--resume", vae_run, "--init_from", vae_run], "either --resume or --init_from")


def test_a_warm_start_reports_a_full_match(fit, vae_run):
    outcome = fit("vae_digits", "--init_from", vae_run, *RESUMED, "--budget.images=64")
    assert "--init_from: took 12 of 12 weights (6 of encoder, 6 of decoder)\n" in outcome.err
    assert seen(outcome.folder) == 64


def test_a_warm_start_begins_at_the_other_runs_weights(fit, vae_run):
    outcome = fit("vae_digits", "--init_from", vae_run / "checkpoints" / "last.ckpt", *RESUMED, "--checkpoints.untrained=true")
    start = torch.load(outcome.folder / "checkpoints" / "untrained.ckpt", weights_only=True)["state_dict"]
    source = torch.load(vae_run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(start[name], source[name]) for name in source)


def test_a_partial_match_names_what_was_not_taken(fit, vae_run):
    outcome = fit("vae_digits", "--init_from", vae_run, "--model.latent_dim=8", *RESUMED, "--budget.images=64")
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("--init_from")]
    assert line.startswith("--init_from: took 9 of 12 weights (4 of encoder, 5 of decoder); not there in this shape: ")
    missing, _, unused = line.partition("shape: ")[2].partition("; there but of no use: ")
    assert unused.startswith("3 (such as ")
    assert set(missing.split(", ")) == {"encoder.layers.4.weight", "encoder.layers.4.bias", "decoder.layers.0.weight"}


def test_a_warm_start_names_the_first_weights_that_it_lacks_and_counts_the_others(fit, vae_run):
    outcome = fit("vae_digits", "--init_from", vae_run, "--model.encoder={class_path: MLPEncoder, hidden: [9, 8]}", *RESUMED)
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("--init_from")]
    named = "encoder.layers.0.weight, encoder.layers.0.bias, encoder.layers.2.weight"
    assert f"took 7 of 12 weights (1 of encoder, 6 of decoder); not there in this shape: {named} and 2 more; " in line


def test_a_warm_start_from_another_class_says_so(fit, vae_run):
    outcome = fit("vae_digits", "--model=IWAE", "--init_from", vae_run, *RESUMED, "--budget.images=64")
    assert "--init_from: took 12 of 12 weights from VAE (6 of encoder, 6 of decoder)\n" in outcome.err


def test_a_warm_start_without_any_match_is_refused_before_a_folder_is_made(refused, vae_run, tmp_path):
    argv = ["fit", "--config", "dcgan_digits", *SMOKE, "--runs", tmp_path / "runs", "--init_from", vae_run]
    refused(argv, "--init_from", "no weight matches")
    assert not (tmp_path / "runs").exists()


def test_a_warm_start_from_nothing_is_refused(refused, tmp_path):
    refused(["fit", "--config", "vae_digits", *SMOKE, "--init_from", tmp_path / "nowhere"], "nowhere", "neither a checkpoint")
