"""Killed, stopped and starved processes; refused system calls; limits; ends of the interpreter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import stokehold as sh
from support import (
    PATIENCE_SECONDS,
    PROGRAM_SECONDS,
    Strikes,
    eventually,
    image_loader,
    is_running,
    order,
    pool_pids,
    run_trainer,
    trainer,
    value,
    values,
)


def workers_of(loader: sh.Loader) -> list[int]:
    return [worker["pid"] for worker in loader.stats()["workers"]]


# Workers and the coordinator.


def test_killed_workers_change_nothing(folder: Path) -> None:
    expected = values(image_loader(folder, num_workers=0, batch_size=2), epochs=16)
    with image_loader(folder, num_workers=2, batch_size=2, prefetch=2) as loader:
        strikes, seen = Strikes(loader), []
        for _ in range(16):
            for batch in loader:
                seen.append(value(batch))
                strikes.delivered()
                # One of them, or both at once: the second must not be blamed for what the first had in hand.
                strikes.kill(1 + len(seen) % 2)
        assert seen == expected
        assert eventually(lambda: loader.stats()["restarts"] == len(strikes.killed))
        assert len(strikes.killed) > 40
        stats = loader.stats()
        assert len(stats["workers"]) == 2
        assert len(stats["endings"]) == min(len(strikes.killed), 100)
        assert "9" in stats["endings"][0] or "KILL" in stats["endings"][0]
        assert stats["failed_samples"] == 0


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT])
def test_a_worker_may_end_by_any_signal(folder: Path, number: signal.Signals) -> None:
    expected = values(image_loader(folder, num_workers=0))
    with image_loader(folder, num_workers=1, prefetch=1) as loader:
        batches = iter(loader)
        seen = [value(next(batches))]
        os.kill(workers_of(loader)[0], number)
        seen += map(value, batches)
        assert seen == expected
        assert eventually(lambda: loader.stats()["restarts"] == 1)


def test_a_stopped_worker_is_reported_and_replaced(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = values(image_loader(folder, num_workers=0, batch_size=2), epochs=2)
    with image_loader(folder, num_workers=2, batch_size=2, prefetch=2, stall_timeout=1) as loader:
        batches = iter(loader)
        seen = [value(next(batches))]
        stopped = workers_of(loader)[0]
        os.kill(stopped, signal.SIGSTOP)
        seen += map(value, batches)
        seen += values(loader)
        assert seen == expected
        assert eventually(lambda: loader.stats()["restarts"] == 1)
        assert not is_running(stopped)
        assert "stalled" in loader.stats()["endings"][0]
    (report,) = [record.getMessage() for record in caplog.records if record.name == "stokehold"]
    assert f"worker 0 (pid {stopped}) stalled: no sample finished in 1 s" in report
    assert "state T" in report
    assert "in hand: sample " in report


def test_an_idle_worker_does_not_stall(arrays: sh.Arrays, caplog: pytest.LogCaptureFixture) -> None:
    with sh.Loader(arrays, batch_size=5, num_workers=2, prefetch=1, stall_timeout=1) as loader:
        batches = iter(loader)
        next(batches)
        time.sleep(2.5)
        assert order(batches) == list(range(5, 50))
        assert loader.stats()["restarts"] == 0
    assert caplog.records == []


def test_a_killed_coordinator_ends_the_pool(folder: Path) -> None:
    with image_loader(folder, num_workers=2, batch_size=1, prefetch=1) as loader:
        batches = iter(loader)
        held = next(batches)
        before = value(held)
        coordinator, *workers = pool_pids(loader)
        os.kill(coordinator, signal.SIGKILL)
        with pytest.raises(sh.WorkerError, match=r"coordinator .*held batches stay valid"):
            for _ in batches:
                pass
        with pytest.raises(sh.WorkerError):
            iter(loader)
        with pytest.raises(sh.WorkerError):
            loader.stats()
        assert eventually(lambda: not any(map(is_running, workers)))
        assert value(held) == before
        state = loader.state_dict()
    with image_loader(folder, num_workers=0, batch_size=1) as again:
        again.load_state_dict(state)
        assert len(values(again)) == 24 - state["cursor"]
    assert value(held) == before


def test_a_stopped_coordinator_does_not_stop_close(arrays: sh.Arrays) -> None:
    loader = sh.Loader(arrays, num_workers=2)
    pids = pool_pids(loader)
    os.kill(pids[0], signal.SIGSTOP)
    loader.close()
    assert eventually(lambda: not any(map(is_running, pids)))


@pytest.mark.parametrize("what", ["next", "stats", "many epochs"])
def test_a_coordinator_that_does_not_answer_is_an_error_that_names_it(arrays: sh.Arrays, what: str) -> None:
    with sh.Loader(arrays, num_workers=2, prefetch=1, stall_timeout=0.5) as loader:
        batches = iter(loader)
        held = next(batches)
        pids = pool_pids(loader)
        os.kill(pids[0], signal.SIGSTOP)
        named = rf"the coordinator \(pid {pids[0]}\) does not answer .*state T.*held batches stay valid"
        if what == "many epochs":
            # More beginnings than a socket has room for.
            for _ in range(2000):
                batches = iter(loader)
        with pytest.raises(sh.WorkerError, match=named):
            _ = list(batches) if what != "stats" else [loader.stats()]
        assert eventually(lambda: not any(map(is_running, pids)))
        assert held.rows == 1
        with pytest.raises(sh.WorkerError, match=named):
            iter(loader)


def test_a_coordinator_that_is_stopped_at_its_start_is_an_error_that_names_it(arrays: sh.Arrays) -> None:
    stopped: list[int] = []
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text().split()

    own = Path("/proc/self/cmdline").read_bytes()

    def stop() -> None:
        while not stopped:
            for child in children.read_text().split():
                # Until a child has become another program, this process waits for it, and would for ever.
                if child not in before and Path(f"/proc/{child}/cmdline").read_bytes() not in (own, b""):
                    os.kill(int(child), signal.SIGSTOP)
                    stopped.append(int(child))

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(sh.WorkerError, match=r"the coordinator \(pid \d+\) is stopped .*state T"):
        sh.Loader(arrays, num_workers=1, stall_timeout=0.5)
    stopper.join()
    assert eventually(lambda: not any(map(is_running, stopped)))


def test_a_coordinator_that_is_slow_to_answer_is_waited_for(arrays: sh.Arrays) -> None:
    with sh.Loader(arrays, num_workers=1, prefetch=1, stall_timeout=1000) as loader:
        expected = order(loader)
        loader.set_epoch(0)
        batches = iter(loader)
        seen = order([next(batches)])
        coordinator = pool_pids(loader)[0]
        os.kill(coordinator, signal.SIGSTOP)
        resume = threading.Timer(1, os.kill, (coordinator, signal.SIGCONT))
        resume.start()
        assert seen + order(batches) == expected
        resume.join()


# The trainer.


SERVE = """
pool = loader(prefetch=2)
batches = iter(pool)
next(batches)
say(json.dumps(pids(pool)))
"""


def started(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    pids: list[int] = [int(pid) for pid in line.strip("[]\n").split(",")]
    assert len(pids) == 3
    return pids


def shared_files() -> list[str]:
    return [name for name in os.listdir("/dev/shm") if "stokehold" in name]  # noqa: PTH208, S108


@pytest.mark.parametrize(
    "busy", ["time.sleep(1000)", "[None for _ in iter(int, 1) for _ in pool]"], ids=["idle", "busy"]
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_nothing_outlives_a_killed_trainer(number: signal.Signals, busy: str) -> None:
    with trainer(SERVE + "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n" + busy) as process:
        pids = started(process)
        process.send_signal(number)
        assert process.wait(PATIENCE_SECONDS) == -number
        assert eventually(lambda: not any(map(is_running, pids)))
    assert eventually(lambda: shared_files() == [])


@pytest.mark.parametrize("stopped", ["the coordinator", "all of them", "the coordinator of a loader made in a thread"])
def test_nothing_outlives_a_killed_trainer_though_it_is_stopped(stopped: str) -> None:
    code = SERVE
    if "thread" in stopped:
        code = """
