"""The number of an iterator's workers, which may change while it runs."""

from __future__ import annotations

import os
from typing import Any

from stokehold.torch.channel import LEAVE
from stokehold.torch.internals import CHECK_INTERVAL
from stokehold.torch.workers import Workers, end

__all__ = ["Elastic"]


class Idlest:
    """Whose turn it is, where that changes nothing that comes: the worker's that has the fewest tasks."""

    def __init__(self, statuses: list[bool], queues: list[Any], leaving: set[int]) -> None:
        self._statuses = statuses
        self._queues = queues
        self._leaving = leaving
        self._last = -1

    def __next__(self) -> int:
        seats, queues = self._statuses, self._queues
        # Of several the one behind the last.
        turns = [(self._last + step) % len(seats) for step in range(1, len(seats) + 1)]
        self._last = min(turns, key=lambda seat: (not seats[seat] or seat in self._leaving, len(queues[seat].sent)))
        return self._last


class Elastic:
    """Goes before an iterator that has PyTorch's inner parts, and whose batches do not depend on who makes them.

    A seat that is to be left gets no more tasks; its worker does those that it has, and ends.
    """

    _num_workers: int
    _prefetch_factor: int
    _tasks_outstanding: int
    _workers: list[Any]
    _workers_status: list[bool]
    _index_queues: list[Any]
    _shutdown: bool
    _owner: int
    _pool: Workers
    _any_worker: bool
    _gone: list[int]

    def __init__(self, *args: Any) -> None:
        self._leaving: set[int] = set()
        super().__init__(*args)

    @property
    def _worker_queue_idx_cycle(self) -> Any:
        return self._turns

    @_worker_queue_idx_cycle.setter
    def _worker_queue_idx_cycle(self, cycle: Any) -> None:
        # PyTorch has just made the list of who is there.
        self._turns = cycle
        if self._any_worker:
            self._turns = Idlest(self._workers_status, self._index_queues, self._leaving)

    def resize(self, count: int) -> None:
        """Has so many workers from now on.

        Raises:
            RuntimeError: There are to be more, and none can be started.
        """
        if self._shutdown or self._owner != os.getpid():
            return
        self._any_worker = True
        self._worker_queue_idx_cycle = None
        for seat in range(count, self._num_workers):
            self._leaving.add(seat)
            self._index_queues[seat].tell(LEAVE)
        self._num_workers = min(self._num_workers, count)
        while self._num_workers < count:
            # One that is being left is taken again once it is empty.
            if self._num_workers not in self._leaving:
                self._enter(self._num_workers)
            self._num_workers += 1
        self._pool.tell_count(count)
        for _ in range(self._prefetch_factor * count - self._tasks_outstanding):
            self._try_put_index()

    def _try_put_index(self) -> None:
        # Where there were more workers before, there are more tasks than are to be.
        if self._tasks_outstanding < self._prefetch_factor * self._num_workers:
            super()._try_put_index()  # type: ignore[misc]

    def _enter(self, seat: int) -> None:
        channel, worker = self._pool.again(seat)
        if seat < len(self._workers):
            self._index_queues[seat], self._workers[seat] = channel, worker
            self._workers_status[seat] = True
        else:
            self._index_queues.append(channel)
            self._workers.append(worker)
            self._workers_status.append(True)
            # PyTorch has had it since 2.6.
            getattr(self, "_workers_num_tasks", []).append(0)

    def _retire(self, seat: int) -> None:
        """Empties a seat whose worker has nothing left to do."""
        process, channel = self._workers[seat], self._index_queues[seat]
        process.join(timeout=CHECK_INTERVAL)
        if not end([process]):
            channel.release()
        self._pool.results.forget(channel)
        channel.close()
        self._workers_status[seat] = False
        self._leaving.discard(seat)
        if seat in self._gone:
            self._gone.remove(seat)
        if seat < self._num_workers:
            self._enter(seat)

    def _settle(self) -> None:
        """Has as many seats as there are to be workers, before another epoch."""
        for seat in sorted(self._leaving):
            self._retire(seat)
        del self._workers[self._num_workers :], self._index_queues[self._num_workers :]
        self._pool.forget_behind(self._num_workers)
