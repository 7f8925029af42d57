"""A table over record batches of Arrow's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from stokehold.arrow.building import Storage
from stokehold.arrow.fields import Choice, Field, Fill, Nulls, fields_of
from stokehold.arrow.places import Places, Region, Spool
from stokehold.arrow.types import Hint, damage
from stokehold.audio import Waveform, waveforms
from stokehold.checks import extents, mapping, names, one_of, shown, text
from stokehold.columns import Column, Rows
from stokehold.copied import copied
from stokehold.table import Table

__all__ = ["ArrowTable", "Batches", "chosen"]

Batches = Iterable[tuple[str, Any]]
"""Record batches, each with what it is called; rows of one that has no name are called by the numbers of samples."""


class ArrowTable(Table):
    """Rows of record batches, which are left where they lie."""

    def __init__(
        self,
        choice: Choice,
        schema: Any,
        *,
        batches: Batches,
        hints: Mapping[str, Hint],
        regions: Sequence[Region],
        indices: npt.NDArray[np.int64] | None = None,
    ) -> None:
        fields = fields_of(choice, schema, hints)
        called, ends = _taken(choice.owner, fields, batches)
        total = int(ends[-1]) if len(ends) else 0
        if total == 0 or (indices is not None and len(indices) == 0):
            raise ValueError(f"{choice.owner}: there are no rows")
        if indices is not None and (indices.min() < 0 or indices.max() >= total):
            raise ValueError(f"{choice.owner}: its indices lead beyond the {total} rows that there are")

        def name_row(sample: int) -> str:
            row = sample if indices is None else int(indices[sample])
            at = int(np.searchsorted(ends, row, "right"))
            first = int(ends[at - 1]) if at else 0
            return f"{choice.owner}: {called[at]}, row {row - first}" if called[at] else f"{choice.owner}: row {sample}"

        # What is written out lasts as long as the source.
        self._spool = Spool()
        storage = Storage(Places(regions), self._spool, indices, name_row)
        columns: dict[str, Column] = {}
        for name, field in fields.items():
            columns[name] = field.builder.finish(storage)
            if choice.nulls == "mask":
                if f"{name}_valid" in fields:
                    raise ValueError(
                        f"{choice.owner}: the mask of `{name}` would be called as the field `{name}_valid`"
                    )
                columns[f"{name}_valid"] = Rows(field.builder.valid)
        self._class_names = {
            name: list(field.leaf.hint.names)
            for name, field in fields.items()
            if field.leaf.hint and field.leaf.hint.names
        }
        classes = list(self._class_names.values())
        self._native, self._rows = copied(columns, classes[0] if len(classes) == 1 else ())
        self.counters = {
            f"nulls_of_{name}": each.builder.filled for name, each in fields.items() if each.builder.filled
        }

    @property
    def class_names(self) -> Mapping[str, Sequence[str]]:
        """For each field of labels that have names, the names of its classes, in the order of their numbers."""
        return self._class_names


def _taken(owner: str, fields: Mapping[str, Field], batches: Batches) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Has all fields take all batches, and returns what those are called, and where each ends."""
    called: list[str] = []
    counts: list[int] = []
    for name, batch in batches:
        if batch.num_rows == 0:
            continue
        for field in fields.values():
            try:
                field.take(batch)
            except damage() as error:
                raise ValueError(f"{owner}: {name}: column `{field.leaf.name}`: {error}") from error
        called.append(name)
        counts.append(batch.num_rows)
    return called, np.cumsum(counts, dtype=np.int64)


def chosen(
    owner: str,
    *,
    columns: Sequence[str] | Mapping[str, str] | None,
    images: Sequence[str],
    audio: Mapping[str, Waveform] | None,
    shapes: Mapping[str, Sequence[int | None]] | None,
    nulls: Nulls,
    fill: Mapping[str, Fill] | None,
    root: str | None = None,
) -> Choice:
    """Returns what a user has asked for, checked as far as that can be without data.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument has a value that is not allowed.
    """
    nulls = one_of(f"{owner}: nulls", nulls, get_args(Nulls))
    if isinstance(columns, Mapping):
        given = mapping(f"{owner}: columns", columns, "a mapping of fields to columns")
        columns = {name: text(f"{owner}: columns[{name!r}]", there) for name, there in given.items()}
    elif columns is not None:
        columns = names(
            f"{owner}: columns", columns, "a sequence of names, a mapping of fields to names, or None for all"
        )
    if columns is not None and not columns:
        raise ValueError(f"{owner}: columns must have at least one name, or be None for all, not {shown(columns)}")
    listed = names(f"{owner}: images", images, "a sequence of names")
    found = mapping(f"{owner}: shapes", {} if shapes is None else shapes, "a mapping of fields to shapes")
    rooms = {name: tuple(extents(f"{owner}: shapes[{name!r}]", shape, least=1)) for name, shape in found.items()}
    filled = mapping(f"{owner}: fill", {} if fill is None else fill, "a mapping of fields to values")
    return Choice(owner, columns, listed, waveforms(owner, audio), rooms, nulls, filled, root)
