"""Tasks to workers and batches back: a conversation of small messages with each worker, and the trainer's end of it.

Who may write to a slot follows from the messages: a worker from the task that brings it to its answer, or to its end.
"""

from __future__ import annotations

import pickle
import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from stokehold import _native
from stokehold.torch.failures import Unsent
from stokehold.torch.internals import ExceptionWrapper
from stokehold.torch.packing import unpack, unpack_plain
from stokehold.torch.sockets import pair
from stokehold.torch.stacks import Stacks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stokehold.torch.fetching import Bad

__all__ = ["COUNT", "IN_SLOT", "LEAVE", "PLAIN", "REST", "RESTING", "WORD", "Channel", "Gone", "Sent"]

WORD: Final = -1
"""In place of a task's number: a word of PyTorch's."""

REST: Final = -2
"""In place of a task's number: slots that nobody needs for the time being."""

LEAVE: Final = -3
"""In place of a task's number: the worker is to end, now that it has done what was asked of it before."""

COUNT: Final = -4
"""In place of a task's number: how many workers there are now."""

RESTING: Final = struct.Struct("<qqq")
"""Of each of these slots: its block, offset and size."""

IN_SLOT: Final = 1
PLAIN: Final = 2
"""How a batch comes: whether its slot is used, and which of two kinds of pickles says where its tensors are."""


class Gone(NamedTuple):
    """In place of a batch's number: the worker has ended."""

    worker: int
    channel: Channel
    """By which it was spoken to: its seat may have another one since."""


class Sent(NamedTuple):
    """What a worker was sent: a task with its slot, a word of PyTorch's at an epoch's beginning, or slots to rest."""

    number: int
    """The task's; `WORD` for a word; `REST`."""
    task: Any
    slots: list[_native.Slot]
    generation: int


class Channel:
    """The trainer's end of a worker's socket. To PyTorch's iterator it is the worker's queue of indices."""

    def __init__(self, worker: int, slots: _native.Slots, note: Callable[[list[Bad]], None] | None = None) -> None:
        self.worker = worker
        self.note = note or (lambda _: None)
        """Is told of samples that were skipped or replaced."""
        self.generation = 0
        """The number of the iteration that tasks and words belong to."""
        self.epoch = 0
        """The number of its epoch, on which random numbers depend."""
        self.sent: deque[Sent] = deque()
        """What the worker has not answered yet. It answers in this order."""
        self._slots = slots
        self._known: set[int] = set()
        self._resting: list[_native.Slot] = []
        """Those that the worker was last told to let rest."""
        self._claim: _native.Memory | None = None
        """The number of that word, for whoever is the first to put 0 there: the trainer, which then has these slots
        back at once, or the worker, which gives their pages back."""
        self._rests = 0
        end, self.worker_end = pair()
        self.end = _native.Payloads(end.detach())
        self.full = False
        """Whether something is kept until there is room in the socket."""
        self.stacks = Stacks()

    def put(self, task: Any) -> None:
        """Sends a task: a number and indices; or a word of PyTorch's, as it is."""
        end = self.end
        if end.fileno() < 0:
            # Its worker has left, and PyTorch tells all that they may end.
            return
        payload = pickle.dumps(task, 5)
        if isinstance(task, tuple) and isinstance(task[0], int):
            number = task[0]
            sent, slot = end.ask(self._slots, self.worker, self._known, number, self.epoch, payload)
            self.full = not sent
            self.sent.append(Sent(number, task, [] if slot is None else [slot], self.generation))
        else:
            self.tell(WORD, payload=payload)
            if task is not None:
                self.sent.append(Sent(WORD, task, [], self.generation))

    def tell(self, word: int, value: int = 0, payload: bytes = b"", memory: Sequence[_native.Memory] = ()) -> None:
        """Sends something in the place of a task. `LEAVE` and `COUNT` are not answered."""
        words = (word, -1, value, 0, self._slots.oldest, self.epoch)
        self.full = not self.end.send(words, payload, memory)

    def rest(self, free: list[_native.Slot]) -> list[_native.Slot]:
        """Lets the worker give pages of slots back if nothing is asked of it; returns slots that it does not know."""
        known = [slot for slot in free if slot.block in self._known]
        if self.end.fileno() < 0:
            return free
        if known:
            payload = b"".join(RESTING.pack(slot.block, slot.offset, len(slot)) for slot in known)
            for slot in known:
                slot.lend()
            claim, memory = self._claim, []
            if claim is None:
                claim = self._claim = _native.Memory(8)
                memory.append(claim)
            self._rests += 1
            claim.exchange(0, 0, self._rests)
            self._resting = known
            self.sent.append(Sent(REST, None, known, self.generation))
            self.tell(REST, self._rests, payload, memory)
        return [slot for slot in free if slot.block not in self._known]

    def recall(self) -> None:
        """Takes the slots back that rest, unless the worker gives their pages back just now."""
        if self._claim is not None and self._claim.exchange(0, self._rests, 0):
            for slot in self._resting:
                slot.returned()
            self._resting.clear()

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
        for sent in tuple(self.sent):
            for slot in sent.slots:
                slot.returned()
            sent.slots.clear()

    def cancel_join_thread(self) -> None:
        """Nothing: there is no thread."""
