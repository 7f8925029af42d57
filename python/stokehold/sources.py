"""Where samples come from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from stokehold import _native
from stokehold.columns import flat
from stokehold.table import Table

__all__ = ["Arrays", "ImageFolder", "Source"]


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
            described.append((name, array.dtype.name, list(array.shape[1:]), flat(name, array)))
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


Source: TypeAlias = ImageFolder | Arrays | Table
"""Anything that a `Loader` can load from."""
