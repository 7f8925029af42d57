"""Numbers, as users write them."""

from __future__ import annotations

import os
import re
from typing import Final

__all__ = ["byte_count", "from_env", "integer"]

_UNITS: Final = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def byte_count(name: str, limit: int | str) -> int:
    """Returns bytes that are given as a number, or as text such as ``"512MiB"``.

    Raises:
        ValueError: The text is none, or the number is out of range.
        TypeError: It is no integer.
    """
    if isinstance(limit, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", limit)
        if match is None or match[2].lower() not in _UNITS:
            raise ValueError(f"{name} must be bytes or text such as '512MiB', not {limit!r}")
        limit = int(float(match[1]) * _UNITS[match[2].lower()])
    limit = integer(name, limit)
    if not 0 < limit < 2**63:
        raise ValueError(f"{name} is out of range: {limit}")
    return limit


def integer(name: str, value: int) -> int:
    """Returns a whole number, of whatever type, as an ``int``; raises ``TypeError`` if it is none."""
    try:
        return value.__index__()
    except AttributeError:
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}") from None


def from_env(name: str, default: int) -> int:
    """Returns a number of the environment; raises ``ValueError`` if there is something else."""
    text = os.environ.get(name, "")
    try:
        return int(text) if text else default
    except ValueError:
        raise ValueError(f"the environment's {name} is {text!r}, not a number") from None
