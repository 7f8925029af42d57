"""What a worker that replaces another one begins with, and when none is replaced."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import Dataset

import stokehold.torch
from stokehold.torch import DataLoader
from support import accelerators, eventually, is_running

pytestmark = [
    pytest.mark.usefixtures("torch_started"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # torchdata still calls it.
]

ROWS = 24
THOROUGH = pytest.mark.thorough
KINDS = ["DataLoader", "StatefulDataLoader"]


@pytest.fixture(scope="module", autouse=True)
def _heap() -> None:
    """What `multiprocessing` and PyTorch keep for what is shared, once there was some: a heap and a process."""
    multiprocessing.get_context("spawn").Value("i")
    strategy = torch.multiprocessing.get_sharing_strategy()
    torch.multiprocessing.set_sharing_strategy("file_system")
    torch.ones(1).share_memory_()
    torch.multiprocessing.set_sharing_strategy(strategy)


class Scaled(Dataset[Any]):
    """Samples that are what the dataset holds, by itself, inside of something, and shared with other processes."""

    def __init__(self, *, shares: bool = False) -> None:
        self.scale = 1
        self.inner = {"scales": [1]}
        self.tensor = torch.ones(1).share_memory_() if shares else None
        self.number: Any = multiprocessing.get_context("spawn").Value("i", 1) if shares else None

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> Any:
        time.sleep(0.002)
        shared = [] if self.tensor is None else [int(self.tensor[0]), self.number.value]
        return [self.scale, self.inner["scales"][-1], *shared]

    def change(self, scale: int) -> None:
        self.scale = scale
        self.inner["scales"].append(scale)
        if self.tensor is not None:
            self.tensor[0] = self.number.value = scale


class Adds:
    """A collate function with something of its own to add."""

    def __init__(self) -> None:
        self.more = 0

    def __call__(self, samples: list[Any]) -> Any:
        return torch.tensor(samples) + self.more


def kill_all(iterator: Any) -> None:
    victims = [worker.pid for worker in iterator._workers]
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    assert eventually(lambda: not any(map(is_running, victims)))


@pytest.mark.parametrize(
    ("kind", "method", "workers"),
    [
        ("DataLoader", "fork", 2),
        ("StatefulDataLoader", "fork", 2),
        # Each of these imports PyTorch anew.
        ("DataLoader", "spawn", 1),
        pytest.param("StatefulDataLoader", "spawn", 1, marks=THOROUGH),
        pytest.param("DataLoader", "spawn", 2, marks=THOROUGH),
        pytest.param("DataLoader", "forkserver", 2, marks=THOROUGH),
    ],
)
def test_a_replaced_worker_has_the_dataset_of_the_start(kind: str, method: str, workers: int) -> None:
    dataset, adds = Scaled(shares=True), Adds()
    loader = getattr(stokehold.torch, kind)(
        dataset, 2, num_workers=workers, collate_fn=adds, multiprocessing_context=method, persistent_workers=True
    )
    for epoch in range(workers):
        iterator = iter(loader)
        found = [next(iterator)]
        dataset.change(7 + epoch)
        adds.more = 100
        kill_all(iterator)
        found += iterator
        assert len(torch.cat(found)) == ROWS
        assert torch.cat(found)[:, :2].tolist() == [[1, 1]] * ROWS
        # What is shared is what it is now, as for the workers that there were.
        assert torch.cat(found)[-1, 2:].tolist() == [7 + epoch, 7 + epoch]


def test_a_new_iterator_has_the_dataset_of_its_own_start() -> None:
    dataset = Scaled()
    loader = DataLoader(dataset, 2, num_workers=2)
    for scale in (1, 2, 3):
        iterator = iter(loader)
        dataset.change(scale + 1)
        kill_all(iterator)
        assert {tuple(row) for batch in iterator for row in zip(*[each.tolist() for each in batch], strict=True)} == {
            (scale, scale)
        }


def test_workers_that_replace_others_are_like_them() -> None:
    class Posture(Dataset[Any]):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> Any:
            info = torch.utils.data.get_worker_info()
            process = multiprocessing.current_process()
            handlers = [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
            return [info.id, info.num_workers, info.seed, process.daemon, os.sched_getscheduler(0), handlers]

    def first(*, kill: bool) -> Any:
        torch.manual_seed(1)
        iterator = iter(DataLoader(Posture(), None, num_workers=2))
        if kill:
            kill_all(iterator)
            next(iterator)
            next(iterator)
            assert len(iterator._workers) == 2
        return next(iterator)

    assert first(kill=True) == first(kill=False)


def test_without_its_template_a_worker_is_not_replaced() -> None:
    iterator = iter(DataLoader(Scaled(), 2, num_workers=2))
    template = iterator._pool._template._process
    template.kill()
    template.join()
    kill_all(iterator)
    with pytest.raises(RuntimeError, match="killed by signal: Killed") as caught:
        list(iterator)
    assert any("the process that keeps the dataset as it was has ended" in note for note in caught.value.__notes__)


@pytest.mark.thorough
def test_what_is_shared_by_file_names_is_not_kept() -> None:
    strategy = torch.multiprocessing.get_sharing_strategy()
    torch.multiprocessing.set_sharing_strategy("file_system")
    try:
        iterator = iter(DataLoader(Scaled(shares=True), 2, num_workers=1, multiprocessing_context="spawn"))
        next(iterator)
        kill_all(iterator)
        with pytest.raises(RuntimeError, match="killed by signal") as caught:
            list(iterator)
        assert any("shares by file names" in note for note in caught.value.__notes__)
    finally:
        torch.multiprocessing.set_sharing_strategy(strategy)


def test_nothing_is_kept_where_nothing_is_replaced() -> None:
    iterator = iter(DataLoader(Scaled(), 2, num_workers=1, on_worker_death="raise"))
    assert iterator._pool._template is None


class Deadly(Dataset[Any]):
    """Ends its worker at each sample, as long as there is a file that says so, and notes each end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        if (self.folder / "deadly").exists():
            (self.folder / f"death of {os.getpid()}").touch()
            os._exit(3)
        return index

    def deaths(self) -> int:
        return len(list(self.folder.glob("death*")))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_dataset_that_ends_every_worker_raises_after_two_ends_of_one_batch(
    tmp_path: Path, kind: str, workers: int
) -> None:
    (tmp_path / "deadly").touch()
    dataset = Deadly(tmp_path)
    loader = getattr(stokehold.torch, kind)(dataset, 2, num_workers=workers, persistent_workers=True)
    iterator = iter(loader)
    with pytest.raises(RuntimeError, match=r"exited unexpectedly: exit code 3"):
        next(iterator)
    # Each began with a batch, and only one of the batches was tried again.
    assert dataset.deaths() == workers + 1
    with pytest.raises(RuntimeError, match=r"exited unexpectedly: exit code 3"):
        next(iterator)
    assert dataset.deaths() == workers + 1
    # Another epoch is another attempt.
    (tmp_path / "deadly").unlink()
    assert torch.cat(list(loader)).tolist() == list(range(12))


