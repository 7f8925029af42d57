"""What the iterators of PyTorch and torchdata lack: slots, and workers that can be replaced."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, Final

import torch

from stokehold.torch.channel import Gone
from stokehold.torch.internals import CHECK_INTERVAL, DatasetKind, ExceptionWrapper, TorchIterator, remove_worker_pids
from stokehold.torch.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stokehold.torch.loader import DataLoader

__all__ = ["SlotIterator", "Slots"]

IDLE_DEATHS: Final = 3
"""How many workers may end, one after the other in one place, without having had anything to do."""


class _As:
    """A loader whose processes are made by another."""

    def __init__(self, loader: DataLoader[Any], workers: Workers) -> None:
        self._loader = loader
        self.multiprocessing_context = workers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class Slots:
    """Goes before an iterator that has PyTorch's inner parts."""

    _workers: list[Any]
    _workers_status: list[bool]
    _index_queues: list[Any]
    _worker_pids_set: bool
    _shutdown: bool

    def __init__(self, loader: DataLoader[Any], *args: Any) -> None:
        self._pool = Workers(loader.multiprocessing_context or torch.multiprocessing, loader._arena, loader.dataset)
        self._owner = os.getpid()
        self._deaths: dict[Any, int] = {}
        self._restarts = loader.on_worker_death == "restart" and loader._dataset_kind == DatasetKind.Map
        super().__init__(_As(loader, self._pool), *args)  # type: ignore[call-arg]
        if self._restarts and self._worker_pids_set:
            # PyTorch's handler of signals would raise, wherever the trainer is.
            remove_worker_pids(id(self))
            self._worker_pids_set = False

    def _reset(self, loader: Any, *args: Any, **kwargs: Any) -> None:
        # Batches are numbered from 0 again.
        self._deaths.clear()
        super()._reset(loader, *args, **kwargs)  # type: ignore[misc]

    def _try_get_data(self, timeout: float = CHECK_INTERVAL) -> tuple[bool, Any]:
        while True:
            answered, data = super()._try_get_data(timeout)  # type: ignore[misc]
            if not answered or not isinstance(data[0], Gone):
                return answered, data
            self._gone(data[0].worker)

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
            if channel.pending:
                number, (indices, _) = next(iter(channel.pending.items()))
                pid = self._workers[worker].pid
                stacks = channel.stacks.ask(pid) or "It does not answer.\n"
                yield f"stokehold: worker {worker} (pid {pid}) is at batch {number}, indices {indices}:\n{stacks}"

    def _gone(self, worker: int) -> None:
        """Replaces a worker that has ended, or raises."""
        if not self._workers_status[worker]:
            return
        process, channel = self._workers[worker], self._pool.results.channels[worker]
        process.join(timeout=CHECK_INTERVAL)
        if process.is_alive():
            # It has closed its socket, but may still write to its slots.
            process.kill()
            process.join()
        words, tasks = channel.abandon()
        cause = tasks[0][0] if tasks else ("idle", worker)
        self._deaths[cause] = self._deaths.get(cause, 0) + 1
        if self._restarts and self._deaths[cause] < (2 if tasks else IDLE_DEATHS):
            channel.close()
            self._index_queues[worker], self._workers[worker] = self._pool.again(worker)
            for task in [*words, *tasks]:
                self._index_queues[worker].put(task)
            return
        self._mark_worker_as_unavailable(worker)  # type: ignore[attr-defined]
        error = RuntimeError(f"DataLoader worker (pid(s) {process.pid}) exited unexpectedly")
        error.add_note(f"stokehold: exit code {process.exitcode}; its batches in hand were {tasks}")
        raise error from RuntimeError(_how(process.pid, process.exitcode))

    def _process_data(self, data: Any, *args: Any) -> Any:
        try:
            return super()._process_data(data, *args)  # type: ignore[misc]
        except Exception as error:
            index = getattr(data, "stokehold_index", None) if isinstance(data, ExceptionWrapper) else None
            if index is not None:
                error.add_note(f"stokehold: sample index {index!r}")
            raise

    def _shutdown_workers(self) -> None:
        if os.getpid() != self._owner:
            # A copy in a forked process, say another loader's worker: the workers are not its own to end.
            return
        before = self._shutdown
        super()._shutdown_workers()  # type: ignore[misc]
        if self._shutdown and not before:
            for worker in self._workers:
                # An older PyTorch does not wait for those that it has terminated.
                worker.join(timeout=CHECK_INTERVAL)
        self._pool.results.close()


def _how(pid: int, exitcode: int) -> str:
    """Says how a worker ended, as PyTorch's handler of signals does."""
    if exitcode < 0:
        message = f"DataLoader worker (pid {pid}) is killed by signal: {signal.strsignal(-exitcode)}."
        if exitcode == -signal.SIGBUS:
            message += " Its dataset may have mapped a file that became shorter, or the shared memory is used up."
        return message
    return (
        f"DataLoader worker (pid {pid}) exited unexpectedly with exit code {exitcode}. "
        "With num_workers=0 the cause may show."
    )


class SlotIterator(Slots, TorchIterator):
    """PyTorch's iterator over slots."""