made = []
thread = threading.Thread(target=lambda: made.append(loader(prefetch=2)))
thread.start()
thread.join()
pool = made[0]
say(json.dumps(pids(pool)))
"""
    with trainer(code + "time.sleep(1000)") as process:
        pids = started(process)
        # One that is stopped before it has asked to end with its coordinator knows nobody; it has its name after that.
        assert eventually(lambda: [psutil.Process(pid).name() for pid in pids[1:]] == ["stokehold-work"] * 2)
        for pid in pids if stopped == "all of them" else pids[:1]:
            os.kill(pid, signal.SIGSTOP)
        assert eventually(lambda: psutil.Process(pids[0]).status() == psutil.STATUS_STOPPED)
        process.kill()
        process.wait()
        assert eventually(lambda: not any(map(is_running, pids)))


def test_a_loader_outlives_the_thread_that_made_it() -> None:
    code = """
made = []
thread = threading.Thread(target=lambda: made.append(loader()))
thread.start()
thread.join()
time.sleep(0.3)
assert orders(made[0]) == orders(loader(num_workers=0))
"""
    status, _, err = run_trainer(code)
    assert (status, err) == (0, "")


def test_nothing_outlives_a_trainer_whose_socket_a_fork_holds_open() -> None:
    code = "import warnings\nwarnings.simplefilter('ignore')\n" + SERVE + "if os.fork() == 0: time.sleep(300)\n"
    with trainer(code + "say('forked')\ntime.sleep(1000)") as process:
        pids = started(process)
        assert process.stdout is not None
        process.stdout.readline()
        stranger = [child.pid for child in psutil.Process(process.pid).children() if child.pid not in pids]
        process.kill()
        process.wait()
        assert eventually(lambda: not any(map(is_running, pids)))
        for pid in stranger:
            os.kill(pid, signal.SIGKILL)


def test_nothing_outlives_an_exec() -> None:
    with trainer(SERVE + "os.execv('/bin/sleep', ['sleep', '1000'])") as process:
        pids = started(process)
        assert eventually(lambda: not any(map(is_running, pids)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_group_leaves_the_workers(number: signal.Signals) -> None:
    code = f"""
