"""Arrays in files: NumPy's, and safetensors."""

from __future__ import annotations

import ast
import json
import math
import os
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from stokehold.checks import mapping, renamed
from stokehold.checks import paths as listed_paths
from stokehold.columns import Blocks, Shard, checked
from stokehold.table import Table

__all__ = ["Npy", "Npz", "Safetensors"]

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

MAX_HEADER = 1 << 20
"""The largest header of NumPy's that is read; the structure of an array of numbers takes a hundred bytes."""

MAGIC = b"\x93NUMPY"

LOCAL_HEADER = 30
"""The bytes of a zip member's header but for its name and what is extra."""

LENGTH = 8
"""The bytes of the length at the start of a safetensors file."""

MAX_TABLE = 100 << 20
"""The largest header of safetensors, as that library has it."""


class _Array(NamedTuple):
    """An array in a file: where it starts, and what it is."""

    shard: Shard
    start: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class _ArrayFiles(Table):
    """Arrays in files, whose rows are samples. They are not copied: workers map the files."""

    def __init__(self, arrays: Mapping[str, Sequence[_Array]]) -> None:
        if not arrays:
            owner = type(self).__name__
            raise ValueError(f"{owner}: {'arrays' if owner == 'Npy' else 'paths'}: there are no arrays")
        super().__init__({name: _joined(name, parts) for name, parts in arrays.items()})


class Npy(_ArrayFiles):
    """Arrays in ``.npy`` files; sample ``i`` is row ``i`` of each, and several files of a field follow each other.

    The files are mapped by the workers and read where a row is needed, so that they may be larger than memory. They
    must not be changed as long as a loader reads them; samples of one that was are bad ones.

    Args:
        arrays: The files by field name: a path, or a list of paths of arrays that differ in their first axis alone.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A file is no array in the format that ``numpy.save`` writes, is cut short, is not C-contiguous,
            holds objects (which would have to be unpickled) or numbers of another byte order; arrays of one field
            differ in dtype or shape, or fields in their number of rows.
    """

    def __init__(self, arrays: Mapping[str, Paths]) -> None:
        given = mapping("Npy: arrays", arrays, "a mapping of names of fields to paths")
        super().__init__(
            {
                name: [_npy(path) for path in listed_paths(f"Npy: arrays[{name!r}]", paths)]
                for name, paths in given.items()
            }
        )


