"""What a column of a manifest is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeAlias, get_args

import numpy as np

from stokehold.checks import dtype_name, one_of, shown, text, truth, word
from stokehold.encoded import MASK_DTYPES
from stokehold.transforms import BoxFormat

__all__ = [
    "BoxColumn",
    "KeyPointColumn",
    "LabelColumn",
    "ListColumn",
    "ManifestColumn",
    "MultiLabelColumn",
    "NumberColumn",
    "PathColumn",
    "TextColumn",
]

Missing: TypeAlias = Literal["error", "fill", "skip"]
"""What becomes of a cell without a value."""

_NUMBERS: Final = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_FLOATS: Final = ("float16", "float32", "float64")


def _one_of(owner: object, argument: str, allowed: Sequence[str]) -> None:
    """Checks an argument, and puts the word that was meant in its stead."""
    what = f"{type(owner).__name__}: {argument}"
    object.__setattr__(owner, argument, one_of(what, getattr(owner, argument), allowed))


def _dtype_of(owner: object, allowed: Sequence[str]) -> None:
    """Checks the argument ``dtype``, and puts NumPy's name in its stead."""
    name = dtype_name(f"{type(owner).__name__}: dtype", getattr(owner, "dtype", None), allowed)
    object.__setattr__(owner, "dtype", name)


def _truth_of(owner: object, argument: str) -> None:
    object.__setattr__(owner, argument, truth(f"{type(owner).__name__}: {argument}", getattr(owner, argument)))


@dataclass(frozen=True, kw_only=True)
class ManifestColumn:
    """The base of all kinds of columns that a manifest may have.

    Args:
        column: The column's name in the manifest; by default the name of the field.
        missing: What becomes of a cell without a value: an empty cell of a CSV file, or one of its ``na`` texts; null,
            or no such key, in JSON lines. ``"error"``, the default, raises; ``"fill"`` takes `fill` in its stead;
            ``"skip"`` leaves the line out. What was filled in or left out is counted in `Loader.stats`.
        fill: The value that stands for missing ones, as JSON would have it. By default what the kind says.

    Raises:
        TypeError: The column's name is no ``str``.
        ValueError: An argument is none of those allowed, or there is a `fill` that nothing asks for.
    """

    column: str | None = None
    missing: Missing = "error"
    fill: Any = None

    nothing: ClassVar[Any] = None
    """What stands for a missing value where no `fill` is given; None where nothing can."""

    def __post_init__(self) -> None:
        owner = type(self).__name__
        if self.column is not None and not isinstance(self.column, str):
            raise TypeError(f"{owner}: column must be a str, the column's name, or None, not {shown(self.column)}")
        _one_of(self, "missing", get_args(Missing))
        if self.fill is not None and self.missing != "fill":
            raise ValueError(f"{owner}: fill = {shown(self.fill)} needs missing='fill', not {self.missing!r}")
        if self.missing == "fill" and self.filling is None:
            raise ValueError(f"{owner}: missing='fill' needs fill=, the value that stands for missing ones")

    @property
    def filling(self) -> Any:  # noqa: ANN401 (a value of any kind)
        """The value that stands for missing ones."""
        return self.nothing if self.fill is None else self.fill

    def describe(self) -> str:
        """Returns the kind in a word or two, for errors."""
        raise NotImplementedError


@dataclass(frozen=True)
class PathColumn(ManifestColumn):
    """Paths of image files, which become `Images`; or of masks, which become `Masks`.

    Where they are looked up, `Csv` and `JsonLines` say with ``root``. Nothing can stand for a missing one.

    Args:
        kind: ``"image"``, the default, or ``"mask"``.
        image: Of masks, the field of the images that they follow, ``"image"`` by default.
        dtype: Of masks, their dtype, as `Masks` takes it.
    """

    kind: Literal["image", "mask"] = "image"
    image: str = "image"
    dtype: str = "uint8"

    def __post_init__(self) -> None:
        _one_of(self, "kind", ("image", "mask"))
        text("PathColumn: image", self.image, "the name of a field")
        _dtype_of(self, MASK_DTYPES)
        if word(self.missing, ("fill",)):
            raise ValueError(
                "PathColumn: missing must be one of 'error', 'skip', not 'fill': no file can stand for one"
            )
        super().__post_init__()

    def describe(self) -> str:
        """Returns the kind."""
        return f"the path of an {self.kind}" if self.kind == "image" else "the path of a mask"


