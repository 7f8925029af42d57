"""What frameworks look for in a loader, to tell it the epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Tellable"]


class Told:
    """Stands where PyTorch's loaders have their samplers, of which Lightning and others call ``set_epoch``."""

    def __init__(self, set_epoch: Callable[[int], None]) -> None:
        self._set_epoch = set_epoch

    @property
    def sampler(self) -> Told:
        """The sampler below a batch sampler: the same."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Tells the loader which epoch is to be read."""
        self._set_epoch(epoch)


class Tellable:
    """A loader that frameworks can tell the epoch."""

    source: Any
    _shuffles: bool

    def set_epoch(self, epoch: int) -> None:
        """Makes the next iteration begin with this epoch."""
        raise NotImplementedError

    @property
    def dataset(self) -> Any:  # noqa: ANN401 (a Source, or any dataset)
        """The source, as PyTorch's loaders call it."""
        return self.source

    @property
    def batch_sampler(self) -> Told:
        """What frameworks call ``sampler.set_epoch`` of, to tell the loader which epoch it is to read."""
        return Told(self.set_epoch)

    @property
    def sampler(self) -> Told:
        """The same, where the loader shuffles: frameworks that need an order which stays look for it, and refuse it.

        Raises:
            AttributeError: The order is the source's.
        """
        if not self._shuffles:
            raise AttributeError("a loader that does not shuffle has no sampler")
        return Told(self.set_epoch)
