"""What a loader's arguments may be."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from stokehold import _native
from stokehold.checks import LARGEST, as_real, mapping, names, one_of, shown, truth, whole, word
from stokehold.cut import Cut
from stokehold.hints import table_hint
from stokehold.orders.base import Order
from stokehold.outputs import OUTPUTS
from stokehold.ranks import Ranks
from stokehold.sizes import byte_count
from stokehold.sources import Source
from stokehold.user.streams import is_iterable

if TYPE_CHECKING:
    from stokehold.outputs import Output
    from stokehold.user.code import Rng, Start

__all__ = [
    "BatchType",
    "Even",
    "OnError",
    "Shuffle",
    "by_field",
    "check_callable",
    "check_no_code",
    "counted",
    "duration",
    "field_names",
    "groups_in",
    "limits_of",
    "ordered",
    "output_of",
    "shuffled",
    "state_text",
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


def shuffled(shuffle: Shuffle) -> Shuffle:
    """Returns the order as data, or raises an error if it is none."""
    if word(shuffle, ("blocks",)) == "blocks":
        return "blocks"
    try:
        return truth("shuffle", shuffle)
    except TypeError:
        kind = ValueError if isinstance(shuffle, str) else TypeError
        raise kind(f"Loader: shuffle must be True, False or 'blocks', not {shown(shuffle)}") from None


def ordered(
    order: object, source: object, batches: tuple[int, Ranks | None] | Cut, *, shuffle: Shuffle, is_stream: bool
) -> _native.Order | None:
    """Returns the order over a source, where one is given, or raises an error if it is none or cannot be.

    `batches` says what batches the loader makes: the rows of one, and the ranks, where they are known; or the cut.
    """
    if order is None:
        return None
    if not isinstance(order, Order):
        raise TypeError(
            "Loader: order must be a Weighted, Curriculum, Repeated, Explicit or Mixture, or None for that of shuffle, "
            f"not {shown(order)}"
        )
    if shuffle:
        raise ValueError(f"Loader: shuffle must be False, not {shuffle!r}, where order says the order: {order!r}")
    if is_stream:
        raise ValueError(
            f"Loader: order must be None, not {order!r}, for {type(source).__name__}, which is iterable: the order of "
            "its samples is its own"
        )
    # What it gives is known from here on.
    native = order.native(source)
    if isinstance(batches, Cut):
        if order.has_batches:
            raise ValueError(f"Loader: cut must be None, not {batches!r}, where order says what a batch has: {order!r}")
        return native
    batch_size, ranks = batches
    order.check_batches(batch_size, None if ranks is None else ranks.world_size)
    return native


def groups_in(cut: object, batch_size: int | None) -> int:
    """Returns how many samples a batch has, or, with a cut, groups of them."""
    return cut.groups(batch_size or 1) if isinstance(cut, Cut) else batch_size or 1


def cut_of(
    cut: object, source: object, batch_size: int | None, *, is_stream: bool
) -> tuple[_native.Cut, dict[str, int]] | None:
    """Returns a cut and the longest sample of its fields, or raises an error if it is none or cannot be."""
    if cut is None:
        return None
    if not isinstance(cut, Cut):
        raise TypeError(
            f"Loader: cut must be a Packing, a TokenBudget, Buckets or a MultiScale, or None, not {shown(cut)}"
        )
    if is_stream:
        raise ValueError(
            f"Loader: cut must be None, not {cut!r}, for {type(source).__name__}, which is iterable: nobody knows its "
            "samples before they come"
        )
    if batch_size is None:
        raise ValueError(f"Loader: batch_size must be a number, not None, where cut says what a batch has: {cut!r}")
    native = cut.native(source, batch_size)
    return native, dict.fromkeys(cut.fields, max(native.longest, 1))


def check_no_code(source: object, rng: Rng, start: Start, worker_init: object) -> None:
    """Raises `ValueError` for options of what is Python, where nothing is."""
    if (rng, start, worker_init) != ("sample", "forkserver", None):
        raise ValueError(
            "Loader: rng, start and worker_init are for datasets and functions of Python, not for "
            f"{type(source).__name__}"
        )


def _check_dataset(dataset: object) -> None:
    """Raises `TypeError` for what has no samples."""
    kind = type(dataset)
    if hint := table_hint(dataset):
        raise TypeError(f"Loader: source must be a source of stokehold's or a dataset: {hint}")
    has_items = hasattr(kind, "__getitem__") or hasattr(kind, "__getitems__")
    is_scalar = getattr(dataset, "shape", None) == ()
    is_none = (
        is_scalar or isinstance(dataset, type | str | bytes | Mapping) or not (has_items and hasattr(kind, "__len__"))
    )
    if is_none and (is_scalar or isinstance(dataset, type) or not is_iterable(dataset)):
        raise TypeError(
            f"Loader: source must be an ImageFolder, Arrays, a Table, CocoDetection, or a dataset with __getitem__ and "
            f"__len__, or with __iter__, not {_source_hint(dataset)}"
        )


def _source_hint(given: object) -> str:
    if isinstance(given, type):
        return f"the class {given.__name__}: make one, {given.__name__}(...)"
    if isinstance(given, str | bytes | os.PathLike):
        return f"{type(given).__name__}: a path says not what lies there; ImageFolder({shown(given)}), for one, does"
    if isinstance(given, Mapping):
        return f"{type(given).__name__}: Table(...) or Arrays(...) make a source of columns by name"
    return type(given).__name__


def streams(source: object, fields: object, on_error: OnError, even: Even, *, shuffle: Shuffle) -> bool:
    """Tells whether a source is a dataset that is iterated. Raises where it is no source, or for what it cannot do."""
    if isinstance(source, Source):
        if fields is not None:
            raise ValueError(f"Loader: fields is for datasets of Python, not for {type(source).__name__}")
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


LIMITS: Final = {
    "batch_size": (1, LARGEST),
    "seed": (0, 2**64 - 1),
    # Another epoch follows each one.
    "epoch": (0, 2**64 - 2),
    "num_workers": (0, 1024),
    "threads_per_worker": (1, 256),
    "prefetch": (1, LARGEST),
    "worker_batches": (1, LARGEST),
    "count": (1, LARGEST),
}
"""What numbers may be; others go from 0 to 2**32 - 1."""

OTHERS: Final = {
    "batch_size": ", or None for single samples",
    "num_workers": ", or 'auto'",
    "worker_batches": ", or None for no end",
    "count": ", or None for no end",
}
"""What else they may be."""


def counted(name: str, value: object, of: str = "Loader") -> int:
    """Returns a number that counts something; raises an error where it is none, or out of range."""
    return whole(f"{of}: {name}", value, *LIMITS.get(name, (0, LARGEST)), other=OTHERS.get(name, ""))


def duration(name: str, value: object) -> float:
    """Returns seconds; raises an error where they are none, or not more than 0."""
    seconds = as_real(value)
    if seconds is None:
        raise TypeError(f"Loader: {name} must be a number of seconds, more than 0, not {shown(value)}")
    if not 0.0 < seconds < 2.0**64:
        raise ValueError(f"Loader: {name} must be seconds, more than 0, not {shown(value)}")
    return seconds


def field_names(fields: object) -> tuple[str, ...] | None:
    """Returns the names of a sample's items, or raises `TypeError` if they are none."""
    return None if fields is None else tuple(names("Loader: fields", fields, "a sequence of str, one for each item"))


