"""How batches of `stokehold.torch.DataLoader` lie in memory, when that is given back, and how its processes end."""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import resource
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset

import stokehold.torch
from stokehold import _native
from stokehold.torch import DataLoader
from stokehold.torch.channel import Channel
from stokehold.torch.memory import Space
from stokehold.torch.packing import pack, pack_plain, unpack, unpack_plain
from stokehold.torch.sockets import pair
from stokehold.torch.worker_end import PAUSE, WorkerEnd
from support import eventually, is_running, run_trainer, trainer

pytestmark = [
    pytest.mark.usefixtures("torch_started"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),
]

KINDS = ["DataLoader", "StatefulDataLoader"]
MIB = 1 << 20


class Made(Dataset[Any]):
    """One sample that a function makes."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return self.make()


def both(make: Callable[[], Any]) -> list[Any]:
    """What PyTorch's loader gives, and ours."""
    kinds: Any = (TorchDataLoader, DataLoader)
    return [next(iter(kind(Made(make), None, num_workers=1, collate_fn=as_it_is))) for kind in kinds]


def as_it_is(sample: Any) -> Any:
    return sample


VIEWS: dict[str, Callable[[], Any]] = {
    "expand": lambda: torch.arange(6.0).reshape(2, 1, 3).expand(4, 2, 500, 3),
    "broadcast_to": lambda: torch.broadcast_to(torch.arange(5), (7000, 5)),
    "unfold": lambda: torch.arange(9000.0).unfold(0, 4000, 3),
    "as_strided": lambda: torch.arange(100).as_strided((5, 6, 4), (3, 0, 2), 11),
    "scalar": lambda: torch.tensor(3, dtype=torch.int16).expand(2, 3),
    "transposed": lambda: torch.arange(24).reshape(2, 3, 4).permute(2, 0, 1),
    "channels last": lambda: torch.arange(120).reshape(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    "stepped": lambda: torch.arange(40).reshape(4, 10)[1:, ::3],
    "flipped dtype": lambda: torch.arange(8, dtype=torch.float64).view(torch.int16)[3:],
    "bool": lambda: torch.tensor([True, False]).expand(3, 2),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_keep_strides_and_repeated_memory(name: str) -> None:
    right, seen = both(VIEWS[name])
    assert torch.equal(seen, right)
    assert (seen.dtype, seen.stride()) == (right.dtype, right.stride())
    assert seen.untyped_storage().nbytes() <= right.untyped_storage().nbytes()


def overlapping() -> Any:
    series = torch.zeros(1000, dtype=torch.int32)
    return {
        "all": series,
        "tail": series[900:],
        "even": series[::2],
        "same": [series],
        "bytes": series.view(torch.uint8),
    }


def test_views_of_one_storage_stay_together() -> None:
    for found in both(overlapping):
        found["all"].fill_(1)
        found["tail"].add_(1)
        assert found["even"].sum() == 450 + 2 * 50
        assert found["bytes"].view(torch.int32).sum() == 900 + 2 * 100
        assert found["same"][0] is found["all"]
        assert len({each.untyped_storage().data_ptr() for each in (found["all"], found["tail"], found["even"])}) == 1


def test_what_one_view_shows_alone_is_all_that_goes_over() -> None:
    def ends() -> Any:
        large = torch.zeros(8 * MIB, dtype=torch.uint8)
        return large[:10], large[-10:], large.view(-1, 1024)[:, 7]

    found = next(iter(DataLoader(Made(ends), None, num_workers=1)))
    assert [each.untyped_storage().nbytes() for each in found][:2] == [10, 16]
    assert found[2].is_contiguous()


def test_a_batch_of_tensors_comes_without_a_pickle_of_them() -> None:
    space = Space(None)
    one, two = space.empty(torch.int64, (3, 2)), space.empty(torch.float32, (4,))
    one.fill_(1)
    two.fill_(2)
    roots = [segment.bytes for segment in space.segments]
    for value in (one, [one, two], (one,), {"a": one, "b": two}, [], {}):
        packed = pack_plain(value, space)
        if packed is None:
            assert value == {}
            continue
        found = unpack_plain(packed, roots)
        assert type(found) is type(value)
        assert str(found) == str(value)
    for value in ([one, one], [one.T], [one, 1], {1: one}, torch.ones(3), "x"):
        assert pack_plain(value, space) is None
        assert str(unpack(pack(value, space), [segment.bytes for segment in space.segments])) == str(value)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_keep_their_order(order: Any) -> None:
    right, seen = both(lambda: np.arange(24).reshape(2, 3, 4).copy(order))
    assert (seen == right).all()
    assert seen.strides == right.strides


SIZES = ([1] * 9 + [12]) * 5


class Varying(Dataset[Any]):
    """Arrays of so many MiB."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> Any:
        return torch.full((self.sizes[index] * MIB,), index, dtype=torch.uint8)


def shared() -> float:
    """How many MiB of batches this process has touched and not given back."""
    total, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = "stokehold-batch" in line
        elif ours and line.startswith("Rss:"):
            total += int(line.split()[1])
    return total / 1024


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("kind", KINDS)
def test_a_rare_large_batch_makes_the_others_no_larger(kind: str) -> None:
    loader = getattr(stokehold.torch, kind)(Varying(SIZES), None, num_workers=4, persistent_workers=True)
    before, most = shared(), 0.0
    for _ in range(2):
        for index, batch in enumerate(loader):
            assert batch[0] == index
            assert len(batch) == SIZES[index] * MIB
            del batch
            most = max(most, shared() - before)
    # 8 are made ahead; were all slots as large as the largest batch, it would be 108.
    assert most < 60


def test_pages_are_given_back_between_epochs() -> None:
    loader: Any = DataLoader(Varying([8] * 12), None, num_workers=2, persistent_workers=True)
    before = shared()
    for _ in range(3):
        for index, batch in enumerate(loader):
            assert (batch[0], batch[-1]) == (index, index)
            del batch
        assert eventually(lambda: shared() - before < 4)


def test_slots_that_rest_are_taken_back_by_the_next_epoch() -> None:
    loader: Any = DataLoader(Varying([8] * 40), None, num_workers=2, persistent_workers=True)
    list(map(int, (batch[0] for batch in loader)))
    for _ in range(3):
        before = loader._slots.count()[0]
        iterator = iter(loader)
        assert loader._slots.count()[0] == before
        for index, batch in enumerate(iterator):
            assert (batch[0], batch[-1]) == (index, index)
            del batch


@pytest.mark.parametrize("first", ["trainer", "worker"])
def test_pages_of_a_slot_go_or_it_is_taken_back(first: str) -> None:
    slots = _native.Slots()
    slots.learn(5000)
    channel = Channel(0, slots)
    end = WorkerEnd(channel.worker_end)
    channel.put((0, [1]))
    assert end.get(0) == (0, [1])
    end.space.empty(torch.uint8, (4096,)).fill_(7)
    end.put((0, None))
    assert channel.receive() == ((0, 0), None)
    assert channel.rest(slots.take_free()) == []
    assert slots.count() == (1, 0)
    for who in ("trainer", "worker") if first == "trainer" else ("worker", "trainer"):
        if who == "trainer":
            channel.recall()
        else:
            with pytest.raises(Empty):
                end.get(PAUSE)
    if first == "trainer":
        slot = slots.take(0)
        assert slot is not None
        assert memoryview(slot)[0] == 7
    else:
        # It is the worker's until that answers.
        assert slots.count() == (1, 0)
        assert memoryview(channel.sent[-1].slots[0].memory)[0] == 0
    channel.close()
    end.close()


def test_nothing_is_held_after_an_epoch_whose_workers_end() -> None:
    loader: Any = DataLoader(Varying([2] * 12), None, num_workers=2)
    for _ in range(2):
        held = list(loader)
        assert [int(batch[0]) for batch in held] == list(range(12))
        del held
        assert loader._slots.count() == (0, 0)


def test_a_slot_that_a_worker_has_is_lost_with_it() -> None:
    slots = _native.Slots()
    slots.learn(5000)
    slot = slots.take(0)
    assert slot is not None
    slot.lend()
    with pytest.raises(BufferError, match="a worker has this slot"):
        memoryview(slot)
    slot.returned()
    view = memoryview(slot)
    del slot
    assert slots.count() == (1, 0)
    del view
    assert slots.count() == (1, 1)
    slot = slots.take(0)
    assert slot is not None
    slot.lend()
    del slot
    slots.clear()
    assert slots.count() == (1, 0)


@pytest.mark.parametrize(
    "use", [next, iter, len, lambda iterator: iterator._reset(None)], ids=["next", "iter", "len", "reset"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_forked_process_may_not_use_an_iterator(kind: str, use: Callable[[Any], Any]) -> None:
    iterator = iter(getattr(stokehold.torch, kind)(range(20), num_workers=2, persistent_workers=True))
    found = [next(iterator)]
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            use(iterator)
        except RuntimeError as error:
            os.write(theirs, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(theirs)
    said = os.read(ours, 4096).decode()
    os.close(ours)
    assert said.startswith(
        f"this iterator belongs to process {os.getpid()}, from which this process, {child}, was forked"
    )
    found += iterator
    assert torch.cat(found).tolist() == list(range(20))


@pytest.mark.parametrize("kind", KINDS)
def test_a_forked_process_with_an_iterator_of_its_own_leaves_batches_alone(kind: str) -> None:
    loader = getattr(stokehold.torch, kind)(Varying([1] * 12), 2, num_workers=1)
    list(loader)
    iterator = iter(loader)
    held = [next(iterator) for _ in range(3)]
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            for batch in loader:
                batch.numpy()[:] = 99  # PyTorch would wait for threads that a fork does not have.
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    held += iterator
    assert [batch[:, 0].tolist() for batch in held] == [[2 * at, 2 * at + 1] for at in range(6)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rng", ["worker", "sample"])
def test_workers_end_with_their_loader_without_the_collector(kind: str, rng: str) -> None:
    loader = getattr(stokehold.torch, kind)(range(8), 4, num_workers=2, persistent_workers=True, rng=rng)
    list(loader)
    pids = [worker.pid for worker in loader._iterator._workers]
    gc.collect()
    gc.disable()
    try:
        del loader
        assert not any(map(is_running, pids))
    finally:
        gc.enable()


STUCK = """
import signal, time, torch
from stokehold.torch import DataLoader

class Stuck(torch.utils.data.Dataset):
    def __len__(self): return 40
    def __getitem__(self, index):
        if index >= 8:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(1000)
        return index

iterator = iter(DataLoader(Stuck(), 4, num_workers=2, persistent_workers={persistent}))
next(iterator)
if {stop}:
    for worker in iterator._workers:
        os.kill(worker.pid, signal.SIGSTOP)
say(*[worker.pid for worker in iterator._workers], iterator._pool._template._process.pid)
{then}
"""


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.parametrize("then", ["del iterator; say('gone')", "say('gone')"])
def test_a_worker_that_does_not_answer_keeps_nobody(then: str, stop: bool) -> None:
    status, said, errors = run_trainer(STUCK.format(persistent=stop, stop=stop, then=then))
    assert (status, errors) == (0, "")
    *pids, gone = said.split()
    assert gone == "gone"
    assert eventually(lambda: not any(is_running(int(pid)) for pid in pids))


def test_a_worker_that_is_stopped_ends_with_a_killed_trainer() -> None:
    with trainer(STUCK.format(persistent=False, stop=True, then="time.sleep(1000)")) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        process.kill()
        process.wait()
        assert eventually(lambda: not any(map(is_running, pids)))


class Parent(Dataset[Any]):
    """Its first worker that comes to number 4 is killed, and leaves a process behind that has its descriptors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        once = self.folder / "once"
        if index == 4 and not once.exists():
            child = os.fork()
            if child == 0:
                time.sleep(1000)
                os._exit(0)
            once.write_text(str(child))
            os.kill(os.getpid(), signal.SIGKILL)
        return index


@pytest.mark.parametrize("kind", KINDS)
def test_a_death_is_noticed_that_another_process_hides(tmp_path: Path, kind: str) -> None:
    # Nobody looks whether workers are there, until the time is up.
    loader = getattr(stokehold.torch, kind)(Parent(tmp_path), 2, num_workers=2, timeout=200)
    try:
        assert torch.cat(list(loader)).tolist() == list(range(8))
    finally:
        os.kill(int((tmp_path / "once").read_text()), signal.SIGKILL)


class Slow(Dataset[Any]):
    """Takes a while to arrive in a worker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return index

    def __reduce__(self) -> Any:
        return arrive, (self.folder,)


def arrive(folder: Path) -> Slow:
    assert eventually((folder / "go").exists)
    return Slow(folder)


def test_a_worker_that_is_asked_before_it_has_begun_goes_on(tmp_path: Path) -> None:
    iterator = iter(DataLoader(Slow(tmp_path), 4, num_workers=1, timeout=1, multiprocessing_context="spawn"))
    pid = iterator._workers[0].pid
    for _ in range(2):
        with pytest.raises(RuntimeError, match="timed out") as caught:
            next(iterator)
        assert "It has not begun yet." in caught.value.__notes__[0]
    (tmp_path / "go").touch()
    found = None
    while found is None:
        with suppress(RuntimeError):
            found = next(iterator)
    assert found.tolist() == [0, 1, 2, 3]
    assert iterator._workers[0].pid == pid


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Leaves this process no descriptor."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, before[1]))
    held: list[int] = []
    try:
        with suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Large(Dataset[Any]):
    """Rows, of which one may be read without a descriptor left."""

    def __init__(self, hungry: int = -1) -> None:
        self.hungry = hungry

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> Any:
        if index == self.hungry:
            self.held = no_descriptors()
            self.held.__enter__()
        return torch.full((1000,), index)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_whose_memory_does_not_come_says_why(kind: str) -> None:
    iterator = iter(getattr(stokehold.torch, kind)(Large(), 2, num_workers=2))
    said, found = [], []
    with no_descriptors():
        for _ in range(8):
            try:
                found.append(next(iterator)[:, 0].tolist())
            except (OSError, RuntimeError) as error:
                said.append(str(error))
    assert said
    assert all("ulimit -n" in text for text in said)
    assert len(found) + len(said) == 8
    assert found == [[2 * at, 2 * at + 1] for at in range(8)][len(said) :]
    assert torch.cat(list(getattr(stokehold.torch, kind)(Large(), 2, num_workers=2)))[:, 0].tolist() == list(range(16))


def test_ends_that_nobody_has_are_closed_without_a_warning() -> None:
    # The garbage collector may ask a socket to end before the iterator that would have closed it.
    before = set(Path("/proc/self/fd").iterdir())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        circle: list[Any] = [*pair()]
        circle.append(circle)
        del circle
        gc.collect()
    assert caught == []
    assert set(Path("/proc/self/fd").iterdir()) <= before


def test_a_worker_without_descriptors_says_so() -> None:
    iterator = iter(DataLoader(Large(hungry=2), 2, num_workers=2))
    assert next(iterator)[:, 0].tolist() == [0, 1]
    with pytest.raises(OSError, match="Too many open files"):
        next(iterator)
    iterator._shutdown_workers()


def test_neither_memfds_nor_eventfds_are_needed() -> None:
    code = """
import ctypes, errno, struct
libc = ctypes.CDLL(None, use_errno=True)
REFUSED = {319, 290}  # memfd_create and eventfd2 of x86-64
rules = [(0x20, 0, 0, 0)]
for number in REFUSED:
    rules += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | errno.EPERM)]
