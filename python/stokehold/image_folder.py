"""Folders of images."""

from __future__ import annotations

import json
import os
from functools import cached_property

from stokehold import _native
from stokehold.cache import cache_folder
from stokehold.checks import path
from stokehold.sources import Source, described_path

__all__ = ["ImageFolder"]


class ImageFolder(Source):
    """A folder of class folders of images, by torchvision's rules.

    Classes are the sorted names of the folders in ``root``; the samples of a class are the image files below its
    folder, in sorted order (``.jpg .jpeg .png .ppm .bmp .pgm .tif .tiff .webp``, in any case). The fields are
    ``image``, which needs transforms that fix its size, and ``label``, an ``int64`` scalar, the class's number.

    The folder is listed when a `Loader` is made, in the coordinator process, and never changes for that loader. What
    this object tells of it is from one more listing, at the first question.

    Args:
        root: The folder. A relative path is looked up in the directory of now, wherever the program goes later.
        cache: The folder in which a listing that took more than a second is kept; True for ``stokehold`` in
            ``$XDG_CACHE_HOME``, which is ``~/.cache`` if nothing else is said; False keeps none. It is made again when
            one of the folders has another time of change: a file that is replaced in place needs none.
    """

    def __init__(self, root: str | os.PathLike[str], *, cache: str | os.PathLike[str] | bool = True) -> None:
        self.root = path("ImageFolder: root", root).absolute()
        self._cache = cache_folder("ImageFolder", cache)

    @cached_property
    def _listing(self) -> tuple[list[str], list[int], list[str]]:
        """The paths and the labels of all samples, and the names of the classes."""
        return _native.image_folder_samples(self.root, self._cache)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of their labels.

        Bytes that are no UTF-8 come as `os.fsdecode` has them.

        Raises:
            FileNotFoundError: There is no such folder.
            ValueError: The folder has no class folders, or one of them has no images.
        """
        return self._listing[2]

    @property
    def class_names(self) -> dict[str, list[str]]:
        """The names of the classes of ``label``."""
        return {"label": self.classes}

    @cached_property
    def class_to_idx(self) -> dict[str, int]:
        """The label of each class, by its name."""
        return {name: label for label, name in enumerate(self.classes)}

    @cached_property
    def samples(self) -> list[tuple[str, int]]:
        """The path and the label of each sample."""
        paths, labels, _ = self._listing
        return list(zip(paths, labels, strict=True))

    @property
    def imgs(self) -> list[tuple[str, int]]:
        """The same as `samples`."""
        return self.samples

    @property
    def targets(self) -> list[int]:
        """The label of each sample."""
        return self._listing[1]

    @property
    def native(self) -> _native.Source:
        """The source as the core has it."""
        cache = None if self._cache is None else described_path(self._cache)
        return _native.Source(json.dumps({"kind": "ImageFolder", "root": described_path(self.root), "cache": cache}))

    def __repr__(self) -> str:
        return f"ImageFolder({os.fspath(self.root)!r})"
