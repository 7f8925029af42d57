"""The workers of one iterator: what PyTorch's iterator takes for the module ``multiprocessing``."""

from __future__ import annotations

import atexit
import multiprocessing.process
import os
import pickle
import threading
import time
import weakref
from contextlib import suppress
from inspect import signature
from multiprocessing.reduction import DupFd
from typing import TYPE_CHECKING, Any, Final

from torch.utils.data import default_collate, get_worker_info

from stokehold import _native
from stokehold.torch.channel import COUNT, Channel
from stokehold.torch.collate import SlotCollate
from stokehold.torch.fetching import MapFetcher, Policy
from stokehold.torch.internals import DatasetKind
from stokehold.torch.kept import Kept
from stokehold.torch.results import Results
from stokehold.torch.sockets import End
from stokehold.torch.stacks import Stacks
from stokehold.torch.template import LostError, Template
from stokehold.torch.worker_end import WorkerEnd

if TYPE_CHECKING:
    from collections.abc import Callable

    from stokehold.torch.loader import DataLoader

__all__ = ["Workers"]

GRACE: Final = 2.0
"""How many seconds workers may take to end by themselves, all together."""

PATIENCE: Final = 1.0
"""How many seconds they may take to end after a signal."""


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


class Worker:
    """A worker's process, and the trainer's end of its socket."""

    def __init__(self, process: Any, channel: Channel, pool: Workers) -> None:
        self.__dict__.update(_process=process, _channel=channel, _pool=pool, has_started=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._process, name, value)

    def start(self) -> None:
        """Starts the worker, with standard descriptors also where this process has none."""
        taken = _native.StdioTaken()
        try:
            self._process.start()
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            for name in _unpicklable(self._pool.dataset):
                error.add_note(
                    f"stokehold: the dataset's attribute `{name}` cannot be sent to a worker that is spawned"
                )
            raise
        del taken
        # The last one that holds it is the worker, so that its end is seen.
        self._channel.worker_end.close()
        self.has_begun()

    def has_begun(self) -> None:
        """Says that there is a process."""
        self.__dict__["has_started"] = True
        self._pool.results.watch(self._channel, self._process.pid)

    def release(self) -> None:
        """Takes its slots back, now that it has ended."""
        self._channel.release()

    def join(self, timeout: float | None = None) -> None:
        """Waits for its end; when all are to end, not longer than all may take together."""
        if self._pool.deadline is not None:
            left = max(0.0, self._pool.deadline - time.monotonic())
            timeout = left if timeout is None else min(timeout, left)
        self._process.join(timeout)


def end(processes: list[Any]) -> list[Any]:
    """Ends processes, in seconds and whatever they are doing; returns those that the kernel does not let end."""
    for send, handles in (("terminate", True), ("kill", False)):
        running = [process for process in processes if process.is_alive()]
        deadline = time.monotonic() + (PATIENCE if running else 0)
        for process in running:
            with suppress(ProcessLookupError):
                getattr(process, send)()
        for process in running:
            process.join(timeout=max(0.0, deadline - time.monotonic()))
        if not handles:
            # One that waits for a device ends when that answers. Nobody waits for it, at the interpreter's end neither.
            stuck = [process for process in running if process.is_alive()]
            for process in stuck:
                multiprocessing.process._children.discard(getattr(process, "_process", process))  # type: ignore[attr-defined]
            return stuck
    return []


_pools: weakref.WeakSet[Workers] = weakref.WeakSet()
"""Those whose workers may run."""


