"""Columns of images and masks: files, arrays in memory, and the bytes of files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from stokehold.columns import Column, Stored, runs

__all__ = ["Images", "Masks"]

Rows: TypeAlias = (
    Sequence[str | os.PathLike[str] | bytes | bytearray | memoryview | npt.NDArray[Any]] | npt.NDArray[Any]
)
"""Paths; or arrays and encoded bytes; or one array of arrays."""


class _Encoded(Column):
    """A column of images: paths of files, or their bytes."""

    def __init__(self, rows: Rows) -> None:
        owner = type(self).__name__
        if isinstance(rows, str | bytes | os.PathLike):
            raise TypeError(f"{owner}: rows must be a sequence of paths, arrays or encoded bytes, not one of them")
        found = [self._row(at, row) for at, row in enumerate(rows)]
        kinds = [kind for kind, _ in found]
        if len(set(kinds)) > 1:
            other = next(at for at, kind in enumerate(kinds) if kind != kinds[0])
            raise TypeError(
                f"{owner}: row 0 is {_KINDS[kinds[0]]} and row {other} {_KINDS[kinds[other]]}: all rows are paths, or "
                "none is; read the files into bytes"
            )
        self.by = kinds[0] if kinds else "files"
        self.rows = [data for _, data in found]

    def _row(self, at: int, row: object) -> tuple[str, bytes]:
        owner = type(self).__name__
        if isinstance(row, str | os.PathLike):
            path = os.fsencode(row)
            if not path or b"\0" in path:
                raise ValueError(f"{owner}: row {at} is {row!r}, which is no path")
            # It means the same wherever the program goes.
            return "files", path if path.startswith(b"/") else os.fsencode(Path.cwd()) + b"/" + path
        if isinstance(row, bytes | bytearray | memoryview):
            data = bytes(row)
            if not data:
                raise ValueError(f"{owner}: row {at} has no bytes")
            return "runs", data
        if isinstance(row, np.ndarray):
            return "runs", _netpbm(self._pixels(row, f"{owner}: row {at}"))
        kind = f"{type(row).__module__}.{type(row).__qualname__}"
        raise TypeError(f"{owner}: row {at} must be a path, a NumPy array or the bytes of an image file, not {kind}")

    def _pixels(self, array: npt.NDArray[Any], row: str) -> npt.NDArray[Any]:
        """Returns an array as an image file can hold it, or raises ``ValueError`` where none can."""
        raise NotImplementedError

    def stored(self) -> Stored:
        """Returns the paths, or the bytes."""
        return Stored("files" if self.by == "files" else "runs", runs(self.rows))

    def __len__(self) -> int:
        return len(self.rows)


_KINDS: Final = {"files": "a path", "runs": "in memory"}
_TUPLES: Final = {1: "GRAYSCALE", 2: "GRAYSCALE_ALPHA", 3: "RGB", 4: "RGB_ALPHA"}


class Images(_Encoded):
    """A column of images: files, arrays in memory, or the bytes of image files.

    Their field is decoded to ``uint8`` (H, W, 3). Where the transforms fix no size, the images keep their own and the
    field is ragged: give the loader its ``capacity``, in pixels.

    Args:
        rows: For each sample a path; or a NumPy array (H, W), (H, W, 1), (H, W, 2), (H, W, 3) or (H, W, 4) of ``uint8``
            or ``uint16``: grey, grey and alpha, colours, colours and alpha; or the ``bytes`` of an image file. Arrays
            and bytes may be mixed, and are copied into the table; paths go alone. An array is taken for a file with
            these pixels: whatever is done to a decoded image is done to it, and masks, boxes and keypoints follow it. A
            relative path is looked up in the directory of now.

    Raises:
        TypeError: A row is something else, or paths are mixed with what is not.
        ValueError: An array has another shape or dtype.
    """

    def spec(self) -> dict[str, Any]:
        """Returns what the field is as plain data."""
        return {"kind": "image"}

    def _pixels(self, array: npt.NDArray[Any], row: str) -> npt.NDArray[Any]:
        if array.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"{row} has dtype {array.dtype}; images in memory are uint8 or uint16")
        match array.shape:
            case (height, width) | (height, width, 1 | 2 | 3 | 4) if height and width:
                return array
            case shape:
                expected = "(H, W) or (H, W, C) with 1 to 4 channels"
                raise ValueError(f"{row} has shape {shape}; images are of shape {expected}")


class Masks(_Encoded):
    """A column of class indices: files, arrays in memory, or the bytes of image files.

    Files are palette PNG, or 8-bit grey in PNG, BMP, TIFF or PNM. Their field is decoded to ``uint8`` (H, W), and
    follows the geometry of its image, with the same draws and by the nearest pixel (that whose centre is nearest,
    Pillow's ``NEAREST`` and torchvision's ``NEAREST_EXACT``). It takes no geometry of its own; `ToDtype` may be given.
    What a padding or a turn adds has the image's ``fill`` where that is one number, and is 0 where it is one for each
    channel. A mask of another size than its image is an error.

    Args:
        rows: For each sample a path; or a NumPy array (H, W) or (H, W, 1) of booleans or integers, 0 to 65535; or the
            ``bytes`` of an image file. Arrays and bytes may be mixed, and are copied into the table; paths go alone.
            Indices of an array that are above 255 make it a mask of 16 bits.
        image: The column of the images, ``"image"`` by default.

    Raises:
        TypeError: A row is something else, or paths are mixed with what is not.
        ValueError: An array has another shape or dtype, or an index that is out of range.
    """

    image: str

    def __init__(self, rows: Rows, image: str = "image") -> None:
        super().__init__(rows)
        self.image = image

    def spec(self) -> dict[str, Any]:
        """Returns what the field is as plain data."""
        return {"kind": "mask", "image": self.image}

    def _pixels(self, array: npt.NDArray[Any], row: str) -> npt.NDArray[Any]:
        if array.dtype.kind not in "biu":
            raise ValueError(f"{row} has dtype {array.dtype}; masks in memory are booleans or integers")
        match array.shape:
            case (height, width) | (height, width, 1) if height and width:
                low, high = int(array.min()), int(array.max())
            case shape:
                raise ValueError(f"{row} has shape {shape}; masks are of shape (H, W) or (H, W, 1)")
        if low < 0 or high > np.iinfo(np.uint16).max:
            raise ValueError(f"{row} has the index {low if low < 0 else high}; masks hold 0 to 65535")
        return array.astype(np.uint8 if high <= np.iinfo(np.uint8).max else np.uint16)


def _netpbm(array: npt.NDArray[Any]) -> bytes:
    """Returns an image file of these pixels that is nothing but a header and they."""
    height, width, *rest = array.shape
    channels = rest[0] if rest else 1
    sizes = f"WIDTH {width}\nHEIGHT {height}\nDEPTH {channels}\nMAXVAL {np.iinfo(array.dtype).max}"
    header = f"P7\n{sizes}\nTUPLTYPE {_TUPLES[channels]}\nENDHDR\n"
    # 16 bits are big-endian.
    return header.encode() + array.astype(array.dtype.newbyteorder(">")).tobytes()
