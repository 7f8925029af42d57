"""What a loader's arguments may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

from stokehold.sizes import integer
from stokehold.sources import Source
from stokehold.user.streams import is_iterable

if TYPE_CHECKING:
    from stokehold.user.code import Rng, Start

__all__ = [
    "BatchType",
    "Even",
    "OnError",
    "Shuffle",
    "check_no_code",
    "counted",
    "duration",
    "one_of",
    "shuffled",
    "streams",
]

OnError: TypeAlias = Literal["raise", "skip", "replace"]
"""What becomes of a sample that cannot be read or decoded."""


BatchType: TypeAlias = Literal["dict", "tuple"]
"""What a batch is."""

Even: TypeAlias = Literal["pad", "drop", "uneven"]
"""What becomes of samples that cannot be shared out evenly among the ranks."""

Shuffle: TypeAlias = bool | Literal["blocks"]
"""Whether each epoch has its own random order, and of what."""


def one_of(name: str, given: object, allowed: tuple[str, ...]) -> None:
    """Raises `ValueError` for an argument that is none of those that are allowed."""
    if given not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {given!r}")


def shuffled(shuffle: Shuffle) -> Shuffle:
    """Returns the order as data, or raises `ValueError` if it is none."""
    if not isinstance(shuffle, str):
        return bool(shuffle)
    if shuffle != "blocks":
        raise ValueError(f"shuffle must be True, False or 'blocks', not {shuffle!r}")
    return shuffle


def check_no_code(source: object, rng: Rng, start: Start, worker_init: object) -> None:
    """Raises `ValueError` for options of what is Python, where nothing is."""
    if (rng, start, worker_init) != ("sample", "forkserver", None):
        raise ValueError(
            f"rng, start and worker_init are for datasets and functions of Python, not for {type(source).__name__}"
        )


def _check_dataset(dataset: object) -> None:
    """Raises `TypeError` for what has no samples."""
    kind = type(dataset)
    has_items = hasattr(kind, "__getitem__") or hasattr(kind, "__getitems__")
    is_none = isinstance(dataset, type | str | bytes | Mapping) or not (has_items and hasattr(kind, "__len__"))
    if is_none and (isinstance(dataset, type) or not is_iterable(dataset)):
        raise TypeError(
            f"Loader: source must be an ImageFolder, Arrays, a Table, CocoDetection, or a dataset with __getitem__ and "
            f"__len__, or with __iter__, not {kind.__name__}"
        )


def streams(source: object, fields: object, on_error: OnError, even: Even, *, shuffle: Shuffle) -> bool:
    """Tells whether a source is a dataset that is iterated. Raises where it is no source, or for what it cannot do."""
    if isinstance(source, Source):
        if fields is not None:
            raise ValueError(f"fields is for datasets of Python, not for {type(source).__name__}")
        return False
    _check_dataset(source)
    if not is_iterable(source):
        return False
    _check_stream(source, on_error, even, shuffle=shuffle)
    return True


def _check_stream(dataset: object, on_error: OnError, even: Even, *, shuffle: Shuffle) -> None:
    """Raises for what cannot be done with a dataset that is iterated."""
    name = type(dataset).__name__
    if hasattr(type(dataset), "__next__") and type(dataset).__module__ in {"builtins", "itertools"}:
        raise TypeError(
            f"Loader: source must be a dataset that can be gone over more than once, not a {name}: give an object "
            "whose __iter__ begins anew"
        )
    if shuffle:
        raise ValueError(
            f"Loader: shuffle must be False, not {shuffle!r}, for {name}, which is iterable: the order of its samples "
            "is its own"
        )
    if on_error == "replace":
        raise ValueError(
            f"Loader: on_error must be 'raise' or 'skip', not 'replace', for {name}, which is iterable: no other "
            "sample can be drawn from it"
        )
    if even == "drop":
        raise ValueError(
            f"Loader: even must be 'pad' or 'uneven', not 'drop', for {name}, which is iterable: what it gives "
            "each rank is its own business, and nobody knows how much that will be"
        )


def counted(name: str, value: int) -> int:
    """Returns a number that counts something; raises `ValueError` where it is out of range."""
    count = integer(name, value)
    # Another epoch follows each one.
    limit = {"seed": 2**64, "epoch": 2**64 - 1}.get(name, 2**32)
    if not 0 <= count < limit:
        raise ValueError(f"{name} is out of range: {count}")
    return count


def duration(name: str, value: float) -> float:
    """Returns seconds; raises `ValueError` where they are negative or no number."""
    try:
        seconds = value.__float__()
    except AttributeError:
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}") from None
    if not 0.0 <= seconds < 2.0**64:
        raise ValueError(f"{name} must be seconds, not {seconds}")
    return seconds
