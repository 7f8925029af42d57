"""Trainers of every kind around `stokehold.torch.DataLoader`: with threads, loops, signals and sudden ends."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import Dataset

from stokehold.torch import DataLoader
from support import PROGRAM_SECONDS, eventually, run_trainer

pytestmark = pytest.mark.usefixtures("torch_started")

ROWS = 40


@pytest.fixture(scope="module", autouse=True)
def _started() -> None:
    with suppress(ImportError):
        import polars as pl  # noqa: PLC0415

        assert pl.DataFrame({"x": range(1000)}).select(pl.col("x").sum()).item() == 499_500


class Multiplied(Dataset[Any]):
    """Uses in the worker what the trainer has started threads for."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> Any:
        return (torch.ones(300, 300) @ torch.ones(300, 300))[0, 0] * index


def epoch() -> list[float]:
    return [float(value) for batch in DataLoader(Multiplied(), batch_size=4, num_workers=2) for value in batch]


EXPECTED = [300.0 * index for index in range(ROWS)]


def test_beside_threads_of_torch() -> None:
    torch.rand(2000, 2000) @ torch.rand(2000, 2000)
    assert epoch() == EXPECTED


def test_from_a_thread_that_ends() -> None:
    iterators: list[Any] = []

    def make() -> None:
        iterators.append(iter(DataLoader(Multiplied(), batch_size=4, num_workers=2)))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert [float(value) for batch in iterators.pop() for value in batch] == EXPECTED


def test_inside_an_asyncio_loop() -> None:
    async def trainer() -> list[float]:
        other = asyncio.create_task(asyncio.sleep(0.01))
        found = epoch()
        await other
        return found

    assert asyncio.run(trainer()) == EXPECTED


class Words(Dataset[Any]):
    """Uses a package with threads of its own, in Rust, in the trainer before and in the workers."""

    def __init__(self) -> None:
        tokenizers = pytest.importorskip("tokenizers")
        self.tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "coal": 1, "fire": 2}, "[UNK]"))
        self.tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        self.tokenizer.encode_batch(["coal fire"] * 2000)

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        return torch.tensor(
            [encoding.ids for encoding in self.tokenizer.encode_batch(["coal fire coal"] * (index + 100))]
        )


@pytest.mark.thorough
def test_beside_threads_of_tokenizers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    for batch in DataLoader(Words(), num_workers=2):
        assert batch[0, 0].tolist() == [1, 2, 1]


@pytest.mark.thorough
def test_beside_threads_of_polars() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"x": list(range(1000))})
    assert frame.select(polars.col("x").sum()).item() == 499_500
    # The workers get values; what polars does after a fork is polars' own.
    values = frame["x"].to_numpy()
    assert [int(batch) for batch in DataLoader(values[:6].tolist(), num_workers=2)] == [0, 1, 2, 3, 4, 5]


NOTEBOOK = """
import torch
from stokehold.torch import DataLoader

class InACell(torch.utils.data.Dataset):
    def __len__(self): return 6
    def __getitem__(self, index): return torch.full((1000,), index)

print(sum(int(batch.sum()) for batch in DataLoader(InACell(), num_workers=2)))
"""


KERNEL = """
import sys
from jupyter_client.manager import start_new_kernel

kernel, client = start_new_kernel()
lines = []
client.execute_interactive(
    sys.argv[1],
    timeout=200,
    output_hook=lambda message: lines.append(message["content"].get("text") or str(message["content"])),
)
client.stop_channels()
kernel.shutdown_kernel(now=True)
print("".join(lines))
"""


@pytest.mark.thorough
def test_in_a_notebook() -> None:
    pytest.importorskip("ipykernel")
    command = [sys.executable, "-W", "ignore", "-c", KERNEL, NOTEBOOK]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False)
    assert "15000\n" in result.stdout, result.stdout + result.stderr


XDIST = """
import pytest
from stokehold.torch import DataLoader

@pytest.mark.parametrize("number", range(4))
def test_loads(number):
    assert [int(batch) for batch in DataLoader(range(5), num_workers=2)] == [0, 1, 2, 3, 4]
"""


@pytest.mark.thorough
def test_under_xdist(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    (tmp_path / "test_inner.py").write_text(XDIST)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False, cwd=tmp_path)
    assert "4 passed" in result.stdout, result.stdout + result.stderr


