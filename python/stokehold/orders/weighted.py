"""Samples drawn by weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.checks import truth
from stokehold.orders.base import Order, count, row
from stokehold.sources import Source

__all__ = ["Weighted"]


class Weighted(Order):
    """Draws samples by weight, as torch's ``WeightedRandomSampler`` does.

    With replacement, each position of an epoch is a draw by itself, and a sample that comes more than once has other
    random transforms each time. A draw takes the same time however many weights there are: the table is that of
    Walker's alias method (1977) as Vose builds it (1991), of 16 bytes for each weight, built once and shared with the
    workers.

    Without replacement, each sample comes at most once in an epoch: the first is drawn by weight, and each next one by
    weight among the others, by the keys of Efraimidis and Spirakis ("Weighted random sampling with a reservoir", 2006).
    The table takes 8 bytes for each weight, and an epoch 8 for each of its positions, which the trainer draws when it
    begins; the next epoch is not begun in advance. Transforms draw what they draw with ``shuffle=True``.

    Args:
        weights: A number of 0 or more for each sample of the source, in its order; their sum may be any. A sample of
            weight 0 never comes.
        num_samples: How many samples an epoch draws, over all ranks; None is as many as there are weights, or, without
            replacement, weights above 0.
        replacement: Whether a sample may come more than once in an epoch.

    Raises:
        TypeError: The weights are no numbers in one row, `num_samples` is none, or `replacement` is neither true nor
            false.
        ValueError: A weight is negative, infinite or not a number, or all are 0; or `num_samples` is less than 1, or,
            without replacement, more than there are weights above 0. A loader raises it where its source has another
            number of samples.
    """

    def __init__(
        self,
        weights: Sequence[float] | npt.ArrayLike,
        num_samples: int | None = None,
        replacement: bool = True,
    ) -> None:
        array = row("Weighted: weights", weights, "numbers, one for each sample", "iuf")
        self.num_samples = count("Weighted", num_samples)
        self.replacement = truth("Weighted: replacement", replacement)
        given = np.ascontiguousarray(array, np.float64)
        self._native = _native.Order.weighted(given, self.num_samples, self.replacement)
        self._weights = len(array)

    @classmethod
    def balanced(
        cls,
        labels: Source | Sequence[int] | npt.ArrayLike,
        num_samples: int | None = None,
        field: str = "label",
        *,
        replacement: bool = True,
    ) -> Self:
        """Returns an order in which every class is as likely: a sample's weight is 1 over the size of its class.

        Args:
            labels: A whole number for each sample, its class; or the source, whose labels are asked for.
            num_samples: As above.
            field: The field of a source that has the labels.
            replacement: As above.

        Raises:
            TypeError: The labels are no whole numbers in one row; or as above.
            ValueError: There are none, or the source has no such field; or as above.
        """
        given = labels.values(field) if isinstance(labels, Source) else labels
        array = row("Weighted.balanced: labels", given, "whole numbers, one for each sample", "iub")
        _, classes, sizes = np.unique(array, return_inverse=True, return_counts=True)
        return cls((1.0 / sizes)[classes], num_samples, replacement)

    def native(self, source: Any) -> _native.Order:  # noqa: ARG002, ANN401
        """Returns the order over a source as the core has it."""
        return self._native

    def __repr__(self) -> str:
        return f"Weighted({self._weights} weights, num_samples={self.num_samples}, replacement={self.replacement})"