rules += [(0x06, 0, 0, 0x7FFF0000)]
program = b"".join(struct.pack("HBBI", *rule) for rule in rules)
buffer = ctypes.create_string_buffer(program)
class Program(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("rules", ctypes.c_void_p)]
libc.prctl(38, 1, 0, 0, 0)
refused = libc.prctl(22, 2, ctypes.byref(Program(len(rules), ctypes.addressof(buffer))), 0, 0) == 0
import torch
from stokehold.torch import DataLoader
try:
    os.eventfd(0)
    say("not refused")
except OSError:
    say([batch.tolist() for batch in DataLoader(range(6), 3, num_workers=2)])
"""
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers of the calls are those of x86-64")
    status, said, errors = run_trainer(code)
    if said == "not refused\n":
        pytest.skip("calls cannot be refused here")
    assert (status, said, errors) == (0, "[[0, 1, 2], [3, 4, 5]]\n", "")


class Scores(Dataset[Any]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return int(Path("/proc/self/oom_score_adj").read_text())


def test_where_memory_runs_out_a_worker_goes_before_its_trainer() -> None:
    assert next(iter(DataLoader(Scores(), None, num_workers=1))) >= max(500, Scores()[0])


def test_workers_of_the_fork_server_take_it_for_their_parent(tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    context = multiprocessing.get_context("forkserver")
    assert [
        batch.tolist() for batch in DataLoader(Slow(tmp_path), 2, num_workers=1, multiprocessing_context=context)
    ] == [
        [0, 1],
        [2, 3],
    ]
