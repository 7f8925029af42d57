"""Files of tokens: flat ones, and Megatron's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.checks import dtype_name, one_of, shown, truth, whole
from stokehold.columns import Blocks, Shard
from stokehold.megatron import is_index, read_index
from stokehold.shards import Paths, shard_paths
from stokehold.sources import Source

__all__ = ["TokenBin"]

Rest = Literal["drop", "overlap"]

RAW: Final = ("uint8", "uint16", "uint32", "int32")
"""Dtypes of tokens in flat files."""

LARGEST_TOKEN: Final = 2**32 - 1

NO_LIMIT: Final = 2**64 - 1


class _Corpus(NamedTuple):
    """A file of tokens."""

    shard: Shard
    dtype: np.dtype[Any]
    tokens: int
    documents: npt.NDArray[np.uint64] | None
    """The bytes at which documents start, where an index says that."""


class TokenBin(Source):
    """Windows of files of tokens: a sample is ``seq_len`` tokens that follow each other, and for each the next one.

    The fields are ``tokens`` and ``targets``, of shape ``(seq_len,)``; with ``segments``, also ``segment_ids`` and
    ``position_ids``, ``int32``: segments count the documents of a window from 1 on, and positions the tokens of each
    from 0 on. A document that begins before the window counts from the window's start, as Megatron's
    ``reset_position_ids`` does; targets are the next tokens also at a document's end. Windows do not go over the end of
    a file. Nothing is copied: workers read the ``seq_len + 1`` tokens of a window, and widen them.

    A window begins every ``stride`` tokens. A loader with ``shuffle=True`` takes them in a random order: with
    ``stride=1`` windows begin anywhere, as nanoGPT's do.

    Args:
        paths: The files: a path, a pattern with ``*`` and ``?``, a range in braces, or a list of these. A path that
            ends in ``.idx``, or that does so with ``.idx`` behind it, is an index of Megatron's, whose tokens lie in
            the ``.bin`` file beside it. Any other file is flat, as nanoGPT's are: tokens and nothing else,
            little-endian.
        seq_len: The tokens of a sample.
        dtype: The dtype of flat files: ``"uint16"``, the default, ``"uint32"``, ``"uint8"`` or ``"int32"``. An index
            says it itself.
        stride: How many tokens after a window the next one begins; ``seq_len`` by default, so that each token is a
            target once. More leaves tokens out.
        separator: The token that ends a document, in flat files: it is the last one of its segment.
        segments: Whether there are ``segment_ids`` and ``position_ids``. Documents are those of the index, or end with
            the separator.
        vocab_size: How many tokens there are: a sample with another number is a bad one, which names file and byte.
        output: The dtype of tokens and targets: ``"int64"`` or ``"int32"``. Numbers that this does not hold, and
            negative ones, are no tokens.
        rest: What becomes of tokens at a file's end that fill no window: ``"drop"`` leaves them out, counted in
            `counters` and ``Loader.stats`` as ``tokens_left_out``; ``"overlap"`` takes them with one more window, which
            ends with the file and begins as far before as it must. A file that is shorter than a window gives none.

    Raises:
        FileNotFoundError: There is no such file.
        TypeError: An argument is of another type.
        ValueError: No file has a window; files differ in their dtypes; a file is no whole number of tokens; an index is
            none, is cut short, or says what cannot be or what the tokens beside it do not hold: path and byte are
            named. Segments are wanted, and nothing says where documents end.
    """

    def __init__(
        self,
        paths: Paths,
        seq_len: int,
        *,
        dtype: str | None = None,
        stride: int | None = None,
        separator: int | None = None,
        segments: bool = False,
        vocab_size: int | None = None,
        output: Literal["int64", "int32"] = "int64",
        rest: Rest = "drop",
    ) -> None:
        self.seq_len = whole("TokenBin: seq_len", seq_len, 1, 2**31 - 2)
        self.stride = self.seq_len
        if stride is not None:
            self.stride = whole("TokenBin: stride", stride, 1, other=" or None")
        if separator is not None:
            separator = whole("TokenBin: separator", separator, 0, LARGEST_TOKEN, other=" or None")
        limit = NO_LIMIT
        if vocab_size is not None:
            limit = whole("TokenBin: vocab_size", vocab_size, 1, LARGEST_TOKEN + 1, other=" or None")
        if separator is not None and separator >= limit:
            raise ValueError(f"TokenBin: separator must be below vocab_size = {limit}, not {separator}")
        segments = truth("TokenBin: segments", segments)
        output = one_of("TokenBin: output", output, ("int64", "int32"))
        rest = one_of("TokenBin: rest", rest, get_args(Rest))
        flat = None if dtype is None else dtype_name("TokenBin: dtype", dtype, RAW)
        self.paths = [_index_of(path) for path in shard_paths("TokenBin", paths, "paths")]
        corpora = [_megatron(path, flat) if path.suffix == ".idx" else _flat(path, flat) for path in self.paths]
        _check(corpora, separator, segments=segments)
        if output == "int32" or corpora[0].dtype == np.dtype("<i4"):
            limit = min(limit, 2**31)
        table, shards = self._windows(corpora, rest)
        documents = None
        if segments and corpora[0].documents is not None:
            documents = _documents(corpora, shards)
        described = {"output": output, "limit": limit, "separator": separator, "segments": segments}
        self._native = table.tokens(json.dumps(described), documents)

    def _windows(self, corpora: list[_Corpus], rest: Rest) -> tuple[_native.Source, Sequence[Shard]]:
        """Returns the windows as rows of a table, and its shards; counts the tokens that are in no window."""
        row, dtype = self.seq_len + 1, corpora[0].dtype
        blocks, left = [], 0
        for corpus in corpora:
            count = (corpus.tokens - row) // self.stride + 1 if corpus.tokens >= row else 0
            end = (count - 1) * self.stride + row if count else 0
            blocks.append((corpus.shard, 0, count))
            if count and end < corpus.tokens and rest == "overlap":
                blocks.append((corpus.shard, (corpus.tokens - row) * dtype.itemsize, 1))
            else:
                left += corpus.tokens - end
        if not any(count for _, _, count in blocks):
            longest = max(corpus.tokens for corpus in corpora)
            raise ValueError(
                f"TokenBin: seq_len: no file has a window of {row} tokens (seq_len + 1); the longest has {longest}"
            )
        self.counters = {"tokens_left_out": left} if left else {}
        column = Blocks(dtype, (row,), blocks, self.stride * dtype.itemsize)
        (found,), shards = column.stored()[1:]
        self._len = len(column)
        field = {"name": "tokens", **column.spec()}
        # They are read, not mapped: a file that is cut short is then an error, not the end of a worker.
        table = {"rows": self._len, "columns": [{"field": field, "stored": {"blocks": 0}}], "mapped": False}
        return _native.Source.table(json.dumps(table), [found], list(shards)), shards

    @property
    def native(self) -> _native.Source:
        """The source as the core has it."""
        return self._native

    def __len__(self) -> int:
        return self._len

    def __repr__(self) -> str:
        files = "1 file" if len(self.paths) == 1 else f"{len(self.paths)} files"
        return f"TokenBin({len(self)} windows of {self.seq_len} tokens in {files})"


def _index_of(path: str) -> Path:
    """Returns the path of an index where the name that its files have in common was given."""
    behind = Path(f"{path}.idx")
    return behind if not Path(path).exists() and behind.exists() else Path(path)


def _flat(path: Path, dtype: str | None) -> _Corpus:
    index = path.with_suffix(".idx")
    if path.suffix == ".bin" and is_index(index):
        raise ValueError(f"TokenBin: {path} has an index of Megatron's beside it: give {index}, which says its dtype")
    found = np.dtype(dtype or "uint16").newbyteorder("<")
    with path.open("rb") as file:
        shard = Shard.of(file)
    if shard.size % found.itemsize:
        raise ValueError(
            f"TokenBin: {path} has {shard.size} bytes, which is no whole number of tokens of {found.name} "
            f"({found.itemsize} bytes): is dtype another one?"
        )
    return _Corpus(shard, found, shard.size // found.itemsize, None)


def _megatron(path: Path, dtype: str | None) -> _Corpus:
    index = read_index(path)
    if dtype is not None and np.dtype(dtype).newbyteorder("<") != index.dtype:
        raise ValueError(f"TokenBin: dtype is {dtype}, and {path} says {index.dtype.name}; leave it out")
    with path.with_suffix(".bin").open("rb") as file:
        shard = Shard.of(file)
    if shard.size != index.size:
        raise ValueError(f"{shard.path}: has {shard.size} bytes, and the index {path} says {index.size}")
    return _Corpus(shard, index.dtype, index.size // index.dtype.itemsize, index.documents)


def _check(corpora: list[_Corpus], separator: int | None, *, segments: bool) -> None:
    first = corpora[0]
    for corpus in corpora:
        if corpus.dtype != first.dtype:
            raise ValueError(
                f"TokenBin: {corpus.shard.path} has tokens of {corpus.dtype.name}, and {first.shard.path} of "
                f"{first.dtype.name}: make a source of each, and concat them"
            )
        if (corpus.documents is None) != (first.documents is None):
            raise ValueError(
                f"TokenBin: {corpus.shard.path} and {first.shard.path} are not both with or without an index: make a "
                "source of each, and concat them"
            )
    if first.documents is not None and separator is not None:
        raise ValueError(f"TokenBin: separator = {separator} goes with flat files; documents are those of the index")
    if segments and first.documents is None and separator is None:
        raise ValueError(
            f"TokenBin: segments = {shown(segments)} needs a separator, the token that ends a document, or an index"
        )


def _documents(
    corpora: list[_Corpus], shards: Sequence[Shard]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Returns where documents start, those of each shard, and where these numbers end for each of them, in bytes."""
    by_shard = {corpus.shard: corpus.documents for corpus in corpora if corpus.documents is not None}
    starts = [by_shard[shard] for shard in shards]
    ends = np.cumsum([each.nbytes for each in starts], dtype=np.uint64)
    return np.concatenate(starts), ends
