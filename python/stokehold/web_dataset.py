"""Tar files of samples."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args

from stokehold import _native
from stokehold.audio import Waveform
from stokehold.cache import cache_folder
from stokehold.checks import dtype_name, extents, mapping, one_of, printable, shown, text
from stokehold.shards import Paths, Progress, shard_paths
from stokehold.sources import Source

__all__ = ["Member", "WebDataset"]

_logger = logging.getLogger("stokehold")

Take = Literal["image", "mask", "label", "text", "bytes", "numpy", "json", "raw"]


class Member:
    """A member of each sample, and what is taken of it.

    Args:
        suffixes: What its name ends in behind the first dot, in any case; several, of which the first one that a sample
            has is taken, are separated by ``;``, as in ``"jpg;jpeg;png"``.
        take: What it is. ``"image"`` and ``"mask"`` are encoded images, ``"label"`` a class's number in digits,
            ``"text"`` UTF-8, ``"bytes"`` what lies there, ``"numpy"`` an array in NumPy's format, ``"raw"`` numbers of
            ``dtype`` without a header, ``"json"`` one value in JSON. By default the suffix says it: images by their
            formats' names, ``cls``, ``id`` and ``index`` are labels, ``txt`` and ``json`` texts, ``npy`` arrays,
            everything else is bytes. A `Waveform` makes waveforms of audio files, which are bytes without one: nobody
            else knows their rate.
        of: For a mask, the field of the image that it follows.
        value: For ``"json"``, where the value is: keys and positions, separated by ``/``.
        dtype: For ``"raw"`` and ``"json"``, NumPy's name of the dtype; without one, a value in JSON is a text. Masks
            are ``uint8``, or ``"uint16"`` or ``"int32"``.
        shape: For ``"raw"``, the shape of one sample, whose first axis may be None, for one that varies. For
            ``"numpy"``, ``(None, ...)`` where the first axis varies, and else nothing: the first sample says it. For
            ``"json"``, ``(None,)`` for a list of numbers.

    Raises:
        TypeError, ValueError: An argument is none of these, or goes with another kind.
    """

    def __init__(
        self,
        suffixes: str,
        take: Take | Waveform | None = None,
        *,
        of: str = "image",
        value: str | None = None,
        dtype: str | None = None,
        shape: Sequence[int | None] | None = None,
    ) -> None:
        text("Member: suffixes", suffixes)
        if value is not None:
            text("Member: value", value, "a str, where the value is")
        self.suffixes = [suffix.strip().removeprefix(".").lower() for suffix in suffixes.split(";")]
        if not all(self.suffixes):
            raise ValueError(f"Member: suffixes must be some, separated by `;`, not {suffixes!r}")
        self.waveform = take if isinstance(take, Waveform) else None
        self.take: Take | Literal["audio"] = "audio"
        if not isinstance(take, Waveform):
            taken = _of_suffixes(self.suffixes, value) if take is None else take
            self.take = one_of("Member: take", taken, get_args(Take), other=", a Waveform, or None")
        if (value is not None) != (self.take == "json"):
            raise ValueError(f'Member: value goes with take="json", which needs it, not with {self.take!r}')
        if dtype is not None and self.take not in {"raw", "json", "mask"}:
            raise ValueError(f"Member: dtype goes with raw, json and mask, not with {self.take}")
        if shape is not None and self.take not in {"raw", "json", "numpy"}:
            raise ValueError(f"Member: shape goes with raw, json and numpy, not with {self.take}")
        if self.take == "raw" and dtype is None:
            raise ValueError("Member: raw numbers need their dtype")
        self.of = text("Member: of", of, "the name of a field")
        self.value = value
        self.dtype = None if dtype is None else dtype_name("Member: dtype", dtype)
        self.shape = None if shape is None else tuple(extents("Member: shape", shape))

    def spec(self, name: str) -> dict[str, Any]:
        """Returns the member as plain data, for the field of this name."""
        return {"name": name, "suffixes": self.suffixes, "take": self._take()}

    def _take(self) -> str | dict[str, Any]:
        shape = list(self.shape or ())
        varies = shape[:1] == [None]
        if self.take == "label":
            return "class"
        if self.take == "numpy":
            return {"numpy": {"varies": varies}}
        if self.take == "json":
            pointer = "/" + str(self.value).strip("/")
            return {"json": {"pointer": pointer, "dtype": self.dtype, "is_list": varies}}
        kind: dict[str, Any] = {"kind": self.take} if self.waveform is None else self.waveform.spec()
        if self.take == "raw":
            kind = {"kind": "list", "shape": shape[1:]} if varies else {"kind": "tensor", "shape": shape}
        if self.take == "mask":
            kind["image"] = self.of
        return {"bytes": kind if self.dtype is None else kind | {"dtype": self.dtype}}

    def __repr__(self) -> str:
        return f"Member({';'.join(self.suffixes)!r}, {self.take!r})"


def _of_suffixes(suffixes: Sequence[str], value: str | None) -> Take:
    """Returns what is taken of members with these suffixes, where nothing else is said."""
    if value is not None:
        return "json"
    kinds = {_of_suffix(suffix) for suffix in suffixes}
    if len(kinds) > 1:
        raise ValueError(
            f"Member: suffixes: {';'.join(suffixes)} are of several kinds, {', '.join(sorted(kinds))}: say take="
        )
    return kinds.pop()


def _of_suffix(suffix: str) -> Take:
    try:
        take = json.loads(_native.Source.take_of(suffix))
    except ValueError as error:
        raise ValueError(f"Member: suffixes: .{suffix} {error}") from error
    if isinstance(take, str):
        return "label"
    found: Take = take["bytes"]["kind"] if "bytes" in take else "numpy"
    return found


_MISSING: Final[tuple[Literal["error", "skip"], ...]] = ("error", "skip")


def _member(name: str, given: object) -> Member:
    if isinstance(given, Member):
        return given
    return Member(text(f"WebDataset: fields[{name!r}]", given, "suffixes, or a Member"))


class WebDataset(Source):
    """Tar files of samples, read at random: any sample by its index, in any order, as from a folder.

    Members that follow each other and whose names agree up to the first dot of the file's name are a sample, and what
    is behind the dot, in lower case, says which of its members one is: the rules of the ``webdataset`` package. Names
    that begin with a dot, and those of the form ``__name__``, belong to none. Nothing is ever extracted. The headers of
    all files are read once, several files at a time, and the index is kept in ``cache``.

    Args:
        shards: The files: a path, a pattern with ``*`` and ``?``, a range in braces such as ``"train-{000..127}.tar"``,
            or a list of these. What patterns find is sorted.
        fields: The members by field name: suffixes, as in ``{"image": "jpg;png", "label": "cls"}``, or a `Member`. By
            default, one for each suffix that the first sample has, by that name.
        missing: What becomes of samples that lack one of the members: ``"error"``, or ``"skip"``, which leaves them out
            and counts them in ``counters``.
        cache: The folder in which indices are kept; True for ``stokehold`` in ``$XDG_CACHE_HOME``, which is
            ``~/.cache`` if nothing else is said; False keeps none. An index is made again when a file has another size
            or time of change.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A file is no tar file, is compressed, or ends too early; a sample lacks a member or has two of one
            suffix; a member is not what its field takes. File, member and place are named.
    """

    def __init__(
        self,
        shards: Paths,
        fields: Mapping[str, str | Member] | None = None,
        *,
        missing: Literal["error", "skip"] = "error",
        cache: str | os.PathLike[str] | bool = True,
    ) -> None:
        missing = one_of("WebDataset: missing", missing, _MISSING)
        self.shards = shard_paths("WebDataset", shards)
        members = None
        if fields is not None:
            meaning = "a mapping of names of fields to suffixes, or None for all"
            given = mapping("WebDataset: fields", fields, meaning)
            if not given:
                raise ValueError(f"WebDataset: fields must name at least one, or be None for all, not {shown(fields)}")
            members = [_member(name, each).spec(name) for name, each in given.items()]
        description = {"shards": self.shards, "fields": members, "missing": missing}
        self._native, skipped = _native.Source.web_dataset(
            json.dumps(description), cache_folder("WebDataset", cache), Progress("WebDataset")
        )
        self._len, described, _ = self._native.describe()
        self.fields: list[str] = [field["name"] for field in json.loads(described)]
        if skipped:
            self.counters = {"incomplete_samples": skipped}
            _logger.warning(
                "WebDataset: %d samples lack a member of %s and are left out",
                skipped,
                printable(", ".join(self.fields)),
            )

    @property
    def native(self) -> _native.Source:
        """The source as the core has it."""
        return self._native

    def __len__(self) -> int:
        return self._len

    def __repr__(self) -> str:
        return f"WebDataset({len(self)} samples of {', '.join(self.fields)} in {len(self.shards)} shards)"
