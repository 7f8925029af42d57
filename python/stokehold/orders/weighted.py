"""Samples drawn by weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.orders.base import Order, count, row
from stokehold.sources import Source

__all__ = ["Weighted"]


class Weighted(Order):
    """Draws samples by weight, with replacement, as torch's ``WeightedRandomSampler`` does.

    Each position of an epoch is a draw by itself, and a sample that comes more than once has other random transforms
    each time. A draw takes the same time however many weights there are: the table is that of Walker's alias method
    (1977) as Vose builds it (1991), of 16 bytes for each weight, built once and shared with the workers. Without
    replacement, draw the indices by NumPy's ``Generator.choice(p=...)`` and give them to `Explicit`.

    Args:
        weights: A number of 0 or more for each sample of the source, in its order; their sum may be any. A sample of
            weight 0 never comes.
        num_samples: How many samples an epoch draws, over all ranks; None is as many as there are weights.

    Raises:
        TypeError: The weights are no numbers in one row, or `num_samples` is none.
        ValueError: A weight is negative, infinite or not a number, or all are 0; or `num_samples` is less than 1. A
            loader raises it where its source has another number of samples.
    """

    def __init__(self, weights: Sequence[float] | npt.ArrayLike, num_samples: int | None = None) -> None:
        array = row("Weighted: weights", weights, "numbers, one for each sample", "iuf")
        self.num_samples = count("Weighted", num_samples)
        self._native = _native.Order.weighted(np.ascontiguousarray(array, np.float64), self.num_samples)
        self._weights = len(array)

    @classmethod
    def balanced(
        cls, labels: Source | Sequence[int] | npt.ArrayLike, num_samples: int | None = None, field: str = "label"
    ) -> Self:
        """Returns an order in which every class is as likely: a sample's weight is 1 over the size of its class.

        Args:
            labels: A whole number for each sample, its class; or the source, whose labels are asked for.
            num_samples: As above.
            field: The field of a source that has the labels.

        Raises:
            TypeError: The labels are no whole numbers in one row.
            ValueError: There are none, or the source has no such field.
        """
        given = labels.values(field) if isinstance(labels, Source) else labels
        array = row("Weighted.balanced: labels", given, "whole numbers, one for each sample", "iub")
        _, classes, sizes = np.unique(array, return_inverse=True, return_counts=True)
        return cls((1.0 / sizes)[classes], num_samples)

    def native(self, source: Any) -> _native.Order:  # noqa: ARG002, ANN401
        """Returns the order over a source as the core has it."""
        return self._native

    def __repr__(self) -> str:
        return f"Weighted({self._weights} weights, num_samples={self.num_samples})"
