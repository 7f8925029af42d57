"""TFRecord files of TensorFlow's examples."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args

from stokehold import _native
from stokehold.audio import Waveform
from stokehold.cache import cache_folder
from stokehold.checks import dtype_name, extents, mapping, one_of, shown, text, truth
from stokehold.shards import Paths, Progress, shard_paths
from stokehold.sources import Source

__all__ = ["Feature", "TFRecord"]

Take = Literal["image", "mask", "text", "bytes", "raw", "label", "numbers"]

_OTHER: Final = ", a Waveform, or None"


class Feature:
    """A feature of each example, and what is taken of it.

    Args:
        name: The feature's name.
        take: What it is. Of byte strings: ``"image"`` and ``"mask"`` are encoded images, ``"text"`` is UTF-8,
            ``"bytes"`` what lies there, ``"raw"`` numbers of ``dtype`` without a header. Of numbers: ``"label"`` is a
            class's number, ``"numbers"`` what is there. By default ``"numbers"`` where ``dtype`` or ``shape`` is given,
            and else what the first record says: numbers; a byte string that begins as an image file does is an image,
            and any other is bytes. A `Waveform` makes waveforms of audio files.
        of: For a mask, the field of the image that it follows.
        dtype: NumPy's name of the dtype. For ``"raw"``, what the bytes are. For ``"numbers"``, an integer type, which
            every value of an ``int64_list`` must fit; by default ``int64``, and ``float32`` for a ``float_list``. Masks
            are ``uint8``, or ``"uint16"`` or ``"int32"``.
        shape: For ``"raw"`` and ``"numbers"``, the shape of one sample, whose first axis may be None, for one that
            varies. By default ``"numbers"`` are a scalar where the first record has one, as many as it has where it has
            several, and ``(None,)`` where it has none.

    Raises:
        TypeError, ValueError: An argument is none of these, or goes with another kind.
    """

    def __init__(
        self,
        name: str,
        take: Take | Waveform | None = None,
        *,
        of: str = "image",
        dtype: str | None = None,
        shape: Sequence[int | None] | None = None,
    ) -> None:
        text("Feature: name", name)
        self.waveform = take if isinstance(take, Waveform) else None
        self.take: Take | Literal["audio"] | None = "audio"
        if not isinstance(take, Waveform):
            taken = "numbers" if take is None and (dtype is not None or shape is not None) else take
            self.take = None if taken is None else one_of("Feature: take", taken, get_args(Take), other=_OTHER)
        if dtype is not None and self.take not in {"raw", "numbers", "mask"}:
            raise ValueError(f"Feature: dtype goes with raw, numbers and mask, not with {self.take}")
        if shape is not None and self.take not in {"raw", "numbers"}:
            raise ValueError(f"Feature: shape goes with raw and numbers, not with {self.take}")
        if self.take == "raw" and dtype is None:
            raise ValueError("Feature: raw numbers need their dtype")
        self.name = name
        self.of = text("Feature: of", of, "the name of a field")
        self.dtype = None if dtype is None else dtype_name("Feature: dtype", dtype)
        self.shape = None if shape is None else extents("Feature: shape", shape, least=1)

    def spec(self, field: str) -> dict[str, Any]:
        """Returns the feature as plain data, for the field of this name."""
        return {"name": field, "feature": self.name, "take": self._take()}

    def _take(self) -> str | dict[str, Any]:
        if self.take is None:
            return "first"
        if self.take == "label":
            return "class"
        if self.take == "numbers":
            return {"numbers": {"dtype": self.dtype, "shape": self.shape}}
        kind: dict[str, Any] = {"kind": self.take} if self.waveform is None else self.waveform.spec()
        if self.take == "raw":
            shape = self.shape or []
            varies = shape[:1] == [None]
            kind = {"kind": "list", "shape": shape[1:]} if varies else {"kind": "tensor", "shape": shape}
        if self.take == "mask":
            kind["image"] = self.of
        return {"bytes": kind if self.dtype is None else kind | {"dtype": self.dtype}}

    def __repr__(self) -> str:
        return f"Feature({self.name!r}, {self.take!r})"


def _feature(name: str, given: object) -> Feature:
    if isinstance(given, Feature):
        return given
    return Feature(text(f"TFRecord: fields[{name!r}]", given, "the name of a feature, or a Feature"))


class TFRecord(Source):
    """TFRecord files of ``tf.train.Example``, read at random: any record by its index, in any order.

    The lengths of all records are read once, several files at a time, and the index is kept in ``cache``. A record is
    read as a whole when its sample's turn comes, and parsed by the worker; TensorFlow is not needed. A feature that a
    record lacks, that is of another type or has another number of values than its field makes the sample a bad one. A
    field whose shape begins with None is ragged, and empty where the feature is there and has no values. Texts, bytes
    and ragged fields have room for half as much again as the longest of the first 1000 records (or 8 MiB of them)
    takes; a longer one gets more room, which costs a restart of the workers, or give ``capacity`` to the loader.

    Args:
        shards: The files: a path, a pattern with ``*`` and ``?``, a range in braces such as
            ``"train-{00000..01023}-of-01024"``, or a list of these. What patterns find is sorted.
        fields: The features by field name: their names, as in ``{"image": "image/encoded"}``, or a `Feature`. By
            default one for each feature that the first record has, by that name.
        check_crc: Whether the checksum of each record is compared whenever it is read: one whose bytes have changed is
            a bad sample. The checksums of lengths are compared in any case, when the index is made.
        cache: The folder in which indices are kept; True for ``stokehold`` in ``$XDG_CACHE_HOME``, which is
            ``~/.cache`` if nothing else is said; False keeps none. An index is made again when a file has another size
            or time of change.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A file is no TFRecord file, is compressed, or ends too early, or its first record is no
            ``tf.train.Example`` or lacks a feature: file, record and byte are named. Lists of byte strings and
            ``tf.train.SequenceExample`` are not read.
    """

    def __init__(
        self,
        shards: Paths,
        fields: Mapping[str, str | Feature] | None = None,
        *,
        check_crc: bool = True,
        cache: str | os.PathLike[str] | bool = True,
    ) -> None:
        check_crc = truth("TFRecord: check_crc", check_crc)
        self.shards = shard_paths("TFRecord", shards)
        features = None
        if fields is not None:
            meaning = "a mapping of names of fields to those of features, or None for all"
            given = mapping("TFRecord: fields", fields, meaning)
            if not given:
                raise ValueError(f"TFRecord: fields must name at least one, or be None for all, not {shown(fields)}")
            features = [_feature(name, each).spec(name) for name, each in given.items()]
        description = {"shards": self.shards, "features": features, "check_crc": check_crc}
        self._native = _native.Source.tf_record(
            json.dumps(description), cache_folder("TFRecord", cache), Progress("TFRecord")
        )
        self._len, described, _ = self._native.describe()
        self.fields: list[str] = [field["name"] for field in json.loads(described)]

    @property
    def native(self) -> _native.Source:
        """The source as the core has it."""
        return self._native

    def __len__(self) -> int:
        return self._len

    def __repr__(self) -> str:
        return f"TFRecord({len(self)} samples of {', '.join(self.fields)} in {len(self.shards)} shards)"