pool = loader(prefetch=2)
expected = orders(pool)
pool.set_epoch(0)
batches = iter(pool)
seen = []
def handle(number, frame):
    seen.append(next(batches)["x"].tobytes())
    say("handled")
signal.signal({int(number)}, handle)
before = pids(pool)
say(json.dumps(before))
while not seen:
    time.sleep(0.01)
seen += [batch["x"].tobytes() for batch in batches]
assert seen == expected
assert pids(pool) == before
assert pool.stats()["restarts"] == 0
pool.close()
say("fine")
"""
    with trainer(code) as process:
        started(process)
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=PROGRAM_SECONDS)
        assert (process.returncode, out) == (0, "handled\nfine\n"), err
        assert err == ""


def test_signals_to_the_group_while_loaders_are_made_are_the_trainers_alone() -> None:
    code = """
caught, done = [], []
signal.signal(signal.SIGTERM, lambda *_: caught.append(1))
def send():
    while not done:
        os.killpg(0, signal.SIGTERM)
        time.sleep(0.003)
sender = threading.Thread(target=send)
sender.start()
expected = orders(loader(num_workers=0))
for _ in range(12):
    with loader() as pool:
        assert orders(pool) == expected
        assert pool.stats()["restarts"] == 0
done.append(1)
sender.join()
assert caught
"""
    status, _, err = run_trainer(code)
    assert (status, err) == (0, "")


def test_ctrl_c_ends_a_wait_and_the_loader_goes_on() -> None:
    code = """
