"""Rows of Parquet files."""

from __future__ import annotations

import glob
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import unquote

from stokehold import _native
from stokehold.audio import Waveform, waveforms
from stokehold.checks import extents, mapping, one_of, printable, shown, text
from stokehold.checks import names as names_of
from stokehold.checks import paths as listed_paths
from stokehold.sizes import byte_count
from stokehold.sources import Source, described_path

__all__ = ["Parquet"]

Paths: TypeAlias = str | os.PathLike[str]
Fill: TypeAlias = float | str | bytes

_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


class Parquet(Source):
    """Rows of Parquet files, decoded by the workers without Python.

    A worker decodes a whole row group, of the chosen columns, when it needs the first row of it, and keeps it for the
    rows that follow: read in the order of the files, or with ``shuffle="blocks"``, each group is decoded once by each
    worker. ``shuffle="blocks"`` of `Loader` orders the row groups at random, and mixes the rows of as many of them as
    fit into half of `cache`. With ``shuffle=True`` every row may lie in another group: unless all groups fit into
    `cache`, a group is then decoded for almost every row.

    Threads of a worker share its row groups: ``num_workers=1, threads_per_worker=8`` decodes each once, where eight
    workers would decode nearly all of them eight times.

    Columns become fields by their type:

    - numbers and booleans, 8 to 64 bits: tensors of that dtype. Dates are ``int64`` days since 1970; timestamps,
      durations and times of day are ``int64`` in the unit that the file has for them.
    - lists of a fixed length: tensors. Lists: ragged fields. Lists of lists of a fixed length: ragged fields whose
      entries have that shape. Lists of lists whose lengths the file does not fix need `shapes`.
    - strings: texts, which are lists of their UTF-8 bytes. Binaries: lists of bytes; or images, where `images` says so.
    - what Hugging Face ``datasets`` has written, by the features in its files: images (their bytes), sound (as bytes,
      or as waveforms where `audio` says so), and class labels, whose names are `classes`.

    Decimals, maps, and lists of texts or images are refused by name; choose other columns. Texts and lists have room
    for half as much again as the longest of the first 1000 rows takes; a longer one gets more room, which costs a
    restart of the workers, or give ``capacity`` to the loader. Files whose columns lie in other files, and encrypted
    files, are refused.

    Args:
        paths: Files, globs (``data/*.parquet``, ``**`` for any folders), or folders, of which all files that end in
            ``.parquet`` are read, in sorted order; several in a list. Folders named ``key=value`` below a given folder
            become columns: ``int64`` where all values are whole numbers, else texts. Names that begin with ``.`` or
            ``_`` are passed over.
        columns: The columns to read, in this order; a mapping renames them: fields to columns. A column within a struct
            is ``"struct.column"``. None reads all. Nothing else is read from the disk.
        images: Fields that hold image files: columns of binaries, or of structs with a column ``bytes``.
        audio: Fields that hold audio files, in such columns, and the `Waveform` that each becomes.
        shapes: For fields that are lists, their shape: ``(768,)`` makes a tensor of lists of 768 values, ``(None, 4)``
            a ragged field of lists of lists of 4. A row of another shape is a bad sample.
        nulls: ``"error"`` makes a row with a null in a chosen column a bad sample; ``"fill"`` puts 0, an empty text or
            an empty list there, or what `fill` says; ``"mask"`` does the same, and adds a boolean field ``NAME_valid``
            for each field, false where a row has null. A null within a list is filled too, and not told by the mask. An
            image that is null is a bad sample in any case.
        fill: For fields, what stands for a null, or for a null in a list; their nulls are filled whatever `nulls` says.
        cache: The most memory that a worker keeps decoded row groups in, bytes or text such as ``"256MiB"``. A group
            that takes more is refused when the source is made. A worker needs up to twice that while it decodes. A
            loader whose workers could not all keep so much is refused.

    Raises:
        ValueError: There are no files or no rows; a file is no Parquet file, or has other columns than the first; a
            column is not there or of a type that is refused; a row group is larger than `cache`; an argument cannot
            work.
        TypeError: An argument is of another type.
        OSError: A file cannot be read (``FileNotFoundError`` and so on).
    """

    def __init__(
        self,
        paths: Paths | Sequence[Paths],
        *,
        columns: Sequence[str] | Mapping[str, str] | None = None,
        images: Sequence[str] = (),
        audio: Mapping[str, Waveform] | None = None,
        shapes: Mapping[str, Sequence[int | None]] | None = None,
        nulls: Literal["error", "fill", "mask"] = "error",
        fill: Mapping[str, Fill] | None = None,
        cache: int | str = "256MiB",
    ) -> None:
        nulls = one_of("Parquet: nulls", nulls, _NULLS)
        listed = listed_paths("Parquet: paths", paths)
        self.paths: list[Paths] = [paths] if isinstance(paths, str | os.PathLike) else list(listed)
        rooms = mapping("Parquet: shapes", {} if shapes is None else shapes, "a mapping of fields to shapes")
        filled = mapping("Parquet: fill", {} if fill is None else fill, "a mapping of fields to values")
        files = [found for path in self.paths for found in _found(os.fspath(path))]
        names = list(dict.fromkeys(name for _, keys in files for name in keys))
        whole = {name for name in names if all(_is_whole(keys.get(name)) for _, keys in files)}
        request: dict[str, Any] = {
            "files": [
                {"path": described_path(path), "partitions": [_value(keys.get(name), name in whole) for name in names]}
                for path, keys in files
            ],
            "partitions": names,
            "columns": None if columns is None else _renamed(columns),
            "images": names_of("Parquet: images", images, "a sequence of names"),
            "audio": {name: waveform.spec() for name, waveform in waveforms("Parquet", audio).items()},
            "shapes": {
                name: extents(f"Parquet: shapes[{name!r}]", shape, least=1, varies=True)
                for name, shape in rooms.items()
            },
            "nulls": nulls,
            "fill": {name: _filling(name, value) for name, value in filled.items()},
            "cache_bytes": byte_count("Parquet: cache", cache),
        }
        self._spec: dict[str, Any] = json.loads(_native.probe_parquet(json.dumps(request, allow_nan=False)))

    @property
    def files(self) -> list[str]:
        """The files, in the order of their rows."""
        return [os.fsdecode(p) if isinstance(p := file["path"], str) else os.fsdecode(bytes(p)) for file in self._files]

    @property
    def fields(self) -> list[str]:
        """The names of the fields."""
        return [column["name"] for column in self._spec["columns"]]

    @property
    def class_names(self) -> dict[str, list[str]]:
        """The names of the classes of each field that is a class label."""
        names: dict[str, list[str]] = self._spec["classes"]
        return names

    @property
    def _files(self) -> list[dict[str, Any]]:
        files: list[dict[str, Any]] = self._spec["files"]
        return files

    @property
    def native(self) -> _native.Source:
        """The source as the core has it."""
        return _native.Source(json.dumps(self._spec))

    def __len__(self) -> int:
        return sum(rows for file in self._files for rows, _ in file["groups"])

    def __repr__(self) -> str:
        files = len(self._files)
        where = os.fspath(self.paths[0]) if len(self.paths) == 1 else f"{len(self.paths)} paths"
        fields = ", ".join(self.fields)
        return f"Parquet({where!r}, {files} file{'s' if files > 1 else ''}, {len(self)} rows of {fields})"


