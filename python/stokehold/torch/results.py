"""What comes from the workers, in the order in which it comes: PyTorch's queue of results."""

from __future__ import annotations

import os
import select
import time
from collections import deque
from contextlib import suppress
from queue import Empty
from typing import TYPE_CHECKING, Any

from stokehold import _native
from stokehold.torch.channel import Channel, Gone

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Results", "watched"]


class Results:
    """The batches of all workers, in the order in which they come. To PyTorch's iterator it is the queue of results."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        """Those of the workers that there are, by their seats."""
        self.generation = 0
        """The number of the iteration: what comes from an earlier one is not part of this one."""
        self._epoch = 0
        self._poll = select.poll()
        self._heard: dict[int, tuple[Channel, Callable[[Channel], object]]] = {}
        self._ends: dict[Channel, int] = {}
        self._ready: deque[tuple[Any, Any]] = deque()
        taken = _native.StdioTaken()
        self._bell, self._rings = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        del taken
        self._poll.register(self._bell, select.POLLIN)

    def add(self, channel: Channel) -> None:
        """Listens to a worker, perhaps in another one's place."""
        channel.generation, channel.epoch = self.generation, self._epoch
        if channel.worker < len(self.channels):
            self.channels[channel.worker] = channel
        else:
            self.channels.append(channel)
        self._listen(channel.end.fileno(), channel, self._receive)

    def watch(self, channel: Channel, pid: int) -> None:
        """Notices the end of a worker's process, which a process that it has started may hide."""
        end = watched(pid)
        if end >= 0:
            self._ends[channel] = end
            self._listen(end, channel, self._ended)

    def _listen(self, descriptor: int, channel: Channel, what: Callable[[Channel], object]) -> None:
        self._heard[descriptor] = channel, what
        self._poll.register(descriptor, select.POLLIN)
        # A thread that is waiting already does not know of it.
        self._ring()

    def _ring(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._rings, b"!")

    def advance(self, epoch: int) -> None:
        """Begins another iteration, over the epoch of this number."""
        self.generation += 1
        self._epoch = epoch
        for channel in self.channels:
            channel.generation, channel.epoch = self.generation, epoch

    def put(self, word: Any) -> None:
        """Adds a word of PyTorch's own, for the thread that pins memory."""
        self._ready.append(word)
        self._ring()

    def get(self, timeout: float | None = None) -> Any:
        """Returns a generation with the number of a task, and its batch; or with `Gone`, and nothing.

        Raises:
            queue.Empty: Nothing came in time.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._ready:
            self._flush()
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            events = self._poll.poll(None if left is None else left * 1000)
            if not events and left is not None and left <= 0:
                raise Empty
            for descriptor, event in events:
                if descriptor == self._bell:
                    os.read(self._bell, 4096)
                elif event & ~select.POLLOUT and descriptor in self._heard:
                    channel, what = self._heard[descriptor]
                    what(channel)
        return self._ready.popleft()

    def _flush(self) -> None:
        """Sends what sockets take, and waits for room in those that are full."""
        for channel in self.channels:
            if channel.full and channel.end.fileno() in self._heard:
                full = not channel.flush()
                self._poll.modify(channel.end.fileno(), select.POLLIN | select.POLLOUT if full else select.POLLIN)

    def _receive(self, channel: Channel) -> bool:
        """Takes in one message; tells whether there was one."""
        answer = channel.receive()
        if answer is None:
            self._gone(channel)
        elif not isinstance(answer, bool):
            self._ready.append(answer)
        return bool(answer)

    def _ended(self, channel: Channel) -> None:
        while channel.end.fileno() in self._heard:
            # What it has sent before comes first.
            if not self._receive(channel) and channel.end.fileno() in self._heard:
                self._gone(channel)

    def _gone(self, channel: Channel) -> None:
        self.forget(channel)
        self._ready.append(((self.generation, Gone(channel.worker, channel)), None))

    def forget(self, channel: Channel) -> None:
        """Listens to a worker no longer."""
        end = self._ends.pop(channel, -1)
        for descriptor in (channel.end.fileno(), end):
            if self._heard.pop(descriptor, None) is not None:
                self._poll.unregister(descriptor)
        if end >= 0:
            os.close(end)

    def cancel_join_thread(self) -> None:
        """Nothing: there is no thread."""

    def close(self) -> None:
        """Ends all connections."""
        for channel in self.channels:
            self.forget(channel)
            channel.close()
        if self._bell >= 0:
            os.close(self._bell)
            os.close(self._rings)
            self._bell = self._rings = -1


def watched(pid: int) -> int:
    """Returns a descriptor that can be read once a process has ended; -1 where there is none to be had."""
    taken = _native.StdioTaken()
    try:
        return os.pidfd_open(pid)
    except (OSError, ValueError):
        return -1
    finally:
        del taken
