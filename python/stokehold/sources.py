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

    counters: Mapping[str, int] = MappingProxyType({})
    """What of its description the source passed over or filled in, and how often."""

    @property
    def native(self) -> _native.Source:
        """The source as the core has it."""
        what = "a source of your own is a dataset: give it __getitem__ and __len__"
        raise NotImplementedError(f"{type(self).__name__}: {what}")

    def data(self) -> tuple[dict[str, Any], list[npt.NDArray[np.uint8]]]:
        """Returns the source as plain data, and the pieces of memory that it lies in."""
        described, memory = self.native.parts()
        spec: dict[str, Any] = json.loads(described)
        return spec, [np.frombuffer(piece, np.uint8) for piece in memory]


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

    @property
    def native(self) -> _native.Source:
        """The source as the core has it."""
        path = os.fsencode(self.root)
        try:
            return _native.Source(json.dumps({"kind": "ImageFolder", "root": path.decode()}))
        except UnicodeDecodeError:
            return _native.Source(json.dumps({"kind": "ImageFolder", "root": list(path)}))

    def __repr__(self) -> str:
        return f"ImageFolder({os.fspath(self.root)!r})"
