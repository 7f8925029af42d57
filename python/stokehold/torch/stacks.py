"""What a worker is doing: its Python stacks, asked for from outside."""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from multiprocessing.reduction import DupFd
from typing import Any, Final

from stokehold import _native

__all__ = ["Stacks"]

ASK: Final = signal.SIGRTMAX - 3
"""The signal at which a worker writes its stacks; one that nobody is likely to use."""

READY: Final = b"\n"
"""What a worker writes when it can be asked."""

PATIENCE: Final = 1.0
"""How long a worker is waited for, in seconds."""


class Stacks:
    """A file without a name into which a worker writes its stacks."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._file = _native.nameless_file() if descriptor is None else descriptor

    def register(self) -> None:
        """Makes this process answer when it is asked, from whatever it is doing."""
        faulthandler.register(ASK, file=self._file, all_threads=True)
        # One that does not answer yet would be killed by the signal.
        os.write(self._file, READY)

    def ask(self, pid: int) -> str:
        """Returns the stacks of a worker; nothing if it does not answer."""
        before = os.fstat(self._file).st_size
        if not before:
            return "It has not begun yet.\n"
        try:
            os.kill(pid, ASK)
        except ProcessLookupError:
            return ""
        deadline = time.monotonic() + PATIENCE
        seen = before
        while time.monotonic() < deadline:
            time.sleep(0.02)
            size = os.fstat(self._file).st_size
            # It is all there when it grows no longer.
            if size > before and size == seen:
                break
            seen = size
        return os.pread(self._file, max(0, seen - before), before).decode(errors="replace")

    def fileno(self) -> int:
        """Returns the file's descriptor."""
        return self._file

    def close(self) -> None:
        """Gives the file up."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __reduce__(self) -> Any:
        return _stacks, (DupFd(self._file),)


def _stacks(descriptor: Any) -> Stacks:
    return Stacks(descriptor.detach())
