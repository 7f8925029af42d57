"""Samples that come several times in a row."""

from __future__ import annotations

from typing import Any

from stokehold import _native
from stokehold.checks import whole
from stokehold.orders.base import Order, count

__all__ = ["Repeated"]


class Repeated(Order):
    """Gives each sample of a shuffled order several times in a row, each time with other random transforms.

    Positions go to the ranks in turn, so different ranks get the copies: the repeated augmentation of Hoffer et al.
    ("Augment your batch", CVPR 2020), as DeiT's ``RASampler`` has it. DeiT cuts the epoch to about its usual length:
    ``Repeated(3, num_samples=len(source) // 256 * 256)``, of which a third of the samples comes.

    Args:
        times: How many times each sample comes, 1 or more.
        num_samples: How many positions an epoch has, over all ranks, from the beginning of the order on; None is all of
            them, ``times`` for each sample.

    Raises:
        TypeError: A number is none.
        ValueError: A number is less than 1. A loader raises it where ``num_samples`` is more than all of its source's.
    """

    def __init__(self, times: int = 3, num_samples: int | None = None) -> None:
        self.times = whole("Repeated: times", times, 1)
        self.num_samples = count("Repeated", num_samples)
        self._native = _native.Order.repeated(self.times, self.num_samples)

    def native(self, source: Any) -> _native.Order:  # noqa: ARG002, ANN401
        """Returns the order over a source as the core has it."""
        return self._native

    def __repr__(self) -> str:
        return f"Repeated({self.times}, num_samples={self.num_samples})"