@atexit.register
def _end_all() -> None:
    """Ends all workers before `multiprocessing` does, which would wait for them as long as they live."""
    for pool in list(_pools):
        pool.end_processes()


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
        self.deadline: float | None = None
        """Until when workers may end by themselves, when all are to."""
        self._owner = os.getpid()
        self._all: list[Worker] = []
        self._context = context
        self._slots = loader._slots
        self._note = loader._note
        self._policy = loader._policy
        self._made: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._asked = False
        self._forks = context.get_start_method() == "fork"
        self._restarts = restarts
        self._template: Template | None = None
        self.count: int | None = None
        """How many workers there are, if that is not how many there were at first."""
        self._kept = Kept(loader.dataset, loader.collate_fn, loader.worker_init_fn)
        _pools.add(self)

    def Queue(self) -> Results | Channel:  # noqa: N802 (the name that is asked for)
        """Returns the queue of results, and from then on a queue of indices for each worker."""
        if not self._asked:
            self._asked = True
            return self.results
        channel = Channel(len(self.results.channels), self._slots, self._note)
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
        self._all.append(Worker(self._process(channel, target, args), channel, self))
        return self._all[-1]

    def keep(self) -> None:
        """Keeps what the workers began with, for others. Now that they have tasks, they need not wait for it."""
        if self._restarts and self._forks and self._template is None:
            self._template = Template(self._context, self._begin, self._open())

    def again(self, worker: int) -> tuple[Channel, Worker]:
        """Starts a worker in the place of one that has ended, or in a new one, with what the first ones began with.

        Raises:
            LostError: That is not to be had any more, or could not be kept.
        """
        channel = Channel(worker, self._slots, self._note)
        try:
            process = Worker(self._replacement(channel), channel, self)
        except BaseException:
            channel.close()
            raise
        channel.worker_end.close()
        self._all[worker : worker + 1] = [process]
        self.results.add(channel)
        if self.count is not None:
            channel.tell(COUNT, self.count)
        process.has_begun()
        return channel, process

    def _replacement(self, channel: Channel) -> Any:
        self.keep()
        if self._template is not None:
            return self._template.fork(channel.worker, channel.worker_end.fileno(), channel.stacks.fileno())
        if not self._kept.is_kept:
            raise LostError("what the dataset holds on a device, or shares by file names, was not kept as it was")
        target, args = self._given(channel.worker)
        process = self._process(channel, target, args)
        process.daemon = True
        process.start()
        return process

    def _given(self, seat: int) -> tuple[Callable[..., None], tuple[Any, ...]]:
        """Returns what a seat's worker begins with: in a seat that there was not at first, the same as in that one."""
        if seat < len(self._made):
            return self._made[seat]
        target, args = self._made[0]
        own = {"worker_id": seat, "worker_state": None}
        return target, tuple(own.get(name, each) for name, each in zip(signature(target).parameters, args, strict=True))

    def tell_count(self, count: int) -> None:
        """Tells all workers how many they are now."""
        self.count = count
        for channel in self.results.channels:
            if channel.end.fileno() >= 0:
                channel.tell(COUNT, count)

    def forget_behind(self, count: int) -> None:
        """Forgets all seats but so many, which are empty."""
        del self._all[count:], self.results.channels[count:]

    def rest(self) -> None:
        """Lets workers give the pages of free slots back if no epoch follows soon."""
        self.recall()
        free = self._slots.take_free()
        for channel in self.results.channels:
            free = channel.rest(free)

    def recall(self) -> None:
        """Takes slots back that rest, now that an epoch follows."""
        for channel in self.results.channels:
            channel.recall()

    def leave(self) -> None:
        """Lets workers end, and what is kept for them go when they have."""
        self.deadline = time.monotonic() + GRACE
        if self._template is not None:
            self._template.leave()

    def end_processes(self) -> None:
        """Ends workers that have not ended by themselves, and their template; takes the slots back that they had."""
        if self._owner != os.getpid():
            # A copy in a forked process: the workers are not its own.
            return
        _pools.discard(self)
        self.deadline = None
        started = [worker for worker in self._all if worker.has_started]
        stuck = end(started)
        for worker in started:
            if worker not in stuck:
                worker.release()
        if self._template is not None:
            self._template.close()
            self._template = None

    def close(self) -> None:
        """Ends all processes and connections, and lets go what is kept."""
        self.end_processes()
        self.results.close()
        self._kept.close()

    def _open(self) -> list[Any]:
        """Returns what a forked process inherits that would hide the trainer's end."""
        return [each.end for each in self.results.channels] if self._forks else []

    def _process(self, channel: Channel, target: Callable[..., None], args: tuple[Any, ...]) -> Any:
        end = WorkerEnd(channel.worker_end)
        given = _with_end(args, end)
        if self._restarts and not self._forks:
            given = tuple(map(self._kept.stands_for, given))
        by_main = threading.get_native_id() == os.getpid()
        parent = (os.getpid(), by_main) if self._context.get_start_method() != "forkserver" else None
        others = self._open(), channel.stacks, parent, self._policy
        return self._context.Process(target=work, args=(target, given, end, *others))

    def _begin(self, seat: int, end: int, stacks: int) -> None:
        """Runs a worker, in a process that the template has forked."""
        worker_end = WorkerEnd(End(fileno=end))
        target, args = self._given(seat)
        work(target, _with_end(args, worker_end), worker_end, [], Stacks(stacks), (os.getppid(), True), self._policy)


def _with_end(args: tuple[Any, ...], end: WorkerEnd) -> tuple[Any, ...]:
    """Returns the arguments of PyTorch's loop with a worker's own end of its queues."""
    return tuple(end if isinstance(each, Channel | Results) else each for each in args)


def work(
    target: Callable[..., None],
    args: tuple[Any, ...],
    end: WorkerEnd,
    inherited: list[Any],
    stacks: Stacks,
    parent: tuple[int, bool] | None,
    policy: Policy,
) -> None:
    """Runs PyTorch's loop of a worker, with batches that are made in slots.

    `parent` is the process that has started this one, and whether its first thread did; the fork server, if it is none.
    """
    _native.Posture(*(parent or (os.getppid(), True)))
    stacks.register()
    for each in inherited:
        each.close()
    # Where it was sent by pickle, each mention is the same object still.
    arguments = [SlotCollate(end) if each is default_collate else each for each in args]
    create = DatasetKind.create_fetcher

    def create_fetcher(kind: int, dataset: Any, *others: Any) -> Any:
        worker = get_worker_info()
        # A loader in the worker has its own dataset.
        if kind == DatasetKind.Map and worker is not None and dataset is worker.dataset:
            return MapFetcher(end, policy, worker.seed - worker.id, dataset, *others)
        return create(kind, dataset, *others)

    DatasetKind.create_fetcher = staticmethod(create_fetcher)
    target(*arguments)
