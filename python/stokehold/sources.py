"""Where samples come from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from stokehold import _native

__all__ = ["ImageFolder", "Source"]


class Source:
    """The base of all sources: anything that a `Loader` can load from."""

    table: _native.Table | None = None
    """The samples, where they lie in shared memory."""

    counters: Mapping[str, int] = MappingProxyType({})
    """What of its description the source passed over or filled in, and how often."""

    def data(self) -> tuple[dict[str, Any], npt.NDArray[np.uint8] | None]:
        """Returns the source as plain data, and the bytes that hold its samples, where they lie in memory."""
        spec = self.spec()
        if spec is not None:
            return spec, None
        if self.table is None:
            raise ValueError("the source has neither a description nor a table")
        described, held = self.table.parts()
        parts: dict[str, Any] = json.loads(described)
        return parts, np.frombuffer(held, np.uint8)

    def spec(self) -> dict[str, Any] | None:
        """Returns the source as plain data; None where the samples are those of `table`."""
        return None


class ImageFolder(Source):
    """A folder of class folders of images, by torchvision's rules.

    Classes are the sorted names of the folders in ``root``; the samples of a class are the image files below its
    folder, in sorted order (``.jpg .jpeg .png .ppm .bmp .pgm .tif .tiff .webp``, in any case). The fields are
    ``image``, which needs transforms that fix its size, and ``label``, an ``int64`` scalar, the class's number.

    The folder is listed when a `Loader` is made, in the coordinator process, and never changes for that loader.

    Args:
        root: The folder. A relative path is looked up in the directory of now, wherever the program goes later.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).absolute()

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of their labels. Lists the folder at each access.

        Bytes that are no UTF-8 come as `os.fsdecode` has them.

        Raises:
            FileNotFoundError: There is no such folder.
            ValueError: The folder has no class folders, or one of them has no images.
        """
        return _native.image_folder_classes(os.fspath(self.root))

    def spec(self) -> dict[str, Any]:
        """Returns the source as plain data."""
        path = os.fsencode(self.root)
        try:
            return {"kind": "ImageFolder", "root": path.decode()}
        except UnicodeDecodeError:
            return {"kind": "ImageFolder", "root": list(path)}

    def __repr__(self) -> str:
        return f"ImageFolder({os.fspath(self.root)!r})"
