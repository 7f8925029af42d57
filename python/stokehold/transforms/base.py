"""What every transform is, and how its arguments become plain data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Final, SupportsFloat, get_args, get_origin, get_type_hints

from stokehold import _native

__all__ = ["BatchTransform", "Described", "Transform", "as_plain", "listed", "number"]

_PLAIN: Final = "plain"


class Described:
    """What is data for the workers, checked when it is made.

    A subclass is a frozen dataclass whose fields are the arguments that Rust knows by the same names. Their types say
    how they become plain data: what is a ``float`` or a sequence of some becomes just that, one value where a sequence
    may stand becomes a list of it, and all else stays. Where this is not enough, `as_plain` declares a function.
    """

    def __post_init__(self) -> None:
        try:
            description = json.dumps(self.spec(), allow_nan=False)
        except (TypeError, OverflowError) as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}: {error}") from None
        self.check(description)

    def check(self, description: str) -> None:
        """Raises `ValueError` for a description that cannot work."""
        raise NotImplementedError

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data, the form in which it is sent to the workers."""
        kind: Any = type(self)
        name, conversions = _described(kind)
        spec: dict[str, Any] = {"op": name}
        for argument, convert in conversions.items():
            try:
                spec[argument] = convert(getattr(self, argument))
            except TypeError as error:
                raise TypeError(f"{argument} {error}") from None
            except ValueError as error:
                raise ValueError(f"{argument} {error}") from None
        return spec


class Transform(Described):
    """The base of all transforms. A transform is checked when it is made, and does not change."""

    def check(self, description: str) -> None:
        """Raises `ValueError` for a description that cannot work."""
        _native.check_transform(description)


class BatchTransform(Described):
    """The base of all transforms of batches. A transform is checked when it is made, and does not change."""

    def check(self, description: str) -> None:
        """Raises `ValueError` for a description that cannot work."""
        _native.check_batch_transform(description)


def as_plain(convert: Callable[[Any], object]) -> dict[str, Any]:
    """Returns the metadata of a dataclass's field that `convert` makes plain data of."""
    return {_PLAIN: convert}


def _itself(value: object) -> object:
    return value


def listed(value: object, element: Callable[[Any], object] = _itself, *, single: bool) -> list[Any]:
    """Returns the elements of a sequence; or one value by itself, where it may be `single`."""
    if isinstance(value, str):
        raise TypeError(f"must be {'a number or ' if single else ''}a sequence, not the string {value!r}")
    if single and not isinstance(value, Sequence):
        value = (value,)
    elif not isinstance(value, Iterable):
        raise TypeError(f"must be a sequence, not {value!r}")
    return [element(each) for each in value]


def number(value: SupportsFloat | str) -> float:
    """Returns a number of any kind as a float."""
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"must be a number, not {value!r}") from None
    except (TypeError, OverflowError):
        raise TypeError(f"must be a number, not {value!r}") from None


@cache
def _described(kind: type[Any]) -> tuple[str, dict[str, Callable[[Any], object]]]:
    """Returns what Rust calls a class, and how each of its arguments becomes plain data."""
    # A subclass that a user made is to Rust what it was made from.
    declared = next(parent for parent in reversed(kind.__mro__) if is_dataclass(parent))
    hints = get_type_hints(declared)
    return declared.__name__, {
        field.name: field.metadata.get(_PLAIN) or _conversion(hints[field.name]) for field in fields(declared)
    }


def _conversion(hint: object) -> Callable[[Any], object]:
    """Returns how a value of this type becomes plain data."""
    members = {hint} if get_origin(hint) in {None, Sequence} else set(get_args(hint))
    sequence = next((member for member in members if get_origin(member) is Sequence), None)
    if sequence is None:
        return _unless_none(number if float in members else _itself, members)
    (of,) = get_args(sequence)
    element, single = _conversion(of), of in members
    return _unless_none(lambda value: listed(value, element, single=single), members)


def _unless_none(convert: Callable[[Any], object], members: set[Any]) -> Callable[[Any], object]:
    if type(None) not in members:
        return convert
    return lambda value: None if value is None else convert(value)
