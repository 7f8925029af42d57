"""Where samples come from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from stokehold import _native

__all__ = ["Arrays", "CocoDetection", "ImageFolder", "Images", "Lists", "Masks", "Source", "Table"]


class ImageFolder:
    """A folder of class folders of images, by torchvision's rules.

    Classes are the sorted names of the folders in ``root``; the samples of a class are the image files below its
    folder, in sorted order (``.jpg .jpeg .png .ppm .bmp .pgm .tif .tiff .webp``, in any case). The fields are
    ``image``, which needs transforms that fix its size, and ``label``, an ``int64`` scalar, the class's number.

    The folder is listed when a `Loader` is made, in the coordinator process, and never changes for that loader.

    Args:
        root: The folder.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of their labels. Lists the folder at each access.

        Raises:
            FileNotFoundError: There is no such folder.
            ValueError: The folder has no class folders, or one of them has no images.
        """
        return _native.image_folder_classes(os.fspath(self.root))

    def native(self) -> str:
        """Returns the source in the form that the native half takes: its path."""
        return os.fspath(self.root)

    def __repr__(self) -> str:
        return f"ImageFolder({os.fspath(self.root)!r})"


class Arrays:
    """Arrays in memory; sample ``i`` is row ``i`` of each.

    The arrays are copied once, here, into shared memory that the workers can see; they may be dropped afterwards.
    Loaders over the same `Arrays` share the copy.

    Args:
        arrays: The arrays by field name, at least one, all with the same number of rows, at least one.
            Numbers and booleans in the machine's byte order; ``bfloat16`` with ``ml_dtypes``.

    Raises:
        ValueError: There are no arrays or rows, their numbers of rows differ, or a dtype cannot be in a batch.
        MemoryError: The copy does not fit under a limit of this process.
    """

    def __init__(self, arrays: Mapping[str, npt.ArrayLike]) -> None:
        rows: int | None = None
        described: list[tuple[str, str, list[int], npt.NDArray[np.uint8]]] = []
        for name, value in arrays.items():
            array = np.asarray(value)
            if array.ndim == 0:
                raise ValueError(f"array `{name}` is a scalar; it needs a first axis of rows")
            if rows is not None and len(array) != rows:
                raise ValueError(f"array `{name}` has {len(array)} rows, and `{described[0][0]}` has {rows}")
            rows = len(array)
            flat = _flat(name, array)
            described.append((name, array.dtype.name, list(array.shape[1:]), flat))
        self._shared = _native.Arrays(rows or 0, described)
        self._fields = {name: (dtype, tuple(shape)) for name, dtype, shape, _ in described}

    def native(self) -> _native.Arrays:
        """Returns the source in the form that the native half takes: the shared copy."""
        return self._shared

    def __len__(self) -> int:
        return self._shared.rows

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}: {dtype}{list(shape)}" for name, (dtype, shape) in self._fields.items())
        return f"Arrays({len(self)} rows of {fields})"


class Images:
    """A column of image files.

    Their field is decoded to ``uint8`` (H, W, 3). Where the transforms fix no size, the images keep their own and the
    field is ragged: give the loader its ``capacity``, in pixels.

    Args:
        paths: A path for each sample.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        self.paths = [os.fsencode(path) for path in paths]


