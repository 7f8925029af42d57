"""What every transform is, and how its arguments become plain data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from stokehold import _native

__all__ = ["Described", "Transform", "bounds", "fills", "numbers", "sizes"]


class Described:
    """What is data for the workers, checked when it is made."""

    def __post_init__(self) -> None:
        try:
            description = json.dumps(self.spec(), allow_nan=False)
        except (TypeError, OverflowError) as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}: {error}") from None
        self.check(description)

    @staticmethod
    def check(description: str) -> None:
        """Raises `ValueError` for a description that cannot work."""
        raise NotImplementedError

    def spec(self) -> dict[str, Any]:
        """Returns the transform as plain data, the form in which it is sent to the workers."""
        raise NotImplementedError


class Transform(Described):
    """The base of all transforms. A transform is checked when it is made, and does not change."""

    @staticmethod
    def check(description: str) -> None:
        """Raises `ValueError` for a description that cannot work."""
        _native.check_transform(description)


def sizes(size: int | Sequence[int]) -> list[int]:
    """Returns one size or several as a list."""
    return list(size) if isinstance(size, Sequence) else [size]


def numbers(values: Sequence[float]) -> list[float]:
    """Returns numbers of any kind as floats."""
    return [float(value) for value in values]


def bounds(values: float | Sequence[float] | None) -> list[float] | None:
    """Returns one number or several as a list of floats."""
    if values is None:
        return None
    return numbers(values) if isinstance(values, Sequence) else [float(values)]


def fills(fill: int | Sequence[int] | None) -> list[int] | None:
    """Returns one value for all channels, or one for each, as a list."""
    return None if fill is None else sizes(fill)
