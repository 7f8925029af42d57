"""Tasks to workers and batches back: small messages over a socket for each worker.

A message is a header and a pickle. A pickle that is too large for a message goes into shared memory, so that neither
side ever waits for the other one to read.
"""

from __future__ import annotations

import array
import pickle
import select
import socket
import struct
import threading
from collections import deque
from contextlib import suppress
from queue import Empty
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stokehold import _native
from stokehold.torch.failures import Unsent
from stokehold.torch.internals import ExceptionWrapper
from stokehold.torch.memory import Block, Segment, Space
from stokehold.torch.packing import pack, unpack
from stokehold.torch.stacks import Stacks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stokehold.torch.memory import Arena

__all__ = ["WORD", "Channel", "Gone", "WorkerEnd"]

TASK = struct.Struct("<qqqqq")
"""To a worker: the slot's block or -1, offset and size; the oldest block in use; size of a pickle in a descriptor."""

BATCH = struct.Struct("<qqqqq")
"""To the trainer: the task's number; 1 if its slot is used; bytes used; place of a pickle, or -1; its size."""

INLINE: Final = 16 << 10
"""The longest pickle that goes into a message."""

LONGEST: Final = 1 << 16
"""The longest message."""

WORD: Final = -1
"""In place of a task's number."""

DESCRIPTORS: Final = 253
"""The most descriptors of one message; the kernel's limit."""


class Gone(NamedTuple):
    """In place of a batch's number: the worker has ended."""

    worker: int


class Sent(NamedTuple):
    """What a worker has been sent: a task with its slot, or a word of PyTorch's for the beginning of an epoch."""

    number: int
    """The task's; `WORD` for a word."""
    task: Any
    slot: Segment | None
    generation: int


def _send(end: socket.socket, parts: Sequence[bytes], descriptors: Sequence[int]) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    end.sendmsg(parts, rights)


class _Receiver:
    """Receives messages into memory that is used again."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._buffer = bytearray(LONGEST)
        self._rights = socket.CMSG_SPACE(DESCRIPTORS * array.array("i").itemsize)

    def receive(self) -> tuple[memoryview, list[int]] | None:
        """Returns a message and its descriptors; none at the other side's end."""
        # None of what comes may get the number of a closed standard descriptor: somebody may print just then.
        taken = _native.StdioTaken()
        try:
            received = self._receive()
        except ConnectionError:
            # Said once, where the other side has ended with messages unread. What it sent before that comes still.
            received = self._receive()
        del taken
        size, rights, _, _ = received
        descriptors = array.array("i")
        for level, kind, data in rights:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        return (memoryview(self._buffer)[:size], descriptors.tolist()) if size else None

    def _receive(self) -> Any:
        return self._end.recvmsg_into([self._buffer], self._rights, socket.MSG_CMSG_CLOEXEC)


class Channel:
    """The trainer's end of a worker's socket. To PyTorch's iterator it is the worker's queue of indices."""

    def __init__(self, worker: int, arena: Arena) -> None:
        self.worker = worker
        self.generation = 0
        """The number of the epoch that tasks and words belong to."""
        self.sent: deque[Sent] = deque()
        """What the worker has not answered yet. It answers in this order."""
        self._arena = arena
        self._known: set[int] = set()
        self._unsent: deque[tuple[list[bytes], list[Any]]] = deque()
        self._sending = threading.Lock()
        taken = _native.StdioTaken()
        self.end, self.worker_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        del taken
        self.end.setblocking(False)
        self._receiver = _Receiver(self.end)
        self.stacks = Stacks()

    def put(self, task: Any) -> None:
        """Sends a task: a number and indices; or a word of PyTorch's, as it is."""
        number = task[0] if isinstance(task, tuple) and isinstance(task[0], int) else WORD
        slot = None if number == WORD else self._arena.take()
        if task is not None:
            self.sent.append(Sent(number, task, slot, self.generation))
        payload = pickle.dumps(task, 5)
        memory: list[Any] = []
        block, size = -1, 0
        if slot is not None:
            block = slot.block.number
            if block not in self._known:
                self._known.add(block)
                memory.append(slot.block.memory)
        if len(payload) > INLINE:
            size = len(payload)
            memory.append(_native.Memory(size))
            memoryview(memory[-1])[:size] = payload
            payload = b""
        at = (slot.offset, slot.size) if slot is not None else (0, 0)
        header = TASK.pack(block, *at, self._arena.oldest, size)
        self._unsent.append(([header, payload], memory))
        self.flush()

    def flush(self) -> bool:
        """Sends what the socket takes; returns whether that is all."""
        if not self._unsent:
            return True
        # PyTorch receives in a thread of its own where it pins memory.
        with self._sending:
            while self._unsent:
                parts, memory = self._unsent[0]
                try:
                    _send(self.end, parts, [part.fileno() for part in memory])
                except BlockingIOError:
                    return False
                except OSError:
                    # The worker is gone, which is found where batches are received.
                    self._unsent.clear()
                    break
                self._unsent.popleft()
        return True

    def receive(self) -> tuple[tuple[int, Any], Any] | None:
        """Returns a generation with a task's number, and its batch; none at the worker's end."""
        message = self._receiver.receive()
        if message is None:
            return None
        content, descriptors = message
        number, in_slot, used, place, size = BATCH.unpack_from(content)
        roots = [Segment(Block(_native.Memory.open(descriptor), -1)).bytes for descriptor in descriptors]
        sent = self._answered(number)
        if sent.slot is not None:
            if in_slot:
                roots.insert(0, self._arena.lease(sent.slot))
            else:
                self._arena.give_back(sent.slot)
        if used:
            self._arena.fit(used)
        data = content[BATCH.size :] if place < 0 else roots[-1][place : place + size].data
        try:
            answer, batch = unpack(data, roots)
        except Exception:  # noqa: BLE001 (whatever it is, it is about this batch alone)
            answer = sent.task if number == WORD else number
            batch = Unsent(ExceptionWrapper(where="when a batch came from a DataLoader worker"))
        return (sent.generation, answer), batch

    def _answered(self, number: int) -> Sent:
        """Returns what an answer is to. A worker whose dataset is at its end leaves tasks before that out."""
        while True:
            sent = self.sent.popleft()
            if sent.number == number:
                return sent
            self._give_back(sent)

    def unanswered(self) -> list[Sent]:
        """Returns the tasks and words of this epoch that the worker has not answered."""
        # Where PyTorch pins memory, a thread of its own receives answers meanwhile.
        return [sent for sent in tuple(self.sent) if sent.generation == self.generation]

    def close(self) -> None:
        """Ends the connection. The worker may still write to its slots."""
        self.end.close()
        self.worker_end.close()
        self.stacks.close()

    def release(self) -> None:
        """Gives the slots of a worker back that has ended."""
        for at, sent in enumerate(self.sent):
            self.sent[at] = sent._replace(slot=None)
            self._give_back(sent)

    def _give_back(self, sent: Sent) -> None:
        if sent.slot is not None:
            self._arena.give_back(sent.slot)

    def cancel_join_thread(self) -> None:
        """Nothing: there is no thread."""