signal.signal(signal.SIGINT, signal.default_int_handler)
pool = loader(num_workers=1, prefetch=1, batch_size=1, stall_timeout=1000)
expected = orders(pool)
pool.set_epoch(0)
batches = iter(pool)
seen = [next(batches)["x"].tobytes()]
worker = pids(pool)[1]
os.kill(worker, signal.SIGSTOP)
try:
    say("ready")
    for batch in batches:
        seen.append(batch["x"].tobytes())
except KeyboardInterrupt:
    say("interrupted")
del batch
os.kill(worker, signal.SIGCONT)
seen += [batch["x"].tobytes() for batch in batches]
assert seen == expected, len(seen)
os.kill(worker, signal.SIGSTOP)
pool.close()
say("closed")
"""
    with trainer(code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=PROGRAM_SECONDS)
        assert (process.returncode, out) == (0, "interrupted\nclosed\n"), err


ENDS = {
    "the end": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "an exception": ("raise OSError('deliberate')", 1),
    "os._exit": ("os._exit(4)", 4),
    "a held batch": ("held = next(batches)", 0),
    "a held view": ("import builtins\nbuiltins.held = next(batches)['x']", 0),
    "a reference cycle": (
        "class C: pass\nc = C()\nc.c, c.pool, c.batch = c, pool, next(batches)\ndel pool, batches",
        0,
    ),
    "atexit": ("import atexit\natexit.register(lambda: say(next(batches).rows))", 0),
    "a daemon thread in next()": (
        """
threading.Thread(target=lambda: [None for _ in iter(int, 1) for _ in pool], daemon=True).start()
time.sleep(0.2)
""",
        0,
    ),
    "a daemon thread that waits": (
        """
def name(pid):
    with open(f"/proc/{pid}/comm") as file:
        return file.read()
for pid in pids(pool)[1:]:
    # One that has just been forked has not yet asked to be ended with its coordinator.
    while "work" not in name(pid):
        time.sleep(0.001)
    os.kill(pid, signal.SIGSTOP)
threading.Thread(target=lambda: list(batches), daemon=True).start()
time.sleep(0.3)
""",
        0,
    ),
    "an exception in a thread": ("t = threading.Thread(target=lambda: 1 / len(list(batches)[:0]))\nt.start()", 0),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_interpreter_ends_as_it_should(end: str) -> None:
    code, status = ENDS[end]
    with trainer(SERVE + code) as process:
        pids = started(process)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == status, err
        assert eventually(lambda: not any(map(is_running, pids)))
        if end not in {"an exception", "an exception in a thread"}:
            assert err == ""


# Closed standard descriptors.


CLOSED = """
import warnings
warnings.simplefilter("ignore")
expected = orders(loader(num_workers=0))
reports = os.dup(1)
closed = [CLOSED]
for number in closed:
    os.close(number)
def shout():
    for number in closed:
        try:
            os.write(number, b"a line that somebody prints\\n" * 40)
        except OSError:
            pass
def standard(pid):
    found = []
    for number in range(3):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{number}"))
        except OSError:
            pass
    return [path for path in found if path.startswith(("/memfd:", "socket:", "anon_inode:"))]
"""

CLOSED_NATIVE = """
pool = loader(num_workers=WORKERS, prefetch=2)
seen = []
for batch in pool:
    shout()
    seen.append(batch["x"].tobytes())
assert seen == expected
own = [os.getpid(), *filter(None, pids(pool))]
ours = sum(map(standard, own), [])
"""

CLOSED_DROP_IN = """
import torch
from stokehold.torch import DataLoader
class Rows:
    def __len__(self):
        return 100
    def __getitem__(self, index):
        shout()
        return np.full(50_000 if index == 60 else 100, index)
rows = Rows() if "START" == "fork" else torch.utils.data.TensorDataset(torch.arange(100).repeat(1000, 1).T)
batches = iter(DataLoader(rows, batch_size=1, num_workers=2, multiprocessing_context="START"))
seen = []
for batch in batches:
    shout()
    seen += (batch if "START" == "fork" else batch[0])[:, 0].tolist()
