"""What arguments may be, of whatever public name, and what an error shows of one that is something else.

``what`` names an argument with what it is of, as ``"Loader: seed"``. Numbers, words and dtypes are taken as any library
has them, by what they are like: nothing is imported for it.
"""

from __future__ import annotations

import functools
import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

__all__ = [
    "as_integer",
    "as_real",
    "as_truth",
    "dtype_name",
    "extents",
    "is_missing",
    "items",
    "mapping",
    "names",
    "numpy_dtype",
    "one_of",
    "path",
    "paths",
    "printable",
    "printing",
    "real",
    "renamed",
    "shown",
    "text",
    "truth",
    "whole",
    "word",
]

Init = TypeVar("Init", bound=Callable[..., None])
Word = TypeVar("Word", bound=str)

SHOWN: Final = 80
"""How many characters of a value an error shows."""

LARGEST: Final = 2**32 - 1
"""The largest number that most arguments may be."""


def is_missing(value: object) -> bool:
    """Tells whether a value stands for a missing one, as in a column of pandas."""
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ in {"NAType", "NaTType"}


def printable(given: str) -> str:
    """Returns a text in one line, with escapes for what does not print: no name can command a terminal."""
    if given.isprintable():
        return given
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in given)


def shown(value: object) -> str:
    """Returns a value as an error shows it: short, and in one line."""
    # Of a long text its beginning is enough, and cheaper to get.
    given = value[: SHOWN + 1] if isinstance(value, str | bytes) else value
    try:
        found = " ".join(repr(given).split())
    except Exception:  # noqa: BLE001 (an object of somebody else may raise anything)
        found = f"an object of {type(value).__qualname__}"
    found = printable(found)
    return found if len(found) <= SHOWN else f"{found[:SHOWN]}..."


def printing(init: Init) -> Init:
    """Returns an ``__init__`` whose errors print: names of files, columns and classes may be any bytes."""

    @functools.wraps(init)
    def printed(*given: Any, **named: Any) -> None:  # noqa: ANN401 (whatever a user gives)
        try:
            init(*given, **named)
        except (TypeError, ValueError) as error:
            if type(error) not in {TypeError, ValueError} or str(error).isprintable():
                raise
            raise type(error)(printable(str(error))) from error.__cause__

    return printed  # type: ignore[return-value]


def as_truth(value: object) -> bool | None:
    """Returns true or false, of whatever library, as a ``bool``; None for anything else."""
    if isinstance(value, bool):
        return value
    is_one = "bool" in str(getattr(value, "dtype", "")) and getattr(value, "shape", None) == ()
    return bool(value) if is_one else None


def as_integer(value: Any) -> int | None:  # noqa: ANN401 (whatever a user gives)
    """Returns a whole number, of whatever library, as an ``int``; None for anything else, true and false included."""
    if as_truth(value) is not None:
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def as_real(value: Any) -> float | None:  # noqa: ANN401 (whatever a user gives)
    """Returns a number, of whatever library, as a ``float``; None for anything else, true and false included."""
    if as_truth(value) is not None or isinstance(value, str | bytes | bytearray) or getattr(value, "shape", ()) != ():
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError, RuntimeError):
        return None


def _power(number: int) -> str:
    """Returns a number as a person would write it."""
    for bits in (31, 32, 53, 63, 64):
        if number in (2**bits, 2**bits - 1, 2**bits - 2) and number > LARGEST:
            return f"2**{bits}" + ("" if number == 2**bits else f" - {2**bits - number}")
    return str(number)


def span(least: int, most: int) -> str:
    """Returns what lies between two numbers, in words."""
    return f"{least} or more" if most == LARGEST else f"{_power(least)} to {_power(most)}"


