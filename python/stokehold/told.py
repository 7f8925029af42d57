"""What frameworks look for in a loader to tell it the epoch."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Told"]


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
