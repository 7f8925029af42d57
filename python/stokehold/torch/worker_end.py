"""Tasks from the trainer and batches to it: a worker's end of the conversation in `channel`."""

from __future__ import annotations

import pickle
from multiprocessing.reduction import DupFd
from queue import Empty
from typing import Any, Final

import numpy as np
from torch.utils.data import get_worker_info

from stokehold import _native
from stokehold.torch.channel import COUNT, IN_SLOT, LEAVE, PLAIN, REST, RESTING, WORD
from stokehold.torch.failures import Unsent
from stokehold.torch.fetching import Task
from stokehold.torch.internals import ExceptionWrapper
from stokehold.torch.memory import Segment, Space
from stokehold.torch.packing import pack, pack_plain
from stokehold.torch.sockets import End

__all__ = ["WorkerEnd"]

PAUSE: Final = 1.0
"""For how many seconds there is nothing to do before the pages of those slots are given back."""

INLINE: Final = 16 << 10
"""A longer pickle of a batch lies beside the batch."""


class WorkerEnd(Task):
    """A worker's end of its socket. To PyTorch's worker it is both of its queues."""

    def __init__(self, end: End) -> None:
        super().__init__()
        self.space = Space(None)
        self._socket = end
        self._made: _native.Payloads | None = None
        self._blocks: dict[int, _native.Memory] = {}
        self._slots: dict[tuple[int, int], Segment] = {}
        self._oldest = 0
        self._forgotten = -1
        self._resting: list[tuple[int, int, int]] = []
        self._claim: _native.Memory | None = None
        self._rest = 0

    def _end(self) -> _native.Payloads:
        # Made in the worker: until then the socket may be sent to it.
        if self._made is None:
            self._made = _native.Payloads(self._socket.detach())
        return self._made

    def get(self, timeout: float | None = None) -> Any:
        """Returns the next task.

        Raises:
            queue.Empty: There was none in time.
            SystemExit: The trainer is gone, or has enough other workers.
        """
        while True:
            rests = bool(self._resting) and (timeout is None or timeout >= PAUSE)
            came = (self._made or self._end()).receive(PAUSE if rests else timeout)
            if came is None:
                raise SystemExit(0)
            if came is False:
                if rests:
                    self._give_back()
                raise Empty
            (number, block, offset, room, oldest, self.epoch), payload, memory, lost = came
            self._resting = []
            self._forget(oldest, block)
            if number == REST:
                self._resting, self._rest = list(RESTING.iter_unpack(payload)), offset
                self._claim = memory[0] if memory else self._claim
            elif number == LEAVE:
                raise SystemExit(0)
            elif number == COUNT:
                # Users cannot change it, which is what its class sees to.
                object.__setattr__(get_worker_info(), "num_workers", offset)
            elif lost is None or payload:
                self._take(block, offset, room, memory)
                return pickle.loads(payload)
            else:
                self.put((number, self._unsent(RuntimeError(f"a task's indices did not come: {lost}"))))

    def _forget(self, oldest: int, block: int) -> None:
        if oldest > self._oldest:
            self._oldest = oldest
            # Not the one of this task, which may have been taken just before.
            self._blocks = {
                known: memory for known, memory in self._blocks.items() if known >= oldest or known == block
            }
            self._slots = {where: slot for where, slot in self._slots.items() if where[0] in self._blocks}

    def _take(self, block: int, offset: int, room: int, memory: list[_native.Memory]) -> None:
        if memory:
            self._blocks[block] = memory[0]
        slot = self._slots.get((block, offset))
        if slot is None and block in self._blocks:
            slot = self._slots[block, offset] = Segment(self._blocks[block], offset, room)
        self._forgotten = block if slot is None else -1
        self.space = Space(slot)

    def _give_back(self) -> None:
        """Gives the pages of slots back that nobody has needed for a while, unless the trainer has taken them back."""
        if self._claim is not None and self._claim.exchange(0, self._rest, 0):
            for block, offset, size in self._resting:
                if block in self._blocks:
                    self._blocks[block].discard(offset, size)
        self._resting = []

    def put(self, answer: tuple[Any, Any]) -> None:
        """Sends a task's number and its batch."""
        number, value = answer
        # torchdata's has the worker and its state beside it.
        failure = value[0] if isinstance(value, tuple) and value else value
        if isinstance(failure, ExceptionWrapper):
            failure.stokehold_index, self.failed = self.failed, None
        how, offset = PLAIN, -1
        payload = None if self.bad else pack_plain(value, self.space)
        if payload is None or len(payload) > INLINE:
            how = 0
            try:
                payload, offset = self._pack((*answer, *self.bad))
            except Exception as error:  # noqa: BLE001 (whatever it is, the trainer is waiting for it)
                self.space = Space(self.space.slot)
                payload, offset = self._pack((number, self._unsent(error)))
        space = self.space
        if space.slot is not None and space.used:
            how |= IN_SLOT
        words = (number if isinstance(number, int) else WORD, how, space.used, offset, len(payload), self._forgotten)
        extra = [segment.memory for segment in space.extra] if len(space.segments) > 1 or not how & IN_SLOT else []
        self._send(words, payload if offset < 0 else b"", extra, number)
        self.space, self._forgotten, self.bad = Space(None), -1, []

    def _send(self, words: Any, payload: bytes, extra: list[_native.Memory], number: Any) -> None:
        end = self._made or self._end()
        try:
            sent = end.send(words, payload, extra)
        except OSError as error:
            # More descriptors than one message, or all sockets of this user, may have.
            self.space = Space(None)
            payload, _ = self._pack((number, self._unsent(error)))
            sent = end.send((words[0], 0, 0, -1, len(payload), self._forgotten), payload, [])
        if not sent:
            end.finish()

    def _pack(self, answer: Any) -> tuple[bytes, int]:
        """Returns an answer as bytes, and where in the last segment of the space they are; -1 where they are not."""
        payload = pack(answer, self.space)
        if len(payload) <= INLINE:
            return payload, -1
        at, offset = self.space.take(len(payload))
        self.space.segments[at].bytes[offset : offset + len(payload)] = np.frombuffer(payload, np.uint8)
        return payload, offset

    @staticmethod
    def _unsent(error: Exception) -> Unsent:
        kind = type(error), error, error.__traceback__
        return Unsent(ExceptionWrapper(kind, where="when a batch was sent by a DataLoader worker"))

    def cancel_join_thread(self) -> None:
        """Nothing: there is no thread."""

    def close(self) -> None:
        """Ends the connection."""
        if self._made is not None:
            self._made.close()
        self._socket.close()

    def __reduce__(self) -> Any:
        return _worker_end, (DupFd(self._socket.fileno()),)


def _worker_end(descriptor: Any) -> WorkerEnd:
    return WorkerEnd(End(fileno=descriptor.detach()))
