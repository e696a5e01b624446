"""Stands for ``fit`` in the tests of sweeps: counts steps instead of training, saves itself when it is told to stop, and can be continued.

Its options: ``--steps=N``, ``--fail=LINE`` (says so and fails), ``--deaf=true`` (does not hear SIGTERM), ``--save=false`` (cannot save).
"""

import json
import os
import pathlib
import signal
import sys
import time
import uuid
import zipfile

from lightning_gen.cli.sweep_process import stop_with_parent

STEP_SECONDS = 0.02


def options(words):
    return dict(word.removeprefix("--").split("=", 1) for word in words if "=" in word)


def main(words):
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(True))
    stop_with_parent()
    resumed = words[words.index("--resume") + 1] if "--resume" in words else None
    if resumed:
        run = pathlib.Path(resumed)
    else:
        run = pathlib.Path(words[words.index("--runs") + 1]) / "fake" / f"{time.time_ns()}-{uuid.uuid4().hex[:6]}"
        (run / "checkpoints").mkdir(parents=True)
        variables = {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "WANDB_RUN_GROUP")}
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        (run / "config.json").write_text(json.dumps(options(words) | {"environment": variables, "cores": cores}))
    config = json.loads((run / "config.json").read_text())
    with (run / "sessions").open("a") as sessions:
        sessions.write(f"{os.getpid()}\n")
    if "fail" in config:
        print(f"lightning-gen: error: {config['fail']}", file=sys.stderr)
        return 2
    return count(run, config, told)


def count(run, config, told):
    checkpoint = run / "checkpoints" / "last.ckpt"
    step = json.loads(zipfile.ZipFile(checkpoint).read("step")) if checkpoint.is_file() else 0
    while step < int(config.get("steps", 1)):
        if told and "deaf" not in config:
            if "save" not in config:
                save(checkpoint, step)
            return 75
        time.sleep(STEP_SECONDS)
        step += 1
        with (run / "steps").open("a") as steps:
            steps.write(f"{step}\n")
        print(f"{step} steps", flush=True)
    save(checkpoint, step)
    return 0


def save(checkpoint, step):
    partial = checkpoint.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w") as file:
        file.writestr("step", json.dumps(step))
    os.replace(partial, checkpoint)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