@dataclass(frozen=True)
class TextColumn(ManifestColumn):
    """Texts, which become a ragged field of their UTF-8 (see `Batch.text`).

    In a CSV file an empty cell is an empty text, not a missing one. An empty text stands for a missing one by default.
    """

    nothing: ClassVar[Any] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.filling, str):
            raise TypeError(f"TextColumn: fill must be a str, not {shown(self.fill)}")

    def describe(self) -> str:
        """Returns the kind."""
        return "a text"


@dataclass(frozen=True)
class NumberColumn(ManifestColumn):
    """Numbers, one a sample: targets of a regression, weights, ids. 0 stands for a missing one by default.

    Fractions are rounded to the dtype; whole numbers are kept as they are, or are errors.

    Args:
        dtype: The dtype, ``"float32"`` by default. Cells of ``"bool"`` are true, false, 0 or 1.
        allow_nan: Whether not-a-number and infinity are values too; by default they are errors. A `fill` may be one in
            any case.
    """

    dtype: str = "float32"
    allow_nan: bool = False

    nothing: ClassVar[Any] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _dtype_of(self, (*_NUMBERS, *_FLOATS))
        _truth_of(self, "allow_nan")
        if self.missing == "fill":
            if not isinstance(self.filling, int | float):
                raise TypeError(f"NumberColumn: fill must be a number, not {shown(self.fill)}")
            _check_fill(self.filling, self.dtype)

    def describe(self) -> str:
        """Returns the kind."""
        return f"a number of {self.dtype}"


def _check_fill(fill: float, dtype: str) -> None:
    if dtype in _FLOATS:
        with np.errstate(over="ignore"):
            held = not math.isfinite(fill) or bool(np.isfinite(np.dtype(dtype).type(fill)))
    elif dtype == "bool":
        held = fill in (0, 1)
    else:
        limits = np.iinfo(dtype)
        held = math.isfinite(fill) and fill == int(fill) and limits.min <= fill <= limits.max
    if not held:
        raise ValueError(f"NumberColumn: fill = {shown(fill)} must be a number that {dtype} holds")


