"""Exceptions on their way from a worker, whatever their classes are."""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

from stokehold.torch.internals import ExceptionWrapper

__all__ = ["Unsent", "reduced"]


class Unsent(NamedTuple):
    """In place of a batch that could not be sent, or not received."""

    failure: Any


def reduced(failure: Any) -> Any:
    """Reduces an `ExceptionWrapper` for pickle, so that a class that only the worker knows does no harm."""
    kind = failure.exc_type
    bases = [pickled for base in kind.__mro__ if (pickled := _pickled(base)) is not None]
    index = _pickled(getattr(failure, "stokehold_index", None))
    return _failure, (bases, (kind.__module__, kind.__qualname__), failure.exc_msg, failure.where, index)


def _pickled(value: object) -> bytes | None:
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001 (any object may raise anything)
        return None


def _failure(bases: list[bytes], name: tuple[str, str], message: str, where: str, index: bytes | None) -> Any:
    failure = ExceptionWrapper.__new__(ExceptionWrapper)
    failure.exc_type = _known(bases, *name)
    failure.exc_msg, failure.where = message, where
    failure.stokehold_index = None if index is None else pickle.loads(index)
    return failure


def _known(bases: list[bytes], module: str, name: str) -> Any:
    """Returns an exception's class; or one of its name, below the nearest of its bases that is known here."""
    for pickled in bases:
        try:
            base = pickle.loads(pickled)
            if (base.__module__, base.__qualname__) == (module, name):
                return base
            # The text is PyTorch's; KeyError would show its line feeds as two characters each.
            own = {"__module__": module, "__qualname__": name, "__str__": BaseException.__str__}
            return type(name.rpartition(".")[2], (base,), own)
        except Exception:  # noqa: BLE001, S112 (what an import or a base class does is somebody else's)
            continue
    raise TypeError(f"{name} is no exception")
