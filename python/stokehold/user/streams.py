"""Datasets that are iterated: what a worker tells them of itself, and its stream of samples."""

from __future__ import annotations

import contextlib
import copy
import inspect
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from stokehold.user.code import Code

__all__ = ["Stream", "Turns", "WorkerInfo", "as_worker", "first_samples", "get_worker_info", "is_iterable", "tell"]


class Turns(NamedTuple):
    """How the samples of all streams are counted: a batch of each stream after the other, and the ranks in turn."""

    batch_size: int
    streams: int
    """How many there are on each rank."""
    rank: int
    world_size: int


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker knows of itself, as ``torch.utils.data.get_worker_info()`` has it, and of the ranks."""

    id: int
    """The worker's number, below `num_workers`."""
    num_workers: int
    """How many workers share the dataset on this rank."""
    seed: int
    """A number that is another one in each worker."""
    dataset: Any
    """The worker's copy of the dataset."""
    rank: int
    """The trainer's number, below `world_size`."""
    world_size: int
    """How many trainers there are."""


class _Told:
    """What this process was told, and whether the dataset has asked."""

    info: WorkerInfo | None = None
    has_asked = False


def get_worker_info() -> WorkerInfo | None:
    """Returns what this worker is among the others; None where no dataset of a loader is running.

    An iterable dataset takes its share of the samples by it: ``samples[info.id :: info.num_workers]``. With
    ``num_workers=0`` it is worker 0 of 1. It works without PyTorch, and has `rank` and `world_size` as well.
    """
    _Told.has_asked = True
    return _Told.info


def tell(code: Code, worker: int, seed: int) -> None:
    """Tells this process which worker it is, and PyTorch too, where that is imported."""
    turns = code.turns
    ranks = (0, 1) if turns is None else (turns.rank, turns.world_size)
    _Told.info = WorkerInfo(worker, max(code.num_workers, 1), seed, code.dataset, *ranks)
    if code.num_workers:
        _tell_torch(_Told.info)


def _tell_torch(info: WorkerInfo) -> bool:
    """Tells PyTorch, unless it is not there or knows already."""
    torch: Any = sys.modules.get("torch")
    told: Any = sys.modules.get("torch.utils.data._utils.worker")
    if torch is None or told is None or told._worker_info is not None:  # noqa: SLF001
        return False

    class Info(told.WorkerInfo):  # type: ignore[misc]
        """Notes that the dataset looks at it."""

        def __getattribute__(self, name: str) -> Any:
            if name in {"id", "num_workers", "seed"}:
                _Told.has_asked = True
            return super().__getattribute__(name)

    told._worker_info = Info(  # noqa: SLF001
        id=info.id, num_workers=info.num_workers, seed=info.seed, dataset=info.dataset
    )
    return True


@contextlib.contextmanager
def as_worker(code: Code) -> Iterator[None]:
    """Tells this process meanwhile that it is the first worker, unless it is one."""
    if _Told.info is not None:
        yield
        return
    _Told.has_asked = False
    tell(code, 0, code.seed)
    try:
        yield
    finally:
        _Told.info = None
        told: Any = sys.modules.get("torch.utils.data._utils.worker")
        if told is not None and type(told._worker_info).__module__ == __name__:  # noqa: SLF001
            told._worker_info = None  # noqa: SLF001


def is_iterable(dataset: object) -> bool:
    """Tells whether a dataset gives its samples one after the other: it has no items, or is PyTorch's of that kind."""
    kind = type(dataset)
    if not hasattr(kind, "__iter__"):
        return False
    # PyTorch's have a `__getitem__` that raises.
    is_torchs = any(
        base.__name__ == "IterableDataset" and base.__module__.startswith("torch.utils.data") for base in kind.__mro__
    )
    return is_torchs or not (hasattr(kind, "__getitem__") or hasattr(kind, "__getitems__"))


class Stream:
    """The samples of a dataset as this worker has them, one epoch after the other."""

    def __init__(self, code: Code) -> None:
        self._code = code
        self._epoch = 0
        self._samples: Iterator[Any] = iter(())
        self._is_first = False

    def begin(self, epoch: int) -> None:
        """Begins an epoch anew."""
        self._epoch, self._is_first = epoch, True
        with as_worker(self._code):
            self._begin()

    def _begin(self) -> None:
        dataset = self._code.dataset
        if callable(getattr(dataset, "set_epoch", None)):
            dataset.set_epoch(self._epoch)
        if self._code.rng == "worker" and self._code.num_workers and _Told.info is not None:
            _seed(self._code, self._epoch, _Told.info)
        self._samples = iter(dataset)

    def is_generator(self) -> bool:
        """Tells whether an exception ends the iteration."""
        return inspect.isgenerator(getattr(self._samples, "samples", self._samples))

    def next(self) -> Any:
        """Returns the next sample.

        Raises:
            StopIteration: There is none.
        """
        if self._code.num_workers and not self._is_first:
            return next(self._samples)
        with as_worker(self._code):
            if not self._is_first:
                return next(self._samples)
            self._is_first = False
            sample = next(self._samples)
            if self._code.num_workers and _Told.info is not None and _tell_torch(_Told.info):
                # PyTorch has come with the iteration, and was asked before it knew.
                self._begin()
                sample = next(self._samples)
            return sample


def _seed(code: Code, epoch: int, info: WorkerInfo) -> None:
    """Seeds the global generators for a worker's stream: one that begins anew draws the same."""
    random.seed(f"{code.seed} {epoch} {info.rank} {info.id}")
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(random.getrandbits(32))  # noqa: NPY002
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(random.getrandbits(63))


def first_samples(code: Code, count: int, attempts: int) -> list[Any]:
    """Returns the first samples of a dataset, as a worker has them.

    Raises:
        Exception: That of the first sample, if none of `attempts` can be made.
        TypeError: The dataset can be gone over once only, and no copy of it can be made.
        ValueError: There are several workers, and the dataset does not ask which one it is in.
    """
    dataset = code.dataset
    if hasattr(type(dataset), "__next__") and _Told.info is None:
        # It may be its own iterator: what is taken from it here would be missing from the first epoch.
        try:
            code = copy.copy(code)
            code.dataset = copy.deepcopy(dataset)
        except Exception as error:
            raise TypeError(
                f"{type(dataset).__name__} has __next__, so its first samples are tried on a copy, and it cannot be "
                f"copied: {error}; give an object whose __iter__ returns a new iterator"
            ) from error
    with as_worker(code):
        stream = Stream(code)
        samples: list[Any] = []
        stream.begin(0)
        first: Exception | None = None
        for _ in range(attempts):
            try:
                samples.append(stream.next())
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001 (a bad sample is dealt with where it is met)
                first = first or error
            if len(samples) == count:
                break
        if first is not None and not samples:
            raise first
        if code.num_workers > 1 and not _Told.has_asked:
            raise ValueError(
                f"{type(dataset).__name__} gives every worker the same samples: it asks neither "
                "stokehold.get_worker_info() nor torch.utils.data.get_worker_info() for its id and num_workers, in "
                "__iter__ or worker_init, before its first samples. Let it give each worker its share, or take "
                f"num_workers=1 (now {code.num_workers})"
            )
    return samples