@dataclass(frozen=True)
class LabelColumn(ManifestColumn):
    """Labels, one a sample: an ``int64`` scalar.

    Names become the numbers of their classes, which the source keeps as its ``classes``. Where all cells are whole
    numbers and no classes are given, they stay as they are, and there are no classes.

    Args:
        classes: The names of the classes, in the order of their numbers; a name that is none of them is an error.
            Labels that JSON lines have as numbers are then numbers of classes. By default all names that occur, sorted.
    """

    classes: Sequence[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_classes(self, self.classes)

    def describe(self) -> str:
        """Returns the kind."""
        return "a label"


@dataclass(frozen=True)
class MultiLabelColumn(ManifestColumn):
    """Any number of labels a sample: texts such as ``cat|dog`` in a CSV file, lists in JSON lines.

    Names become the numbers of their classes, as those of `LabelColumn` do. No labels stand for missing ones by
    default.

    Args:
        classes: The names of the classes, in the order of their numbers; by default all names that occur, sorted.
        separator: What stands between the labels of a text, ``"|"`` by default.
        output: ``"multi_hot"``, the default: for each class 1 where the sample has it, and 0, with as many classes as
            there are names, or as the largest number needs. ``"ragged"``: the numbers of its classes, ``int64`` (n,).
        dtype: Of ``"multi_hot"``, ``"float32"`` by default.
    """

    classes: Sequence[str] | None = None
    separator: str = "|"
    output: Literal["multi_hot", "ragged"] = "multi_hot"
    dtype: str = "float32"

    nothing: ClassVar[Any] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_classes(self, self.classes)
        _check_separator(self, self.separator)
        _one_of(self, "output", ("multi_hot", "ragged"))
        _dtype_of(self, (*_NUMBERS, *_FLOATS))
        _check_list(self, self.filling)

    def describe(self) -> str:
        """Returns the kind."""
        return "a list of labels"


@dataclass(frozen=True)
class ListColumn(ManifestColumn):
    """Lists of numbers, which become `Lists`: ``1 2 3`` or ``[1, 2, 3]`` in a CSV file, lists in JSON lines.

    An empty list stands for a missing one by default.

    Args:
        dtype: The dtype, ``"float32"`` by default. Fractions are rounded to it; nothing else may change.
        separator: What stands between the numbers of a text, any space by default.
        ragged: Whether the lists vary in length, as they do by default. If not, the field is an array, and a list of
            another shape than the first one is an error.
    """

    dtype: str = "float32"
    separator: str | None = None
    ragged: bool = True

    nothing: ClassVar[Any] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        _dtype_of(self, (*_NUMBERS, *_FLOATS))
        _truth_of(self, "ragged")
        if self.separator is not None:
            _check_separator(self, self.separator)
        _check_list(self, self.filling)

    def describe(self) -> str:
        """Returns the kind."""
        return f"a list of {self.dtype}"


@dataclass(frozen=True)
class BoxColumn(ManifestColumn):
    """Lists of boxes, ``[[x1, y1, x2, y2], ...]``, which become `BoundingBoxes`. No boxes stand for missing ones.

    Args:
        format: The numbers of each, as `BoundingBoxes` takes it.
        image: The field of the images that they follow, ``"image"`` by default.
    """

    format: BoxFormat = "XYXY"
    image: str = "image"

    nothing: ClassVar[Any] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        _one_of(self, "format", get_args(BoxFormat))
        text("BoxColumn: image", self.image, "the name of a field")
        _check_list(self, self.filling)

    def describe(self) -> str:
        """Returns the kind."""
        return "a list of boxes of four numbers each"


@dataclass(frozen=True)
class KeyPointColumn(ManifestColumn):
    """Lists of keypoints, ``[[x, y], ...]``, or of x, y and visibility, which become `KeyPoints`.

    They may be nested deeper; all are of the shape of the first. No keypoints stand for missing ones.

    Args:
        image: The field of the images that they follow, ``"image"`` by default.
    """

    image: str = "image"

    nothing: ClassVar[Any] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        text("KeyPointColumn: image", self.image, "the name of a field")
        _check_list(self, self.filling)

    def describe(self) -> str:
        """Returns the kind."""
        return "a list of keypoints of two or three numbers each"


def _check_classes(owner: object, classes: object) -> None:
    kind = type(owner).__name__
    if classes is None:
        return
    if not isinstance(classes, list | tuple) or not all(isinstance(name, str) for name in classes):
        raise TypeError(f"{kind}: classes must be a list of str, the names of the classes, not {shown(classes)}")
    if not classes or len(set(classes)) != len(classes):
        raise ValueError(f"{kind}: classes must be at least one name, and no name twice, not {shown(classes)}")


def _check_separator(owner: object, separator: object) -> None:
    if not isinstance(separator, str) or not separator:
        raise ValueError(
            f"{type(owner).__name__}: separator must be a text of one character or more, not {shown(separator)}"
        )


def _check_list(owner: object, fill: object) -> None:
    if not isinstance(fill, list | tuple):
        raise TypeError(f"{type(owner).__name__}: fill must be a list, not {shown(fill)}")
