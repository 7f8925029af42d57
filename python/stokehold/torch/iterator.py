"""What the iterators of PyTorch and torchdata lack: slots, and workers that can be replaced."""

from __future__ import annotations

import os
import signal
from queue import Empty
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

import torch

from stokehold.torch.channel import LEAVE, WORD, Gone
from stokehold.torch.elastic import Elastic
from stokehold.torch.failures import Unsent
from stokehold.torch.internals import (
    CHECK_INTERVAL,
    BaseIterator,
    DatasetKind,
    ExceptionWrapper,
    TorchIterator,
    remove_worker_pids,
)
from stokehold.torch.profiling import TORCH
from stokehold.torch.template import LostError
from stokehold.torch.warned import at_the_users_line
from stokehold.torch.workers import Workers, end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stokehold.torch.loader import DataLoader

__all__ = ["Pointing", "SlotIterator", "Slots"]

IDLE_DEATHS: Final = 3
"""How many workers may end, one after the other in one place, without having had anything to do."""


class _As:
    """A loader whose processes are made by another."""

    def __init__(self, loader: DataLoader[Any], workers: Workers) -> None:
        self._loader = loader
        self.multiprocessing_context = workers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class Slots(Elastic):
    """Goes before an iterator that has PyTorch's inner parts."""

    _worker_pids_set: bool
    _data_queue: Any
    _persistent_workers: bool
    _order_is_free = True
    """Whether states do not depend on who has which task."""

    def __init__(self, loader: DataLoader[Any], *args: Any) -> None:
        self._restarts = loader.on_worker_death == "restart" and loader._dataset_kind == DatasetKind.Map
        context = loader.multiprocessing_context or torch.multiprocessing
        self._pool = Workers(context, loader, restarts=self._restarts)
        self._slots = loader._slots
        self._owner = os.getpid()
        # Where batches come as they are done, PyTorch goes by how many a worker has.
        self._any_worker = loader.rng == "sample" and loader.in_order and self._order_is_free
        self._gone: list[int] = []
        self._deaths: dict[Any, int] = {}
        self._suspect: int | None = None
        self._end: _End | None = None
        self._epochs = loader._epochs
        super().__init__(_As(loader, self._pool), *args)
        if self._restarts and self._worker_pids_set:
            # PyTorch's handler of signals would raise, wherever the trainer is.
            remove_worker_pids(id(self))
            self._worker_pids_set = False
        self._pool.keep()

    def _reset(self, loader: Any, *args: Any, **kwargs: Any) -> None:
        self._must_be_own()
        self._settle()
        self._pool.recall()
        # Batches are numbered from 0 again, and what is on its way belongs to no batch of this epoch.
        self._epoch = self._epochs.begin()
        self._pool.results.advance(self._epoch)
        self._deaths.clear()
        self._suspect = self._end = None
        super()._reset(loader, *args, **kwargs)  # type: ignore[misc]

    def _must_be_own(self) -> None:
        """Raises in a process that was forked from the iterator's: there it would take the other one's batches."""
        if os.getpid() != self._owner:
            raise RuntimeError(
                f"this iterator belongs to process {self._owner}, from which this process, {os.getpid()}, was forked; "
                "make a DataLoader here and iterate over that"
            )

    def __iter__(self) -> Any:
        self._must_be_own()
        return super().__iter__()  # type: ignore[misc]

    def __len__(self) -> int:
        self._must_be_own()
        return super().__len__()  # type: ignore[misc,no-any-return]

    def _next_data(self) -> Any:
        self._must_be_own()
        if self._end is not None:
            # PyTorch's would leave out the batches that were not done.
            self._end.raise_it()
        try:
            return super()._next_data()  # type: ignore[misc]
        except StopIteration:
            if not self._shutdown:
                self._pool.rest()
            raise

    def _try_get_data(self, timeout: float = CHECK_INTERVAL) -> tuple[bool, Any]:
        while True:
            if self._gone:
                self._replace_all()
            if self._restarts:
                answered, data = self._listen(timeout)
            else:
                answered, data = super()._try_get_data(timeout)  # type: ignore[misc]
            if not answered:
                return False, None
            (generation, number), batch = data
            if isinstance(number, Gone):
                if number.channel in self._index_queues:
                    self._gone.append(number.worker)
            elif generation == self._pool.results.generation:
                if self._suspect is not None and number == self._suspect:
                    self._suspect = None
                return True, (number, self._failed(number, batch.failure) if isinstance(batch, Unsent) else batch)

    def _listen(self, timeout: float) -> tuple[bool, Any]:
        """Waits for an answer, as PyTorch's does, which however takes a worker for lost that is yet to be replaced."""
        try:
            return True, self._data_queue.get(timeout=timeout)
        except Empty:
            pass
        # A process that a worker has started may hide its end.
        ended = [at for at, worker in enumerate(self._workers) if self._workers_status[at] and not worker.is_alive()]
        unseen = [at for at in ended if at not in self._gone]
        return bool(unseen), ((0, Gone(unseen[0], self._index_queues[unseen[0]])), None) if unseen else None

    def _failed(self, number: Any, failure: Any) -> Any:
        """Returns what an iterator takes for a batch that failed. The beginning of an epoch raises instead."""
        if not isinstance(number, int):
            failure.reraise()
        return failure

    def _get_data(self) -> Any:
        try:
            return super()._get_data()  # type: ignore[misc]
        except RuntimeError as error:
            if "timed out" in str(error):
                for note in self._in_hand():
                    error.add_note(note)
            raise

    def _in_hand(self) -> Iterator[str]:
        """Tells what each worker has in hand, and what it is doing."""
        for worker, channel in enumerate(self._pool.results.channels):
            tasks = [sent for sent in channel.unanswered() if sent.number != WORD]
            if tasks:
                pid = self._workers[worker].pid
                stacks = channel.stacks.ask(pid) or "It does not answer.\n"
                at = f"batch {tasks[0].number}, indices {tasks[0].task[1]}"
                yield f"stokehold: worker {worker} (pid {pid}) is at {at}:\n{stacks}"

    def _replace_all(self) -> None:
        """Replaces the workers that have ended and should not, or raises."""
        for worker in tuple(self._gone):
            if self._workers_status[worker]:
                self._replace(worker)

    def _replace(self, worker: int) -> None:
        """Replaces a worker, unless its batch must wait until another one is known not to end workers."""
        process, channel = self._workers[worker], self._index_queues[worker]
        sent = channel.unanswered()
        tasks = [(each.number, each.task[1]) for each in sent if each.number != WORD]
        if tasks and self._suspect not in {None, tasks[0][0]}:
            return
        if worker in self._leaving and not sent:
            self._retire(worker)
            return
        process.join(timeout=CHECK_INTERVAL)
        # One that has closed its socket may still write to its slots, which are lost if it cannot be ended.
        if not end([process]):
            channel.release()
        cause: Any = tasks[0][0] if tasks else ("idle", worker)
        self._deaths[cause] = self._deaths.get(cause, 0) + 1
        lost = self._irreplaceable(worker)
        if self._restarts and lost is None and self._deaths[cause] < (2 if tasks else IDLE_DEATHS):
            try:
                self._index_queues[worker], self._workers[worker] = self._pool.again(worker)
            except LostError as error:
                lost = str(error)
            else:
                if tasks:
                    self._suspect = cause
                self._pool.results.forget(channel)
                channel.close()
                self._gone.remove(worker)
                for each in sent:
                    self._index_queues[worker].put(each.task)
                if worker in self._leaving:
                    self._index_queues[worker].tell(LEAVE)
                return
        self._mark_worker_as_unavailable(worker)  # type: ignore[attr-defined]
        self._end = _End(process.pid, process.exitcode, tasks, lost)
        self._end.raise_it()

    def _irreplaceable(self, worker: int) -> str | None:  # noqa: ARG002 (of this iterator's, each is like the other)
        """Says why a worker had something that no other one has."""
        return None

    def _process_data(self, data: Any, *args: Any) -> Any:
        try:
            return super()._process_data(data, *args)  # type: ignore[misc]
        except Exception as error:
            index = getattr(data, "stokehold_index", None) if isinstance(data, ExceptionWrapper) else None
            if index is not None:
                error.add_note(f"stokehold: sample index {index!r}")
            raise

    def _shutdown_workers(self) -> None:
        if os is None or os.getpid() != self._owner:
            # The interpreter ends and has taken modules apart: the workers end with it. Or a copy in a forked process,
            # say another loader's worker: the workers are not its own to end.
            return
        before = self._shutdown
        self._pool.leave()
        super()._shutdown_workers()  # type: ignore[misc]
        if self._shutdown and not before:
            self._pool.close()
            if not self._persistent_workers:
                self._slots.clear()


