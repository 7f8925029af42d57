"""Makes columns of labels, which are the names or the numbers of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stokehold.columns import Column, Rows, shown
from stokehold.lists import Lists
from stokehold.manifest.cells import INTEGER, CellError, Gathering, encoded
from stokehold.manifest.kinds import LabelColumn, MultiLabelColumn
from stokehold.manifest.rows import Cells

__all__ = ["Labels", "MultiLabels"]

_LIMITS: Final = np.iinfo(np.int64)
_MOST_CLASSES: Final = 1 << 20
"""The most classes that a multi-hot field has: a number that is out of the way would take all memory."""
_LISTED: Final = 10
"""How many names of classes an error lists."""


class Classes:
    """The classes of labels, by name or by number. Labels get codes until all are known."""

    def __init__(self, given: Sequence[str] | None) -> None:
        self._given = given
        self._codes: dict[Any, int] = {name: code for code, name in enumerate(given or ())}
        self._kind: type[str | int] | None = None
        self.names: Sequence[str] = given or ()
        """The names, once all labels are there."""

    def codes(self, labels: Sequence[Any]) -> list[int]:
        """Returns the codes of labels.

        Raises:
            CellError: One of them is no label; it is the row of this label that is named.
        """
        # Where types are mixed, 1 and True would be the same.
        if len(set(map(type, labels))) == 1:
            try:
                return [self._codes[label] for label in labels]
            except (KeyError, TypeError):
                pass
        return [self._code(at, label) for at, label in enumerate(labels)]

    def _code(self, at: int, label: Any) -> int:  # noqa: ANN401 (what stands in a file)
        if type(label) is not str and type(label) is not int:
            raise CellError(at, f"holds {shown(label)}, which is no label: labels are texts, or whole numbers")
        if label in self._codes:
            return self._codes[label]
        if self._given is not None:
            if type(label) is int and 0 <= label < len(self._given):
                return label
            listed = ", ".join(map(repr, self._given[:_LISTED])) + (", ..." if len(self._given) > _LISTED else "")
            what = "; NumberColumn('int64') takes numbers as they are" if INTEGER.fullmatch(str(label)) else ""
            raise CellError(
                at, f"holds {shown(label)}, which is none of the {len(self._given)} classes: {listed}{what}"
            )
        self._kind = self._kind or type(label)
        if type(label) is not self._kind:
            kinds = {str: "names", int: "numbers"}
            what = f"holds {shown(label)}, and labels before it are {kinds[self._kind]}"
            raise CellError(at, f"{what}: make them all the same in the file")
        if isinstance(label, int) and not _LIMITS.min <= label <= _LIMITS.max:
            raise CellError(at, f"holds {shown(label)}, which int64 does not hold")
        if isinstance(label, str):
            self._check(at, label)
        return self._codes.setdefault(label, len(self._codes))

    @staticmethod
    def _check(at: int, name: str) -> None:
        try:
            encoded(name)
        except ValueError as error:
            raise CellError(at, f"holds {shown(name)}, which is no name of a class: {error}") from None

    def settle(self, *, texts: bool) -> npt.NDArray[np.int64]:
        """Returns the number of each code, now that all labels are there. `texts` says that numbers are texts too."""
        if self._given is not None:
            return np.arange(len(self._given))
        labels = list(self._codes)
        if all(isinstance(label, int) for label in labels) or (texts and all(map(_is_number, labels))):
            return np.array([int(label) for label in labels], np.int64)
        self.names = sorted(labels)
        numbers = {name: number for number, name in enumerate(self.names)}
        return np.array([numbers[label] for label in labels], np.int64)


def _is_number(label: str) -> bool:
    """Tells whether a text is a whole number, as it is written where nothing is meant by its digits."""
    return (
        INTEGER.fullmatch(label) is not None and label == str(int(label)) and _LIMITS.min <= int(label) <= _LIMITS.max
    )


class Labels(Gathering):
    """One label a row."""

    def __init__(self, kind: LabelColumn, *, texts: bool) -> None:
        self._classes = Classes(kind.classes)
        self._texts = texts
        self._codes: list[npt.NDArray[np.int64]] = []

    def add(self, cells: Cells) -> None:
        """Takes some more labels."""
        self._codes.append(np.array(self._classes.codes(cells), np.int64))

    def column(self) -> Column:
        """Returns their numbers."""
        numbers = self._classes.settle(texts=self._texts)
        self.classes = self._classes.names
        return Rows(numbers[np.concatenate(self._codes)])


class MultiLabels(Gathering):
    """Any number of labels a row."""

    def __init__(self, kind: MultiLabelColumn, *, texts: bool) -> None:
        self._kind = kind
        self._classes = Classes(kind.classes)
        self._texts = texts
        self._codes: list[npt.NDArray[np.int64]] = []
        self._lengths: list[int] = []

    def add(self, cells: Cells) -> None:
        """Takes the labels of some more rows."""
        rows = [self._labels(row, cell) for row, cell in enumerate(cells)]
        lengths = [len(labels) for labels in rows]
        try:
            codes = self._classes.codes([label for labels in rows for label in labels])
        except CellError as error:
            row = int(np.searchsorted(np.cumsum(lengths), error.row, side="right"))
            raise CellError(row, error.what) from None
        self._codes.append(np.array(codes, np.int64))
        self._lengths += lengths

    def _labels(self, row: int, cell: object) -> Sequence[Any]:
        if isinstance(cell, list | tuple):
            return cell
        if not isinstance(cell, str):
            raise CellError(row, f"holds {shown(cell)}, which is no list of labels")
        labels = [label.strip() for label in cell.split(self._kind.separator)] if cell else []
        if "" in labels:
            raise CellError(
                row, f"holds {shown(cell)}, with an empty label beside a separator {self._kind.separator!r}"
            )
        return labels

    def column(self) -> Column:
        """Returns the numbers of the labels, or for each class whether it is there."""
        numbers = self._classes.settle(texts=self._texts)
        self.classes = self._classes.names
        numbers = numbers[np.concatenate(self._codes)] if len(numbers) else np.empty(0, np.int64)
        if self._kind.output == "ragged":
            return Lists(np.split(numbers, np.cumsum(self._lengths)[:-1]), np.int64)
        width = len(self.classes) or int(numbers.max(initial=-1)) + 1
        low = int(numbers.min(initial=0))
        if width == 0:
            raise ValueError("has no label in any row, so that no classes are known: give classes=")
        if width > _MOST_CLASSES or low < 0:
            number = low if low < 0 else width - 1
            raise ValueError(f"has the label {number}, which is no class of a multi-hot field; take output='ragged'")
        hot = np.zeros((len(self._lengths), width), self._kind.dtype)
        hot[np.repeat(np.arange(len(self._lengths)), self._lengths), numbers] = 1
        return Rows(hot)
