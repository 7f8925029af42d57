"""How samples of other lengths become batches, for ``Loader(cut=...)``.

Each is told how long every sample is, and plans an epoch from that: which samples share a row, or a batch, and where
each of them lies in it. So workers write a sample straight to its span, and nothing is padded or copied afterwards. A
plan is a function of the order, the lengths, the seed and the epoch alone: an epoch is resumed at any batch, with any
number of workers and ranks, and every rank gets as many batches.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.checks import items, names, one_of, real, shown, text, truth, whole
from stokehold.cut import Cut
from stokehold.orders.base import row
from stokehold.sources import Source

__all__ = ["Buckets", "LengthCut", "Packing", "TokenBudget"]

Lengths: TypeAlias = Sequence[int] | npt.ArrayLike | str | None
"""The length of each sample; the field of the source that has it; or None for those of the first field's values."""

Fields: TypeAlias = str | Sequence[str] | Mapping[str, float]
"""The fields that are cut; of a mapping, with what stands for padding, which else is 0."""

TooLong: TypeAlias = Literal["raise", "truncate", "drop"]
"""What becomes of a sample that is too long."""

_MOST: Final = 2**30
"""The most values of a row or a batch."""

_LONGEST: Final = 2**32 - 1
"""The longest sample."""


class LengthCut(Cut):
    """The base of cuts by the lengths of samples."""

    lengths: npt.NDArray[np.uint32] | str | None
    """The length of each sample, the field of the source that has it, or None for what the source itself says."""
    _grouping: dict[str, Any]
    _options: dict[str, Any]

    def _take(
        self,
        lengths: Lengths,
        fields: Fields,
        *,
        marks: Mapping[str, str | None],
        padding: bool,
        multiple: int,
        too_long: TooLong,
        max_samples: int = 1,
        window: int = 1,
    ) -> None:
        owner = type(self).__name__
        self.lengths = lengths if lengths is None or isinstance(lengths, str) else _checked(owner, lengths)
        self.fields = _pads(owner, fields)
        self.padding = truth(f"{owner}: padding", padding)
        self._options = {
            "name": owner,
            "padding": self.padding,
            "multiple": whole(f"{owner}: pad_to_multiple_of", multiple, 1, _MOST),
            "too_long": one_of(f"{owner}: too_long", too_long, get_args(TooLong)),
            "max_samples": whole(f"{owner}: max_samples", max_samples, 1, _MOST),
            "window": whole(f"{owner}: window", window, 1, _MOST),
            "fields": [{"name": name, "pad": pad} for name, pad in self.fields.items()],
            "marks": [
                {"name": text(f"{owner}: {mark}", name, "a str, or None"), "mark": mark}
                for mark, name in marks.items()
                if name is not None
            ],
        }

    @property
    def marks(self) -> list[str]:
        """The names of the fields that tell of those that are cut."""
        return [mark["name"] for mark in self._options["marks"]]

    def native(self, source: Any, batch_size: int) -> _native.Cut:  # noqa: ANN401, ARG002 (a Source, or any dataset)
        """Returns the cut of a source as the core has it."""
        owner, lengths = type(self).__name__, self.lengths
        if not isinstance(lengths, np.ndarray):
            lengths = _found(owner, source, lengths, next(iter(self.fields)))
        options = self._options | {"grouping": self._grouping}
        return _native.Cut(json.dumps(options, allow_nan=False), np.ascontiguousarray(lengths, np.uint32))

    def __repr__(self) -> str:
        ((_, options),) = self._grouping.items()
        given = ", ".join(f"{name}={value!r}" for name, value in options.items())
        return f"{type(self).__name__}({given}, fields={list(self.fields)})"


