"""What all orders are."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.checks import items, shown, whole

__all__ = ["MOST", "Order", "count", "row"]

MOST: Final = 2**62 - 1
"""The most positions of an epoch."""


class Order:
    """The base of all orders."""

    def native(self, source: Any) -> _native.Order:  # noqa: ANN401 (a Source, or any dataset)
        """Returns the order over a source as the core has it."""
        raise NotImplementedError(f"{type(self).__name__}: an order of your own is an Explicit of its indices")

    def listed(self, epoch: int) -> npt.NDArray[np.uint64] | None:  # noqa: ARG002
        """Returns the indices of an epoch, where each epoch has others; else None."""
        return None

    @property
    def has_batches(self) -> bool:
        """Whether it says what a batch has."""
        return False

    def check_batches(self, batch_size: int, world_size: int | None) -> None:
        """Raises `ValueError` where a loader has other batches than the order is made of.

        Args:
            batch_size: That of each rank.
            world_size: The number of ranks; None is not known yet.
        """


def count(owner: str, num_samples: object) -> int | None:
    """Returns a number of positions, or None."""
    return None if num_samples is None else whole(f"{owner}: num_samples", num_samples, 1, MOST, other=", or None")


def row(what: str, given: Any, meaning: str, kinds: str) -> npt.NDArray[Any]:  # noqa: ANN401
    """Returns numbers in one row, of one of these kinds of dtype, or raises an error that says what they are."""
    listed = given if hasattr(given, "__array__") else items(what, given, meaning)
    try:
        array = np.asarray(listed)
    except (TypeError, ValueError):
        # Of rows of several lengths.
        raise TypeError(f"{what} must be {meaning}, not {shown(given)}") from None
    if array.ndim == 1 and array.size == 0:
        raise ValueError(f"{what} must be {meaning}, and there is none")
    if array.ndim != 1 or array.dtype.kind not in kinds:
        found = f"{array.dtype} of shape {array.shape}" if array.ndim else shown(given)
        raise TypeError(f"{what} must be {meaning}, in one row, not {found}")
    return array
