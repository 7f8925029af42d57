"""Tables: columns by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.columns import Column, Shard, column, field_name, flat, rows
from stokehold.encoded import Images
from stokehold.sources import Source

__all__ = ["Arrays", "Table"]

MAPPED_BYTES: Final = 16 << 10
"""Up to what mean size parts of files are mapped by the workers, rather than read."""


class Table(Source):
    """Columns by name; sample ``i`` is row ``i`` of each.

    Arrays, lists, texts, images in memory and the paths of files are copied once, here, into shared memory that the
    workers can see. Files are read and decoded when their sample's turn comes, all those of a sample together.

    Args:
        columns: The columns by field name, at least one, all with the same number of rows, at least one: `Images`,
            `Masks`, `BoundingBoxes`, `KeyPoints`, `Lists`; a list of ``str``, which becomes a ragged field of their
            UTF-8 (see `Batch.text`); a list of ``bytes``, which becomes a ragged field of ``uint8``, the bytes as they
            are; anything else is taken for an array with a row for each sample, as `Arrays` takes it. An array follows
            no image: masks in memory are a column of `Masks`, and their images one of `Images`.

    Raises:
        ValueError: There are no columns or rows, their numbers of rows differ, a dtype cannot be in a batch, or
            masks, boxes or keypoints belong to a column that has no images.
        MemoryError: The copy does not fit under a limit of this process.
    """

    _classes: Sequence[str] = ()

    def __init__(self, columns: Mapping[str, Column | Sequence[str] | Sequence[bytes] | Any]) -> None:
        found = {name: column(name, given) for name, given in columns.items()}
        counts = {name: len(each) for name, each in found.items()}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"`{name}` has {count}" for name, count in counts.items())
            raise ValueError(f"the columns differ in their number of rows: {listed}")
        described: list[dict[str, Any]] = []
        buffers: list[npt.NDArray[np.uint8]] = []
        shards: dict[Shard, int] = {}
        small = True
        for name, each in found.items():
            if each.image is not None and not isinstance(found.get(each.image), Images):
                what = "; give that as Images(...), which takes arrays too" if each.image in found else ""
                raise ValueError(f"column `{name}` belongs to column `{each.image}`, which has no images{what}")
            by, arrays, own = each.stored()
            known = np.array([shards.setdefault(shard, len(shards)) for shard in own], np.uint64)
            if by == "blocks":
                (blocks,) = arrays
                blocks[:, 1] = known[blocks[:, 1]]
            elif by == "parts":
                arrays = (known[arrays[0]].astype(np.uint32), *arrays[1:])
                small &= arrays[2].mean() <= MAPPED_BYTES
            numbers = [len(buffers) + at for at in range(len(arrays))]
            buffers.extend(flat(name, array) for array in arrays)
            stored = {by: numbers[0] if len(numbers) == 1 else numbers}
            described.append({"field": {"name": field_name(name), **each.spec()}, "stored": stored})
        self._rows = next(iter(counts.values()), 0)
        self._native = _native.Source.table(
            # Reading small rows would take longer than what is done with them; large ones are read in advance.
            json.dumps(
                {"rows": self._rows, "columns": described, "mapped": bool(small), "classes": list(self._classes)}
            ),
            buffers,
            list(shards),
        )
        self._fields = [each["field"] for each in described]

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
            for field in self._fields
        )
        return f"{type(self).__name__}({len(self)} rows of {fields})"


class Arrays(Table):
    """Arrays in memory; sample ``i`` is row ``i`` of each.

    The arrays are copied once, here, into shared memory that the workers can see; they may be dropped afterwards.
    Loaders over the same `Arrays` share the copy.

    Args:
        arrays: The arrays by field name, at least one, all with the same number of rows, at least one.
            Numbers and booleans in the machine's byte order; ``bfloat16`` with ``ml_dtypes``.

    Raises:
        ValueError: There are no arrays or rows, their numbers of rows differ, or a dtype cannot be in a batch.
        MemoryError: The copy does not fit under a limit of this process.
    """

    def __init__(self, arrays: Mapping[str, npt.ArrayLike]) -> None:
        columns = {name: rows(name, value) for name, value in arrays.items()}
        first, count = next(((name, len(each)) for name, each in columns.items()), ("", 0))
        for name, each in columns.items():
            if len(each) != count:
                raise ValueError(f"array `{name}` has {len(each)} rows, and `{first}` has {count}")
        if count == 0:
            raise ValueError("arrays need at least one field and one row")
        super().__init__(columns)