assert seen == list(range(100)), seen
own = [os.getpid(), *(worker.pid for worker in batches._workers)]
ours = sum(map(standard, own), [])
"""


@pytest.mark.parametrize(
    ("kind", "closed"),
    [
        *((kind, closed) for kind in ("0 workers", "2 workers", "fork") for closed in ("0", "1", "2", "0, 1, 2")),
        pytest.param("spawn", "0, 1, 2", marks=pytest.mark.thorough),
    ],
)
def test_what_is_printed_to_a_closed_descriptor_goes_nowhere(kind: str, closed: str) -> None:
    if kind in {"fork", "spawn"}:
        pytest.importorskip("torch")
        code = CLOSED_DROP_IN.replace("START", kind)
    else:
        code = CLOSED_NATIVE.replace("WORKERS", kind[0])
    status, out, err = run_trainer(CLOSED.replace("CLOSED", closed) + code + "os.write(reports, str(ours).encode())")
    assert (status, out) == (0, "[]"), err


# Refused system calls.


FILTER = """
def refuse(numbers, error):
    # BPF: load the number of the call; for each refused one, return the error; else allow.
    code = [(0x20, 0, 0, 0)]
    for number in numbers:
        code += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | error)]
    code.append((0x06, 0, 0, 0x7FFF0000))
    class Step(ctypes.Structure):
        _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32)]
    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_uint16), ("steps", ctypes.POINTER(Step))]
    steps = (Step * len(code))(*(Step(*step) for step in code))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.byref(Program(len(code), steps)), 0, 0) == 0
    assert libc.syscall(numbers[0], -1, -1, -1) == -1 and ctypes.get_errno() == error
"""
CALLS = {
    "memfd_create": 319,
    "pidfd_open": 434,
    "close_range": 436,
    "pidfd_send_signal": 424,
    "all of them": (319, 434, 436, 424),
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of the calls are those of x86-64")
@pytest.mark.parametrize("error", ["EPERM", "ENOSYS"])
@pytest.mark.parametrize("call", CALLS)
def test_a_refused_system_call_changes_nothing(call: str, error: str) -> None:
    numbers = CALLS[call] if isinstance(CALLS[call], tuple) else (CALLS[call],)
    code = f"""{FILTER}
import errno
expected = orders(loader(num_workers=0))
refuse({numbers}, errno.{error})
with loader(prefetch=2) as pool:
    assert orders(pool) == expected
    pool.set_epoch(0)
    batches = iter(pool)
    seen = [next(batches)["x"].tobytes()]
    os.kill(pids(pool)[1], signal.SIGKILL)
    seen += [batch["x"].tobytes() for batch in batches]
    assert seen == expected
    # The other worker may make the rest before anybody sees that this one is gone.
    while pool.stats()["restarts"] < 1:
        time.sleep(0.01)
    assert pool.stats()["restarts"] == 1
    kept = [batch for batch in pool]
    left = pids(pool)
assert [batch["x"].tobytes() for batch in kept] != expected
say(json.dumps(left))
"""
    with trainer(code) as process:
        out, err = process.communicate(timeout=PROGRAM_SECONDS)
        assert process.returncode == 0, err
        pids = [int(pid) for pid in out.strip("[]\n").split(",")]
        assert eventually(lambda: not any(map(is_running, pids)))
        assert eventually(lambda: shared_files() == [])


# Limits.


def test_too_few_descriptors_is_an_error_with_numbers() -> None:
    code = """
limit = len(os.listdir("/proc/self/fd")) + 4
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
source = sh.Arrays({"x": np.zeros(4)})
try:
    sh.Loader(source, num_workers=2)
except OSError as error:
    say(error.errno, error)
"""
    status, out, err = run_trainer(code)
    assert status == 0, err
    assert out.startswith("24 "), out
    assert "descriptors are needed" in out
    assert "ulimit -n" in out


@pytest.mark.parametrize("spare", range(12))
def test_any_number_of_descriptors_gives_an_error_or_batches(spare: int) -> None:
    code = f"""
