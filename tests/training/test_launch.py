"""What a launch needs: as many processes as were started, a strategy and a precision that the model can take, a batch that they divide."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from training_runs import DCGAN_RUN, QUIET, SILENT, VAE_RUN, content, different, fit_command, only_run

from lightning_gen.cli.fit import resolve_configs
from lightning_gen.cli.launch import check_launch, choose_strategy, expected_processes, refuse_settings
from lightning_gen.configs import BASE
from lightning_gen.errors import UserError
from lightning_gen.models import GAN, VAE


def experiment(*options):
    from lightning_gen.cli.experiment import Experiment

    return Experiment(["--config", str(BASE), *resolve_configs([*options, "--trainer.accelerator=cpu"])[0]], "test")


@pytest.mark.parametrize("launched", ["1", "2", "16"])
def test_a_launch_of_more_or_fewer_processes_than_the_trainer_uses_is_refused(launched, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", launched)
    with pytest.raises(UserError, match=rf"trainer\.devices: the launcher started {launched} processes but the trainer uses 4"):
        check_launch(SimpleNamespace(world_size=4))
    check_launch(SimpleNamespace(world_size=int(launched)))
    monkeypatch.delenv("WORLD_SIZE")
    check_launch(SimpleNamespace(world_size=4))


def test_two_single_runs_under_torchrun_are_refused_before_anything_is_written(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"each would train alone; expected --trainer\.strategy ddp"):
        experiment(*VAE_RUN, f"--runs={tmp_path}")
    assert not [*tmp_path.iterdir()]


def slurm(monkeypatch, tasks):
    variables = {"NTASKS": tasks, "JOB_NAME": "train", "JOB_ID": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)


def test_two_single_runs_under_slurm_are_refused(monkeypatch):
    slurm(monkeypatch, "2")
    with pytest.raises(UserError, match="the launcher started 2 processes but the trainer uses 1"):
        check_launch(SimpleNamespace(world_size=1))


def test_slurm_does_not_requeue_from_inside_the_signal_handler(monkeypatch):
    slurm(monkeypatch, "1")
    environment = experiment(*VAE_RUN).trainer._accelerator_connector.cluster_environment
    assert type(environment).__name__ == "SLURMEnvironment"
    assert not environment.auto_requeue


@pytest.mark.parametrize("precision", ["16-mixed", "16", 16])
def test_one_gradient_scaler_for_two_optimisers_is_refused(precision):
    with pytest.raises(UserError, match=rf"trainer\.precision: one scaler cannot serve two optimisers; expected .* got {precision}"):
        refuse_settings(GAN([2]), settings(precision=precision))
    refuse_settings(VAE([2]), settings(precision=precision))


@pytest.mark.parametrize(
    "change",
    [{"precision": "bf16-true"}, {"precision": "16-true"}, {"overfit_batches": 2}, {"default_root_dir": "elsewhere"}],
)
def test_settings_that_would_be_ignored_or_spoil_numbers_are_refused_for_every_model(change):
    for model in (GAN([2]), VAE([2])):
        with pytest.raises(UserError, match=f"trainer.{next(iter(change))}: .* expected"):
            refuse_settings(model, settings(**change))


@pytest.mark.parametrize("change", [{"gradient_clip_val": 0.5}, {"accumulate_grad_batches": 2}])
def test_settings_of_one_optimiser_are_refused_for_two(change):
    with pytest.raises(UserError, match=f"trainer.{next(iter(change))}: a model of alternating updates"):
        refuse_settings(GAN([2]), settings(**change))
    refuse_settings(VAE([2]), settings(**change))


@pytest.mark.parametrize(("devices", "count"), [("0,1", 2), ([0, 1, 2], 3), ("2", 2), (1, 1), ([0], 1), ("0,", 1)])
def test_devices_are_counted_as_lightning_counts_them(devices, count):
    assert expected_processes({"devices": devices, "accelerator": "cpu", "num_nodes": 1}) == count


def test_devices_that_are_no_devices_are_refused():
    with pytest.raises(UserError, match=r"trainer\.devices: expected a number, a list such as 0,1, or auto, got 'two'"):
        expected_processes({"devices": "two", "accelerator": "cpu", "num_nodes": 1})


def settings(**changes):
    return {
        "precision": "32-true",
        "overfit_batches": 0.0,
        "default_root_dir": None,
        "gradient_clip_val": None,
        "accumulate_grad_batches": 1,
        **changes,
    }


def test_the_command_line_refuses_fp16_for_gans_and_takes_bf16():
    with pytest.raises(UserError, match=r"trainer\.precision: one scaler .* got 16-mixed"):
        experiment(*DCGAN_RUN, "--trainer.precision=16-mixed")
    assert experiment(*DCGAN_RUN, "--trainer.precision=bf16-mixed").trainer.precision == "bf16-mixed"


def finds_unused(trainer):
    return trainer.strategy._ddp_kwargs.get("find_unused_parameters", False)


@pytest.mark.parametrize("strategy", ["auto", "ddp"])
def test_alternating_updates_get_the_strategy_that_they_need(strategy):
    flags = ["--trainer.devices=2", f"--trainer.strategy={strategy}"]
    assert finds_unused(experiment(*DCGAN_RUN, *flags).trainer)
    assert not finds_unused(experiment(*VAE_RUN, *flags).trainer)


def test_a_strategy_that_the_user_chose_stays():
    settings = {"strategy": "fsdp", "devices": 2, "num_nodes": 1, "accelerator": "cpu"}
    assert choose_strategy(GAN([2]), settings) == "fsdp"
    for change, chosen in (({"devices": 1}, "auto"), ({"devices": 1, "num_nodes": 2}, "ddp_find_unused_parameters_true")):
        assert choose_strategy(GAN([2]), settings | {"strategy": "auto"} | change) == chosen
    for devices in (2, "2", [0, 1]):
        assert choose_strategy(GAN([2]), settings | {"strategy": "auto", "devices": devices}) == "ddp_find_unused_parameters_true"


def test_plain_ddp_would_refuse_alternating_updates(pool):
    """Why the strategy is chosen: if this ever passes, the choice is no longer needed."""
    assert pool(plain_ddp, world_size=2) == [True, True]


def plain_ddp(rank, world_size):
    import training_runs

    training_runs.choose_strategy = lambda model, settings: "ddp"
    try:
        with pytest.raises(RuntimeError, match=r"Expected to have finished reduction|parameters that were not used"):
            training_runs.train(training_runs.Recipe(GAN, {"hidden": [4], "latent_dim": 2}), world_size, 64)
    finally:
        training_runs.choose_strategy = choose_strategy
    return True


def test_a_batch_that_the_processes_do_not_divide_is_refused():
    with pytest.raises(UserError, match=r"data\.batch_size: expected a multiple of the 2 processes, got 65"):
        experiment(*VAE_RUN, "--trainer.devices=2", "--data.init_args.batch_size=65")


def torchrun(runs, *options):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0", "--rdzv-backend=c10d"]
    command += ["--rdzv-endpoint=localhost:0", "-m", "lightning_gen", "fit", *DCGAN_RUN, *QUIET, *SILENT, "--trainer.accelerator=cpu"]
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, f"--runs={runs}", "--budget.images=1000", *options], env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow(reason="two launches of two processes that import Lightning: about 40 s")
def test_torchrun_trains_together_or_not_at_all(pool, tmp_path):
    refused = torchrun(tmp_path / "refused")
    assert refused.returncode != 0
    assert refused.stderr.count("the launcher started 2 processes but the trainer uses 1") == 2
    assert not (tmp_path / "refused").exists()
    done = torchrun(tmp_path / "done", "--trainer.strategy=ddp", "--trainer.devices=2")
    assert done.returncode == 0, done.stderr
    pool(fit_command, [*DCGAN_RUN, *QUIET, *SILENT, f"--runs={tmp_path / 'pool'}", "--budget.images=1000"], world_size=2)
    first, second = (content(only_run(tmp_path / name) / "checkpoints" / "last.ckpt") for name in ("done", "pool"))
    assert different(first, second) == []
