"""What every transform is, and how its arguments become plain data."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any, Final, NamedTuple, TypeAlias, get_type_hints

from stokehold import _native
from stokehold.checks import shown
from stokehold.transforms.arguments import Argument, argument_of, listed, number

__all__ = ["BatchTransform", "Described", "Fill", "Transform", "as_plain", "listed", "number", "unsent"]

Fill: TypeAlias = float | Sequence[float] | Mapping[str, float | Sequence[float]]
"""What lies outside of an image, in its units: one value or one per channel; or such by the names of fields, for the
image and for masks that follow it: ``{"image": 0, "mask": 255}``. A field that is not named has the default. Without
names, a mask has the image's where that is one value, 0 to 255, else 0."""

_PLAIN: Final = "plain"
_UNSENT: Final = "unsent"


class Described:
    """What is data for the workers, checked when it is made.

    A subclass is a frozen dataclass whose fields are the arguments that Rust knows by the same names. Their types say
    what is taken (see `Argument`): numbers, words, dtypes and sequences of any library. What is no plain value is
    replaced by one. Where plain data is something else again, `as_plain` declares a function that makes it.
    """

    def __post_init__(self) -> None:
        kind = _kind_of(self)
        for argument in kind.arguments:
            value = getattr(self, argument.name)
            taken = argument.argument.taken(f"{type(self).__name__}: {argument.name}", value)
            if taken is not value:
                object.__setattr__(self, argument.name, taken)
        for name, check in kind.unsent.items():
            self._named(name, check, self)
        try:
            self.check(self._text())
        except ValueError as error:
            # A subclass has a name of its own.
            raise ValueError(str(error).replace(kind.name, type(self).__name__, 1)) from None

    def check(self, description: str) -> None:
        """Raises `ValueError` for a description that cannot work."""
        raise NotImplementedError

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data, the form in which it is sent to the workers."""
        kind = _kind_of(self)
        spec: dict[str, Any] = {"op": kind.name}
        for name, argument, plain in kind.arguments:
            value = getattr(self, name)
            spec[name] = argument.plain(value) if plain is None else self._named(name, plain, value)
        return spec

    def _text(self) -> str:
        """Returns the plain data as a text, or raises `TypeError` for an argument that is none."""
        spec = self.spec()
        for name, value in spec.items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError, OverflowError, RecursionError):
                what = f"{type(self).__name__}: {name} must be numbers, words or a sequence of them"
                raise TypeError(f"{what}, not {shown(value)}") from None
        return json.dumps(spec, allow_nan=False)

    def _named(self, name: str, convert: Callable[[Any], object], value: object) -> object:
        """Calls what says of an argument that it must be something, and names it in the error."""
        try:
            return convert(value)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {name} {error}") from None
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}: {name} {error}") from None


class Transform(Described):
    """The base of all transforms. A transform is checked when it is made, and does not change."""

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data, the form in which it is sent to the workers."""
        fills = getattr(self, "fill", None)
        if not isinstance(fills, Mapping):
            return super().spec()
        if not fills or not all(isinstance(name, str) for name in fills):
            what = f"{type(self).__name__}: fill must map names of fields to fills, as {{'image': 0, 'mask': 255}}"
            raise TypeError(f"{what}, not {shown(fills)}")
        # As for torchvision, what is not named has the default.
        declared: Any = self
        (default,) = (argument.default for argument in fields(declared) if argument.name == "fill")
        each = {name: replace(declared, fill=fill).spec()["fill"] for name, fill in fills.items()}
        return {"op": "ByField", "transform": replace(declared, fill=default).spec(), "fill": each}

    def check(self, description: str) -> None:
        """Raises `ValueError` for a description that cannot work."""
        _native.check_transform(description)


class BatchTransform(Described):
    """The base of all transforms of batches. A transform is checked when it is made, and does not change."""

    def check(self, description: str) -> None:
        """Raises `ValueError` for a description that cannot work."""
        _native.check_batch_transform(description)


def as_plain(convert: Callable[[Any], object]) -> dict[str, Any]:
    """Returns the metadata of a dataclass's field that `convert` makes plain data of, once its type is checked."""
    return {_PLAIN: convert}


def unsent(check: Callable[[Any], None]) -> dict[str, Any]:
    """Returns the metadata of a field that torchvision has, and the workers have not.

    `check` gets the transform, and raises an error that says what the argument must be where it cannot be obeyed.
    """
    return {_UNSENT: check}


class _Field(NamedTuple):
    name: str
    argument: Argument
    plain: Callable[[Any], object] | None


class _Kind(NamedTuple):
    """A class of what is described: what Rust calls it, its arguments, and those that are checked only."""

    name: str
    arguments: list[_Field]
    unsent: dict[str, Callable[[Any], None]]


def _kind_of(described: Described) -> _Kind:
    kind: Any = type(described)
    return _described(kind)


@cache
def _described(kind: type[Any]) -> _Kind:
    # A subclass that a user made is to Rust what it was made from.
    declared = next((parent for parent in reversed(kind.__mro__) if is_dataclass(parent)), None)
    if declared is None:
        # It checks its arguments itself.
        return _Kind(kind.__name__, [], {})
    hints = get_type_hints(declared)
    sent = [field for field in fields(declared) if _UNSENT not in field.metadata]
    return _Kind(
        declared.__name__,
        [_Field(each.name, argument_of(each, hints[each.name]), each.metadata.get(_PLAIN)) for each in sent],
        {each.name: each.metadata[_UNSENT] for each in fields(declared) if _UNSENT in each.metadata},
    )