class Masks:
    """A column of files of class indices: palette PNG, or 8-bit grey in PNG, BMP, TIFF or PNM.

    Their field is decoded to ``uint8`` (H, W), and follows the geometry of its image, with the same draws and by the
    nearest pixel (that whose centre is nearest, Pillow's ``NEAREST`` and torchvision's ``NEAREST_EXACT``). It takes
    no geometry of its own; `ToDtype` may be given. A mask of another size than its image is an error.

    Args:
        paths: A path for each sample.
        image: The column of the images, ``"image"`` by default.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]], image: str = "image") -> None:
        self.paths = [os.fsencode(path) for path in paths]
        self.image = image


class Lists:
    """A column of arrays whose first extent varies: boxes (n, 4), tokens (n,), and so on. Their field is ragged.

    Args:
        rows: An array for each sample, all of the same dtype and of the same shape but for the first axis. An empty
            one of any shape stands for no entries.
        dtype: The dtype; that of the first row that is not empty by default.

    Raises:
        ValueError: The rows differ in shape, or have no first axis.
    """

    def __init__(self, rows: Sequence[npt.ArrayLike], dtype: npt.DTypeLike | None = None) -> None:
        arrays = [np.asarray(row) for row in rows]
        sample = next((array for array in arrays if array.size), arrays[0] if arrays else np.empty(0))
        self.dtype = np.dtype(sample.dtype if dtype is None else dtype)
        self.shape = sample.shape[1:]
        for at, array in enumerate(arrays):
            if array.ndim == 0 or (array.size and array.shape[1:] != self.shape):
                raise ValueError(
                    f"row {at} has shape {array.shape}, which is not (n, {', '.join(map(str, self.shape))})"
                )
        self.lengths = [len(array) if array.size else 0 for array in arrays]
        filled = [array.astype(self.dtype, copy=False) for array in arrays if array.size]
        self.values = np.concatenate(filled) if filled else np.empty((0, *self.shape), self.dtype)


class Table:
    """Columns by name; sample ``i`` is row ``i`` of each.

    Arrays, lists, texts and the paths of files are copied once, here, into shared memory that the workers can see.
    Files are read and decoded when their sample's turn comes, all those of a sample together.

    Args:
        columns: The columns by field name, at least one, all with the same number of rows, at least one: `Images`,
            `Masks`, `Lists`; a list of ``str`` or ``bytes``, which becomes a ragged field of ``uint8`` (see
            `Batch.text`); anything else is taken for an array with a row for each sample, as `Arrays` takes it.

    Raises:
        ValueError: There are no columns or rows, their numbers of rows differ, a dtype cannot be in a batch, or a
            mask belongs to a column that has no images.
        MemoryError: The copy does not fit under a limit of this process.
    """

    def __init__(self, columns: Mapping[str, Images | Masks | Lists | Sequence[str] | Sequence[bytes] | Any]) -> None:
        described = [_column(name, column) for name, column in columns.items()]
        rows = {name: count for (name, *_), count in described}
        if len(set(rows.values())) > 1:
            counts = ", ".join(f"`{name}` has {count}" for name, count in rows.items())
            raise ValueError(f"the columns differ in their number of rows: {counts}")
        for name, column in columns.items():
            image = column.image if isinstance(column, Masks) else None
            if image is not None and not isinstance(columns.get(image), Images):
                raise ValueError(f"masks `{name}` belong to column `{image}`, which has no images")
        self._shared = _native.Arrays.table(next(iter(rows.values()), 0), [native for native, _ in described])
        self._fields = {name: kind for (name, kind, *_), _ in described}

    def native(self) -> _native.Arrays:
        """Returns the source in the form that the native half takes: the shared copy."""
        return self._shared

    def __len__(self) -> int:
        return self._shared.rows

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}: {kind}" for name, kind in self._fields.items())
        return f"{type(self).__name__}({len(self)} rows of {fields})"


_Column: TypeAlias = tuple[str, str, str, list[int], npt.NDArray[np.uint8], npt.NDArray[np.uint64] | None, str]


def _runs(rows: Sequence[bytes]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint64]]:
    ends = np.cumsum([len(row) for row in rows], dtype=np.uint64)
    return np.frombuffer(b"".join(rows), np.uint8), ends


def _flat(name: str, array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Returns an array's bytes in C order."""
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise ValueError(f"array `{name}` has dtype {array.dtype}; a batch holds numbers and booleans only")
    if not array.dtype.isnative:
        raise ValueError(f"array `{name}` is not in the machine's byte order; use .astype(dtype.newbyteorder('='))")
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _column(name: str, column: object) -> tuple[_Column, int]:
    """Describes a column to the native half; returns its number of rows too."""
    if isinstance(column, Images | Masks):
        kind, image = ("masks", column.image) if isinstance(column, Masks) else ("images", "")
        return (name, kind, "uint8", [], *_runs(column.paths), image), len(column.paths)
    if isinstance(column, Lists):
        entry = int(np.prod(column.shape)) * column.dtype.itemsize
        ends = np.cumsum(column.lengths, dtype=np.uint64) * np.uint64(entry)
        values = _flat(name, column.values)
        return (name, "lists", column.dtype.name, list(column.shape), values, ends, ""), len(column.lengths)
    if isinstance(column, list | tuple) and column and all(isinstance(row, str | bytes) for row in column):
        rows = [row.encode() if isinstance(row, str) else row for row in column]
        return (name, "lists", "uint8", [], *_runs(rows), ""), len(rows)
    array = np.asarray(column)
    if array.ndim == 0:
        raise ValueError(f"array `{name}` is a scalar; it needs a first axis of rows")
    return (name, "array", array.dtype.name, list(array.shape[1:]), _flat(name, array), None, ""), len(array)