def whole(what: str, value: object, least: int = 0, most: int = LARGEST, *, other: str = "") -> int:
    """Returns a whole number between `least` and `most`, of whatever library, as an ``int``.

    Args:
        what: The argument.
        value: What was given.
        least: The smallest one that is allowed.
        most: The largest one.
        other: What else is allowed, for the error: ``" or None"``.

    Raises:
        TypeError: It is no whole number.
        ValueError: It is out of range.
    """
    number = as_integer(value)
    if number is None:
        raise TypeError(f"{what} must be an integer, {span(least, most)}{other}, not {shown(value)}")
    if not least <= number <= most:
        raise ValueError(f"{what} must be {span(least, most)}{other}, not {shown(number)}")
    return number


def real(what: str, value: object, *, other: str = "") -> float:
    """Returns a finite number, of whatever library, as a ``float``.

    Raises:
        TypeError: It is no number.
        ValueError: It is infinite, too large, or not a number in the sense of IEEE.
    """
    number = as_real(value)
    if number is None:
        raise TypeError(f"{what} must be a number{other}, not {shown(value)}")
    if not math.isfinite(number):
        raise ValueError(f"{what} must be a finite number{other}, not {shown(value)}")
    return number


def truth(what: str, value: object) -> bool:
    """Returns true or false, of whatever library, or as 0 and 1; raises `TypeError` for anything else."""
    found = as_truth(value)
    if found is None and as_integer(value) in (0, 1):
        found = bool(value)
    if found is None:
        raise TypeError(f"{what} must be True or False, not {shown(value)}")
    return found


def text(what: str, value: object, meaning: str = "a str") -> str:
    """Returns a text; raises `TypeError` for anything else. `meaning` says what it is."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be {meaning}, not {shown(value)}")
    return str(value)


def word(value: object, allowed: Sequence[Word]) -> Word | None:
    """Returns which of the words that are allowed is meant: by the text, or by a member of an enumeration."""
    if isinstance(value, Enum):
        # By its value, as InterpolationMode of torchvision; or, where that is a number, by its name, as Pillow's.
        value = value.value if isinstance(value.value, str) else value.name.lower().replace("_", "-")
    return next((each for each in allowed if value == each), None) if isinstance(value, str) else None


def one_of(what: str, value: object, allowed: Sequence[Word], *, other: str = "") -> Word:
    """Returns one of the words that are allowed.

    Raises:
        ValueError: It is another one.
        TypeError: It is no word.
    """
    found = word(value, allowed)
    if found is None:
        kind = ValueError if isinstance(value, str | Enum) else TypeError
        raise kind(f"{what} must be one of {', '.join(map(repr, allowed))}{other}, not {shown(value)}")
    return found


def dtype_name(what: str, value: Any, allowed: Sequence[str] | None = None) -> str:  # noqa: ANN401
    """Returns NumPy's name of a dtype that was given as that name, or as the type of any library.

    Raises:
        TypeError: It is none.
        ValueError: It is not among those that are allowed, or not in the machine's byte order.
    """
    meaning = f"one of {', '.join(map(repr, allowed))}" if allowed else "a dtype of numbers or booleans, as 'float32'"
    name = _dtype_name(value)
    if name is None and not isinstance(value, str):
        raise TypeError(f"{what} must be {meaning}, not {shown(value)}")
    if name is None or (allowed is not None and name not in allowed):
        raise ValueError(f"{what} must be {meaning}, not {shown(value)}")
    return name


def _dtype_name(value: Any) -> str | None:  # noqa: ANN401 (whatever a user gives)
    kind = type(value)
    if kind.__module__ == "torch" and kind.__name__ == "dtype":
        value = str(value)
    if isinstance(value, str):
        value = value.removeprefix("torch.")
        if value == "bfloat16":
            # NumPy knows it only with the library that has it.
            return "bfloat16"
    is_other = isinstance(value, bool | int | float | Mapping | Sequence) and not isinstance(value, str)
    if value is None or is_other:
        return None
    try:
        found = np.dtype(value)
    except Exception:  # noqa: BLE001 (NumPy asks the object, which may raise anything)
        return None
    return found.name if (found.kind in "biuf" or found.name == "bfloat16") and found.isnative else None


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Returns the dtype of this name, also where NumPy knows it only with the library that has it."""
    if name == "bfloat16":
        import ml_dtypes  # noqa: PLC0415  # Few have it, and whoever has such an array does.

        found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return found
    return np.dtype(name)


