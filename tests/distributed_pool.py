"""Processes that run functions as ranks of one gloo group; they live as long as the test session, since importing Lightning takes seconds.

``pool(function, *arguments, world_size=2)`` returns ``[function(rank, world_size, *arguments) for every rank]``. Every task has its own
process group (none for one process), a failure comes back with its traceback, and a task that hangs is killed when its time is over.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import functools
import itertools
import multiprocessing
import os
import pathlib
import pickle
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from typing import Any

SIZE = 4
PRELOADED = ("lightning_gen.cli.training", "lightning_gen.models.gans.dcgan", "lightning_gen.models.autoencoders.vae", "sklearn.datasets")
GRACE_SECONDS = 20.0
"""How long the other ranks may take to notice that one has failed."""


@functools.cache
def server() -> Any:
    """Where processes come from: a fork server that has imported Lightning once, hence starts another one in no time."""
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED])
    return context


class TaskError(Exception):
    """A rank has raised; the message holds its traceback, ``error`` is what it raised (None if that cannot be sent)."""

    def __init__(self, rank: int, text: str, error: BaseException | None) -> None:
        super().__init__(f"rank {rank} failed\n{text}")
        self.rank = rank
        self.error = error


class Pool:
    """Four processes that wait for tasks."""

    def __init__(self) -> None:
        self.workers: list[tuple[Any, Connection]] = []
        self.folder = tempfile.TemporaryDirectory(prefix="gloo-pool-")
        self.tasks = itertools.count()

    def __call__(self, function: Callable[..., Any], *arguments: Any, world_size: int = 1, seconds: float = 120.0) -> list[Any]:
        """The value of ``function(rank, world_size, *arguments)`` on every rank; the function has to be a module's."""
        self._start()
        ours = self.workers[:world_size]
        rendezvous = pathlib.Path(self.folder.name) / str(next(self.tasks))
        message = pickle.dumps((sys.path, pickle.dumps((function, arguments)), world_size, str(rendezvous), seconds))
        for _, connection in ours:
            connection.send_bytes(message)
        try:
            return _outcome(self._collect([connection for _, connection in ours], seconds))
        except TimeoutError:
            self.close()
            raise

    def _start(self) -> None:
        for rank in range(len(self.workers), SIZE):
            near, far = server().Pipe()
            process = server().Process(target=_work, args=(far, rank), daemon=True)
            process.start()
            far.close()
            self.workers.append((process, near))

    def _collect(self, connections: list[Connection], seconds: float) -> list[Any]:
        """The answers in the order of ranks."""
        answers: dict[int, Any] = {}
        end = time.monotonic() + seconds
        while len(answers) < len(connections):
            pending = [connection for rank, connection in enumerate(connections) if rank not in answers]
            ready = wait(pending, max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError(f"ranks {[rank for rank in range(len(connections)) if rank not in answers]} have not finished in time")
            for connection in ready:
                rank = connections.index(connection)
                answers[rank] = self._receive(rank, connection)
                if answers[rank][0] == "error":
                    end = min(end, time.monotonic() + GRACE_SECONDS)
        return [answers[rank] for rank in range(len(connections))]

    def _receive(self, rank: int, connection: Connection) -> Any:
        try:
            return pickle.loads(connection.recv_bytes())
        except EOFError:
            process = self.workers[rank][0]
            process.join(1)
            self.close()
            raise RuntimeError(f"rank {rank} has died (exit code {process.exitcode})") from None

    def close(self) -> None:
        """End the processes; the next task starts new ones."""
        for process, connection in self.workers:
            connection.close()
            process.kill()
            process.join()
        self.workers = []


def _outcome(answers: list[Any]) -> list[Any]:
    """The values of all ranks, or the first error that is not merely another rank's disappearance."""
    failures = [(rank, *content) for rank, (kind, content) in enumerate(answers) if kind == "error"]
    if failures:
        failures.sort(key=lambda failure: "Connection closed by peer" in failure[1] or "gloo" in failure[1])
        raise TaskError(*failures[0])
    return [content for _, content in answers]


@functools.cache
def shared_pool() -> Pool:
    """The one pool of the session; its processes leave when they are no longer connected, even if the session is killed."""
    pool = Pool()
    atexit.register(pool.close)
    return pool


# In the processes.


def _work(connection: Connection, rank: int) -> None:
    import torch

    torch.set_num_threads(1)
    while True:
        try:
            path, task, world_size, rendezvous, seconds = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        sys.path[:] = path
        torch.manual_seed(0)
        connection.send_bytes(_answer(task, rank, world_size, rendezvous, seconds))
        torch.set_default_dtype(torch.float32)


def _answer(task: bytes, rank: int, world_size: int, rendezvous: str, seconds: float) -> bytes:
    # Says where a task hangs, just before it is killed.
    faulthandler.dump_traceback_later(max(1.0, seconds - 1))
    try:
        with group(rank, world_size, rendezvous, seconds):
            function, arguments = pickle.loads(task)
            return pickle.dumps(("value", function(rank, world_size, *arguments)))
    except BaseException as error:
        text = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            error = None
        return pickle.dumps(("error", (text, error)))
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def group(rank: int, world_size: int, rendezvous: str, seconds: float) -> Iterator[None]:
    """A gloo group of the first ``world_size`` processes; leaving it makes the others' collectives fail, so that nobody waits for us."""
    if world_size == 1:
        yield
        return
    import torch.distributed as dist

    store = dist.FileStore(rendezvous, world_size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size, timeout=timedelta(seconds=seconds))
    try:
        yield
    finally:
        dist.destroy_process_group()
