"""Iterable datasets that tests hand to loaders: in a module, as those of users are, so that workers import them."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import stokehold as sh


class Shares:
    """Numbers in order, of which each worker of each rank takes its share."""

    def __init__(self, samples: int = 37) -> None:
        self.samples = samples
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def share(self) -> range:
        info = sh.get_worker_info()
        assert info is not None
        first, step = info.rank * info.num_workers + info.id, info.world_size * info.num_workers
        return range(first, self.samples, step)

    def __iter__(self) -> Iterator[Any]:
        for index in self.share():
            yield self.sample(index)

    def sample(self, index: int) -> Any:
        return index


class Drawn(Shares):
    """Samples that draw at random, and vary in length."""

    def __iter__(self) -> Iterator[Any]:
        offset = random.random()
        for index in self.share():
            yield {
                "index": index,
                "epoch": self.epoch,
                "offset": offset,
                "random": random.random(),
                "numpy": np.random.normal(size=2),  # noqa: NPY002
                "list": np.full(index % 3, index, np.int16),
            }


class Same:
    """Gives each worker the same samples."""

    def __iter__(self) -> Iterator[int]:
        yield from range(10)


class Counting:
    """Is its own iterator, which `__iter__` sets back."""

    def __init__(self, samples: int = 10) -> None:
        self.samples = samples
        self.next = 0

    def __iter__(self) -> Counting:
        self.next = 0
        return self

    def __next__(self) -> int:
        if self.next == self.samples:
            raise StopIteration
        self.next += 1
        return self.next - 1


class OneShot(Counting):
    def __iter__(self) -> OneShot:
        return self


class Steps:
    """An iterator that goes on behind an exception."""

    def __init__(self, samples: range, make: Callable[[int], Any]) -> None:
        self.samples = iter(samples)
        self.make = make

    def __iter__(self) -> Steps:
        return self

    def __next__(self) -> Any:
        return self.make(next(self.samples))


class Faulty(Shares):
    """Samples that a function makes; an exception ends the iteration, where it is a generator's."""

    def __init__(self, make: Callable[[int], Any], samples: int = 24, *, is_generator: bool = False) -> None:
        super().__init__(samples)
        self.make = make
        self.is_generator = is_generator

    def __iter__(self) -> Iterator[Any]:
        if self.is_generator:
            return (self.make(index) for index in self.share())
        return Steps(self.share(), self.make)


class Broken(Shares):
    def __iter__(self) -> Iterator[Any]:
        if self.epoch:
            raise LookupError("no such epoch")
        return super().__iter__()


def refuse_odd_tens(index: int) -> int:
    if index in {10, 13}:
        raise KeyError(f"number {index}")
    return index


def refuse_all(index: int) -> int:
    if index > 7:
        raise KeyError(f"number {index}")
    return index


def end_at_ten(index: int) -> int:
    if index == 10:
        os.kill(os.getpid(), signal.SIGKILL)
    return index


def take_time(index: int) -> int:
    time.sleep(0.5)
    return index


def grow(index: int) -> Any:
    return np.full(10 * index, index, np.int32)


def doubled(sample: dict[str, Any]) -> dict[str, Any]:
    return {"twice": 2 * sample["0"], "label": sample["0"] + random.random()}


def mark(batch: dict[str, Any]) -> None:
    batch["0"] += 1000


class LateTorch:
    """Imports PyTorch when it is iterated, and asks that for its share."""

    def __iter__(self) -> Iterator[int]:
        from torch.utils.data import get_worker_info  # noqa: PLC0415

        info = get_worker_info()
        yield from range(12) if info is None else range(info.id, 12, info.num_workers)
