"""How much memory the compressed buffers of an Arrow file take, by their headers, before any of it is allocated.

The metadata of a message is a FlatBuffer, which pyarrow checks but does not show: a table starts with the distance back
to a list of where its fields are, see https://flatbuffers.dev/internals. The tables are those of Arrow's `Message.fbs`
and `File.fbs`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from stokehold.arrow.types import pyarrow

__all__ = ["check_unpacked"]

LEAST: Final = 1 << 30
RATIO: Final = 256

DICTIONARY_BATCH: Final = 2
RECORD_BATCH: Final = 3
# The bytes in which a compressed buffer says how long it is unpacked.
PREFIX: Final = 8
# What files of version 4 of the format say, instead of the table that later ones have.
OLD_COMPRESSION: Final = b"ARROW:experimental_compression"


def check_unpacked(data: Any, *, is_file: bool) -> None:
    """Checks that the buffers of a file do not unpack to more than 1 GiB and 256 times the file.

    Args:
        data: The whole file, a buffer of pyarrow.
        is_file: Whether it is of the format "file", which pyarrow has opened; else a stream.

    Raises:
        ValueError: They do.
    """
    limit, total = max(LEAST, RATIO * data.size), 0
    for message, body in _blocks(data) if is_file else _stream(data):
        total += _unpacked(message, body)
        if total > limit:
            raise ValueError(
                f"its compressed buffers say that they unpack to {total} bytes or more, and {limit} are allowed, the "
                f"larger of 1 GiB and {RATIO} times the file; write it without compression"
            )


def _stream(data: Any) -> Iterator[tuple[Any, memoryview]]:
    pa = pyarrow()
    reader = pa.ipc.MessageReader.open_stream(data)
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        yield message, memoryview(message.body)


def _blocks(data: Any) -> Iterator[tuple[Any, memoryview]]:
    """Yields the messages that a file's footer lists, wherever they lie, and what follows each one's metadata.

    Where that is, the footer says, as pyarrow has it; the message says it once more.
    """
    pa, view = pyarrow(), memoryview(data)
    # The length of the footer, and the magic bytes, are the last ten.
    (length,) = _numbers("<i", view, len(view) - 10)
    footer = view[max(0, len(view) - 10 - length) : len(view) - 10]
    root = _pointed(footer, 0)
    for field in (2, 3):
        at, count = _vector(footer, root, field)
        for block in range(count):
            offset, length = _numbers("<qi", footer, at + 24 * block)
            if not 0 <= offset <= offset + length < data.size:
                raise ValueError(f"its footer has a block at {offset}, of {data.size} bytes")
            try:
                message = pa.ipc.read_message(data.slice(offset))
            except EOFError as error:
                raise ValueError(f"its footer has a block at {offset}, where there is no message") from error
            yield message, view[offset + length :]


def _unpacked(message: Any, body: memoryview) -> int:
    """Returns how many bytes the compressed buffers of a message say that they have."""
    metadata = memoryview(message.metadata)
    root = _pointed(metadata, 0)
    kind, header = _field(metadata, root, 1), _field(metadata, root, 2)
    if kind is None or header is None or metadata[kind] not in (DICTIONARY_BATCH, RECORD_BATCH):
        return 0
    batch = _pointed(metadata, header)
    if metadata[kind] == DICTIONARY_BATCH:
        inner = _field(metadata, batch, 1)
        if inner is None:
            return 0
        batch = _pointed(metadata, inner)
    if _field(metadata, batch, 3) is None and OLD_COMPRESSION not in bytes(metadata):
        return 0
    total = 0
    at, count = _vector(metadata, batch, 2)
    for buffer in range(count):
        offset, length = _numbers("<qq", metadata, at + 16 * buffer)
        if length >= PREFIX:
            (unpacked,) = _numbers("<q", body, offset)
            # -1 stands for a buffer that lies there as it is; what else is negative is refused by pyarrow.
            total += max(unpacked, 0)
    return total


def _field(data: memoryview, table: int, number: int) -> int | None:
    """Returns where a field of a table lies, or None if it has its default."""
    (back,) = _numbers("<i", data, table)
    (size,) = _numbers("<H", data, table - back)
    entry = 4 + 2 * number
    if entry + 2 > size:
        return None
    (offset,) = _numbers("<H", data, table - back + entry)
    return table + offset if offset else None


def _vector(data: memoryview, table: int, number: int) -> tuple[int, int]:
    """Returns where the entries of a vector lie, and how many there are."""
    field = _field(data, table, number)
    if field is None:
        return 0, 0
    at = _pointed(data, field)
    (count,) = _numbers("<I", data, at)
    return at + 4, count


def _pointed(data: memoryview, at: int) -> int:
    (offset,) = _numbers("<I", data, at)
    return at + int(offset)


def _numbers(form: str, data: memoryview, at: int) -> tuple[int, ...]:
    if not 0 <= at <= len(data) - struct.calcsize(form):
        raise ValueError(f"its metadata leads to byte {at} of {len(data)}")
    return struct.unpack_from(form, data, at)
