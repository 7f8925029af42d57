"""The workers of one iterator: what PyTorch's iterator takes for the module ``multiprocessing``."""

from __future__ import annotations

import itertools
import os
import pickle
import select
import socket
import time
from collections import deque
from contextlib import suppress
from multiprocessing.reduction import DupFd
from queue import Empty
from typing import TYPE_CHECKING, Any

from torch.utils.data import default_collate, get_worker_info

from stokehold import _native
from stokehold.torch.channel import Channel, Gone, WorkerEnd
from stokehold.torch.collate import MapFetcher, SlotCollate
from stokehold.torch.internals import DatasetKind
from stokehold.torch.kept import Kept
from stokehold.torch.stacks import Stacks
from stokehold.torch.template import LostError, Template

if TYPE_CHECKING:
    from collections.abc import Callable

    from stokehold.torch.loader import DataLoader

__all__ = ["Results", "Workers"]


class Flag:
    """A flag that processes share; unlike that of `multiprocessing` it has no lock that a killed worker could keep."""

    def __init__(self, memory: _native.Memory | None = None) -> None:
        self._memory = memory or _native.Memory(1)
        self._byte = memoryview(self._memory)

    def set(self) -> None:
        """Sets the flag, for good."""
        self._byte[0] = 1

    def is_set(self) -> bool:
        """Tells whether it is set."""
        return self._byte[0] != 0

    def __reduce__(self) -> Any:
        return _flag, (DupFd(self._memory.fileno()),)


def _flag(descriptor: Any) -> Flag:
    return Flag(_native.Memory.open(descriptor.detach()))


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
        self._word = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
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


class Worker:
    """A worker's process, and the trainer's end of its socket."""

    def __init__(self, process: Any, channel: Channel, pool: Workers) -> None:
        self.__dict__.update(_process=process, _channel=channel, _pool=pool)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._process, name, value)

    def start(self) -> None:
        """Starts the worker."""
        try:
            self._process.start()
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            for name in _unpicklable(self._pool.dataset):
                error.add_note(
                    f"stokehold: the dataset's attribute `{name}` cannot be sent to a worker that is spawned"
                )
            raise
        # The last one that holds it is the worker, so that its end is seen.
        self._channel.worker_end.close()
        self._pool.started()


def _unpicklable(value: object) -> list[str]:
    """Returns the attributes of an object that cannot be pickled."""
    found = []
    for name, attribute in getattr(value, "__dict__", {}).items():
        try:
            pickle.dumps(attribute)
        except Exception:  # noqa: BLE001 (any object may raise anything)
            found.append(name)
    return found


class Workers:
    """Makes what PyTorch's iterator asks ``multiprocessing`` for, in the order in which it asks."""

    def __init__(self, context: Any, loader: DataLoader[Any], *, restarts: bool) -> None:
        self.dataset = loader.dataset
        self.results = Results()
        self._context = context
        self._arena = loader._arena
        self._made: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._asked = False
        self._left = itertools.count(loader.num_workers - 1, -1)
        self._forks = context.get_start_method() == "fork"
        self._restarts = restarts
        self._template: Template | None = None
        self._kept = Kept(loader.dataset, loader.collate_fn, loader.worker_init_fn)

    def Queue(self) -> Results | Channel:  # noqa: N802 (the name that is asked for)
        """Returns the queue of results, and from then on a queue of indices for each worker."""
        if not self._asked:
            self._asked = True
            return self.results
        channel = Channel(len(self.results.channels), self._arena)
        self.results.add(channel)
        return channel

    def Event(self) -> Flag:  # noqa: N802 (the name that is asked for)
        """Returns a flag."""
        return Flag()

    def Process(self, target: Callable[..., None], args: tuple[Any, ...]) -> Worker:  # noqa: N802
        """Returns a worker that is yet to be started."""
        self._made.append((target, args))
        # torchdata's may start several at a time.
        channel = next(each for each in args if isinstance(each, Channel))
        return Worker(self._process(channel, target, args), channel, self)

    def started(self) -> None:
        """Notes that a worker has been started. With the last one, what they began with is kept for others."""
        if next(self._left) == 0 and self._restarts and self._forks:
            self._template = Template(self._context, self._begin, self._open())

    def again(self, worker: int) -> tuple[Channel, Any]:
        """Starts a worker in the place of one that has ended, with what that one began with.

        Raises:
            LostError: That is not to be had any more, or could not be kept.
        """
        channel = Channel(worker, self._arena)
        try:
            process = self._replacement(channel)
        except BaseException:
            channel.close()
            raise
        channel.worker_end.close()
        self.results.add(channel)
        return channel, process

    def _replacement(self, channel: Channel) -> Any:
        if self._template is not None:
            return self._template.fork(channel.worker, channel.worker_end.fileno(), channel.stacks.fileno())
        if not self._kept.is_kept:
            raise LostError("what the dataset holds on a device, or shares by file names, was not kept as it was")
        target, args = self._made[channel.worker]
        process = self._process(channel, target, args)
        process.daemon = True
        process.start()
        return process

    def leave(self) -> None:
        """Lets what is kept for workers go, when they have ended."""
        if self._template is not None:
            self._template.leave()

    def close(self) -> None:
        """Ends all connections, and lets go what is kept."""
        self.results.close()
        self._kept.close()
        if self._template is not None:
            self._template.close()
            self._template = None

    def _open(self) -> list[socket.socket]:
        """Returns what a forked process inherits that would hide the trainer's end."""
        return [each.end for each in self.results.channels] if self._forks else []

    def _process(self, channel: Channel, target: Callable[..., None], args: tuple[Any, ...]) -> Any:
        end = WorkerEnd(channel.worker_end)
        given = _with_end(args, end)
        if self._restarts and not self._forks:
            given = tuple(map(self._kept.stands_for, given))
        return self._context.Process(target=work, args=(target, given, end, self._open(), channel.stacks))

    def _begin(self, seat: int, end: int, stacks: int) -> None:
        """Runs a worker, in a process that the template has forked."""
        worker_end = WorkerEnd(socket.socket(fileno=end))
        target, args = self._made[seat]
        work(target, _with_end(args, worker_end), worker_end, [], Stacks(stacks))


def _with_end(args: tuple[Any, ...], end: WorkerEnd) -> tuple[Any, ...]:
    """Returns the arguments of PyTorch's loop with a worker's own end of its queues."""
    return tuple(end if isinstance(each, Channel | Results) else each for each in args)


def work(
    target: Callable[..., None],
    args: tuple[Any, ...],
    end: WorkerEnd,
    inherited: list[socket.socket],
    stacks: Stacks,
) -> None:
    """Runs PyTorch's loop of a worker, with batches that are made in slots."""
    stacks.register()
    if os.sched_getscheduler(0) == os.SCHED_OTHER:
        # A task wakes its worker, which as it is would take the trainer's processor from it, even beside an idle one.
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    for each in inherited:
        each.close()
    # Where it was sent by pickle, each mention is the same object still.
    arguments = [SlotCollate(end) if each is default_collate else each for each in args]
    create = DatasetKind.create_fetcher

    def create_fetcher(kind: int, dataset: Any, *others: Any) -> Any:
        worker = get_worker_info()
        # A loader in the worker has its own dataset.
        if kind == DatasetKind.Map and worker is not None and dataset is worker.dataset:
            return MapFetcher(end, dataset, *others)
        return create(kind, dataset, *others)

    DatasetKind.create_fetcher = staticmethod(create_fetcher)
    target(*arguments)