source = sh.Arrays({{"x": np.arange(64)}})
limit = len(os.listdir("/proc/self/fd")) - 1 + {spare}
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
try:
    with sh.Loader(source, batch_size=2, num_workers=2) as pool:
        assert [index for batch in pool for index in batch["x"]] == list(range(64))
        say("fine")
except (OSError, sh.WorkerError) as error:
    say(type(error).__name__, error)
"""
    status, out, err = run_trainer(code)
    assert status == 0, err
    assert out, err


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_FSIZE"])
def test_too_low_a_limit_on_memory_is_an_error(limit: str, workers: int) -> None:
    code = f"""
used = int(open("/proc/self/statm").read().split()[0]) * 4096 if "{limit}" == "RLIMIT_AS" else 0
most = used + (200 << 20)
source = sh.Arrays({{"x": np.zeros((100, 1 << 20), np.uint8)}})
resource.setrlimit(resource.{limit}, (most, most))
try:
    sh.Loader(source, batch_size=64, num_workers={workers})
except (MemoryError, OSError) as error:
    say(type(error).__name__, error)
with sh.Loader(source, batch_size=1, prefetch=1, num_workers={workers}) as pool:
    assert sum(batch.rows for batch in pool) == 100
    say("fine")
"""
    status, out, err = run_trainer(code)
    assert status == 0, err
    refused, fine = out.splitlines()
    assert refused.startswith("MemoryError"), refused
    assert limit in refused
    assert fine == "fine"


def test_arrays_beyond_a_limit_are_an_error() -> None:
    code = """
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    sh.Arrays({"x": np.zeros(1 << 22, np.uint8)})
except MemoryError as error:
    say(error)
"""
    status, out, err = run_trainer(code)
    assert status == 0, err
    assert "RLIMIT_FSIZE" in out


@pytest.mark.parametrize("workers", [0, 1])
def test_a_memory_cgroup_too_small_is_an_error_and_no_kill(workers: int) -> None:
    top = memory_cgroup()
    group = top / f"stokehold-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(256 << 20))
    except OSError as error:
        pytest.skip(f"memory cgroups cannot be made here ({error}): not tested")
    try:
        code = f"""
open("{group}/cgroup.procs", "w").write(str(os.getpid()))
source = sh.Arrays({{"x": np.zeros((64, 1 << 20), np.uint8)}})
try:
    sh.Loader(source, batch_size=64, num_workers={workers})
except MemoryError as error:
    say(error)
with sh.Loader(source, batch_size=1, prefetch=1, num_workers={workers}) as pool:
    say(sum(batch.rows for batch in pool))
"""
        status, out, err = run_trainer(code)
        assert status == 0, err
        refused, rows = out.splitlines()
        assert rows == "64"
        assert str(group) in refused
        assert "256.0 MiB" in refused
        assert "oom_kill 0" in (group / "memory.oom_control").read_text()
    finally:
        assert eventually(lambda: removed(group))


def memory_cgroup() -> Path:
    """The folder of this process's memory cgroup, version 1."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            group = Path("/sys/fs/cgroup/memory") / path.lstrip("/")
            return group if group.is_dir() else Path("/sys/fs/cgroup/memory")
    pytest.skip("no memory controller of version 1 here: not tested")


def removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True


def test_a_small_dev_shm_is_enough() -> None:
    unshare: Any = ["unshare", "-m", "sh", "-c"]
    if os.geteuid() != 0 or subprocess.run([*unshare, "true"], check=False).returncode != 0:
        pytest.skip("a mount namespace cannot be made here: not tested")
    code = """
import numpy as np, stokehold as sh
with sh.Loader(sh.Arrays({"x": np.zeros((8, 1 << 22), np.uint8)}), batch_size=4, num_workers=1) as pool:
    print(sum(batch.rows for batch in pool))
"""
    script = f'mount -t tmpfs -o size=4k none /dev/shm && exec {sys.executable} -c "$0"'
    command = [*unshare, script, code]
    run = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False)
    assert (run.returncode, run.stdout) == (0, "8\n"), run.stderr
