"""The samples of given indices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.checks import shown
from stokehold.orders.base import Order
from stokehold.orders.listing import Listing, Sampler, is_sampler, listing

__all__ = ["Explicit"]


class Explicit(Order):
    """Gives the samples of an array of indices, in its order; or those that a sampler or a function has for each epoch.

    A sample may come several times, and then has other random transforms each time, and others may not come at all.
    Where none of an array comes twice, transforms draw what they draw with ``shuffle=True``. The indices take 8 bytes
    each, and are shared with the workers.

    A sampler is one of PyTorch's, or whatever else has ``__iter__`` and ``__len__`` and is no sequence. It is gone over
    once for each epoch, after its ``set_epoch``, or that of the sampler in a batch sampler, has been called with the
    epoch's number, where there is one. Without that, the indices of the same epoch are others when it is asked again:
    an epoch that has been can then be neither resumed nor replayed.

    A function is called here, in the trainer, with the number of an epoch before that begins, is resumed, audited or
    replayed: what it returns is to depend on that number alone, and may be a sampler, such as
    ``lambda epoch: RandomSampler(data, generator=torch.Generator().manual_seed(epoch))``.

    A state that was taken in the middle of an epoch is refused where sampler or function now give other indices for it.
    All ranks are to have the same ones, of which each gets its share. The next epoch is not begun in advance.

    Args:
        indices: Whole numbers, 0 up to the number of samples of the source; at least one. Or batches of such, as those
            of a batch sampler: all of one size, but for the last, which may be smaller; it is the loader's
            ``batch_size`` times the number of ranks, each of which gets its share of each batch. Or a sampler that
            gives one of these, or a function of the epoch's number that returns one, as many in every epoch.

    Raises:
        TypeError: They are no whole numbers in one row or in batches; or a sampler has no length.
        ValueError: There are none, one is negative, or batches have several sizes; or a sampler gives one rank of
            several its own indices, as ``DistributedSampler``. A loader raises it where one is beyond its source's
            samples, where its batches have another size, and where an epoch has more or fewer than epoch 0.
    """

    def __init__(
        self,
        indices: Sequence[int] | Sequence[Sequence[int]] | npt.ArrayLike | Iterable[Any] | Callable[[int], Any],
    ) -> None:
        self._of_epoch: Callable[[int], Any] | None = None
        if is_sampler(indices):
            self._of_epoch = Sampler(indices)  # type: ignore[arg-type]
        elif callable(indices) and not isinstance(indices, type):
            self._of_epoch = indices
        self._batch: int | None = None
        self._array = self._count = None
        if self._of_epoch is None:
            found = listing(indices)
            self._array, self._count, self._batch = (
                _native.Order.explicit(found.indices),
                len(found.indices),
                found.batch,
            )

    def native(self, source: Any) -> _native.Order:  # noqa: ARG002, ANN401
        """Returns the order over a source as the core has it."""
        if self._array is not None:
            return self._array
        first = self.listed(0)
        return _native.Order.listed(0 if first is None else len(first))

    def listed(self, epoch: int) -> npt.NDArray[np.uint64] | None:
        """Returns the indices of an epoch, where each epoch has others; else None."""
        if self._of_epoch is None:
            return None
        found = self._of_epoch(epoch)
        indices, self._batch = found if isinstance(found, Listing) else listing(found)
        return indices

    @property
    def has_batches(self) -> bool:
        """Whether it says what a batch has."""
        return self._batch is not None

    def check_batches(self, batch_size: int, world_size: int | None) -> None:
        """Raises `ValueError` where a loader cuts indices into other batches than they were given in."""
        size = self._batch
        if size is None or size == batch_size * (world_size or size // batch_size):
            return
        ranks = "" if world_size in {None, 1} else f" on each of {world_size} ranks"
        raise ValueError(
            f"Explicit: indices are batches of {size}, and Loader: batch_size is {batch_size}{ranks}: a batch has "
            "batch_size samples on each rank"
        )

    def __repr__(self) -> str:
        return f"Explicit({shown(self._of_epoch) if self._count is None else f'{self._count} indices'})"
