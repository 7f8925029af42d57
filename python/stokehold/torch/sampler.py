"""``DistributedSampler``: PyTorch's, whose state any number of ranks can go on with."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import DistributedSampler as TorchDistributedSampler

__all__ = ["DistributedSampler"]


class DistributedSampler(TorchDistributedSampler[Any]):
    """``torch.utils.data.DistributedSampler``, with a state that does not depend on the number of ranks.

    Arguments, order and padding are PyTorch's. In a `StatefulDataLoader` its position is saved and restored without
    going through what was read before; and since the position counts in the order of all ranks, what is left of the
    epoch may be shared among another number of them. All ranks load the state that one of them has saved.
    """

    def __iter__(self) -> Any:
        return _Order(self)


class _Order:
    """The rest of an epoch, as one rank reads it."""

    def __init__(self, sampler: DistributedSampler) -> None:
        self._sampler = sampler
        self._begin(0)

    def _begin(self, start: int) -> None:
        sampler = self._sampler
        count = len(sampler.dataset)
        if sampler.shuffle:
            generator = torch.Generator()
            generator.manual_seed(sampler.seed + sampler.epoch)
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
        return {"epoch": self._sampler.epoch, "position": position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on from there.

        Raises:
            ValueError: The position is none of this dataset.
        """
        count = len(self._sampler.dataset)
        if not 0 <= state["position"] <= count:
            raise ValueError(f"a state has position {state['position']}, and the dataset has {count} samples")
        self._sampler.set_epoch(state["epoch"])
        self._begin(state["position"])
