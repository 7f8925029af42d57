"""Numbers, as users write them."""

from __future__ import annotations

import os
import re
from typing import Final

from stokehold.checks import as_integer, shown

__all__ = ["byte_count", "from_env", "integer"]

_UNITS: Final = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}

_MOST: Final = 2**63


def byte_count(what: str, limit: object) -> int:
    """Returns bytes that are given as a number, or as text such as ``"512MiB"``.

    Raises:
        ValueError: The text is none, or the number is out of range.
        TypeError: It is no integer.
    """
    meaning = "bytes or text such as '512MiB'"
    number = as_integer(limit)
    if isinstance(limit, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", limit)
        if match is None or match[2].lower() not in _UNITS:
            raise ValueError(f"{what} must be {meaning}, not {shown(limit)}")
        size = float(match[1]) * _UNITS[match[2].lower()]
        number = int(size) if size < _MOST else _MOST
    if number is None:
        raise TypeError(f"{what} must be {meaning}, not {shown(limit)}")
    if not 0 < number < _MOST:
        raise ValueError(f"{what} must be {meaning}, 1 to 2**63 - 1, not {shown(limit)}")
    return number


def integer(what: str, value: object) -> int:
    """Returns a whole number, of whatever type, as an ``int``; raises ``TypeError`` if it is none."""
    number = as_integer(value)
    if number is None:
        raise TypeError(f"{what} must be an integer, not {shown(value)}")
    return number


def from_env(name: str, default: int) -> int:
    """Returns a number of the environment; raises ``ValueError`` if there is something else."""
    text = os.environ.get(name, "")
    try:
        return int(text) if text else default
    except ValueError:
        raise ValueError(f"the environment's {name} is {text!r}, not a number") from None
