"""Learns what the columns of a manifest are, from all their cells."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from stokehold.columns import shown
from stokehold.manifest.cells import INTEGER, NOT_FINITE, NUMBER, CellError
from stokehold.manifest.kinds import ListColumn, ManifestColumn, NumberColumn, PathColumn, TextColumn
from stokehold.manifest.rows import Cells

__all__ = ["Learning", "TextLearning", "ValueLearning"]

IMAGES: Final = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
"""What names of image files end in."""

_LEADING_ZERO: Final = re.compile(r"\s*[+-]?0[0-9]", re.ASCII)

_WORDS: Final = {bool: "a truth", int: "a number", float: "a number", str: "a text", list: "a list"}
_LEFT_OUT: Final = "columns={...} says which columns are fields, and what they are"

Test: TypeAlias = Callable[[str], Any]


def _others(kind: type) -> set[str]:
    return {word for other, word in _WORDS.items() if word != _WORDS.get(kind)}


def _is_image(text: str) -> bool:
    return text.lower().endswith(IMAGES)


def _is_integer(text: str) -> bool:
    return INTEGER.fullmatch(text) is not None and not _LEADING_ZERO.match(text)


def _is_number(text: str) -> bool:
    # What is not finite is refused later, by its line: that all numbers are texts then would come as a surprise.
    is_number = NUMBER.fullmatch(text) or NOT_FINITE.fullmatch(text)
    return is_number is not None and not _LEADING_ZERO.match(text)


class Learning:
    """The base of what learns a column's kind."""

    def add(self, cells: Cells) -> None:
        """Takes some more cells, none of them missing.

        Raises:
            CellError: A cell is of no kind.
        """
        raise NotImplementedError

    def kind(self) -> ManifestColumn:
        """Returns what the column is."""
        raise NotImplementedError


class TextLearning(Learning):
    """Learns from texts: whole numbers, numbers, paths of images, or texts. What begins with a spare 0 is no number."""

    def __init__(self) -> None:
        self._left: list[tuple[Test, ManifestColumn]] = [
            (_is_integer, NumberColumn("int64")),
            (_is_number, NumberColumn("float32")),
            (_is_image, PathColumn()),
        ]
        self._has_any = False

    def add(self, cells: Cells) -> None:
        """Takes some more cells."""
        self._has_any = self._has_any or bool(cells)
        self._left = [(test, kind) for test, kind in self._left if all(map(test, cells))]

    def kind(self) -> ManifestColumn:
        """Returns what the column is; texts, where all cells are empty."""
        return self._left[0][1] if self._left and self._has_any else TextColumn()


class ValueLearning(Learning):
    """Learns from JSON: by the types of values, and of the values in lists."""

    def __init__(self) -> None:
        self._types: set[type] = set()
        self._entries: set[type] = set()
        self._are_images = True

    def add(self, cells: Cells) -> None:
        """Takes some more cells."""
        types = set(map(type, cells))
        words = {_WORDS.get(each) for each in types | self._types}
        if len(words) > 1 or None in words:
            raise self._odd(cells)
        self._types |= types
        if types == {str}:
            self._are_images = self._are_images and all(map(_is_image, cells))
        if types == {list}:
            self._add_entries(cells)

    def _odd(self, cells: Cells) -> CellError:
        """Returns the first cell of a type that goes with no other."""
        before = next(iter(self._types), type(cells[0]))
        row = next(row for row, cell in enumerate(cells) if _WORDS.get(type(cell)) in {None, *_others(before)})
        word = _WORDS.get(type(cells[row]), "an object")
        after = "" if word == "an object" else f", {word}, after {_WORDS[before]}"
        return CellError(row, f"holds {shown(cells[row])}{after}: {_LEFT_OUT}")

    def _add_entries(self, cells: Cells) -> None:
        for row, cell in enumerate(cells):
            entries = cell
            while entries and isinstance(entries[0], list):
                entries = list(itertools.chain.from_iterable(each for each in entries if isinstance(each, list)))
            self._entries.update(map(type, entries))
            if not self._entries <= {int, float}:
                hint = "MultiLabelColumn() takes lists of labels; or " if str in self._entries else ""
                raise CellError(row, f"holds {shown(cell)}, a list of what is no number: {hint}{_LEFT_OUT}")

    def kind(self) -> ManifestColumn:
        """Returns what the column is."""
        if self._types == {bool}:
            return NumberColumn("bool")
        if self._types == {list}:
            return ListColumn("int64" if self._entries == {int} else "float32")
        if self._types and self._types <= {int, float}:
            return NumberColumn("int64" if self._types == {int} else "float32")
        return PathColumn() if self._types == {str} and self._are_images else TextColumn()