_NULLS: Final[tuple[Literal["error", "fill", "mask"], ...]] = ("error", "fill", "mask")


def _found(path: str) -> list[tuple[Path, dict[str, str | None]]]:
    """Returns the files that a path names, and for each the keys and values that the folders below it name."""
    if (root := Path(path).absolute()).is_dir():
        below = sorted(file for file in root.rglob("*.parquet") if not _is_hidden(file.relative_to(root)))
        if not below:
            raise ValueError(f"Parquet: paths: {printable(path)} has no files that end in .parquet")
        return [(file, _keys(file.relative_to(root))) for file in below if file.is_file()]
    if os.path.lexists(path) or not glob.has_magic(path):
        return [(Path(path).absolute(), {})]
    # `Path.glob` takes no pattern that is absolute.
    matches = sorted(match for match in glob.glob(path, recursive=True) if not Path(match).is_dir())  # noqa: PTH207
    if not matches:
        raise ValueError(f"Parquet: paths: {printable(path)} matches no files")
    return [(Path(match).absolute(), {}) for match in matches]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _keys(path: Path) -> dict[str, str | None]:
    """Returns what folders named ``key=value`` say of a file."""
    pairs = (part.partition("=") for part in path.parts[:-1])
    return {key: None if value == _HIVE_NULL else unquote(value) for key, sep, value in pairs if sep and key}


def _is_whole(value: str | None) -> bool:
    if value is None:
        return True
    digits = value.removeprefix("-")
    # What is written in another way, such as 007, is a name.
    return digits.isascii() and digits.isdigit() and str(int(value)) == value and -(2**63) <= int(value) < 2**63


def _value(value: str | None, is_whole: bool) -> int | str | None:
    return value if value is None or not is_whole else int(value)


def _renamed(columns: Sequence[str] | Mapping[str, str]) -> list[tuple[str, str]]:
    if isinstance(columns, Mapping):
        given = mapping("Parquet: columns", columns, "a mapping of fields to columns")
        renamed = [(name, text(f"Parquet: columns[{name!r}]", there)) for name, there in given.items()]
    else:
        meaning = "a sequence of names, a mapping of fields to names, or None for all"
        renamed = [(name, name) for name in names_of("Parquet: columns", columns, meaning)]
    names = [name for name, _ in renamed]
    if not names:
        raise ValueError(f"Parquet: columns must have at least one name, or be None for all, not {shown(columns)}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"Parquet: columns has {', '.join(map(repr, twice))} more than once")
    return renamed


def _filling(name: str, value: Fill) -> float | str:
    """Returns a value as JSON can hold it."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"Parquet: fill[{name!r}] must be UTF-8: {error}") from None
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if not isinstance(value, bool | int | float | str):
        item = getattr(value, "item", None)
        if item is None:
            raise TypeError(f"Parquet: fill[{name!r}] must be a number or a text, not {shown(value)}")
        return _filling(name, item())
    return value
