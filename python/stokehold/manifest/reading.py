"""Reads a manifest, and makes columns of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from stokehold.columns import Column
from stokehold.manifest.cells import CellError, Gathering, Numbers, Paths, TextCells
from stokehold.manifest.kinds import (
    BoxColumn,
    KeyPointColumn,
    LabelColumn,
    ListColumn,
    ManifestColumn,
    MultiLabelColumn,
    NumberColumn,
    PathColumn,
    TextColumn,
)
from stokehold.manifest.labels import Labels, MultiLabels
from stokehold.manifest.learn import Learning, TextLearning, ValueLearning
from stokehold.manifest.lists import ListCells
from stokehold.manifest.rows import Block, Cells, ManifestRows

__all__ = ["Columns", "Reading"]

Columns: TypeAlias = Mapping[str, ManifestColumn | None] | None
"""The fields by name, and what each is; None for what is to be learned."""


class Reading:
    """Reads a manifest: once to learn what is not said, and once for its columns."""

    def __init__(self, rows: ManifestRows, root: Path | None, na: Sequence[str]) -> None:
        self._rows = rows
        self._root = os.fsencode(rows.path.parent if root is None else root) + b"/"
        self._is_free = root is None
        self._missing = frozenset(("", *na)) if rows.has_texts else frozenset()
        self.counters: Counter[str] = Counter()
        self.class_names: dict[str, list[str]] = {}

    def kinds(self, columns: Columns) -> dict[str, ManifestColumn]:
        """Returns what each field is."""
        if columns is not None and None not in columns.values():
            return {name: kind for name, kind in columns.items() if kind is not None}
        found: dict[str, Learning] = {}
        for block in self._rows.blocks():
            for name in block.columns if columns is None else (name for name, kind in columns.items() if kind is None):
                learning = found.setdefault(name, TextLearning() if self._rows.has_texts else ValueLearning())
                self._learn(learning, name, self._cells(block, name), block.lines)
        if columns is None and "" in found:
            what = "the header has a column without a name, as an index that pandas wrote (index=False writes none)"
            raise self._rows.error(1, f"{what}: columns={{...}} says which columns are fields")
        if columns is None:
            return {name: learning.kind() for name, learning in found.items()}
        return {name: kind or found[name].kind() for name, kind in columns.items()}

    def _learn(self, learning: Learning, name: str, cells: Cells, lines: Sequence[int]) -> None:
        missing = self._missing_of(cells)
        there = [at for at in range(len(cells)) if at not in missing] if missing else range(len(cells))
        if not there:
            return
        try:
            learning.add([cells[at] for at in there] if missing else cells)
        except CellError as error:
            raise self._error(lines[there[error.row]], name, error.what) from None

    def columns(self, kinds: Mapping[str, ManifestColumn]) -> dict[str, Column]:
        """Reads the columns of all fields."""
        gathered = {name: self._gathering(kind) for name, kind in kinds.items()}
        rows = 0
        for block in self._rows.blocks():
            for kept in self._kept(block, kinds):
                rows += len(kept.lines)
                for name, gathering in gathered.items():
                    self._add(gathering, name, kinds[name], kept)
        if rows == 0:
            raise ValueError(f"`{self._rows.path}` has no rows" + (", but for those left out" if self.counters else ""))
        found = {}
        for name, gathering in gathered.items():
            try:
                found[name] = gathering.column()
            except ValueError as error:
                raise ValueError(f"`{self._rows.path}` column `{kinds[name].column or name}`: {error}") from None
            if gathering.classes:
                self.class_names[name] = list(gathering.classes)
        return found

    def _gathering(self, kind: ManifestColumn) -> Gathering:
        texts = self._rows.has_texts
        if isinstance(kind, PathColumn):
            return Paths(kind, self._root, is_free=self._is_free)
        if isinstance(kind, TextColumn):
            return TextCells()
        if isinstance(kind, NumberColumn):
            return Numbers(kind)
        if isinstance(kind, LabelColumn):
            return Labels(kind, texts=texts)
        if isinstance(kind, MultiLabelColumn):
            return MultiLabels(kind, texts=texts)
        if isinstance(kind, ListColumn | BoxColumn | KeyPointColumn):
            return ListCells(kind)
        raise TypeError(f"a column of a manifest cannot be a {type(kind).__name__}")

    def _kept(self, block: Block, kinds: Mapping[str, ManifestColumn]) -> Iterator[Block]:
        """Returns the columns of all fields, without the rows that are to be left out."""
        columns = {name: self._cells(block, kind.column or name) for name, kind in kinds.items()}
        left_out: set[int] = set()
        for name, kind in kinds.items():
            if kind.missing == "skip":
                left_out |= self._missing_of(columns[name], kind)
        if not left_out:
            yield Block(columns, block.lines)
            return
        self.counters["rows_with_missing_values"] += len(left_out)
        kept = [at for at in range(len(block.lines)) if at not in left_out]
        if kept:
            columns = {name: [cells[at] for at in kept] for name, cells in columns.items()}
            yield Block(columns, [block.lines[at] for at in kept])

    def _cells(self, block: Block, name: str) -> Cells:
        """Returns the cells of a column."""
        cells = block.columns.get(name)
        if cells is None and not self._rows.has_texts:
            return [None] * len(block.lines)
        if cells is None:
            there = ", ".join(f"`{other}`" for other in block.columns)
            raise ValueError(f"`{self._rows.path}` has no column `{name}`; there are {there}")
        return cells

    def _add(self, gathering: Gathering, name: str, kind: ManifestColumn, block: Block) -> None:
        """Adds the cells of a column, those that are filled in included."""
        cells = block.columns[name]
        missing = self._missing_of(cells, kind)
        if missing:
            if kind.missing != "fill":
                what = f"has no value: say {type(kind).__name__}(missing='fill') or (missing='skip'), or mend the line"
                raise self._error(block.lines[min(missing)], kind.column or name, what)
            self.counters["filled_values"] += len(missing)
            cells = [kind.filling if at in missing else cell for at, cell in enumerate(cells)]
        try:
            gathering.add(cells)
        except CellError as error:
            raise self._error(block.lines[error.row], kind.column or name, error.what) from None

    def _missing_of(self, cells: Cells, kind: ManifestColumn | None = None) -> set[int]:
        """Returns which cells have no value."""
        if not self._rows.has_texts:
            return {at for at, cell in enumerate(cells) if cell is None} if None in cells else set()
        # Most columns have all their values, and looking costs less than counting.
        if isinstance(kind, TextColumn) or self._missing.isdisjoint(cells):
            return set()
        return {at for at, cell in enumerate(cells) if cell in self._missing}

    def _error(self, line: int, column: str, what: str) -> ValueError:
        return self._rows.error(line, f"column `{column}` {what}")