def items(what: str, value: object, meaning: str = "a sequence") -> list[Any]:
    """Returns what is in a sequence, an array or anything else that has an order and can be gone over.

    Raises:
        TypeError: It is something else; a text, a mapping or a set, for example.
    """
    if isinstance(value, str | bytes | bytearray):
        raise TypeError(f"{what} must be {meaning}, not one {type(value).__name__}: write [{shown(value)}]")
    if isinstance(value, AbstractSet | Mapping) or (
        not isinstance(value, Iterable) and not hasattr(value, "__getitem__")
    ):
        why = ", which has no order" if isinstance(value, AbstractSet) else ""
        raise TypeError(f"{what} must be {meaning}, not {shown(value)}{why}")
    try:
        return list(value)  # type: ignore[call-overload, no-any-return]
    except TypeError:
        # As an array without axes.
        raise TypeError(f"{what} must be {meaning}, not {shown(value)}") from None


def names(what: str, value: object, meaning: str = "a sequence of str") -> list[str]:
    """Returns the texts of a sequence; raises `TypeError` for anything else."""
    found = items(what, value, meaning)
    for at, each in enumerate(found):
        text(f"{what}[{at}]", each)
    return [str(each) for each in found]


def extents(what: str, value: object, *, least: int = 0, varies: bool = False) -> list[int | None]:
    """Returns a shape: lengths, and None for axes that vary, where `varies` any may, or else the first alone.

    Raises:
        TypeError: It is none, or a length is none.
        ValueError: A length is out of range, or an axis may not vary.
    """
    found: list[int | None] = []
    for at, each in enumerate(items(what, value, "a sequence of lengths, or None for what varies")):
        if each is None and (varies or at == 0):
            found.append(None)
        elif each is None:
            raise ValueError(f"{what} may have None first, and nowhere else, not {shown(value)}")
        else:
            found.append(whole(f"{what}[{at}]", each, least, other=", or None" if varies or at == 0 else ""))
    return found


def mapping(what: str, value: object, meaning: str) -> dict[str, Any]:
    """Returns a mapping whose keys are texts as a ``dict``; raises `TypeError` for anything else."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} must be {meaning}, not {shown(value)}")
    for key in value:
        text(f"{what}: the name of a field", key)
    return dict(value)


def path(what: str, value: object) -> Path:
    """Returns a path as it was given.

    Raises:
        TypeError: It is none.
        ValueError: It has a byte that no path has.
    """
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{what} must be a path, a str or a pathlib.Path, not {shown(value)}")
    if "\0" in os.fspath(value):
        raise ValueError(f"{what} must be a path, not {shown(value)}: it has a null byte")
    return Path(value)


def paths(what: str, value: object) -> list[str]:
    """Returns one path or several, as they were given.

    Raises:
        TypeError: It is none.
        ValueError: There are no paths, or one has a byte that no path has.
    """
    if isinstance(value, str | os.PathLike):
        path(what, value)
        return [os.fspath(value)]
    found = items(what, value, "a path, or a list of paths")
    if not found:
        raise ValueError(f"{what} must be a path, or a list of paths: there are no paths")
    for at, each in enumerate(found):
        path(f"{what}[{at}]", each)
    return [os.fspath(each) for each in found]


def renamed(what: str, value: object) -> dict[str, str] | None:
    """Returns which names fields have elsewhere, by field, where somebody has said so.

    Raises:
        TypeError: It is no mapping of texts to texts, and not None.
        ValueError: It is empty.
    """
    if value is None:
        return None
    found = mapping(what, value, "a mapping of names of fields to names there, or None for all")
    if not found:
        raise ValueError(f"{what} must name at least one field, or be None for all, not {shown(value)}")
    return {name: text(f"{what}[{name!r}]", there) for name, there in found.items()}
