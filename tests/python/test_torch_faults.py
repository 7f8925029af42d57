"""What becomes of `stokehold.torch.DataLoader` when samples fail and workers die."""

from __future__ import annotations

import os
import pickle
import re
import signal
import sys
import time
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset, IterableDataset

from stokehold.torch import DataLoader
from support import eventually, is_running

pytestmark = pytest.mark.usefixtures("torch_started")

ROWS = 48


class Failing(Dataset[Any]):
    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> Any:
        if index == 9:
            raise KeyError("no such thing")
        return torch.full((3,), index)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_is_torchs_with_the_index(workers: int) -> None:
    results = []
    for loader in (TorchDataLoader, DataLoader):
        iterator = iter(loader(Failing(), batch_size=4, num_workers=workers))
        labels, texts = [], []
        for _ in range(ROWS // 4):
            try:
                labels.append(next(iterator)[:, 0].tolist())
            except KeyError as error:
                texts.append(str(error).replace("\\n", "\n").split("Traceback")[0])
                notes = getattr(error, "__notes__", [])
        results.append((labels, texts))
    assert results[0] == results[1]
    assert notes == (["stokehold: sample index 9"] if workers else [])
    assert len(results[1][0]) == ROWS // 4 - 1


class Deadly(Dataset[Any]):
    """A sample that ends its worker, as often as there are files to take away."""

    def __init__(self, lives: Path, how: int = signal.SIGKILL) -> None:
        self.lives = lives
        self.how = how

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> Any:
        if index == 21:
            for life in sorted(self.lives.iterdir()):
                life.unlink()
                os.kill(os.getpid(), self.how)
                time.sleep(300)
        return np.full((3, 64, 64), index, np.float32), index


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
@pytest.mark.parametrize("persistent", [False, True])
def test_a_dead_worker_is_replaced(tmp_path: Path, how: int, persistent: bool) -> None:
    (tmp_path / "1").touch()
    loader = DataLoader(Deadly(tmp_path, how), batch_size=4, num_workers=2, persistent_workers=persistent)
    for _ in range(2):
        images, labels = zip(*loader, strict=True)
        assert torch.cat(labels).tolist() == list(range(ROWS))
        assert torch.cat(images)[:, 0, 0, 0].tolist() == list(range(ROWS))
    assert not list(tmp_path.iterdir())


def test_a_batch_that_ends_two_workers_raises(tmp_path: Path) -> None:
    for life in range(5):
        (tmp_path / str(life)).touch()
    loader = DataLoader(Deadly(tmp_path), batch_size=4, num_workers=2)
    said = r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly: killed by signal: Killed\."
    with pytest.raises(RuntimeError, match=said) as caught:
        list(loader)
    assert "[20, 21, 22, 23]" in caught.value.__notes__[0]
    assert re.fullmatch(r"DataLoader worker \(pid \d+\) is killed by signal: Killed\.", str(caught.value.__cause__))
    assert len(list(tmp_path.iterdir())) == 3


def test_raise_is_torchs_answer(tmp_path: Path) -> None:
    (tmp_path / "1").touch()
    loader = DataLoader(Deadly(tmp_path), batch_size=4, num_workers=2, on_worker_death="raise")
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        list(loader)


def test_an_idle_worker_that_is_killed_is_replaced() -> None:
    loader = DataLoader(range(ROWS), batch_size=2, num_workers=2, prefetch_factor=1)
    iterator = iter(loader)
    found = [next(iterator)]
    victims = [worker.pid for worker in iterator._workers]
    time.sleep(0.3)
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    found.extend(iterator)
    assert torch.cat(found).tolist() == list(range(ROWS))
    assert not any(map(is_running, victims))


def test_a_worker_that_is_killed_between_two_epochs_is_replaced() -> None:
    loader = DataLoader(range(ROWS), batch_size=4, num_workers=2, persistent_workers=True)
    for _ in range(5):
        assert torch.cat(list(loader)).tolist() == list(range(ROWS))
        victim = loader._iterator._workers[1].pid
        os.kill(victim, signal.SIGKILL)
        assert ended(victim)


def ended(pid: int) -> bool:
    return eventually(lambda: not is_running(pid))


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        yield 1
        os.kill(os.getpid(), signal.SIGKILL)
        yield 2


def test_a_dead_worker_of_a_stream_raises() -> None:
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        list(DataLoader(Stream(), num_workers=1))


class Slow(Dataset[Any]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        if index == 1:
            time.sleep(300)
        return index


def test_a_timeout_is_torchs() -> None:
    iterator = iter(DataLoader(Slow(), num_workers=2, timeout=3))
    assert next(iterator).tolist() == [0]
    with pytest.raises(RuntimeError, match="DataLoader timed out after 3 seconds") as caught:
        next(iterator)
    # Who is stuck, with what, and where.
    (note,) = caught.value.__notes__
    assert re.match(r"stokehold: worker 1 \(pid \d+\) is at batch 1, indices \[1\]:\n", note)
    assert "__getitem__" in note
    assert "test_torch_faults.py" in note


class Unsendable(Dataset[Any]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        return (lambda: index) if index == 3 else index


def nothing(samples: list[Any]) -> Any:
    return samples


def test_what_cannot_be_sent_is_an_error_and_no_hang() -> None:
    iterator = iter(DataLoader(Unsendable(), num_workers=1, collate_fn=nothing))
    assert [next(iterator) for _ in range(3)] == [[0], [1], [2]]
    with pytest.raises(Exception, match="<lambda>") as said:
        pickle.dumps(Unsendable()[3])
    with pytest.raises(said.type, match=re.escape(str(said.value))):
        next(iterator)
    assert next(iterator) == [4]


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
@pytest.mark.parametrize("kind", ["DataLoader", "StatefulDataLoader"])
def test_what_cannot_be_sent_or_received_is_an_error_of_its_batch(kind: str) -> None:
    loader = getattr(pytest.importorskip("stokehold.torch"), kind)
    for dataset in (Unsendable(), Unreceivable()):
        iterator = iter(loader(dataset, num_workers=2, collate_fn=nothing))
        assert [next(iterator) for _ in range(3)] == [[0], [1], [2]]
        with pytest.raises((ValueError, AttributeError, pickle.PicklingError), match=r"<lambda>|of the worker's"):
            next(iterator)
        assert list(iterator) == [[4], [5], [6], [7]]


class Own:
    """Something that only the process that made it can read."""

    def __reduce__(self) -> Any:
        return made_in, (os.getpid(),)


def made_in(pid: int) -> Any:
    if pid != os.getpid():
        raise ValueError("of the worker's")
    return Own()


class Unreceivable(Dataset[Any]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        return Own() if index == 3 else index


class Raises(Dataset[Any]):
    """Raises exceptions of classes that cannot be pickled, or that only the worker has."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        if index == 0:
            raise_one(self.how)
        return index


def raise_one(how: str) -> None:
    base: Any = KeyError if how == "key" else ValueError

    class BrokenRecordError(base):
        def __init__(self, *parts: Any) -> None:
            super().__init__(*parts)
            if how == "several":
                _, _ = parts

    if how == "module":
        module = types.ModuleType("of_the_worker")
        sys.modules["of_the_worker"] = module
        BrokenRecordError.__module__, BrokenRecordError.__qualname__ = module.__name__, "BrokenRecordError"
        module.BrokenRecordError = BrokenRecordError  # type: ignore[attr-defined]
    raise BrokenRecordError(*["record 17", "is broken"][: 2 if how == "several" else 1])


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
@pytest.mark.parametrize("kind", ["DataLoader", "StatefulDataLoader"])
@pytest.mark.parametrize(("how", "base"), [("value", ValueError), ("key", KeyError), ("module", ValueError)])
def test_an_exception_of_a_class_that_cannot_be_pickled_keeps_its_reason(kind: str, how: str, base: type) -> None:
    iterator = iter(getattr(pytest.importorskip("stokehold.torch"), kind)(Raises(how), num_workers=1))
    with pytest.raises(base, match="record 17") as caught:
        next(iterator)
    assert caught.type.__name__ == "BrokenRecordError"
    assert str(caught.value).startswith("Caught BrokenRecordError in DataLoader worker process 0.")
    assert "in __getitem__" in str(caught.value)
    assert caught.value.__notes__ == ["stokehold: sample index 0"]
    assert next(iterator).tolist() == [1]


def test_an_exception_that_needs_several_arguments_keeps_its_reason() -> None:
    with pytest.raises(ValueError, match=r"(?s)Caught BrokenRecordError in DataLoader worker process 0.*is broken"):
        next(iter(DataLoader(Raises("several"), num_workers=1)))


@pytest.mark.parametrize("at", ["collate_fn", "worker_init_fn"])
def test_an_exception_of_any_function_keeps_its_reason(at: str) -> None:
    function: dict[str, Any] = {at: lambda _: raise_one("value")}
    with pytest.raises(ValueError, match="record 17"):
        next(iter(DataLoader(range(2), num_workers=1, **function)))


class Holds(Dataset[Any]):
    def __init__(self) -> None:
        self.name = "fine"
        self.connection = lambda: None

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return index


def test_what_cannot_be_spawned_names_the_attribute() -> None:
    said = []
    for loader in (TorchDataLoader, DataLoader):
        made = loader(Holds(), num_workers=1, multiprocessing_context="spawn")
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with pytest.raises(Exception, match="<lambda>") as caught:
                iter(made)
        said.append((caught.type, str(caught.value), [str(each.message) for each in warned]))
    assert said[0] == said[1]
    note = "stokehold: the dataset's attribute `connection` cannot be sent to a worker that is spawned"
    assert note in caught.value.__notes__