class Packing(LengthCut):
    """Packs samples into rows of ``seq_len`` values, several in each: a batch has ``batch_size`` such rows.

    A cut field then is an array of (batch_size, seq_len, ...), padded where a row is not full; other fields have a row
    for each sample, in the order of `Batch.indices`. `Batch.cu_seqlens` says where each sample begins.

    The longest samples come first, each into the row that it fills best (``"best_fit"``) or into the first one with
    room for it (``"first_fit"``): best-fit and first-fit decreasing (Johnson, "Near-optimal bin packing algorithms",
    1973), over ``window`` samples of the order at a time. Of lengths such as those of documents, more than 99 percent
    of the rows are values. With ``"concat"``, samples follow each other and are cut where a row ends, so that all
    rows but the last are full; the rest of a sample begins the next row. Where the order is random, so is that of the
    rows; else they come in the order of their first samples.

    Args:
        seq_len: The values of a row, 1 to 2**30.
        lengths: How many values each sample has, one number for each, in the order of the source. Or the field of the
            source that has it. None asks the source for all values of the first of `fields`, which reads them. A sample
            of another length is a bad one.
        fields: The fields that are packed, whose samples vary along their first axis and have the same lengths; with
            what stands for padding, if that is not 0.
        strategy: ``"best_fit"``, ``"first_fit"`` or ``"concat"``.
        too_long: What becomes of samples that are longer than a row, unless they are cut anyway: ``"raise"`` refuses
            them here, ``"truncate"`` takes their beginning, ``"drop"`` leaves them out.
        segment_ids: The name of a field of int32 with the number of the sample in its row, from 1, and 0 for padding;
            None is no such field.
        position_ids: The name of a field of int32 with the number of the value in its sample, from 0, which for the
            rest of a sample begins anew; 0 for padding. None is no such field.
        labels: The name of a field with the values of the first of `fields`, and -100 for padding, which PyTorch's
            ``cross_entropy`` leaves out. None is no such field.
        max_samples: The most samples of a row. A slot has room for as many, each with its other fields, if so many of
            the shortest samples fit into a row.
        window: How many samples of the order are packed together.

    Raises:
        TypeError: An argument is of another type.
        ValueError: A number is out of its range. A loader raises it where a sample is too long, `lengths` are not one
            for each sample, or a field is none of the source's, does not vary, or cannot have its padding.
    """

    def __init__(
        self,
        seq_len: int,
        lengths: Lengths = None,
        fields: Fields = "tokens",
        *,
        strategy: Literal["best_fit", "first_fit", "concat"] = "best_fit",
        too_long: TooLong = "raise",
        segment_ids: str | None = "segment_ids",
        position_ids: str | None = "position_ids",
        labels: str | None = None,
        max_samples: int = 1024,
        window: int = 16384,
    ) -> None:
        marks = {"segment_ids": segment_ids, "position_ids": position_ids, "labels": labels}
        self._take(
            lengths,
            fields,
            marks=marks,
            padding=True,
            multiple=1,
            too_long=too_long,
            max_samples=max_samples,
            window=window,
        )
        self.seq_len = whole("Packing: seq_len", seq_len, 1, _MOST)
        self.strategy = one_of("Packing: strategy", strategy, ("best_fit", "first_fit", "concat"))
        self._grouping = {"packing": {"seq_len": self.seq_len, "strategy": self.strategy}}

    @property
    def extents(self) -> tuple[int | None, ...]:
        """The shape of a row of such a field, as far as its values do not say it themselves."""
        return (self.seq_len,)


class TokenBudget(LengthCut):
    """Makes batches of as many samples as have ``max_tokens`` values together, padding included.

    A cut field then is an array of (samples, longest, ...), padded to the longest sample of the batch; without
    `padding`, a `Ragged` whose values lie one after the other. A batch has few long samples, or many short ones. The
    loader's ``batch_size`` is left out.

    Args:
        max_tokens: The values of a batch, 1 to 2**30.
        lengths: As for `Packing`.
        fields: As for `Packing`.
        padding: Whether samples are padded to one length. If not, nothing is, whatever the lengths.
        pad_to_multiple_of: Lengths are padded to multiples of this, as tensor cores like them.
        sort: Whether samples of like lengths come together, of ``window`` of the order at a time, so that little is
            padded; the batches of a window come in a random order, if samples do. If not, a batch has samples that
            follow each other.
        too_long: What becomes of samples that are longer than a batch: as for `Packing`.
        mask: The name of a field of bool that says where there is a value; None is no such field.
        segment_ids: As for `Packing`; of a batch, instead of a row. By default no such field.
        position_ids: As for `Packing`; by default no such field.
        labels: As for `Packing`.
        max_samples: The most samples of a batch.
        window: How many samples of the order are sorted together.

    Raises:
        TypeError: An argument is of another type.
        ValueError: As for `Packing`; or the loader's ``batch_size`` is given.
    """

    def __init__(
        self,
        max_tokens: int,
        lengths: Lengths = None,
        fields: Fields = "tokens",
        *,
        padding: bool = True,
        pad_to_multiple_of: int = 1,
        sort: bool = True,
        too_long: TooLong = "raise",
        mask: str | None = None,
        segment_ids: str | None = None,
        position_ids: str | None = None,
        labels: str | None = None,
        max_samples: int = 1024,
        window: int = 16384,
    ) -> None:
        marks = {"mask": mask, "segment_ids": segment_ids, "position_ids": position_ids, "labels": labels}
        self._take(
            lengths,
            fields,
            marks=marks,
            padding=padding,
            multiple=pad_to_multiple_of,
            too_long=too_long,
            max_samples=max_samples,
            window=window,
        )
        self.max_tokens = whole("TokenBudget: max_tokens", max_tokens, 1, _MOST)
        self.sort = truth("TokenBudget: sort", sort)
        self._grouping = {"budget": {"max_tokens": self.max_tokens, "sorted": self.sort}}


