"""Orders of the samples of an epoch, for ``Loader(order=...)``.

Each says which sample comes at a position of an epoch as a function of the loader's seed, the epoch and the position
alone, so that an epoch is resumed at any place, with any number of workers, ranks and rows of a batch. An epoch has as
many positions as the order says, of which batches and ranks take theirs in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.checks import items, real, shown, whole
from stokehold.sources import Source

__all__ = ["Explicit", "Mixture", "Order", "Repeated", "Weighted"]

_MOST: Final = 2**62 - 1
"""The most positions of an epoch."""


class Order:
    """The base of all orders."""

    def native(self, source: Any) -> _native.Order:  # noqa: ANN401 (a Source, or any dataset)
        """Returns the order over a source as the core has it."""
        raise NotImplementedError(f"{type(self).__name__}: an order of your own is an Explicit of its indices")

    def listed(self, epoch: int) -> npt.NDArray[np.uint64] | None:  # noqa: ARG002
        """Returns the indices of an epoch, where each epoch has others; else None."""
        return None


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
        array = _row("Weighted: weights", weights, "numbers, one for each sample", "iuf")
        self.num_samples = _count("Weighted", num_samples)
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
        array = _row("Weighted.balanced: labels", given, "whole numbers, one for each sample", "iub")
        _, classes, sizes = np.unique(array, return_inverse=True, return_counts=True)
        return cls((1.0 / sizes)[classes], num_samples)

    def native(self, source: Any) -> _native.Order:  # noqa: ARG002, ANN401
        """Returns the order over a source as the core has it."""
        return self._native

    def __repr__(self) -> str:
        return f"Weighted({self._weights} weights, num_samples={self.num_samples})"


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
        self.num_samples = _count("Repeated", num_samples)
        self._native = _native.Order.repeated(self.times, self.num_samples)

    def native(self, source: Any) -> _native.Order:  # noqa: ARG002, ANN401
        """Returns the order over a source as the core has it."""
        return self._native

    def __repr__(self) -> str:
        return f"Repeated({self.times}, num_samples={self.num_samples})"


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
        self.num_samples = _count("Mixture", num_samples)
        self.lengths: list[int] | None = None
        if lengths is not None:
            each = items("Mixture: lengths", lengths, "numbers of samples, one for each source")
            self.lengths = [whole(f"Mixture: lengths[{at}]", length, 1, _MOST) for at, length in enumerate(each)]
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
        numbers = [whole(f"Mixture.of_counts: counts[{at}]", count, 1, _MOST) for at, count in enumerate(given)]
        return cls([float(number) for number in numbers], sum(numbers) or None, lengths)

    def native(self, source: Any) -> _native.Order:  # noqa: ANN401 (a Source, or any dataset)
        """Returns the order over a source as the core has it."""
        lengths = self.lengths
        if lengths is None:
            lengths = list(source.lengths if isinstance(source, Source) else [len(source)])
        return _native.Order.mixture(self.weights, lengths, self.num_samples)

    def __repr__(self) -> str:
        return f"Mixture({self.weights}, num_samples={self.num_samples})"


def _count(owner: str, num_samples: object) -> int | None:
    """Returns a number of positions, or None."""
    return None if num_samples is None else whole(f"{owner}: num_samples", num_samples, 1, _MOST, other=", or None")


def _indices(given: Any) -> npt.NDArray[np.uint64]:  # noqa: ANN401
    """Returns indices as the core has them."""
    array = _row("Explicit: indices", given, "whole numbers", "iu")
    if (least := int(array.min())) < 0:
        raise ValueError(f"Explicit: indices must be 0 or more, not {least}")
    return np.ascontiguousarray(array, np.uint64)


def _row(what: str, given: Any, meaning: str, kinds: str) -> npt.NDArray[Any]:  # noqa: ANN401
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
