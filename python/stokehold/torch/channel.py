"""Tasks to workers and batches back: a conversation of small messages with each worker.

Who may write to a slot follows from the messages: a worker from the task that brings it to its answer, or to its end.
"""

from __future__ import annotations

import pickle
import socket
import struct
from collections import deque
from multiprocessing.reduction import DupFd
from queue import Empty
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from stokehold import _native
from stokehold.torch.failures import Unsent
from stokehold.torch.fetching import Bad, Task
from stokehold.torch.internals import ExceptionWrapper
from stokehold.torch.memory import Segment, Space
from stokehold.torch.packing import pack, pack_plain, unpack, unpack_plain
from stokehold.torch.stacks import Stacks

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WORD", "Channel", "Gone", "Sent", "WorkerEnd"]

WORD: Final = -1
"""In place of a task's number: a word of PyTorch's."""

REST: Final = -2
"""In place of a task's number: slots that nobody needs for the time being."""

RESTING: Final = struct.Struct("<qqq")
"""Of each of these slots: its block, offset and size."""

PAUSE: Final = 1.0
"""For how many seconds there is nothing to do before the pages of those slots are given back."""

IN_SLOT: Final = 1
PLAIN: Final = 2
"""How a batch comes: whether its slot is used, and which of two kinds of pickles says where its tensors are."""

INLINE: Final = 16 << 10
"""A longer pickle of a batch lies beside the batch."""

NO_SLOT: Final = (-1, 0, 0)


class Gone(NamedTuple):
    """In place of a batch's number: the worker has ended."""

    worker: int


class Sent(NamedTuple):
    """What a worker was sent: a task with its slot, a word of PyTorch's at an epoch's beginning, or slots to rest."""

    number: int
    """The task's; `WORD` for a word; `REST`."""
    task: Any
    slots: tuple[_native.Slot, ...]
    generation: int