class _End(NamedTuple):
    """How a worker ended that is not replaced."""

    pid: int
    exitcode: int | None
    tasks: list[tuple[int, Any]]
    """What it had in hand: numbers and indices."""
    lost: str | None
    """Why no other could be started in its place."""

    def raise_it(self) -> NoReturn:
        """Raises it, in PyTorch's words."""
        error = RuntimeError(f"DataLoader worker (pid(s) {self.pid}) exited unexpectedly: {self._how()}")
        error.add_note(f"stokehold: exit code {self.exitcode}; its batches in hand were {self.tasks}")
        if self.lost is not None:
            error.add_note(f"stokehold: no other worker could take its place: {self.lost}")
        raise error from RuntimeError(f"DataLoader worker (pid {self.pid}) {self._whole()}")

    def _how(self) -> str:
        if self.exitcode is None:
            return "it has broken off its connection, and the kernel does not let it end."
        if self.exitcode >= 0:
            return f"exit code {self.exitcode}. With num_workers=0 the cause may show."
        text = f"killed by signal: {signal.strsignal(-self.exitcode)}."
        if self.exitcode == -signal.SIGBUS:
            text += " Its dataset may have mapped a file that became shorter, or the shared memory is used up."
        return text

    def _whole(self) -> str:
        """Says it as PyTorch's handler of signals does."""
        return f"is {self._how()}" if (self.exitcode or 0) < 0 else f"exited unexpectedly with {self._how()}"


class Pointing(BaseIterator):
    """Goes behind an iterator, whose warnings then name the user's line."""

    __init__ = at_the_users_line(BaseIterator.__init__)
    __next__ = at_the_users_line(BaseIterator.__next__, torch=TORCH)


class _PointingTorch(TorchIterator, Pointing):
    __init__ = at_the_users_line(TorchIterator.__init__)


class SlotIterator(Slots, _PointingTorch):
    """PyTorch's iterator over slots."""
