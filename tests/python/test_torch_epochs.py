"""Epochs that are broken off, and workers that end: no batch of one epoch is ever part of another.

Workers are simulated: they take messages and answer them when they are told to, and end when they are told to. So a
worker can end between any two messages, which with real ones is a matter of chance.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from queue import Empty
from typing import Any, NamedTuple

import pytest

torch = pytest.importorskip("torch")
torchdata_worker = pytest.importorskip("torchdata.stateful_dataloader.worker")

from torch.utils.data import Dataset, Sampler

import stokehold.torch
from stokehold.torch.channel import Channel
from stokehold.torch.results import Results
from stokehold.torch.worker_end import WorkerEnd
from stokehold.torch.workers import Workers
from support import eventually, is_running

pytestmark = [
    pytest.mark.usefixtures("torch_started"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # torchdata still calls it.
    pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes"),
]

KINDS = ["DataLoader", "StatefulDataLoader"]


class Told(Sampler[int]):
    """Indices that tell their epoch: each iteration has others."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.epoch = 0

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        return iter(range(self.epoch * 1000, self.epoch * 1000 + self.rows))


class Indices(Dataset[int]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        return index


class Simulated:
    """A worker that does one step when it is told to: it takes a message, or answers the one that it has taken."""

    pid = -1
    daemon = True

    def __init__(self, world: World, end: Any, seat: int) -> None:
        self.world = world
        self.end = end
        self.seat = seat
        self.answer: Any = None
        self.answered = 0
        self.exitcode: int | None = None

    def start(self) -> None:
        self.end = WorkerEnd(self.end.dup())
        self.world.workers.append(self)

    def step(self) -> bool:
        """Does a step; tells whether there was one to do."""
        if self.answer is not None:
            self.end.put(self.answer)
            self.answer = None
            self.answered += 1
            return True
        try:
            message = self.end.get(0)
        except Empty:
            return False
        if message is None:
            self.finish(0)
        else:
            self.answer = self.world.answer(self.seat, message)
        return True

    def finish(self, code: int) -> None:
        self.exitcode = code
        self.end.close()

    def is_alive(self) -> bool:
        return self.exitcode is None

    def join(self, timeout: float | None = None) -> None:  # noqa: ARG002 (as of a process)
        while self.exitcode is None and self.step():
            pass

    def terminate(self) -> None:
        self.finish(-signal.SIGTERM)


class World:
    """All workers, and the steps after which the one of a seat is killed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, schedule: str, kind: str) -> None:
        self.schedule = schedule
        self.stateful = kind == "StatefulDataLoader"
        self.epoch = 0
        self.steps = 0
        self.kills: list[int] = []
        self.victim = 0
        self.killed: list[tuple[int, int, int]] = []
        self.workers: list[Simulated] = []
        get = Results.get

        def making(_: Workers, channel: Any, *__: Any) -> Simulated:
            return Simulated(self, channel.worker_end, channel.worker)

        def replacing(_: Workers, channel: Any) -> Simulated:
            worker = Simulated(self, channel.worker_end, channel.worker)
            worker.start()
            return worker

        def getting(results: Results, timeout: float | None = None) -> Any:  # noqa: ARG001 (steps are the time here)
            while True:
                moves = self.advance()
                try:
                    return get(results, 0)
                except Empty:
                    assert moves, "nothing will ever come"

        monkeypatch.setattr(Workers, "_process", making)
        monkeypatch.setattr(Workers, "_replacement", replacing)
        monkeypatch.setattr(Workers, "keep", lambda _: None)
        monkeypatch.setattr(Results, "get", getting)

    def advance(self) -> bool:
        """Lets a worker do a step, or lets all do all that they can; tells whether there was anything to do."""
        self.strike()
        alive = [worker for worker in self.workers if worker.exitcode is None]
        if self.schedule == "all at once":
            moved = [self.run(worker) for worker in alive]
            return any(moved)
        order = alive if self.schedule == "first first" else alive[::-1]
        return any(self.step(worker) for worker in order) or bool(self.killed)

    def run(self, worker: Simulated) -> bool:
        steps = 0
        while worker.exitcode is None and self.step(worker):
            steps += 1
        return steps > 0

    def step(self, worker: Simulated) -> bool:
        did = worker.step()
        self.steps += did
        self.strike()
        return did

    def strike(self) -> None:
        """Kills a worker if it is time to."""
        if self.kills and self.steps >= self.kills[0]:
            for worker in self.workers:
                if worker.seat == self.victim and worker.exitcode is None:
                    del self.kills[0]
                    self.killed.append((self.epoch, worker.seat, worker.answered))
                    worker.finish(-signal.SIGKILL)

    def answer(self, seat: int, message: Any) -> Any:
        """What PyTorch's or torchdata's loop of a worker answers."""
        if isinstance(message, tuple):
            number, indices = message
            if not self.stateful:
                return number, torch.tensor(indices)
            return number, (torch.tensor(indices[0]), seat, state(seat) if indices[1] else None)
        if not self.stateful:
            return message, None
        return message, torchdata_worker._AckStartup(worker_id=seat, initial_state=state(seat))


def state(seat: int) -> dict[str, Any]:
    return {"worker_id": seat, "fetcher_state": None, "dataset_state": None}


class Run(NamedTuple):
    """Some epochs of which all but the last one are broken off, each after so many batches."""

    kind: str
    batches: int
    breaks: tuple[int, ...]
    workers: int = 2
    schedule: str = "first first"

    def check(self, world: World) -> None:
        """Goes through it, in a world that may kill workers; asserts that each epoch has what it should."""
        case = f"{self}, kills {world.kills} of worker {world.victim}"
        loader = getattr(stokehold.torch, self.kind)(
            Indices(), 2, sampler=Told(2 * self.batches), num_workers=self.workers, persistent_workers=True
        )
        found: list[list[list[int]]] = []
        try:
            for stop in (*self.breaks, None):
                world.epoch += 1
                found.append([batch.tolist() for batch in itertools.islice(loader, stop)])
        except RuntimeError:
            # Left to the collector, sockets may be closed before the iterator that ends their workers.
            if loader._iterator is not None:
                loader._iterator._shutdown_workers()
            raise
        epochs = [epoch[0][0] // 1000 for epoch in found if epoch]
        assert epochs == sorted(set(epochs)), case
        whole = [[[1000 * epoch + 2 * at + row for row in (0, 1)] for at in range(self.batches)] for epoch in epochs]
        stops = [stop for stop in (*self.breaks, self.batches) if stop]
        assert [epoch for epoch in found if epoch] == [
            epoch[:stop] for epoch, stop in zip(whole, stops, strict=True)
        ], case
        loader._iterator._shutdown_workers()
        slots, free = loader._slots.count()
        assert slots == free, case

    def steps(self) -> int:
        """How many steps there are if nobody is killed."""
        with pytest.MonkeyPatch.context() as patch:
            world = World(patch, self.schedule, self.kind)
            self.check(world)
            return world.steps

    def check_with(self, victim: int, *kills: int) -> None:
        """Goes through it with a worker that is killed after some steps, and the one in its place after others."""
        with pytest.MonkeyPatch.context() as patch:
            world = World(patch, self.schedule, self.kind)
            world.victim, world.kills = victim, list(kills)
            raises = False
            try:
                self.check(world)
            except RuntimeError:
                raises = True
            # Where nothing is answered between two deaths in one epoch, they are taken for those of the same batch.
            assert not raises or (len(kills) == 2 and world.killed[1] == (world.killed[0][0], victim, 0)), self


SCHEDULES = ["first first", "last first", "all at once"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_death_between_any_two_messages_mixes_no_epochs(kind: str) -> None:
    for at, (batches, stop) in enumerate(((1, 0), (1, 1), (2, 1), (3, 2))):
        run = Run(kind, batches, (stop, batches // 2), 1 + at % 2, SCHEDULES[at % 3])
        for kill in range(run.steps() + 1):
            run.check_with(kill % run.workers, kill)


@pytest.mark.thorough
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("least", range(1, 6))
@pytest.mark.parametrize("kind", KINDS)
def test_a_death_anywhere_in_epochs_of_up_to_20_batches_mixes_none(kind: str, least: int) -> None:
    # In parts, for several processes.
    for batches in range(least, 21, 5):
        for stop in range(batches + 1):
            breaks = (stop, stop * 7 % (batches + 1))
            run = Run(kind, batches, breaks, 1 + (stop + batches // 3) % 3, SCHEDULES[(stop + batches) % 3])
            for kill in range(run.steps() + 1):
                run.check_with((kill + stop) % run.workers, kill)


@pytest.mark.thorough
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_two_deaths_anywhere_in_epochs_of_up_to_3_batches_mix_none(kind: str) -> None:
    for batches in range(1, 4):
        for at, breaks in enumerate(itertools.product(range(batches + 1), repeat=2)):
            run = Run(kind, batches, breaks, 1 + at % 2, SCHEDULES[at % 3])
            steps = run.steps()
            for first in range(steps + 1):
                for second in range(first, min(first + 12, steps + 1)):
                    run.check_with(first % run.workers, first, second)


def second_epoch(kind: str, kill_at: int | None) -> tuple[list[list[int]], int]:
    """The second of two epochs, the first broken off, with a worker killed at one of the trainer's messages."""
    messages = itertools.count()
    loader = getattr(stokehold.torch, kind)(
        Indices(), 2, sampler=Told(8), num_workers=2, persistent_workers=True, prefetch_factor=2
    )
    iterator = iter(loader)

    def then(method: Any) -> Any:
        def call(channel: Any, *arguments: Any) -> Any:
            result = method(channel, *arguments)
            if next(messages) == kill_at:
                pid = iterator._workers[0].pid
                os.kill(pid, signal.SIGKILL)
                assert eventually(lambda: not is_running(pid))
            return result

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Channel, "put", then(Channel.put))
        patch.setattr(Channel, "receive", then(Channel.receive))
        next(iterator)
        found = [batch.tolist() for batch in loader]
    return found, next(messages)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "kill", [*range(0, 16, 5), *(pytest.param(at, marks=pytest.mark.thorough) for at in range(16) if at % 5)]
)
def test_a_death_of_a_process_at_any_message_mixes_no_epochs(kind: str, kill: int) -> None:
    found, messages = second_epoch(kind, kill)
    assert messages > kill
    epoch = found[0][0] // 1000
    assert found == [[1000 * epoch + 2 * at, 1000 * epoch + 2 * at + 1] for at in range(4)]
