"""Several sources by weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from stokehold import _native
from stokehold.checks import items, real, shown, whole
from stokehold.orders.base import MOST, Order, count
from stokehold.sources import Source

__all__ = ["Mixture"]


class Mixture(Order):
    """Mixes the sources of a `concat` by weight, exactly over every prefix of an epoch.

    Of the first n samples of an epoch, over all ranks, within 1 of n times its weight are a source's, by Tijdeman's
    algorithm ("The chairman assignment problem", 1980); the turns of the sources are the same in every epoch and for
    every seed. A source's samples come in passes, each of which has every one of them once, shuffled anew; where an
    epoch ends in the middle of a pass, the next epoch goes on there. So a small source comes several times in an
    epoch, with other random transforms each time, and a large one needs several epochs.

    The table takes about a byte for each position of an epoch, is built once by the loader, and shared with the
    workers.

    Args:
        weights: A number above 0 for each source, in the order of the `concat`; their sum may be any.
        num_samples: How many samples an epoch has, over all ranks and sources; None is as many as all sources have
            together.
        lengths: How many samples each source has, for what is no `concat`: a dataset of Python, or a source that has
            several in it some other way. None asks the loader's source for `Source.lengths`.

    Raises:
        TypeError: Weights or lengths are no numbers.
        ValueError: A weight is not above 0, infinite or not a number, there are none or more than 256, or a number is
            less than 1. A loader raises it where there are more or fewer weights than sources, or its source has
            another length.
    """

    def __init__(
        self, weights: Sequence[float], num_samples: int | None = None, lengths: Sequence[int] | None = None
    ) -> None:
        given = items("Mixture: weights", weights, "numbers above 0, one for each source")
        self.weights = [real(f"Mixture: weights[{at}]", weight) for at, weight in enumerate(given)]
        for at, weight in enumerate(self.weights):
            if weight <= 0.0:
                raise ValueError(
                    f"Mixture: weights[{at}] must be more than 0, not {shown(weight)}: leave a source out that is not "
                    "to come"
                )
        if not self.weights:
            raise ValueError("Mixture: weights must have at least one weight")
        self.num_samples = count("Mixture", num_samples)
        self.lengths: list[int] | None = None
        if lengths is not None:
            each = items("Mixture: lengths", lengths, "numbers of samples, one for each source")
            self.lengths = [whole(f"Mixture: lengths[{at}]", length, 1, MOST) for at, length in enumerate(each)]
            if len(self.lengths) != len(self.weights):
                raise ValueError(
                    f"Mixture: lengths must be {len(self.weights)}, one for each weight, not {len(self.lengths)}"
                )

    @classmethod
    def of_counts(cls, counts: Sequence[int], lengths: Sequence[int] | None = None) -> Self:
        """Returns a mixture whose epochs have exactly so many samples of each source.

        Args:
            counts: How many, 1 or more of each source.
            lengths: As above.

        Raises:
            TypeError: A number is none.
            ValueError: A number is less than 1.
        """
        given = items("Mixture.of_counts: counts", counts, "numbers of samples, one for each source")
        numbers = [whole(f"Mixture.of_counts: counts[{at}]", count, 1, MOST) for at, count in enumerate(given)]
        return cls([float(number) for number in numbers], sum(numbers) or None, lengths)

    def native(self, source: Any) -> _native.Order:  # noqa: ANN401 (a Source, or any dataset)
        """Returns the order over a source as the core has it."""
        lengths = self.lengths
        if lengths is None:
            lengths = list(source.lengths if isinstance(source, Source) else [len(source)])
        return _native.Order.mixture(self.weights, lengths, self.num_samples)

    def __repr__(self) -> str:
        return f"Mixture({self.weights}, num_samples={self.num_samples})"
