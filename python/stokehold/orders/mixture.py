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

    Weights may change from an epoch on: passes go on where they were left. A state may be continued with other weights
    for epochs that had not begun when it was taken; where those that had begun had other weights, it is refused.

    The table takes about a byte for each position of an epoch, once for each change of weights, is built once by the
    loader, and shared with the workers.

    Args:
        weights: A number above 0 for each source, in the order of the `concat`; their sum may be any. Or pairs of an
            epoch and the weights from it on, until those of the next pair: ``[(0, [1, 1]), (3, [1, 0])]``. The first
            is epoch 0, and a weight may be 0 there.
        num_samples: How many samples an epoch has, over all ranks and sources; None is as many as all sources have
            together.
        lengths: How many samples each source has, for what is no `concat`: a dataset of Python, or a source that has
            several in it some other way. None asks the loader's source for `Source.lengths`.

    Raises:
        TypeError: Weights or lengths are no numbers.
        ValueError: A weight is not above 0, infinite or not a number, there are none or more than 256, or a number is
            less than 1; or, of pairs, epochs do not rise from 0, there are not as many weights in each, or all of an
            epoch or of a source are 0. A loader raises it where there are more or fewer weights than sources, or its
            source has another length.
    """

    def __init__(
        self,
        weights: Sequence[float] | Sequence[tuple[int, Sequence[float]]],
        num_samples: int | None = None,
        lengths: Sequence[int] | None = None,
    ) -> None:
        self.weights = _stages(weights)
        self.num_samples = count("Mixture", num_samples)
        self.lengths: list[int] | None = None
        if lengths is not None:
            each = items("Mixture: lengths", lengths, "numbers of samples, one for each source")
            self.lengths = [whole(f"Mixture: lengths[{at}]", length, 1, MOST) for at, length in enumerate(each)]
            sources = len(self.weights[0][1])
            if len(self.lengths) != sources:
                raise ValueError(f"Mixture: lengths must be {sources}, one for each weight, not {len(self.lengths)}")

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
        weights = self.weights[0][1] if len(self.weights) == 1 else self.weights
        return f"Mixture({weights}, num_samples={self.num_samples})"


def _stages(given: object) -> list[tuple[int, list[float]]]:
    """Returns weights with the epochs from which on they hold."""
    listed = items("Mixture: weights", given, "numbers above 0, one for each source, or pairs of an epoch and such")
    if not listed:
        raise ValueError("Mixture: weights must have at least one weight")
    if not any(isinstance(each, tuple | list) for each in listed):
        return [(0, _weights("Mixture: weights", listed, is_only=True))]
    stages: list[tuple[int, list[float]]] = []
    for at, pair in enumerate(listed):
        what = f"Mixture: weights[{at}]"
        try:
            first, of_sources = pair
        except (TypeError, ValueError):
            raise TypeError(f"{what} must be a pair of an epoch and its weights, not {shown(pair)}") from None
        epoch = whole(f"{what}[0]", first, 0, 2**64 - 2)
        if not stages and epoch != 0:
            raise ValueError(f"{what}[0] must be 0, the first epoch, not {epoch}")
        if stages and epoch <= stages[-1][0]:
            raise ValueError(f"{what}[0] must be more than {stages[-1][0]}, the epoch before it, not {epoch}")
        numbers = items(f"{what}[1]", of_sources, "numbers, one for each source")
        stages.append((epoch, _weights(f"{what}[1]", numbers, is_only=len(listed) == 1)))
        if len(numbers) != len(stages[0][1]):
            raise ValueError(f"{what}[1] must be {len(stages[0][1])} weights, as those of epoch 0, not {len(numbers)}")
    for source, each in enumerate(zip(*(weights for _, weights in stages), strict=True)):
        if not any(each):
            raise ValueError(
                f"Mixture: weights must be more than 0 in some epoch, and those of source {source} never are: leave a "
                "source out that is not to come"
            )
    return stages


def _weights(what: str, given: list[object], *, is_only: bool) -> list[float]:
    """Returns the weights of an epoch; `is_only` says whether there are no others, and so none may be 0."""
    weights = [real(f"{what}[{at}]", weight) for at, weight in enumerate(given)]
    for at, weight in enumerate(weights):
        if weight < 0.0 or (is_only and weight == 0.0):
            least = "more than 0" if is_only else "0 or more"
            raise ValueError(
                f"{what}[{at}] must be {least}, not {shown(weight)}: leave a source out that is not to come"
            )
    if not any(weights):
        raise ValueError(f"{what} must have a weight above 0")
    return weights
