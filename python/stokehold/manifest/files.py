"""Manifests as sources: CSV files and JSON lines."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from stokehold.checks import as_truth, printable, shown
from stokehold.checks import names as names_of
from stokehold.checks import path as checked_path
from stokehold.columns import field_name
from stokehold.copied import copied
from stokehold.manifest.kinds import ManifestColumn
from stokehold.manifest.reading import Columns, Reading
from stokehold.manifest.rows import CsvRows, JsonRows, ManifestRows
from stokehold.table import Table

__all__ = ["Csv", "JsonLines"]

_LOG: Final = logging.getLogger("stokehold")


class _Manifest(Table):
    """A file with a line for each sample, whose columns are kept in memory."""

    def __init__(self, rows: ManifestRows, columns: Columns, root: Path | None, na: Sequence[str]) -> None:
        self.path = rows.path
        reading = Reading(rows, root, na)
        kinds = reading.kinds(columns)
        found = reading.columns(kinds)
        self._class_names = reading.class_names
        # The core knows of one list of classes.
        only = self.classes if len(self._class_names) == 1 else []
        self._native, self._rows = copied(found, only)
        self.counters = dict(reading.counters + rows.counters)
        if self.counters:
            listed = ", ".join(f"{name} {count}" for name, count in self.counters.items())
            _LOG.warning("%s: passed over or filled in: %s", printable(str(self.path)), listed)

    @property
    def class_names(self) -> dict[str, list[str]]:
        """For each field of labels that have names, the names of its classes, in the order of their numbers."""
        return self._class_names

    def __repr__(self) -> str:
        _, _, rest = super().__repr__().partition("(")
        return f"{type(self).__name__}({os.fspath(self.path)!r}, {rest}"


class Csv(_Manifest):
    """A CSV file with a line for each sample, and its columns as fields.

    The file is read here, into shared memory; images and masks are read when their sample's turn comes. Blank lines are
    passed over, and counted in `Loader.stats`. ``class_names`` has the names of the classes of each column that has
    any, by field, and ``classes`` those of the only one.

        Csv("train.csv", {"image": PathColumn(column="file"), "label": LabelColumn()}, root="photos")

    Args:
        path: The file, UTF-8 with or without a byte-order mark, not compressed.
        columns: The fields by name, and what each is: a `PathColumn`, `LabelColumn`, `MultiLabelColumn`,
            `NumberColumn`, `ListColumn`, `BoxColumn`, `KeyPointColumn` or `TextColumn`; or None, to learn it. By
            default every column of the file is a field, and what it is is learned from all its cells: whole numbers are
            ``int64``, other numbers ``float32``, names that all end as those of image files do are paths of images, and
            anything else is text.
        root: The folder of the files that paths name. None that is outside is read: absolute paths, and those with
            ``..``, are errors; links in the folder are followed. By default paths may lead anywhere, and relative ones
            are looked up in the folder that the manifest is in.
        delimiter: What stands between cells, one character.
        quote: What stands around cells that hold a delimiter, a quote (doubled) or the end of a line; None for nothing.
        header: Whether the first line has the names of the columns, as by default. If not, these are ``"0"``, ``"1"``
            and so on; or give the names.
        na: Texts that stand for a missing value, beside the empty cell, in all columns but texts: ``["NA", "null"]``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line has too few or too many cells, a cell is not what its column is, or has no value: the file,
            the line and the column are named, and what to do. Or the file is compressed or of another format, has no
            rows, or not that column.
        TypeError: An argument is something else.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        columns: Columns = None,
        *,
        root: str | os.PathLike[str] | None = None,
        delimiter: str = ",",
        quote: str | None = '"',
        header: bool | Sequence[str] = True,
        na: Sequence[str] = (),
    ) -> None:
        for name, given in (("delimiter", delimiter), ("quote", quote)):
            is_none = given is None and name == "quote"
            if not is_none and (not isinstance(given, str) or len(given) != 1 or given in "\r\n"):
                raise ValueError(f"Csv: {name} must be one character, and no end of a line, not {shown(given)}")
        if delimiter == quote:
            raise ValueError(f"Csv: delimiter and quote must differ, and both are {quote!r}")
        has_header = as_truth(header)
        names = _texts("Csv", "header", header) if has_header is None else has_header
        if not isinstance(names, bool) and (not names or len(set(names)) < len(names)):
            raise ValueError(f"Csv: header must be True, False, or names, each once, not {shown(header)}")
        fields, missing = _checked("Csv", columns), _texts("Csv", "na", na)
        file = checked_path("Csv: path", path).absolute()
        super().__init__(CsvRows(file, delimiter, quote, header=names), fields, _folder("Csv", root), missing)


class JsonLines(_Manifest):
    """A file of JSON lines, an object for each sample, and their keys as fields.

    What is said of `Csv` holds here too.

        JsonLines("train.jsonl", {"image": PathColumn(), "boxes": BoxColumn("XYWH")}, root="photos")

    Args:
        path: The file, UTF-8 with or without a byte-order mark, not compressed.
        columns: As for `Csv`. What is learned goes by JSON's types: booleans are ``bool``; whole numbers ``int64``;
            other numbers ``float32``; texts that all end as names of image files do are paths of images, others text;
            lists of numbers, also nested, ragged ``int64`` or ``float32``. Types that change from line to line are
            errors. ``column="bird.name"`` is the key ``name`` of the object ``bird``, where no key is called so.
        root: As for `Csv`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line is no JSON object or has a key twice, a value is not what its column is, or is null or not
            there: the file, the line and the column are named, and what to do. Or the file is compressed or of another
            format, has no rows, or not that key.
        TypeError: An argument is something else.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        columns: Columns = None,
        *,
        root: str | os.PathLike[str] | None = None,
    ) -> None:
        fields = _checked("JsonLines", columns)
        file = checked_path("JsonLines: path", path).absolute()
        super().__init__(JsonRows(file), fields, _folder("JsonLines", root), ())


def _checked(owner: str, columns: object) -> Columns:
    """Returns the columns that were given, if they are any."""
    if columns is None:
        return None
    if not isinstance(columns, Mapping):
        raise TypeError(f"{owner}: columns must map names of fields to what they are, or be None, not {shown(columns)}")
    if not columns:
        raise ValueError(f"{owner}: columns must have at least one field")
    for name, kind in columns.items():
        if kind is not None and not isinstance(kind, ManifestColumn):
            what = f"a class; call it: {kind.__name__}()" if isinstance(kind, type) else shown(kind)
            raise TypeError(
                f"{owner}: columns[{name!r}] must be a PathColumn, LabelColumn or such, or None, not {what}"
            )
    return {field_name(name, f"{owner}: columns"): kind for name, kind in columns.items()}


def _folder(owner: str, root: str | os.PathLike[str] | None) -> Path | None:
    """Returns the folder of the paths; it means the same wherever the program goes."""
    return None if root is None else checked_path(f"{owner}: root", root).absolute()


def _texts(owner: str, argument: str, given: object) -> Sequence[str]:
    return names_of(f"{owner}: {argument}", given, "a list of str")
