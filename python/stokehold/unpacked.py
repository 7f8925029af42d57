"""Compressed shards, unpacked once to the cache, where samples can be read at random."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from stokehold import _native
from stokehold.shards import Progress

__all__ = ["Packed", "unpacked"]


class Packed(NamedTuple):
    """A compressed file."""

    path: Path
    name: str
    """That of what it holds."""
    size: int
    """The bytes of that."""

    def at(self, folder: Path) -> Path:
        """Returns where it is unpacked: somewhere else when the file has another size or time of change."""
        found = self.path.stat()
        what = f"{self.path.resolve()}\0{found.st_size}\0{found.st_mtime_ns}\0{self.size}"
        return folder / f"{hashlib.blake2b(os.fsencode(what), digest_size=16).hexdigest()}-{self.name}"


def unpacked(packed: Sequence[Packed], folder: Path, progress: Progress) -> list[Path]:
    """Returns where the files lie unpacked; does that with those that are not there, on all processors.

    Raises:
        ValueError: One is no Zstandard, is broken, or holds another number of bytes than it should.
        OSError: One cannot be read, or the folder cannot be written to.
    """
    places = [each.at(folder) for each in packed]
    missing = [
        (each, place)
        for each, place in zip(packed, places, strict=True)
        if not place.is_file() or place.stat().st_size != each.size
    ]
    with ThreadPoolExecutor(_native.auto_workers(1)) as threads:
        done = [threads.submit(_native.unpack_zstd, each.path, place, each.size) for each, place in missing]
        for count, future in enumerate(done):
            progress(count, len(done))
            future.result()
    return places