class Counted(Dataset[Any]):
    """A map-style dataset with a state of its own in each worker."""

    def __init__(self) -> None:
        self.calls = 0

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> Any:
        self.calls += 1
        return self.calls

    def state_dict(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.calls = state["calls"]


def test_a_worker_with_a_state_of_its_own_is_not_replaced() -> None:
    """Its state would be mixed with that of another one."""
    iterator = iter(stokehold.torch.StatefulDataLoader(Counted(), 2, num_workers=2))
    next(iterator)
    kill_all(iterator)
    with pytest.raises(RuntimeError, match="killed by signal") as caught:
        list(iterator)
    assert any("its dataset has a state" in note for note in caught.value.__notes__)


class Holds(Dataset[Any]):
    def __init__(self) -> None:
        self.connection = lambda: None

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return index


@pytest.mark.parametrize("kind", KINDS)
def test_warnings_name_the_users_line(kind: str) -> None:
    loader = getattr(stokehold.torch, kind)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", message="'set_vital' is deprecated")
        # Of JAX, where another test has imported it, and of Python from 3.12 on.
        warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called|.* is multi-threaded, use of fork")
        loader(range(3), num_workers=200)
        made = loader(range(3), num_workers=1, pin_memory=not accelerators().is_available())
        iter(made)
        with pytest.raises(Exception, match="lambda"):
            iter(loader(Holds(), num_workers=1, multiprocessing_context="spawn"))
    assert len(caught) >= 2
    assert {each.filename for each in caught} == {__file__}
    assert len({each.lineno for each in caught}) == len(caught)
