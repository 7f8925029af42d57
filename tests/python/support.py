"""What several test files use."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import psutil

import stokehold as sh

Row: TypeAlias = tuple[int, tuple[int, ...], tuple[tuple[str, bytes], ...]]
"""A batch by value: epoch, indices, and each field's bytes."""

CROP = [sh.RandomResizedCrop(32), sh.RandomHorizontalFlip()]

PATIENCE_SECONDS = 40
"""How long to wait for what must come: no promise, but less than a stall, so that none is what the wait ended with."""
PROGRAM_SECONDS = 240
"""How long a program may take, the import of PyTorch on a busy machine included."""


def accelerators() -> Any:
    """What of PyTorch tells of accelerators: `torch.accelerator`, which came with 2.6, or `torch.cuda`."""
    import torch  # noqa: PLC0415  # Most tests do without.

    return torch.accelerator if hasattr(torch, "accelerator") else torch.cuda


def value(batch: sh.Batch) -> Row:
    fields = tuple((name, b"".join(row.tobytes() for row in batch.numpy()[name])) for name in batch)
    return batch.epoch, tuple(map(int, batch.indices)), fields


def values(loader: sh.Loader, epochs: int = 1) -> list[Row]:
    return [value(batch) for _ in range(epochs) for batch in loader]


def order(batches: Iterable[sh.Batch]) -> list[int]:
    """The indices of all rows, in order."""
    return [int(index) for batch in batches for index in batch.indices]


def image_loader(folder: Path, **options: Any) -> sh.Loader:
    """A loader of random crops of an image folder, shuffled."""
    given: dict[str, Any] = {"batch_size": 5, "shuffle": True, "seed": 7, "transforms": {"image": CROP}}
    return sh.Loader(sh.ImageFolder(folder), **given | options)


def eventually(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
    """Tells whether the condition comes true within this time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_running(pid: int) -> bool:
    """Tells whether a process is there, and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pool_pids(loader: sh.Loader) -> list[int]:
    """The coordinator's process id and those of the workers."""
    stats = loader.stats()
    return [stats["coordinator_pid"], *(worker["pid"] for worker in stats["workers"])]


class Strikes:
    """Kills workers in the middle of their work, and never so that a sample meets two deaths: it would be poison.

    What a worker has in hand lies in a slot. So when as many batches have come as there are slots, every sample that a
    strike can have met is finished, and the next strike meets others.
    """

    def __init__(self, loader: sh.Loader) -> None:
        self.loader = loader
        self.killed: set[int] = set()
        self._spared = 0

    def delivered(self) -> None:
        """Notes that a batch has come."""
        self._spared -= 1

    def kill(self, count: int) -> None:
        """Kills so many workers at once, unless it is too early."""
        if self._spared > 0:
            return
        stats = self.loader.stats()
        self._spared = stats["slots"]
        # The coordinator must not give to the second what the first had in hand, between the two.
        with stopped(stats["coordinator_pid"]):
            for worker in stats["workers"][:count]:
                with suppress(ProcessLookupError):  # Killed before, and only now noticed.
                    os.kill(worker["pid"], signal.SIGKILL)
                    self.killed.add(worker["pid"])


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stops a process for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        assert eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def arena_mappings() -> list[str]:
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if "memfd:stokehold" in line]


def as_ranks(program: str, folder: Path, *arguments: str, ranks: int = 2, **variables: str) -> list[str]:
    """Runs a program once for each rank, with torchrun's variables. Returns what each has printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return as_processes(
        program,
        folder,
        [
            {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
            | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            | variables
            for rank in range(ranks)
        ],
        *arguments,
    )


def as_processes(program: str, folder: Path, environments: list[dict[str, str]], *arguments: str) -> list[str]:
    """Runs a program once for each of these environments, side by side. Returns what each has printed."""
    path = folder / "program.py"
    path.write_text(program)
    plain = dict(os.environ) | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(path), *arguments]
    programs = [
        subprocess.Popen(command, env=plain | own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for own in environments
    ]
    try:
        said = [each.communicate(timeout=PROGRAM_SECONDS) for each in programs]
    finally:
        for each in programs:
            each.kill()
    for each, (_, wrong) in zip(programs, said, strict=True):
        assert each.returncode == 0, wrong
    return [out for out, _ in said]


PRELUDE = """
import ctypes, json, os, resource, signal, sys, threading, time
import numpy as np
import stokehold as sh
def say(*words):
    print(*words, flush=True)
def loader(**options):
    rows = np.arange(40_000, dtype=np.int64).reshape(400, 100)
    return sh.Loader(sh.Arrays({"x": rows}), **{"batch_size": 4, "num_workers": 2, "shuffle": True} | options)
def pids(loader):
    stats = loader.stats()
    return [stats["coordinator_pid"], *(worker["pid"] for worker in stats["workers"])]
def orders(loader):
    return [batch["x"].tobytes() for batch in loader]
"""


@contextmanager
def trainer(code: str) -> Iterator[subprocess.Popen[str]]:
    """Runs `code` behind `PRELUDE` in an interpreter of its own, in a process group of its own."""
    command = [sys.executable, "-W", "error", "-c", PRELUDE + code]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run_trainer(code: str) -> tuple[int, str, str]:
    """Runs `code` as `trainer` does, to its end. Returns exit status, standard output and standard error."""
    with trainer(code) as process:
        out, err = process.communicate(timeout=PROGRAM_SECONDS)
        return process.returncode, out, err
