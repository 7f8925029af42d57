"""The workers of one iterator: what PyTorch's iterator takes for the module ``multiprocessing``."""

from __future__ import annotations

import os
import pickle
import socket
from contextlib import suppress
from multiprocessing.reduction import DupFd
from typing import TYPE_CHECKING, Any

from torch.utils.data import default_collate, get_worker_info

from stokehold import _native
from stokehold.torch.channel import Channel, WorkerEnd
from stokehold.torch.collate import MapFetcher, SlotCollate
from stokehold.torch.internals import DatasetKind
from stokehold.torch.kept import Kept
from stokehold.torch.results import Results
from stokehold.torch.stacks import Stacks
from stokehold.torch.template import LostError, Template

if TYPE_CHECKING:
    from collections.abc import Callable

    from stokehold.torch.loader import DataLoader

__all__ = ["Workers"]


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
        self.__dict__.update(_process=process, _channel=channel, _pool=pool)

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

    def keep(self) -> None:
        """Keeps what the workers began with, for others. Now that they have tasks, they need not wait for it."""
        if self._restarts and self._forks and self._template is None:
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
        self.keep()
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
