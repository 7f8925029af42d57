"""What comes from the workers, in the order in which it comes: PyTorch's queue of results."""

from __future__ import annotations

import os
import select
import time
from collections import deque
from queue import Empty
from typing import Any

from stokehold import _native
from stokehold.torch.channel import Channel, Gone

__all__ = ["Results"]


class Results:
    """The batches of all workers, in the order in which they come. To PyTorch's iterator it is the queue of results."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []
        """Those of the workers that there are, by their seats."""
        self.generation = 0
        """The number of the epoch: what comes from an earlier one is not part of this one."""
        self._poll = select.poll()
        self._by_descriptor: dict[int, Channel] = {}
        self._full: set[Channel] = set()
        self._ready: deque[tuple[Any, Any]] = deque()
        taken = _native.StdioTaken()
        self._word = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        del taken
        self._poll.register(self._word, select.POLLIN)

    def add(self, channel: Channel) -> None:
        """Listens to a worker, perhaps in another one's place."""
        channel.generation = self.generation
        if channel.worker < len(self.channels):
            self.channels[channel.worker] = channel
        else:
            self.channels.append(channel)
        self._by_descriptor[channel.end.fileno()] = channel
        self._poll.register(channel.end, select.POLLIN)
        # A thread that is waiting already does not know of it.
        os.eventfd_write(self._word, 1)

    def advance(self) -> None:
        """Begins another epoch."""
        self.generation += 1
        for channel in self.channels:
            channel.generation = self.generation

    def put(self, word: Any) -> None:
        """Adds a word of PyTorch's own, for the thread that pins memory."""
        self._ready.append(word)
        os.eventfd_write(self._word, 1)

    def get(self, timeout: float | None = None) -> Any:
        """Returns a generation with the number of a task, and its batch; or with `Gone`, and nothing.

        Raises:
            queue.Empty: Nothing came in time.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._ready:
            for channel in tuple(self._by_descriptor.values()):
                self._listen(channel, full=not channel.flush())
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            events = self._poll.poll(None if left is None else left * 1000)
            if not events and left is not None and left <= 0:
                raise Empty
            for descriptor, event in events:
                if descriptor == self._word:
                    os.eventfd_read(self._word)
                elif event & ~select.POLLOUT:
                    self._receive(self._by_descriptor[descriptor])
        return self._ready.popleft()

    def _listen(self, channel: Channel, *, full: bool) -> None:
        """Also waits until a full socket takes more."""
        if full != (channel in self._full):
            (self._full.add if full else self._full.discard)(channel)
            self._poll.modify(channel.end, select.POLLIN | select.POLLOUT if full else select.POLLIN)

    def _receive(self, channel: Channel) -> None:
        answer = channel.receive()
        if answer is None:
            self.forget(channel)
            answer = (self.generation, Gone(channel.worker)), None
        self._ready.append(answer)

    def forget(self, channel: Channel) -> None:
        """Listens to a worker no longer."""
        if self._by_descriptor.pop(channel.end.fileno(), None) is not None:
            self._poll.unregister(channel.end)
            self._full.discard(channel)

    def cancel_join_thread(self) -> None:
        """Nothing: there is no thread."""

    def close(self) -> None:
        """Ends all connections."""
        for channel in self.channels:
            if channel.end.fileno() >= 0:
                self.forget(channel)
                channel.close()
        if self._word >= 0:
            os.close(self._word)
            self._word = -1
