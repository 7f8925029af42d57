"""Much use leaves nothing behind.

STOKEHOLD_SOAK=10000 python -m pytest tests/python/test_soak.py -s
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import psutil
import pytest

import stokehold as sh
from support import eventually, image_loader, value, values

ROUNDS = int(os.environ.get("STOKEHOLD_SOAK", "2000"))
LIMIT_SECONDS = 300 + ROUNDS // 10


class Use(NamedTuple):
    """What this process and its children use."""

    processes: int
    descriptors: int
    threads: int
    shared_kib: int
    private_kib: int

    @staticmethod
    def now() -> Use:
        gc.collect()
        tree = [psutil.Process(), *psutil.Process().children(recursive=True)]
        shared = private = 0
        for process in tree:
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                shared += int(line.split()[1]) if line.startswith("RssShmem:") else 0
                private += int(line.split()[1]) if line.startswith("RssAnon:") else 0
        return Use(len(tree), sum(p.num_fds() for p in tree), sum(p.num_threads() for p in tree), shared, private)

    def assert_near(self, before: Use) -> None:
        print(f"\n  before {before}\n  after  {self}", end="")  # noqa: T201  # Figures, for `pytest -s`.
        # A thread that an earlier test began may end meanwhile.
        assert all(now <= then for now, then in zip(self[:3], before[:3], strict=True))
        # Pages that are touched for the first time, allocators that settle: some, and no more with more rounds.
        assert self.shared_kib <= before.shared_kib + 1024
        assert self.private_kib <= before.private_kib + 16 * 1024


@pytest.mark.thorough
@pytest.mark.timeout(LIMIT_SECONDS)
@pytest.mark.parametrize("workers", [0, 2])
def test_breaking_off_thousands_of_epochs_leaks_nothing(folder: Path, workers: int) -> None:
    with image_loader(folder, num_workers=workers, batch_size=3) as loader:

        def rounds(count: int) -> float:
            begun = time.monotonic()
            for _ in range(count):
                for number, _batch in enumerate(loader):
                    if number == 2:
                        break
            return time.monotonic() - begun

        rounds(200)
        before = Use.now()
        seconds = rounds(ROUNDS)
        Use.now().assert_near(before)
        print(f"\n  {ROUNDS} rounds in {seconds:.1f} s")  # noqa: T201
        assert loader.epoch == 200 + ROUNDS - 1
        stats = loader.stats()
        assert (stats["restarts"], stats["failed_samples"], stats["slots"]) == (0, 0, 6)

        loader.set_epoch(0)
        with image_loader(folder, num_workers=0, batch_size=3) as fresh:
            assert list(map(value, loader)) == list(map(value, fresh))


@pytest.mark.parametrize("workers", [0, 2])
def test_making_and_closing_loaders_leaks_nothing(folder: Path, arrays: sh.Arrays, workers: int) -> None:
    def rounds(count: int) -> None:
        for number in range(count):
            options: dict[str, Any] = {"batch_size": 3, "num_workers": workers}
            with image_loader(folder, **options) if number % 2 else sh.Loader(arrays, **options) as loader:
                if number % 3:
                    next(iter(loader))

    rounds(6)
    before = Use.now()
    rounds(30)
    Use.now().assert_near(before)


def test_loaders_that_cannot_be_made_leak_nothing(own_folder: Path) -> None:
    for path in (own_folder / "ash").iterdir():
        path.unlink()

    def rounds(count: int) -> None:
        for number in range(count):
            with pytest.raises((ValueError, FileNotFoundError)):
                image_loader(own_folder if number % 2 else own_folder / "none", num_workers=1)

    rounds(4)
    before = Use.now()
    rounds(20)
    Use.now().assert_near(before)


CHAOS = int(os.environ.get("STOKEHOLD_CHAOS", "40"))


@pytest.mark.timeout(300 + 2 * CHAOS)
def test_workers_killed_and_stopped_at_random_change_nothing(folder: Path) -> None:
    """STOKEHOLD_CHAOS=5000 python -m pytest tests/python/test_soak.py -s -k random."""
    random = Random(5)
    over = threading.Event()
    sent: Counter[str] = Counter()
    came = 0
    options: dict[str, Any] = {"batch_size": 2, "prefetch": 3}
    with (
        image_loader(folder, num_workers=3, stall_timeout=0.5, **options) as loader,
        image_loader(folder, num_workers=0, **options) as undisturbed,
    ):

        def read() -> Iterator[sh.Batch]:
            nonlocal came
            for batch in loader:
                came += 1
                yield batch

        def disturb() -> None:
            while sent.total() < CHAOS and not over.wait(random.uniform(0, 0.1)):
                stats = loader.stats()
                children = psutil.Process(stats["coordinator_pid"]).children()
                if children:
                    name = random.choice(["SIGKILL", "SIGKILL", "SIGSTOP", "SIGCONT"])
                    with suppress(psutil.NoSuchProcess):
                        random.choice(children).send_signal(signal.Signals[name])
                        sent[name] += 1
                # As for `Strikes`; and one more, which may have come before but is only now noted.
                enough = came + stats["slots"] + 1
                while came < enough and not over.wait(0.001):
                    pass

        def is_settled() -> bool:
            # A worker reads, decodes and stands by: a thread each, of which a new one has not started all.
            workers = psutil.Process(loader.stats()["coordinator_pid"]).children()
            try:
                return [worker.num_threads() for worker in workers] == [3, 3, 3]
            except psutil.NoSuchProcess:
                return False

        assert eventually(is_settled)
        before = Use.now()
        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            while thread.is_alive():
                assert list(map(value, read())) == values(undisturbed)
        finally:
            over.set()
            thread.join()
        stats = loader.stats()
        print(f"\n  {came} batches, {dict(sent)}, {stats['restarts']} restarts", end="")  # noqa: T201
        assert stats["restarts"] > CHAOS // 4
        assert stats["failed_samples"] == 0
        assert eventually(is_settled)
        Use.now().assert_near(before)
