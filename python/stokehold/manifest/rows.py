"""Reads manifests line by line: rows of cells, in blocks, with the numbers of their lines."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from stokehold.columns import shown

__all__ = ["Block", "Cells", "CsvRows", "JsonRows", "ManifestRows"]

Cells: TypeAlias = Sequence[Any]
"""The values of a column, one a row; those of a CSV file are texts."""

BLOCK_ROWS: Final = 1 << 11
"""Rows that are converted at a time: enough that calls cost nothing beside cells, few beside a manifest in memory."""

_OTHERS: Final = {
    b"\x1f\x8b": "is compressed by gzip: unpack it first, with gunzip",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd: unpack it first, with unzstd",
    b"\xfd7zXZ": "is compressed by xz: unpack it first, with unxz",
    b"BZh": "is compressed by bzip2: unpack it first, with bunzip2",
    b"PK\x03\x04": "is a zip archive, or a spreadsheet: unpack it first, or save the sheet as CSV",
    b"PAR1": "is a Parquet file, not a manifest of text",
    b"\xff\xfe": "is UTF-16: convert it to UTF-8 first, with iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "is UTF-16: convert it to UTF-8 first, with iconv -f UTF-16 -t UTF-8",
}
"""What other files begin with, and what to do with them."""


@dataclass(frozen=True)
class Block:
    """Some rows of a manifest: the cells of each column, None where a JSON line has none."""

    columns: Mapping[str, Cells]
    lines: Sequence[int]
    """The line that each row begins with, from 1."""


class ManifestRows:
    """The base of both kinds of manifests: a file of rows.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no regular file, or of another format.
    """

    has_texts = False
    """Whether every cell is a text."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counters: Counter[str] = Counter()
        # Opening a FIFO would wait, and it could not be read twice.
        if path.exists() and not path.is_file():
            raise ValueError(f"`{path}` is no regular file; save what it gives to one first")
        with path.open("rb") as file:
            start = file.read(6)
        for magic, what in _OTHERS.items():
            if start.startswith(magic):
                raise ValueError(f"`{path}` {what}")

    def blocks(self) -> Iterator[Block]:
        """Reads the file from its beginning."""
        self.counters.clear()
        rows = self._rows()
        while block := list(itertools.islice(rows, BLOCK_ROWS)):
            lines, cells = zip(*block, strict=True)
            yield Block(self._columns(lines, cells), lines)

    def error(self, line: int, what: str) -> ValueError:
        """Returns an error that names the file and the line."""
        return ValueError(f"`{self.path}` line {line}: {what}")

    def _open(self, newline: str) -> io.TextIOWrapper:
        # Paths keep their bytes; whatever else has bytes that are no UTF-8 is refused where it is taken.
        return self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline=newline)

    def _rows(self) -> Iterator[tuple[int, Any]]:
        """Returns the rows with the numbers of their lines."""
        raise NotImplementedError

    def _columns(self, lines: Sequence[int], rows: Sequence[Any]) -> Mapping[str, Cells]:
        """Returns the cells of each column of some rows, which begin with these lines."""
        raise NotImplementedError


class CsvRows(ManifestRows):
    """A CSV file.

    Raises:
        ValueError: Its names cannot be those of columns.
    """

    has_texts = True

    def __init__(self, path: Path, delimiter: str, quote: str | None, *, header: bool | Sequence[str]) -> None:
        super().__init__(path)
        self._format: dict[str, Any] = {"delimiter": delimiter, "strict": True}
        self._format |= {"quoting": csv.QUOTE_NONE} if quote is None else {"quotechar": quote}
        self._has_header = header is True
        self.names = self._names(header)

    def _names(self, header: bool | Sequence[str]) -> Sequence[str]:
        """Returns the names of the columns."""
        if not isinstance(header, bool):
            return header
        line, first = next(self._lines(), (1, []))
        if not header:
            return [str(number) for number in range(len(first))]
        if not first:
            raise ValueError(f"`{self.path}` is empty: there is no header")
        for name, count in Counter(first).items():
            if name.encode(errors="replace").decode() != name:
                raise self.error(line, f"the header has the name {shown(name)}, which is no UTF-8")
            if name and count > 1:
                what = "rename one, or give header= the names of the columns"
                raise self.error(line, f"the header has the name {shown(name)} {count} times: {what}")
        return first

    def _rows(self) -> Iterator[tuple[int, Any]]:
        rows = self._lines(count=self.counters)
        if self._has_header:
            next(rows)
        return rows

    def _lines(self, count: Counter[str] | None = None) -> Iterator[tuple[int, list[str]]]:
        """Returns the cells of all lines that are not blank, and counts the others."""
        blank, line = 0, 1
        with self._open(newline="") as file:
            reader = csv.reader(file, **self._format)
            try:
                for cells in reader:
                    if cells:
                        yield line, cells
                    else:
                        blank += 1
                    line = reader.line_num + 1
            except csv.Error as error:
                what = "; csv.field_size_limit(...) allows larger cells" if "limit" in str(error) else ""
                ends = f", up to line {reader.line_num}" if reader.line_num > line else ""
                raise self.error(
                    line, f"is no CSV{ends}: {error}{what}; is a quote left open or not doubled?"
                ) from error
        if count is not None and blank:
            count["blank_lines"] = blank

    def _columns(self, lines: Sequence[int], rows: Sequence[Any]) -> Mapping[str, Cells]:
        width = len(self.names)
        if set(map(len, rows)) != {width}:
            line, cells = next((line, cells) for line, cells in zip(lines, rows, strict=True) if len(cells) != width)
            what = f"the number of cells is {len(cells)}, and that of columns {width} ({', '.join(self.names)})"
            raise self.error(line, f"{what}: quote cells that hold the delimiter, and leave no cell out")
        return dict(zip(self.names, zip(*rows, strict=True), strict=True))


class JsonRows(ManifestRows):
    """A file with a JSON object on each line."""

    def _rows(self) -> Iterator[tuple[int, Any]]:
        blank = 0
        with self._open(newline="\n") as file:
            for line, text in enumerate(file, 1):
                if text.isspace():
                    blank += 1
                    continue
                yield line, self._object(line, text.strip(_SPACES))
        if blank:
            self.counters["blank_lines"] = blank

    def _object(self, line: int, text: str) -> dict[str, Any]:
        try:
            row, end = _DECODER.raw_decode(text)
            if end < len(text):
                raise json.JSONDecodeError("Extra data", text, end)
        except RecursionError as error:
            raise self.error(line, "is nested too deeply") from error
        except ValueError as error:
            if not isinstance(error, json.JSONDecodeError):
                raise self.error(line, f"cannot be used: {error}") from error
            hint = "" if line > 1 else "; each line must be an object: jq -c makes such lines, of a list by jq -c '.[]'"
            raise self.error(line, f"is no JSON at character {error.pos + 1}: {error.msg}{hint}") from error
        if not isinstance(row, dict):
            what = f"holds {shown(row)}, not an object with a key for each column; jq -c '.[]' makes lines of a list"
            raise self.error(line, what)
        return row

    def _columns(self, lines: Sequence[int], rows: Sequence[Any]) -> Mapping[str, Cells]:  # noqa: ARG002 (CSV's)
        # In the order in which keys come, which a set would lose.
        names = dict.fromkeys(itertools.chain.from_iterable(rows))
        return {name: [row.get(name) for row in rows] for name in names}


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        name, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {shown(name)} comes twice")
    return row


_SPACES: Final = " \t\r\n"
"""What JSON takes for space."""
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_no_key_twice)
