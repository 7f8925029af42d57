"""Shards in MosaicML Streaming's format, MDS."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stokehold.audio import Waveform, waveforms
from stokehold.cache import cache_folder
from stokehold.checks import path as checked_path
from stokehold.checks import renamed
from stokehold.columns import Parts, Shard
from stokehold.shards import Progress
from stokehold.table import Table
from stokehold.unpacked import Packed, unpacked

__all__ = ["Mds"]

NUMBER = 4
"""The bytes of a number of the format: a count, an offset, a size."""

_SCALARS = {
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"float{bits}" for bits in (16, 32, 64)},
    "int": "int64",
}
_TEXTS = {"str", "json", "str_int", "str_float", "str_decimal"}
_IMAGES = {"jpeg", "png"}


class _File(NamedTuple):
    """One shard's places: for each column where each sample's value starts, and its bytes."""

    shard: Shard
    starts: npt.NDArray[np.uint64]
    sizes: npt.NDArray[np.uint64]


class Mds(Table):
    """Samples in MDS shards, as MosaicML Streaming's ``MDSWriter`` writes them to a folder with an ``index.json``.

    They are read at random where they lie. Shards that are compressed by Zstandard, and do not lie unpacked beside it,
    are unpacked once, to ``cache``, which then takes as much of the disk as the samples have bytes.

    ``jpeg`` and ``png`` are encoded images; ``str``, ``json`` and numbers of any precision (``str_int`` and so on) are
    texts; ``bytes`` are bytes, or waveforms where `audio` says so; numbers, and arrays whose dtype and shape the index
    says (``ndarray:float32:3,4``), are tensors.

    Args:
        folder: The folder, or one of its splits.
        fields: The columns to be read, by field name; by default all, by their names.
        audio: Fields that hold audio files, in columns of ``bytes``, and the `Waveform` that each becomes.
        cache: The folder in which unpacked shards are kept, of each compressed file as it is now; True for
            ``stokehold`` in ``$XDG_CACHE_HOME``, which is ``~/.cache`` if nothing else is said; False keeps none, so
            that compressed shards are refused.

    Raises:
        FileNotFoundError: There is no ``index.json``, or no shard that it names.
        ValueError: The index is none; a shard is compressed by anything else, is broken, leads out of the folder, has
            another size than the index says or offsets that lead out of it; a column is missing or differs between
            shards, or has an encoding that is not read: pickles, which could run any code, raw pictures of Pillow,
            lists, and arrays that say themselves what they are. `audio` names no field, or one that is not ``bytes``.
        TypeError: An argument is of another type.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        fields: Mapping[str, str] | None = None,
        *,
        audio: Mapping[str, Waveform] | None = None,
        cache: str | os.PathLike[str] | bool = True,
    ) -> None:
        root = checked_path("Mds: folder", folder)
        given = renamed("Mds: fields", fields)
        sounds = waveforms("Mds", audio)
        kept = cache_folder("Mds", cache)
        described = _index(root)
        encodings = _columns(root, described)
        wanted = given or {name: name for name in encodings}
        for key in wanted.values():
            if key not in encodings:
                raise ValueError(f"{root}: there is no column `{key}`; there are {', '.join(encodings)}")
        specs = {name: _spec(f"{root}: column `{key}`", encodings[key]) for name, key in wanted.items()}
        for name, waveform in sounds.items():
            if name not in specs:
                raise ValueError(f"Mds: audio names `{name}`, which is no field; there are {', '.join(specs)}")
            if specs[name]["kind"] != "bytes":
                encoding = encodings[wanted[name]]
                raise ValueError(f"Mds: audio[{name!r}] needs a column of bytes, not of the encoding {encoding!r}")
            specs[name] = waveform.spec()
        paths = _unpacked(root, described, kept)
        files = [_places(path, shard) for path, shard in zip(paths, described, strict=True)]
        shards = [file.shard for file in files]
        numbers = np.repeat(np.arange(len(files), dtype=np.uint32), [len(file.starts) for file in files])
        starts, sizes = np.concatenate([file.starts for file in files]), np.concatenate([file.sizes for file in files])
        order = list(encodings)
        super().__init__(
            {
                name: Parts(
                    specs[name],
                    shards,
                    numbers,
                    np.ascontiguousarray(starts[:, order.index(key)]),
                    np.ascontiguousarray(sizes[:, order.index(key)]),
                )
                for name, key in wanted.items()
            }
        )


def _index(root: Path) -> list[dict[str, Any]]:
    path = root / "index.json"
    try:
        shards = json.loads(path.read_bytes())["shards"]
        for shard in shards:
            _check(shard)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: is no index of MDS shards: {error}") from error
    if not shards:
        raise ValueError(f"{path}: there are no shards")
    return list(shards)


def _check(shard: Mapping[str, Any]) -> None:
    names, encodings, sizes = shard["column_names"], shard["column_encodings"], shard["column_sizes"]
    raw, count = shard["raw_data"], shard["samples"]
    if not len(names) == len(encodings) == len(sizes) or not all(isinstance(of, str) for of in (*names, *encodings)):
        raise ValueError("columns without a name, an encoding and a size")
    if type(count) is not int or type(raw["bytes"]) is not int or not isinstance(raw["basename"], str):
        raise ValueError("a shard without a number of samples, a name and a size")
    for name, size in zip(names, sizes, strict=True):
        # Offsets have 32 bits; so has what lies between them.
        if size is not None and (type(size) is not int or not 0 <= size < 2**32):
            raise ValueError(f"column `{name}` has the size {size!r}, and not a number of bytes, or null")


