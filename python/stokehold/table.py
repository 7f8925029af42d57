"""Tables: columns by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from stokehold import _native
from stokehold.checks import shown
from stokehold.columns import Column, by_name, rows
from stokehold.copied import copied
from stokehold.hints import by_keyword, hinted
from stokehold.sources import Source

__all__ = ["Arrays", "Table"]


class Table(Source):
    """Columns by name; sample ``i`` is row ``i`` of each.

    Arrays, lists, texts, images in memory and the paths of files are copied once, here, into shared memory that the
    workers can see; for arrays that NumPy has mapped from a file, see `Arrays`. Files are read and decoded when their
    sample's turn comes, all those of a sample together.

    Args:
        columns: The columns by field name, at least one, all with the same number of rows, at least one; or a DataFrame
            of pandas or polars. A column is `Images`, `Masks`, `BoundingBoxes`, `KeyPoints`, `Lists` or `Audio`; a list
            of ``str``, or a column of texts of pandas, polars or NumPy, which becomes a ragged field of their UTF-8
            (see `Batch.text`); a list of ``bytes``, which becomes a ragged field of ``uint8``, the bytes as they are;
            anything else is taken for an array with a row for each sample, as `Arrays` takes it. An array follows no
            image: masks in memory are a column of `Masks`, and their images one of `Images`.

    Raises:
        TypeError: An argument is of another type, or a column nothing that has rows.
        ValueError: There are no columns or rows, their numbers of rows differ, a dtype cannot be in a batch, or
            masks, boxes or keypoints belong to a column that has no images.
        MemoryError: The copy does not fit under a limit of this process.
    """

    @hinted(by_keyword("Table"), "Table", "columns")
    def __init__(self, columns: Mapping[str, Column | Sequence[str] | Sequence[bytes] | Any]) -> None:
        self._native, self._rows = copied(by_name(f"{type(self).__name__}: columns", columns))

    @property
    def native(self) -> _native.Source:
        """The source as the core has it."""
        return self._native

    def __len__(self) -> int:
        return self._rows

    def __repr__(self) -> str:
        fields = ", ".join(
            f"{field['name']}: {field['dtype']}{list(field['shape'])}"
            if field["kind"] == "tensor"
            else f"{field['name']}: {field['kind']}"
            for field in json.loads(self.native.fields)
        )
        return f"{type(self).__name__}({len(self)} rows of {fields})"


class Arrays(Table):
    """Arrays in memory; sample ``i`` is row ``i`` of each.

    The arrays are copied once, here, into shared memory that the workers can see; they may be dropped afterwards.
    Loaders over the same `Arrays` share the copy. Not copied is what NumPy has mapped from a file for reading
    (``numpy.load(path, mmap_mode="r")``), if it is C-contiguous: workers map the file, which must not be changed.

    Args:
        arrays: The arrays by field name, at least one, all with the same number of rows, at least one.
            Numbers and booleans in the machine's byte order; ``bfloat16`` with ``ml_dtypes``.

    Raises:
        TypeError: An argument is of another type, or an array nothing that has rows.
        ValueError: There are no arrays or rows, their numbers of rows differ, or a dtype cannot be in a batch.
        MemoryError: The copy does not fit under a limit of this process.
    """

    @hinted(by_keyword("Arrays"), "Arrays", "arrays")
    def __init__(self, arrays: Mapping[str, npt.ArrayLike]) -> None:
        owner = "Arrays: arrays"
        columns = {name: rows(name, value, owner) for name, value in by_name(owner, arrays).items()}
        first, count = next(((name, len(each)) for name, each in columns.items()), ("", 0))
        for name, each in columns.items():
            if len(each) != count:
                raise ValueError(f"{owner}: array `{name}` has {len(each)} rows, and `{first}` has {count}")
        if count == 0:
            raise ValueError(f"{owner} must have at least one field and one row, not {shown(arrays)}")
        super().__init__(columns)
