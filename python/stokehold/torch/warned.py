"""Warnings that name the line of the user's that led to them, not one of this package or of PyTorch's loader."""

from __future__ import annotations

import sys
import warnings
from types import FunctionType
from typing import Any, Final

__all__ = ["at_the_users_line", "users_level"]

INNER: Final = ("stokehold", "torch.utils.data", "torchdata")
"""Modules in which no line is the user's."""


def users_level() -> int:
    """Returns what `warnings.warn` takes as `stacklevel`, where it is called by the caller of this."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and _is_inner(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    return level


def _is_inner(module: str) -> bool:
    return any(module == inner or module.startswith(f"{inner}.") for inner in INNER)


class _Warnings:
    """The module `warnings`, whose `warn` knows better than its caller whose line it is."""

    def __getattr__(self, name: str) -> Any:
        return getattr(warnings, name)

    @staticmethod
    def warn(message: Any, category: Any = None, stacklevel: int = 1, **others: Any) -> None:  # noqa: ARG004 (theirs)
        """Warns."""
        warnings.warn(message, category, stacklevel=users_level(), **others)


def at_the_users_line(function: Any, **others: Any) -> Any:
    """Returns a function of PyTorch's whose warnings name the user's line, and for which `others` are its names."""
    names = {**function.__globals__, "warnings": _Warnings(), **others}
    made = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    made.__kwdefaults__ = function.__kwdefaults__
    return made
