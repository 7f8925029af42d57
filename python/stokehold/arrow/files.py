"""Columns of files, as Hugging Face has them: structs of a file's bytes or its path."""

from __future__ import annotations

import os
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from stokehold.arrow import chunks
from stokehold.arrow.building import Builder, RunsBuilder, Storage
from stokehold.arrow.chunks import NULL, nulls_of, runs
from stokehold.arrow.places import Places
from stokehold.arrow.types import is_bytes
from stokehold.audio import Audio, Waveform
from stokehold.columns import Column, Runs
from stokehold.encoded import Images

__all__ = ["Encoded", "FilesBuilder", "spec_of"]

Encoded: TypeAlias = Waveform | Literal["image"]
"""What files are that are decoded."""


def spec_of(encoded: Encoded | None) -> dict[str, Any]:
    """Returns the field of such files, or of bytes, as plain data."""
    if isinstance(encoded, Waveform):
        return encoded.spec()
    return {"kind": "bytes" if encoded is None else encoded}


class FilesBuilder(Builder):
    """Makes a column of files."""

    def __init__(self, name: str, encoded: Encoded | None, root: str | None) -> None:
        super().__init__(name, fills=False)
        self._encoded = encoded
        self._root = root
        self._bytes = RunsBuilder(f"{name}.bytes", False, spec_of(encoded))
        self._paths = RunsBuilder(f"{name}.path", False, {"kind": "text"})
        self._is_lost: list[npt.NDArray[np.bool_]] = []
        """Which rows have neither bytes nor a path."""

    def add(self, array: Any, missing: Any) -> None:
        """Adds rows, structs of `bytes` and perhaps `path`."""
        nulls = nulls_of(array)
        if nulls is not None and missing is not None:
            nulls |= missing
        nulls = missing if nulls is None else nulls
        content = runs(array.field("bytes"), missing=nulls)
        self._bytes.add(content)
        self._faults.append(content.faults)
        at = array.type.get_field_index("path")
        if at >= 0 and is_bytes(array.type.field(at).type):
            paths = runs(array.field("path"), missing=nulls)
        else:
            empty = np.zeros(len(array), np.int64)
            paths = chunks.Runs(np.empty(0, np.uint8), empty, empty, np.full(len(array), NULL, np.uint8))
        self._paths.add(paths)
        self._is_lost.append((content.faults == NULL) & (paths.faults == NULL))

    def finish(self, storage: Storage) -> Column:
        """Returns the column.

        Raises:
            ValueError: A row has no file, or only a path where that cannot be used.
        """
        faults = np.concatenate(self._faults)
        chosen = np.arange(len(faults)) if storage.indices is None else storage.indices
        self.valid = np.ones(len(chosen), np.bool_)
        missing = faults[chosen] == NULL
        if not missing.any():
            return self._bytes.finish(storage)
        if (lost := np.concatenate(self._is_lost)[chosen]).any():
            row = storage.name_row(int(lost.argmax()))
            raise ValueError(f"{row}: column `{self.name}` is null, and nothing can stand for a file")
        where = f"{storage.name_row(int(missing.argmax()))}: column `{self.name}` has only the path of a file"
        if self._encoded is None or not missing.all():
            have = "only bytes are read" if self._encoded is None else "other rows have the bytes"
            raise ValueError(f"{where}, and {have}; save_to_disk puts files into the dataset")
        if self._root is None:
            raise ValueError(f"{where}: HuggingFace takes root=, the folder that such files lie in")
        return self._of_paths(storage, self._root)

    def _of_paths(self, storage: Storage, root: str) -> Column:
        data, ends = self._paths.finish(storage._replace(places=Places([]))).stored().arrays
        text, top = data.tobytes(), os.fsencode(os.path.abspath(root))  # noqa: PTH100 (bytes)
        paths = []
        for row, (start, end) in enumerate(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)):
            # Links are followed, as those of an image folder are; what the text says must not lead out.
            path = os.path.normpath(os.path.join(top, text[start:end]))  # noqa: PTH118 (bytes)
            if b"\0" in path or b"://" in text[start:end] or not path.startswith(top.rstrip(b"/") + b"/"):
                name = os.fsdecode(text[start:end])
                where = f"{storage.name_row(row)}: column `{self.name}`"
                raise ValueError(f"{where} has the path {name!r}, which does not lead below {root}")
            paths.append(path)
        if not isinstance(encoded := self._encoded, Waveform):
            return Images(Runs(paths))
        samples, channels, crop = encoded.samples, encoded.channels, encoded.crop
        return Audio(Runs(paths), encoded.sample_rate, channels=channels, samples=samples, crop=crop)
