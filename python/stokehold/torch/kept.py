"""What workers are given that are not forked, as it was when the first of them started: a pickle that is used again."""

from __future__ import annotations

import io
import os
import pickle
import threading
from multiprocessing.context import get_spawning_popen, set_spawning_popen
from multiprocessing.reduction import DupFd, ForkingPickler
from typing import Any

import torch

__all__ = ["Kept"]

_restoring = threading.local()


class _UnkeepableError(Exception):
    """Nothing that a pickle can be made of once, and read from several times."""


class _Pickler(ForkingPickler):
    """Pickles as `multiprocessing` does."""

    def reducer_override(self, value: object) -> Any:
        if isinstance(value, torch.Tensor | torch.UntypedStorage):
            # The memory of both is counted by who receives it.
            if value.device.type != "cpu":
                raise _UnkeepableError
            if torch.multiprocessing.get_sharing_strategy() == "file_system":
                raise _UnkeepableError
        return NotImplemented


class _Descriptors:
    """What is pickled takes this for the process that is being started; it keeps the descriptors."""

    def __init__(self) -> None:
        self.kept: list[int] = []

    def duplicate_for_child(self, descriptor: int) -> int:
        """Returns a descriptor to be kept."""
        return os.dup(descriptor)

    def DupFd(self, descriptor: int) -> _Descriptor:  # noqa: N802 (the name that is asked for)
        """Returns what is pickled in a descriptor's stead."""
        self.kept.append(descriptor)
        return _Descriptor(len(self.kept) - 1)


class _Descriptor:
    """One of the descriptors that go with a pickle."""

    def __init__(self, position: int) -> None:
        self._position = position

    def detach(self) -> int:
        """Returns the descriptor, in the worker."""
        found: int = _restoring.descriptors[self._position]
        return found


class Kept:
    """Values that are pickled once, when the first worker is started, and are the same for all that start later."""

    def __init__(self, *values: Any) -> None:
        self._values = values
        self._pickle: bytes | None = None
        self._descriptors: list[int] = []
        self.is_kept = True
        """Whether that was possible."""

    def stands_for(self, value: Any) -> Any:
        """Returns what is pickled in a value's stead: for one of these values, or for a list of one of them."""
        if type(value) is list and len(value) == 1:
            return [self.stands_for(value[0])]
        return next((_Part(self, at) for at, each in enumerate(self._values) if each is value), value)

    def close(self) -> None:
        """Gives the descriptors up."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def __reduce__(self) -> Any:
        if self._pickle is None and self.is_kept:
            self._keep()
        if self._pickle is None:
            return tuple, (self._values,)
        return _restored, (self._pickle, [DupFd(descriptor) for descriptor in self._descriptors])

    def _keep(self) -> None:
        starting, descriptors, file = get_spawning_popen(), _Descriptors(), io.BytesIO()
        set_spawning_popen(descriptors)  # type: ignore[arg-type]
        self._descriptors = descriptors.kept
        try:
            _Pickler(file, pickle.HIGHEST_PROTOCOL).dump(self._values)
        except _UnkeepableError:
            self.is_kept = False
        else:
            self._pickle = file.getvalue()
        finally:
            set_spawning_popen(starting)


class _Part:
    """One of the values that are kept."""

    def __init__(self, kept: Kept, position: int) -> None:
        self._kept = kept
        self._position = position

    def __reduce__(self) -> Any:
        return _part, (self._kept, self._position)


def _restored(pickled: bytes, descriptors: list[Any]) -> Any:
    _restoring.descriptors = [each.detach() for each in descriptors]
    return pickle.loads(pickled)


def _part(values: tuple[Any, ...], position: int) -> Any:
    return values[position]
