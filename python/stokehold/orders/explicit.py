"""The samples of given indices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.checks import shown
from stokehold.orders.base import Order, row

__all__ = ["Explicit"]


class Explicit(Order):
    """Gives the samples of an array of indices, in its order; or of one that a function returns for each epoch.

    A sample may come several times, and then has other random transforms each time, and others may not come at all.
    Where none of an array comes twice, transforms draw what they draw with ``shuffle=True``. The indices take 8 bytes
    each, and are shared with the workers.

    A function is called here, in the trainer, with the number of an epoch before that begins, is resumed, audited or
    replayed: what it returns is to depend on that number alone. For a sampler of PyTorch's, that is
    ``lambda epoch: (sampler.set_epoch(epoch), list(sampler))[1]``, or, where it has a generator, one that is seeded by
    the epoch. A state that was taken in the middle of an epoch is refused where the function now gives other indices
    for it. The next epoch is not begun in advance.

    Args:
        indices: Whole numbers, 0 up to the number of samples of the source; at least one. Or a function of the epoch's
            number that returns such numbers, as many in every epoch.

    Raises:
        TypeError: They are no whole numbers in one row.
        ValueError: There are none, or one is negative. A loader raises it where one is beyond its source's samples, and
            where an epoch has more or fewer than epoch 0.
    """

    def __init__(self, indices: Sequence[int] | npt.ArrayLike | Callable[[int], Sequence[int] | npt.ArrayLike]) -> None:
        self._function = indices if callable(indices) and not isinstance(indices, type) else None
        array = None if self._function is not None else _indices(indices)
        self._array = None if array is None else _native.Order.explicit(array)
        self._count = None if array is None else len(array)

    def native(self, source: Any) -> _native.Order:  # noqa: ARG002, ANN401
        """Returns the order over a source as the core has it."""
        if self._array is not None:
            return self._array
        first = self.listed(0)
        return _native.Order.listed(0 if first is None else len(first))

    def listed(self, epoch: int) -> npt.NDArray[np.uint64] | None:
        """Returns the indices of an epoch, where each epoch has others; else None."""
        return None if self._function is None else _indices(self._function(epoch))

    def __repr__(self) -> str:
        return f"Explicit({shown(self._function) if self._count is None else f'{self._count} indices'})"


def _indices(given: Any) -> npt.NDArray[np.uint64]:  # noqa: ANN401
    """Returns indices as the core has them."""
    array = row("Explicit: indices", given, "whole numbers", "iu")
    if (least := int(array.min())) < 0:
        raise ValueError(f"Explicit: indices must be 0 or more, not {least}")
    return np.ascontiguousarray(array, np.uint64)