class WorkerEnd:
    """A worker's end of its socket. To PyTorch's worker it is both of its queues."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.space = Space(None)
        self.failed: Any = None
        """The index of the sample that failed last."""
        self._blocks: dict[int, Block] = {}
        self._slots: dict[tuple[int, int], Segment] = {}
        self._oldest = 0
        self._receiver = _Receiver(end)
        self._readable = select.poll()
        self._readable.register(end, select.POLLIN)

    def get(self, timeout: float | None = None) -> Any:
        """Returns the next task.

        Raises:
            queue.Empty: There was none in time.
            SystemExit: The trainer is gone.
        """
        if not self._readable.poll(None if timeout is None else timeout * 1000):
            raise Empty
        message = self._receiver.receive()
        if message is None:
            raise SystemExit(0)
        content, descriptors = message
        number, offset, room, oldest, size = TASK.unpack_from(content)
        data: Any = content[TASK.size :]
        if size:
            data = memoryview(_native.Memory.open(descriptors.pop()))[:size]
        if oldest > self._oldest:
            self._oldest = oldest
            # Not the one of this task, which may have been taken just before.
            self._blocks = {known: block for known, block in self._blocks.items() if known >= oldest or known == number}
            self._slots = {place: slot for place, slot in self._slots.items() if place[0] in self._blocks}
        if descriptors:
            self._blocks[number] = Block(_native.Memory.open(descriptors.pop()), number)
        self.space = Space(self._slot(number, offset, room) if number >= 0 else None)
        return pickle.loads(data)

    def _slot(self, number: int, offset: int, size: int) -> Segment:
        slot = self._slots.get((number, offset))
        if slot is None:
            slot = self._slots[number, offset] = Segment(self._blocks[number], offset, size)
        return slot

    def put(self, answer: tuple[Any, Any]) -> None:
        """Sends a task's number and its batch."""
        number, value = answer
        # torchdata's has the worker and its state beside it.
        failure = value[0] if isinstance(value, tuple) and value else value
        if isinstance(failure, ExceptionWrapper):
            failure.stokehold_index, self.failed = self.failed, None
        try:
            payload = pack(answer, self.space)
        except Exception:  # noqa: BLE001 (whatever it is, the trainer is waiting for it)
            self.space = Space(self.space.slot)
            unsent = Unsent(ExceptionWrapper(where="when a batch was sent by a DataLoader worker"))
            payload = pack((number, unsent), self.space)
        used, place = self.space.used, -1
        if len(payload) > INLINE:
            at, place = self.space.place(len(payload))
            self.space.segments[at].bytes[place : place + len(payload)] = memoryview(payload)
        slot, extra = self.space.slot, self.space.extra
        in_slot = slot is not None and self.space.used > 0
        header = BATCH.pack(number if isinstance(number, int) else WORD, in_slot, used, place, len(payload))
        with suppress(BrokenPipeError, ConnectionResetError):
            descriptors = [segment.block.memory.fileno() for segment in extra]
            _send(self.end, [header, b"" if place >= 0 else payload], descriptors)
        self.space = Space(None)

    def cancel_join_thread(self) -> None:
        """Nothing: there is no thread."""

    def close(self) -> None:
        """Ends the connection."""
        self.end.close()

    def __reduce__(self) -> Any:
        return WorkerEnd, (self.end,)