def _columns(root: Path, shards: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Returns the encodings by column, which all shards have in common."""
    first = dict(zip(shards[0]["column_names"], shards[0]["column_encodings"], strict=True))
    for shard in shards:
        name = shard["raw_data"]["basename"]
        if shard.get("format") != "mds":
            raise ValueError(f"{root}: {name} is in the format {shard.get('format')!r}, not mds")
        if dict(zip(shard["column_names"], shard["column_encodings"], strict=True)) != first:
            raise ValueError(f"{root}: {name} has other columns than {shards[0]['raw_data']['basename']}")
    return first


def _unpacked(root: Path, shards: Sequence[Mapping[str, Any]], cache: Path | None) -> list[Path]:
    """Returns where the shards can be read."""
    paths, packed = [], {}
    for at, shard in enumerate(shards):
        name, compression = shard["raw_data"]["basename"], shard.get("compression")
        paths.append(_inside(root, name))
        if not compression or paths[at].is_file():
            continue
        if cache is None or str(compression).partition(":")[0] != "zstd":
            raise ValueError(
                f"{root}: {name} is compressed ({compression}), so that no sample can be read by itself; "
                + (
                    "give a cache, to which it can be unpacked"
                    if cache is None
                    else "unpack the shards beside the index"
                )
            )
        try:
            path = _inside(root, shard["zip_data"]["basename"])
        except (KeyError, TypeError):
            raise ValueError(f"{root}: the index names no compressed file of {name}") from None
        packed[at] = Packed(path, name, shard["raw_data"]["bytes"])
    if packed and cache is not None:
        places = unpacked(list(packed.values()), cache / "mds", Progress("Mds"))
        for at, place in zip(packed, places, strict=True):
            paths[at] = place
    return paths


def _inside(root: Path, name: object) -> Path:
    if not isinstance(name, str) or os.path.basename(name) != name or name in {"", ".", ".."}:  # noqa: PTH119
        raise ValueError(f"{root}: the shard {name!r} would lie outside of the folder")
    return root / name


def _spec(what: str, encoding: str) -> dict[str, Any]:
    """Returns the field of an encoding as plain data."""
    name, *arguments = encoding.split(":")
    if name in _IMAGES:
        return {"kind": "image"}
    if name in _TEXTS:
        return {"kind": "text", "capacity": 0}
    if name == "bytes":
        return {"kind": "bytes", "capacity": 0}
    if name in _SCALARS and not arguments:
        return {"kind": "tensor", "dtype": _SCALARS[name], "shape": []}
    if name == "ndarray" and len(arguments) == 2 and arguments[0] in _SCALARS:  # noqa: PLR2004
        shape = [int(extent) for extent in arguments[1].split(",") if extent.isdigit()]
        return {"kind": "tensor", "dtype": _SCALARS[arguments[0]], "shape": shape}
    reason = {
        "pkl": "a pickle, which could run any code",
        "ndarray": "an array that says itself what it is; write ndarray:dtype:shape",
        "pil": "a raw picture of Pillow; write jpeg or png",
    }.get(name, "not read")
    raise ValueError(f"{what}: has the encoding {encoding!r}, which is {reason}; leave it out with `fields`")


def _places(path: Path, described: Mapping[str, Any]) -> _File:
    """Returns where the values of a shard lie."""
    count = described["samples"]
    with path.open("rb") as file:
        shard = Shard.of(file)
        if shard.size != described["raw_data"]["bytes"] or shard.size < NUMBER * (count + 2) or count < 0:
            raise ValueError(f"{path}: has {shard.size} bytes, and the index says {described['raw_data']['bytes']}")
        head = np.fromfile(file, "<u4", count + 2)
    offsets = head[1:].astype(np.uint64)
    if head[0] != count or offsets[-1] > shard.size or (np.diff(head[1:].astype(np.int64)) < 0).any():
        raise ValueError(f"{path}: its offsets do not lead from sample to sample of the {count} that the index has")
    varying = [at for at, size in enumerate(described["column_sizes"]) if not size]
    fixed = np.array([size or 0 for size in described["column_sizes"]], np.uint64)
    begin, end = offsets[:-1], offsets[1:]
    table = NUMBER * len(varying)
    if (end - begin < table).any() or (begin < NUMBER * (count + 2)).any():
        raise ValueError(f"{path}: a sample is too short for the sizes of its columns")
    sizes = np.tile(fixed, (count, 1))
    if varying and count:
        content = np.memmap(path, np.uint8, "r")
        at = begin[:, None] + np.arange(table, dtype=np.uint64)
        sizes[:, varying] = content[at].view("<u4").astype(np.uint64)
    starts = begin[:, None] + np.uint64(table) + np.cumsum(sizes, axis=1) - sizes
    wrong = np.flatnonzero(starts[:, -1] + sizes[:, -1] != end)
    if len(wrong):
        raise ValueError(f"{path}: the columns of sample {wrong[0]} at byte {begin[wrong[0]]} do not fill it")
    return _File(shard, starts, sizes)
