"""Columns that are copied to where workers can see them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.columns import Shard, column, field_name, flat
from stokehold.encoded import Images

__all__ = ["copied"]


def copied(
    columns: Mapping[str, Any], classes: Sequence[str] = (), images: Collection[str] = ()
) -> tuple[_native.Source, int]:
    """Copies columns, and returns them as a source, and their number of rows.

    Args:
        columns: The columns by field name.
        classes: The names of the classes that their labels count.
        images: Fields of images that they may follow, beside those of columns.

    Raises:
        ValueError: Numbers of rows differ, a column follows what has no images, or a dtype cannot be in a batch.
    """
    found = {name: column(name, given) for name, given in columns.items()}
    counts = {name: len(each) for name, each in found.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"`{name}` has {count}" for name, count in counts.items())
        raise ValueError(f"the columns differ in their number of rows: {listed}")
    described: list[dict[str, Any]] = []
    buffers: list[npt.NDArray[np.uint8]] = []
    shards: dict[Shard, int] = {}
    for name, each in found.items():
        if each.image is not None and each.image not in images and not isinstance(found.get(each.image), Images):
            what = "; give that as Images(...), which takes arrays too" if each.image in found else ""
            raise ValueError(f"column `{name}` belongs to column `{each.image}`, which has no images{what}")
        by, arrays, own = each.stored()
        if by == "blocks":
            (blocks,) = arrays
            known = [shards.setdefault(shard, len(shards)) for shard in own]
            blocks[:, 1] = np.array(known, np.uint64)[blocks[:, 1]]
        numbers = [len(buffers) + at for at in range(len(arrays))]
        buffers.extend(flat(name, array) for array in arrays)
        stored = {by: numbers[0] if len(numbers) == 1 else numbers}
        described.append({"field": {"name": field_name(name), **each.spec()}, "stored": stored})
    rows = next(iter(counts.values()), 0)
    # Rows of arrays in files are small as a rule, and reading each would take longer than what is done with it.
    description = {"rows": rows, "columns": described, "classes": list(classes), "mapped": True}
    return _native.Source.table(json.dumps(description), buffers, list(shards)), rows
