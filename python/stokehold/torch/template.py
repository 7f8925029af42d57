"""Workers in the place of others, forked from a process that is as the trainer was when the first ones were."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
import threading
from contextlib import suppress
from multiprocessing import current_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stokehold import _native
from stokehold.torch.internals import CHECK_INTERVAL
from stokehold.torch.results import watched
from stokehold.torch.sockets import pair

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Forked", "LostError", "Template"]

NUMBER: Final = struct.Struct("<q")
"""To the template: a seat. To the trainer: a worker's process id, and later how it ended."""

PATIENCE: Final = 60.0
"""How long a fork may take, in seconds: that of a large trainer on a busy machine."""

MOMENT: Final = 1.0
"""How long what takes no time may take, in seconds, before it is taken for stuck."""


class LostError(RuntimeError):
    """There is nothing left of what a worker would begin with."""


class Template:
    """A process that does nothing but fork workers.

    It is a fork of the trainer, as the first workers are and at the same moment, so it has all that they began with. It
    shares their memory, and what the trainer writes later it does not see.

    Args:
        context: What processes are made by; its start method is fork.
        begin: Makes a seat's worker, in its own process, of the descriptors of its socket and of its stacks.
        inherited: What the trainer has open that would hide its end from workers.
    """

    def __init__(self, context: Any, begin: Callable[[int, int, int], None], inherited: Sequence[Any]) -> None:
        self._end, end = pair()
        parent = os.getpid(), threading.get_native_id() == os.getpid()
        self._process = context.Process(target=_serve, args=(context, begin, end, [self._end, *inherited], parent))
        self._process.daemon = True
        taken = _native.StdioTaken()
        self._process.start()
        del taken
        end.close()

    def fork(self, seat: int, end: int, stacks: int) -> Forked:
        """Forks a worker.

        Raises:
            LostError: The template has ended.
        """
        taken = _native.StdioTaken()
        told, tells = os.pipe()
        del taken
        try:
            with suppress(OSError):
                socket.send_fds(self._end, [NUMBER.pack(seat)], [end, stacks, tells])
        finally:
            os.close(tells)
        return Forked(told)

    def leave(self) -> None:
        """Lets it end, when its workers have."""
        # Its socket's end may be hidden by processes that the trainer has forked since.
        with suppress(OSError):
            self._end.send(b"")

    def close(self) -> None:
        """Waits until it has ended."""
        self.leave()
        self._end.close()
        self._process.join(timeout=MOMENT)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(timeout=MOMENT)


class Forked:
    """A worker that the template has forked, with what PyTorch asks a process of `multiprocessing` for."""

    daemon = True

    def __init__(self, told: int) -> None:
        self._told = told
        self._code: int | None = None
        self._ended = select.poll()
        pid = self._listen(PATIENCE)
        if pid is None:
            os.close(told)
            raise LostError("the process that keeps the dataset as it was has ended, or can start no other")
        self.pid = pid
        self._handle = watched(pid)
        # Where there is no such descriptor, the template tells.
        self._ended.register(self._handle if self._handle >= 0 else told, select.POLLIN)

    @property
    def exitcode(self) -> int | None:
        """How it ended, as `multiprocessing` says it; none as long as it runs."""
        self.join(0)
        return self._code

    def is_alive(self) -> bool:
        """Tells whether it runs."""
        return self.exitcode is None

    def join(self, timeout: float | None = None) -> None:
        """Waits until it has ended, or for so many seconds."""
        if self._code is None and self._ended.poll(None if timeout is None else timeout * 1000):
            self._finish()

    def terminate(self) -> None:
        """Sends it SIGTERM."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends it SIGKILL."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self.exitcode is None:
            with suppress(ProcessLookupError):
                # The template has not taken its status yet, or would have told: the number is nobody else's.
                os.kill(self.pid, number) if self._handle < 0 else signal.pidfd_send_signal(self._handle, number)

    def _finish(self) -> None:
        code = self._listen(MOMENT)
        # As of a process whose end `multiprocessing` has not seen.
        self._code = 255 if code is None else code
        os.close(self._told)
        if self._handle >= 0:
            os.close(self._handle)

    def _listen(self, seconds: float) -> int | None:
        """Returns what the template says next; none if it has ended, or says nothing."""
        readable = select.poll()
        readable.register(self._told, select.POLLIN)
        if not readable.poll(seconds * 1000):
            return None
        said = os.read(self._told, NUMBER.size)
        return NUMBER.unpack(said)[0] if said else None


class _Server:
    """The template's own side."""

    def __init__(self, context: Any, begin: Callable[[int, int, int], None], end: socket.socket) -> None:
        self._context = context
        self._begin = begin
        self._end = end
        self._workers: dict[int, tuple[Any, int]] = {}
        # Ctrl-C is for the trainer, and workers decide for themselves.
        self._handlers = {
            number: signal.signal(number, handler)
            for number, handler in ((signal.SIGINT, signal.SIG_IGN), (signal.SIGTERM, _leave))
        }

    def serve(self) -> None:
        """Forks what it is asked for, and says how that ended, until the trainer has had enough or is gone."""
        trainer = os.getppid()
        while True:
            ready = wait([self._end, *self._workers], CHECK_INTERVAL)
            self._bury(handle for handle in ready if handle is not self._end)
            if self._end in ready:
                message, descriptors, _, _ = socket.recv_fds(self._end, NUMBER.size, 3)
                if not message:
                    break
                self._fork(NUMBER.unpack(message)[0], *descriptors)
            elif os.getppid() != trainer:
                break
        while self._workers and (ready := wait(list(self._workers), CHECK_INTERVAL)):
            self._bury(ready)

    def end_all(self) -> None:
        """Ends the workers that there are still."""
        for process, _ in self._workers.values():
            process.kill()

    def _fork(self, seat: int, end: int, stacks: int, tells: int) -> None:
        process = self._context.Process(target=self._run, args=(seat, end, stacks, tells))
        process.daemon = True
        try:
            process.start()
        except OSError:
            # The trainer sees that nothing is said.
            os.close(tells)
        else:
            os.write(tells, NUMBER.pack(process.pid))
            handle = watched(process.pid)
            self._workers[handle if handle >= 0 else os.dup(process.sentinel)] = process, tells
        os.close(end)
        os.close(stacks)

    def _run(self, seat: int, end: int, stacks: int, tells: int) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._end.close()
        for handle, (_, other) in self._workers.items():
            os.close(handle)
            os.close(other)
        os.close(tells)
        self._begin(seat, end, stacks)

    def _bury(self, handles: Any) -> None:
        for handle in list(handles):
            process, tells = self._workers.pop(handle)
            process.join()
            with suppress(BrokenPipeError):
                os.write(tells, NUMBER.pack(process.exitcode))
            os.close(tells)
            os.close(handle)


def _serve(
    context: Any,
    begin: Callable[[int, int, int], None],
    end: socket.socket,
    inherited: list[Any],
    parent: tuple[int, bool],
) -> None:
    _native.Posture(*parent)
    for each in inherited:
        each.close()
    with suppress(OSError):
        Path("/proc/self/comm").write_text("stokehold-templ")
    # A process that ends with the trainer may have no others, by itself.
    current_process().daemon = False
    server = _Server(context, begin, end)
    try:
        server.serve()
    finally:
        server.end_all()
        # What the trainer would do at its own end is not for this process to do.
        os._exit(0)


def _leave(*_: object) -> None:
    sys.exit(0)