class CocoDetection(Table):
    """Images and their objects, as torchvision's ``CocoDetection`` finds them in a COCO annotation file.

    Samples are the images of the file, in the order of their ids, those without objects included. The fields:
    ``image``; ``boxes``, ragged ``float32`` (n, 4); ``labels``, ragged ``int64`` (n,), the category ids; ``area``,
    ragged ``float32`` (n,); ``iscrowd``, ragged ``uint8`` (n,); ``image_id``, an ``int64`` scalar; and ``keypoints``,
    ragged ``float32`` (n, k, 3) of x, y and visibility, where the file has any. Segmentations are left out.

    Boxes and keypoints are in pixels of the image file: they do not follow its transforms.

    Args:
        root: The folder of the images.
        annotations: The annotation file, JSON.
        box_format: ``"xyxy"``, corners, by default; ``"xywh"`` as in the file; ``"cxcywh"``, centre and size.

    Raises:
        FileNotFoundError: There is no such annotation file.
        ValueError: The file is no COCO annotation file, or has no images.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        annotations: str | os.PathLike[str],
        box_format: Literal["xyxy", "xywh", "cxcywh"] = "xyxy",
    ) -> None:
        if box_format not in {"xyxy", "xywh", "cxcywh"}:
            raise ValueError(f"box_format must be 'xyxy', 'xywh' or 'cxcywh', not {box_format!r}")
        path = Path(annotations)
        content = json.loads(path.read_text(encoding="utf-8"))
        try:
            images = sorted(content["images"], key=lambda image: int(image["id"]))
            objects: dict[int, list[dict[str, Any]]] = {int(image["id"]): [] for image in images}
            for found in content.get("annotations", []):
                objects[int(found["image_id"])].append(found)
            rows = list(objects.values())
            self.categories: dict[int, str] = {
                int(category["id"]): category["name"] for category in content.get("categories", [])
            }
            columns: dict[str, Any] = {
                "image": Images([Path(root) / image["file_name"] for image in images]),
                "boxes": Lists([_boxes([found["bbox"] for found in row], box_format) for row in rows], np.float32),
                "labels": Lists(
                    [np.array([found["category_id"] for found in row], np.int64) for row in rows], np.int64
                ),
                "area": Lists(
                    [np.array([found.get("area", 0) for found in row], np.float32) for row in rows], np.float32
                ),
                "iscrowd": Lists(
                    [np.array([found.get("iscrowd", 0) for found in row], np.uint8) for row in rows], "u1"
                ),
                "image_id": np.array(list(objects), np.int64),
            }
            points = max((len(found.get("keypoints", ())) // 3 for row in rows for found in row), default=0)
            if points:
                columns["keypoints"] = Lists(
                    [
                        np.array([found.get("keypoints") or [0] * (3 * points) for found in row], np.float32).reshape(
                            len(row), points, 3
                        )
                        for row in rows
                    ],
                    np.float32,
                )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"`{path}` is no COCO annotation file: {type(error).__name__}: {error}") from error
        if not images:
            raise ValueError(f"`{path}` has no images")
        super().__init__(columns)


def _boxes(xywh: list[list[float]], box_format: str) -> npt.NDArray[np.float32]:
    boxes = np.array(xywh, np.float64).reshape(-1, 4)
    if box_format == "xyxy":
        boxes[:, 2:] += boxes[:, :2]
    elif box_format == "cxcywh":
        boxes[:, :2] += boxes[:, 2:] / 2
    return boxes.astype(np.float32)


Source: TypeAlias = ImageFolder | Arrays | Table
"""Anything that a `Loader` can load from."""