class Buckets(LengthCut):
    """Makes batches of samples of like lengths, so many of each bucket.

    Samples are gathered in the order of the epoch, each in the bucket of its length, and a bucket that is full is a
    batch; what is left at the epoch's end are smaller ones, unless the loader has ``drop_last``. A cut field is an
    array of (samples, longest, ...), as of `TokenBudget`. The loader's ``batch_size`` is left out.

    Args:
        boundaries: The longest length of each bucket, in rising order. What is longer than the last one is too long.
            One alone pads what follows each other.
        batch_sizes: How many samples a batch has: a number, or one for each bucket.
        lengths: As for `Packing`.
        fields: As for `Packing`.
        padding: As for `TokenBudget`.
        pad_to: ``"longest"`` pads to the longest sample of the batch; ``"boundary"`` to that of its bucket, so that
            there are as many shapes as buckets, for compilers.
        pad_to_multiple_of: As for `TokenBudget`.
        too_long: As for `Packing`.
        mask: As for `TokenBudget`.
        segment_ids: As for `TokenBudget`.
        position_ids: As for `TokenBudget`.
        labels: As for `Packing`.

    Raises:
        TypeError: An argument is of another type.
        ValueError: As for `TokenBudget`; or boundaries do not rise.
    """

    def __init__(
        self,
        boundaries: Sequence[int],
        batch_sizes: int | Sequence[int],
        lengths: Lengths = None,
        fields: Fields = "tokens",
        *,
        padding: bool = True,
        pad_to: Literal["longest", "boundary"] = "longest",
        pad_to_multiple_of: int = 1,
        too_long: TooLong = "raise",
        mask: str | None = None,
        segment_ids: str | None = None,
        position_ids: str | None = None,
        labels: str | None = None,
    ) -> None:
        marks = {"mask": mask, "segment_ids": segment_ids, "position_ids": position_ids, "labels": labels}
        self._take(
            lengths,
            fields,
            marks=marks,
            padding=padding,
            multiple=pad_to_multiple_of,
            too_long=too_long,
        )
        ends = items("Buckets: boundaries", boundaries, "a sequence of integers, in rising order")
        self.boundaries = [whole(f"Buckets: boundaries[{at}]", end, 1, _MOST) for at, end in enumerate(ends)]
        if not self.boundaries or any(low >= high for low, high in pairwise(self.boundaries)):
            raise ValueError(f"Buckets: boundaries must rise, and be at least one, unlike {shown(boundaries)}")
        self.batch_sizes = _sizes(batch_sizes, len(self.boundaries))
        whole_bucket = one_of("Buckets: pad_to", pad_to, ("longest", "boundary")) == "boundary"
        self._grouping = {
            "buckets": {"ends": self.boundaries, "sizes": self.batch_sizes, "whole": whole_bucket},
        }


def _sizes(given: Any, count: int) -> list[int]:  # noqa: ANN401 (whatever a user gives)
    """Returns the samples of a batch of each bucket."""
    meaning = "an integer, or a sequence of one for each bucket"
    if not isinstance(given, Sequence | np.ndarray):
        return [whole("Buckets: batch_sizes", given, 1, _MOST, other=", or a sequence of them")] * count
    sizes = [
        whole(f"Buckets: batch_sizes[{at}]", size, 1, _MOST)
        for at, size in enumerate(items("Buckets: batch_sizes", given, meaning))
    ]
    if len(sizes) != count:
        raise ValueError(f"Buckets: batch_sizes must be one for each boundary, {count}, not {len(sizes)}")
    return sizes


def _pads(owner: str, fields: Any) -> dict[str, float]:  # noqa: ANN401 (whatever a user gives)
    """Returns the fields that are cut, with what stands for padding."""
    what = f"{owner}: fields"
    if isinstance(fields, Mapping):
        each = {text(what, name): real(f"{what}[{name!r}]", pad) for name, pad in fields.items()}
    elif isinstance(fields, str):
        each = {fields: 0.0}
    else:
        each = dict.fromkeys(
            names(what, fields, "a str, a sequence of str, or a mapping to what stands for padding"), 0.0
        )
    if not each:
        raise ValueError(f"{what} must have at least one field")
    return each


def _checked(owner: str, lengths: Any) -> npt.NDArray[np.uint32]:  # noqa: ANN401 (whatever a user gives)
    """Returns lengths as the core has them, or raises an error that says what they are to be."""
    what = f"{owner}: lengths"
    array = row(what, lengths, "whole numbers, one for each sample", "iu")
    least, most = int(array.min()), int(array.max())
    if least < 0 or most > _LONGEST:
        at = int(array.argmin() if least < 0 else array.argmax())
        raise ValueError(f"{what}[{at}] must be 0 to {_LONGEST}, not {int(array[at])}")
    return array.astype(np.uint32)


def _found(owner: str, source: Any, lengths: str | None, first: str) -> npt.NDArray[np.uint32]:  # noqa: ANN401
    """Returns the lengths that a source itself says."""
    if not isinstance(source, Source):
        given = "not given" if lengths is None else f"a field, {lengths!r}"
        raise TypeError(
            f"{owner}: lengths must be numbers for {type(source).__name__}, which is no stokehold source, and are "
            f"{given}"
        )
    values = source.values(first if lengths is None else lengths)
    if lengths is not None:
        return _checked(owner, values)
    if isinstance(values, np.ndarray):
        found = f"field {first!r} has one length for all samples: it is no field that varies"
        raise ValueError(f"{owner}: {found}")  # noqa: TRY004 (the field is of the right type)
    return np.fromiter((len(value) for value in values), np.uint32, len(values))
