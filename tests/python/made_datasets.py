"""Datasets that tests hand to loaders: in a module, as those of users are, so that workers import them."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import threading
import time
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Draws:
    """Samples of all that a batch holds, with numbers drawn at random."""

    def __init__(self, samples: int = 41) -> None:
        self.rows = np.arange(samples * 16, dtype=np.int64).reshape(samples, 16)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {
            "row": self.rows[index],
            "random": random.random(),
            "gauss": random.gauss(0, 1),
            "numpy": np.random.normal(size=3).astype(np.float32),  # noqa: NPY002
            "label": index,
            "is_even": index % 2 == 0,
            "text": "é" * (index % 5),
            "bytes": bytes(range(index % 7)),
            "object": {index},
            "list": np.arange(index % 4, dtype=np.int16),
            "image": np.full((index % 3 + 1, 2, 3), index, np.uint8),
        }


class Pair(NamedTuple):
    image: Any
    label: int


@dataclasses.dataclass
class Item:
    values: Any
    nested: Any


class Made:
    """Samples that a function makes of their index."""

    def __init__(self, make: Any, samples: int = 20) -> None:
        self.make = make
        self.samples = samples

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> Any:
        return self.make(index)


def pair(index: int) -> Pair:
    return Pair(np.full((2, 2), index, np.float32), index)


def item(index: int) -> Item:
    return Item(np.float32(index), {"a": [index, index + 1], "b": (True, 1.5 * index)})


def boom(index: int) -> int:
    if index == 5:
        raise LookupError("sample five is cursed")
    return index


class OwnError(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code


def own_error(index: int) -> int:
    if index == 5:
        raise OwnError(7, "of my own")
    return index


class Failing:
    """Samples of which two fail; others tell whether what the last one of those had is gone."""

    def __init__(self) -> None:
        self.last: Any = lambda: None

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> bool:
        is_gone = self.last() is None
        if index in (5, 7):
            large = np.zeros(10)
            self.last = weakref.ref(large)
            raise LookupError(len(large))
        return is_gone


def stop_iteration(index: int) -> int:
    if index == 5:
        raise StopIteration
    return index


def system_exit(index: int) -> int:
    if index == 5:
        raise SystemExit(3)
    return index


def interrupted(index: int) -> int:
    if index == 5:
        raise KeyboardInterrupt
    return index


def missing_file(index: int) -> int:
    if index == 5:
        Path("/no/such/file").read_bytes()
    return index


def ends(index: int) -> int:
    if index == 5:
        os._exit(9)
    return index


def killed(index: int) -> int:
    if index == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return index


def hangs(index: int) -> int:
    if index == 5:
        time.sleep(1000)
    return index


def forks(index: int) -> int:
    # Both come back: the second one is no worker.
    if index % 4 == 1 and os.fork() == 0:
        return -1
    return index


def threads(index: int) -> int:
    done = []
    thread = threading.Thread(target=lambda: done.append(index))
    thread.start()
    thread.join()
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    return done[0]


def moves(index: int) -> int:
    os.chdir("/")
    return index


def closes(index: int) -> int:
    for descriptor in (0, 1, 2):
        os.close(descriptor)
        os.open("/dev/null", os.O_RDWR)
    return index


def prints(index: int) -> int:
    print(f"at {index}", "x" * 100_000)
    return index


def growing(index: int) -> Any:
    # The samples that are tried are the shortest.
    length = index % 3 if index in {0, 19, 10, 6} else 10 * index
    return {"x": np.arange(length, dtype=np.int32), "at": index}


def stays(index: int) -> int:
    return index
