"""Columns of images and masks: files, arrays in memory, and the bytes of files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from stokehold.checks import dtype_name, is_missing, shown, text
from stokehold.columns import Column, Runs, Stored
from stokehold.hints import table_hint

__all__ = ["MASK_DTYPES", "Images", "Masks"]

Rows: TypeAlias = (
    Sequence[str | os.PathLike[str] | bytes | bytearray | memoryview | npt.NDArray[Any]] | npt.NDArray[Any]
)
"""Paths; or arrays and encoded bytes; or one array of arrays."""


class _Encoded(Column):
    """A column of images: paths of files, or their bytes."""

    def __init__(self, rows: Rows | Runs) -> None:
        owner = type(self).__name__
        self.by: Literal["files", "runs"] = "files"
        if isinstance(rows, Runs):
            # Absolute paths, which somebody has checked.
            self.data, self.ends = rows.data, rows.ends()
            return
        given = _given(owner, rows)
        # One copy: there may be as much as fits into memory.
        self.data, ends = bytearray(), []
        here = b""
        for at, row in enumerate(given):
            by: Literal["files", "runs"] = "files" if isinstance(row, str | os.PathLike) else "runs"
            if at and by != self.by:
                raise TypeError(
                    f"{owner}: row 0 is {_KINDS[self.by]} and row {at} {_KINDS[by]}: all rows are paths, or none is; "
                    "read the files into bytes"
                )
            self.by = by
            if isinstance(row, str | os.PathLike):
                path = os.fsencode(row)
                if not path or b"\0" in path:
                    raise ValueError(f"{owner}: row {at} is {shown(row)}, which is no path")
                if not path.startswith(b"/"):
                    # It means the same wherever the program goes.
                    here = here or os.fsencode(Path.cwd()) + b"/"
                    self.data += here
                self.data += path
            else:
                self._add(f"{owner}: row {at}", row)
            ends.append(len(self.data))
        self.ends = np.array(ends, np.uint64)

    def _add(self, name: str, row: object) -> None:
        """Adds a row that is in memory."""
        if isinstance(row, np.ndarray):
            pixels = self._pixels(row, name)
            self.data += _netpbm_header(pixels)
            # 16 bits are big-endian.
            self.data += pixels.astype(pixels.dtype.newbyteorder(">"), order="C", copy=False).data
        elif isinstance(row, bytes | bytearray | memoryview):
            before = len(self.data)
            self.data += row
            if len(self.data) == before:
                raise ValueError(f"{name} has no bytes")
        else:
            kind = f"{type(row).__module__}.{type(row).__qualname__}"
            meaning = "a path, a NumPy array or the bytes of an image file"
            raise TypeError(f"{name} must be {meaning}, not {shown(row)} ({kind}){_row_hint(row)}")

    def _pixels(self, array: npt.NDArray[Any], row: str) -> npt.NDArray[Any]:
        """Returns an array as an image file can hold it, or raises ``ValueError`` where none can."""
        raise NotImplementedError

    def stored(self) -> Stored:
        """Returns the paths, or the bytes, and where each ends."""
        return Stored(self.by, (np.frombuffer(self.data, np.uint8), self.ends))

    def __len__(self) -> int:
        return len(self.ends)


def _given(owner: str, rows: object) -> Iterable[Any]:
    """Returns what has the rows, one after the other."""
    meaning = f"{owner}: rows must be a sequence of paths, arrays or encoded bytes, one for each sample"
    if isinstance(rows, str | bytes | bytearray | memoryview | os.PathLike):
        one = shown(rows) if isinstance(rows, str | os.PathLike) else "data"
        raise TypeError(f"{meaning}, not one of them: write {owner}([{one}])")
    if hint := table_hint(rows):
        raise TypeError(f"{meaning}, not a table: {hint}")
    if (
        isinstance(rows, Mapping | AbstractSet | type)
        or not isinstance(rows, Iterable)
        or getattr(rows, "shape", None) == ()
    ):
        why = ", which has no order" if isinstance(rows, AbstractSet) else ""
        raise TypeError(f"{meaning}, not {shown(rows)}{why}")
    return rows


def _row_hint(row: object) -> str:
    """Returns how something that is no row becomes one."""
    if is_missing(row):
        return ": a value is missing, so leave the sample out"
    if hasattr(row, "__array__") or hasattr(row, "__array_interface__"):
        return ": numpy.asarray(...) makes an array of it, (H, W) or (H, W, C)"
    return ""


_KINDS: Final = {"files": "a path", "runs": "in memory"}
_SHORT: Final = {1: "P5", 3: "P6"}
_LONG: Final = {2: "GRAYSCALE_ALPHA", 4: "RGB_ALPHA"}
MASK_DTYPES: Final = ("uint8", "uint16", "int32")
"""What masks may be in a batch."""


class Images(_Encoded):
    """A column of images: files, arrays in memory, or the bytes of image files.

    Their field is decoded to ``uint8`` (H, W, 3), or to what `DecodeImage` says. Where the transforms fix no size, the
    images keep their own and the field is ragged: give the loader its ``capacity``, in pixels.

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

    Files have a palette or are grey, in PNG, GIF, BMP, TIFF or PNM. Indices are those of the file: of grey of 1, 2 or 4
    bits they are the numbers 0 to 1, 3 or 15, which are not spread to 255. Colours, alpha and lossy formats are bad
    samples.

    Their field is decoded to `dtype` (H, W), and follows the geometry of its image, with the same draws and by the
    nearest pixel (that whose centre is nearest, Pillow's ``NEAREST`` and torchvision's ``NEAREST_EXACT``). It takes no
    geometry of its own; `ToDtype` may be given. What a padding or a turn adds has the image's ``fill`` where that is
    one index of 8 bits, and is 0 where it is not. A mask of another size than its image is an error.

    Args:
        rows: For each sample a path; or a NumPy array (H, W) or (H, W, 1) of booleans or integers; or the ``bytes`` of
            an image file. Arrays and bytes may be mixed, and are copied into the table; paths go alone. Indices of an
            array are 0 to 255, or to 65535 where `dtype` is another than ``"uint8"``.
        image: The column of the images, ``"image"`` by default.
        dtype: The dtype of the indices: ``"uint8"``, the default, for which masks of 16 bits are bad samples, or
            ``"uint16"`` or ``"int32"``, which take those of instances too.

    Raises:
        TypeError: A row is something else, or paths are mixed with what is not.
        ValueError: An array has another shape or dtype, or an index that is out of range; or another `dtype`.
    """

    image: str

    def __init__(self, rows: Rows | Runs, image: str = "image", dtype: npt.DTypeLike = "uint8") -> None:
        self.image = text("Masks: image", image, "the name of a column")
        self.dtype = np.dtype(dtype_name("Masks: dtype", dtype, MASK_DTYPES))
        super().__init__(rows)

    def spec(self) -> dict[str, Any]:
        """Returns what the field is as plain data."""
        return {"kind": "mask", "image": self.image, "dtype": self.dtype.name}

    def _pixels(self, array: npt.NDArray[Any], row: str) -> npt.NDArray[Any]:
        if array.dtype.kind not in "biu":
            raise ValueError(f"{row} has dtype {array.dtype}; masks in memory are booleans or integers")
        match array.shape:
            case (height, width) | (height, width, 1) if height and width:
                low, high = int(array.min()), int(array.max())
            case shape:
                raise ValueError(f"{row} has shape {shape}; masks are of shape (H, W) or (H, W, 1)")
        most = np.iinfo(np.uint8 if self.dtype == np.uint8 else np.uint16).max
        if low < 0 or high > most:
            index = low if low < 0 else high
            raise ValueError(f"{row} has the index {index}; masks of {self.dtype} hold 0 to {most}")
        return array.astype(np.uint8 if high <= np.iinfo(np.uint8).max else np.uint16)


def _netpbm_header(array: npt.NDArray[Any]) -> bytes:
    """Returns what makes an image file of the pixels that follow."""
    height, width, *rest = array.shape
    channels = rest[0] if rest else 1
    largest = np.iinfo(array.dtype).max
    if channels in _SHORT:
        return f"{_SHORT[channels]} {width} {height} {largest}\n".encode()
    sizes = f"WIDTH {width}\nHEIGHT {height}\nDEPTH {channels}\nMAXVAL {largest}"
    return f"P7\n{sizes}\nTUPLTYPE {_LONG[channels]}\nENDHDR\n".encode()
