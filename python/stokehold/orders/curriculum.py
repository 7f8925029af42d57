"""The easiest samples first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.checks import one_of, real
from stokehold.orders.base import Order, count, row

__all__ = ["Curriculum"]


class Curriculum(Order):
    """Draws the easiest samples first, and from more of them as training goes on.

    It is the competence-based curriculum learning of Platanios et al. (NAACL 2019), after Bengio et al. (ICML 2009): at
    each position, `start` of the samples and a share that rises with every position may come, the easiest ones, each as
    likely; after `epochs` epochs, all may. Samples as easy as each other may come from the same position on, so that a
    difficulty of three levels makes three steps.

    Where it can be, a sample is dealt and not drawn: positions go through all samples in passes, each in a random
    order, and only where the sample whose turn it is is still too hard, one that may come is drawn in its stead. So
    once all may come, each comes once in a pass, which is an epoch, unless `num_samples` says otherwise. What
    `on_error="replace"` puts in place of a bad sample is drawn from the whole source.

    Args:
        difficulty: A finite number for each sample of the source, in its order: the length of a text, the loss of an
            earlier model. Only their order counts.
        epochs: After how many epochs all samples may come: more than 0, and not only whole numbers.
        schedule: How the share rises: ``"linear"``, by as much in each position; or ``"root"``, as the square root
            does, where samples are added more slowly the more there are.
        start: The share of the samples that may come at the beginning, more than 0 and at most 1.
        num_samples: How many positions an epoch has, over all ranks; None is as many as there are samples.

    Raises:
        TypeError: The difficulties are no numbers in one row, another argument is no number, or `schedule` no text.
        ValueError: A difficulty is infinite or not a number, there are none, or an argument is out of range. A loader
            raises it where its source has another number of samples.
    """

    def __init__(
        self,
        difficulty: Sequence[float] | npt.ArrayLike,
        epochs: float,
        schedule: Literal["linear", "root"] = "root",
        start: float = 0.01,
        num_samples: int | None = None,
    ) -> None:
        array = row("Curriculum: difficulty", difficulty, "numbers, one for each sample", "iuf")
        self.epochs, self.start = real("Curriculum: epochs", epochs), real("Curriculum: start", start)
        self.schedule = one_of("Curriculum: schedule", schedule, ("linear", "root"))
        self.num_samples = count("Curriculum", num_samples)
        given = np.ascontiguousarray(array, np.float64)
        by_root = self.schedule == "root"
        self._native = _native.Order.curriculum(given, by_root, self.start, self.epochs, self.num_samples)
        self._difficulties = len(array)

    def native(self, source: Any) -> _native.Order:  # noqa: ARG002, ANN401
        """Returns the order over a source as the core has it."""
        return self._native

    def __repr__(self) -> str:
        return (
            f"Curriculum({self._difficulties} difficulties, epochs={self.epochs}, schedule={self.schedule!r}, "
            f"start={self.start}, num_samples={self.num_samples})"
        )
