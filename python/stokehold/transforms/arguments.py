"""What an argument of a transform may be, by its type, and the plain value that it stands for."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import Field, dataclass, replace
from enum import Enum
from typing import Any, Final, Literal, TypeAlias, Union, get_args, get_origin

import numpy.typing as npt

from stokehold.checks import (
    LARGEST,
    as_integer,
    as_real,
    as_truth,
    dtype_name,
    items,
    real,
    shown,
    span,
    whole,
    word,
)

__all__ = ["DTYPES", "Argument", "DTypeLike", "argument_of", "listed", "number"]

DTypeLike: TypeAlias = npt.DTypeLike | Any
"""A dtype: NumPy's name of it, or the type of NumPy, PyTorch or another library."""

MAX_EDGE: Final = 65_535
"""The longest edge of an image; as long as that of a JPEG may be."""

MAX_FRAME: Final = 65_536
"""The most samples of a spectrogram's frame, and the most filters."""

RANGES: Final = {
    "size": (1, MAX_EDGE),
    "max_size": (1, MAX_EDGE),
    "min_size": (1, MAX_EDGE),
    "target_size": (1, MAX_EDGE),
    "max_length": (1, LARGEST),
    "padding": (0, MAX_EDGE),
    "max_pixels": (1, 2**64 - 1),
    "num_classes": (1, LARGEST),
    "sample_rate": (1, 768_000),
    "n_fft": (1, MAX_FRAME),
    "win_length": (1, MAX_FRAME),
    "hop_length": (1, 1 << 24),
    "pad": (0, 1 << 24),
    "n_mels": (1, MAX_FRAME),
}
"""What whole numbers of these names may be; those of others go to 2**32 - 1."""

PAIRS: Final = ("center", "ratio", "scale", "target_size", "translate")
"""Arguments that are two numbers where they are a sequence and nothing else."""

DTYPES: Final = (
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "bfloat16", "float32", "float64"),
)