def limits_of(max_sample_bytes: object, worker_memory_limit: object, worker_batches: object) -> dict[str, int]:
    """Returns those of the limits that are given, by their names."""
    sizes = {"max_sample_bytes": max_sample_bytes, "worker_memory_limit": worker_memory_limit}
    found = {name: byte_count(f"Loader: {name}", size) for name, size in sizes.items() if size is not None}
    return found if worker_batches is None else found | {"worker_batches": counted("worker_batches", worker_batches)}


def by_field(name: str, given: object, meaning: str) -> dict[str, Any]:
    """Returns what an argument says of fields by their names, or raises `TypeError` if it is no such thing."""
    return {} if given is None else mapping(f"Loader: {name}", given, meaning)


def check_callable(name: str, given: object) -> None:
    """Raises `TypeError` for what is neither None nor something to call."""
    if given is not None and (not callable(given) or isinstance(given, type)):
        raise TypeError(f"Loader: {name} must be a function, or None, not {shown(given)}")


def output_of(given: object) -> Output:
    """Returns which library's arrays are wanted.

    Raises:
        ValueError: It is another one.
        TypeError: It is no word.
        ImportError: It is not installed.
    """
    output: Output = one_of("Loader: output", given, tuple(OUTPUTS))
    try:
        is_there = output == "numpy" or sys.modules.get(output) is not None or find_spec(output) is not None
    except (ImportError, ValueError):
        is_there = False
    if not is_there:
        name = {"torch": "PyTorch", "jax": "JAX"}[output]
        raise ImportError(
            f"Loader: output={output!r} needs {name}, which is not installed: pip install 'stokehold[{output}]', or "
            "take output='numpy'",
            name=output,
        )
    return output


def state_text(state: object) -> str:
    """Returns a loader's state as a text, or raises an error where it is none."""
    what = "Loader.load_state_dict: state_dict must be what state_dict() returned"
    if not isinstance(state, Mapping):
        raise TypeError(f"{what}, not {shown(state)}")
    try:
        return json.dumps(dict(state), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError(f"{what}, not {shown(dict(state))}") from None
