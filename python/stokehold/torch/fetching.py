"""Samples of a map-style dataset: PyTorch's fetcher, which knows which one failed, and what may become of that."""

from __future__ import annotations

import hashlib
import logging
import operator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stokehold import _native
from stokehold.checks import printable
from stokehold.torch.collate import SlotCollate, is_torchs_own
from stokehold.torch.internals import TorchFetcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["KEY", "Bad", "Inline", "MapFetcher", "Noted", "Policy", "Task"]

LOG = logging.getLogger("stokehold")

KEY: Final = "_stokehold_key"
"""In a state of torchdata's loader: what the random numbers of samples follow from."""

RANDOMNESS: Final = _native.Randomness()
"""The generators that a dataset draws from, seeded as in the native pool."""


class Policy(NamedTuple):
    """What a loader asks of its fetchers beyond what PyTorch's do."""

    rng: str = "worker"
    on_error: str = "raise"
    seed: int | None = None
    """What the random numbers of samples follow from; if it is none, the iterator's."""

    @property
    def is_torchs(self) -> bool:
        """Whether that is nothing."""
        return self == Policy()


class Bad(NamedTuple):
    """A sample that failed, and was skipped or replaced."""

    index: Any
    reason: str


class Noted:
    """The bad samples of a loader; not the loader itself, with which its iterator, that tells of them, is to go."""

    def __init__(self, on_error: str) -> None:
        self.found: dict[Any, str] = {}
        self._on_error = on_error

    def __call__(self, bad: list[Bad]) -> None:
        """Takes samples in, and logs those that are new."""
        for index, reason in bad:
            if index not in self.found:
                self.found[index] = reason
                LOG.warning("sample %r was left out (on_error=%r): %s", index, self._on_error, printable(reason))


class Task:
    """What is known of the batch that is made."""

    def __init__(self) -> None:
        self.failed: Any = None
        """The index of the sample that failed last."""
        self.bad: list[Bad] = []
        """Those that were skipped or replaced."""
        self.epoch = 0
        """The number of the epoch that the batch belongs to."""


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _number(index: Any) -> int:
    """Returns an index as the key of random numbers has it, with 64 bits; of what is no integer, a hash."""
    try:
        return operator.index(index) % 2**64
    except TypeError:
        return _hashed(repr(index))


class MapFetcher(TorchFetcher):
    """PyTorch's fetcher, which also knows the sample that failed, and puts large arrays into their rows at once.

    Where a policy asks for more than PyTorch's and has no seed, it is `base`, which the iterator has drawn for its
    workers' seeds.
    """

    def __init__(self, task: Task, policy: Policy, base: int, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._task = task
        self._policy = policy
        self._seed = base if policy.seed is None else policy.seed

    def fetch(self, possibly_batched_index: Any) -> Any:
        """Returns a batch."""
        index, slots = possibly_batched_index, isinstance(self.collate_fn, SlotCollate) and is_torchs_own()
        if not self.auto_collation:
            return self.collate_fn(self._sample(index))
        if not self._policy.is_torchs:
            indices = list(index)
            take = self.collate_fn.rows(len(indices)).take if slots else _as_it_is
            return self.collate_fn(list(self._chosen(indices, take)))
        if getattr(self.dataset, "__getitems__", None):
            return self.collate_fn(self.dataset.__getitems__(index))
        if slots:
            return self.collate_fn(self._samples(index, self.collate_fn))
        return self.collate_fn([self._sample(each) for each in index])

    def _sample(self, index: Any) -> Any:
        if self._policy.rng == "sample":
            RANDOMNESS.begin_sample(self._seed, self._task.epoch, _number(index))
        try:
            return self.dataset[index]
        except Exception:
            self._task.failed = index
            raise

    def _samples(self, indices: Any, collate: SlotCollate) -> list[Any]:
        dataset, samples = self.dataset, []
        index = None
        try:
            indices = list(indices)
            rows = collate.rows(len(indices))
            left = iter(indices)
            for row, index in enumerate(left):
                # Not held by a name: the next sample may use the memory of this one.
                samples.append(rows.take(dataset[index], row))
                if not rows.active:
                    break
            for index in left:
                samples.append(dataset[index])
        except Exception:
            self._task.failed = index
            raise
        return samples

    def _chosen(self, indices: list[Any], take: Callable[[Any, int], Any]) -> Iterator[Any]:
        """Yields the samples that there are to be, in the stead of bad ones others or none."""
        row, error = 0, None
        for at, index in enumerate(indices):
            for candidate in self._candidates(indices, at):
                try:
                    sample = take(self._sample(candidate), row)
                except Exception as failed:
                    if self._policy.on_error == "raise":
                        raise
                    error = failed
                    self._note(candidate, failed)
                else:
                    yield sample
                    row += 1
                    break
            else:
                if self._policy.on_error == "replace":
                    self._task.failed = index
                    raise error or IndexError(index)
        if error is not None and not row:
            # There is nothing to make a batch of.
            raise error

    def _candidates(self, indices: list[Any], at: int) -> Iterator[Any]:
        """Yields what may come at a position: its own sample, and where another one may, the others of the batch."""
        yield indices[at]
        if self._policy.on_error == "replace":
            seed = _hashed(f"{self._seed} {self._task.epoch} {_number(indices[at])}")
            others = indices[:at] + indices[at + 1 :]
            while others:
                seed, chosen = divmod(seed, len(others))
                yield others.pop(chosen)

    def _note(self, index: Any, error: Exception) -> None:
        if all(bad.index is not index for bad in self._task.bad):
            self._task.bad.append(Bad(index, f"{type(error).__name__}: {error}"))


def _as_it_is(sample: Any, _: int) -> Any:
    return sample


class Inline(MapFetcher):
    """The fetcher of an iterator without workers: the trainer's own random numbers stay as they are."""

    def __init__(
        self, note: Callable[[list[Bad]], None], policy: Policy, base: int, epoch: int, *arguments: Any
    ) -> None:
        super().__init__(Task(), policy, base, *arguments)
        self._task.epoch = epoch
        self._tell = note

    def fetch(self, possibly_batched_index: Any) -> Any:
        """Returns a batch."""
        self._task.bad = []
        try:
            if self._policy.rng != "sample":
                return super().fetch(possibly_batched_index)
            RANDOMNESS.keep()
            try:
                return super().fetch(possibly_batched_index)
            finally:
                RANDOMNESS.restore()
        finally:
            self._tell(self._task.bad)