class Channel:
    """The trainer's end of a worker's socket. To PyTorch's iterator it is the worker's queue of indices."""

    def __init__(self, worker: int, slots: _native.Slots, note: Callable[[list[Bad]], None] | None = None) -> None:
        self.worker = worker
        self.note = note or (lambda _: None)
        """Is told of samples that were skipped or replaced."""
        self.generation = 0
        """The number of the epoch that tasks and words belong to."""
        self.sent: deque[Sent] = deque()
        """What the worker has not answered yet. It answers in this order."""
        self._slots = slots
        self._known: set[int] = set()
        taken = _native.StdioTaken()
        end, self.worker_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        del taken
        self.end = _native.Payloads(end.detach())
        self.full = False
        """Whether something is kept until there is room in the socket."""
        self.stacks = Stacks()

    def put(self, task: Any) -> None:
        """Sends a task: a number and indices; or a word of PyTorch's, as it is."""
        number = task[0] if isinstance(task, tuple) and isinstance(task[0], int) else WORD
        payload = pickle.dumps(task, 5)
        slot = self._take() if number != WORD else None
        if slot is None or not self._send(number, task, payload, slot):
            self._send(number, task, payload, None)

    def _take(self) -> _native.Slot | None:
        try:
            return self._slots.take()
        except OSError:
            # The worker, which may have descriptors left, finds memory for the batch.
            return None

    def _send(self, number: int, task: Any, payload: bytes, slot: _native.Slot | None) -> bool:
        """Sends a task; returns whether that worked, which without a slot it does or raises."""
        where, memory = NO_SLOT, []
        if slot is not None:
            where = slot.block, slot.offset, len(slot)
            if slot.block not in self._known:
                memory.append(slot.memory)
            slot.lend()
        try:
            self.full = not self.end.send((number, *where, self._slots.oldest, self.generation), payload, memory)
        except OSError:
            if slot is None:
                raise
            # There are too many descriptors on their way.
            slot.returned()
            return False
        if task is not None:
            self.sent.append(Sent(number, task, () if slot is None else (slot,), self.generation))
        self._known.update(where[:1])
        return True

    def rest(self, free: list[_native.Slot]) -> list[_native.Slot]:
        """Lets the worker give pages of slots back if nothing is asked of it; returns slots that it does not know."""
        known = [slot for slot in free if slot.block in self._known]
        if known:
            payload = b"".join(RESTING.pack(slot.block, slot.offset, len(slot)) for slot in known)
            for slot in known:
                slot.lend()
            self.sent.append(Sent(REST, None, tuple(known), self.generation))
            self.full = not self.end.send((REST, *NO_SLOT, self._slots.oldest, self.generation), payload, [])
        return [slot for slot in free if slot.block not in self._known]

    def flush(self) -> bool:
        """Sends what the socket takes; returns whether that is all."""
        self.full = self.full and not self.end.flush()
        return not self.full

    def receive(self) -> tuple[tuple[int, Any], Any] | Literal[False] | None:
        """Returns a generation with a task's number, and its batch; false if none came, none at the worker's end."""
        came = self.end.receive(0)
        if came is None or came is False:
            return came
        (number, how, used, offset, size, forgotten), payload, memory, lost = came
        sent = self._answered(number)
        if used:
            self._slots.learn(used)
        # The descriptor of this block did not reach the worker.
        self._known.discard(forgotten)
        answer = sent.task if number == WORD else number
        roots: list[Any] = [*sent.slots, *memory] if how & IN_SLOT else memory
        try:
            if lost is not None:
                raise RuntimeError(f"a batch's memory did not come from its worker: {lost}")  # noqa: TRY301
            data = payload if offset < 0 else memoryview(roots[-1])[offset : offset + size]
            if how & PLAIN:
                batch = unpack_plain(data, roots)
            else:
                answer, batch, *bad = unpack(data, roots)
                if bad:
                    self.note(bad)
        except Exception:  # noqa: BLE001 (whatever it is, it is about this batch alone)
            batch = Unsent(ExceptionWrapper(where="when a batch came from a DataLoader worker"))
        return (sent.generation, answer), batch

    def _answered(self, number: int) -> Sent:
        """Returns what an answer is to. A worker whose dataset is at its end leaves tasks before that out."""
        while True:
            sent = self.sent.popleft()
            for slot in sent.slots:
                slot.returned()
            if sent.number == number:
                return sent

    def unanswered(self) -> list[Sent]:
        """Returns the tasks and words of this epoch that the worker has not answered."""
        # Where PyTorch pins memory, a thread of its own receives answers meanwhile.
        return [sent for sent in tuple(self.sent) if sent.generation == self.generation and sent.number != REST]

    def close(self) -> None:
        """Ends the connection. Unless they are released, the slots that the worker has are lost with this."""
        self.end.close()
        self.worker_end.close()
        self.stacks.close()

    def release(self) -> None:
        """Takes the slots of a worker back that has ended."""
        for at, sent in enumerate(self.sent):
            for slot in sent.slots:
                slot.returned()
            self.sent[at] = sent._replace(slots=())

    def cancel_join_thread(self) -> None:
        """Nothing: there is no thread."""


class WorkerEnd(Task):
    """A worker's end of its socket. To PyTorch's worker it is both of its queues."""

    def __init__(self, end: socket.socket) -> None:
        super().__init__()
        self.space = Space(None)
        self._socket = end
        self._made: _native.Payloads | None = None
        self._blocks: dict[int, _native.Memory] = {}
        self._slots: dict[tuple[int, int], Segment] = {}
        self._oldest = 0
        self._forgotten = -1
        self._resting: list[tuple[int, int, int]] = []

    def _end(self) -> _native.Payloads:
        # Made in the worker: until then the socket may be sent to it.
        if self._made is None:
            self._made = _native.Payloads(self._socket.detach())
        return self._made

    def get(self, timeout: float | None = None) -> Any:
        """Returns the next task.

        Raises:
            queue.Empty: There was none in time.
            SystemExit: The trainer is gone.
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
            (number, block, offset, room, oldest, self.generation), payload, memory, lost = came
            self._resting = []
            self._forget(oldest, block)
            if number == REST:
                self._resting = list(RESTING.iter_unpack(payload))
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
        """Gives the pages of slots back that nobody has needed for a while."""
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
    return WorkerEnd(socket.socket(fileno=descriptor.detach()))