class Npz(_ArrayFiles):
    """Arrays in ``.npz`` files as ``numpy.savez`` writes them; sample ``i`` is row ``i`` of each.

    The arrays of several files follow each other. As with `Npy`, the files are mapped.

    Args:
        paths: A path, or a list of paths.
        fields: The arrays to be read, by field name; by default all, by their names.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: As `Npy`; or a file is no zip file, lacks an array, or has it compressed, as
            ``numpy.savez_compressed`` does.
    """

    def __init__(self, paths: Paths, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(_by_field("Npz", [_npz(path) for path in listed_paths("Npz: paths", paths)], fields))


class Safetensors(_ArrayFiles):
    """Tensors in ``.safetensors`` files; sample ``i`` is row ``i`` of each.

    The tensors of several files follow each other. As with `Npy`, the files are mapped.

    Args:
        paths: A path, or a list of paths.
        fields: The tensors to be read, by field name; by default all, by their names.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A file is none of safetensors by its specification, is cut short, or lacks a tensor; a dtype cannot
            be in a batch (8-bit floats); tensors of one field differ in dtype or shape, or fields in their number of
            rows.
    """

    def __init__(self, paths: Paths, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(
            _by_field("Safetensors", [_safetensors(path) for path in listed_paths("Safetensors: paths", paths)], fields)
        )


def _by_field(
    owner: str, files: Sequence[tuple[str, Mapping[str, _Array]]], fields: Mapping[str, str] | None
) -> dict[str, list[_Array]]:
    """Returns for each field its arrays in all files."""
    wanted = renamed(f"{owner}: fields", fields) or {name: name for name in files[0][1]}
    for path, arrays in files:
        for key in wanted.values():
            if key not in arrays:
                raise ValueError(f"{path}: there is no array `{key}`; there are {', '.join(arrays) or 'none'}")
    return {name: [arrays[key] for _, arrays in files] for name, key in wanted.items()}


def _joined(name: str, arrays: Sequence[_Array]) -> Blocks:
    first = arrays[0]
    for shard, _, dtype, shape in arrays:
        if not shape:
            raise ValueError(f"{shard.path}: array `{name}` is a scalar; it needs a first axis of rows")
        if (dtype, shape[1:]) != (first.dtype, first.shape[1:]):
            raise ValueError(
                f"{shard.path}: array `{name}` has rows of {dtype}{list(shape[1:])}, and those of {first.shard.path} "
                f"are {first.dtype}{list(first.shape[1:])}"
            )
        checked(f"{name}` of `{shard.path}", dtype)
    return Blocks(first.dtype, first.shape[1:], [(shard, start, shape[0]) for shard, start, _, shape in arrays])


_VERSIONS = {b"\x01\x00": (2, "latin-1"), b"\x02\x00": (4, "latin-1"), b"\x03\x00": (4, "utf-8")}
"""For each version of NumPy's format the bytes of the header's length, and what the header is written in."""


def _npy(path: str) -> _Array:
    with Path(path).open("rb") as file:
        shard = Shard.of(file)
        return _header(file, path, shard, shard.size)


def _header(file: IO[bytes], what: str, shard: Shard, end: int) -> _Array:
    """Reads the header of an array as numpy.lib.format describes it; the array is to end at `end`."""
    magic, version = file.read(len(MAGIC)), file.read(2)
    if magic != MAGIC or version not in _VERSIONS:
        raise ValueError(f"{what}: is no array in NumPy's format")
    size_bytes, encoding = _VERSIONS[version]
    size = int.from_bytes(file.read(size_bytes), "little")
    if size > MAX_HEADER:
        raise ValueError(f"{what}: its header would have {size} bytes")
    text = file.read(size)
    start = file.tell()
    try:
        found = ast.literal_eval(text.decode(encoding))
        by_columns, dtype, shape = found["fortran_order"], np.dtype(found["descr"]), found["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise ValueError(f"{what}: its header is none: {error}") from error
    if not isinstance(shape, tuple) or not all(type(extent) is int and extent >= 0 for extent in shape):
        raise ValueError(f"{what}: its shape is {shape!r}")
    if dtype.hasobject:
        raise ValueError(f"{what}: holds objects, which would have to be unpickled; save an array of numbers")
    if by_columns and sum(extent > 1 for extent in shape) > 1:
        raise ValueError(f"{what}: lies by columns; save numpy.ascontiguousarray(array)")
    needed = math.prod(shape) * dtype.itemsize
    if len(text) < size or start + needed > end:
        raise ValueError(
            f"{what}: is cut short: {dtype}{list(shape)} needs {needed} bytes, and {max(0, end - start)} follow"
        )
    return _Array(shard, start, dtype, shape)


def _npz(path: str) -> tuple[str, dict[str, _Array]]:
    with Path(path).open("rb") as file:
        shard = Shard.of(file)
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, struct.error, OSError, ValueError, NotImplementedError) as error:
            raise ValueError(f"{path}: is no zip file: {error}") from error
        arrays: dict[str, _Array] = {}
        for member in members:
            what = f"{path}: {member.filename}"
            if not member.filename.endswith(".npy"):
                raise ValueError(f"{what}: is no .npy file, as numpy.savez writes them")
            if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
                raise ValueError(f"{what}: is compressed, so that no row can be read by itself; use numpy.savez")
            # Of a damaged file it may be anything.
            at = min(max(0, member.header_offset), shard.size)
            file.seek(at)
            local = file.read(LOCAL_HEADER)
            if len(local) < LOCAL_HEADER or local[:4] != b"PK\x03\x04":
                raise ValueError(f"{what}: does not begin where the zip file says")
            start = at + LOCAL_HEADER + sum(struct.unpack("<HH", local[-4:]))
            file.seek(start)
            name = member.filename.removesuffix(".npy")
            if name in arrays:
                raise ValueError(f"{what}: comes twice")
            arrays[name] = _header(file, what, shard, min(start + member.file_size, shard.size))
    return path, arrays


_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
}


def _dtype(what: str, name: object) -> np.dtype[Any]:
    if name == "BF16":
        try:
            import ml_dtypes  # noqa: PLC0415
        except ImportError as error:
            raise ValueError(f"{what}: is bfloat16, which needs the package ml_dtypes") from error
        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    if not isinstance(name, str) or name not in _DTYPES:
        raise ValueError(f"{what}: has dtype {name!r}; a batch holds {', '.join([*_DTYPES, 'BF16'])}")
    return np.dtype(_DTYPES[name])


def _safetensors(path: str) -> tuple[str, dict[str, _Array]]:
    with Path(path).open("rb") as file:
        shard = Shard.of(file)
        size = int.from_bytes(file.read(LENGTH), "little")
        if shard.size < LENGTH or size > min(MAX_TABLE, shard.size - LENGTH):
            raise ValueError(f"{path}: is no safetensors file: its header would have {size} bytes of {shard.size}")
        try:
            table = dict(json.loads(file.read(size)))
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{path}: is no safetensors file: its header is no object of JSON: {error}") from error
    table.pop("__metadata__", None)
    found = {name: _tensor(f"{path}: tensor `{name}`", shard, LENGTH + size, entry) for name, entry in table.items()}
    # By the specification the tensors follow each other without a hole, so that no two share bytes.
    end = LENGTH + size
    for name, array in sorted(found.items(), key=lambda item: item[1].start):
        if array.start != end:
            raise ValueError(
                f"{path}: tensor `{name}` starts at byte {array.start}, and what is before it ends at {end}"
            )
        end += math.prod(array.shape) * array.dtype.itemsize
    return path, found


def _tensor(what: str, shard: Shard, base: int, entry: object) -> _Array:
    try:
        name, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]  # type: ignore[index]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{what}: lacks a dtype, a shape or its offsets") from error
    dtype = _dtype(what, name)
    if not isinstance(shape, list) or not all(type(number) is int and number >= 0 for number in [*shape, begin, end]):
        raise ValueError(f"{what}: has shape {shape!r} from byte {begin!r} to {end!r}")
    needed = math.prod(shape) * dtype.itemsize
    if end - begin != needed or base + end > shard.size:
        raise ValueError(
            f"{what}: {dtype}{shape} needs {needed} bytes, and has {end - begin} of the {shard.size - base} in the file"
        )
    return _Array(shard, base + begin, dtype, tuple(shape))
