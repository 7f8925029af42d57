"""Files that hold many samples each: which they are, and how far they are indexed."""

from __future__ import annotations

import glob
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from stokehold.checks import items
from stokehold.checks import path as checked_path

__all__ = ["Paths", "Progress", "shard_paths"]

Paths: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""Files as a user gives them."""

PROGRESS_SECONDS: Final = 5.0
"""How often an index that takes long is reported."""

MAX_SHARDS: Final = 1_000_000

_logger = logging.getLogger("stokehold")

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_CHOICE = re.compile(r"\{([^{}]*,[^{}]*)\}")
_COMPRESSED = (".gz", ".tgz", ".zst", ".xz", ".bz2", ".lz4")


class Progress:
    """Logs how far an index is, if that takes long."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.next = time.monotonic() + PROGRESS_SECONDS

    def __call__(self, done: int, of: int) -> None:
        """Is told that so many shards of so many are done."""
        if time.monotonic() >= self.next and done < of:
            self.next = time.monotonic() + PROGRESS_SECONDS
            _logger.info("%s: %d of %d shards are indexed", self.what, done, of)


def _braces(what: str, pattern: str) -> Iterator[str]:
    """Returns what braces stand for: ``{000..127}``, with as many digits, and ``{a,b}``."""
    span, choice = _RANGE.search(pattern), _CHOICE.search(pattern)
    if span and (not choice or span.start() < choice.start()):
        first, last = span.groups()
        if int(last) < int(first) or int(last) - int(first) >= MAX_SHARDS:
            raise ValueError(f"{what}: {span.group()} is no range of at most {MAX_SHARDS} shards")
        texts = [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
        found = span
    elif choice:
        texts, found = choice.group(1).split(","), choice
    else:
        yield pattern
        return
    for text in texts:
        yield from _braces(what, pattern[: found.start()] + text + pattern[found.end() :])


def shard_paths(what: str, shards: Paths, argument: str = "shards") -> list[str]:
    """Returns the absolute paths of the files that a class, `what`, was given: paths, patterns, ranges in braces.

    `argument` is the name of what was given.

    Raises:
        FileNotFoundError: A pattern matches nothing.
        ValueError: There are none, or one is compressed or elsewhere than on a disk.
    """
    owner = f"{what}: {argument}"
    given = [shards] if isinstance(shards, str | os.PathLike) else items(owner, shards, "a path, or a list")
    for at, each in enumerate(given):
        checked_path(owner if len(given) == 1 else f"{owner}[{at}]", each)
    paths: list[str] = []
    for each in given:
        # A path object is one, whatever its name looks like.
        for pattern in [os.fspath(each)] if isinstance(each, os.PathLike) else _braces(what, each):
            is_pattern = isinstance(each, str) and glob.has_magic(pattern) and not Path(pattern).exists()
            # Path.glob takes no absolute pattern.
            matches = sorted(glob.glob(pattern, recursive=True)) if is_pattern else [pattern]  # noqa: PTH207
            if not matches:
                raise FileNotFoundError(f"{what}: no file matches {pattern!r}")
            paths.extend(matches)
    if not paths:
        raise ValueError(f"{owner}: there are no {argument}")
    for path in paths:
        if "://" in path or path.startswith("pipe:"):
            raise ValueError(f"{what}: {path} is no file; copy the shards to a disk first")
        if path.endswith(_COMPRESSED):
            raise ValueError(
                f"{what}: {path} is compressed, so that no sample can be read by itself; decompress it (gunzip, "
                "zstd -d, ...), which costs little space where the samples are JPEGs"
            )
    return [str(Path(path).absolute()) for path in paths]
