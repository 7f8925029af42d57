"""What several test files use."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import psutil

import stokehold as sh

Row: TypeAlias = tuple[int, tuple[int, ...], tuple[tuple[str, bytes], ...]]
"""A batch by value: epoch, indices, and each field's bytes."""

CROP = [sh.RandomResizedCrop(32), sh.RandomHorizontalFlip()]


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


def eventually(condition: Callable[[], bool], seconds: float = 5) -> bool:
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


def arena_mappings() -> list[str]:
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if "memfd:stokehold" in line]


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


def run_trainer(code: str, seconds: float = 30) -> tuple[int, str, str]:
    """Runs `code` as `trainer` does, to its end. Returns exit status, standard output and standard error."""
    with trainer(code) as process:
        out, err = process.communicate(timeout=seconds)
        return process.returncode, out, err