class Nested(Dataset[Any]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        inner = DataLoader(range(index + 2), batch_size=2)
        return sum(int(batch.sum()) for batch in inner)


def test_a_loader_in_a_worker() -> None:
    assert [batch.tolist() for batch in DataLoader(Nested(), num_workers=1, batch_size=3)] == [[1, 3, 6]]


def test_a_loader_of_loaders() -> None:
    outer = DataLoader(range(3), num_workers=1)
    for first in outer:
        assert [int(each) for each in DataLoader(range(4), num_workers=1)] == [0, 1, 2, 3]
        assert int(first) in range(3)


TRAINER = """
import signal, sys, time, torch
from stokehold.torch import DataLoader

# A shell that starts programs in the background lets them ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

class Slow(torch.utils.data.Dataset):
    def __len__(self): return 1000
    def __getitem__(self, index):
        time.sleep(0.01)
        return torch.full((1000,), index)

loader = DataLoader(Slow(), batch_size=4, num_workers=2, persistent_workers={persistent})
for at, batch in enumerate(loader):
    if at == 2:
        print("under way", flush=True)
        {then}
"""


def run(then: str, persistent: bool) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Starts a trainer and waits until it is under way; returns its workers too."""
    code = TRAINER.format(then=then, persistent=persistent)
    trainer = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert trainer.stdout is not None
    assert trainer.stdout.readline() == "under way\n"
    return trainer, psutil.Process(trainer.pid).children(recursive=True)


LIMITED = """
import resource, torch
from stokehold.torch import DataLoader

resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, 8 << 20))

class Large(torch.utils.data.Dataset):
    def __len__(self): return 8
    def __getitem__(self, index): return torch.full((1 << 20,), float(index))

try:
    next(iter(DataLoader(Large(), batch_size=4, num_workers=1)))
except MemoryError as error:
    print("MemoryError", "RLIMIT_FSIZE" in str(error))
"""


def test_a_batch_over_a_limit_is_a_memory_error() -> None:
    """And no bus error in the middle of a write."""
    command = [sys.executable, "-c", LIMITED]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False)
    assert result.stdout == "MemoryError True\n", result.stdout + result.stderr


PERSISTENT = pytest.mark.parametrize("persistent", [False, pytest.param(True, marks=pytest.mark.thorough)])


def ended(workers: list[psutil.Process]) -> bool:
    return not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)


@PERSISTENT
@pytest.mark.parametrize("then", ["sys.exit(0)", "break", "del loader; sys.exit(0)"])
def test_a_trainer_that_ends_in_the_middle(then: str, persistent: bool) -> None:
    trainer, _ = run(then, persistent)
    output, errors = trainer.communicate(timeout=PROGRAM_SECONDS)
    assert (trainer.returncode, output, errors) == (0, "", "")


@PERSISTENT
@pytest.mark.parametrize("how", ["interrupt", "interrupt group", "terminate group", "kill"])
def test_a_trainer_that_is_ended(how: str, persistent: bool) -> None:
    trainer, workers = run("pass", persistent)
    assert len(workers) == 3  # With their template.
    number = {"interrupt": signal.SIGINT, "terminate": signal.SIGTERM, "kill": signal.SIGKILL}[how.split(maxsplit=1)[0]]
    if "group" in how:
        os.killpg(trainer.pid, number)
    else:
        trainer.send_signal(number)
    _, errors = trainer.communicate(timeout=PROGRAM_SECONDS)
    assert trainer.returncode != 0
    assert eventually(lambda: ended(workers))
    if "interrupt" in how:
        assert "KeyboardInterrupt" in errors


class Policies(Dataset[Any]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return os.sched_getscheduler(0)


def test_a_worker_does_not_take_the_trainers_processor() -> None:
    assert next(iter(DataLoader(Policies(), num_workers=1))).tolist() == [os.SCHED_BATCH]
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.filterwarnings("ignore:.set_vital. is deprecated")
@pytest.mark.parametrize("kind", ["DataLoader", "StatefulDataLoader"])
def test_a_copy_of_an_iterator_in_a_forked_process_ends_no_workers(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    module = pytest.importorskip("stokehold.torch")
    iterator = iter(getattr(module, kind)(range(ROWS), num_workers=2))
    found = [next(iterator)]
    child = os.fork()
    if child == 0:
        del iterator
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    found.extend(iterator)
    assert torch.cat(found).tolist() == list(range(ROWS))
    assert "Exception ignored" not in capfd.readouterr().err


def test_a_worker_keeps_a_policy_of_the_trainers_own() -> None:
    code = """
import torch
from stokehold.torch import DataLoader
class Policy(torch.utils.data.Dataset):
    def __len__(self): return 1
    def __getitem__(self, index): return os.sched_getscheduler(0)
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
say(next(iter(DataLoader(Policy(), num_workers=1))).item() == os.SCHED_IDLE)
"""
    assert run_trainer(code) == (0, "True\n", "")
