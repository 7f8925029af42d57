"""The code of a loader: all that is Python and has to be where the workers are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from stokehold.user.streams import Turns

__all__ = ["Code", "Rng", "Start"]

Rng: TypeAlias = Literal["sample", "worker"]
"""Whose random numbers a sample draws: its own, or those of the worker that makes it."""


Start: TypeAlias = Literal["forkserver", "fork", "spawn"]
"""How workers come to be: forked from a process that was started clean, or from the trainer as it is; or not forked."""


@dataclass
class Code:
    """What a loader is given that is Python: it crosses to the coordinator as one object."""

    dataset: Any
    """What samples are taken from."""
    fields: tuple[str, ...] | None = None
    """The names of a sample's items, where the sample does not name them."""
    varying: frozenset[str] = frozenset()
    """Fields whose first axis varies, whatever the samples that are tried say."""
    rng: Rng = "sample"
    """Whose random numbers a sample draws."""
    seed: int = 0
    """The loader's seed."""
    num_workers: int = 0
    """How many workers there are to be."""
    worker_init: Callable[[int], object] | None = None
    """What each worker calls first, with its number."""
    freeze: bool = True
    """Whether what the dataset consists of is spared the garbage collector, so that its memory stays shared."""
    functions: Sequence[Callable[..., Any]] = field(default_factory=tuple)
    """Functions that transforms name by number."""

    turns: Turns | None = None
    """How samples are counted, where the dataset is iterated."""

    def __len__(self) -> int:
        """Returns the number of samples."""
        return len(self.dataset)

    def sample(self, index: int) -> Any:
        """Returns a sample as the dataset gives it."""
        if hasattr(type(self.dataset), "__getitem__"):
            return self.dataset[index]
        (sample,) = self.dataset.__getitems__([index])
        return sample
