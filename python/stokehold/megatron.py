"""Megatron's indices of tokens: which dtype they have, and where documents start."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Index", "is_index", "read_index"]

MAGIC: Final = b"MMIDIDX\x00\x00"

HEADER: Final = struct.Struct("<9sQBQQ")
"""Magic, version, code of the dtype, number of sequences, number of documents' bounds."""

VERSION: Final = 1

CODES: Final = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float64",
    7: "float32",
    8: "uint16",
}

READ: Final = ("uint8", "uint16", "int32")
"""Dtypes of tokens; Megatron itself writes the last two."""


class Index(NamedTuple):
    """What an index says of the tokens beside it."""

    dtype: np.dtype[Any]
    size: int
    """The bytes that the tokens take."""
    documents: npt.NDArray[np.uint64]
    """The bytes at which documents start, in rising order."""


def is_index(path: Path) -> bool:
    """Tells whether there is a file that begins as Megatron's index does."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_index(path: Path) -> Index:
    """Reads an index, as ``megatron.core.datasets.indexed_dataset`` writes it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no index, is cut short, or says what cannot be; the byte is named.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(HEADER.size)
        if head[: len(MAGIC)] != MAGIC:
            raise ValueError(f"{path}: is no index of Megatron's: byte 0 does not begin {MAGIC!r}")
        if len(head) < HEADER.size:
            raise ValueError(f"{path}: is cut short at byte {size}, in its header of {HEADER.size} bytes")
        _, version, code, sequences, bounds = HEADER.unpack(head)
        if version != VERSION:
            raise ValueError(f"{path}: is of version {version} (byte 9); version {VERSION} is read")
        name = CODES.get(code)
        if name not in READ:
            what = f"holds {name}" if name else f"has the dtype {code}, which there is not"
            raise ValueError(f"{path}: {what} (byte 17); tokens are {', '.join(READ)}")
        needed = HEADER.size + 12 * sequences + 8 * bounds
        # Behind it there may be a byte for each sequence, its mode.
        if size not in {needed, needed + sequences}:
            raise ValueError(
                f"{path}: has {size} bytes, and its {sequences} sequences and {bounds} bounds of documents (bytes 18 "
                f"and 26) take {needed}, or {needed + sequences} with modes"
            )
        lengths = np.frombuffer(file.read(4 * sequences), "<i4")
        pointers = np.frombuffer(file.read(8 * sequences), "<i8")
        documents = np.frombuffer(file.read(8 * bounds), "<i8")
    if len(documents) < bounds:
        raise ValueError(f"{path}: was cut short while it was read")
    dtype = np.dtype(name).newbyteorder("<")
    ends = _ends(path, lengths, pointers, dtype.itemsize)
    _check_documents(path, documents, sequences)
    starts = np.concatenate([np.zeros(1, np.int64), ends])[documents].astype(np.uint64)
    # A document of no tokens starts where the next one does.
    return Index(dtype, int(ends[-1]) if len(ends) else 0, np.unique(starts))


def _ends(
    path: Path, lengths: npt.NDArray[np.int32], pointers: npt.NDArray[np.int64], token: int
) -> npt.NDArray[np.int64]:
    """Returns the bytes at which sequences end, which must follow each other."""
    negative = np.flatnonzero(lengths < 0)
    if len(negative):
        at = int(negative[0])
        raise ValueError(f"{path}: sequence {at} has {lengths[at]} tokens (byte {HEADER.size + 4 * at})")
    ends = np.cumsum(lengths, dtype=np.int64) * token
    wrong = np.flatnonzero(pointers != ends - lengths.astype(np.int64) * token)
    if len(wrong):
        at = int(wrong[0])
        byte = HEADER.size + 4 * len(lengths) + 8 * at
        expected = int(ends[at]) - int(lengths[at]) * token
        raise ValueError(
            f"{path}: sequence {at} starts at byte {pointers[at]} of the tokens (byte {byte} of the index), and those "
            f"before it end at {expected}; sequences must follow each other"
        )
    return ends


def _check_documents(path: Path, documents: npt.NDArray[np.int64], sequences: int) -> None:
    first = HEADER.size + 12 * sequences
    beyond = np.flatnonzero((documents < 0) | (documents > sequences))
    if len(beyond):
        at = int(beyond[0])
        raise ValueError(
            f"{path}: document {at} begins with sequence {documents[at]} (byte {first + 8 * at}), and there are "
            f"{sequences}"
        )
    falling = np.flatnonzero(np.diff(documents) < 0)
    if len(falling):
        at = int(falling[0]) + 1
        raise ValueError(f"{path}: document {at} begins before the last one (byte {first + 8 * at})")
