"""Where memory lies: in which file, if in one."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stokehold.columns import Shard

__all__ = ["Places", "Region", "Spool", "mapped_regions"]


_COLUMNS: Final = ("addresses", "permissions", "offset", "device", "inode", "path")
"""What a line of /proc/self/maps says."""


class Region(NamedTuple):
    """Memory that is a map of a file."""

    start: int
    size: int
    offset: int
    """Where in the file it begins."""
    shard: Shard


class Places:
    """Finds the places in files that memory is a map of."""

    def __init__(self, regions: Sequence[Region]) -> None:
        self._regions = sorted(regions)
        self._starts = np.array([region.start for region in self._regions], np.uint64)

    def find(self, data: npt.NDArray[Any]) -> tuple[Shard, int] | None:
        """Returns the file that an array is a part of, and where in that it starts; None where it is in none."""
        address = data.__array_interface__["data"][0]
        at = int(np.searchsorted(self._starts, address, "right")) - 1
        if at < 0 or data.size == 0:
            return None
        start, size, offset, shard = self._regions[at]
        if address + data.nbytes > start + size or offset + address - start + data.nbytes > shard.size:
            return None
        return shard, offset + address - start


class Spool:
    """Files without names that take what lies in memory where the rest of a column lies in files.

    They last as long as this object.
    """

    def add(self, pieces: Sequence[npt.NDArray[np.uint8]]) -> tuple[Shard, list[int]]:
        """Writes pieces to a new file, and returns it, and where each piece starts."""
        descriptor, path = tempfile.mkstemp(prefix="stokehold-")
        weakref.finalize(self, os.close, descriptor)
        Path(path).unlink()
        starts = []
        with open(descriptor, "wb", closefd=False) as file:
            for piece in pieces:
                starts.append(file.tell())
                file.write(piece.data)
        stat = os.fstat(descriptor)
        # Workers are other processes, and find it there as long as this one has it.
        return Shard(f"/proc/{os.getpid()}/fd/{descriptor}", stat.st_size, stat.st_mtime_ns), starts


def mapped_regions(paths: Iterable[str]) -> list[Region]:
    """Returns where this process has mapped files to be read, as the kernel tells."""
    found: list[Region] = []
    try:
        lines = Path("/proc/self/maps").read_bytes().splitlines()
    except OSError:
        return found
    shards = {path: _shard(path) for path in map(os.path.realpath, paths)}
    for line in lines:
        words = line.split(maxsplit=len(_COLUMNS) - 1)
        # A file that has been deleted or replaced has not its name here, and then it is memory like any other.
        shard = shards.get(os.fsdecode(words[5])) if len(words) == len(_COLUMNS) else None
        if shard is None or words[1][:3] != b"r--":
            continue
        start, end = (int(word, 16) for word in words[0].split(b"-"))
        found.append(Region(start, end - start, int(words[2], 16), shard))
    return found


def _shard(path: str) -> Shard | None:
    try:
        with Path(path).open("rb") as file:
            return Shard.of(file)
    except OSError:
        return None
