"""Exceptions of users' code on their way from a worker to the trainer."""

from __future__ import annotations

import importlib
import pickle
import traceback
from typing import Any, Final

from stokehold.checks import printable

__all__ = ["received", "sent"]

LONGEST_TRACE: Final = 8 << 10
"""The most characters of a traceback that are kept: its end says more than its beginning."""
LONGEST_PICKLE: Final = 8 << 10
"""The most bytes that an exception itself may take."""


def sent(error: BaseException) -> tuple[str, str, bytes | None]:
    """Returns an exception in one line, its traceback, and what `received` makes it of; none if that is too long."""
    line = "".join(traceback.format_exception_only(error)).strip().replace("\n", " ")
    trace = "".join(traceback.format_exception(error))
    if len(trace) > LONGEST_TRACE:
        trace = "...\n" + trace[-LONGEST_TRACE:]
    try:
        reduced = error.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        if isinstance(reduced, str) or reduced[0] is not type(error):
            raise TypeError  # noqa: TRY301 (as one that pickle refuses)
        bases = [(base.__module__, base.__qualname__) for base in type(error).__mro__]
        whole = pickle.dumps((bases, *reduced[1:3]), pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001 (an exception may hold anything)
        bases = [(base.__module__, base.__qualname__) for base in type(error).__mro__]
        whole = pickle.dumps((bases, None), pickle.HIGHEST_PROTOCOL)
    return line, trace, whole if len(whole) <= LONGEST_PICKLE else None


def received(line: str, trace: str, whole: str | None, context: dict[str, Any]) -> BaseException:
    """Returns an exception that a worker has sent, with what is known of it as notes and as an attribute.

    Where its class cannot be had here, or it cannot be made as it was, it is one of the same name, below the nearest of
    its bases that can. One that would end the program, or an iteration, is a ``RuntimeError``.
    """
    error = _made(whole, line)
    key = printable(context["key"])
    if context["index"] is None:
        where = f"while {key}"
    else:
        where = f"sample {context['index']} (`{key}`), stage {context['stage']}"
    if context["at"]:
        where += f", {context['at']}"
    if context["worker"] is not None:
        where += f", worker {context['worker']}"
    error.add_note(where)
    error.add_note("Where it was raised:\n" + trace.rstrip())
    error.stokehold_sample = context | {"traceback": trace}  # type: ignore[attr-defined]
    return error


def _made(whole: str | None, line: str) -> BaseException:
    if whole is None:
        return RuntimeError(line)
    try:
        bases, *reduced = pickle.loads(bytes.fromhex(whole))
    except Exception:  # noqa: BLE001 (unpickling calls code of users)
        return RuntimeError(line)
    known = [(name, _class(*name)) for name in bases]
    nearest = next((kind for _, kind in known if kind is not None), RuntimeError)
    if not issubclass(nearest, Exception) or issubclass(nearest, StopIteration | StopAsyncIteration):
        return RuntimeError(line)
    if known[0][1] is not None and reduced[0] is not None:
        try:
            error: BaseException = nearest(*reduced[0])
            if len(reduced) > 1 and reduced[1] is not None:
                error.__dict__.update(reduced[1])
        except Exception:  # noqa: BLE001, S110 (as one that cannot be made)
            pass
        else:
            return error
    module, name = bases[0]
    # The text is the line that was sent; KeyError would show it in quotes.
    own = {"__module__": module, "__qualname__": name, "__str__": BaseException.__str__}
    stand_in = type(name.rpartition(".")[2], (nearest,), own)
    try:
        made: BaseException = stand_in(line.partition(": ")[2] or line)
    except Exception:  # noqa: BLE001 (as one that cannot be made)
        return RuntimeError(line)
    return made


def _class(module: str, name: str) -> Any:
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception:  # noqa: BLE001 (importing calls code of users)
        return None
    return found if isinstance(found, type) and issubclass(found, BaseException) else None
