"""The recipes of docs/launching.md and the job script do on this machine what they do on many."""

import os
import pathlib
import re
import shutil
import signal
import sys
import time

import pytest
from launches import MARK, ROOT, descendants, environment, free_port, install_commands, launched, run_to_the_end, write_command

from lightning_gen.configs import find_config

PAGE = (ROOT / "docs" / "launching.md").read_text()
JOB_SCRIPT = ROOT / "docs" / "slurm" / "fit.sbatch"
LAST = "runs/slurm-4242/*/*/checkpoints/last.ckpt"
QUIET = [f"--{group}.every_images=0" for group in ("evaluation", "latents", "samples", "reconstructions", "explore")]

STAND_IN = """
import os, pathlib, signal, sys, time

with open("calls", "a") as calls:
    print(*sys.argv[1:], file=calls)
if "--resume" in sys.argv:
    sys.exit(0)
code = os.environ["ON_SIGNAL"]
if code == "none":
    sys.exit(0)
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL if code == "die" else lambda *_: os._exit(int(code)))
folder = pathlib.Path(sys.argv[sys.argv.index("--runs") + 1]) / "vae" / "run" / "checkpoints"
folder.mkdir(parents=True, exist_ok=True)
(folder / "last.ckpt").touch()
time.sleep(60)
"""
"""In the place of ``lightning-gen``: it trains until a signal comes, and then exits with a code or dies of it; or it does nothing."""


@pytest.fixture
def commands(tmp_path):
    """A folder of commands, to come first in PATH."""
    install_commands(tmp_path / "bin")
    return tmp_path / "bin"


@pytest.fixture
def slurm(commands, tmp_path):
    """The variables of a machine on which ``sbatch`` is our own."""
    for name in ("sbatch", "srun", "scontrol"):
        write_command(commands / name, f"import sys\nsys.path.append({str(ROOT / 'tests')!r})\nimport fake_slurm\n\nfake_slurm.main()")
    (tmp_path / "state").mkdir()
    return environment(commands, {"FAKE_SLURM": str(tmp_path / "state"), "MASTER_PORT": str(free_port())})


def submit(folder, variables, *arguments, seconds=30, options=()):
    """``sbatch`` the job script; its exit code and output."""
    return run_to_the_end(["sbatch", *options, str(JOB_SCRIPT), *arguments], folder, variables, seconds)


def images_seen(checkpoint):
    from lightning_gen.checkpoint import images_seen  # torch: for the slow tests alone

    return images_seen(checkpoint)


def calls(folder):
    return (folder / "calls").read_text().splitlines()


@pytest.fixture
def stand_in(slurm, commands, tmp_path):
    """``stand_in(on_signal, when, *options)``: submit a job whose training is a stand-in, and give it a signal."""
    write_command(commands / "lightning-gen", STAND_IN)

    def run(on_signal, when="FAKE_SLURM_TIME_IS_UP", options=()):
        return submit(tmp_path, slurm | {"ON_SIGNAL": on_signal, when: LAST}, "--config", "vae", options=options)

    return run


@pytest.mark.parametrize("on_signal", ["75", "die"])
def test_a_job_whose_time_is_up_is_requeued_and_continues_its_run(on_signal, stand_in, tmp_path):
    code, output = stand_in(on_signal)
    assert code == 0, output
    first, second = calls(tmp_path)
    assert first == "fit --config vae --runs runs/slurm-4242 --trainer.devices 1 --trainer.num_nodes 1"
    assert second == "fit --resume runs/slurm-4242/vae/run --trainer.devices 1 --trainer.num_nodes 1"


@pytest.mark.parametrize(
    ("on_signal", "when"), [("2", "FAKE_SLURM_TIME_IS_UP"), ("3", "FAKE_SLURM_TIME_IS_UP"), ("75", "FAKE_SLURM_CANCEL")]
)
def test_a_job_that_failed_or_was_cancelled_is_not_requeued(on_signal, when, stand_in, tmp_path):
    code, output = stand_in(on_signal, when)
    assert (code, len(calls(tmp_path))) == (int(on_signal), 1), output


def test_an_array_of_jobs_is_one_of_seeds_and_a_continued_job_keeps_its_own(stand_in, tmp_path):
    code, output = stand_in("75", options=["--array", "3"])
    assert code == 0, output
    first, second = calls(tmp_path)
    assert "--seed_everything 3" in first
    assert "seed" not in second


def test_options_of_sbatch_reach_the_trainer(stand_in, tmp_path):
    code, output = stand_in("none", options=["--nodes", "2", "--ntasks-per-node", "3"])
    assert code == 0, output
    assert [call.partition(" --trainer")[2] for call in calls(tmp_path)] == [".devices 3 --trainer.num_nodes 2"] * 6


def test_nothing_outlives_a_launch_not_even_in_a_session_of_its_own(commands, tmp_path):
    variables = environment(commands, {})
    with launched(["bash", "-c", "setsid sleep 300 & echo $!; wait"], tmp_path, variables) as process:
        child = int(process.stdout.readline())
        assert child in descendants(variables[MARK])
    assert not descendants(variables[MARK])
    assert process.returncode == -9


