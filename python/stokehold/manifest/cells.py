"""Makes columns of the cells of a manifest, some rows at a time."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from stokehold.columns import Column, Rows, Runs, Texts, shown
from stokehold.encoded import Images, Masks
from stokehold.manifest.kinds import NumberColumn, PathColumn
from stokehold.manifest.rows import Cells

__all__ = [
    "INTEGER",
    "NOT_FINITE",
    "NUMBER",
    "CellError",
    "Gathering",
    "Numbers",
    "Paths",
    "TextCells",
    "fault",
    "whole",
]

INTEGER: Final = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)
NUMBER: Final = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*", re.ASCII)
NOT_FINITE: Final = re.compile(r"\s*[+-]?(?:nan|inf|infinity)\s*", re.ASCII | re.IGNORECASE)
_TRUE: Final = frozenset({"true", "True", "TRUE", "1"})
_FALSE: Final = frozenset({"false", "False", "FALSE", "0"})

_ENCODING: Final = sys.getfilesystemencoding()
_ERRORS: Final = sys.getfilesystemencodeerrors()

Parse: TypeAlias = Callable[[Any], Any]


@dataclass
class CellError(Exception):
    """A cell that its column cannot take."""

    row: int
    """Which of the rows that were given."""
    what: str
    """What is wrong with it, and what to do."""


class Gathering:
    """The base of what makes a column of cells. Those of `add` have a value each, and are texts in CSV files."""

    classes: Sequence[str] = ()
    """The names of the classes, once all cells are there."""

    def add(self, cells: Cells) -> None:
        """Takes some more cells.

        Raises:
            CellError: The column cannot take one of them.
        """
        raise NotImplementedError

    def column(self) -> Column:
        """Returns the column of all cells.

        Raises:
            ValueError: They make none together.
        """
        raise NotImplementedError


def fault(cells: Cells, parse: Parse, what: str) -> CellError:
    """Returns the first cell that `parse` does not take."""
    for row, cell in enumerate(cells):
        try:
            parse(cell)
        except (ValueError, TypeError, OverflowError) as error:
            return CellError(row, f"holds {shown(cell)}, which is not {what}: {error}")
    raise AssertionError(f"none of {len(cells)} cells is at fault, though all of them are together")


def encoded(text: object) -> bytes:
    """Returns a text as UTF-8."""
    if not isinstance(text, str):
        raise TypeError("it is no text")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("it is not all UTF-8; convert the file, with iconv -t UTF-8") from None


class TextCells(Gathering):
    """Texts."""

    def __init__(self) -> None:
        self._runs = Runs()

    def add(self, cells: Cells) -> None:
        """Takes some more texts."""
        try:
            self._runs.add([cell.encode() for cell in cells])
        except (AttributeError, UnicodeEncodeError):
            raise fault(cells, encoded, "a text") from None

    def column(self) -> Column:
        """Returns the texts."""
        return Texts(self._runs)


class Paths(Gathering):
    """Paths, looked up below a folder; they may lead out of it where `is_free`."""

    def __init__(self, kind: PathColumn, folder: bytes, *, is_free: bool) -> None:
        self._kind = kind
        self._folder = folder
        self._is_free = is_free
        self._runs = Runs()

    def add(self, cells: Cells) -> None:
        """Takes some more paths."""
        try:
            self._runs.add(self._plain(cells) or [self._path(cell) for cell in cells])
        except (TypeError, ValueError):
            raise fault(cells, self._path, self._kind.describe()) from None

    def _plain(self, cells: Cells) -> list[bytes]:
        """Returns the paths, quickly, where nothing in them needs a closer look; else none."""
        paths = "\0".join(cells)
        if ".." in paths or paths.startswith("/") or "\0/" in paths or "" in cells or paths.count("\0") >= len(cells):
            return []
        folder = self._folder
        return [folder + cell.encode(_ENCODING, _ERRORS) for cell in cells]

    def _path(self, cell: object) -> bytes:
        if not isinstance(cell, str):
            raise TypeError("it is no text")
        path = os.fsencode(cell)
        if not path or b"\0" in path:
            raise ValueError("no file is called that")
        if path.startswith(b"/"):
            if self._is_free:
                return path
            raise ValueError("only paths below root are read; with root=None they may be absolute")
        if not self._is_free and b".." in path and b".." in path.split(b"/"):
            raise ValueError("only paths below root are read; with root=None they may have `..`")
        return self._folder + path

    def column(self) -> Column:
        """Returns the images or masks."""
        kind = self._kind
        return Images(self._runs) if kind.kind == "image" else Masks(self._runs, kind.image, kind.dtype)


def whole(cell: object) -> int:
    """Returns a whole number, also of a text, or one that is written as a fraction.

    Raises:
        ValueError: It is none.
    """
    if isinstance(cell, str):
        if INTEGER.fullmatch(cell):
            return int(cell)
        cell = _fraction(cell)
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise TypeError("it is no number")
    if cell != cell or int(cell) != cell:  # noqa: PLR0124 (so is not-a-number)
        raise ValueError("it is no whole number")
    return int(cell)


def _fraction(text: str) -> float:
    if not NUMBER.fullmatch(text) and not NOT_FINITE.fullmatch(text):
        raise ValueError("it is no number")
    return float(text)


def _real(cell: object) -> float:
    if isinstance(cell, str):
        return _fraction(cell)
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise TypeError("it is no number")
    return float(cell)


def _truth(cell: object) -> bool:
    if isinstance(cell, str) and cell.strip() in _TRUE | _FALSE:
        return cell.strip() in _TRUE
    if isinstance(cell, bool | int) and cell in (0, 1):
        return bool(cell)
    raise ValueError("it is neither true nor false")


class Numbers(Gathering):
    """Numbers of one dtype."""

    def __init__(self, kind: NumberColumn) -> None:
        self._kind = kind
        self._dtype = np.dtype(kind.dtype)
        self._parts: list[npt.NDArray[Any]] = []
        self._parse: Parse = {"b": _truth, "f": self._float}.get(self._dtype.kind, self._integer)

    def add(self, cells: Cells) -> None:
        """Takes some more numbers."""
        try:
            self._parts.append(self._array(cells))
        except (ValueError, TypeError, OverflowError):
            raise fault(cells, self._parse, self._kind.describe()) from None

    def _array(self, cells: Cells) -> npt.NDArray[Any]:
        """Returns the numbers of many cells, quickly."""
        kinds = set(map(type, cells))
        if self._dtype.kind == "f" and (
            kinds <= {int, float} or (kinds == {str} and all(map(NUMBER.fullmatch, cells)))
        ):
            wide = np.array(list(map(float, cells)), np.float64)
            with np.errstate(over="ignore"):
                values = wide.astype(self._dtype)
            if np.isfinite(values).all():
                return values
        elif self._dtype.kind in "iu" and (kinds == {int} or (kinds == {str} and all(map(INTEGER.fullmatch, cells)))):
            numbers = list(map(int, cells))
            limits = np.iinfo(self._dtype)
            if limits.min <= min(numbers) and max(numbers) <= limits.max:
                return np.array(numbers, self._dtype)
        return np.array([self._parse(cell) for cell in cells], self._dtype)

    def _integer(self, cell: object) -> int:
        number = whole(cell)
        limits = np.iinfo(self._dtype)
        if not limits.min <= number <= limits.max:
            raise ValueError(f"it is beyond {limits.min} to {limits.max}; another dtype may hold it")
        return number

    def _float(self, cell: object) -> float:
        number = _real(cell)
        is_finite = np.isfinite(number)
        if not is_finite and not self._allows(cell):
            raise ValueError(
                "leave the cell empty and say what is done with missing=, or keep such values with allow_nan=True"
            )
        with np.errstate(over="ignore"):
            if is_finite and not np.isfinite(self._dtype.type(number)):
                raise ValueError(f"it is beyond what {self._dtype} holds; another dtype may")
        return number

    def _allows(self, cell: object) -> bool:
        # What stands for missing numbers is what somebody has chosen; it is never a text.
        is_overflow = isinstance(cell, str) and not NOT_FINITE.fullmatch(cell)
        return not is_overflow and (self._kind.allow_nan or cell is self._kind.fill)

    def column(self) -> Column:
        """Returns the numbers."""
        return Rows(np.concatenate(self._parts))


def from_json(cell: str) -> object:
    """Returns what a text holds as JSON."""
    try:
        return json.loads(cell)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
