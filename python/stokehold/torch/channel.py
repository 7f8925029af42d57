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

from torch._utils import ExceptionWrapper

from stokehold import _native
from stokehold.torch.memory import Segment, Space
from stokehold.torch.packing import pack, unpack
from stokehold.torch.stacks import Stacks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stokehold.torch.memory import Arena

__all__ = ["Channel", "Gone", "WorkerEnd"]

TASK = struct.Struct("<qqq")
"""To a worker: number of the slot or -1; number of the oldest slot in use; size of a pickle in the last descriptor."""

BATCH = struct.Struct("<qqqq")
"""To the trainer: number of the slot or -1; bytes used; place of a pickle in shared memory, or -1; its size."""

INLINE: Final = 16 << 10
"""The longest pickle that goes into a message."""

LONGEST: Final = 1 << 16
"""The longest message."""

DESCRIPTORS: Final = 253
"""The most descriptors of one message; the kernel's limit."""


class Gone(NamedTuple):
    """In place of a batch's number: the worker has ended."""

    worker: int


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
        try:
            size, rights, _, _ = self._end.recvmsg_into([self._buffer], self._rights, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            return None
        descriptors = array.array("i")
        for level, kind, data in rights:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        return (memoryview(self._buffer)[:size], descriptors.tolist()) if size else None


class Channel:
    """The trainer's end of a worker's socket. To PyTorch's iterator it is the worker's queue of indices."""

    def __init__(self, worker: int, arena: Arena) -> None:
        self.worker = worker
        self.pending: dict[int, tuple[Any, Segment | None]] = {}
        """The tasks that the worker has, by number: the indices, and the slot."""
        self._words: list[Any] = []
        """What else it has been sent, and has not answered: PyTorch's words for the beginning of an epoch."""
        self._arena = arena
        self._known: set[int] = set()
        self._unsent: deque[tuple[list[bytes], list[Any]]] = deque()
        self._sending = threading.Lock()
        self.end, self.worker_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.setblocking(False)
        self._receiver = _Receiver(self.end)
        self.stacks = Stacks()

    def put(self, task: Any) -> None:
        """Sends a task: a number and indices; or a word of PyTorch's, as it is."""
        slot = None
        if isinstance(task, tuple) and isinstance(task[0], int):
            slot = self._arena.take()
            self.pending[task[0]] = (task[1], slot)
        elif task is not None:
            self._words.append(task)
        payload = pickle.dumps(task, 5)
        memory: list[Any] = []
        if slot is not None and slot.number not in self._known:
            self._known.add(slot.number)
            memory.append(slot.memory)
        size = 0
        if len(payload) > INLINE:
            size = len(payload)
            memory.append(_native.Memory(size))
            memoryview(memory[-1])[:size] = payload
            payload = b""
        header = TASK.pack(-1 if slot is None else slot.number, self._arena.oldest, size)
        self._unsent.append(([header, payload], memory))
        self.flush()

    def flush(self) -> bool:
        """Sends what the socket takes; returns whether that is all."""
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

    def receive(self) -> tuple[Any, Any] | None:
        """Returns a task's number and its batch; none at the worker's end."""
        message = self._receiver.receive()
        if message is None:
            return None
        content, descriptors = message
        number, used, place, size = BATCH.unpack_from(content)
        segments = [Segment(_native.Memory.open(descriptor), -1) for descriptor in descriptors]
        slots = {slot.number: slot for _, slot in self.pending.values() if slot is not None}
        roots = [segment.bytes for segment in segments]
        if number >= 0:
            roots.insert(0, self._arena.lease(slots[number]))
        if used:
            self._arena.fit(used)
        data = content[BATCH.size :] if place < 0 else roots[-1][place : place + size].data
        answer: tuple[Any, Any] = unpack(data, roots)
        if isinstance(answer[0], int):
            _, slot = self.pending.pop(answer[0], (None, None))
            if slot is not None and number < 0:
                self._arena.give_back(slot)
        else:
            self._words.clear()
        return answer

    def close(self) -> None:
        """Ends the connection, and the worker if it is still there."""
        self.end.close()
        self.worker_end.close()
        self.stacks.close()
        self.abandon()

    def abandon(self) -> tuple[list[Any], list[tuple[int, Any]]]:
        """Forgets all words and tasks and returns them; the slots are free."""
        words, self._words = self._words, []
        tasks = [(number, indices) for number, (indices, _) in self.pending.items()]
        for _, slot in self.pending.values():
            if slot is not None:
                self._arena.give_back(slot)
        self.pending.clear()
        return words, tasks

    def cancel_join_thread(self) -> None:
        """Nothing: there is no thread."""


class WorkerEnd:
    """A worker's end of its socket. To PyTorch's worker it is both of its queues."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.space = Space(None)
        self.failed: Any = None
        """The index of the sample that failed last."""
        self._slots: dict[int, Segment] = {}
        self._receiver = _Receiver(end)

    def get(self, timeout: float | None = None) -> Any:
        """Returns the next task.

        Raises:
            queue.Empty: There was none in time.
            SystemExit: The trainer is gone.
        """
        readable = select.poll()
        readable.register(self.end, select.POLLIN)
        if not readable.poll(None if timeout is None else timeout * 1000):
            raise Empty
        message = self._receiver.receive()
        if message is None:
            raise SystemExit(0)
        content, descriptors = message
        number, oldest, size = TASK.unpack_from(content)
        data: Any = content[TASK.size :]
        if size:
            data = memoryview(_native.Memory.open(descriptors.pop()))[:size]
        if descriptors:
            self._slots[number] = Segment(_native.Memory.open(descriptors.pop()), number)
        for stale in [known for known in self._slots if known < oldest and known != number]:
            del self._slots[stale]
        self.space = Space(self._slots.get(number))
        return pickle.loads(data)

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
            payload = pack((number, ExceptionWrapper(where="when a batch was sent by a DataLoader worker")), self.space)
        used, place = self.space.used, -1
        if len(payload) > INLINE:
            at, place = self.space.place(len(payload))
            self.space.segments[at].bytes[place : place + len(payload)] = memoryview(payload)
        slot, extra = self.space.slot, self.space.extra
        in_slot = slot is not None and self.space.used > 0
        header = BATCH.pack(slot.number if in_slot and slot else -1, used, place, len(payload))
        with suppress(BrokenPipeError, ConnectionResetError):
            _send(self.end, [header, b"" if place >= 0 else payload], [segment.memory.fileno() for segment in extra])
        self.space = Space(None)

    def cancel_join_thread(self) -> None:
        """Nothing: there is no thread."""

    def close(self) -> None:
        """Ends the connection."""
        self.end.close()

    def __reduce__(self) -> Any:
        return WorkerEnd, (self.end,)
