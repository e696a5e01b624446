"""What a job script sees of SLURM, in one process tree on this machine: the commands ``sbatch``, ``srun`` and ``scontrol``.

``sbatch`` reads the directives of the script and runs it to the end, again each time it was requeued. The time is nearly up, once, when a
file appears that matches ``FAKE_SLURM_TIME_IS_UP``; then the signal of ``--signal`` goes to the script alone with ``B:``, otherwise to the
processes of the step. ``FAKE_SLURM_CANCEL`` is the same for a job that is cancelled: SIGTERM to the processes.
"""

from __future__ import annotations

import glob
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

JOB = "4242"


def sbatch(arguments: list[str]) -> int:
    """Run a job until it is not requeued any more; the exit code of its last run."""
    options, script, rest = split_arguments(arguments)
    options = directives(pathlib.Path(script).read_text()) | options
    for restart in range(5):
        code = run_script([script, *rest], options, job_variables(options) | {"SLURM_RESTART_COUNT": str(restart)})
        if not (state() / "requeue").exists():
            return code
        assert "requeue" in options, "SLURM does not requeue a job without --requeue"
        (state() / "requeue").unlink()
    raise AssertionError("requeued again and again")


def split_arguments(arguments: list[str]) -> tuple[dict[str, str], str, list[str]]:
    """The options of sbatch before the script, the script, and the script's own arguments."""
    options: dict[str, str] = {}
    words = [*arguments]
    while words[0].startswith("--"):
        name, value = words[:2]
        options[name.removeprefix("--")] = value
        words = words[2:]
    return options, words[0], words[1:]


def directives(script: str) -> dict[str, str]:
    """The ``#SBATCH`` lines, which end at the first command."""
    head = re.split(r"^[^#\n]", script, maxsplit=1, flags=re.MULTILINE)[0]
    return {name: value for name, value in re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", head, flags=re.MULTILINE)}


def job_variables(options: dict[str, str]) -> dict[str, str]:
    """What SLURM tells a job of itself."""
    nodes, tasks = int(options["nodes"]), int(options["ntasks-per-node"])
    variables = {"JOB_ID": JOB, "JOB_NAME": options["job-name"], "JOB_NUM_NODES": nodes, "NNODES": nodes, "NTASKS": nodes * tasks}
    variables |= {"NTASKS_PER_NODE": tasks, "CPUS_PER_TASK": options["cpus-per-task"], "NODELIST": "127.0.0.1"}
    if "array" in options:
        variables["ARRAY_TASK_ID"] = options["array"]
    return {f"SLURM_{name}": str(value) for name, value in variables.items()}


def run_script(command: list[str], options: dict[str, str], variables: dict[str, str]) -> int:
    """One run of the script, with the signals that are due."""
    process = subprocess.Popen(["bash", *command], env=os.environ | variables)
    target, _, rest = options["signal"].rpartition(":")
    due = {
        "FAKE_SLURM_TIME_IS_UP": (signal.Signals[f"SIG{rest.partition('@')[0]}"], target == "B"),
        "FAKE_SLURM_CANCEL": (signal.SIGTERM, False),
    }
    while process.poll() is None:
        for variable, (number, script_alone) in due.items():
            sent = state() / variable
            if not sent.exists() and glob.glob(os.environ.get(variable, "")):
                sent.touch()
                for pid in [process.pid] if script_alone else running_tasks():
                    os.kill(pid, number)
        time.sleep(0.02)
    return process.returncode


def srun(arguments: list[str]) -> int:
    """Start the tasks, hand on the signals, and return the highest exit code, 128 + n for one that signal n ended."""
    command = arguments[next(index for index, word in enumerate(arguments) if not word.startswith("--")) :]
    tasks: list[subprocess.Popen[bytes]] = []
    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, lambda received, frame: [task.send_signal(received) for task in tasks])
    for number in range(int(os.environ["SLURM_NTASKS"])):
        tasks.append(subprocess.Popen(command, env=os.environ | task_variables(number)))
    (state() / "tasks").write_text(" ".join(str(task.pid) for task in tasks))
    codes = [task.wait() for task in tasks]
    return max(code if code >= 0 else 128 - code for code in codes)


def task_variables(number: int) -> dict[str, str]:
    """What SLURM tells a task of itself."""
    node, local = divmod(number, int(os.environ["SLURM_NTASKS_PER_NODE"]))
    return {"SLURM_PROCID": str(number), "SLURM_LOCALID": str(local), "SLURM_NODEID": str(node)}


def running_tasks() -> list[int]:
    return [int(pid) for pid in (state() / "tasks").read_text().split()]


def scontrol(arguments: list[str]) -> int:
    """Note that the job is to run again."""
    assert arguments == ["requeue", JOB]
    (state() / "requeue").touch()
    return 0


def state() -> pathlib.Path:
    """The folder in which the commands meet."""
    return pathlib.Path(os.environ["FAKE_SLURM"])


def main() -> None:
    """The command by whose name this was called."""
    sys.exit({"sbatch": sbatch, "srun": srun, "scontrol": scontrol}[pathlib.Path(sys.argv[0]).name](sys.argv[1:]))
