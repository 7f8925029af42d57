"""Files in Arrow's IPC format."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from stokehold.arrow.bounds import check_unpacked
from stokehold.arrow.features import hints_of
from stokehold.arrow.fields import Fill, Nulls
from stokehold.arrow.places import Region
from stokehold.arrow.source import ArrowTable, chosen
from stokehold.arrow.types import Hint, damage, pyarrow
from stokehold.audio import Waveform
from stokehold.checks import paths as listed_paths
from stokehold.columns import Shard

__all__ = ["Arrow", "batches_of", "opened"]

MAGIC: Final = b"ARROW1"
FEATHER: Final = b"FEA1"


class Arrow(ArrowTable):
    """Rows of files in Arrow's IPC format, "file" (Feather version 2 too) or "stream"; several follow each other.

    Files are indexed here, in this process, by the package pyarrow (``pip install 'stokehold[arrow]'``). Workers use
    neither Python nor Arrow: they read, at random, each row's bytes where they lie in the files. Rows of up to 16 bytes
    are copied into the index, and so is what does not lie in a file as it is in a batch: booleans, dates of 32 bits,
    dictionaries of numbers, views of texts (``string_view``), and all of a file whose buffers are compressed, which
    takes as much memory as its columns have: a file whose buffers say that they unpack to more than 1 GiB and more than
    256 times its size is refused before. ``pyarrow.ipc.IpcWriteOptions(compression=None)`` writes files that are not
    compressed. No file may be changed or cut short while it is indexed; samples of one that was changed later are bad
    ones.

    Columns become fields by their type:

    - numbers and booleans, 8 to 64 bits: tensors of that dtype. Dates are ``int64`` days since 1970 (``date64``:
      milliseconds); timestamps, durations and times of day are ``int64`` in the unit of their type.
    - lists of a fixed length: tensors. Lists: ragged fields. Lists of lists whose lengths the type does not fix need
      `shapes`.
    - strings: texts, as they lie there, not checked to be UTF-8 (see `Batch.text`). Binaries: ragged fields of
      ``uint8``; or images, where `images` says so.
    - dictionaries: what they stand for.
    - structs: a field for each of their columns, ``"struct.column"``; those with a column ``bytes`` that are asked for
      by their own name are files: images where `images` says so, else bytes.
    - what Hugging Face's ``datasets`` has written, by the features in its files; see `HuggingFace`.

    Decimals, maps, unions, intervals, lists of texts or of structs, and extension types are refused by name.

    Args:
        paths: A file, or a list of files, all of the same columns.
        columns: The columns to read, in this order; a mapping renames them: fields to columns. None reads all.
        images: Fields that hold image files: columns of binaries, or of structs with a column ``bytes``.
        audio: Fields that hold audio files, in such columns, and the `Waveform` that each becomes.
        shapes: For fields that are lists, their shape: ``(768,)`` makes a tensor of lists of 768 values, ``(None, 4)``
            a ragged field of lists of lists of 4.
        nulls: ``"error"``, the default, raises where a chosen column has a null. ``"fill"`` puts 0, an empty text or an
            empty list there, or what `fill` says, and counts them in `counters`. ``"mask"`` does the same, and adds a
            boolean field ``NAME_valid`` for each field, false where a row is null. An image that is null is an error.
        fill: For fields, what stands for a null, or for a null in a list; their nulls are filled whatever `nulls` says.

    Raises:
        ImportError: pyarrow is not installed.
        FileNotFoundError: There is no such file.
        ValueError: A file is none of Arrow's, is cut short or damaged, has other columns than the first, or unpacks to
            too much; a column is not there or of a type that is refused; there are no rows; a row is null, or of
            another shape.
        TypeError: An argument is of another type.
    """

    def __init__(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        columns: Sequence[str] | Mapping[str, str] | None = None,
        images: Sequence[str] = (),
        audio: Mapping[str, Waveform] | None = None,
        shapes: Mapping[str, Sequence[int | None]] | None = None,
        nulls: Nulls = "error",
        fill: Mapping[str, Fill] | None = None,
    ) -> None:
        choice = chosen("Arrow", columns=columns, images=images, audio=audio, shapes=shapes, nulls=nulls, fill=fill)
        files = opened("Arrow", listed_paths("Arrow: paths", paths))
        schema = files[0].schema
        regions = [file.region for file in files]
        super().__init__(
            choice, schema, batches=batches_of("Arrow", files), hints=_hints("Arrow", schema), regions=regions
        )


class ArrowFile(NamedTuple):
    """A file that is mapped to be indexed."""

    path: str
    data: Any
    region: Region
    reader: Any
    schema: Any


def opened(owner: str, paths: Sequence[str]) -> list[ArrowFile]:
    """Maps files, and reads their schemas.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: There are no paths; or a file is none of Arrow's, or has other columns than the first.
    """
    if not paths:
        raise ValueError(f"{owner}: there are no paths")
    files = [_opened(owner, path) for path in paths]
    for file in files[1:]:
        if not file.schema.equals(files[0].schema):
            raise ValueError(f"{owner}: {file.path} has other columns than {files[0].path}: {_other(file, files[0])}")
    return files


def _opened(owner: str, path: str) -> ArrowFile:
    pa = pyarrow()
    with Path(path).open("rb") as file:
        shard = Shard.of(file)
        head = file.read(len(MAGIC))
        if not head:
            raise ValueError(f"{owner}: {path} is no Arrow file: it is empty")
        if head.startswith(FEATHER):
            raise ValueError(
                f"{owner}: {path} is of version 1 of Feather: write it anew by pyarrow.feather.write_feather"
            )
        data = pa.py_buffer(mmap.mmap(file.fileno(), shard.size, access=mmap.ACCESS_READ))
    try:
        # Threads would stay, and whoever forks has to reckon with them.
        options = pa.ipc.IpcReadOptions(use_threads=False)
        opener = pa.ipc.open_file if head == MAGIC else pa.ipc.open_stream
        reader = opener(data, options=options)
        return ArrowFile(path, data, Region(data.address, shard.size, 0, shard), reader, reader.schema)
    except damage() as error:
        raise ValueError(f"{owner}: {path} is no Arrow file, or a damaged one: {_first_line(error)}") from error


def batches_of(owner: str, files: Sequence[ArrowFile]) -> Iterator[tuple[str, Any]]:
    """Yields the record batches of files, each with what it is called, when they have been found to be sound.

    Raises:
        ValueError: One is not.
    """
    for file in files:
        at = 0
        try:
            check_unpacked(file.data, is_file=hasattr(file.reader, "num_record_batches"))
        except damage() as error:
            raise ValueError(f"{owner}: {file.path} cannot be read: {_first_line(error)}") from error
        try:
            for batch in _each(file.reader):
                batch.validate()
                yield f"{file.path}, record batch {at}", batch
                at += 1
        except damage() as error:
            raise ValueError(f"{owner}: {file.path}, record batch {at}, is damaged: {_first_line(error)}") from error


def _each(reader: Any) -> Iterator[Any]:
    if hasattr(reader, "num_record_batches"):
        for at in range(reader.num_record_batches):
            yield reader.get_batch(at)
    else:
        yield from reader


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _hints(owner: str, schema: Any) -> dict[str, Hint]:
    """Returns what Hugging Face's features say, where a file has them."""
    text = (schema.metadata or {}).get(b"huggingface")
    if text is None:
        return {}
    try:
        features = json.loads(text)["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return hints_of(owner, features)


def _other(file: ArrowFile, first: ArrowFile) -> str:
    for one, other in zip(file.schema, first.schema, strict=False):
        if not one.equals(other):
            return f"`{one.name}` of {one.type}, not `{other.name}` of {other.type}"
    return f"{len(file.schema)} of them, not {len(first.schema)}"