# With real trainings.


@pytest.mark.slow(reason="two jobs of two processes that import Lightning: a minute and more")
@pytest.mark.parametrize("shape", [["--nodes", "2"], ["--ntasks-per-node", "2"]], ids=["two nodes", "one node"])
def test_two_processes_under_slurm_save_themselves_and_end_as_one_run(shape, slurm, tmp_path):
    experiment = ["--config", "dcgan_digits", "--config", "overlays/smoke", *QUIET, "--trainer.accelerator", "cpu"]
    experiment += ["--budget.images", "12800", "--checkpoints.every_images", "640"]
    code, output = submit(tmp_path, slurm | {"FAKE_SLURM_TIME_IS_UP": LAST}, *experiment, options=shape, seconds=600)
    assert code == 0, output
    assert "requeue: job 4242 was told to go (exit code 75)" in output
    (checkpoint,) = tmp_path.glob(LAST)
    saved = [int(count) for count in re.findall(r"told to stop; saved at (\d+) images", output)]
    assert len(saved) == 2, "each process says so"
    assert 0 < saved[0] == saved[1] < 12800 == images_seen(checkpoint)
    assert [*checkpoint.parent.parent.glob("results/*.result.json")]


def launches(mark):
    """The recipes of the page that are run here, one shell script each."""
    return re.findall(rf"^```bash {mark}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.slow(reason="starts two processes that import Lightning: half a minute")
@pytest.mark.parametrize("mark", ["machine", "nodes"])
def test_two_processes_of_the_page_train_one_run(mark, commands, tmp_path):
    (script,) = launches(mark)
    script = script.replace("29500", str(free_port()))
    code, output = run_to_the_end(["bash", "-ec", script], tmp_path, environment(commands, {}), 600)
    assert code == 0, output
    (checkpoint,) = tmp_path.glob("runs/*/*/checkpoints/last.ckpt")
    assert images_seen(checkpoint) == 256
    assert [*checkpoint.parent.parent.glob("results/*.result.json")]


def test_the_page_names_files_and_configurations_that_exist():
    assert all(find_config(name).is_file() for name in re.findall(r"--config ([\w/]+)", PAGE))
    assert re.findall(r"\]\((slurm/[\w.]+)\)", PAGE)
    assert shutil.which("bash")


@pytest.fixture
def ray_variables(commands, tmp_path):
    """The variables for the recipe of the page, which lies in the folder."""
    pytest.importorskip("ray")
    (script,) = re.findall(r"^```python file=ray_train.py\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "ray_train.py").write_text(script)
    quiet = {"RAY_TMPDIR": "/tmp", "RAY_USAGE_STATS_ENABLED": "0", "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600"}
    return environment(commands, quiet | {"CUDA_VISIBLE_DEVICES": "", "HOME": str(tmp_path)})


def command_line(pid):
    """What a process is called; empty when it is gone."""
    try:
        return pathlib.Path("/proc", str(pid), "cmdline").read_bytes()
    except OSError:
        return b""


def wait_for(find, process, seconds=300):
    """What ``find`` finds, while a process runs."""
    end = time.monotonic() + seconds
    while not (found := find()):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


@pytest.mark.slow(reason="starts Ray, and twice two workers that import Lightning: four minutes where processors are busy")
def test_a_worker_of_ray_that_is_killed_is_started_again_and_the_run_continues(ray_variables, tmp_path):
    (tmp_path / "longer.yaml").write_text("budget: {images: 6400}\ncheckpoints: {every_images: 640}\n")
    command = [sys.executable, "ray_train.py", "pair", "2", "dcgan_digits", "overlays/smoke", "longer.yaml"]
    with launched(command, tmp_path, ray_variables) as process:
        (checkpoint,) = wait_for(lambda: [*tmp_path.glob("runs/ray/pair/*/*/checkpoints/last.ckpt")], process)
        victim = next(pid for pid in descendants(ray_variables[MARK]) if b"TrainWorker" in command_line(pid))
        os.kill(victim, signal.SIGKILL)
        before = images_seen(checkpoint)
        output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output
    (run,) = tmp_path.glob("runs/ray/pair/*/*")
    assert before < 6400 == images_seen(run / "checkpoints" / "last.ckpt")


@pytest.mark.slow(reason="starts Ray twice, with two workers that import Lightning: two minutes")
def test_two_workers_of_ray_train_one_run_and_continue_it(ray_variables, tmp_path):
    for attempt in range(1, 3):
        command = [sys.executable, "ray_train.py", "pair", "2", "dcgan_digits", "overlays/smoke"]
        code, output = run_to_the_end(command, tmp_path, ray_variables, 600)
        assert code == 0, output
        (checkpoint,) = tmp_path.glob("runs/ray/pair/*/*/checkpoints/last.ckpt")
        assert images_seen(checkpoint) == 256
        assert len([*checkpoint.parent.parent.glob("results/*-last-*.result.json")]) == attempt