PILLOW: Final = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's filters by their numbers, which are others than OpenCV's."""


@dataclass(frozen=True)
class Argument:
    """What may be given: plain values of these kinds, one of some words, or a sequence of elements."""

    kinds: frozenset[str]
    """Of "None", "bool", "int", "float", "str"."""
    words: tuple[str, ...] = ()
    element: Argument | None = None
    length: int | None = None
    """How many elements there must be."""
    span: tuple[int, int] = (0, LARGEST)
    """What whole numbers may be."""
    is_dtype: bool = False
    others: tuple[str, ...] = ()
    """What else may be given, which somebody else looks at."""

    def taken(self, what: str, value: Any) -> Any:  # noqa: ANN401 (whatever a user gives)
        """Returns the plain value that a user means; `value` itself, where it is one already.

        Raises:
            TypeError: It is of another kind.
            ValueError: It is another word, or a number that is out of range.
        """
        if self.is_dtype:
            return dtype_name(what, value, self.words or DTYPES)
        if value is None and "None" in self.kinds:
            return None
        if (found := word(value, self.words)) is not None:
            return found
        if isinstance(value, str) and "str" in self.kinds:
            return value if type(value) is str else str(value)
        taken = self._number(what, value)
        if taken is None and self.element is not None and _is_sequence(value):
            taken = self._elements(what, value)
        if taken is not None:
            return taken
        if self.others or (self.element is not None and self.element.others):
            return value
        raise self._refused(what, value)

    def plain(self, value: Any) -> Any:  # noqa: ANN401 (what `taken` returned)
        """Returns a value as data: one value where a sequence may stand is a sequence of it."""
        if not isinstance(value, int | float | list | tuple):
            return value
        if self.element is None:
            if "float" in self.kinds and isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
            return value
        given = value if isinstance(value, list | tuple) else [value]
        return [self.element.plain(each) for each in given]

    @property
    def meaning(self) -> str:
        """What may be given, in words."""
        parts = [f"{'one of ' if len(self.words) > 1 else ''}{', '.join(map(repr, self.words))}"] if self.words else []
        parts += ["True or False"] if "bool" in self.kinds else []
        parts += [f"an integer, {span(*self.span)}"] if "int" in self.kinds else []
        parts += ["a number"] if "float" in self.kinds else []
        parts += ["a str"] if "str" in self.kinds else []
        if self.element is not None:
            several = {"int": "integers", "float": "numbers", "str": "str"}
            of = [several[kind] for kind in several if kind in self.element.kinds] or self.element.others
            parts += [f"{'a sequence of' if self.length is None else self.length} {' or '.join(of)}"]
        parts += self.others
        parts += ["None"] if "None" in self.kinds else []
        return ", or ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)

    def _number(self, what: str, value: object) -> Any:  # noqa: ANN401 (a number of some kind, or none)
        truth, integer = as_truth(value), as_integer(value)
        if truth is not None or ("bool" in self.kinds and integer in (0, 1) and "int" not in self.kinds):
            return bool(value) if "bool" in self.kinds else None
        other = f", or {rest}" if (rest := self._other_than_numbers) else ""
        if integer is not None and "int" in self.kinds:
            taken: float = whole(what, value, *self.span, other=other)
        elif "float" in self.kinds and as_real(value) is not None:
            taken = real(what, value, other=other)
            taken = taken if integer is None else integer
        else:
            return None
        return value if type(value) in {int, float} else taken

    @property
    def _other_than_numbers(self) -> str:
        return replace(self, kinds=self.kinds - {"int", "float"}).meaning

    def _elements(self, what: str, value: object) -> Any:  # noqa: ANN401 (the sequence, or a tuple)
        assert self.element is not None  # noqa: S101 (for type checkers)
        given = items(what, value)
        taken = [self.element.taken(f"{what}[{at}]", each) for at, each in enumerate(given)]
        if self.length is not None and len(taken) != self.length:
            raise ValueError(f"{what} must be {self.meaning}, not {shown(value)}")
        is_plain = isinstance(value, list | tuple) and all(map(_is_same, given, taken))
        return value if is_plain else tuple(taken)

    def _refused(self, what: str, value: object) -> Exception:
        kind = ValueError if self.words and isinstance(value, str | Enum) else TypeError
        is_one = isinstance(value, str) and self.element is not None and "str" in self.element.kinds
        hint = f": write [{shown(value)}]" if is_one else ""
        number = as_integer(value)
        if "bilinear" in self.words and number is not None and 0 <= number < len(PILLOW):
            hint = f", which is {PILLOW[number]!r} for Pillow, and another one for OpenCV"
        if isinstance(value, AbstractSet) and self.element is not None:
            hint = ", which has no order"
        return kind(f"{what} must be {self.meaning}, not {shown(value)}{hint}")


def _is_same(one: object, other: object) -> bool:
    return one is other


def _is_sequence(value: object) -> bool:
    is_other = isinstance(value, str | bytes | bytearray | Mapping | AbstractSet) or getattr(value, "shape", None) == ()
    return isinstance(value, Iterable) and not is_other and not isinstance(value, type)


_KINDS: Final = {type(None): "None", bool: "bool", int: "int", float: "float", str: "str"}


def argument_of(field: Field[Any], hint: object) -> Argument:
    """Returns what a field of a dataclass may be, by its type, its name and its default."""
    least, most = RANGES.get(field.name, (0, LARGEST))
    # A default may stand for something that no number from 0 on does.
    least = min(least, field.default) if type(field.default) is int else least
    argument = _of(hint, (least, most), is_dtype=field.name == "dtype")
    numbers = {"int", "float"}
    is_sequence = argument.element is not None and argument.element.kinds & numbers and not argument.kinds & numbers
    if is_sequence and (field.name in PAIRS or isinstance(field.default, tuple)):
        length = len(field.default) if isinstance(field.default, tuple) else len(("x", "y"))
        return replace(argument, length=length)
    return argument


def _of(hint: object, within: tuple[int, int], *, is_dtype: bool = False) -> Argument:
    members = get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)
    kinds: set[str] = set()
    words: list[str] = []
    others: list[str] = []
    element = None
    for member in members:
        origin = get_origin(member)
        if isinstance(member, type) and member in _KINDS:
            kinds.add(_KINDS[member])
        elif origin is Literal and all(isinstance(each, str) for each in get_args(member)):
            words += get_args(member)
        elif origin in {Sequence, list, tuple}:
            other = _of(get_args(member)[0], within)
            before = element or other
            element = replace(other, kinds=before.kinds | other.kinds, others=(*before.others, *other.others))
        elif member is not Enum:
            others.append(getattr(member, "__name__", str(member)))
    return Argument(frozenset(kinds), tuple(words), element, None, within, is_dtype, tuple(others))


def _itself(value: object) -> object:
    return value


def listed(value: object, element: Callable[[Any], object] = _itself, *, single: bool) -> list[Any]:
    """Returns the elements of a sequence; or one value by itself, where it may be `single`."""
    if isinstance(value, str):
        raise TypeError(f"must be {'a number or ' if single else ''}a sequence, not the string {shown(value)}")
    if single and not _is_sequence(value):
        value = (value,)
    elif not _is_sequence(value):
        raise TypeError(f"must be a sequence, not {shown(value)}")
    return [element(each) for each in value]  # type: ignore[attr-defined]


def number(value: object) -> float:
    """Returns a number of any kind as a float."""
    found = as_real(value)
    if found is None:
        raise TypeError(f"must be a number, not {shown(value)}")
    if not math.isfinite(found):
        raise ValueError(f"must be a finite number, not {shown(value)}")
    return found
