"""Ranks: PyTorch's ``DistributedSampler``, whose state any number of ranks can go on with, and numbers of epochs."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import DistributedSampler as TorchDistributedSampler
from torch.utils.data import IterableDataset

from stokehold.ranks import Ranks

__all__ = ["DistributedSampler", "Epochs", "RankSampler", "shared"]


class DistributedSampler(TorchDistributedSampler[Any]):
    """``torch.utils.data.DistributedSampler``, with a state that does not depend on the number of ranks.

    Arguments, order and padding are PyTorch's. In a `StatefulDataLoader` its position is saved and restored without
    going through what was read before; and since the position counts in the order of all ranks, what is left of the
    epoch may be shared among another number of them. All ranks load the state that one of them has saved.
    """

    def __iter__(self) -> Any:
        return _Order(self)

    def _go_on(self, epoch: int) -> None:
        self.set_epoch(epoch)


class Epochs:
    """The numbers of a loader's epochs: each that begins has the next one, unless another one is set."""

    def __init__(self) -> None:
        self.current = 0
        """That of the epoch that began last."""
        self.next = 0
        """That of the epoch that begins next."""

    def begin(self) -> int:
        """Returns the number of the epoch that begins."""
        self.current, self.next = self.next, self.next + 1
        return self.current


class RankSampler(DistributedSampler):
    """The sampler of a loader that has ranks; the loader numbers its epochs."""

    def __init__(self, epochs: Epochs, *args: Any, **kwargs: Any) -> None:
        self.epochs = epochs
        super().__init__(*args, **kwargs)

    @property
    def epoch(self) -> int:
        """The number of the epoch that is read."""
        return self.epochs.current

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self.epochs.current = self.epochs.next = epoch

    def _go_on(self, epoch: int) -> None:
        self.epochs.current, self.epochs.next = epoch, epoch + 1


def shared(dataset: Any, sampler: Any, rank: Any, world_size: int | None) -> tuple[int, int]:
    """Returns the number of trainers and this one's, of which something was given.

    Raises:
        ValueError: Only half of the two is known, that cannot be, or the dataset or its sampler cannot be shared.
        TypeError: One is no number, and no group of ranks.
    """
    if isinstance(dataset, IterableDataset):
        raise ValueError(  # noqa: TRY004 (as PyTorch's for what an iterable dataset cannot have)
            f"rank and world_size need a map-style dataset, not {type(dataset).__name__}, whose samples have no index: "
            "give each rank the part of the dataset that it is to read"
        )
    if sampler is not None:
        raise ValueError(
            "rank and world_size are for a loader that makes its sampler itself: leave the sampler out, or leave them "
            "out and share the samples by it, as stokehold.torch.DistributedSampler(dataset, world_size, rank) does"
        )
    ranks = Ranks.given(rank, world_size)
    assert ranks is not None  # noqa: S101 (for type checkers: something was given)
    return ranks.world_size, ranks.rank


class _Order:
    """The rest of an epoch, as one rank reads it."""

    def __init__(self, sampler: DistributedSampler) -> None:
        self._sampler = sampler
        self._begin(0)

    def _begin(self, start: int) -> None:
        sampler = self._sampler
        self._epoch = sampler.epoch
        count = len(sampler.dataset)
        if sampler.shuffle:
            generator = torch.Generator()
            generator.manual_seed((sampler.seed + self._epoch) % 2**64)
            order = torch.randperm(count, generator=generator)
        else:
            order = torch.arange(count)
        left, ranks = order[start:], sampler.num_replicas
        if sampler.drop_last:
            left = left[: len(left) // ranks * ranks]
        elif lacking := -len(left) % ranks:
            left = torch.cat([left, order.repeat(-(-lacking // count))[:lacking]])
        self._start = start
        self._indices = left[sampler.rank :: ranks].tolist()
        self._yielded = 0

    def __iter__(self) -> _Order:
        return self

    def __next__(self) -> int:
        if self._yielded == len(self._indices):
            raise StopIteration
        self._yielded += 1
        index: int = self._indices[self._yielded - 1]
        return index

    def state_dict(self) -> dict[str, int]:
        """Returns the epoch, and the position in the order of all ranks."""
        # What evens the ranks out lies behind the end.
        end = len(self._sampler.dataset)
        position = min(self._start + self._yielded * self._sampler.num_replicas, end)
        return {"epoch": self._epoch, "position": position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on from there.

        Raises:
            ValueError: The position is none of this dataset.
        """
        count = len(self._sampler.dataset)
        if not 0 <= state["position"] <= count:
            raise ValueError(f"a state has position {state['position']}, and the dataset has {count} samples")
        self._sampler._go_on(state["epoch"])
        self._begin(state["position"])
