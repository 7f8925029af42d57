"""Columns that are copied to where workers can see them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.checks import shown
from stokehold.columns import Shard, column, field_name, flat
from stokehold.encoded import Images

__all__ = ["copied"]

MAPPED_BYTES: Final = 16 << 10
"""Up to what mean size parts of files are mapped by the workers, rather than read."""


def copied(
    columns: Mapping[str, Any],
    classes: Sequence[str] = (),
    images: Collection[str] = (),
    *,
    owner: str = "Table: columns",
) -> tuple[_native.Source, int]:
    """Copies columns, and returns them as a source, and their number of rows.

    Args:
        columns: The columns by field name.
        classes: The names of the classes that their labels count.
        images: Fields of images that they may follow, beside those of columns.
        owner: The argument that the columns were, for errors.

    Raises:
        ValueError: Numbers of rows differ, a column follows what has no images, or a dtype cannot be in a batch.
    """
    found = {field_name(name, owner): column(name, given, owner) for name, given in columns.items()}
    counts = {name: len(each) for name, each in found.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"`{name}` has {count}" for name, count in counts.items())
        raise ValueError(f"{owner}: the columns differ in their number of rows: {listed}")
    if not any(counts.values()):
        raise ValueError(f"{owner}: a table needs at least one column and one row, not {shown(columns)}")
    described: list[dict[str, Any]] = []
    buffers: list[npt.NDArray[np.uint8]] = []
    shards: dict[Shard, int] = {}
    is_small = True
    for name, each in found.items():
        if each.image is not None and each.image not in images and not isinstance(found.get(each.image), Images):
            what = "; give that as Images(...), which takes arrays too" if each.image in found else ""
            raise ValueError(f"{owner}: column `{name}` belongs to column `{each.image}`, which has no images{what}")
        by, arrays, own = each.stored()
        known = np.array([shards.setdefault(shard, len(shards)) for shard in own], np.uint64)
        if by == "blocks":
            (blocks,) = arrays
            blocks[:, 1] = known[blocks[:, 1]]
        elif by == "parts":
            arrays = (known[arrays[0]].astype(np.uint32), *arrays[1:])
            is_small = is_small and arrays[2].mean() <= MAPPED_BYTES
        numbers = [len(buffers) + at for at in range(len(arrays))]
        buffers.extend(flat(name, array) for array in arrays)
        stored = {by: numbers[0] if len(numbers) == 1 else numbers}
        described.append({"field": {"name": name, **each.spec()}, "stored": stored})
    rows = next(iter(counts.values()), 0)
    # Reading small rows would take longer than what is done with them; large ones are read in advance.
    description = {"rows": rows, "columns": described, "classes": list(classes), "mapped": bool(is_small)}
    return _native.Source.table(json.dumps(description), buffers, list(shards)), rows
